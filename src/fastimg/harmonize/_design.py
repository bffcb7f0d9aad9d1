"""Design: which features, batches and covariates a ComBat model has, as plain public values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, FormatError
from ._spline import Spline

__all__ = ["Column", "Design", "columns_of", "feature_names", "labels", "numeric", "splines_of", "table"]

Level = str | int | float | bool
# (covariate, None) a numeric one; (covariate, level) a category's indicator; (covariate, ("spline", i)); and for an
# interaction ("a:b", (level or None, level or None))
Column = tuple[str, Level | tuple[Any, ...] | None]


def table(value: Any) -> dict[str, Any] | None:
    """The columns of a DataFrame (pandas, polars), a pyarrow Table or a mapping; None for anything else."""
    if isinstance(value, Mapping):
        return {str(name): value[name] for name in value}
    names = getattr(value, "column_names", None)
    if names is None:
        names = getattr(value, "columns", None)
    if names is None or not hasattr(value, "__getitem__"):
        return None
    return {str(name): value[name] for name in names}


def feature_names(X: Any) -> list[str] | None:
    """Names of the columns of X, where it has any."""
    columns = table(X)
    return None if columns is None else list(columns)


def columns_of(covariates: Any, count: int) -> dict[str, npt.NDArray[Any]]:
    """Covariates as named vectors of `count` values: a DataFrame, table, mapping, vector or 2-D array (c0, c1, ...)."""
    if covariates is None:
        return {}
    columns = table(covariates)
    if columns is None:
        array = np.asarray(covariates)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2:
            raise ArgumentError(f"covariates: expected a table or subjects x columns, got {array.ndim} axes")
        columns = {f"c{i}": array[:, i] for i in range(array.shape[1])}
    vectors = {name: np.asarray(column) for name, column in columns.items()}
    for name, vector in vectors.items():
        if vector.shape != (count,):
            raise ArgumentError(
                f"covariates: {name!r} has shape {vector.shape}, expected a value for each of {count} rows"
            )
    return vectors


def labels(values: Any, name: str, count: int) -> list[Level]:
    """One plain Python label a row; missing ones are refused."""
    array = np.asarray(values)
    if array.shape != (count,):
        raise ArgumentError(f"{name}: expected one label for each of {count} rows, got shape {array.shape}")
    found: list[Any] = array.tolist()
    if array.dtype.kind in "biuU":
        return found
    if any(v is None or v != v for v in found):
        raise ArgumentError(f"{name}: a label is missing; leave those rows out or give them a label of their own")
    if not all(isinstance(v, (str, int, float, bool)) for v in found):
        raise ArgumentError(f"{name}: labels must be text or numbers")
    return found


def _sorted(values: Iterable[Level]) -> tuple[Level, ...]:
    return tuple(sorted(set(values), key=lambda v: (isinstance(v, str), v)))


@dataclass(frozen=True)
class Design:
    """Features, batches and covariates with their levels: what all sources of a sum must agree on beforehand.

    Parameters
    ----------
    features : sequence of str
        Names of the columns of X, in order.
    batches : sequence of str or number
        All labels of the batch column. A batch is a column's value, not a node: a batch may be spread over several
        sources and a source may hold several batches.
    covariates : mapping, optional
        name -> None for a numeric covariate, or the sequence of its levels for a categorical one.
    interactions : sequence of sequences of str
        Products of covariates, such as ("age", "sex"); each covariate is in the model on its own too.
    splines : mapping, optional
        numeric covariate -> `Spline`: a smooth effect in the place of a straight line.

    Examples
    --------
    >>> import fastimg as fi
    >>> fi.harmonize.Design(["volume"], ["A", "B"], {"age": None, "sex": ["F", "M"]}).columns
    (('age', None), ('sex', 'F'), ('sex', 'M'))
    """

    features: Sequence[str]
    batches: Sequence[Level]
    covariates: Mapping[str, Sequence[Level] | None] = field(default_factory=dict)
    interactions: Sequence[Sequence[str]] = ()
    splines: Mapping[str, Spline] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(str(name) for name in self.features))
        object.__setattr__(self, "batches", tuple(self.batches))
        covariates = {str(n): None if levels is None else tuple(levels) for n, levels in self.covariates.items()}
        object.__setattr__(self, "covariates", covariates)
        for name, values in (("features", self.features), ("batches", self.batches)):
            if not values or len(set(values)) != len(values):
                raise ArgumentError(f"Design: {name} must be a list of different names, at least one")
        for name, levels in covariates.items():
            if levels is not None and (not levels or len(set(levels)) != len(levels)):
                raise ArgumentError(f"Design: the levels of {name!r} must be different, at least one")
        self._check_terms()

    def _check_terms(self) -> None:
        products = tuple(tuple(str(name) for name in names) for names in self.interactions)
        object.__setattr__(self, "interactions", products)
        object.__setattr__(self, "splines", dict(self.splines))
        if len({frozenset(names) for names in products}) != len(products):
            raise ArgumentError("interactions: one is named twice")
        for names in products:
            if len(names) < 2 or len(set(names)) != len(names):
                raise ArgumentError(f"interactions: expected two or more different covariates, got {names!r}")
        for name in {name for names in products for name in names} | set(self.splines):
            if name not in self.covariates:
                raise ArgumentError(f"interactions, smooth: no covariate is named {name!r}")
        for name in self.splines:
            if self.covariates[name] is not None:
                raise ArgumentError(f"smooth: {name!r} is categorical; only a numeric covariate has a smooth effect")

    @classmethod
    def of(
        cls,
        features: Sequence[str],
        batch: Sequence[Level],
        covariates: Mapping[str, npt.NDArray[Any]],
        categorical: Sequence[str] = (),
        interactions: Sequence[Sequence[str]] = (),
        splines: Mapping[str, Spline] | None = None,
    ) -> Self:
        """The design of these rows. Text, booleans and the columns named in `categorical` have levels, sorted.

        Raises ArgumentError for a column there that does not exist.
        """
        unknown = set(categorical) - set(covariates)
        if unknown:
            raise ArgumentError(f"categorical: no covariate is named {', '.join(sorted(map(repr, unknown)))}")
        kinds: dict[str, Sequence[Level] | None] = {}
        for name, vector in covariates.items():
            numeric = vector.dtype.kind in "iuf" and name not in categorical
            kinds[name] = None if numeric else _sorted(labels(vector, f"covariates[{name!r}]", len(vector)))
        return cls(features, _sorted(batch), kinds, interactions, splines or {})

    @property
    def columns(self) -> tuple[Column, ...]:
        """(covariate, level) of each design column; the level is None for a numeric one. All levels have a column."""
        found: list[Column] = []
        for name, levels in self.covariates.items():
            if name in self.splines:
                found += [(name, ("spline", i)) for i in range(self.splines[name].columns)]
            else:
                found += [(name, None)] if levels is None else [(name, level) for level in levels]
        for names in self.interactions:
            found += [(":".join(names), levels) for levels in self._combinations(names)]
        return tuple(found)

    def _combinations(self, names: Sequence[str]) -> list[tuple[Level | None, ...]]:
        return list(product(*(self.covariates[name] or (None,) for name in names)))

    def encode(self, batch: Any, covariates: Any, count: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """(batch index, design columns) of rows.

        `count` is how many rows there are.

        Raises
        ------
        ArgumentError
            A batch or a level that the design does not know, a covariate that is missing, too many or not finite.
        """
        rows = labels(batch, "batch", count)
        where = {label: index for index, label in enumerate(self.batches)}
        found = list(map(where.get, rows))
        if None in found:
            unseen = _sorted(label for label in rows if label not in where)
            raise ArgumentError(
                f"batch: {', '.join(map(repr, unseen[:5]))} was not among the batches of the fit; add its subjects "
                "to the fit (partial_fit or merge) before harmonising them"
            )
        codes = np.array(found, np.int32)
        vectors = columns_of(covariates, count)
        if set(vectors) != set(self.covariates):
            raise ArgumentError(f"covariates: expected {sorted(self.covariates)}, got {sorted(vectors)}")
        design = np.zeros((count, len(self.columns)))
        place = {column: index for index, column in enumerate(self.columns)}
        at = 0
        for name, levels in self.covariates.items():
            if levels is None:
                values = numeric(name, vectors[name])
                part = self.splines[name].basis(name, values) if name in self.splines else values[:, None]
                design[:, at : at + part.shape[1]] = part
                at += part.shape[1]
                continue
            index = {level: at + i for i, level in enumerate(levels)}
            places = list(map(index.get, labels(vectors[name], f"covariates[{name!r}]", count)))
            if None in places:
                raise ArgumentError(f"covariates: {name!r} has a level that was not in the fit")
            design[np.arange(count), np.array(places, np.intp)] = 1
            at += len(levels)
        for names in self.interactions:
            for combination in self._combinations(names):
                design[:, at] = 1
                for name, level in zip(names, combination, strict=True):
                    own = numeric(name, vectors[name]) if level is None else design[:, place[name, level]]
                    design[:, at] *= own
                at += 1
        return codes, design

    def union(self, other: Design) -> Design:
        """The design of both: levels and batches joined; features and kinds of covariates must be the same.

        Raises ArgumentError where those of `other` are not.
        """
        if self == other:
            return self
        if self.features != other.features:
            raise ArgumentError("merge: the features differ in name or order")
        if list(self.covariates) != list(other.covariates):
            raise ArgumentError("merge: the covariates differ")
        if self.interactions != other.interactions or self.splines != other.splines:
            raise ArgumentError("merge: the interactions or the splines (their knots must be the same) differ")
        joined: dict[str, Sequence[Level] | None] = {}
        for name, levels in self.covariates.items():
            others = other.covariates[name]
            if (levels is None) != (others is None):
                raise ArgumentError(f"merge: covariate {name!r} is numeric on one side and categorical on the other")
            joined[name] = None if levels is None or others is None else _sorted((*levels, *others))
        return Design(self.features, _sorted((*self.batches, *other.batches)), joined, self.interactions, self.splines)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        kinds = {name: None if levels is None else list(levels) for name, levels in self.covariates.items()}
        record: dict[str, Any] = {
            "features": list(self.features),
            "batches": list(self.batches),
            "covariates": kinds,
        }
        if self.interactions:
            record["interactions"] = [list(names) for names in self.interactions]
        if self.splines:
            record["splines"] = {name: spline.to_dict() for name, spline in self.splines.items()}
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises FormatError where `record` is damaged."""
        try:
            splines = {str(name): Spline(**values) for name, values in record.get("splines", {}).items()}
            terms = (record.get("interactions", ()), splines)
            return cls(record["features"], record["batches"], record["covariates"], *terms)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"Design.from_dict: the record is damaged: {error}") from None


def numeric(name: str, vector: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """A numeric covariate as finite float64."""
    try:
        values = vector.astype(np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"covariates: {name!r} is taken as numeric (so it was in the fit), and holds text"
        ) from None
    if not np.isfinite(values).all():
        raise ArgumentError(f"covariates: {name!r} has missing or infinite values; impute them or leave those rows out")
    return values


def splines_of(smooth: Any, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, Spline]:
    """The splines that ComBat's `smooth=` asks for, with knots from these subjects where none are given."""
    wanted = smooth if isinstance(smooth, Mapping) else dict.fromkeys(smooth, 10)
    unknown = sorted(set(wanted) - set(columns))
    if unknown:
        raise ArgumentError(f"smooth: no covariate is named {', '.join(map(repr, unknown))}")
    return {
        name: spline if isinstance(spline, Spline) else Spline.of(numeric(name, columns[name]), spline)
        for name, spline in wanted.items()
    }
