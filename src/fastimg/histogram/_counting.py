"""Counts of an array's values for each kind of histogram: what `Histogram` is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _dispatch
from ..errors import ArgumentError
from ._adaptive import bin_of, exponent_of
from ._statistics import not_finite

__all__ = ["MOST", "adaptive", "fixed", "integer"]

MOST = 1 << 24  # bins: 128 MiB of counts


def integer(values: Any, inside: Any, threads: int) -> dict[str, Any]:
    """One bin a value, from the least to the greatest."""
    leaf = _dispatch.pick(values, leaf="histogram")
    if values.dtype.itemsize <= 2:
        low, size = int(np.iinfo(values.dtype).min), 1 << (8 * values.dtype.itemsize)
    else:
        xp = _dispatch.namespace(values)
        chosen = values if inside is None else values[inside.view(xp.bool_)]
        if not chosen.size:
            return {"counts": np.zeros(0, np.int64)}
        low, high = int(chosen.min()), int(chosen.max())
        size = high - low + 1
        if size > MOST:
            raise ArgumentError(
                f"image: whole numbers from {low} to {high} need more than {MOST} bins; give bins= and range="
            )
    counts = leaf.direct(values, inside, low, size, threads=threads)
    used = np.flatnonzero(counts)
    if not used.size:
        return {"counts": np.zeros(0, np.int64)}
    first, last = int(used[0]), int(used[-1])
    return {"counts": counts[first : last + 1], "origin": low + first, "min": low + first, "max": low + last}


def fixed(values: Any, inside: Any, bins: int, borders: Sequence[float], nan: str, threads: int) -> dict[str, Any]:
    """`bins` equal bins between two borders, and what lies beyond them."""
    low, high = (float(v) for v in borders)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ArgumentError(f"Histogram: range must be finite and increasing, got ({low!r}, {high!r})")
    leaf = _dispatch.pick(values, leaf="histogram")
    counts = leaf.fixed(values, inside, low, high, bins / (high - low), bins, threads=threads)
    below, above, skipped = int(counts[0]), int(counts[-2]), int(counts[-1])
    if skipped and nan != "ignore":
        raise not_finite(skipped)
    return {"counts": counts[1:-2], "low": low, "high": high, "below": below, "above": above, "skipped": skipped}


def adaptive(values: Any, inside: Any, limit: int, nan: str, threads: int) -> dict[str, Any]:
    """At most `limit` bins of a power of two between the least and the greatest value."""
    leaf = _dispatch.pick(values, leaf="histogram")
    count, skipped, _, _, low, high = leaf.moments(values, inside, threads=threads)
    if skipped and nan != "ignore":
        raise not_finite(skipped)
    if not count:
        return {"counts": np.zeros(0, np.int64), "limit": limit, "skipped": skipped}
    exponent = exponent_of(low, high, limit)
    first, last = bin_of(low, exponent), bin_of(high, exponent)
    counts = leaf.power(values, inside, math.ldexp(1.0, -exponent), float(first), last - first + 1, threads=threads)
    rest = {"limit": limit, "skipped": skipped, "min": low, "max": high}
    return {"counts": counts[:-1], "origin": first, "exponent": exponent, **rest}
