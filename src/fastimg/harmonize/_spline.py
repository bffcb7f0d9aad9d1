"""Spline: a smooth effect of a numeric covariate, as columns of the design and a penalty on their roughness.

Wood, Generalized Additive Models (2017), section 5.3; as in ComBat-GAM (Pomponio et al., NeuroImage 208:116450, 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError

__all__ = ["Spline"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spline:
    """B-splines over [low, high]; the first of them is left out, since the batches have a constant each.

    Parameters
    ----------
    low, high : float
        The range, in the covariate's unit. A subject outside is refused: nothing is known of the effect there.
    inner : sequence of float
        Knots strictly inside the range.
    degree : int
        3: cubic.
    penalty : float or "gcv"
        Weight of the integrated squared second derivative, beside the sum of squares; "gcv" chooses one a feature by generalised cross-validation.

    Examples
    --------
    >>> from fastimg.harmonize import Spline
    >>> Spline(20, 80, [40, 60]).columns
    5
    """

    low: float
    high: float
    inner: tuple[float, ...] = ()
    degree: int = 3
    penalty: float | Literal["gcv"] = "gcv"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", tuple(float(knot) for knot in self.inner))
        for name in ("low", "high"):
            object.__setattr__(self, name, float(getattr(self, name)))
        knots = (self.low, *self.inner, self.high)
        if not np.isfinite(knots).all() or any(a >= b for a, b in pairwise(knots)):
            raise ArgumentError("Spline: low, the inner knots and high must be finite and rise")
        if isinstance(self.degree, bool) or not isinstance(self.degree, int) or not 1 <= self.degree <= 5:
            raise ArgumentError(f"degree: must be a whole number from 1 to 5, got {self.degree!r}")
        if self.penalty != "gcv":
            weight = self.penalty
            if isinstance(weight, (bool, str)) or not np.isfinite(weight) or weight < 0:
                raise ArgumentError(f"penalty: must be 'gcv' or a number of at least 0, got {weight!r}")

    @classmethod
    def of(
        cls,
        values: npt.ArrayLike,
        df: int = 10,
        *,
        low: float | None = None,
        high: float | None = None,
        degree: int = 3,
        penalty: float | Literal["gcv"] = "gcv",
    ) -> Self:
        """Knots at quantiles of these values, `df` splines with the one left out; the range is theirs unless given.

        Raises ArgumentError for values that are not finite, or `df` below degree + 1.
        """
        array = np.asarray(values, np.float64)
        if not array.size or not np.isfinite(array).all():
            raise ArgumentError("Spline.of: expected finite values, at least one")
        if df < degree + 1:
            raise ArgumentError(f"df: must be at least degree + 1 = {degree + 1}, got {df!r}")
        ends = (float(array.min()) if low is None else low, float(array.max()) if high is None else high)
        inner = np.quantile(array, np.linspace(0, 1, df - degree + 1)[1:-1])
        unique = tuple(float(knot) for knot in np.unique(inner) if ends[0] < knot < ends[1])
        return cls(*ends, unique, degree, penalty)

    @property
    def columns(self) -> int:
        """Number of design columns."""
        return len(self.inner) + self.degree

    def basis(self, name: str, values: Array) -> Array:
        """(values, columns). Raises ArgumentError outside the range. `name` is told in the error."""
        from scipy.interpolate import BSpline

        if ((values < self.low) | (values > self.high)).any():
            raise ArgumentError(f"covariates: {name!r} leaves the range of its spline, {self.low:g} to {self.high:g}")
        return np.asarray(BSpline.design_matrix(values, self._knots(), self.degree).toarray()[:, 1:])

    def roughness(self) -> Array:
        """(columns, columns): integrals of products of second derivatives; exact up to cubic splines and beyond.

        Gauss-Legendre with `degree` points integrates their pieces, polynomials of degree 2 (degree - 2), exactly.
        """
        from scipy.interpolate import BSpline

        if self.degree < 2:
            return np.zeros((self.columns, self.columns))
        knots = self._knots()
        second = BSpline(knots, np.eye(self.columns + 1), self.degree).derivative(2)
        nodes, weights = np.polynomial.legendre.leggauss(self.degree)
        found = np.zeros((self.columns, self.columns))
        ends = (self.low, *self.inner, self.high)
        for a, b in pairwise(ends):
            at = np.asarray(second((a + b) / 2 + nodes * (b - a) / 2))[:, 1:]
            found += (at.T * (weights * (b - a) / 2)) @ at
        return found

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "low": self.low,
            "high": self.high,
            "inner": list(self.inner),
            "degree": self.degree,
            "penalty": self.penalty,
        }

    def _knots(self) -> Array:
        pad = self.degree + 1
        return np.array([*[self.low] * pad, *self.inner, *[self.high] * pad])
