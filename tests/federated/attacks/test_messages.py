"""Messages that no honest hub or requester sends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import FastimgError
from fastimg.federated import Federation
from fastimg.federated import _messages as wire

from .tools import NAMES, Recorder, ask, refused


def test_attack_unknown_computation_version_or_parameter(nodes):
    node = nodes()[0]
    refused(node, ask(computation="os.system"), "rule computations")
    refused(node, ask(version=99), "rule computations")
    refused(node, ask(checked=False, parameters={"code": "1"}), "ArgumentError")
    refused(node, ask("histogram", checked=False, parameters={"bins": 10**9, "range": [0, 1]}), "ArgumentError")
    refused(node, ask("combat", checked=False, parameters={"features": ["a"]}), "ArgumentError")


def test_attack_oversize_result(nodes):
    refused(nodes(max_values=100)[0], ask("histogram", parameters={"bins": 4096, "range": (0, 1)}), "rule max_values")
    node = nodes(max_memory_mb=1)[1]
    refused(
        node,
        ask("combat", parameters={"features": ["a"], "batch": "scanner"}, shared=wide(200_000)),
        "rule",
        "Argument",
    )


def wide(columns):
    """A design of so many levels that a node's table of it would be large."""
    levels = [f"level {k}" for k in range(columns)] + ["X", "Y"]
    return {"design": fi.harmonize.Design(["a"], levels).to_dict(), "holders": [3] * (columns + 2)}


BAD_NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\passwd",
    "%2e%2e%2fpasswd",
    "a/../../b",
    "\0",
    "passwd\n",
    "x" * 5000,
]


@pytest.mark.parametrize("bad", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_attack_path_traversal_in_every_name(nodes, tmp_path, bad):
    node = nodes()[0]
    refused(node, ask(computation=bad), "rule computations", "FormatError")
    refused(node, ask(requester=bad), "rule requesters", "FormatError")
    refused(node, ask(nodes=[bad, "beta", "gamma"]), "rule roster", "FormatError")
    places = [
        ("count", {"by": [bad]}),
        ("count", {bad: "x"}),
        ("count", {"where": {bad: "x"}}),
        ("count", {"where": {"scanner": bad}}),
        ("histogram", {"range": [0, 1], "feature": bad}),
        ("histogram", {"range": [0, 1], "mask": bad}),
        ("moments", {"features": [bad]}),
        ("moments", {"features": ["a"], "mask": bad}),
        ("nyul", {"mask": bad}),
        ("combat", {"features": ["a"], "batch": bad}),
        ("combat", {"features": ["a"], "batch": "scanner", "covariates": [bad]}),
        ("linear", {"outcome": bad, "features": ["a"]}),
        ("evaluate", {"model": bad, "weights": {}, "outcome": "age"}),
        ("tool", {"tool": bad}),
    ]
    for name, parameters in places:
        refused(node, ask(name, checked=False, parameters=parameters), "rule", "ArgumentError")
    for key in (bad, "../../x"):
        reply = wire.result(node.handle(wire.give(key[:200].encode("ascii", "ignore").decode(), b"x")))
        assert str(reply).split(":")[0] in ("rule rounds", "FormatError")
    assert {p.name for p in tmp_path.iterdir()} <= {
        f"{n}.jsonl{end}" for n in NAMES for end in ("", ".answers", ".noise")
    }


def test_attack_replayed_messages(nodes):
    node = nodes()[0]
    first = ask("moments", parameters={"features": ["a"]}).to_bytes()
    assert isinstance(wire.result(node.handle(wire.ask(first))), bytes)
    refused(node, first, "rule replay")
    again = nodes()[0]  # restarted: the log remembers
    refused(again, first, "rule replay")
    carried = Recorder(nodes())
    Federation(carried, requester="local").run("count")
    for key, message in carried.seen["alpha"]:  # the round is over, and its keys are gone
        reply = wire.result(carried.nodes["alpha"].handle(wire.give(key, message)))
        assert str(reply).startswith("rule rounds")


def test_attack_reordered_messages(nodes):
    node = nodes()[0]
    moments = ask("moments", parameters={"features": ["a"]})
    later = replace(moments, round=2, shared={"mean": np.zeros(1), "n": np.array([12])})
    refused(node, later, "rule order")
    assert isinstance(wire.result(node.handle(wire.ask(moments.to_bytes()))), bytes)
    refused(node, replace(later, round=4), "rule order")
    refused(node, replace(later, attempt=0), "rule order")
    carried = Recorder(nodes(), late=True)  # each node gets the message of another
    with pytest.raises(FastimgError):
        Federation(carried, requester="local").run("count")


def test_attack_formula_that_carries_code(nodes, tmp_path):
    flag = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(flag)!r}).touch()"
    node = nodes()[0]
    for name, parameters in [
        ("combat", {"features": ["a"], "batch": "scanner", "covariates": [f"age + {code}"[:120]]}),
        (
            "combat",
            {"features": ["a"], "batch": "scanner", "covariates": ["age"], "interactions": [["age", code[:120]]]},
        ),
        ("combat", {"features": ["a"], "batch": "scanner", "covariates": ["age"], "smooth": {"age": code}}),
        ("linear", {"features": ["a"], "outcome": code[:120]}),
        ("count", {"where": {code[:120]: 1}}),
        ("count", {"where": {"age": f"1 OR 1=1; {code}"}}),
        ("histogram", {"range": [0, code]}),
        ("histogram", {"range": [0, 1], "bins": code}),
        ("evaluate", {"model": code[:120], "weights": {}, "outcome": "first"}),
    ]:
        refused(node, ask(name, checked=False, parameters=parameters), "rule", "ArgumentError")
    assert not flag.exists()
