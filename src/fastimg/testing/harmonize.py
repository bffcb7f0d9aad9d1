"""Twins of fastimg.harmonize."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["affine", "combat", "covbat", "piecewise", "window"]


def window(array: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float32]:
    """The formula of `harmonize.window`, a step at a time in float32."""
    low32, high32 = np.float32(low), np.float32(high)
    values = array.astype(np.float32)
    values = np.where(values < low32, low32, values)
    values = np.where(values > high32, high32, values)
    return (values - low32) * (np.float32(1) / (high32 - low32))


def affine(array: npt.NDArray[Any], shift: float, spread: float) -> npt.NDArray[np.float32]:
    """(array - shift) / spread as `harmonize.zscore` does it: the reciprocal is rounded once, in float32."""
    return (array.astype(np.float32) - np.float32(shift)) * np.float32(1 / spread)


def piecewise(array: npt.NDArray[Any], source: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Linear between the knots (source, target) and on beyond both ends, a value at a time in float64."""
    x, y = np.asarray(source, np.float64), np.asarray(target, np.float64)
    out = np.empty(array.size)
    for i, value in enumerate(array.ravel().astype(np.float64).tolist()):
        k = 0
        while k < len(x) - 2 and value >= x[k + 1]:
            k += 1
        out[i] = y[k] + (value - x[k]) * (y[k + 1] - y[k]) / (x[k + 1] - x[k])
    return out.reshape(array.shape)


def combat(
    X: npt.NDArray[Any],
    batch: npt.NDArray[Any],
    covariates: npt.NDArray[np.float64] | None = None,
    *,
    eb: bool = True,
    mean_only: bool = False,
) -> npt.NDArray[np.float64]:
    """Parametric ComBat on the whole table as the paper has it: one design matrix, residuals, batches in loops.

    X: subjects x features; covariates: subjects x columns, numeric.
    """
    levels = np.unique(batch)
    member = (batch[:, None] == levels).astype(float)
    design = member if covariates is None else np.hstack([member, covariates])
    beta = np.linalg.lstsq(design, X, rcond=None)[0]
    share = member.mean(0)
    grand = share @ beta[: len(levels)]
    sd = np.sqrt(np.square(X - design @ beta).mean(0))
    expected = grand + design[:, len(levels) :] @ beta[len(levels) :]
    standard = (X - expected) / sd
    out = np.empty_like(standard)
    for level in levels:
        own = standard[batch == level]
        n, shift = len(own), own.mean(0)
        scale = np.ones(X.shape[1]) if mean_only else own.var(0, ddof=1)
        if eb:
            g_bar, t2 = shift.mean(), shift.var(ddof=1)
            if mean_only:
                shift = (t2 * shift + g_bar) / (t2 + 1)
            else:
                shift, scale = _iterate(own, shift, scale, g_bar, t2, n)
        out[batch == level] = (own - shift) / np.sqrt(scale)
    return out * sd + expected


def _iterate(own: Any, shift: Any, scale: Any, g_bar: float, t2: float, n: int) -> tuple[Any, Any]:
    m, s2 = scale.mean(), scale.var(ddof=1)
    a, b = (2 * s2 + m * m) / s2, (m * s2 + m**3) / s2
    g, d, change = shift, scale, 1.0
    while change > 1e-4:
        g_new = (t2 * n * shift + d * g_bar) / (t2 * n + d)
        d_new = (0.5 * np.square(own - g_new).sum(0) + b) / (n / 2 + a - 1)
        change = max((np.abs(g_new - g) / g).max(), (np.abs(d_new - d) / d).max())
        g, d = g_new, d_new
    return g, d


def covbat(
    X: npt.NDArray[Any],
    batch: npt.NDArray[Any],
    covariates: npt.NDArray[np.float64] | None = None,
    *,
    eb: bool = True,
    explained: float = 0.95,
    components: int | None = None,
    scale: bool = True,
) -> npt.NDArray[np.float64]:
    """CovBat on the whole table as the paper has it (Chen et al. 2022): singular vectors of the residuals themselves.

    X: subjects x features; covariates: subjects x columns, numeric.
    """
    levels = np.unique(batch)
    member = (batch[:, None] == levels).astype(float)
    design = member if covariates is None else np.hstack([member, covariates])
    beta = np.linalg.lstsq(design, X, rcond=None)[0]
    sd = np.sqrt(np.square(X - design @ beta).mean(0))
    fitted = member.mean(0) @ beta[: len(levels)] + design[:, len(levels) :] @ beta[len(levels) :]
    z = (combat(X, batch, covariates, eb=eb) - fitted) / sd
    center = z.mean(0)
    spread = z.std(0) if scale else np.ones(X.shape[1])
    _, singular, axes = np.linalg.svd((z - center) / spread, full_matrices=False)
    scores = (z - center) / spread @ axes.T
    count = components
    if count is None:
        count = int(np.flatnonzero(np.cumsum(singular**2) / (singular**2).sum() > explained)[0]) + 1
    scores[:, :count] = combat(scores[:, :count], batch, eb=False)
    return (scores @ axes * spread + center) * sd + fitted
