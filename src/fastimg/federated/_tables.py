"""count: cross-tabulation by metadata columns. histogram: of voxels, or of a feature."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import RefusedError
from ..histogram import Histogram
from ._disclosure import Cells, suppress
from ._registry import Done, Labels, Parameter, computation
from ._rows import Rows

__all__ = ["Bins", "count", "histogram", "labels_of", "merge_labels"]

_MOST_CELLS = 1_000_000
_MOST_WHOLE = 1 << 20  # whole numbers apart, up to which they are counted one by one


def labels_of(rows: Rows, columns: list[str]) -> Labels:
    """The labels that enough patients of this node carry."""
    found = {}
    for column in columns:
        values = np.array(rows.labels(column), str)
        found[column] = [
            str(value)
            for value in np.unique(values)
            if value and len(np.unique(rows.patients[values == value])) >= rows.minimum
        ]
    return Labels(found)


def merge_labels(answers: list[dict[str, list[str]]], columns: list[str]) -> dict[str, list[str]]:
    """The union over nodes, sorted."""
    return {column: sorted({label for answer in answers for label in answer[column]}) for column in columns}


def _unknown(parameters: dict[str, Any]) -> list[str]:
    return [column for column in parameters["by"] if column not in (parameters["levels"] or {})]


def _count_combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    by = parameters["by"]
    if isinstance(total, list):
        levels = {**(parameters["levels"] or {}), **merge_labels(total, _unknown(parameters))}
        empty = [column for column in by if not levels[column]]
        if empty:
            raise RefusedError("rule min_cases: no label of a column has enough patients at any node")
        if prod(len(levels[column]) for column in by) > _MOST_CELLS:
            raise RefusedError(f"rule max_values: the table has more than {_MOST_CELLS} cells")
        return {"levels": {column: levels[column] for column in by}}
    levels = shared.get("levels") or {column: parameters["levels"][column] for column in by}
    shape = tuple(len(levels[column]) for column in by)
    return Done(
        {
            "by": by,
            "levels": levels,
            "cases": total["cases"].reshape(shape) if by else int(total["cases"][0]),
            "patients": total["patients"].reshape(shape) if by else int(total["patients"][0]),
            "overflow_cases": int(total["overflow"][0]),
            "overflow_patients": int(total["overflow"][1]),
        }
    )


@computation(
    name="count",
    version=1,
    parameters={"by": Parameter("names", [], high=8), "levels": Parameter("levels", None)},
    combine=_count_combine,
    result={
        "by": "array",
        "levels": "object",
        "cases": "integer|array",
        "patients": "integer|array",
        "overflow_cases": "integer",
        "overflow_patients": "integer",
    },
    discloses="numbers of cases and patients by category, summed over all nodes",
    counts=("cases", "patients", "overflow"),
)
def count(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Cases and patients by metadata columns.

    Parameters: by (list of columns, may be empty), levels ({column: labels}; columns without are agreed on first),
    where. Value: by, levels, cases and patients (int64 arrays over the levels, or whole numbers without `by`),
    overflow_cases, overflow_patients (cells below the minimum of a node, and labels outside the levels). A patient
    with cases in several cells counts in each.
    """
    by, given = parameters["by"], parameters["levels"] or {}
    if _unknown(parameters) and "levels" not in shared:
        return labels_of(rows, _unknown(parameters))
    levels = shared.get("levels") or {column: given[column] for column in by}
    rows.policy.check("values", 2 * prod(len(levels[column]) for column in by) + 2)  # before they are made
    cells = {labels: i for i, labels in enumerate(product(*(levels[column] for column in by)))}
    columns = [rows.labels(column) for column in by]
    outside = len(cells)
    where = np.array([cells.get(labels, outside) for labels in zip(*columns, strict=True)], np.int64)
    if not by:
        where = np.zeros(len(rows), np.int64)
    weights = np.bincount(where, minlength=outside + 1).astype(np.int64)
    cases, patients, moved, moved_patients = suppress(weights, (rows.patients, where), rows.minimum)
    overflow = np.array([moved + cases[outside], moved_patients + patients[outside]], np.int64)
    return {"cases": cases[:outside], "patients": patients[:outside], "overflow": overflow}


def _histogram_combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    bins = parameters["bins"]
    counts = total["counts"]
    return Done(
        {
            "counts": counts[:bins],
            "edges": np.histogram_bin_edges([], bins, parameters["range"]),
            "below": int(counts[bins]),
            "above": int(counts[bins + 1]),
            "not_finite": int(counts[bins + 2]),
            "overflow": int(total["overflow"][0]),
            "cases": int(total["overflow"][1]),
            "patients": int(total["overflow"][2]),
            "broken": int(total["overflow"][3]),
        }
    )


@computation(
    name="histogram",
    version=1,
    parameters={
        "bins": Parameter("int", 64, low=1, high=65536),
        "range": Parameter("range"),
        "feature": Parameter("name", None),
        "mask": Parameter("name", None),
    },
    combine=_histogram_combine,
    result={
        "counts": "array",
        "edges": "array",
        "below": "integer",
        "above": "integer",
        "not_finite": "integer",
        "overflow": "integer",
        "cases": "integer",
        "patients": "integer",
        "broken": "integer",
    },
    discloses="counts in common bins, summed over all nodes",
    counts=("counts", "overflow"),
)
def histogram(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Histogram of the voxels of all cases (inside `mask` where one is named), or of a feature's values.

    Parameters: bins, range (as numpy.histogram: the last bin holds its upper edge), feature, mask, where. Value: counts
    (int64), edges, below, above, not_finite, overflow (the mass of bins below a node's minimum of patients), cases,
    patients, broken (cases that could not be read: they are passed over).
    """
    bins = Bins(parameters["bins"], parameters["range"])
    rows.reserve(8 * bins.size * (2 + min(rows.minimum, rows.n_patients)))
    cells = Cells(bins.size, rows.minimum, rows.n_patients)
    feature, mask = parameters["feature"], parameters["mask"]
    if feature is not None:
        seen, number = [], 0
        for values, places in rows.blocks([feature], mask):
            starts = np.flatnonzero(np.diff(places, prepend=-1))  # a case's rows follow one another
            seen.append(places[starts])
            number += len(places)
            for place, own in zip(seen[-1], np.split(values[:, 0], starts[1:]), strict=True):
                cells.add(int(rows.patients[place]), bins.counts(own))
        used = np.concatenate([np.zeros(0, np.int64), *seen])
        patients = rows.contribute([f"feature {feature}"], np.full(number, True), mask=mask)
    else:
        counted = []
        for place, array in rows.voxels(mask):
            found = bins.counts(array)
            cells.add(int(rows.patients[place]), found)
            if found.any():
                counted.append(place)
        used = np.array(counted, np.int64)
        patients = rows.contribute([f"voxels of {mask}"], used)
    counts, moved = cells.suppressed()
    return {"counts": counts, "overflow": np.array([moved, len(used), patients, rows.broken], np.int64)}


class Bins:
    """Counts of an array's values: the bins as numpy.histogram makes them, then below, above, not finite.

    Whole numbers are counted by `Histogram`, a bin a value, and each value's count goes to its bin. Of floats Histogram
    may put a value within rounding of a border on either side of it; NumPy's rule, which is promised, looks at the borders.
    """

    def __init__(self, bins: int, limits: Sequence[float]) -> None:
        self.size, self._bins, self._limits = bins + 3, bins, (float(limits[0]), float(limits[1]))
        self._edges = np.histogram_bin_edges([], bins, self._limits)

    def counts(self, array: Any) -> npt.NDArray[np.int64]:
        """int64, (bins + 3,)."""
        if array.dtype.kind in "iu" and array.size and int(array.max()) - int(array.min()) < _MOST_WHOLE:
            return self._whole(Histogram.of(array))
        flat = array.ravel()
        finite = np.isfinite(flat)
        bad = int(flat.size - finite.sum())
        flat = flat[finite] if bad else flat
        extra = [int((flat < self._limits[0]).sum()), int((flat > self._limits[1]).sum()), bad]
        inside = np.histogram(flat, self._bins, self._limits)[0]
        return np.append(inside, extra).astype(np.int64)

    def _whole(self, counted: Histogram) -> npt.NDArray[np.int64]:
        values, (low, high) = counted.values, self._limits
        of = np.searchsorted(self._edges, values, side="right") - 1
        of[values == high] = self._bins - 1  # the last bin holds its upper edge
        of[values < low], of[values > high] = self._bins, self._bins + 1
        found = np.bincount(of, counted.counts, self.size)  # whole numbers below 2**53: exact
        return found.astype(np.int64)
