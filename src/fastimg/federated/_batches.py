"""What ComBat and the report of site effects share: batches, covariates and the sums that tell no more than the model does.

Per batch only numbers of rows, means of features and of design columns, and residual sums of squares are summed; the
columns' cross products, within batches, are summed over all batches before they are opened (Frisch & Waugh: the slope needs
no more). So no sum over the patients of one batch and one level is ever seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, RefusedError
from ..harmonize import ComBat, Design, Spline, Statistics
from ._disclosure import enough
from ._frame import added
from ._registry import Labels, Parameter, stated
from ._rows import Distinct, Rows

__all__ = [
    "ADJUSTED",
    "ALONE",
    "EVERYBODY",
    "Batches",
    "agree",
    "by_batch",
    "design_of",
    "labels",
    "left",
    "mean_state",
    "notes",
    "permit",
    "products",
    "residuals",
    "slopes",
    "statistics",
    "take",
    "totals",
]

Array = npt.NDArray[np.float64]
ALONE = 3  # nodes that must hold a batch, or its sums are one or two nodes' own
EVERYBODY = "all nodes"  # the one batch of a design whose batches stay at the nodes
# What both take to say the rows and what is to be kept of them.
ADJUSTED: dict[str, Parameter] = {
    "features": Parameter("names1", high=20_000),
    "batch": Parameter("name"),
    "covariates": Parameter("names", [], high=50),
    "interactions": Parameter("products", [], high=50),
    "smooth": Parameter("splines", None, high=20),
    "mask": Parameter("name", None),
}


@dataclass(frozen=True, slots=True)
class Batches:
    """Complete rows: number of the batch, patients; how many were left out; their features and design columns, made block by
    block."""

    read: Callable[[], Iterator[Array]]
    columns: Callable[[slice], Array]
    codes: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    count: int
    left_out: int

    def blocks(self) -> Iterator[tuple[Array, Array, slice]]:
        """(features, design columns, which rows they are)."""
        at = 0
        for x in self.read():
            own = slice(at, at + len(x))
            yield x, self.columns(own), own
            at += len(x)

    def about(self, y: Any, c: Any) -> Iterator[tuple[Array, Array, slice]]:
        """(features, design columns, which rows) about such a mean of each batch."""
        for x, columns, own in self.blocks():
            codes = self.codes[own]
            yield (
                x - stated(y, self.count, x.shape[1])[codes],
                columns - stated(c, self.count, columns.shape[1])[codes],
                own,
            )


def _is_local(parameters: Mapping[str, Any]) -> bool:
    return parameters.get("batch_parameters") == "local"


def splines_of(parameters: Mapping[str, Any]) -> dict[str, Spline]:
    """The smooth terms."""
    return {name: Spline(**record) for name, record in (parameters["smooth"] or {}).items()}


def labels(rows: Rows, parameters: Mapping[str, Any]) -> Labels:
    """Labels of the batch (unless it stays at home) and of the covariates that are categories here."""
    terms = {name for names in parameters["interactions"] for name in names} | set(parameters["smooth"] or {})
    if not terms <= set(parameters["covariates"]):
        raise RefusedError("rule columns: an interaction or a smooth term is of no covariate")
    batch = [] if _is_local(parameters) else [parameters["batch"]]
    categories = [name for name in parameters["covariates"] if _is_category(rows, name)]
    return Labels({name: _labels(rows, name) for name in dict.fromkeys(batch + categories)})


def _is_category(rows: Rows, name: str) -> bool:
    return any(isinstance(value, (str, bool)) for value in rows.column(name) if value is not None)


def _labels(rows: Rows, name: str) -> list[Any]:
    """Labels that enough patients of this node carry, as they stand in the index."""
    owners: dict[Any, set[int]] = {}
    for value, patient in zip(rows.column(name), rows.patients, strict=True):
        if value is not None and value == value:
            owners.setdefault(value, set()).add(int(patient))
    return _sorted(value for value, patients in owners.items() if len(patients) >= rows.minimum)


def _sorted(values: Any) -> list[Any]:
    return sorted(values, key=lambda v: (isinstance(v, str), v))


def agree(answers: Sequence[Mapping[str, list[Any]]], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The design: batches, and levels of the covariates for which nodes have levels."""
    if any(answer.keys() != answers[0].keys() for answer in answers):
        raise RefusedError("rule columns: a covariate is a number at one node and a category at another")
    levels = {column: _sorted({v for answer in answers for v in answer[column]}) for column in answers[0]}
    batch = parameters["batch"]
    local = _is_local(parameters)
    if not local and not levels[batch]:
        raise RefusedError("rule min_cases: no batch has enough patients at any node")
    if any(not found for found in levels.values()):
        raise RefusedError("rule min_cases: no level of a covariate has enough patients at any node")
    batches = [EVERYBODY] if local else levels[batch]
    covariates = {column: levels.get(column) for column in parameters["covariates"]}
    terms = (parameters["interactions"], splines_of(parameters))
    design = Design(parameters["features"], batches, covariates, *terms)
    holders = [len(answers)] if local else [sum(label in answer[batch] for answer in answers) for label in batches]
    shared: dict[str, Any] = {"design": design.to_dict(), "holders": holders}
    if not design.columns:  # nothing to adjust for: residuals follow the means
        shared["beta"] = np.zeros((0, len(design.features)))
    return shared


def design_of(parameters: Mapping[str, Any], shared: Mapping[str, Any]) -> Design:
    """The shared design, which must be that of the parameters."""
    design = Design.from_dict(shared["design"])
    same = list(design.features) == parameters["features"] and list(design.covariates) == parameters["covariates"]
    terms = [list(names) for names in design.interactions] == parameters["interactions"]
    if not same or not terms or design.splines != splines_of(parameters):
        raise RefusedError("rule design: the shared design is not that of the parameters")
    if _is_local(parameters) and design.batches != (EVERYBODY,):
        raise RefusedError("rule design: batches that stay at the nodes stand in the shared design")
    return design


def take(rows: Rows, design: Design, parameters: Mapping[str, Any]) -> Batches:
    """The rows that have everything."""
    local, name = _is_local(parameters), parameters["batch"]
    rows.policy.check("values", len(design.batches) * (len(design.features) + len(design.columns) + 1))
    features, mask = parameters["features"], parameters["mask"]
    places, keep = rows.complete(features, mask)
    values = {
        n: np.array([*rows.column(n), None], object)[:-1][places] for n in dict.fromkeys((name, *design.covariates))
    }
    for column, levels in design.covariates.items():
        if levels is not None:
            keep &= np.array([v in levels for v in values[column]], bool)
            continue
        keep &= np.array([isinstance(v, (int, float)) and np.isfinite(v) for v in values[column]], bool)
        if column in design.splines:  # nothing is known of the effect outside
            low, high = design.splines[column].low, design.splines[column].high
            keep[keep] = [low <= v <= high for v in values[column][keep]]
    batch = values[name]
    keep &= np.array([v is not None and v == v and (local or v in design.batches) for v in batch], bool)
    owners = rows.patients[places]
    categories = [values[column] for column, levels in design.covariates.items() if levels is not None]
    keep = enough(keep, [batch, *categories], owners, rows.minimum)
    used = [f"feature {n}" for n in features] + [f"column {n}" for n in parameters["covariates"]]
    rows.contribute(used, keep, mask=mask)
    kept = {n: values[n][keep] for n in dict.fromkeys((name, *design.covariates))}
    width = len(design.columns)
    rows.reserve(8 * width * max(min(len(keep), rows.block), width, len(features)))
    names = {label: k for k, label in enumerate(_sorted(set(kept[name])) if local else design.batches)}

    def columns(own: slice) -> Array:
        covariates = {
            n: np.array(kept[n][own].tolist(), np.float64 if levels is None else None)
            for n, levels in design.covariates.items()
        }
        size = len(kept[name][own])
        return design.encode([design.batches[0]] * size, covariates, size)[1]

    codes = np.array([names[v] for v in kept[name]], np.int64)
    left_out = int((~keep).sum())
    found = Batches(lambda: rows.kept(features, mask, keep), columns, codes, owners[keep], len(names), left_out)
    if not local:
        _refuse_few(rows, design, found)
    return found


def _refuse_few(rows: Rows, design: Design, data: Batches) -> None:
    """A batch's mean of a spline or of a level's product is of the patients for whom it is not zero: enough, or none."""
    parts = [isinstance(level, tuple) and any(part is not None for part in level) for _, level in design.columns]
    if not any(parts):
        return
    held = [Distinct((sum(parts),)) for _ in range(data.count)]
    for _, columns, own in data.blocks():
        for k in np.unique(data.codes[own]):
            there = data.codes[own] == k
            held[k].add(data.owners[own][there], columns[there][:, parts] != 0)
    if any(((found.count > 0) & (found.count < rows.minimum)).any() for found in held):
        raise RefusedError(
            f"rule min_cases: a smooth term or interaction is held by fewer than {rows.minimum} patients of a batch"
        )


def permit(rows: Rows, design: Design, data: Batches, parameters: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
    """Refuse sums of a batch that few nodes hold, unless the policy allows them."""
    if rows.policy.disclose_batches:
        return
    holders = shared["holders"]
    if rows.witnesses is not None:
        said = [labels.get(parameters["batch"], ()) for labels in rows.witnesses.values()]
        holders = [sum(batch in labels for labels in said) for batch in design.batches]
    if any(held < ALONE and (data.codes == k).any() for k, held in enumerate(holders)):
        raise RefusedError(f"rule disclose_batches: fewer than {ALONE} nodes hold a batch of this node")


def by_batch(values: Array, codes: Any, count: int) -> Array:
    """Sums over the rows of each batch."""
    sums = np.zeros((count, *values.shape[1:]))
    for k in range(count):
        sums[k] = values[codes == k].sum(axis=0)
    return sums


def totals(data: Batches) -> dict[str, Array]:
    """Sums of values and covariates in each batch: what means are made of."""
    codes, k = data.codes, data.count
    sums = added({"y": by_batch(x, codes[own], k), "c": by_batch(c, codes[own], k)} for x, c, own in data.blocks())
    rows = np.bincount(codes, minlength=k).astype(np.int64)
    return {"rows": rows, "left_out": np.array([data.left_out], np.int64), **sums}


def products(data: Batches, y: Any, c: Any) -> dict[str, Any]:
    """Of covariates and values about such means of their batches: what slopes are made of."""
    return added(
        {"cc": columns.T @ columns, "cy": columns.T @ x, "yy": np.einsum("ij,ij->j", x, x)}
        for x, columns, _ in data.about(y, c)
    )


def left(data: Batches, y: Any, c: Any, beta: Any) -> Iterator[tuple[Array, slice]]:
    """(what the slopes leave of the values about such means, which rows)."""
    for x, columns, own in data.about(y, c):
        yield x - columns @ stated(beta, columns.shape[1], x.shape[1]), own


def residuals(data: Batches, y: Any, c: Any, beta: Any) -> dict[str, Any]:
    """A batch: sums of what the slopes leave of the values about such means, and of its squares."""
    codes, k = data.codes, data.count
    return added(
        {"r": by_batch(x, codes[own], k), "rr": by_batch(x**2, codes[own], k)} for x, own in left(data, y, c, beta)
    )


def mean_state(total: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """After the sums of the first round."""
    safe = np.maximum(total["rows"], 1)[:, None]
    means = {"n": total["rows"], "y": total["y"] / safe, "c": total["c"] / safe, "left_out": int(total["left_out"][0])}
    return {**shared, **means}


def slopes(design: Design, state: Mapping[str, Any]) -> Any:
    """The covariates' slopes (columns, features) from the products within batches."""
    share = np.maximum(state["n"], 0)[:, None] / max(1, state["n"].sum()) * state["yy"]
    try:
        return ComBat.from_statistics(statistics(design, state, share), eb=False, mean_only=True).model_.beta
    except ArgumentError as error:
        raise ArgumentError(f"combat: {error}") from None


def statistics(design: Design, state: Mapping[str, Any], spread: Array) -> Statistics:
    """ComBat's statistics about the batch means. What is known over all batches alone is dealt out in proportion to their
    rows: the estimates use only its total. `spread` (batches, features): sums of squares about the means."""
    n = state["n"].astype(np.float64)
    part = (n / n.sum())[:, None, None]
    q = len(design.columns)
    numeric = np.array([level is None for _, level in design.columns], bool)
    about = np.where(numeric, (n[:, None] * state["c"]).sum(0) / n.sum(), 0.0)
    deviation = state["c"] - about
    c = n[:, None] * deviation
    arrays = {"rows": n, "n": n[:, None], "y": np.zeros(spread.shape), "yy": spread, "c": c[:, :, None]}
    if q:
        arrays["cc"] = (part * state["cc"] + c[:, :, None] * deviation[:, None, :])[..., None]
        arrays["cy"] = part * state["cy"]
    else:
        arrays |= {"c": np.zeros((len(n), 0, 1)), "cc": np.zeros((len(n), 0, 0, 1))}
        arrays["cy"] = np.zeros((len(n), 0, spread.shape[1]))
    return Statistics.from_arrays(design, arrays, center=state["y"], covariate_center=about[numeric])


def notes(design: Design, shared: Mapping[str, Any]) -> list[str]:
    """What there is to say of the batches."""
    found = []
    few = [str(b) for b, held in zip(design.batches, shared["holders"], strict=True) if held < ALONE]
    if few:
        found.append(
            f"Batches held by fewer than {ALONE} nodes: {', '.join(few)}. The location and scale of their features, their "
            "numbers of rows and the means of their covariates are those of these nodes."
        )
    if shared["left_out"]:
        found.append(
            f"{shared['left_out']} rows were left out: a feature, the batch or a covariate is missing or outside its "
            "spline's range, or its batch or level has fewer patients than the node's minimum."
        )
    return found
