"""The Anderson-Darling test of several samples: do the batches' values come from one distribution?

Scholz & Stephens, J. Am. Stat. Assoc. 82:918 (1987): the statistic for ties (their equation 7), its variance (equation 4)
and table 1. p values come from a quadratic in the logarithm through that table, and end at 0.001 and 0.25 where it ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["anderson_p_values"]

Array = npt.NDArray[np.float64]
_LEVELS = np.array([0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001])
_B0 = np.array([0.675, 1.281, 1.645, 1.96, 2.326, 2.573, 3.085])
_B1 = np.array([-0.245, 0.25, 0.678, 1.149, 1.822, 2.364, 3.615])
_B2 = np.array([-0.105, -0.305, -0.362, -0.391, -0.396, -0.345, -0.154])


def anderson_p_values(x: Array, codes: npt.NDArray[Any]) -> Array:
    """The p value of each feature; 1 where it is constant or only one batch has rows."""
    every = np.bincount(codes)
    counts = every[every > 0].astype(np.float64)
    total, k = int(counts.sum()), len(counts)
    p = np.ones(x.shape[1])
    if k < 2 or total < 4:
        return p
    member = np.unique(codes, return_inverse=True)[1]
    indicator = np.zeros((total, k))
    sd = _standard_deviation(counts, total)
    critical = _B0 + _B1 / np.sqrt(k - 1) + _B2 / (k - 1)
    curve = np.polyfit(critical, np.log(_LEVELS), 2)
    for feature in range(x.shape[1]):
        order = np.argsort(x[:, feature], kind="stable")
        value = x[order, feature]
        if value[0] == value[-1]:
            continue
        starts = np.flatnonzero(np.append(True, value[1:] != value[:-1]))
        indicator[:] = 0
        indicator[np.arange(total), member[order]] = 1
        own = np.add.reduceat(indicator, starts)  # (distinct values, batches)
        tied = own.sum(1)
        middle = np.cumsum(own, 0) - own / 2  # how many of the batch lie below, ties for a half
        below = np.cumsum(tied) - tied / 2
        weight = tied / total / (below * (total - below) - total * tied / 4)
        distance = (weight[:, None] * np.square(total * middle - below[:, None] * counts)).sum(0)
        statistic = ((distance / counts).sum() * (total - 1) / total - (k - 1)) / sd
        if statistic < critical[0]:
            p[feature] = _LEVELS[0]
        elif statistic > critical[-1]:
            p[feature] = _LEVELS[-1]
        else:
            p[feature] = np.exp(np.polyval(curve, statistic))
    return p


def _standard_deviation(counts: Array, total: int) -> float:
    k, n = len(counts), float(total)
    H = (1 / counts).sum()
    harmonic = np.cumsum(1 / np.arange(total - 1, 1, -1))
    h = harmonic[-1] + 1
    g = (harmonic / np.arange(2, total)).sum()
    a = (4 * g - 6) * (k - 1) + (10 - 6 * g) * H
    b = (2 * g - 4) * k**2 + 8 * h * k + (2 * g - 14 * h - 4) * H - 8 * h + 4 * g - 6
    c = (6 * h + 2 * g - 2) * k**2 + (4 * h - 4 * g + 6) * k + (2 * h - 6) * H + 4 * h
    d = (2 * h + 6) * k**2 - 4 * h * k
    return float(np.sqrt((a * n**3 + b * n**2 + c * n + d) / ((n - 1) * (n - 2) * (n - 3))))
