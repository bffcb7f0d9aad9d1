"""ComBat's estimates from sums: least squares with a term a batch, then (empirical Bayes) shift and scale a batch.

Johnson, Li & Rabinovic, Biostatistics 8:118 (2007); Fortin et al., NeuroImage 167:104 (2018). The batch terms are
projected out first (Frisch & Waugh), so that only the covariates' small matrix is inverted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from ._design import Design
from ._regression import coefficients, kept, occurring, refuse_confounded
from ._sums import Statistics

__all__ = ["Model", "extended", "shrunk", "solve"]

Array = npt.NDArray[np.float64]
_MOST_STEPS = 10_000
_ONE = "1 feature(s)"


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
    parts = _Within(stats, known)
    n = parts.n
    if (n < (1 if mean_only else 2)).any():
        bad = int(np.flatnonzero((n < (1 if mean_only else 2)).any(0))[0])
        raise ArgumentError(
            f"X: feature {design.features[bad]!r} has fewer than two values in some batch; leave it out"
        )
    levels = occurring(design, parts.squares)
    keep = kept(design, levels)
    beta = np.zeros((len(design.columns), parts.syy.shape[1]))
    if keep:
        refuse_confounded(design, stats, keep, parts.scc)
        beta[keep] = coefficients(design, keep, parts)
    level, rss = parts.residual(beta)
    rows = stats.sums["rows"][known]
    position = None if ref is None else int(known[:ref].sum())
    if position is None:
        mean = (rows / rows.sum()) @ level
        var = rss.sum(0) / n.sum(0)
    else:
        mean, var = level[position], rss[position] / n[position]
    total = parts.syy.sum(0) / n.sum(0)
    constant = (var <= 1e-13 * total) | (var <= 1e-26 * np.square(stats.center).max(0))
    options = _Options(parametric, eb, mean_only, tolerance)
    gamma_hat, delta_hat, gamma, delta, steps = _estimates(level, rss, n, mean, var, constant, position, options)
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


@dataclass(frozen=True)
class _Options:
    parametric: bool
    eb: bool
    mean_only: bool
    tolerance: float


def _estimates(
    level: Array,
    rss: Array,
    n: Array,
    mean: Array,
    var: Array,
    constant: npt.NDArray[np.bool_],
    ref: int | None,
    options: _Options,
) -> tuple[Array, Array, Array, Array, int]:
    """Shift and scale of each batch, as they are (hat) and shrunk (star)."""
    usable = np.where(constant, 1.0, var)
    gamma_hat = (level - mean) / np.sqrt(usable)
    sums = rss / usable
    with np.errstate(invalid="ignore", divide="ignore"):
        delta_hat = np.ones_like(sums) if options.mean_only else sums / (n - 1)
    delta_hat = np.where(delta_hat <= 1e-26, 1.0, delta_hat)
    ok = ~constant
    gamma, delta, steps = gamma_hat.copy(), delta_hat.copy(), 0
    if options.eb and ok.any():
        width = np.broadcast_to(n, sums.shape)[:, ok]
        estimate = _parametric if options.parametric else _nonparametric
        gamma[:, ok], delta[:, ok], steps = estimate(
            gamma_hat[:, ok], delta_hat[:, ok], sums[:, ok], width, options.mean_only, ref, options.tolerance
        )
    gamma[:, constant], delta[:, constant] = 0.0, 1.0
    if ref is not None:
        gamma[ref], delta[ref] = 0.0, 1.0
    return gamma_hat, delta_hat, gamma, delta, steps


def shrunk(
    level: Array,
    rss: Array,
    n: Array,
    mean: Array,
    var: Array,
    constant: npt.NDArray[np.bool_],
    *,
    eb: bool,
    mean_only: bool,
) -> tuple[Array, Array, Array, Array, int]:
    """(gamma_hat, delta_hat, gamma_star, delta_star, steps) of means and sums of squares; iterated to the fixed point."""
    options = _Options(True, eb, mean_only, 1e-12)
    return _estimates(level, rss, n, mean, var, constant, None, options)


def extended(
    model: Model, stats: Statistics, *, parametric: bool, eb: bool, mean_only: bool, tolerance: float = 1e-4
) -> Model:
    """The model with the batches of `stats` added; slopes, grand mean and variance stay as they are.

    A batch's priors come from its own features, so that the others' estimates do not change either.
    """
    old, new = model.design, stats.design
    both = [str(label) for label in new.batches if label in old.batches and model.known[old.batches.index(label)]]
    if both:
        raise ArgumentError(f"batch: {', '.join(both[:5])} is already in the fit; transform its subjects as they are")
    if (stats.sums["rows"] < (1 if mean_only else 2)).any():
        raise ArgumentError("batch: a new batch needs at least two subjects (one with mean_only=True)")
    parts = _Within(stats, stats.sums["rows"] > 0)
    if (parts.n < (1 if mean_only else 2)).any():
        raise ArgumentError("X: a feature has fewer than two values in a new batch; leave the feature or the batch out")
    level, rss = parts.residual(model.beta)
    level = level + (model.covariate_center - stats.covariate_center) @ model.beta
    options = _Options(parametric, eb, mean_only, tolerance)
    gamma_hat, delta_hat, gamma, delta, steps = _estimates(
        level, rss, parts.n, model.mean, model.var, model.constant, None, options
    )
    design = old.union(new)
    at = [design.batches.index(label) for label in old.batches]
    to = [design.batches.index(label) for label in new.batches]

    def wider(before: npt.NDArray[Any], own: Any, fill: Any) -> npt.NDArray[Any]:
        out = np.full((len(design.batches), *before.shape[1:]), fill)
        out[at], out[to] = before, own
        return out

    return replace(
        model,
        design=design,
        known=wider(model.known, True, False),
        gamma_hat=wider(model.gamma_hat, gamma_hat, 0.0),
        delta_hat=wider(model.delta_hat, delta_hat, 1.0),
        gamma_star=wider(model.gamma_star, gamma, 0.0),
        delta_star=wider(model.delta_star, delta, 1.0),
        steps=max(model.steps, steps),
    )


class _Within:
    """Sums about the batch means, of the batches that have subjects. The last axis of c and cc is 1, or the features
    where values are missing."""

    def __init__(self, stats: Statistics, known: npt.NDArray[np.bool_]) -> None:
        self.n = stats.sums["n"][known]
        c, cc, y, yy, cy = (stats.sums[name][known] for name in ("c", "cc", "y", "yy", "cy"))
        with np.errstate(invalid="ignore", divide="ignore"):
            ybar, self.cbar = y / self.n, c / self.n[:, None]
        self.squares, self.level = np.einsum("kiis->kis", cc), ybar + stats.center[known]
        self.syy = np.maximum(yy - y * ybar, 0.0)
        self.scc = cc - c[:, :, None] * self.cbar[:, None]
        self.scy = cy - c * ybar[:, None]

    def residual(self, beta: Array) -> tuple[Array, Array]:
        """(mean, sum of squares about it) of each batch and feature without the covariates' effects."""
        if not len(beta):
            return self.level, self.syy
        missing = self.cbar.shape[2] > 1
        level = self.level - np.einsum("kqp,qp->kp" if missing else "kqs,qp->kp", self.cbar, beta)
        spread = np.einsum("kijp,jp->kip" if missing else "kijs,jp->kip", self.scc, beta)
        rss = self.syy + np.einsum("kip,ip->kp", spread - 2 * self.scy, beta)
        return level, np.where(rss > 1e-13 * self.syy, rss, 0.0)


def _parametric(
    g_hat: Array, d_hat: Array, sums: Array, n: Array, mean_only: bool, ref: int | None, tolerance: float
) -> tuple[Array, Array, int]:
    """Normal prior of the shifts, inverse gamma prior of the scales; iterated a batch at a time as sva's it.sol does.

    sums: squared deviations from the batch's mean. The change that ends the iteration is relative and signed, as there.
    """
    if g_hat.shape[1] < 2:
        raise ArgumentError(f"eb: empirical Bayes needs at least two features that vary, got {_ONE}; use eb=False")
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
        raise ArgumentError(f"eb: empirical Bayes needs at least two features that vary, got {_ONE}; use eb=False")
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
