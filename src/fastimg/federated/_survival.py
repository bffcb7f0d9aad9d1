"""survival: Kaplan-Meier and log-rank on a public grid of times. cox: proportional hazards by Newton's rounds on it.

Times never leave a node. Each node first coarsens its own rows: events move on to a later time of the grid until every
time that has events has those of `min_cases` patients, follow-up ends (rows are censored) at the last time at which
`min_cases` patients are at risk, and censorings move on until those of `min_cases` patients leave the risk set together: two
sums over risk sets that differ by fewer would show what these few hold. With a minimum of 1 the rows are only put on the grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, RefusedError
from ._frame import PREDICTORS, added, agree, category_labels, check_size, frame, numbers, positives
from ._models import _TOLERANCE, _names, _solve
from ._registry import Done, Parameter, computation, stated
from ._rows import Rows

__all__ = ["coarsen", "cox", "survival"]

_TIMES = {
    "time": Parameter("name"),
    "event": Parameter("name"),
    "positive": Parameter("name", None),
    "times": Parameter("numbers", high=2000),
}
_MOST_ROUNDS = 30

Index = npt.NDArray[np.int64]


def on_grid(time: Any, event: Any, grid: Any) -> tuple[Index, npt.NDArray[np.bool_]]:
    """(place, event) on rising times: an event happens at the first time >= its own; a row is at risk at the times up to
    its place; censored before the first time of the grid: place -1. What lies beyond the grid is censored at its end."""
    grid = np.asarray(grid, np.float64)
    event = np.asarray(event, bool)
    at = np.searchsorted(grid, time, side="left")
    place = np.where(event, at, np.searchsorted(grid, time, side="right") - 1)
    beyond = at >= len(grid)
    return np.where(beyond, len(grid) - 1, place).astype(np.int64), event & ~beyond


def coarsen(place: Index, event: Any, owners: Index, cells: int, minimum: int) -> tuple[Index, npt.NDArray[np.bool_]]:
    """Move events and censorings later and end the follow-up until no cell of events, no risk set and no difference of two
    risk sets has fewer than `minimum` patients.

    Raises
    ------
    RefusedError
        There are events, but of fewer patients than the minimum.
    """
    place, event = place.copy(), np.asarray(event, bool).copy()
    # the follow-up ends where the risk set gets too small
    last = _last_full(place, owners, cells, minimum)
    if last < 0:
        raise RefusedError(f"rule min_cases: fewer than {minimum} patients are at risk at the first time")
    event &= place <= last
    place = np.minimum(place, last)
    # events wait until enough patients have one; those left over at the end join the last full time
    held: list[int] = []
    full = -1
    for k in range(last + 1):
        held += np.flatnonzero(event & (place == k)).tolist()
        if held and len(np.unique(owners[held])) >= minimum:
            place[held] = k
            held, full = [], k
    if held:
        if full < 0:
            raise RefusedError(f"rule min_cases: events of fewer than {minimum} patients")
        place[held] = full  # earlier than they were: fewer are at risk afterwards
        place = np.minimum(place, _last_full(place, owners, cells, minimum))
    leaving: list[int] = []  # at the last time enough leave: all that are at risk then
    for k in range(-1, int(place.max()) + 1):
        leaving += np.flatnonzero(place == k).tolist()
        if len(np.unique(owners[leaving])) >= minimum:
            place[leaving] = k
            leaving = []
    return place, event


def _last_full(place: Index, owners: Index, cells: int, minimum: int) -> int:
    """The last time at which enough patients are at risk; -1: never."""
    latest = np.full(int(owners.max(initial=-1)) + 1, -2, np.int64)  # of a patient; -2: none is
    np.maximum.at(latest, owners, place)
    latest = np.sort(latest[latest > -2])[::-1]
    return min(int(latest[minimum - 1]), cells - 1) if len(latest) >= minimum else -1


def _at_risk(sums: Any) -> Any:
    """In place, from sums over the rows whose place is each time: over those at risk then, whose place is not before it."""
    np.cumsum(sums[::-1], axis=0, out=sums[::-1])
    return sums


def _group_labels(answers: list[dict[str, list[str]]]) -> list[str]:
    return next(iter(agree(answers).values()))


def _survival_combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    if isinstance(total, list):
        return {"groups": _group_labels(total)}
    groups = shared.get("groups", [""])
    events, risk = total["events"], total["at_risk"]
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(risk > 0, 1 - events / np.maximum(risk, 1), 1.0)
        curve = factor.cumprod(axis=1)
        # Greenwood
        spread = np.where(risk > events, events / (np.maximum(risk, 1) * np.maximum(risk - events, 1)), 0.0).cumsum(
            axis=1
        )
    value = {
        "groups": groups if parameters["by"] else None,
        "times": np.array(parameters["times"]),
        "events": events,
        "at_risk": risk,
        "survival": curve,
        "standard_error": curve * np.sqrt(spread),
        "left_out": int(total["left_out"][0]),
    }
    if len(groups) > 1:
        value["log_rank"] = _log_rank(events, risk)
    note = (
        "Events and censorings of fewer patients than a node's minimum were moved to a later time of the grid, and the "
        "follow-up of a node ends where fewer are at risk."
    )
    return Done(value, [note])


def _log_rank(events: Any, risk: Any) -> dict[str, float]:
    """Mantel's statistic over the groups, chi-squared with groups - 1 degrees of freedom."""
    from scipy.stats import chi2

    d, n = events.sum(axis=0).astype(float), risk.sum(axis=0).astype(float)
    use = n > 1
    d, n, own = d[use], n[use], risk[:, use].astype(float)
    share = own / n
    difference = (events[:, use] - share * d).sum(axis=1)
    weight = d * (n - d) / (n - 1)
    covariance = np.diag((share * weight).sum(axis=1)) - (share * weight) @ share.T
    g = len(events) - 1
    statistic = float(difference[:g] @ np.linalg.pinv(covariance[:g, :g]) @ difference[:g])
    return {"statistic": statistic, "degrees": g, "p_value": float(chi2.sf(statistic, g))}


@computation(
    name="survival",
    version=1,
    parameters={**_TIMES, "by": Parameter("name", None)},
    combine=_survival_combine,
    result={
        "groups": "array?",
        "times": "array",
        "events": "array",
        "at_risk": "array",
        "survival": "array",
        "standard_error": "array",
        "left_out": "integer",
        "log_rank": "object?",
    },
    discloses="numbers of events and of rows at risk at the times of a public grid, by group",
)
def survival(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Kaplan-Meier curves (Kaplan & Meier 1958; Greenwood's errors; log-rank between groups) on a grid of times.

    Parameters: time and event (metadata columns; event is 0/1, true/false, or text with `positive` naming the label of an
    event), times (rising numbers in the unit of `time`), by (a column of groups), where. Value: groups, times, events,
    at_risk, survival and standard_error (arrays (groups, times)), left_out (rows with a missing value), log_rank.
    """
    by = parameters["by"]
    if by is not None and "groups" not in shared:
        labels = category_labels(rows, [by]).of
        if by not in labels:
            raise RefusedError("rule columns: `by` must be a column of text")
        from ._registry import Labels

        return Labels(labels)
    groups = shared.get("groups", [""])
    cells = len(parameters["times"])
    rows.policy.check("values", 2 * len(groups) * cells + 1)
    time = numbers(rows, parameters["time"])
    event = positives(rows, parameters["event"], parameters["positive"])
    good = np.isfinite(time) & np.isfinite(event) & (np.nan_to_num(time) >= 0)
    member = np.array(rows.labels(by), str) if by is not None else np.full(len(rows), "")
    good &= np.isin(member, groups)
    events, risk = np.zeros((len(groups), cells), np.int64), np.zeros((len(groups), cells), np.int64)
    rows.contribute([f"column {name}" for name in (parameters["time"], parameters["event"])], good)
    for g, label in enumerate(groups):
        own = good & (member == label)
        if not own.any():
            continue
        place, happened = on_grid(time[own], event[own] > 0, parameters["times"])
        place, happened = coarsen(place, happened, rows.patients[own], cells, rows.minimum)
        events[g] = np.bincount(place[happened], minlength=cells)
        risk[g] = _at_risk(np.bincount(place[place >= 0], minlength=cells))
    return {"events": events, "at_risk": risk, "left_out": np.array([int((~good).sum())], np.int64)}


def _cox_combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    if isinstance(total, list):
        return {"levels": agree(total)}
    if "mean" not in shared:
        n = int(total["n"][0])
        if int(total["events"][0]) == 0:
            raise ArgumentError("cox: no row has an event")
        mean = total["sum"] / n
        scale = np.sqrt(np.maximum(total["squares"] / n - mean**2, 0))
        if (scale <= 1e-12 * np.maximum(np.abs(mean), 1e-300)).any():
            raise ArgumentError("cox: a predictor has the same value in every row")
        start = {"beta": np.zeros(len(mean)), "step": 0, "n": n, "events": int(total["events"][0])}
        return {"levels": {}, **shared, "mean": mean, "scale": scale, **start}
    d, s0, s1, s2 = total["d"], total["s0"], total["s1"], total["s2"]
    at = d > 0
    d, s0, s1, s2 = d[at].astype(float), s0[at], s1[at], s2[at]
    mean = s1 / s0[:, None]
    gradient = total["x"] - (d[:, None] * mean).sum(axis=0)
    hessian = (d[:, None, None] * (s2 / s0[:, None, None] - mean[:, :, None] * mean[:, None, :])).sum(axis=0)
    beta = np.asarray(shared["beta"])
    penalty = parameters["l2"]
    step = _solve(hessian + penalty * np.eye(len(beta)), gradient - penalty * beta, "cox")
    if np.abs(step).max() < _TOLERANCE:
        likelihood = float(total["x"] @ beta - (d * np.log(s0)).sum())
        value = {
            "columns": _names(parameters, shared["levels"]),
            "n": shared["n"],
            "events": int(d.sum()),
            "coefficients": beta / shared["scale"],
            "log_likelihood": likelihood,
            "rounds": shared["step"],
        }
        if penalty == 0:
            value["standard_errors"] = np.sqrt(np.diag(np.linalg.inv(hessian))) / shared["scale"]
        return Done(value)
    if shared["step"] == _MOST_ROUNDS or np.abs(beta + step).max() > 1e3:
        raise ArgumentError("cox: no finite estimate: a predictor separates the events; give l2 > 0")
    return {**shared, "beta": beta + step, "step": shared["step"] + 1}


@computation(
    name="cox",
    version=1,
    parameters={**_TIMES, **PREDICTORS, "l2": Parameter("float", 0.0, low=0.0)},
    combine=_cox_combine,
    result={
        "columns": "array",
        "n": "integer",
        "events": "integer",
        "coefficients": "array",
        "log_likelihood": "number",
        "rounds": "integer",
        "standard_errors": "array?",
    },
    discloses="at the times of a public grid and at each step: sums over the rows at risk of exp(x b), x exp(x b), x x' exp(x b)",
)
def cox(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Cox's proportional hazards with Breslow's ties (Cox 1972; Breslow 1974) by Newton's rounds on a grid of times.

    Parameters: time, event, positive, times as for survival; features, covariates, mask, l2 (on standardised slopes),
    where. Value: columns, n, events, coefficients (log hazard ratios), log_likelihood, rounds and, for l2 = 0,
    standard_errors.
    """
    if parameters["covariates"] and "levels" not in shared:
        return category_labels(rows, parameters["covariates"])
    time = numbers(rows, parameters["time"])
    event = positives(rows, parameters["event"], parameters["positive"])
    outcomes = {"time": np.where(time >= 0, time, np.nan), "event": event}
    data = frame(rows, parameters, shared.get("levels", {}), outcomes)
    width, cells = len(data.columns), len(parameters["times"])
    if width == 0:
        raise ArgumentError("cox: features or covariates must be named")
    check_size(rows, data, width)
    rows.policy.check("values", cells * (width**2 + width + 2) + width)  # before they are made
    rows.reserve(8 * cells * width**2)
    place, happened = on_grid(data.outcomes["time"], data.outcomes["event"] > 0, parameters["times"])
    place, happened = coarsen(place, happened, data.owners, cells, rows.minimum)
    if "mean" not in shared:
        found = added({"sum": x.sum(axis=0), "squares": (x**2).sum(axis=0)} for x, _ in data.blocks())
        return {**found, "n": np.array([len(data)], np.int64), "events": np.array([int(happened.sum())], np.int64)}
    beta = stated(shared["beta"], width)
    s0, s1, s2 = np.zeros(cells), np.zeros((cells, width)), np.zeros((cells, width, width))
    events = np.zeros(width)
    for x, own in data.blocks(shared["mean"], shared["scale"]):
        weight = np.exp(np.clip(x @ beta, -500, 500))
        first = x * weight[:, None]
        events += x[happened[own]].sum(axis=0)
        for k in np.unique(place[own]):  # rows that leave the risk set after this time; before the first: never in it
            if k >= 0:
                there = place[own] == k
                s0[k] += weight[there].sum()
                s1[k] += first[there].sum(axis=0)
                s2[k] += first[there].T @ x[there]
    for sums in (s0, s1, s2):
        _at_risk(sums)
    return {
        "d": np.bincount(place[happened], minlength=cells).astype(np.int64),
        "x": events,
        "s0": s0,
        "s1": s1,
        "s2": s2,
    }
