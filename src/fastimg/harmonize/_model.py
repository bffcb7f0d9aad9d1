"""ComBat's estimates from sums: least squares with a term a batch, then (empirical Bayes) shift and scale a batch.

Johnson, Li & Rabinovic, Biostatistics 8:118 (2007); Fortin et al., NeuroImage 167:104 (2018). The batch terms are
projected out first (Frisch & Waugh), so that only the covariates' small matrix is inverted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from ._design import Design
from ._sums import Statistics

__all__ = ["Model", "solve"]

Array = npt.NDArray[np.float64]
_MOST_STEPS = 10_000


@dataclass(frozen=True)
class Model:
    """A fitted model. Arrays: features (p), batches (K) and design columns (q) as in `design`."""

    design: Design
    covariate_center: Array  # (q,)
    mean: Array  # (p,) grand mean, at the centre of the covariates
    beta: Array  # (q, p)
    var: Array  # (p,) pooled variance
    gamma_hat: Array  # (K, p) standardised
    delta_hat: Array
    gamma_star: Array
    delta_star: Array
    constant: npt.NDArray[np.bool_]  # (p,) features without variance: left as they are
    known: npt.NDArray[np.bool_]  # (K,) batches that had subjects
    levels: npt.NDArray[np.bool_]  # (q,) design columns that had subjects
    steps: int  # of the iteration, the most of any batch


def solve(
    stats: Statistics, *, parametric: bool, eb: bool, mean_only: bool, reference: Any, tolerance: float = 1e-4
) -> Model:
    """The model of these sums.

    Raises
    ------
    ArgumentError
        A batch with one subject (unless mean_only), covariates confounded with the batches, an unknown reference.
    """
    design = stats.design
    if "yy" not in stats.sums:
        raise ArgumentError("ComBat: these statistics are of the first round only (order=1)")
    ref = None
    if reference is not None:
        if reference not in design.batches or not stats.subjects[reference]:
            raise ArgumentError(f"reference: {reference!r} is not among the batches")
        ref = design.batches.index(reference)
    known = stats.sums["rows"] > 0
    alone = [str(b) for b, n in stats.subjects.items() if n == 1]
    if alone and not mean_only:
        raise ArgumentError(
            f"batch: {', '.join(alone[:5])} has a single subject: its scale cannot be estimated; join it to a "
            "similar batch, leave it out, or use mean_only=True"
        )
    # Everything about batch means; s is 1, or p where values are missing.
    n, rows = stats.sums["n"][known], stats.sums["rows"][known]
    if (n < (1 if mean_only else 2)).any():
        bad = int(np.flatnonzero((n < (1 if mean_only else 2)).any(0))[0])
        raise ArgumentError(
            f"X: feature {design.features[bad]!r} has fewer than two values in some batch; leave it out"
        )
    c, cc, y, yy, cy = (stats.sums[name][known] for name in ("c", "cc", "y", "yy", "cy"))
    ybar, cbar = y / n, c / n[:, None]
    syy = np.maximum(yy - y * ybar, 0.0)
    scc = cc - c[:, :, None] * cbar[:, None]
    scy = cy - c * ybar[:, None]
    levels = _levels(design, c, stats)
    keep = _kept(design, levels)
    beta = np.zeros((len(design.columns), y.shape[1]))
    if keep:
        _refuse_confounded(design, stats, keep, scc)
        inner = np.ix_(range(len(scc)), keep, keep)
        beta[keep] = _least_squares(scc[inner].sum(0), scy[:, keep].sum(0))
    level = ybar + stats.center[known] - np.einsum("kqs,qp->kp", cbar, beta) if keep else ybar + stats.center[known]
    if keep and cbar.shape[2] > 1:
        level = ybar + stats.center[known] - np.einsum("kqp,qp->kp", cbar, beta)
    rss = syy
    if keep:
        spread = np.einsum("kijs,jp->kip", scc, beta) if scc.shape[3] == 1 else np.einsum("kijp,jp->kip", scc, beta)
        rss = syy + np.einsum("kip,ip->kp", spread - 2 * scy, beta)
        rss = np.where(rss > 1e-13 * syy, rss, 0.0)
    position = None if ref is None else int(known[:ref].sum())
    if position is None:
        mean = (rows / rows.sum()) @ level
        var = rss.sum(0) / n.sum(0)
    else:
        mean, var = level[position], rss[position] / n[position]
    total = syy.sum(0) / n.sum(0)
    constant = (var <= 1e-13 * total) | (var <= 1e-26 * np.square(stats.center).max(0))
    usable = np.where(constant, 1.0, var)
    gamma_hat = (level - mean) / np.sqrt(usable)
    sums = rss / usable
    with np.errstate(invalid="ignore", divide="ignore"):
        delta_hat = np.ones_like(sums) if mean_only else sums / (n - 1)
    delta_hat = np.where(delta_hat <= 1e-26, 1.0, delta_hat)
    ok = ~constant
    gamma, delta, steps = gamma_hat.copy(), delta_hat.copy(), 0
    if eb and ok.any():
        width = np.broadcast_to(n, sums.shape)[:, ok]
        estimate = _parametric if parametric else _nonparametric
        gamma[:, ok], delta[:, ok], steps = estimate(
            gamma_hat[:, ok], delta_hat[:, ok], sums[:, ok], width, mean_only, position, tolerance
        )
    gamma[:, constant], delta[:, constant] = 0.0, 1.0
    if position is not None:
        gamma[position], delta[position] = 0.0, 1.0
    mean, beta = np.where(constant, 0.0, mean), np.where(constant, 0.0, beta)

    def full(part: Array, fill: float) -> Array:
        out = np.full((len(known), part.shape[1]), fill)
        out[known] = part
        return out

    return Model(
        design,
        stats.covariate_center,
        mean,
        beta,
        var,
        full(gamma_hat, 0.0),
        full(delta_hat, 1.0),
        full(gamma, 0.0),
        full(delta, 1.0),
        constant,
        known,
        levels,
        steps,
    )


def _levels(design: Design, c: Array, stats: Statistics) -> npt.NDArray[np.bool_]:
    """Design columns that occur: every numeric one, and levels with a subject."""
    counts = c.sum(0).max(-1) if c.size else np.zeros(len(design.columns))
    return np.array([level is None or counts[i] > 0 for i, (_, level) in enumerate(design.columns)], bool)


def _kept(design: Design, levels: npt.NDArray[np.bool_]) -> list[int]:
    """Columns of the regression: the first occurring level of a categorical covariate is its reference."""
    keep, seen = [], set()
    for index, (name, level) in enumerate(design.columns):
        if not levels[index]:
            continue
        if level is not None and name not in seen:
            seen.add(name)
            continue
        keep.append(index)
    return keep


def _refuse_confounded(design: Design, stats: Statistics, keep: list[int], scc: Array) -> None:
    """Covariates must vary inside the batches, and independently of one another."""
    inside = scc.sum(0)[np.ix_(keep, keep)].max(-1) if scc.shape[3] == 1 else scc.mean(3).sum(0)[np.ix_(keep, keep)]
    c, cc, n = stats.sums["c"].sum(0).mean(-1), stats.sums["cc"].sum(0).mean(-1), stats.sums["n"].sum(0).mean()
    whole = np.array([cc[i, i] - c[i] ** 2 / n for i in keep])
    own = np.diag(inside)
    for at, index in enumerate(keep):
        if own[at] <= 1e-10 * max(whole[at], 1e-300):
            name, level = design.columns[index]
            what = repr(name) if level is None else f"{name!r} (level {level!r})"
            raise ArgumentError(
                f"covariates: {what} does not vary inside any batch: it is confounded with the batches and cannot be "
                "kept while they are removed"
            )
    scale = np.sqrt(own)
    if np.linalg.eigvalsh(inside / np.outer(scale, scale))[0] < 1e-10:
        names = sorted({design.columns[i][0] for i in keep})
        raise ArgumentError(f"covariates: {', '.join(names)} are not independent of one another inside the batches")


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


def _parametric(
    g_hat: Array, d_hat: Array, sums: Array, n: Array, mean_only: bool, ref: int | None, tolerance: float
) -> tuple[Array, Array, int]:
    """Normal prior of the shifts, inverse gamma prior of the scales; iterated a batch at a time as sva's it.sol does.

    sums: squared deviations from the batch's mean. The change that ends the iteration is relative and signed, as there.
    """
    if g_hat.shape[1] < 2:
        raise ArgumentError("eb: empirical Bayes needs at least two features that vary; use eb=False")
    g_bar = g_hat.mean(1)[:, None]
    t2 = g_hat.var(1, ddof=1)[:, None]
    if mean_only:
        return (t2 * g_hat + g_bar) / (t2 + 1.0), np.ones_like(d_hat), 0
    m, s2 = d_hat.mean(1), d_hat.var(1, ddof=1)
    gamma, delta, most = g_hat.copy(), d_hat.copy(), 0
    for k in range(len(g_hat)):
        if k == ref:
            continue
        if s2[k] <= 1e-26 * m[k] ** 2:  # all scales alike: the prior has no width
            delta[k] = m[k]
            gamma[k] = (t2[k] * n[k] * g_hat[k] + delta[k] * g_bar[k]) / (t2[k] * n[k] + delta[k])
            continue
        a, b = (2 * s2[k] + m[k] ** 2) / s2[k], (m[k] * s2[k] + m[k] ** 3) / s2[k]
        g_old, d_old = g_hat[k], d_hat[k]
        for step in range(1, _MOST_STEPS + 1):  # noqa: B007
            g_new = (t2[k] * n[k] * g_hat[k] + d_old * g_bar[k]) / (t2[k] * n[k] + d_old)
            d_new = (0.5 * (sums[k] + n[k] * np.square(g_hat[k] - g_new)) + b) / (n[k] / 2.0 + a - 1.0)
            with np.errstate(invalid="ignore", divide="ignore"):
                change = max((np.abs(g_new - g_old) / g_old).max(), (np.abs(d_new - d_old) / d_old).max())
            g_old, d_old = g_new, d_new
            if not change > tolerance:
                break
        gamma[k], delta[k], most = g_old, d_old, max(most, step)
    return gamma, delta, most


def _nonparametric(
    g_hat: Array, d_hat: Array, sums: Array, n: Array, mean_only: bool, ref: int | None, tolerance: float
) -> tuple[Array, Array, int]:
    """Each feature's posterior mean over the estimates of all other features; likelihoods in logarithms."""
    if g_hat.shape[1] < 2:
        raise ArgumentError("eb: empirical Bayes needs at least two features that vary; use eb=False")
    gamma, delta = g_hat.copy(), d_hat.copy()
    block = max(1, (1 << 22) // g_hat.shape[1])
    for k in range(len(g_hat)):
        if k == ref:
            continue
        g, d = g_hat[k], d_hat[k]
        for begin in range(0, len(g), block):
            own = slice(begin, min(begin + block, len(g)))
            size = n[k, own, None]
            log = sums[k, own, None] + size * np.square(g[own, None] - g)
            log /= -2 * d
            log -= size / 2 * np.log(2 * math.pi * d)
            log[np.arange(log.shape[0]), np.arange(own.start, own.stop)] = -np.inf
            log -= log.max(1, keepdims=True)
            weight = np.exp(log, out=log)
            total = weight.sum(1)
            gamma[k, own] = weight @ g / total
            delta[k, own] = weight @ d / total
    return gamma, delta, 0
