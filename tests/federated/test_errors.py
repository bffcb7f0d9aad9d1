"""What a node says and writes of errors that are no rule's: a parameter by its name, else a kind; never data."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fastimg.errors import RefusedError
from fastimg.federated import Federation, Node, Policy, registered
from fastimg.federated import _messages as wire
from fastimg.federated import _registry as registry
from fastimg.federated._query import Query

MODEL = {
    "model": "logistic",
    "weights": {"coefficients": np.zeros(2), "intercept": np.zeros(1)},
    "outcome": "relapse",
    "features": ["x0", "x1"],
}


class Wire:
    """To nodes of this process by the bytes that travel."""

    def __init__(self, nodes):
        self._nodes = {node.name: node for node in nodes}

    def names(self):
        return list(self._nodes)

    def exchange(self, kind, key, messages):
        made = {name: wire.ask(m) if kind == "ask" else wire.give(key, m) for name, m in messages.items()}
        return {name: wire.result(self._nodes[name].handle(message)) for name, message in made.items()}


@pytest.fixture
def nodes(clinic, tmp_path):
    policy = Policy(min_cases=2, computations=("count", "moments", "fedavg", "evaluate", "survival", "logistic"))
    return [Node(path, policy, name=path.name, log=tmp_path / f"{path.name}.jsonl") for path in clinic[0]]


def last(node):
    return json.loads(node.log.path.read_text().splitlines()[-1])


def query(name, parameters, shared=None, **changes):
    fields = (name, 1, parameters, shared or {}, "local", "0" * 32, 1, 1, ["clinic-0"], 0, False)
    return replace(Query(*fields), **changes).to_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"center": {"mean": np.zeros(5), "scale": np.ones(5)}}, "center"),
        ({"weights": {"coefficients": np.zeros(5), "intercept": np.zeros(1)}}, "weights"),
        ({"model": "resnet"}, "model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hub_hears_which_parameter_no_node_takes(nodes, changes, said):
    fed = Federation(Wire(nodes), requester="local")
    with pytest.raises(RefusedError, match=rf"clinic-0 failed: ArgumentError: {said}; clinic-1 failed"):
        fed.run("evaluate", **(MODEL | changes))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, b"FArgumentError: features"),  # it is needed
        ({"features": "x0"}, b"FArgumentError: features"),
        ({"features": ["x0"], "Jane Doe": 1}, b"FArgumentError"),  # no parameter: not repeated
    ],
)
def test_wrong_parameters_by_name(nodes, parameters, said):
    assert nodes[0].handle(wire.ask(query("moments", parameters))) == said
    assert last(nodes[0])["rule"] == "ArgumentError"


@pytest.mark.parametrize("text", ["Jane Doe", "ArgumentError: Jane Doe", "ArgumentError: jane", "FormatError\nJane"])
def test_a_hub_repeats_of_a_node_only_public_words(nodes, text):
    nodes[0].handle = lambda message: wire.failure(text)
    result = Federation(Wire(nodes), requester="local").run("count", secure=False)
    assert [node["status"] for node in result.nodes] == ["failed: FastimgError", "answered", "answered"]


def test_an_unexpected_error_is_logged_by_its_kind(nodes, monkeypatch):
    node = nodes[0]

    def breaks(*_):
        raise ZeroDivisionError("Jane Doe")

    broken = replace(registered()["count"], local=breaks)
    monkeypatch.setitem(registry._REGISTRY, "count", broken)
    checked = registered()["count"].check({})
    assert node.handle(wire.ask(query("count", checked))) == b"Ffailed"
    assert (last(node)["event"], last(node)["rule"], last(node)["kind"]) == ("refused", "failed", "ZeroDivisionError")
    node._clients["key"] = type("Client", (), {"receive": breaks})()
    assert node.handle(wire.give("key", b"x")) == b"Ffailed"
    assert (last(node)["rule"], last(node)["kind"], last(node)["key"]) == ("failed", "ZeroDivisionError", "key")
    assert "Jane" not in node.log.path.read_text()


MANY = [f"level {k}" for k in range(2000)]


@pytest.mark.parametrize(
    ("name", "parameters", "shared"),
    [
        ("count", {"by": ["sex", "site", "relapse"]}, {"levels": dict.fromkeys(("sex", "site", "relapse"), MANY)}),
        ("count", {"by": ["sex", "site"], "levels": {"sex": MANY, "site": MANY}}, {}),
        ("survival", {"time": "months", "event": "died", "times": list(range(600)), "by": "sex"}, {"groups": MANY}),
        ("evaluate", MODEL | {"by": "sex", "bins": 1000}, {"groups": MANY, "levels": {}}),
        (
            "logistic",
            {"outcome": "relapse", "features": ["x0"], "covariates": ["sex"]},
            {"levels": {"sex": [f"{k}" for k in range(1_100_000)]}},
        ),
    ],
    ids=["count", "asked", "survival", "evaluate", "logistic"],
)
def test_levels_that_a_hub_makes_up_do_not_fill_the_memory(nodes, name, parameters, shared):
    """8 * 10^9 cells, 4 * 10^6, a million columns: refused before they are made."""
    checked = registered()[name].check(parameters)
    assert nodes[0].handle(wire.ask(query(name, checked, shared))).startswith(b"Frule max_values")
    assert last(nodes[0])["rule"] == "rule max_values"


def test_a_models_rows_have_a_limit(clinic, tmp_path):
    policy = Policy(min_cases=2, computations=("logistic",), max_memory_mb=1)
    node = Node(clinic[0][0], policy, log=tmp_path / "log")
    checked = registered()["logistic"].check({"outcome": "relapse", "features": ["x0"], "covariates": ["sex"]})
    asked = query("logistic", checked, {"levels": {"sex": [f"{k}" for k in range(5000)]}}, nodes=[node.name])
    assert node.handle(wire.ask(asked)).startswith(b"Frule max_memory_mb")
