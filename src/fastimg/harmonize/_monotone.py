"""Monotone transforms of features with inverse, and the tests that tell when one is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from ..errors import ArgumentError, FormatError

__all__ = ["MONOTONE", "Scale", "skewed", "tied"]

MONOTONE = (None, "signed-log", "rank-normal")
_SKEW = 3.0  # |skewness|; of an exponential distribution it is 2
_TIED = 1 / 3  # share of the rows that have the most frequent value
_KNOTS = 1000  # of a rank-normal scale, at most

Array = npt.NDArray[np.float64]


class Scale:
    """The scale where ComBat works: x itself, sign(x) log(1 + |x|), or normal scores of the ranks.

    Normal scores are Blom's, Phi^-1((rank - 3/8) / (n + 1/4)), ties at their mean rank; between the values of the fit and
    beyond their ends the map goes on linearly, so that it has an inverse everywhere.
    """

    def __init__(self, name: str | None, tables: Sequence[tuple[Array, Array]] = ()) -> None:
        self.name, self.tables = name, list(tables)

    @classmethod
    def of(cls, name: str | None, x: Any) -> Self:
        """The scale of this name; rank-normal learns from the values of x."""
        if name != "rank-normal":
            return cls(name)
        host = np.asarray(_dispatch.move(x, "cpu"), np.float64)
        return cls(name, [_normal_scores(column[np.isfinite(column)]) for column in host.T])

    def forward(self, x: Any) -> Any:
        """x on the scale where ComBat works; of the same type."""
        if self.name is None:
            return x
        xp = _dispatch.namespace(x)
        if self.name == "signed-log":
            return xp.copysign(xp.log1p(xp.abs(x)), x)
        return self._each(x, forward=True)

    def backward(self, x: Any) -> Any:
        """The inverse of `forward`."""
        if self.name is None:
            return x
        xp = _dispatch.namespace(x)
        if self.name == "signed-log":
            return xp.copysign(xp.expm1(xp.abs(x)), x)
        return self._each(x, forward=False)

    def _each(self, x: Any, *, forward: bool) -> Any:
        xp = _dispatch.namespace(x)
        out = xp.empty_like(x)
        for column, (values, scores) in enumerate(self.tables):
            source, target = (values, scores) if forward else (scores, values)
            if len(source) < 2:  # a constant feature: its score is 0
                out[:, column] = x[:, column] - source[0] + target[0] if len(source) else x[:, column]
                continue
            own = x[:, column].astype(np.float64)
            knots = [_dispatch.move(part, _dispatch.device(x)) for part in (source, target)]
            found = xp.interp(own, *knots)
            for end, inner in ((0, 1), (-1, -2)):
                slope = (target[end] - target[inner]) / (source[end] - source[inner])
                beyond = own < source[0] if end == 0 else own > source[-1]
                found = xp.where(beyond, target[end] + (own - source[end]) * slope, found)
            out[:, column] = found
        return out

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scale) or self.name != other.name or len(self.tables) != len(other.tables):
            return False
        pairs = zip(self.tables, other.tables, strict=True)
        return all(np.array_equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def to_list(self) -> list[list[list[float]]]:
        """The tables as plain values for JSON."""
        return [[values.tolist(), scores.tolist()] for values, scores in self.tables]

    @classmethod
    def from_list(cls, name: str | None, record: Any, features: int) -> Self:
        """The inverse of `to_list`."""
        if name != "rank-normal":
            return cls(name)
        tables = [(np.array(values, np.float64), np.array(scores, np.float64)) for values, scores in record]
        for values, scores in tables:
            if values.ndim != 1 or values.shape != scores.shape or not np.isfinite([values, scores]).all():
                raise FormatError("scale: the tables are damaged")
            if (np.diff(values) <= 0).any() or (np.diff(scores) <= 0).any():
                raise FormatError("scale: the tables do not rise")
        if len(tables) != features:
            raise FormatError("scale: not one table a feature")
        return cls(name, tables)


def _normal_scores(values: Array) -> tuple[Array, Array]:
    from scipy.special import ndtri

    if not values.size:
        return np.empty(0), np.empty(0)
    unique, counts = np.unique(values, return_counts=True)
    last = np.cumsum(counts)
    scores = ndtri((last - (counts - 1) / 2 - 0.375) / (values.size + 0.25))
    if len(unique) > _KNOTS:
        at = np.unique(np.round(np.linspace(0, len(unique) - 1, _KNOTS)).astype(np.intp))
        unique, scores = unique[at], scores[at]
    return unique, scores


def skewed(x: Any, names: Sequence[str]) -> list[str]:
    """Features whose sample skewness is beyond 3, looked at in up to 400 evenly spaced rows."""
    if x.shape[0] < 8:
        return []
    some = _some(x, 400)
    count = np.full(some.shape[1], float(some.shape[0]))
    bad = ~np.isfinite(some)
    some[bad] = 0.0
    count -= bad.sum(0)
    some -= some.sum(0) / np.maximum(count, 1)
    some[bad] = 0.0
    square = some * some
    second, third = square.sum(0) / np.maximum(count, 1), np.einsum("ij,ij->j", square, some) / np.maximum(count, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        skew = np.abs(third) / second**1.5
    return [name for name, value in zip(names, skew, strict=True) if value > _SKEW]


def tied(x: Any, names: Sequence[str]) -> list[str]:
    """Features of which more than a third of the rows (and not all) have one value, looked at in up to 128 rows."""
    if x.shape[0] < 8:
        return []
    some = np.sort(_some(x, 128).T, axis=1)
    width = int(len(some.T) * _TIED)
    same = some[:, width:] == some[:, : some.shape[1] - width]
    found = same.any(1) & (some[:, 0] != some[:, -1])
    return [name for name, flag in zip(names, found, strict=True) if flag]


def _some(x: Any, rows: int) -> Array:
    return np.array(_dispatch.move(x[:: -(-x.shape[0] // rows)], "cpu"), np.float64)


def check_scale(one: Scale, two: Scale) -> None:
    """Sums taken on different scales do not add."""
    if one != two:
        raise ArgumentError("merge: the two were fitted with different monotone transforms")
