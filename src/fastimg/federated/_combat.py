"""combat: a ComBat model from sums, with no more disclosed than the model itself says.

Per batch only numbers of rows, means of features and of covariates, and residual sums of squares are summed; the
covariates' cross products, within batches, are summed over all batches before they are opened (Frisch & Waugh: the slope
needs no more). So no sum over the patients of one batch and one level is ever seen. Rounds:

    labels      batches and levels, in the open
    means       a batch: rows, sum of y, sum of c
    products    over all batches: sums of (c - c_k)(c - c_k)', (c - c_k)(y - y_k), (y - y_k)^2
    residuals   a batch: sums of r and r^2, r = (y - y_k) - (c - c_k) beta; without covariates `products` is left out

All sums are exact (2^-120), so that what differs from a pooled fit is the rounding of float64 inside the nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, RefusedError
from ..harmonize import ComBat, Design, Statistics
from ._registry import Done, Labels, Parameter, computation
from ._rows import Rows

__all__ = ["combat"]

Array = npt.NDArray[np.float64]
_ALONE = 3  # nodes that must hold a batch, or its sums are one or two nodes' own
_OPTIONS = ("parametric", "eb", "mean_only", "reference")


def _combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    if isinstance(total, list):
        return _agree(total, parameters)
    if "n" not in shared:
        n = total["rows"]
        safe = np.maximum(n, 1)[:, None]
        means = {"n": n, "y": total["y"] / safe, "c": total["c"] / safe, "left_out": int(total["left_out"][0])}
        return {**shared, **means}
    design = Design.from_dict(shared["design"])
    if "beta" in shared:
        return _finish(design, total, parameters, shared)
    products = {name: total[name] for name in ("cc", "cy", "yy")}
    share = np.maximum(shared["n"], 0)[:, None] / max(1, shared["n"].sum()) * products["yy"]
    model = ComBat.from_statistics(_statistics(design, shared | products, share), eb=False, mean_only=True).model_
    return {**shared, **products, "beta": model.beta}


def _agree(answers: list[dict[str, list[Any]]], parameters: dict[str, Any]) -> dict[str, Any]:
    """The design: batches, and levels of the covariates for which nodes have levels."""
    if any(answer.keys() != answers[0].keys() for answer in answers):
        raise RefusedError("rule columns: a covariate is a number at one node and a category at another")
    levels = {
        column: sorted({label for answer in answers for label in answer[column]}, key=lambda v: (isinstance(v, str), v))
        for column in answers[0]
    }
    batch = parameters["batch"]
    if not levels[batch]:
        raise RefusedError("rule min_cases: no batch has enough patients at any node")
    empty = [column for column, found in levels.items() if not found]
    if empty:
        raise RefusedError("rule min_cases: no level of a covariate has enough patients at any node")
    covariates = {column: levels.get(column) for column in parameters["covariates"]}
    design = Design(parameters["features"], levels[batch], covariates)
    holders = [sum(label in answer[batch] for answer in answers) for label in levels[batch]]
    shared: dict[str, Any] = {"design": design.to_dict(), "holders": holders}
    if not design.columns:  # nothing to adjust for: residuals follow the means
        shared["beta"] = np.zeros((0, len(design.features)))
    return shared


def _statistics(design: Design, state: dict[str, Any], within: Array) -> Statistics:
    """ComBat's statistics about the batch means. What is known over all batches alone is dealt out in proportion to their
    rows: the estimates use only its total. `within` (batches, features): sums of squares about the means."""
    n = state["n"].astype(np.float64)
    part = (n / n.sum())[:, None, None]
    q = len(design.columns)
    numeric = np.array([level is None for _, level in design.columns], bool)
    about = np.where(numeric, (n[:, None] * state["c"]).sum(0) / n.sum(), 0.0)
    c = n[:, None] * (state["c"] - about)
    deviation = state["c"] - about
    arrays = {
        "rows": n,
        "n": n[:, None],
        "y": np.zeros(within.shape),
        "yy": within,
        "c": c[:, :, None],
        "cc": (part * state["cc"] + c[:, :, None] * deviation[:, None, :])[..., None],
        "cy": part * state["cy"],
    }
    if not q:
        arrays |= {
            "c": np.zeros((len(n), 0, 1)),
            "cc": np.zeros((len(n), 0, 0, 1)),
            "cy": np.zeros((len(n), 0, within.shape[1])),
        }
    return Statistics.from_arrays(design, arrays, center=state["y"], covariate_center=about[numeric])


def _finish(design: Design, total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Done:
    n, beta = shared["n"].astype(np.float64), shared["beta"]
    rss = np.maximum(total["rr"] - total["r"] ** 2 / np.maximum(n, 1)[:, None], 0.0)
    q = len(design.columns)
    state = {"cc": np.zeros((q, q)), "cy": np.zeros((q, rss.shape[1])), **shared}
    share = (n / n.sum())[:, None]
    # within = rss - (beta' cc beta - 2 cy beta) of the batch's share
    explained = 2 * (state["cy"] * beta).sum(0) - np.einsum("ip,ij,jp->p", beta, state["cc"], beta)
    statistics = _statistics(design, state, rss + share * explained)
    options = {name: parameters[name] for name in _OPTIONS}
    fitted = ComBat.from_statistics(statistics, **options)
    try:
        fitted.model_  # noqa: B018  (made here, so that its errors come from the call that caused them)
    except ArgumentError as error:
        raise ArgumentError(f"combat: {error}") from None
    return Done(fitted, _notes(design, shared))


def _notes(design: Design, shared: dict[str, Any]) -> list[str]:
    notes = []
    few = [str(b) for b, held in zip(design.batches, shared["holders"], strict=True) if held < _ALONE]
    if few:
        notes.append(
            f"Batches held by fewer than {_ALONE} nodes: {', '.join(few)}. The location and scale of their features, their "
            "numbers of rows and the means of their covariates are those of these nodes."
        )
    if shared["left_out"]:
        notes.append(
            f"{shared['left_out']} rows were left out: a feature, the batch or a covariate is missing, or its batch or "
            "level has fewer patients than the node's minimum."
        )
    notes.append(
        "Sums are exact to 2**-120 each; the fit differs from a pooled one by float64 rounding inside the nodes."
    )
    return notes


@computation(
    name="combat",
    version=1,
    parameters={
        "features": Parameter("names1", high=20_000),
        "batch": Parameter("name"),
        "covariates": Parameter("names", [], high=50),
        "mask": Parameter("name", None),
        "parametric": Parameter("bool", True),
        "eb": Parameter("bool", True),
        "mean_only": Parameter("bool", False),
        "reference": Parameter("name", None),
    },
    combine=_combine,
    discloses=(
        "for each batch the number of rows and the location and scale of each feature, the means of the covariates (for "
        "categories: the share of each level), and slopes over all batches"
    ),
)
def combat(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """A ComBat model fitted over all nodes' features: a batch may be spread over nodes, and a node may hold several.

    Parameters: features, batch and covariates (metadata columns; text and booleans are categories), mask (default: all
    rows of the feature table), parametric, eb, mean_only, reference, where. Value: a fitted harmonize.ComBat, equal to one
    fitted on the pooled rows but for rounding. Rows with a missing value, or of a batch or level of fewer patients than
    the minimum of their node, are left out and counted in `Result.privacy`.
    """
    columns = [parameters["batch"], *parameters["covariates"]]
    if "design" not in shared:
        return Labels({name: _labels(rows, name) for name in columns if name == columns[0] or _is_category(rows, name)})
    design = Design.from_dict(shared["design"])
    if list(design.features) != parameters["features"] or list(design.covariates) != parameters["covariates"]:
        raise RefusedError("rule design: the shared design is not that of the parameters")
    x, codes, covariates, owners, left_out = _take(rows, design, parameters)
    _permit(rows, design, codes, shared["holders"])
    rows.policy.check("patients", len(np.unique(owners)))
    k = len(design.batches)
    if "n" not in shared:
        return {
            "rows": np.bincount(codes, minlength=k).astype(np.int64),
            "y": _by_batch(x, codes, k),
            "c": _by_batch(covariates, codes, k),
            "left_out": np.array([left_out], np.int64),
        }
    x, covariates = x - shared["y"][codes], covariates - shared["c"][codes]
    if "beta" not in shared:
        return {"cc": covariates.T @ covariates, "cy": covariates.T @ x, "yy": np.einsum("ij,ij->j", x, x)}
    residuals = x - covariates @ shared["beta"]
    return {"r": _by_batch(residuals, codes, k), "rr": _by_batch(residuals**2, codes, k)}


def _is_category(rows: Rows, name: str) -> bool:
    return any(isinstance(value, (str, bool)) for value in rows.column(name) if value is not None)


def _labels(rows: Rows, name: str) -> list[Any]:
    """Labels that enough patients of this node carry, as they stand in the index."""
    values = rows.column(name)
    owners: dict[Any, set[int]] = {}
    for value, patient in zip(values, rows.patients, strict=True):
        if value is not None and value == value:
            owners.setdefault(value, set()).add(int(patient))
    kept = [value for value, patients in owners.items() if len(patients) >= rows.minimum]
    return sorted(kept, key=lambda v: (isinstance(v, str), v))


def _take(rows: Rows, design: Design, parameters: dict[str, Any]) -> tuple[Array, Any, Array, Any, int]:
    """(features, batch codes, design columns, patients, rows left out) of the rows that have everything."""
    x, places = rows.features(parameters["features"], parameters["mask"])
    keep = np.isfinite(x).all(axis=1)
    values = {name: np.array(rows.column(name), object)[places] for name in (parameters["batch"], *design.covariates)}
    for name, column in values.items():
        levels = design.batches if name == parameters["batch"] else design.covariates[name]
        if levels is None:
            keep &= np.array([isinstance(v, (int, float)) and np.isfinite(v) for v in column], bool)
        else:
            keep &= np.array([v in levels for v in column], bool)
    batch = values[parameters["batch"]]
    owners = rows.patients[places]
    for label in design.batches:  # a batch of few patients here is not summed, though others may hold it
        own = keep & (batch == label)
        if 0 < len(np.unique(owners[own])) < rows.minimum:
            keep &= ~own
    covariates = {
        name: np.array(values[name][keep].tolist(), np.float64)
        if levels is None
        else np.array(values[name][keep].tolist())
        for name, levels in design.covariates.items()
    }
    count = int(keep.sum())
    codes, columns = design.encode(np.array(batch[keep].tolist()), covariates, count)
    return x[keep], codes, columns, owners[keep], len(keep) - count


def _permit(rows: Rows, design: Design, codes: Any, holders: list[int]) -> None:
    if rows.policy.disclose_batches:
        return
    if any(held < _ALONE and (codes == k).any() for k, held in enumerate(holders)):
        raise RefusedError(f"rule disclose_batches: fewer than {_ALONE} nodes hold a batch of this node")


def _by_batch(values: Array, codes: Any, count: int) -> Array:
    sums = np.zeros((count, values.shape[1]))
    for k in range(count):
        sums[k] = values[codes == k].sum(axis=0)
    return sums
