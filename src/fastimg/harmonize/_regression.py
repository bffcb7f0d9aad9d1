"""Slopes of the covariates inside the batches: ordinary or penalised least squares from sums, and its guards."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from ._design import Column, Design
from ._sums import Statistics

__all__ = ["coefficients", "kept", "occurring", "refuse_confounded"]

Array = npt.NDArray[np.float64]
# Weights tried by generalised cross-validation, relative to the one that halves the median direction of the smooth part.
_GRID = 10.0 ** np.linspace(-6, 6, 121)


def occurring(design: Design, squares: Array) -> npt.NDArray[np.bool_]:
    """Design columns that occur: every numeric one, and levels with a subject; squares: (batches, columns, 1 or p)."""
    counts = squares.sum(0).max(-1) if squares.size else np.zeros(len(design.columns))
    return np.array([level is None or counts[i] > 0 for i, (_, level) in enumerate(design.columns)], bool)


def kept(design: Design, levels: npt.NDArray[np.bool_]) -> list[int]:
    """Columns of the regression: the first occurring level of a categorical covariate is its reference."""
    first: dict[str, Any] = {}
    for index, (name, level) in enumerate(design.columns):
        if levels[index] and level is not None and not isinstance(level, tuple):
            first.setdefault(name, level)
    products = {":".join(names): names for names in design.interactions}
    keep = []
    for index, (name, level) in enumerate(design.columns):
        if not levels[index]:
            continue
        if isinstance(level, tuple):
            parts = zip(products.get(name, ()), level, strict=False)
            if not any(part is not None and part == first.get(own) for own, part in parts):
                keep.append(index)
        elif level is None or level != first[name]:
            keep.append(index)
    return keep


def refuse_confounded(design: Design, stats: Statistics, keep: list[int], scc: Array) -> None:
    """Covariates must vary inside the batches, and independently of one another."""
    keep = [i for i in keep if not _is_penalised(design, design.columns[i])]
    inside = scc.sum(0)[np.ix_(keep, keep)].max(-1) if scc.shape[3] == 1 else scc.mean(3).sum(0)[np.ix_(keep, keep)]
    c, cc, n = stats.sums["c"].sum(0).mean(-1), stats.sums["cc"].sum(0).mean(-1), stats.sums["n"].sum(0).mean()
    whole = np.array([cc[i, i] - c[i] ** 2 / n for i in keep])
    own = np.diag(inside)
    for at, index in enumerate(keep):
        if own[at] <= 1e-10 * max(whole[at], 1e-300):
            name, level = design.columns[index]
            what = repr(name) if level is None or isinstance(level, tuple) else f"{name!r} (level {level!r})"
            raise ArgumentError(
                f"covariates: {what} does not vary inside any batch: it is confounded with the batches and cannot be "
                "kept while they are removed"
            )
    scale = np.sqrt(own)
    if keep and np.linalg.eigvalsh(inside / np.outer(scale, scale))[0] < 1e-10:
        names = sorted({design.columns[i][0] for i in keep})
        raise ArgumentError(f"covariates: {', '.join(names)} are not independent of one another inside the batches")


def _is_penalised(design: Design, column: Column) -> bool:
    return isinstance(column[1], tuple) and column[0] in design.splines and design.splines[column[0]].penalty != 0


def coefficients(design: Design, keep: list[int], within: Any) -> Array:
    """Slopes of the columns `keep`, (columns, features), from sums inside the batches."""
    scc = within.scc[np.ix_(range(len(within.scc)), keep, keep)].sum(0)
    scy = within.scy[:, keep].sum(0)
    roughness = _roughness(design, keep)
    if roughness is None:
        return _least_squares(scc, scy)
    fixed, free = roughness
    if free is None:
        return _least_squares(scc + fixed[:, :, None], scy)
    syy, n = within.syy.sum(0), np.broadcast_to(within.n.sum(0), (scy.shape[1],))
    batches = len(within.n)
    if scc.shape[2] == 1:
        return _cross_validated(scc[:, :, 0] + fixed, scc[:, :, 0], free, scy, syy, n, batches)
    found = np.empty_like(scy)
    for j in range(scy.shape[1]):
        one = slice(j, j + 1)
        found[:, one] = _cross_validated(
            scc[:, :, j] + fixed, scc[:, :, j], free, scy[:, one], syy[one], n[one], batches
        )
    return found


def _roughness(design: Design, keep: list[int]) -> tuple[Array, Array | None] | None:
    """(penalties of given weight, penalties whose common weight is to be found or None); None without splines."""
    if not design.splines:
        return None
    place = {design.columns[index]: at for at, index in enumerate(keep)}
    fixed, free, search = np.zeros((len(keep), len(keep))), np.zeros((len(keep), len(keep))), False
    for name, spline in design.splines.items():
        inner = [i for i in range(spline.columns) if (name, ("spline", i)) in place]
        at = [place[name, ("spline", i)] for i in inner]
        matrix = spline.roughness()[np.ix_(inner, inner)]
        if spline.penalty == "gcv":
            search = True
            free[np.ix_(at, at)] += matrix / max(np.trace(matrix), 1e-300)
        else:
            fixed[np.ix_(at, at)] += spline.penalty * matrix
    return fixed, free if search else None


def _cross_validated(
    a: Array, plain: Array, penalty: Array, scy: Array, syy: Array, n: npt.NDArray[Any], batches: int
) -> Array:
    """argmin over w of n RSS / (n - edf)^2 with beta = (a + w penalty)^-1 scy, a feature at a time; Craven & Wahba 1979.

    In the basis where a is the identity and the penalty diagonal, all weights share one decomposition.
    """
    try:
        root = np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        raise ArgumentError(
            "smooth: too few subjects between the knots; take fewer or give the spline a range"
        ) from None
    half = np.linalg.solve(root, penalty)
    strength, axes = np.linalg.eigh(np.linalg.solve(root, half.T))
    # what the penalty leaves free is not shrunk: rounding would be, by large weights
    strength = np.where(strength > 1e-12 * strength.max(initial=0.0), strength, 0.0)
    back = np.linalg.solve(root.T, axes)  # beta = back @ (shrunk coordinates)
    inside, t = back.T @ plain @ back, back.T @ scy
    positive = strength[strength > 0]
    weights = _GRID / (np.median(positive) if positive.size else 1.0)
    best = np.full(scy.shape[1], np.inf)
    beta = np.empty_like(scy)
    for weight in weights:
        shrink = 1 / (1 + weight * strength)
        u = shrink[:, None] * t
        rss = syy - 2 * (u * t).sum(0) + np.einsum("ip,ij,jp->p", u, inside, u)
        edf = batches + (shrink * np.diag(inside)).sum()
        score = n * np.maximum(rss, 0.0) / np.square(np.maximum(n - edf, 1e-3))
        better = score < best
        best[better] = score[better]
        beta[:, better] = back @ u[:, better]
    return beta


def _least_squares(scc: Array, scy: Array) -> Array:
    """Solve scc beta = scy, scaled to a unit diagonal; scc is (q, q, 1) or (q, q, p)."""
    if scc.shape[2] == 1:
        scale = np.sqrt(np.diagonal(scc[:, :, 0]))
        return np.asarray(np.linalg.solve(scc[:, :, 0] / np.outer(scale, scale), scy / scale[:, None]) / scale[:, None])
    each = scc.transpose(2, 0, 1)
    scale = np.sqrt(np.diagonal(each, axis1=1, axis2=2))
    if (scale == 0).any():
        raise ArgumentError(
            "covariates: one does not vary among the subjects whose value of some feature is not missing"
        )
    solved = np.linalg.solve(each / (scale[:, :, None] * scale[:, None]), (scy.T / scale)[:, :, None])
    return np.asarray((solved[:, :, 0] / scale).T)
