"""Twins of fastimg.histogram."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["adaptive", "fixed", "integer"]


def integer(values: npt.NDArray[Any]) -> dict[int, int]:
    """value -> how often it occurs."""
    found: dict[int, int] = {}
    for value in values.ravel().tolist():
        found[int(value)] = found.get(int(value), 0) + 1
    return found


def fixed(values: npt.NDArray[Any], low: float, high: float, bins: int) -> tuple[list[int], int, int, int]:
    """(counts, below, above, not finite): a value at a time, by the documented formula in float64."""
    counts, below, above, skipped = [0] * bins, 0, 0, 0
    scale = bins / (high - low)
    for value in values.ravel().astype(np.float64).tolist():
        if not math.isfinite(value):
            skipped += 1
        elif value < low:
            below += 1
        elif value > high:
            above += 1
        else:
            counts[min(bins - 1, int((value - low) * scale))] += 1
    return counts, below, above, skipped


def adaptive(values: npt.NDArray[Any], limit: int) -> tuple[Fraction, dict[int, int]]:
    """(width, {bin: count}) with the least power of two that needs no more than `limit` bins, in exact fractions.

    At least two different values.
    """
    exact = [Fraction(value) for value in values.ravel().tolist()]
    width = Fraction(2) ** -1000
    low, high = min(exact), max(exact)
    while math.floor(high / width) - math.floor(low / width) + 1 > limit:
        width *= 2
    found: dict[int, int] = {}
    for value in exact:
        found[math.floor(value / width)] = found.get(math.floor(value / width), 0) + 1
    return width, found
