"""A hub that lies: about the nodes, the earlier rounds, the question, the requester."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import FastimgError, RefusedError
from fastimg.federated import Federation, Identity, Policy, _exact, registered
from fastimg.federated import _messages as wire
from fastimg.federated._query import Request
from fastimg.federated._registry import Done, Labels
from fastimg.federated._reply import Answer
from fastimg.federated._rows import Rows

from .tools import NAMES, OPEN, Recorder, ask, refused


def test_attack_hub_asks_for_a_cohort_of_nine(nodes):
    node = nodes()[0]
    refused(node, ask(parameters={"where": {"first": True}}), "rule min_cases")
    names = ["a", "b"]
    refused(node, ask("moments", parameters={"features": names, "where": {"first": True}}), "rule min_cases")
    refused(node, ask("nyul", parameters={"where": {"first": True}}), "rule min_cases")
    value = Federation.local(nodes(min_cases=9)).run("count", by=["scanner"], levels={"scanner": ["X"]}).value
    assert (value["cases"].tolist(), value["overflow_cases"]) == ([0], 36)  # cells of six are in none but the overflow


def test_attack_hub_drops_nodes_to_force_a_plain_sum(nodes, signed):
    with pytest.raises(RefusedError, match="rule survivors"):
        Federation.local(nodes()[:2]).run("count")
    refused(nodes(secure_only=True)[0], ask(secure=False), "rule secure_only")
    requester, build = signed
    node = build()[0]
    plain = Request.signed(requester, "count", 1, registered()["count"].check({}), list(NAMES), secure=True)
    query = replace(ask(), nonce=plain.nonce, request=plain.to_bytes())
    refused(node, replace(query, secure=False), "rule identity")
    asked = Request.signed(requester, "count", 1, registered()["count"].check({}), list(NAMES), secure=False)
    refused(node, replace(query, nonce=asked.nonce, request=asked.to_bytes(), secure=False), "rule secure")


def test_attack_hub_drops_nodes_to_force_a_small_sum(nodes, signed):
    refused(nodes()[0], ask(nodes=["alpha", "beta"]), "rule survivors")
    requester, build = signed
    request = Request.signed(requester, "count", 1, registered()["count"].check({}), list(NAMES), secure=True)
    query = replace(ask(), nonce=request.nonce, request=request.to_bytes())
    node = build()[0]
    refused(node, replace(query, threshold=1), "rule threshold")
    refused(node, replace(query, threshold=0), "rule threshold")
    refused(node, replace(query, nodes=["alpha", "ghost", "spectre"]), "rule roster")
    # two of three answer and the third is said to be gone: nobody opens anything
    members = {n.name: n for n in nodes()}
    carried = Recorder(members.values())
    real = carried.exchange

    def loses(kind, key, messages):
        return {
            n: (RefusedError("gone") if n == "gamma" and kind == "give" else r)
            for n, r in real(kind, key, messages).items()
        }

    carried.exchange = loses
    with pytest.raises(FastimgError):
        Federation(carried, requester="local").run("count")
    assert all("opened" not in n.log.path.read_text() for n in members.values())


def test_attack_hub_says_that_more_nodes_hold_a_batch(signed):
    """Labels are signed: a node counts for itself who holds a batch."""
    requester, build = signed
    node = build(disclose_batches=False, min_cases=4)[0]
    parameters = registered()["combat"].check({"features": ["a"], "batch": "scanner"})
    request = Request.signed(requester, "combat", 1, parameters, list(NAMES), secure=True)
    labels = replace(ask("combat", parameters=parameters), nonce=request.nonce, request=request.to_bytes())
    assert isinstance(wire.result(node.handle(wire.ask(labels.to_bytes()))), bytes)
    lie = {"design": fi.harmonize.Design(["a"], ["X", "Y"]).to_dict(), "holders": [3, 3], "beta": np.zeros((0, 1))}
    refused(node, replace(labels, round=2, shared=lie), "rule disclose_batches")
    # other nodes' labels, that they did not sign
    made_up = {name: [{"scanner": ["X", "Y"]}, "00" * 64] for name in NAMES}
    refused(node, replace(labels, round=2, shared={**lie, "witnesses": made_up}), "rule disclose_batches")
    refused(node, replace(labels, round=2, shared={**lie, "witnesses": [1]}), "rule disclose_batches")
    fed = Federation.local(build(disclose_batches=False, min_cases=4), requester=requester)
    value = fed.run("combat", features=["a"], batch="scanner", eb=False).value  # all three hold both, and say so
    assert value.statistics.subjects == {"X": 18, "Y": 18}


ALONE = {"almost": ["True", "False"]}  # one of the twelve patients of a node is not among the "almost"


def test_attack_hub_makes_up_a_level_of_one_patient(nodes):
    """The column of such a level would sum one patient's outcome or feature: his rows are left out."""

    def sums(node, name, parameters, shared, **changes):
        query = ask(name, parameters=parameters, shared=shared, secure=False, **changes)
        answer = Answer.from_bytes(wire.result(node.handle(wire.ask(query.to_bytes()))))
        return _exact.decode(answer.words, answer.layout)

    models = {"linear": {"outcome": "age"}, "logistic": {"outcome": "first"}}
    models["fedavg"] = {"model": "logistic", "outcome": "first", "weights": {"coefficients": [0.0], "intercept": [0.0]}}
    for k, (name, parameters) in enumerate(models.items()):
        node = nodes(min_cases=2, computations=(*OPEN, *models))[0]
        seen = sums(node, name, parameters | {"covariates": ["almost"]}, {"levels": ALONE}, nonce=f"{k:032}")
        assert seen["n"].tolist() == [11], name
        if "sum" in seen:
            assert seen["sum"].tolist() == [0], name
    design = fi.harmonize.Design(["a", "b"], ["X", "Y"], {"almost": [True, False]}).to_dict()
    question = {"features": ["a", "b"], "batch": "scanner", "covariates": ["almost"]}
    seen = sums(nodes(min_cases=4)[1], "combat", question, {"design": design, "holders": [3, 3]})
    assert (seen["rows"].tolist(), seen["left_out"].tolist()) == ([6, 4], [2])  # of Y: 7 lacks b, 11 is not "almost"


def test_attack_requester_without_a_key(signed):
    requester, build = signed
    node = build()[0]
    refused(node, ask(), "rule identity")
    for stranger in (Identity.new("local"), Identity.new("mallory")):
        request = Request.signed(stranger, "count", 1, registered()["count"].check({}), list(NAMES), secure=True)
        query = replace(ask(), requester=stranger.name, nonce=request.nonce, request=request.to_bytes())
        refused(node, query, "rule identity")
    assert Federation.local(build(), requester=requester).run("count").value["cases"] == 36


def test_attack_hub_changes_the_question(signed):
    requester, build = signed
    node = build()[0]
    request = Request.signed(requester, "count", 1, registered()["count"].check({}), list(NAMES), secure=True)
    query = replace(ask(), nonce=request.nonce, request=request.to_bytes())
    for change in (
        {"parameters": registered()["count"].check({"by": ["scanner"]})},
        {"computation": "histogram"},
        {"requester": "other"},
        {"nonce": "f" * 32},
    ):
        refused(node, replace(query, **change), "rule identity")
    refused(node, replace(query, nodes=[*NAMES, "delta"]), "rule roster")


MADE = {"model": "logistic", "outcome": "first", "weights": {"coefficients": np.zeros(2), "intercept": np.zeros(1)}}
STATED = [  # what a hub states in later rounds that values of rows are multiplied with or taken from
    ("moments", {}, {"mean"}),
    ("moments", {"covariance": True}, {"mean"}),
    ("feature_summary", {}, {"mean"}),
    ("quantiles", {"range": [-3, 3], "probabilities": [0.5]}, {"middle"}),
    ("linear", {"outcome": "age"}, {"mean", "y_mean"}),
    ("logistic", {"outcome": "first", "l2": 1.0}, {"mean", "scale", "beta"}),
    ("cox", {"time": "age", "event": "first", "times": [53, 56], "l2": 1.0}, {"mean", "scale", "beta"}),
    ("fedavg", {**MADE, "rounds": 2}, {"coefficients", "intercept"}),
    ("combat", {"batch": "scanner", "covariates": ["age"]}, {"y", "c", "beta"}),
    ("site_effect", {"batch": "scanner", "covariates": ["age"], "auc": True, "folds": 2},
     {"y", "c", "beta", "level", "grand", "sd", "weights"}),
]  # fmt: skip


def for_every_row(state, name, rows):
    """The state with such a number for each of the rows, as NumPy would broadcast it; one of them stands out."""
    state = dict(state)
    if name not in state:
        return {**state, "weights": for_every_row(state["weights"], name, rows)}
    value = np.asarray(state[name])
    state[name] = np.stack([value] * rows)
    state[name][3] *= 1000
    return state


@pytest.mark.parametrize(("name", "parameters", "names"), STATED, ids=lambda v: v if isinstance(v, str) else "")
def test_attack_hub_weighs_single_rows(cohorts, name, parameters, names):
    """A mean, scale or slope for every row would make of a sum of products one row's values."""
    policy = Policy(min_cases=2, max_parameters_per_case=1.0)
    what = registered()[name]
    known, shared, seen = what.check({"features": ["a", "b"], **parameters}), {}, set()
    while True:
        honest = what.local(Rows(cohorts[0], policy), known, shared)
        there = {stated for stated in names if stated in shared or stated in shared.get("weights", ())}
        for stated, rows in product(there, (11, 12)):  # one patient lacks b
            try:
                sums = what.local(Rows(cohorts[0], policy), known, for_every_row(shared, stated, rows))
            except RefusedError as error:
                assert "rule shared" in str(error)
                seen.add(stated)
            else:  # not looked at in this round
                assert all((sums[key] == honest[key]).all() for key in honest)
        shared = what.combine([honest.of] if isinstance(honest, Labels) else honest, known, shared)
        if isinstance(shared, Done):
            break
    assert seen == names
