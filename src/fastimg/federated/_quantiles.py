"""quantiles: of features, on a public grid, by bisection; a step shows how many rows lie at or below one place of the grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, RefusedError
from ._moments import summed
from ._registry import Done, Parameter, computation
from ._rows import Distinct, Rows

__all__ = ["quantiles"]


def _grid(parameters: dict[str, Any]) -> Any:
    low, high = parameters["range"]
    return np.linspace(low, high, parameters["steps"] + 1)


def _combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    probabilities = np.array(parameters["probabilities"])
    shape = (len(parameters["features"]), len(probabilities))
    if "n" not in shared:
        n = total["n"]
        # the inverse of the empirical distribution: the least place of the grid at or below which p * n rows lie
        wanted = np.maximum(1, np.ceil(np.outer(n, probabilities) - 1e-9)).astype(np.int64)
        state = {"n": n, "wanted": wanted, "low": np.full(shape, -1), "high": np.full(shape, parameters["steps"] + 1)}
    else:
        enough = total["below"] >= shared["wanted"]
        middle = np.asarray(shared["middle"])
        low = np.where(enough, shared["low"], middle)
        state = {**shared, "low": low, "high": np.where(enough, middle, shared["high"])}
    if (np.asarray(state["high"]) - state["low"] <= 1).all():
        return _done(parameters, state)
    middle = (np.asarray(state["low"]) + np.asarray(state["high"])) // 2
    return {**state, "middle": np.clip(middle, 0, parameters["steps"])}


def _done(parameters: dict[str, Any], state: dict[str, Any]) -> Done:
    grid, at = _grid(parameters), np.asarray(state["high"])
    value = np.where(at <= parameters["steps"], grid[np.minimum(at, parameters["steps"])], np.inf)
    step = (parameters["range"][1] - parameters["range"][0]) / parameters["steps"]
    return Done(
        {
            "features": parameters["features"],
            "probabilities": np.array(parameters["probabilities"]),
            "n": state["n"],
            "quantiles": value,
            "resolution": step,
        },
        ["A node tells 0 or all where fewer patients than its minimum lie on one side of a place of the grid."],
    )


@computation(
    name="quantiles",
    version=1,
    parameters={
        "features": Parameter("names1", high=20_000),
        "probabilities": Parameter("numbers", [0.25, 0.5, 0.75], low=0.0, high=99),
        "range": Parameter("range"),
        "steps": Parameter("int", 1024, low=1, high=1 << 20),
        "mask": Parameter("name", None),
    },
    combine=_combine,
    result={"features": "array", "probabilities": "array", "n": "array", "quantiles": "array", "resolution": "number"},
    discloses="for each feature the number of rows, and at each step of a bisection how many lie at or below one place of a public grid",
)
def quantiles(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Quantiles of features, rounded up to a grid of `steps` equal steps over `range`.

    Parameters: features, probabilities (inside 0 to 1), range, steps, mask, where. Value: features, probabilities, n,
    quantiles (features, probabilities): the least place of the grid at or below which that share of the rows lies (NumPy's
    "inverted_cdf", rounded up; infinite where the range ends below it); resolution. A node refuses where fewer of its
    patients than its minimum would lie beyond a quantile (rule min_cases).
    """
    if not (min(parameters["probabilities"]) > 0 and max(parameters["probabilities"]) < 1):
        raise ArgumentError("probabilities: must lie between 0 and 1")
    shape = (len(parameters["features"]), len(parameters["probabilities"]))
    middle = None if "n" not in shared else np.asarray(shared["middle"], np.int64)
    if middle is not None and middle.shape != shape:
        raise ValueError("middle")
    limits = None if middle is None else _grid(parameters)[middle]
    held, under, over = Distinct(shape[:1]), Distinct(shape), Distinct(shape)

    def sums(values: Any, there: Any, owners: Any) -> dict[str, Any]:
        held.add(owners, there)
        found = {"n": there.sum(axis=0, dtype=np.int64)}
        if limits is not None:
            inside = there[:, :, None] & (values[:, :, None] <= limits)
            under.add(owners, inside)
            over.add(owners, there[:, :, None] & ~inside)
            found["below"] = inside.sum(axis=0, dtype=np.int64)
        return found

    total = summed(rows, parameters, sums)
    tail = min(min(p, 1 - p) for p in parameters["probabilities"])
    if (tail * held.count < rows.minimum).any():
        raise RefusedError(f"rule min_cases: fewer than {rows.minimum} patients lie beyond a quantile")
    if middle is None:
        return total
    # too few on one side: as if they were on the other
    below = np.where(over.count < rows.minimum, total["n"][:, None], total["below"])
    return {"below": np.where(under.count < rows.minimum, 0, below)}
