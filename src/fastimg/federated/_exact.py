"""Arrays as whole numbers whose sums are exact, and back.

A whole number is one word of 50 bits with sign. A float64 is split into 5 signed limbs of 48 bits at 2^-120 .. 2^120,
without rounding unless it has bits below 2^-120 (about 1e-36): sums of limbs are carried only after the last addition,
in Python's whole numbers, so that a sum over nodes is rounded once, whatever the nodes and their order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, RefusedError

__all__ = ["BITS", "decode", "encode", "layout_of", "length_of"]

BITS = 50
_LIMB = 48
_LIMBS = 5
_UNIT = 120  # the lowest bit is 2^-120
_TOP = 2.0**119

Layout = tuple[tuple[str, str, tuple[int, ...]], ...]


def layout_of(arrays: Mapping[str, Any]) -> Layout:
    """((name, "whole" or "real", shape), ...) by name."""
    layout = []
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        if array.dtype.kind not in "iufb":
            raise ArgumentError(f"{name}: a computation sums whole and real numbers, got dtype {array.dtype}")
        layout.append((name, "real" if array.dtype.kind == "f" else "whole", array.shape))
    return tuple(layout)


def length_of(layout: Layout) -> int:
    """Words of all arrays together."""
    return sum(math.prod(shape) * (_LIMBS if kind == "real" else 1) for _, kind, shape in layout)


def digest_of(layout: Layout) -> bytes:
    """Binds a round to what is summed in it."""
    return hashlib.sha256(repr(layout).encode()).digest()


def encode(arrays: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """All arrays in one vector of words.

    Raises
    ------
    RefusedError
        NaN, infinite or too large numbers: they would spoil the sum of all.
    """
    parts = [_words(name, np.asarray(arrays[name]).ravel(), kind) for name, kind, _ in layout_of(arrays)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def decode(words: npt.NDArray[np.int64], layout: Layout) -> dict[str, Any]:
    """The arrays of a summed vector: int64, and float64 rounded once."""
    found: dict[str, Any] = {}
    at = 0
    for name, kind, shape in layout:
        count = math.prod(shape)
        if kind == "whole":
            found[name] = words[at : at + count].reshape(shape).copy()
            at += count
            continue
        limbs = words[at : at + count * _LIMBS].reshape(count, _LIMBS).astype(object)
        at += count * _LIMBS
        totals = sum(limbs[:, i] << (_LIMB * i) for i in range(_LIMBS))
        values = [_real(int(total)) for total in np.asarray(totals, object)]
        found[name] = np.array(values, np.float64).reshape(shape)
    return found


def _real(total: int) -> float:
    """total * 2^-120, rounded to nearest: division of whole numbers is rounded correctly."""
    return total / (1 << _UNIT)


def _words(name: str, values: Any, kind: str) -> npt.NDArray[np.int64]:
    if kind == "whole":
        limit = 1 << (BITS - 1)
        if values.size and (int(values.max()) >= limit or int(values.min()) <= -limit):
            raise RefusedError(f"rule range: {name} holds whole numbers of more than {BITS - 1} bits")
        return np.asarray(values.astype(np.int64))
    reals = values.astype(np.float64)
    if not np.isfinite(reals).all() or (np.abs(reals) >= _TOP).any():
        raise RefusedError(f"rule range: {name} holds NaN, infinite or too large numbers")
    fraction, exponent = np.frexp(np.abs(reals))
    mantissa = np.ldexp(fraction, 53).astype(np.uint64)  # exact: 53 bits
    low = exponent.astype(np.int64) - 53 + _UNIT  # place of the mantissa's lowest bit
    words = np.zeros((reals.size, _LIMBS), np.uint64)
    mask = np.uint64((1 << _LIMB) - 1)
    for limb in range(_LIMBS):
        shift = _LIMB * limb - low  # > 0: the limb's lowest bit lies inside or above the mantissa
        right = mantissa >> np.clip(shift, 0, 63).astype(np.uint64)
        left = mantissa << np.clip(-shift, 0, 63).astype(np.uint64)
        part = np.where(shift >= 0, right, np.where(-shift < _LIMB, left, np.uint64(0)))
        words[:, limb] = part & mask
    signed = words.view(np.int64)
    return np.where(reals[:, None] < 0, -signed, signed).ravel()
