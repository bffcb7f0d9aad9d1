"""Bins of an adaptive histogram: [i, i + 1) * 2**exponent, as narrow as the range and the limit of bins allow."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["bin_of", "coarsened", "exponent_of"]


def bin_of(value: float, exponent: int) -> int:
    """The number of the bin that holds a value; exact."""
    return math.floor(math.ldexp(value, -exponent) or value)  # a quotient too small for a number keeps its side


def exponent_of(low: float, high: float, limit: int) -> int:
    """The least exponent for which the bins from `low` to `high` are at most `limit` and their numbers are exact."""
    largest = max(abs(low), abs(high))
    exponent = (
        max(math.frexp(largest)[1] - 50, -1000) if largest else -1000
    )  # of zeros alone: no wider than any other's
    if high > low:
        exponent = max(exponent, math.frexp((high - low) / limit)[1] - 2)
    while bin_of(high, exponent) - bin_of(low, exponent) + 1 > limit:
        exponent += 1
    return exponent


def coarsened(counts: npt.NDArray[np.int64], origin: int, steps: int) -> tuple[npt.NDArray[np.int64], int]:
    """Counts and first index after adding neighbours up to bins 2**steps times as wide."""
    used = np.flatnonzero(counts)
    index = [(origin + int(i)) >> steps for i in used]
    wide = np.zeros(index[-1] - index[0] + 1, np.int64)
    np.add.at(wide, np.array(index) - index[0], counts[used])
    return wide, index[0]
