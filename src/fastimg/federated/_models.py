"""linear and logistic models with ridge regularisation: sums of cross products, Newton rounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import ArgumentError, RefusedError
from ._frame import PREDICTORS, Frame, added, agree, category_labels, check_size, frame, numbers, positives
from ._registry import Done, Parameter, computation, stated
from ._rows import Rows

__all__ = ["linear", "logistic"]

_TOLERANCE = 1e-10  # of a Newton step, in standard deviations of the columns
_MOST_ROUNDS = 50


def _first(total: Any, shared: dict[str, Any]) -> dict[str, Any] | None:
    """The state after the rounds that all models share: levels, then number, mean and scale of the columns."""
    if isinstance(total, list):
        return {"levels": agree(total)}
    if "mean" in shared:
        return None
    n = int(total["n"][0])
    return {"levels": {}, **shared, "n": n, "mean": total["sum"] / n, "columns": None}


def _labels_wanted(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    if parameters["covariates"] and "levels" not in shared:
        return category_labels(rows, parameters["covariates"])
    return None


def _open(rows: Rows, data: Frame) -> dict[str, Any]:
    check_size(rows, data, len(data.columns) + 1)
    rows.reserve(8 * len(data.columns) ** 2)  # of the rounds that follow
    return {"n": np.array([len(data)], np.int64), **added({"sum": x.sum(axis=0)} for x, _ in data.blocks())}


def _solve(matrix: Any, vector: Any, what: str) -> Any:
    try:
        if np.linalg.cond(matrix) > 1e12:
            raise np.linalg.LinAlgError
        return np.linalg.solve(matrix, vector)
    except np.linalg.LinAlgError:
        raise ArgumentError(f"{what}: the predictors determine one another; leave some out or give l2 > 0") from None


def _names(parameters: dict[str, Any], levels: dict[str, list[str]]) -> list[str]:
    names = list(parameters["features"])
    for column in parameters["covariates"]:
        names += [f"{column}={level}" for level in levels[column][1:]] if column in levels else [column]
    return names


def _linear_combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    state = _first(total, shared)
    if state is not None:
        if "y" in total:
            state["y_mean"] = float(total["y"][0]) / state["n"]
        return state
    n, l2 = shared["n"], parameters["l2"]
    # about the means: intercept and slopes come apart; what the first means were rounded by is taken out
    xx = total["xx"] - np.outer(total["x"], total["x"]) / n
    xy = total["xy"] - total["x"] * total["y"][0] / n
    yy = float(total["yy"][0] - total["y"][0] ** 2 / n)
    scale = np.sqrt(np.diag(xx) / n)
    if (scale <= 0).any():
        raise ArgumentError("linear: a predictor has the same value in every row")
    penalised = xx / np.outer(scale, scale) + l2 * np.eye(len(scale))
    slopes = _solve(penalised, xy / scale, "linear") / scale
    mean, y_mean = shared["mean"] + total["x"] / n, shared["y_mean"] + float(total["y"][0]) / n
    rss = float(yy - 2 * slopes @ xy + slopes @ xx @ slopes)
    free = n - len(slopes) - 1
    value = {
        "columns": _names(parameters, shared["levels"]),
        "n": n,
        "intercept": float(y_mean - slopes @ mean),
        "coefficients": slopes,
        "residual_variance": rss / free if free > 0 else float("nan"),
        "r_squared": 1 - rss / yy if yy > 0 else float("nan"),
    }
    if l2 == 0:
        value["standard_errors"] = np.sqrt(np.diag(np.linalg.inv(xx)) * value["residual_variance"])
    return Done(value)


@computation(
    name="linear",
    version=1,
    parameters={**PREDICTORS, "outcome": Parameter("name"), "l2": Parameter("float", 0.0, low=0.0)},
    combine=_linear_combine,
    result={
        "columns": "array",
        "n": "integer",
        "intercept": "number",
        "coefficients": "array",
        "residual_variance": "number",
        "r_squared": "number",
        "standard_errors": "array?",
    },
    discloses="means, and the sums of squares and products of predictors and outcome over all nodes",
)
def linear(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Least squares of a numeric metadata column on features and covariates, with a ridge penalty on standardised slopes.

    Parameters: outcome, features, covariates (text columns are categories), mask, l2, where. Minimised: RSS + l2 * sum of
    (slope * population standard deviation of its column)^2. Value: columns, n, intercept, coefficients, residual_variance,
    r_squared and, for l2 = 0, standard_errors.
    """
    wanted = _labels_wanted(rows, parameters, shared)
    if wanted is not None:
        return wanted
    data = frame(rows, parameters, shared.get("levels", {}), {"y": numbers(rows, parameters["outcome"])})
    y = data.outcomes["y"]
    if "mean" not in shared:
        return {**_open(rows, data), "y": np.array([y.sum()])}
    check_size(rows, data, len(data.columns) + 1)
    rows.reserve(8 * len(data.columns) ** 2)
    y = y - stated(shared["y_mean"])

    def products() -> Iterator[dict[str, Any]]:
        for x, own in data.blocks(shared["mean"]):
            yield {"x": x.sum(axis=0), "xx": x.T @ x, "xy": x.T @ y[own]}

    return {**added(products()), "y": np.array([y.sum()]), "yy": np.array([y @ y])}


def _logistic_combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    state = _first(total, shared)
    if state is not None:
        return state
    n, l2 = shared["n"], parameters["l2"]
    if "scale" not in shared:
        variance = (total["squares"] - total["x"] ** 2 / n) / n
        if (variance <= 0).any():
            raise ArgumentError("logistic: a predictor has the same value in every row")
        positive = int(total["positive"][0])
        if positive in (0, n):
            raise ArgumentError("logistic: all rows have the same outcome")
        beta = np.append(np.log(positive / (n - positive)), np.zeros(len(variance)))
        start = {"scale": np.sqrt(variance), "beta": beta, "positive": positive, "step": 0}
        return {**shared, "mean": shared["mean"] + total["x"] / n, **start}
    beta = np.asarray(shared["beta"])
    penalty = l2 * np.append(0.0, np.ones(len(beta) - 1))
    hessian = total["hessian"] + np.diag(penalty)
    step = _solve(hessian, total["gradient"] - penalty * beta, "logistic")
    if np.abs(step).max() < _TOLERANCE:
        return Done(_logistic_value(total, parameters, shared, hessian))
    if shared["step"] == _MOST_ROUNDS or np.abs(beta + step).max() > 1e3:
        raise ArgumentError("logistic: no finite estimate: the predictors separate the outcomes; give l2 > 0")
    return {**shared, "beta": beta + step, "step": shared["step"] + 1}


def _logistic_value(total: Any, parameters: dict[str, Any], shared: dict[str, Any], hessian: Any) -> dict[str, Any]:
    beta, scale, mean = np.asarray(shared["beta"]), shared["scale"], shared["mean"]
    slopes = beta[1:] / scale
    value = {
        "columns": _names(parameters, shared["levels"]),
        "n": shared["n"],
        "positive": shared["positive"],
        "intercept": float(beta[0] - slopes @ mean),
        "coefficients": slopes,
        "log_likelihood": float(total["likelihood"][0]),
        "rounds": shared["step"],
    }
    if parameters["l2"] == 0:
        value["standard_errors"] = np.sqrt(np.diag(np.linalg.inv(hessian))[1:]) / scale
    return value


@computation(
    name="logistic",
    version=1,
    parameters={
        **PREDICTORS,
        "outcome": Parameter("name"),
        "positive": Parameter("name", None),
        "l2": Parameter("float", 0.0, low=0.0),
    },
    combine=_logistic_combine,
    result={
        "columns": "array",
        "n": "integer",
        "positive": "integer",
        "intercept": "number",
        "coefficients": "array",
        "log_likelihood": "number",
        "rounds": "integer",
        "standard_errors": "array?",
    },
    discloses="mean and variance of each predictor, and gradient and curvature of the likelihood at each step",
)
def logistic(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Logistic regression by Newton's rounds, with a ridge penalty on standardised slopes (not on the intercept).

    Parameters: outcome (0/1, true/false, or text with `positive` naming the label that counts as 1), features, covariates,
    mask, l2, where. Maximised: log-likelihood - l2/2 * sum of (slope * standard deviation)^2. Value: columns, n, positive,
    intercept, coefficients, log_likelihood, rounds and, for l2 = 0, standard_errors (Wald).
    """
    wanted = _labels_wanted(rows, parameters, shared)
    if wanted is not None:
        return wanted
    outcome = positives(rows, parameters["outcome"], parameters["positive"])
    data = frame(rows, parameters, shared.get("levels", {}), {"y": outcome})
    y = data.outcomes["y"]
    if "mean" not in shared:
        _two_classes(rows, data)
        return _open(rows, data)
    check_size(rows, data, len(data.columns) + 1)
    if "scale" not in shared:
        found = added({"x": x.sum(axis=0), "squares": (x * x).sum(axis=0)} for x, _ in data.blocks(shared["mean"]))
        return {**found, "positive": np.array([int(y.sum())], np.int64)}
    rows.reserve(8 * len(data.columns) ** 2)
    beta = stated(shared["beta"], len(data.columns) + 1)

    def slopes() -> Iterator[dict[str, Any]]:
        for x, own in data.blocks(shared["mean"], shared["scale"]):
            design = np.column_stack([np.ones(len(x)), x])
            eta = design @ beta
            p = 1 / (1 + np.exp(-np.clip(eta, -700, 700)))
            yield {
                "gradient": design.T @ (y[own] - p),
                "hessian": (design * (p * (1 - p))[:, None]).T @ design,
                "likelihood": np.array([y[own] @ eta - np.logaddexp(0, eta).sum()]),
            }

    return added(slopes())


def _two_classes(rows: Rows, data: Frame) -> None:
    """A class that few patients of this node carry is too small a cell."""
    for label in (0.0, 1.0):
        held = len(np.unique(data.owners[data.outcomes["y"] == label]))
        if 0 < held < rows.minimum:
            raise RefusedError(f"rule min_cases: fewer than {rows.minimum} patients have one of the two outcomes")
