"""What a node says to a query, as the hub takes it: every field checked, so that a broken node is lost and breaks nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError
from . import _exact
from ._codec import loads

__all__ = ["Answer"]

_MOST_LABELS = 100_000
_HEX = re.compile(r"[0-9a-f]{64}")
_KEYS = ({"labels"}, {"labels", "signature"}, {"layout", "message"}, {"layout", "words"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One of: labels in the open; a layout and the first message of secure aggregation; a layout and plain words."""

    policy: str
    log_head: str
    min_cases: int
    labels: dict[str, list[Any]] | None
    layout: _exact.Layout
    message: bytes
    words: npt.NDArray[np.int64] | None
    signature: str = ""

    @classmethod
    def from_bytes(cls, data: bytes) -> Answer:
        """Anything else than an answer is a FormatError."""
        try:
            record = loads(data)
            about = record.pop("about")
            _insist(about.keys() == {"policy", "log_head", "min_cases"} and record.keys() in _KEYS)
            policy, head, least = about["policy"], about["log_head"], about["min_cases"]
            _insist(policy.startswith("sha256:") and _HEX.fullmatch(policy[7:]) is not None)
            _insist(_HEX.fullmatch(head) is not None and type(least) is int and least >= 1)
            layout = tuple(_array(*entry) for entry in record.get("layout", ()))
            _insist([name for name, *_ in layout] == sorted({name for name, *_ in layout}))
            message, words = record.get("message", b""), record.get("words")
            _insist(isinstance(message, bytes))
            if words is not None:
                _insist(words.dtype == np.int64 and words.shape == (_exact.length_of(layout),))
            signature = record.get("signature", "")
            _insist(isinstance(signature, str) and len(signature) <= 128)
            return cls(policy, head, least, _labels(record.get("labels")), layout, message, words, signature)
        except (LookupError, TypeError, ValueError, AttributeError):
            raise FormatError("federated: not an answer of a node") from None


def _insist(condition: bool) -> None:
    if not condition:
        raise ValueError


def _array(name: Any, kind: Any, shape: Any) -> tuple[str, str, tuple[int, ...]]:
    _insist(isinstance(name, str) and kind in ("whole", "real") and len(shape) <= 32)
    _insist(all(type(n) is int and 0 <= n < 1 << 40 for n in shape))
    return name, kind, tuple(shape)


def _labels(found: Any) -> dict[str, list[Any]] | None:
    if found is None:
        return None
    for values in found.values():
        _insist(isinstance(values, list) and len(values) <= _MOST_LABELS)
        _insist(all(isinstance(value, (str, int, float)) for value in values))
    return dict(found)
