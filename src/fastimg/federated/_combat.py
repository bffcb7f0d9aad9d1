"""combat: a ComBat model from sums, with no more disclosed than the model itself says (_batches.py). Rounds:

    labels      batches and levels, in the open
    means       a batch: rows, sum of y, sum of c
    products    over all batches: sums of (c - c_k)(c - c_k)', (c - c_k)(y - y_k), (y - y_k)^2
    residuals   a batch: sums of r and r^2, r = (y - y_k) - (c - c_k) beta; without covariates `products` is left out

With batch_parameters="local" a batch is a node's part of it, its means stay there, and every sum is over all batches. All
sums are exact (2^-120), so that what differs from a pooled fit is the rounding of float64 inside the nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..harmonize import ComBat, Design
from ._batches import (
    ADJUSTED,
    EVERYBODY,
    Batches,
    agree,
    design_of,
    labels,
    mean_state,
    notes,
    permit,
    products,
    residuals,
    slopes,
    statistics,
    take,
    totals,
)
from ._registry import Done, Parameter, computation
from ._rows import Rows

__all__ = ["combat"]

_OPTIONS = ("parametric", "eb", "mean_only", "reference")


def _combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    if parameters["batch_parameters"] == "local" and parameters["reference"] is not None:
        raise ArgumentError("reference: batches that stay at the nodes have the mean of all as their reference")
    if isinstance(total, list):
        return agree(total, parameters)
    if "n" not in shared:
        return mean_state(total, shared)
    design = Design.from_dict(shared["design"])
    if "beta" in shared:
        return _finish(design, total, parameters, shared)
    products = {name: total[name] for name in ("cc", "cy", "yy")}
    return {**shared, **products, "beta": slopes(design, shared | products)}


def _finish(design: Design, total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Done:
    n, beta = shared["n"].astype(np.float64), shared["beta"]
    rss = np.maximum(total["rr"] - total["r"] ** 2 / np.maximum(n, 1)[:, None], 0.0)
    q = len(design.columns)
    state = {"cc": np.zeros((q, q)), "cy": np.zeros((q, rss.shape[1])), **shared}
    share = (n / n.sum())[:, None]
    # within = rss - (beta' cc beta - 2 cy beta) of the batch's share
    explained = 2 * (state["cy"] * beta).sum(0) - np.einsum("ip,ij,jp->p", beta, state["cc"], beta)
    options = {name: parameters[name] for name in _OPTIONS}
    local = parameters["batch_parameters"] == "local"
    if local:
        options["reference"] = EVERYBODY
    if parameters["smooth"]:
        options["smooth"] = tuple(parameters["smooth"])
    options["interactions"] = tuple(tuple(names) for names in parameters["interactions"])
    fitted = ComBat.from_statistics(statistics(design, state, rss + share * explained), **options)
    try:
        fitted.model_  # noqa: B018  (made here, so that its errors come from the call that caused them)
    except ArgumentError as error:
        raise ArgumentError(f"combat: {error}") from None
    says = [] if local else notes(design, shared)
    if local:
        says.append(
            "Batches' locations and scales stayed at the nodes: each adds its own to this model by add_batch. A batch is a "
            "node's part of it."
        )
        says += notes(design, shared | {"holders": [len(design.batches) * 3]})
    says.append(
        "Sums are exact to 2**-120 each; the fit differs from a pooled one by float64 rounding inside the nodes."
    )
    return Done(fitted, says)


@computation(
    name="combat",
    version=1,
    parameters={
        **ADJUSTED,
        "parametric": Parameter("bool", True),
        "eb": Parameter("bool", True),
        "mean_only": Parameter("bool", False),
        "reference": Parameter("name", None),
        "batch_parameters": Parameter("choice", "shared", choices=("shared", "local")),
    },
    combine=_combine,
    result="fastimg-combat",
    discloses=(
        "for each batch (none with batch_parameters='local') the number of rows and the location and scale of each feature, "
        "the means of the covariates' columns (for categories: the share of each level), and slopes over all batches"
    ),
)
def combat(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """A ComBat model fitted over all nodes' features: a batch may be spread over nodes, and a node may hold several.

    Parameters: features, batch and covariates (metadata columns; text and booleans are categories), interactions (lists of
    covariates), smooth {covariate: {low, high, inner, degree, penalty}} with public knots, as harmonize.Spline takes them;
    mask (default: all rows of the feature table), parametric, eb, mean_only, reference, batch_parameters, where. Value: a
    fitted harmonize.ComBat, equal to one fitted on the pooled rows but for rounding. With batch_parameters "local" it knows
    what all batches have in common, and a node adds its own by `add_batch`: the same as a pooled fit whose batches each lie
    at one node. Rows with a missing value, outside a spline's range, or of a batch or level of fewer patients than the
    minimum of their node, are left out and counted in `Result.privacy`.
    """
    if "design" not in shared:
        return labels(rows, parameters)
    design = design_of(parameters, shared)
    data = take(rows, design, parameters)
    if parameters["batch_parameters"] == "local":
        return _whole(data, shared)
    permit(rows, design, data, parameters, shared)
    if "n" not in shared:
        return totals(data)
    if "beta" not in shared:
        return products(data, shared["y"], shared["c"])
    return residuals(data, shared["y"], shared["c"], shared["beta"])


def _whole(data: Batches, shared: dict[str, Any]) -> dict[str, Any]:
    """The same sums over all batches together; each is centred about its own means, which stay here."""
    own = totals(data)
    if "n" not in shared:
        return {name: value if name == "left_out" else value.sum(axis=0)[None] for name, value in own.items()}
    number = np.maximum(own["rows"], 1)[:, None]
    y, c = own["y"] / number, own["c"] / number
    if "beta" not in shared:
        return products(data, y, c)
    return {name: value.sum(axis=0)[None] for name, value in residuals(data, y, c, shared["beta"]).items()}
