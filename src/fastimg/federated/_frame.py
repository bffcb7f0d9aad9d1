"""Rows of numbers for models: features and covariates of a node's cases, complete rows only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import RefusedError
from ._disclosure import enough
from ._registry import Labels, Parameter, stated
from ._rows import Rows

__all__ = ["PREDICTORS", "Frame", "added", "agree", "category_labels", "check_size", "frame", "numbers", "positives"]

Array = npt.NDArray[np.float64]

# What every model takes to say its predictors.
PREDICTORS: dict[str, Parameter] = {
    "features": Parameter("names", [], high=20_000),
    "covariates": Parameter("names", [], high=50),
    "mask": Parameter("name", None),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """Complete rows, of which a block at a time is in memory: their patients, the outcomes that were asked for, the names of
    the columns, and how many rows were left out."""

    read: Callable[[], Iterator[Array]]  # the features, block by block
    pick: Callable[[npt.NDArray[np.int64]], Array]  # the features of these rows
    covariates: Callable[[Any], Array]  # the columns after the features, of these rows
    owners: npt.NDArray[np.int64]
    outcomes: dict[str, npt.NDArray[Any]]
    columns: list[str]
    left_out: int

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def patients(self) -> int:
        """Distinct patients."""
        return len(np.unique(self.owners))

    def blocks(self, mean: Any = None, scale: Any = None) -> Iterator[tuple[Array, slice]]:
        """(x (rows, columns) about a mean and in units of a scale, (columns,) each; which rows they are)."""
        at = 0
        for features in self.read():
            if len(features):
                own = slice(at, at + len(features))
                yield self._scaled(features, own, mean, scale), own
            at += len(features)

    def rows(self, wanted: npt.NDArray[np.int64], mean: Any = None, scale: Any = None) -> Array:
        """x of these rows, as `blocks` gives it."""
        return self._scaled(self.pick(wanted), wanted, mean, scale)

    def _scaled(self, features: Array, own: Any, mean: Any, scale: Any) -> Array:
        x = np.concatenate([features, self.covariates(own)], axis=1)
        if mean is not None:
            x -= stated(mean, x.shape[1])
        if scale is not None:
            x /= stated(scale, x.shape[1])
        return x


def added(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums, name by name, of what blocks of rows give."""
    total: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return total


def numbers(rows: Rows, name: str) -> Array:
    """A metadata column as float64; NaN where it is missing or no number. Booleans are 0 and 1."""
    return np.array(
        [float(v) if isinstance(v, (bool, int, float)) else np.nan for v in rows.column(name)], np.float64
    ).reshape(-1)


def positives(rows: Rows, name: str, positive: str | None) -> Array:
    """A two-valued outcome as 1 (the label `positive`; without one, the number 1 or true), 0, NaN where missing."""
    if positive is None:
        values = numbers(rows, name)
        return np.where(np.isin(values, (0.0, 1.0)), values, np.nan)
    labels = np.array(rows.labels(name), str)
    return np.where(labels == "", np.nan, (labels == positive).astype(np.float64))


def category_labels(rows: Rows, columns: Sequence[str]) -> Labels:
    """Those of the columns that hold text or booleans here, each with the labels that enough patients carry."""
    found: dict[str, list[Any]] = {}
    for column in columns:
        values = rows.column(column)
        if not any(isinstance(value, (str, bool)) for value in values if value is not None):
            continue
        owners: dict[str, set[int]] = {}
        for value, patient in zip(values, rows.patients, strict=True):
            if value is not None:
                owners.setdefault(str(value), set()).add(int(patient))
        found[column] = sorted(label for label, patients in owners.items() if len(patients) >= rows.minimum)
    return Labels(found)


def agree(answers: Sequence[Mapping[str, Sequence[str]]]) -> dict[str, list[str]]:
    """The levels over all nodes; a column that is a number at one node and a category at another is refused."""
    if any(answer.keys() != answers[0].keys() for answer in answers):
        raise RefusedError("rule columns: a covariate is a number at one node and a category at another")
    levels = {column: sorted({label for answer in answers for label in answer[column]}) for column in answers[0]}
    if any(len(found) == 0 for found in levels.values()):
        raise RefusedError("rule min_cases: no level of a covariate has enough patients at any node")
    return levels


def frame(
    rows: Rows,
    parameters: Mapping[str, Any],
    levels: Mapping[str, list[str]],
    outcomes: Mapping[str, Any],
    *,
    summed: bool = True,
) -> Frame:
    """Complete rows of `parameters`' features and covariates and of the outcomes (an array over the cases each).

    A categorical covariate gives a 0/1 column for each level but the first. With features a case has a row a mask. `summed`:
    sums of the columns leave the node, so that rows of a level of few patients here are left out (False: scores alone do).
    """
    features, mask = list(parameters["features"]), parameters["mask"]
    width = len(features) + sum(max(len(levels[n]) - 1, 0) if n in levels else 1 for n in parameters["covariates"])
    rows.policy.check("values", width)  # every model sums its columns
    rows.reserve(8 * min(len(rows), rows.block) * width)
    places, keep = rows.complete(features, mask) if features else (np.arange(len(rows)), np.full(len(rows), True))
    parts: list[tuple[Array, int]] = []  # a covariate's numbers and 0, or places of its levels and how many there are
    columns, categories = list(features), list[Array]()
    for name in parameters["covariates"]:
        if name not in levels:
            column = numbers(rows, name)[places]
            parts.append((column, 0))
            columns.append(name)
            keep &= np.isfinite(column)
            continue
        known = {level: float(k) for k, level in enumerate(levels[name])}
        codes = np.array([known.get(label, -1.0) for label in rows.labels(name)])[places]
        keep &= codes >= 0
        categories.append(codes)
        parts.append((codes, len(levels[name])))
        columns += [f"{name}={level}" for level in levels[name][1:]]
    picked = {name: np.asarray(column)[places] for name, column in outcomes.items()}
    for column in picked.values():
        if column.dtype.kind == "f":
            keep &= np.isfinite(column)
    if summed:
        keep = enough(keep, categories, rows.patients[places], rows.minimum)
    used = [f"feature {name}" for name in features] + [f"column {name}" for name in parameters["covariates"]]
    used += [f"column {parameters[key]}" for key in ("outcome", "time", "event") if key in parameters]
    if features:
        rows.contribute(used, keep, mask=mask)
    else:
        rows.contribute(used, keep)
    found = {name: column[keep] for name, column in picked.items()}
    kept = [(column[keep], count) for column, count in parts]
    numbered = np.flatnonzero(keep)

    def read() -> Iterator[Array]:
        if features:
            return rows.kept(features, mask, keep)
        return (np.empty((len(numbered[at : at + rows.block]), 0)) for at in range(0, len(numbered), rows.block))

    def pick(wanted: npt.NDArray[np.int64]) -> Array:
        return rows.pick(features, mask, numbered[wanted]) if features else np.empty((len(wanted), 0))

    def covariates(own: Any) -> Array:
        # a number as it stands; of a category a column of 0 and 1 for each level but the first
        made = [
            column[own][:, None] if not count else column[own][:, None] == np.arange(1, count) for column, count in kept
        ]
        return np.concatenate([np.empty((len(numbered[own]), 0)), *made], axis=1)

    return Frame(read, pick, covariates, rows.patients[places][keep], found, columns, int((~keep).sum()))


def check_size(rows: Rows, data: Frame, parameters: int) -> None:
    """Refuse a model of more parameters than the policy's share of this node's patients (a third by default)."""
    rows.policy.check("parameters", (parameters, data.patients))
