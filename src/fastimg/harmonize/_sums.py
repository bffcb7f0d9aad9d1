"""Statistics: the sums over subjects that ComBat needs. They add over chunks, files and federated sources.

For batch k, feature f and covariate columns c (all levels of a categorical covariate have a column), with public
centres m[k, f] and a[c]:

    n = subjects,  c = sum (c - a),  cc = sum (c - a)(c - a)',  y = sum (y - m),  yy = sum (y - m)^2,
    cy = sum (c - a)(y - m)

From these the least-squares fit, the pooled and the batch variances, and both kinds of empirical Bayes estimates follow
without the data (_model.py). Error: a centre that is t standard deviations from the mean costs about
t^2 x 1e-16 relative in a variance; with means from a first round t is about 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import native, thread_count
from ..errors import ArgumentError
from ._design import Design, columns_of, feature_names, labels, table

__all__ = ["Statistics", "matrix"]

Array = npt.NDArray[np.float64]
_LOOK = 8  # rows a batch whose mean is the centre where none is given
_FIRST = ("rows", "n", "y")
_ALL = ("rows", "n", "c", "cc", "y", "yy", "cy")
_PRODUCTS = "dd"  # sum (y - m)(y - m)' a batch, for CovBat alone


def matrix(X: Any, features: tuple[str, ...] | None = None) -> Any:
    """X as subjects x features: float32 or float64, C-contiguous; the names of a table's columns are checked."""
    if type(X).__module__.startswith("scipy.sparse"):
        raise ArgumentError("X: sparse input is not supported; pass X.toarray()")
    names = feature_names(X)
    if names is not None:
        if features is not None and tuple(names) != features:
            raise ArgumentError(_wrong_names(names, features))
        columns = table(X)
        X = np.column_stack([np.asarray(columns[name], np.float64) for name in names]) if columns else np.empty((0, 0))
    array = X if hasattr(X, "shape") and hasattr(X, "dtype") else np.asarray(X)
    if array.ndim != 2:
        raise ArgumentError(f"X: expected subjects x features, got {array.ndim} axes. Reshape your data")
    if array.dtype == object:
        array = _numbers(array)
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"X: expected real numbers, got dtype {array.dtype}. Complex data not supported")
    if array.shape[1] == 0:
        raise ArgumentError(f"X: 0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if features is not None and array.shape[1] != len(features):
        raise ArgumentError(
            f"X has {array.shape[1]} features, but ComBat is expecting {len(features)} features as input"
        )
    return native(array)


def _numbers(array: Any) -> Array:
    try:
        return np.asarray(array.astype(np.float64))
    except TypeError as error:
        raise TypeError(f"X: expected real numbers: {error}") from None
    except ValueError as error:
        raise ArgumentError(f"X: expected real numbers: {error}") from None


def _wrong_names(names: list[str], features: tuple[str, ...]) -> str:
    if sorted(names) == sorted(features):
        at = next(i for i, (a, b) in enumerate(zip(names, features, strict=True)) if a != b)
        return (
            f"X: the columns are in another order than in the fit: column {at} is {names[at]!r}, not {features[at]!r}"
        )
    missing, extra = sorted(set(features) - set(names))[:5], sorted(set(names) - set(features))[:5]
    return f"X: the columns are not those of the fit: missing {missing}, unknown {extra}"


class Statistics:
    """Sums about a centre; add them with `+`, and give the total to `ComBat.from_statistics`.

    One round, where public centres are at hand (`center` is a value a feature, or a value a batch and feature):

    >>> import numpy as np, fastimg as fi
    >>> from fastimg.harmonize import Design, Statistics
    >>> X, batch = np.arange(12.0).reshape(6, 2) ** 2, list("AABBBA")
    >>> design = Design(["f0", "f1"], ["A", "B"])
    >>> parts = [Statistics.of(X[s], batch=batch[s], design=design, center=[30, 40]) for s in (slice(3), slice(3, 6))]

    Two rounds, where none are: every source sends `arrays()` of `order=1` (subjects and sums a batch), the centre is
    the `means()` of their total, and the second round is the one above. Sums over sources add arrays of equal names:

    >>> total = {name: sum(p.arrays()[name] for p in parts) for name in parts[0].arrays()}
    >>> whole = Statistics.from_arrays(design, total, center=[30, 40])
    >>> bool(np.allclose(whole.means(), [X[[0, 1, 5]].mean(0), X[2:5].mean(0)]))
    True

    Parameters
    ----------
    design : Design
        Features, batches and covariates; the same at every source.
    sums : mapping of str to float64 array
        The arrays that `arrays` gives. `Statistics.of` makes them from data, `Statistics.from_arrays` checks those of others.
    center : float, (features,) or (batches, features)
        What the values of features are taken about before they are summed, in the features' units.
    covariate_center : float or (numeric covariates,)
        Likewise for the numeric covariates. Default 0.

    Raises
    ------
    ArgumentError
        A centre or a sum of another shape, a centre that is not finite.
    """

    __slots__ = ("center", "covariate_center", "design", "missing", "sums")

    def __init__(
        self, design: Design, sums: Mapping[str, Array], *, center: npt.ArrayLike, covariate_center: npt.ArrayLike = 0.0
    ) -> None:
        batches, features, columns = len(design.batches), len(design.features), len(design.columns)
        self.design = design
        self.sums: dict[str, Array] = dict(sums)
        self.center: Array = _spread("center", center, (batches, features))
        self.covariate_center: Array = _centre_of_covariates(design, covariate_center)
        self.missing = self.sums["n"].shape[1] != 1
        width = features if self.missing else 1
        expected = {
            "rows": (batches,),
            "n": (batches, width),
            "c": (batches, columns, width),
            "cc": (batches, columns, columns, width),
            "y": (batches, features),
            "yy": (batches, features),
            "cy": (batches, columns, features),
            _PRODUCTS: (batches, features, features),
        }
        for name, array in self.sums.items():
            if array.shape != expected.get(name):
                raise ArgumentError(f"Statistics: {name} has shape {array.shape}, expected {expected.get(name)}")

    # making -----------------------------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        X: Any,
        *,
        batch: Any,
        covariates: Any = None,
        design: Design | None = None,
        center: npt.ArrayLike | None = None,
        covariate_center: npt.ArrayLike | None = None,
        categorical: tuple[str, ...] = (),
        missing: str = "error",
        order: int = 2,
        products: bool = False,
        threads: int | None = None,
    ) -> Self:
        """Sum over the rows of X.

        Parameters
        ----------
        X : array or table, subjects x features
            float32 or float64 (others are converted); NumPy or CuPy.
        batch : sequence
            A label a subject.
        covariates : table, mapping or array, optional
            Numeric and categorical ones.
        design : Design, optional
            Features, batches and levels agreed on beforehand; default: those of these rows.
        center : (batches, features) or (features,) array_like, optional
            Default: for each batch the mean of its first rows here.
        covariate_center : one number a numeric covariate, optional
            Default: the means here, or 0 where `center` is given.
        categorical : sequence of str
            Numeric-looking covariates that are categories; only without `design`.
        missing : {"error", "skip"}
            What NaN in X does; "skip" keeps counts a feature (and larger sums).
        order : {1, 2}
            1: only subjects and sums a batch, for the first of two rounds.
        products : bool
            Sum the products of all pairs of features too, features^2 numbers a batch, for `CovBat.from_statistics`.
        threads : int, optional
            Default: `config.threads()`.
        """
        x = matrix(X, None if design is None else tuple(design.features))
        count = x.shape[0]
        if design is None:
            names = feature_names(X) or [f"f{i}" for i in range(x.shape[1])]
            design = Design.of(names, labels(batch, "batch", count), columns_of(covariates, count), categorical)
        codes, columns = design.encode(batch, covariates, count)
        is_numeric = np.array([level is None for _, level in design.columns], bool)
        if covariate_center is None:
            covariate_center = columns[:, is_numeric].mean(0) if count and center is None else 0.0
        about_c = _centre_of_covariates(design, covariate_center)
        columns = np.ascontiguousarray(columns - about_c)
        about = _first_means(x, codes, len(design.batches)) if center is None else center
        about = _spread("center", about, (len(design.batches), len(design.features)))
        sums = _summed(x, codes, columns, about, missing == "skip", thread_count(threads))
        if not np.isfinite(sums["yy"]).all():
            bad = int(np.flatnonzero(~np.isfinite(sums["yy"]).all(0))[0])
            raise ArgumentError(
                f"X: feature {design.features[bad]!r} has NaN, infinite or very large values; "
                + ("remove them" if missing == "skip" else "impute them, or pass missing='skip' for NaN")
            )
        kept = {name: sums[name] for name in (_FIRST if order == 1 else _ALL)}
        if products:
            if missing == "skip":
                raise ArgumentError("missing: products of features need every value; impute them")
            kept[_PRODUCTS] = _products(x, codes, about)
        return cls(design, kept, center=about, covariate_center=about_c[is_numeric])

    @classmethod
    def from_arrays(
        cls,
        design: Design,
        arrays: Mapping[str, npt.ArrayLike],
        *,
        center: npt.ArrayLike,
        covariate_center: npt.ArrayLike = 0.0,
    ) -> Self:
        """From summed `arrays()`; the centres must be those that every source used."""
        unknown = set(arrays) - {*_ALL, _PRODUCTS}
        if unknown or not set(_FIRST) <= set(arrays):
            raise ArgumentError(f"Statistics: expected the arrays {_ALL} or {_FIRST}, got {sorted(arrays)}")
        sums = {name: np.array(array, np.float64) for name, array in arrays.items()}
        if not all(np.isfinite(array).all() for array in sums.values()):
            raise ArgumentError("Statistics: sums must be finite")
        return cls(design, sums, center=center, covariate_center=covariate_center)

    # reading ----------------------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, Array]:
        """What a federated round adds over its sources: float64 arrays; every name is additive."""
        return {name: array.copy() for name, array in self.sums.items()}

    def means(self) -> Array:
        """Mean of each batch and feature; a batch without subjects gets the mean of all."""
        n, y = self.sums["n"], self.sums["y"]
        with np.errstate(invalid="ignore", divide="ignore"):
            own = self.center + y / n
            everywhere = (self.center * n + y).sum(0) / n.sum(0)
        own = np.where(n > 0, own, everywhere)
        return np.where(np.isfinite(own), own, self.center)

    @property
    def subjects(self) -> dict[Any, int]:
        """Number of subjects of each batch."""
        return dict(zip(self.design.batches, (int(n) for n in self.sums["rows"]), strict=True))

    # adding -----------------------------------------------------------------------------------------------------------

    def recentered(self, center: npt.ArrayLike, covariate_center: npt.ArrayLike) -> Self:
        """The same sums about other centres: an identity, up to rounding."""
        about = _spread("center", center, self.center.shape)
        about_c = _centre_of_covariates(self.design, covariate_center)
        old = self.sums
        n, t, u = old["n"], self.center - about, (self.covariate_center - about_c)[:, None]
        sums = {"rows": old["rows"], "n": n, "y": old["y"] + n * t}
        if "yy" in old:
            sums["yy"] = old["yy"] + 2 * t * old["y"] + n * t * t
            sums["c"] = old["c"] + n[:, None] * u
            cu = old["c"][:, :, None] * u[None, None]
            sums["cc"] = old["cc"] + cu + cu.swapaxes(1, 2) + n[:, None, None] * (u[:, None] * u[None])
            sums["cy"] = old["cy"] + old["c"] * t[:, None] + u * old["y"][:, None] + n[:, None] * u * t[:, None]
        if _PRODUCTS in old:
            ty = t[:, :, None] * old["y"][:, None]
            sums[_PRODUCTS] = old[_PRODUCTS] + ty + ty.swapaxes(1, 2) + n[:, None] * t[:, :, None] * t[:, None]
        is_numeric = [level is None for _, level in self.design.columns]
        return type(self)(self.design, sums, center=about, covariate_center=about_c[is_numeric])

    def within(self, design: Design) -> Self:
        """The same sums in a wider design: zeros for batches and levels that are new."""
        if design == self.design:
            return self
        rows = [design.batches.index(label) for label in self.design.batches]
        places = [design.columns.index(column) for column in self.design.columns]
        sums = {}
        for name, array in self.sums.items():
            shape = list(array.shape)
            shape[0] = len(design.batches)
            for axis in {"c": (1,), "cc": (1, 2), "cy": (1,)}.get(name, ()):
                shape[axis] = len(design.columns)
            sums[name] = np.zeros(shape)
            index = np.ix_(rows, *([places] * {"c": 1, "cc": 2, "cy": 1}.get(name, 0)))
            sums[name][index] = array
        center = np.zeros((len(design.batches), len(design.features)))
        center[:] = self.center.mean(0)
        center[rows] = self.center
        is_numeric = [level is None for _, level in self.design.columns]
        return type(self)(design, sums, center=center, covariate_center=self.covariate_center[is_numeric])

    def merge(self, other: Statistics) -> Self:
        """Sums of both parts, with the batches and levels of either; neither is changed.

        `other` are sums of the same features.
        """
        if not isinstance(other, Statistics):
            raise ArgumentError(f"merge: expected Statistics, got {type(other).__name__}")
        if set(self.sums) != set(other.sums) or self.missing != other.missing:
            raise ArgumentError("merge: the sums are not of the same kind (order, missing)")
        design = self.design.union(other.design)
        one, two = self.within(design), other.within(design)
        # Of a batch that one side has not seen, the other side's centre is the good one.
        center = np.where(one.sums["rows"][:, None] > 0, one.center, two.center)
        is_numeric = [level is None for _, level in design.columns]
        about_c = one.covariate_center[is_numeric]
        one, two = one._about(center, about_c), two._about(center, about_c)
        return type(self)(
            design,
            {name: array + two.sums[name] for name, array in one.sums.items()},
            center=center,
            covariate_center=about_c,
        )

    def _about(self, center: Array, covariate_center: Array) -> Self:
        is_numeric = [level is None for _, level in self.design.columns]
        if np.array_equal(self.center, center) and np.array_equal(self.covariate_center[is_numeric], covariate_center):
            return self
        return self.recentered(center, covariate_center)

    def __add__(self, other: object) -> Self:
        return self.merge(other) if isinstance(other, Statistics) else NotImplemented

    def __radd__(self, other: object) -> Self:
        return self if other == 0 else NotImplemented

    def __repr__(self) -> str:
        batches, features = self.center.shape
        return f"<Statistics {int(self.sums['rows'].sum())} subjects, {batches} batches, {features} features>"


def _summed(x: Any, codes: Any, columns: Any, center: Array, skip: bool, threads: int) -> dict[str, Array]:
    batches, features, q = center.shape[0], center.shape[1], columns.shape[1]
    leaf = _dispatch.pick(x, leaf="harmonize")
    shapes = {"y": (batches, features), "yy": (batches, features), "cy": (batches, q, features)}
    if skip:
        shapes |= {"n": (batches, features), "c": (batches, q, features), "cc": (batches, q, q, features)}
    xp = _dispatch.namespace(x)
    sums = {name: xp.zeros(shape, np.float64) for name, shape in shapes.items()}
    on_device = [_dispatch.move(array, _dispatch.device(x)) for array in (columns, center)]
    leaf.combat_add(x, codes, *on_device, sums, threads=threads)
    found: dict[str, Array] = {name: _dispatch.move(array, "cpu") for name, array in sums.items()}
    found["rows"] = np.bincount(codes, minlength=batches).astype(np.float64)
    if not skip:
        found["n"] = found["rows"][:, None]
        found["c"], found["cc"] = np.zeros((batches, q, 1)), np.zeros((batches, q, q, 1))
        for k in range(batches):
            own = columns[codes == k]
            found["c"][k, :, 0] = own.sum(0)
            found["cc"][k, :, :, 0] = own.T @ own
    return found


def _products(x: Any, codes: Any, center: Array) -> Array:
    """Sums of products of all pairs of features about the centre, a batch at a time."""
    where = _dispatch.device(x)
    found = np.zeros((len(center), center.shape[1], center.shape[1]))
    for k in range(len(center)):
        own = x[_dispatch.move(np.flatnonzero(codes == k), where)].astype(np.float64)
        own = own - _dispatch.move(center[k], where)
        found[k] = _dispatch.move(own.T @ own, "cpu")
    return found


def _first_means(x: Any, codes: Any, batches: int) -> Array:
    """Mean of the first rows of each batch: near enough to the batch's mean to lose no digits."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(batches + 1))
    center = np.zeros((batches, x.shape[1]))
    for k in range(batches):
        rows = np.sort(order[starts[k] : min(starts[k + 1], starts[k] + _LOOK)])
        if len(rows):
            some = np.asarray(_dispatch.move(x[_dispatch.move(rows, _dispatch.device(x))], "cpu"), np.float64)
            seen = np.isfinite(some)
            center[k] = np.where(seen, some, 0.0).sum(0) / np.maximum(seen.sum(0), 1)
    return center


def _spread(name: str, value: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    array = np.asarray(value, np.float64)
    if array.shape not in (shape, shape[1:], ()) or not np.isfinite(array).all():
        raise ArgumentError(f"{name}: expected finite values of shape {shape} or {shape[1:]}, got shape {array.shape}")
    return np.ascontiguousarray(np.broadcast_to(array, shape))


def _centre_of_covariates(design: Design, value: npt.ArrayLike) -> Array:
    """One value a design column: the numeric ones' centres, 0 for the indicators of levels."""
    is_numeric = np.array([level is None for _, level in design.columns], bool)
    found = np.zeros(len(is_numeric))
    array = np.asarray(value, np.float64)
    if array.shape not in ((), (int(is_numeric.sum()),)) or not np.isfinite(array).all():
        raise ArgumentError("covariate_center: expected one finite number for each numeric covariate")
    found[is_numeric] = array
    return found
