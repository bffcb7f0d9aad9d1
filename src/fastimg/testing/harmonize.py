"""Twins of fastimg.harmonize."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["affine", "bands", "clahe", "combat", "covbat", "fuzzy_c_means", "piecewise", "window"]


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


def fuzzy_c_means(
    values: npt.NDArray[np.float64], centers: npt.ArrayLike, *, fuzziness: float = 2.0, iterations: int = 500
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(centres, memberships (classes, values)): Bezdek's two steps voxel by voxel, from the given centres."""
    now = np.asarray(centers, np.float64)
    for _ in range(iterations):
        apart = np.maximum(np.abs(values - now[:, None]), 1e-12)
        share = apart ** (-2 / (fuzziness - 1))
        share /= share.sum(0)
        now = (share**fuzziness @ values) / (share**fuzziness).sum(1)
    order = np.argsort(now)
    return now[order], share[order]


def bands(slices: npt.NDArray[Any], sigmas: npt.ArrayLike) -> list[npt.NDArray[np.float64]]:
    """Differences of in-plane Gaussians of growing width (voxels), and what is left: they add up to the image."""
    from scipy.ndimage import gaussian_filter

    smooth = [np.asarray(slices, np.float64)]
    smooth += [gaussian_filter(smooth[0], (0, s, s), mode="reflect") for s in np.asarray(sigmas).tolist()]
    return [a - b for a, b in pairwise(smooth)] + smooth[-1:]


def clahe(
    volume: npt.NDArray[Any], tile: tuple[int, ...], clip: float = 0.01, bins: int = 256
) -> npt.NDArray[np.float64]:
    """Zuiderveld's method with scikit-image's conventions, a voxel at a time, any number of axes."""
    low, high = float(volume.min()), float(volume.max())
    step = 1 + 16384 // bins
    levels = (np.floor((volume - low) * (16383 / (high - low)) + 0.5) // step).astype(int)
    maps = {}
    for at in np.ndindex(*(-(-n // k) for n, k in zip(volume.shape, tile, strict=True))):
        places = [[_mirror(t * k + d, n) for d in range(k)] for t, k, n in zip(at, tile, volume.shape, strict=True)]
        counts = np.bincount(levels[np.ix_(*places)].ravel(), minlength=bins).tolist()
        total = sum(counts)
        if clip > 0:
            _clip(counts, max(1, int(clip * total)))
        maps[at] = np.floor(np.minimum(np.cumsum(counts) * (16383 / total), 16383))
    most = [max(at[axis] for at in maps) for axis in range(volume.ndim)]
    out = np.zeros(volume.shape)
    for index in np.ndindex(*volume.shape):
        for corner in np.ndindex(*(2,) * volume.ndim):
            weight, place = 1.0, []
            for i, k, e, last in zip(index, tile, corner, most, strict=True):
                block, rest = divmod(i + k // 2, k)
                weight *= rest / k if e else 1 - rest / k
                place.append(min(max(block - 1 + e, 0), last))
            out[index] += weight * maps[tuple(place)][levels[index]]
    return (out - out.min()) / (out.max() - out.min())


def _mirror(index: int, length: int) -> int:
    while length > 1 and not 0 <= index < length:
        index = -index if index < 0 else 2 * (length - 1) - index
    return index if length > 1 else 0


def _clip(counts: list[int], limit: int) -> None:
    excess = sum(max(0, c - limit) for c in counts)
    each = excess // len(counts)
    for i, c in enumerate(counts):
        new = min(c, limit)
        if new < limit - each:
            new += each
        if limit - each <= new < limit:
            new = limit
        excess -= new - min(c, limit)
        counts[i] = new
    while excess > 0:
        before = excess
        for first in range(len(counts)):
            step = max(1, sum(c < limit for c in counts) // excess)
            for i in range(first, len(counts), step):
                if counts[i] < limit:
                    counts[i] += 1
                    excess -= 1
            if excess <= 0:
                break
        if excess == before:
            break


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
