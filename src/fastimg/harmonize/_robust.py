"""Estimates that a few outliers do not move: values far from their batch's middle are drawn to a border before summing.

Winsorised pseudo-values (Huber, Robust Statistics, 1981, section 7.8): the border of a batch and feature lies `cut`
robust standard deviations (1.4826 times the median absolute deviation) from the median of what the covariates leave, and
the covariates' slopes are those of the values so drawn, found by iteration.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ._design import Design
from ._model import solve
from ._sums import Statistics

__all__ = ["winsorised"]

Array = npt.NDArray[np.float64]
_STEPS, _CHANGE = 30, 1e-6


def winsorised(
    x: Array, batch: object, covariates: object, design: Design, cut: float, *, mean_only: bool, threads: int | None
) -> Array:
    """x with the outliers of each batch and feature drawn to its borders; NaN stays."""
    codes, columns = design.encode(batch, covariates, len(x))
    missing = "skip" if np.isnan(x).any() else "error"
    effect: Array = np.zeros_like(x)
    drawn = x
    for step in range(_STEPS):
        drawn = _drawn(x - effect, codes, cut) + effect
        if not columns.size:
            break
        stats = Statistics.of(
            drawn, batch=batch, covariates=covariates, design=design, missing=missing, threads=threads
        )
        slope = solve(stats, parametric=True, eb=False, mean_only=mean_only, reference=None).beta
        after = np.asarray(columns @ slope)
        change = np.abs(after - effect).max(0) > _CHANGE * (np.abs(after).max(0) + 1e-300)
        effect = after
        if step and not change.any():
            break
    return drawn


def _drawn(rest: Array, codes: npt.NDArray[np.int32], cut: float) -> Array:
    out = rest.copy()
    for k in np.unique(codes):
        own = rest[codes == k]
        middle = np.nanmedian(own, axis=0)
        spread = 1.4826 * np.nanmedian(np.abs(own - middle), axis=0)
        border = np.where(spread > 0, cut * spread, np.inf)  # more than half of the values are one: no scale to go by
        out[codes == k] = np.clip(own, middle - border, middle + border)
    return out
