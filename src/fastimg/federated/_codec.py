"""Plain values and arrays as canonical JSON bytes: what a query and its shared state are made of. No pickle."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

import numpy as np

from ..errors import ArgumentError, FormatError

__all__ = ["dumps", "loads"]

_ARRAY = "__array__"
_DTYPES = {"<i8", "<f8", "|b1"}


def dumps(value: Any) -> bytes:
    """Sorted keys, no spaces: the same value gives the same bytes."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def loads(data: bytes, *, limit: int = 1 << 28) -> Any:
    """The inverse of `dumps`; arrays are read-only. Doubled keys, NaN and unknown arrays are refused."""
    if not isinstance(data, bytes) or len(data) > limit:
        raise FormatError(f"federated: a message is bytes, at most {limit}")
    try:
        return json.loads(data, object_pairs_hook=_object, parse_constant=_constant)
    except FormatError:
        raise
    except (ValueError, RecursionError):
        raise FormatError("federated: a message is not canonical JSON") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        kind = {"i": "<i8", "u": "<i8", "f": "<f8", "b": "|b1"}.get(value.dtype.kind)
        if kind is None:
            raise ArgumentError(f"federated: arrays of {value.dtype} do not travel")
        raw = np.ascontiguousarray(value.astype(kind)).tobytes()
        return {_ARRAY: [kind, list(value.shape), base64.b64encode(raw).decode()]}
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ArgumentError("federated: numbers must be finite")
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        if any(not isinstance(key, str) or key == _ARRAY for key in value):
            raise ArgumentError("federated: keys must be text")
        return {key: _plain(item) for key, item in value.items()}
    raise ArgumentError(f"federated: a {type(value).__name__} does not travel; use text, numbers, lists, arrays")


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FormatError("federated: a key stands twice")
    if _ARRAY not in found:
        return found
    try:
        kind, shape, text = found[_ARRAY]
        if len(found) != 1 or kind not in _DTYPES or any(type(n) is not int or n < 0 for n in shape):
            raise ValueError
        raw = base64.b64decode(text, validate=True)
        array = np.frombuffer(raw, kind).reshape(shape)
    except (ValueError, TypeError, binascii.Error):
        raise FormatError("federated: an array is malformed") from None
    return array


def _constant(name: str) -> Any:
    raise FormatError(f"federated: {name} is not a number that travels")
