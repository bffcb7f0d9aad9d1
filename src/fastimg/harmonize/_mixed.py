"""Linear mixed models with a random intercept a subject, all features at once, by restricted maximum likelihood.

y = X b + u(subject) + e, with var u = ratio * var e. The inverse covariance of a subject's n rows is I - 11' ratio / (1 +
n ratio), so the criterion of Laird & Ware (Biometrics 38:963, 1982), profiled down to the ratio,

    (N - p) log RSS(ratio) + log |X'WX| + sum over subjects log(1 + n ratio),

needs of the data only X'X, X'y, y'y and the same products of subjects' sums, one set for each number of rows a subject.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Mixed", "fit_mixed"]

Array = npt.NDArray[np.float64]
_RATIOS = np.concatenate([[0.0], 10.0 ** np.linspace(-6, 6, 73)])
_STEPS = 45  # of the golden section: 0.618^45 of two grid steps


@dataclass(frozen=True)
class Mixed:
    """A fit. p features, q columns, s subjects."""

    coefficients: Array  # (q, p)
    intercepts: Array  # (s, p) best linear unbiased predictions
    variance: Array  # (p,) of e, RSS / (N - q)
    ratio: Array  # (p,) var u / var e


class _Sums:
    def __init__(self, X: Array, Y: Array, subject: npt.NDArray[Any]) -> None:
        self.rows = np.bincount(subject).astype(np.float64)
        self.n, self.q = X.shape
        x, y = _by_subject(X, subject), _by_subject(Y, subject)
        self.sizes = np.unique(self.rows)
        self.members = np.array([(self.rows == size).sum() for size in self.sizes], np.float64)
        self.xx, self.xy, self.yy = X.T @ X, X.T @ Y, np.einsum("ij,ij->j", Y, Y)
        own = [self.rows == size for size in self.sizes]
        self.gxx = np.stack([x[at].T @ x[at] for at in own])
        self.gxy = np.stack([x[at].T @ y[at] for at in own])
        self.gyy = np.stack([np.einsum("ij,ij->j", y[at], y[at]) for at in own])

    def solve(self, ratio: Array) -> tuple[Array, Array, Array]:
        """(coefficients, RSS, criterion) of each feature at its ratio; or of all features at one (shape (1,))."""
        factor = ratio[:, None] / (1 + ratio[:, None] * self.sizes)
        a = self.xx - np.einsum("fm,mij->fij", factor, self.gxx)
        wide = np.broadcast_to(factor, (self.xy.shape[1], len(self.sizes)))
        b = self.xy - np.einsum("fm,mif->if", wide, self.gxy)
        c = self.yy - np.einsum("fm,mf->f", wide, self.gyy)
        if len(ratio) == 1:
            beta = np.linalg.solve(a[0], b)
        else:
            beta = np.linalg.solve(a, b.T[:, :, None])[:, :, 0].T
        rss = np.maximum(c - (b * beta).sum(0), 1e-300)
        logs = np.log1p(ratio[:, None] * self.sizes) @ self.members + np.linalg.slogdet(a)[1]
        return beta, rss, (self.n - self.q) * np.log(rss) + logs


def fit_mixed(X: Array, Y: Array, subject: npt.NDArray[Any]) -> Mixed:
    """Fit each column of Y on the columns of X (of full rank) and an intercept a subject (codes from 0)."""
    center, spread = Y.mean(0), np.abs(Y - Y.mean(0)).max(0)
    spread = np.where(spread > 0, spread, 1.0)
    column = np.sqrt(np.square(X).mean(0))
    sums = _Sums(X / column, (Y - center) / spread, subject)
    found = np.stack([sums.solve(np.array([ratio]))[2] for ratio in _RATIOS])
    best = found.argmin(0)
    low = np.log(_RATIOS[np.clip(best - 1, 1, len(_RATIOS) - 1)])
    high = np.log(_RATIOS[np.clip(best + 1, 2, len(_RATIOS) - 1)])
    ratio = np.exp(_golden(lambda at: sums.solve(np.exp(at))[2], low, high))
    score = sums.solve(ratio)[2]
    ratio = np.where(score < found[0], ratio, 0.0)  # no variance between subjects, the border
    beta, rss, _ = sums.solve(ratio)
    residual = (Y - center) / spread - X / column @ beta
    total = _by_subject(residual, subject)
    intercepts = ratio * total / (1 + ratio * sums.rows[:, None]) * spread
    coefficients = beta / column[:, None] * spread
    # The batches' columns add up to one: the centre goes back through the least-squares image of a constant.
    coefficients += np.outer(np.linalg.lstsq(X, np.ones(len(X)), rcond=None)[0], center)
    return Mixed(coefficients, intercepts, rss / (sums.n - sums.q) * spread**2, ratio)


def _golden(value: Any, low: Array, high: Array) -> Array:
    """The place of the least value between low and high, each element on its own."""
    share = (np.sqrt(5) - 1) / 2
    a, b = low.copy(), high.copy()
    one, two = b - share * (b - a), a + share * (b - a)
    at_one, at_two = value(one), value(two)
    for _ in range(_STEPS):
        left = at_one < at_two
        a, b = np.where(left, a, one), np.where(left, two, b)
        fresh = np.where(left, b - share * (b - a), a + share * (b - a))
        at_fresh = value(fresh)
        one, two = np.where(left, fresh, two), np.where(left, one, fresh)
        at_one, at_two = np.where(left, at_fresh, at_two), np.where(left, at_one, at_fresh)
    return np.asarray((a + b) / 2)


def _by_subject(values: Array, subject: npt.NDArray[Any]) -> Array:
    order = np.argsort(subject, kind="stable")
    starts = np.searchsorted(subject[order], np.arange(subject.max() + 1))
    return np.add.reduceat(values[order], starts, axis=0)
