"""Models that a federation trains or judges together: families by name, weights as arrays; no code travels.

    fedavg      rounds of local training, averaged by rows (McMahan 2017); `mu` adds FedProx's pull (Li 2020)
    evaluate    score every row at its node; counts in public bins of the score

A family is registered at every node like a computation: how to score rows, and, for fedavg, how to train.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, RefusedError
from ._disclosure import suppress
from ._frame import PREDICTORS, Frame, added, agree, category_labels, check_size, frame, positives
from ._registry import Done, Parameter, computation, stated
from ._rows import Rows

__all__ = ["Family", "evaluate", "families", "family", "fedavg"]

Array = npt.NDArray[np.float64]
Weights = dict[str, Array]
Score = Callable[[Array, Weights], Array]
Epoch = Callable[[], Iterator[Iterable[tuple[Array, Array]]]]
Train = Callable[[Epoch, Weights, Mapping[str, float]], Weights]


@dataclass(frozen=True, slots=True)
class Family:
    """How a model of this name scores rows x (rows, columns), giving 0 to 1, and how it is trained (None: it is not).

    train(epoch, weights, options) returns new weights of the same names and shapes. epoch() goes once through the node's rows
    in a new random order, a batch of options["batch"] rows at a time (0: one of all rows); a batch is an iterable of parts
    (x, y), which can be gone through again, so that never more than a part is in memory, whatever the rows: a batch's gradient is
    the sum of its parts'. options also holds epochs, rate and mu.

    Attributes
    ----------
    name : str
    version : int
    score : callable
        score(x, weights): float64 (rows,), 0 to 1; weights are {name: float64 array}.
    train : callable or None
        As above.
    """

    name: str
    version: int
    score: Score
    train: Train | None = None


_FAMILIES: dict[str, Family] = {}


def family(name: str, score: Score, train: Train | None = None, *, version: int = 1) -> Family:
    """Register a family of models under a name, at this node; packages do so in the module of their entry point.

    Parameters
    ----------
    name : str
        What a request calls it.
    score : callable
        score(x, weights) -> (rows,), 0 to 1: x is float64 (rows, columns), weights {name: float64 array}. A row's score is of
        that row alone: rows come in parts.
    train : callable, optional
        train(epoch, weights, options) -> new weights, see `Family`. Default: it cannot be trained.
    version : int
        Told with every answer. Default 1.

    Returns
    -------
    Family

    Raises
    ------
    ArgumentError
        Another module has registered the name.
    """
    before = _FAMILIES.get(name)
    if before is not None and before.score.__module__ != score.__module__:
        raise ArgumentError(f"family: {name!r} is registered already by {before.score.__module__}")
    _FAMILIES[name] = Family(name, version, score, train)
    return _FAMILIES[name]


def families() -> dict[str, Family]:
    """All families by name."""
    from ._registry import registered

    registered()  # imports the packages that register some
    return dict(_FAMILIES)


def _family(parameters: Mapping[str, Any]) -> Family:
    found = _FAMILIES.get(parameters["model"])
    if found is None:
        known = ", ".join(sorted(_FAMILIES))
        raise ArgumentError(f"model: {parameters['model']!r} is not installed; known are {known}")
    return found


def _sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -700, 700))))


def _logistic(x: Array, w: Weights) -> Array:
    return _sigmoid(x @ w["coefficients"] + float(w["intercept"].reshape(-1)[0]))


def _descend(gradient: Callable[[Array, Array, Weights], Weights]) -> Train:
    """Mini-batch gradient descent on the mean loss + mu/2 |w - start|^2; `gradient` is of the sum of the losses."""

    def train(epoch: Epoch, start: Weights, options: Mapping[str, float]) -> Weights:
        w = {name: value.copy() for name, value in start.items()}
        for _ in range(int(options["epochs"])):
            for batch in epoch():
                slope = added({"rows": len(y), **gradient(x, y, w)} for x, y in batch)
                size = slope["rows"]
                for name in w:
                    w[name] = w[name] - options["rate"] * (slope[name] / size + options["mu"] * (w[name] - start[name]))
        return w

    return train


def _logistic_gradient(x: Array, y: Array, w: Weights) -> Weights:
    error = _logistic(x, w) - y
    return {"coefficients": x.T @ error, "intercept": np.full(w["intercept"].shape, error.sum())}


def _perceptron(x: Array, w: Weights) -> Array:
    return _sigmoid(np.tanh(x @ w["w1"] + w["b1"]) @ w["w2"] + float(w["b2"].reshape(-1)[0]))


def _perceptron_gradient(x: Array, y: Array, w: Weights) -> Weights:
    hidden = np.tanh(x @ w["w1"] + w["b1"])
    error = _sigmoid(hidden @ w["w2"] + float(w["b2"].reshape(-1)[0])) - y
    back = np.outer(error, w["w2"]) * (1 - hidden**2)
    return {"w1": x.T @ back, "b1": back.sum(axis=0), "w2": hidden.T @ error, "b2": np.full(w["b2"].shape, error.sum())}


family("logistic", _logistic, _descend(_logistic_gradient))
family("perceptron", _perceptron, _descend(_perceptron_gradient))

_MODEL = {
    "model": Parameter("name"),
    "weights": Parameter("arrays", high=10_000_000),
    "outcome": Parameter("name"),
    "positive": Parameter("name", None),
    "center": Parameter("arrays", None, high=20_000),
    **PREDICTORS,
}


def _center(parameters: Mapping[str, Any], data: Frame) -> tuple[Any, Any]:
    """(mean, scale) of the columns, None where they stay as they are."""
    center, width = parameters["center"], len(data.columns)
    if center is None:
        return None, None
    if (
        center.keys() != {"mean", "scale"}
        or any(c.shape != (width,) for c in center.values())
        or not center["scale"].all()
    ):
        raise ArgumentError(f"center: must hold mean and scale, one number for each of the {width} columns")
    return center["mean"], center["scale"]


def _scores(model: Family, x: Array, weights: Weights) -> Array:
    try:
        found = np.asarray(model.score(x, weights), np.float64)
    except (KeyError, ValueError, IndexError, TypeError):
        raise ArgumentError(f"weights: their names or shapes do not fit a {model.name} of these columns") from None
    if found.shape != (len(x),):
        raise ArgumentError(f"weights: their names or shapes do not fit a {model.name} of these columns")
    return found


def _fedavg_combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    if isinstance(total, list):
        return {"levels": agree(total)}
    before = shared.get("weights") or parameters["weights"]
    n = int(total["n"][0])
    weights = {name: np.asarray(before[name]) + total[f"w {name}"] / n for name in before}
    losses = [*shared.get("losses", []), float(total["loss"][0]) / n]
    done = int(shared.get("done", 0)) + 1
    if done == parameters["rounds"]:
        return Done({"weights": weights, "n": n, "losses": np.array(losses)})
    return {"levels": {}, **shared, "weights": weights, "losses": losses, "done": done}


@computation(
    name="fedavg",
    version=1,
    parameters={
        **_MODEL,
        "rounds": Parameter("int", 10, low=1, high=500),
        "epochs": Parameter("int", 1, low=1, high=1000),
        "rate": Parameter("float", 0.1, low=1e-12, high=1e6),
        "batch": Parameter("int", 0, low=0),
        "mu": Parameter("float", 0.0, low=0.0, high=1e6),
        "seed": Parameter("int", 0, low=0),
    },
    combine=_fedavg_combine,
    result={"weights": "object", "n": "integer", "losses": "array"},
    discloses="in each round the mean, weighted by rows, of the nodes' changes of the weights, and their mean loss",
)
def fedavg(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Train a model of a registered family: FedAvg, or FedProx with mu > 0.

    Parameters: model (logistic, perceptron, or what the nodes registered), weights {name: array} to start from, outcome,
    positive, features, covariates, mask, center {mean, scale} (columns are centred and scaled by it), rounds, epochs, rate,
    batch (0: all rows), mu, seed, where. Value: weights, n, losses (mean log loss before each round). A model of more
    weights than the policy's share of a node's patients is refused.
    """
    if parameters["covariates"] and "levels" not in shared:
        return category_labels(rows, parameters["covariates"])
    model = _family(parameters)
    if model.train is None:
        raise ArgumentError(f"model: a {model.name} cannot be trained here, only judged")
    outcome = positives(rows, parameters["outcome"], parameters["positive"])
    data = frame(rows, parameters, shared.get("levels", {}), {"y": outcome})
    y, center = data.outcomes["y"], _center(parameters, data)
    weights = {name: np.array(value, np.float64) for name, value in parameters["weights"].items()}
    if "weights" in shared:
        weights = {name: stated(shared["weights"][name], *value.shape) for name, value in weights.items()}
    check_size(rows, data, sum(value.size for value in weights.values()))
    loss = 0.0
    for x, own in data.blocks(*center):
        score = np.clip(_scores(model, x, weights), 1e-15, 1 - 1e-15)
        loss -= np.where(y[own] > 0, np.log(score), np.log(1 - score)).sum()
    options = {name: parameters[name] for name in ("epochs", "rate", "batch", "mu")}
    random = np.random.default_rng([parameters["seed"], int(shared.get("done", 0))])
    trained = model.train(_epoch(data, y, center, parameters["batch"], rows.block, random), weights, options)
    change = {f"w {name}": len(y) * (trained[name] - weights[name]) for name in weights}
    if not all(np.isfinite(value).all() for value in change.values()):
        raise RefusedError("rule range: training diverged at this node")
    return {**change, "n": np.array([len(y)], np.int64), "loss": np.array([loss])}


class _Batch:
    """Rows of one step, in parts of `most`; all of them (None) as they lie, since their order changes nothing but rounding."""

    def __init__(self, data: Frame, y: Array, center: tuple[Any, Any], chosen: Any, most: int) -> None:
        self._data, self._y, self._center, self._chosen, self._most = data, y, center, chosen, most

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        if self._chosen is None:
            for x, own in self._data.blocks(*self._center):
                yield x, self._y[own]
            return
        for at in range(0, len(self._chosen), self._most):
            part = self._chosen[at : at + self._most]
            yield self._data.rows(part, *self._center), self._y[part]


def _epoch(data: Frame, y: Array, center: tuple[Any, Any], size: int, most: int, random: np.random.Generator) -> Epoch:
    def epoch() -> Iterator[_Batch]:
        if not 0 < size < len(y):
            yield _Batch(data, y, center, None, most)
            return
        order = random.permutation(len(y))
        for at in range(0, len(y), size):
            yield _Batch(data, y, center, order[at : at + size], most)

    return epoch


def _evaluate_combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    if isinstance(total, list):
        levels = agree(total)
        own = {name: levels[name] for name in parameters["covariates"] if name in levels}
        return {"groups": levels.get(parameters["by"], [""]), "levels": own}
    groups = shared.get("groups", [""])
    bins = parameters["bins"]
    cells = total["cells"].reshape(len(groups), 2, bins)
    mean = total["score"].reshape(len(groups), bins)
    brier = total["brier"].reshape(len(groups))
    kept = total["kept"].reshape(len(groups))
    table = {}
    for g, name in enumerate(groups):
        table[name] = _metrics(cells[g], mean[g], float(brier[g]), int(kept[g]))
    overall = _metrics(cells.sum(axis=0), mean.sum(axis=0), float(brier.sum()), int(kept.sum()))
    value = {**overall, "edges": np.linspace(0, 1, bins + 1), "overflow": int(total["overflow"][0])}
    if parameters["by"]:
        value["by"] = table
    return Done(value)


def _metrics(cells: Any, score: Any, brier: float, kept: int) -> dict[str, Any]:
    """From counts (0 or 1, bins of the score): rank statistics take ties within a bin as half."""
    zero, one = cells[0].astype(np.float64), cells[1].astype(np.float64)
    n0, n1 = zero.sum(), one.sum()
    beaten = np.cumsum(zero) - zero / 2
    half = len(zero) // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "n": int(n0 + n1),
            "positive": int(n1),
            "auc": float((one * beaten).sum() / (n0 * n1)),
            "accuracy": float((zero[:half].sum() + one[half:].sum()) / (n0 + n1)),
            "sensitivity": float(one[half:].sum() / n1),
            "specificity": float(zero[:half].sum() / n0),
            "brier": brier / kept if kept else float("nan"),
            "calibration": {
                "n": (cells[0] + cells[1]),
                "observed": one / (one + zero),
                "predicted": score / (one + zero),
            },
        }


@computation(
    name="evaluate",
    version=1,
    parameters={**_MODEL, "bins": Parameter("int", 100, low=2, high=10_000), "by": Parameter("name", None)},
    combine=_evaluate_combine,
    result={
        "n": "integer",
        "positive": "integer",
        "auc": "number",
        "accuracy": "number",
        "sensitivity": "number",
        "specificity": "number",
        "brier": "number",
        "calibration": "object",
        "edges": "array",
        "overflow": "integer",
        "by": "object?",
    },
    discloses="numbers of rows by outcome and bin of the score, the sum of the scores in each bin, and the sum of squared errors",
)
def evaluate(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Judge a model on all nodes' rows: discrimination, calibration, and a table by a column (the site, say).

    Parameters: model, weights, outcome, positive, features, covariates, mask, center as for fedavg; bins of the score (an
    even number puts the threshold 0.5 between two), by, where. Value: n, positive, auc (ties within a bin count half),
    accuracy, sensitivity, specificity at 0.5, brier (exact), calibration {n, observed, predicted} by bin, edges, overflow
    (rows in cells of few patients: they are in none of the figures), by {label: the same}.
    """
    wanted = [*parameters["covariates"], *([parameters["by"]] if parameters["by"] else [])]
    if wanted and "levels" not in shared:
        return category_labels(rows, wanted)
    model, bins = _family(parameters), parameters["bins"]
    groups = shared.get("groups", [""])
    rows.policy.check("values", len(groups) * (3 * bins + 2) + 1)
    member = np.array(rows.labels(parameters["by"]), str) if parameters["by"] else np.full(len(rows), "")
    code = {label: g for g, label in enumerate(groups)}
    group = np.array([float(code[m]) if m in code else np.nan for m in member])
    outcome = positives(rows, parameters["outcome"], parameters["positive"])
    data = frame(rows, parameters, shared.get("levels", {}), {"y": outcome, "group": group}, summed=False)
    weights = {name: np.asarray(value) for name, value in parameters["weights"].items()}
    y, g = data.outcomes["y"].astype(np.int64), data.outcomes["group"].astype(np.int64)
    cell, count = (g * 2 + y) * bins, len(groups) * 2 * bins
    sums = {"score": np.zeros(count), "brier": np.zeros(count)}
    for x, own in data.blocks(*_center(parameters, data)):
        score = _scores(model, x, weights)
        if not ((score >= 0) & (score <= 1)).all():
            raise RefusedError("rule range: a score lies outside 0 to 1")
        cell[own] += np.minimum((score * bins).astype(np.int64), bins - 1)
        sums["score"] += np.bincount(cell[own], score, count)
        sums["brier"] += np.bincount(cell[own], (score - y[own]) ** 2, count)
    counts = np.bincount(cell, minlength=count).astype(np.int64)
    shown, _, moved, _ = suppress(counts, (data.owners, cell), rows.minimum)
    by = {name: np.where(shown > 0, value, 0.0).reshape(len(groups), 2, bins) for name, value in sums.items()}
    return {
        "cells": shown,
        "overflow": np.array([moved], np.int64),
        "score": by["score"].sum(axis=1).ravel(),
        "brier": by["brier"].sum(axis=(1, 2)),
        "kept": shown.reshape(len(groups), -1).sum(axis=1),
    }
