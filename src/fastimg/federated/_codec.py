"""Plain values, arrays and bytes as canonical bytes: what a query, its shared state and an answer are made of. No pickle.

A value without arrays and bytes is canonical JSON (sorted keys, no spaces). One with them is a frame, read in place:

    8 bytes   b"\\xffFASTIM" and the version of the frame, 1
    8 bytes   length of the JSON that follows, little endian
    JSON      padded with spaces to a multiple of 8; {"__array__": [dtype, shape]} and {"__bytes__": length} stand for
    raw       the arrays (C order, little endian) and the byte strings, in the order of the JSON, each padded to 8 bytes
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError, FormatError

__all__ = ["digest", "dumps", "loads"]

_ARRAY, _BYTES = "__array__", "__bytes__"
_SIZES = {"<i8": 8, "<f8": 8, "|b1": 1}
_KINDS = {"i": "<i8", "u": "<i8", "f": "<f8", "b": "|b1"}
_MAGIC, _VERSION = b"\xffFASTIM", 1
_LENGTH = struct.Struct("<Q")
_MOST_JSON = 1 << 26


def dumps(value: Any) -> bytes:
    """The same value gives the same bytes."""
    raw: list[Any] = []
    text = json.dumps(_plain(value, raw), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    if not raw:
        return text
    parts: list[Any] = [_MAGIC, bytes([_VERSION]), _LENGTH.pack(len(text)), text, b" " * (-len(text) % 8)]
    for piece in raw:
        parts += [piece, bytes(-len(piece) % 8)]
    return b"".join(parts)


def digest(value: Any) -> str:
    """SHA-256 of the value's bytes."""
    return hashlib.sha256(dumps(value)).hexdigest()


def loads(data: bytes, *, limit: int = 1 << 30) -> Any:
    """The inverse of `dumps`; arrays are read-only views of `data`. Doubled keys, NaN and what does not fit are refused."""
    if not isinstance(data, bytes) or len(data) > limit:
        raise FormatError(f"federated: a message is bytes, at most {limit}")
    if data[:1] != _MAGIC[:1]:
        return _parsed(data, _none_follow)
    if data[:7] != _MAGIC or len(data) < 16:
        raise FormatError("federated: a message is neither canonical JSON nor a frame")
    if data[7] != _VERSION:
        raise FormatError(f"federated: a frame of version {data[7]}; this fastimg reads version {_VERSION}")
    length = _LENGTH.unpack_from(data, 8)[0]
    at = 16 + length + -length % 8
    if length > _MOST_JSON or at > len(data) or data[16 + length : at].strip(b" "):
        raise FormatError("federated: a frame is malformed")
    place = [at]

    def take(size: int) -> int:
        start = place[0]
        place[0] += size + -size % 8
        if place[0] > len(data) or any(data[start + size : place[0]]):
            raise FormatError("federated: an array is cut short")
        return start

    def found(mark: str, value: Any) -> Any:
        if mark == _BYTES:
            if type(value) is not int or value < 0:
                raise FormatError("federated: an array is malformed")
            start = take(value)
            return data[start : start + value]
        kind, shape = value
        if kind not in _SIZES or len(shape) > 32 or any(type(n) is not int or not 0 <= n < 1 << 40 for n in shape):
            raise ValueError
        start = take(math.prod(shape) * _SIZES[kind])
        array = np.frombuffer(data, "|u1" if kind == "|b1" else kind, math.prod(shape), start)
        if kind == "|b1":  # any other byte than 0 and 1 is no truth value
            if array.size and array.max() > 1:
                raise ValueError
            array = array.view(bool)
        return array.reshape(shape)

    value = _parsed(data[16 : 16 + length], found)
    if place[0] != len(data):
        raise FormatError("federated: a frame is malformed")
    return value


def _none_follow(mark: str, value: Any) -> Any:
    raise FormatError("federated: arrays do not travel as JSON")


def _parsed(text: bytes, found: Callable[[str, Any], Any]) -> Any:
    def item(pairs: list[tuple[str, Any]]) -> Any:
        record = dict(pairs)
        if len(record) != len(pairs):
            raise FormatError("federated: a key stands twice")
        mark = next((mark for mark in (_ARRAY, _BYTES) if mark in record), None)
        if mark is None:
            return record
        try:
            if len(record) != 1:
                raise ValueError
            return found(mark, record[mark])
        except (ValueError, TypeError):
            raise FormatError("federated: an array is malformed") from None

    try:
        return json.loads(text, object_pairs_hook=item, parse_constant=_constant, parse_float=_number)
    except FormatError:
        raise
    except (ValueError, RecursionError):
        raise FormatError("federated: a message is not canonical JSON") from None


def _plain(value: Any, raw: list[Any]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        kind = _KINDS.get(value.dtype.kind)
        if kind is None:
            raise ArgumentError(f"federated: arrays of {value.dtype} do not travel")
        array: Any = np.ascontiguousarray(value, kind)
        raw.append(memoryview(array.reshape(-1).view(np.uint8)))
        return {_ARRAY: [kind, list(value.shape)]}
    if isinstance(value, bytes):
        raw.append(value)
        return {_BYTES: len(value)}
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ArgumentError("federated: numbers must be finite")
        return value
    if isinstance(value, (list, tuple)):
        if all(type(item) is str for item in value):  # names, in thousands
            return value
        return [_plain(item, raw) for item in value]
    if isinstance(value, dict):
        if any(not isinstance(key, str) or key in (_ARRAY, _BYTES) for key in value):
            raise ArgumentError("federated: keys must be text")
        return {key: _plain(value[key], raw) for key in sorted(value)}  # the order of the JSON is that of the raw parts
    raise ArgumentError(f"federated: a {type(value).__name__} does not travel; use text, numbers, lists, arrays")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise FormatError(f"federated: {text[:20]} is not a number that travels")
    return value


def _constant(name: str) -> Any:
    raise FormatError(f"federated: {name} is not a number that travels")
