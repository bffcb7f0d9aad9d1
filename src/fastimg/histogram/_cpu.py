"""CPU side of the histogram tools: flat, contiguous arrays of one length; `mask` is uint8 or None."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _native

KEYS = 1 << 16


def direct(values: Any, mask: Any, origin: int, size: int, *, threads: int) -> Any:
    """int64 counts of whole numbers; index = value - origin."""
    counts = np.zeros(size, np.int64)
    _native.direct(values, mask, origin, counts, threads)
    return counts


def fixed(values: Any, mask: Any, low: float, high: float, scale: float, bins: int, *, threads: int) -> Any:
    """int64 counts of below, bins, above, not finite."""
    counts = np.zeros(bins + 3, np.int64)
    _native.fixed(values, mask, low, high, scale, counts, threads)
    return counts


def power(values: Any, mask: Any, inverse: float, base: float, bins: int, *, threads: int) -> Any:
    """int64 counts of floor(value * inverse) - base; the last one counts what is not finite."""
    counts = np.zeros(bins + 1, np.int64)
    _native.power(values, mask, inverse, base, counts, threads)
    return counts


def keys(values: Any, mask: Any, *, threads: int) -> Any:
    """int64 counts of the top 16 bits of a float's ordered key."""
    counts = np.zeros(KEYS, np.int64)
    _native.keys(values.view(f"u{values.dtype.itemsize}"), mask, counts, threads)
    return counts


def collect(values: Any, mask: Any, wanted: Any, room: int, *, threads: int) -> Any:
    """Values whose key's top 16 bits are marked in `wanted`; there are `room` of them, in any order."""
    out = np.empty(room, values.dtype)
    word = f"u{values.dtype.itemsize}"
    found = _native.collect(values.view(word), mask, wanted, out.view(word), threads)
    return out[:found]


def between(values: Any, mask: Any, borders: Any, toggles: int, room: int, *, threads: int) -> tuple[Any, Any]:
    """(values at or above an odd number of the first `toggles` borders, in any order; how many reach each border).

    None for the values where there are more than `room` of them.
    """
    reached = np.zeros(len(borders), np.int64)
    out = np.empty(room, values.dtype)
    kept = _native.filter(values, mask, borders, toggles, reached, out, threads)
    return (None if kept < 0 else out[:kept]), reached


def order_statistics(values: Any, mask: Any, q: Any, *, threads: int) -> tuple[int, int, Any, Any]:
    """(finite values, others, the order statistics below and above q (n - 1))."""
    from ._order import order_statistics

    return order_statistics(values, mask, q, threads=threads)


def moments(values: Any, mask: Any, *, threads: int) -> tuple[int, int, float, float, float, float]:
    """count, skipped, mean, sum of squared deviations, min, max of the finite values; 8 and 16 bits in whole numbers."""
    if values.dtype.itemsize > 2:
        seen: tuple[int, int, float, float, float, float] = _native.moments(values, mask, threads)
        return seen
    count, total, squares, low, high = _native.whole_moments(values, mask, threads)
    if not count:
        return 0, 0, 0.0, 0.0, 0.0, 0.0
    return count, 0, total / count, (count * squares - total * total) / count, float(low), float(high)
