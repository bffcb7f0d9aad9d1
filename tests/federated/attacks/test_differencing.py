"""Two answers whose difference would be one patient's or one node's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastimg.errors import RefusedError
from fastimg.federated import Federation, Node, Policy
from fastimg.federated import _messages as wire

from .tools import OPEN, ask, refused


def test_attack_differencing_by_two_overlapping_queries(nodes):
    members = nodes()
    fed = Federation.local(members)
    assert fed.run("moments", features=["a"]).value["n"].tolist() == [36]
    with pytest.raises(RefusedError, match="rule differencing"):  # everybody but one at each node
        fed.run("moments", features=["a"], where={"almost": True})
    others = Policy(
        min_cases=10, computations=OPEN, requesters=("somebody else",)
    )  # across requesters, after a restart
    again = [Node(n.cohort, others, name=n.name, log=n.log.path) for n in members]
    with pytest.raises(RefusedError, match="rule differencing"):
        Federation.local(again, requester="somebody else").run("count", where={"almost": True})
    refused(nodes()[0], ask(nonce="1" * 32, parameters={"where": {"almost": True}}), "rule differencing")


def test_attack_differencing_by_a_missing_value(nodes):
    members = nodes(min_cases=9)
    Federation.local(members).run("moments", features=["a"])
    with pytest.raises(RefusedError, match="rule differencing"):
        Federation.local(members).run("moments", features=["a", "b"], covariance=True)


def test_attack_differencing_by_a_rerun(cohorts, tmp_path):
    def members(count):
        policy = Policy(min_cases=10, computations=OPEN)
        return [Node(cohorts[k % 3], policy, name=f"n{k}", log=tmp_path / f"{k}") for k in range(count)]

    assert Federation.local(members(5)).run("count").value["cases"] == 60
    with pytest.raises(RefusedError, match="rule rerun"):
        Federation.local(members(4)).run("count")
    # a hub that calls the rerun another round of the same request
    first = ask(nodes=[f"n{k}" for k in range(5)], threshold=3, nonce="2" * 32)
    node = members(1)[0]
    assert isinstance(wire.result(node.handle(wire.ask(first.to_bytes()))), bytes)
    refused(node, replace(first, nodes=[f"n{k}" for k in range(4)], round=2, attempt=2), "rule rerun")
