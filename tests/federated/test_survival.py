"""Kaplan-Meier and Cox over nodes against slow pooled twins and, where installed, other packages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from fastimg.errors import ArgumentError, RefusedError
from fastimg.federated._survival import coarsen, on_grid

pytestmark = pytest.mark.usefixtures("small_blocks")

GRID = np.arange(0.25, 60.25, 0.25)
TIMES = {"time": "months", "event": "died", "times": GRID.tolist()}


def put_on(grid, time, event):
    """The slow way: the first time of the grid that is not before the event; the last that is not after a censoring."""
    places = []
    for t, e in zip(time, event, strict=True):
        later = [k for k, g in enumerate(grid) if g >= t]
        if not later:
            places.append((len(grid) - 1, False))
        elif e:
            places.append((later[0], True))
        else:
            places.append((max([k for k, g in enumerate(grid) if g <= t], default=-1), False))
    return np.array([p for p, _ in places]), np.array([e for _, e in places])


def kaplan_meier(place, event, cells):
    curve, s = [], 1.0
    for k in range(cells):
        at_risk = sum(p >= k for p in place)
        deaths = sum(p == k and e for p, e in zip(place, event, strict=True))
        s *= 1 - deaths / at_risk if at_risk else 1
        curve.append(s)
    return np.array(curve)


def test_survival_equals_the_pooled_curve(ask, clinic):
    pooled = clinic[1]
    value = ask("survival", TIMES).value
    place, event = put_on(GRID, pooled["months"], pooled["died"])
    np.testing.assert_allclose(value["survival"][0], kaplan_meier(place, event, len(GRID)), rtol=1e-12)
    assert value["events"].sum() == event.sum() > 40
    assert value["at_risk"][0, 0] == 120
    # events fall on the grid, so the estimate is that of the exact times
    exact = 1.0
    for t in np.unique(pooled["months"][pooled["died"] == 1]):
        exact *= 1 - ((pooled["months"] == t) & (pooled["died"] == 1)).sum() / (pooled["months"] >= t).sum()
    assert value["survival"][0, -1] == pytest.approx(exact, rel=1e-12)


def test_groups_and_log_rank(ask, clinic):
    pooled = clinic[1]
    value = ask("survival", {**TIMES, "by": "sex"}).value
    assert value["groups"] == ["F", "M"]
    for g, sex in enumerate("FM"):
        own = pooled["sex"] == sex
        place, event = put_on(GRID, pooled["months"][own], pooled["died"][own])
        np.testing.assert_allclose(value["survival"][g], kaplan_meier(place, event, len(GRID)), rtol=1e-12)
    observed = expected = variance = 0.0
    for t in np.unique(pooled["months"][pooled["died"] == 1]):
        risk, deaths = pooled["months"] >= t, (pooled["months"] == t) & (pooled["died"] == 1)
        n, n1, d, d1 = (
            risk.sum(),
            (risk & (pooled["sex"] == "F")).sum(),
            deaths.sum(),
            (deaths & (pooled["sex"] == "F")).sum(),
        )
        observed, expected = observed + d1, expected + d * n1 / n
        variance += d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1) if n > 1 else 0
    assert value["log_rank"]["statistic"] == pytest.approx((observed - expected) ** 2 / variance, rel=1e-9)
    assert value["log_rank"]["degrees"] == 1


def negative_partial_likelihood(beta, x, place, event):
    eta, total = x @ beta, 0.0
    for k in np.unique(place[event]):
        deaths = event & (place == k)
        total += eta[deaths].sum() - deaths.sum() * np.log(np.exp(eta[place >= k]).sum())
    return -total


def test_cox_maximises_the_pooled_partial_likelihood(ask, clinic):
    pooled = clinic[1]
    value = ask("cox", {**TIMES, "features": ["x0", "x1"], "covariates": ["age", "sex"]}).value
    x = np.column_stack([pooled["x"][:, :2], pooled["age"], pooled["sex"] == "M"])
    mean, scale = x.mean(0), x.std(0)
    z = (x - mean) / scale
    place, event = put_on(GRID, pooled["months"], pooled["died"])
    best = minimize(negative_partial_likelihood, np.zeros(4), (z, place, event), method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(value["coefficients"] * scale, best.x, atol=2e-6)
    assert value["log_likelihood"] == pytest.approx(-best.fun, rel=1e-10)
    assert value["events"] == event.sum()
    statsmodels = pytest.importorskip("statsmodels.duration.api", reason="peer statsmodels is not installed")
    peer = statsmodels.PHReg(pooled["months"], x, status=pooled["died"], ties="breslow").fit()
    np.testing.assert_allclose(value["coefficients"], peer.params, rtol=1e-5)
    np.testing.assert_allclose(value["standard_errors"], peer.bse, rtol=1e-4)


def test_a_cox_model_of_too_many_parameters_is_refused(ask):
    """40 patients a node: a third is 13, a twentieth 2."""
    question = {**TIMES, "features": ["x0", "x1"], "covariates": ["age"]}
    with pytest.raises(RefusedError, match="rule max_parameters_per_case"):
        ask("cox", question, max_parameters_per_case=0.05)
    assert ask("cox", question).value["n"] == 120


def test_the_nodes_minimum_holds_at_every_time(ask):
    coarse = ask("survival", TIMES, min_cases=6).value
    fine = ask("survival", TIMES).value
    events = coarse["events"][0]
    assert events.sum() <= fine["events"].sum()
    assert (events[events > 0] >= 6).all()
    assert coarse["at_risk"][0].max() == 120
    with pytest.raises(RefusedError, match="rule min_cases"):
        ask("survival", {**TIMES, "where": {"died": 1}}, min_cases=41)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-1, 7), st.booleans(), st.integers(0, 5)), min_size=1, max_size=30),
    minimum=st.integers(1, 5),
)
def test_coarsening_never_shows_few_patients(rows, minimum):
    place, event, owners = (np.array(column) for column in zip(*rows, strict=True))
    event = event & (place >= 0)
    try:
        seen, happened = coarsen(place, event, owners, 8, minimum)
    except RefusedError:
        full = [k for k in range(8) if len(np.unique(owners[place >= k])) >= minimum]
        assert not full or 0 < len(np.unique(owners[event & (place <= max(full))])) < minimum
        return
    for k in range(8):
        at = happened & (seen == k)
        assert not at.any() or len(np.unique(owners[at])) >= minimum
        risk = seen >= k
        assert not risk.any() or len(np.unique(owners[risk])) >= minimum
    for k in range(-1, 8):  # who is in one risk set and not in the next, or in none
        leaving = seen == k
        assert not leaving.any() or len(np.unique(owners[leaving])) >= minimum
    if minimum == 1:
        np.testing.assert_array_equal(seen, place)
        np.testing.assert_array_equal(happened, event)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=1, max_size=20))
def test_the_grid_is_the_slow_ones(rows):
    time, event = (np.array(column) for column in zip(*rows, strict=True))
    grid = np.array([0.5, 1, 2, 4, 8])
    expected = put_on(grid, time, event)
    seen = on_grid(time, event, grid)
    np.testing.assert_array_equal(seen[0], expected[0])
    np.testing.assert_array_equal(seen[1], expected[1])


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("survival", {**TIMES, "times": [2, 1]}, "rising"),
        ("survival", {**TIMES, "times": []}, "rising"),
        ("cox", TIMES, "must be named"),
        ("cox", {**TIMES, "features": ["x0"], "where": {"died": 0}}, "no row has an event"),
    ],
)
def test_bad_questions(ask, name, parameters, words):
    with pytest.raises((ArgumentError, RefusedError), match=words):
        ask(name, parameters)
