"""A node that gives nonsense or talks, and a log that was tampered with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastimg.errors import IntegrityError, RefusedError
from fastimg.federated import Federation, Node, Policy, computation, verify_log
from fastimg.federated import _messages as wire
from fastimg.federated import _registry as registry

from .tools import SECRET, ask


def test_attack_tampered_log(nodes):
    members = nodes()
    Federation.local(members).run("count")
    node = members[0]
    good = node.log.path.read_bytes()
    lines = good.splitlines(keepends=True)
    for bad in (
        good.replace(b'"cases":12', b'"cases":13', 1),
        lines[1],
        lines[1] + lines[0],
        good[:-9],
        lines[0] + lines[0] + lines[1],
    ):
        node.log.path.write_bytes(bad)
        with pytest.raises(IntegrityError, match="audit: "):
            verify_log(node.log.path)
        with pytest.raises(IntegrityError, match="audit: "):
            nodes()
    node.log.path.write_bytes(good + lines[1])  # under a node that runs: it does not write to a log that is not its own
    reply = wire.result(node.handle(wire.ask(ask(nonce="3" * 32).to_bytes())))
    assert str(reply) == "IntegrityError"
    # a chain made anew from the first line verifies, and does not end in the head that results name
    node.log.path.unlink()
    forged = Node(node.cohort, node.policy, name="alpha", log=node.log.path)
    assert isinstance(wire.result(forged.handle(wire.ask(ask(secure=False, nonce="4" * 32).to_bytes()))), bytes)
    assert json.loads(lines[-1])["hash"] not in forged.log.path.read_text()


@pytest.fixture
def crooked():
    """Computations with which a node gives what it should not."""

    @computation(name="attack-nan")
    def nan(rows, parameters, shared):
        return {"v": np.array([np.nan, np.inf])}

    @computation(name="attack-shape")
    def shape(rows, parameters, shared):
        return {"v": np.zeros(1 + hash(str(rows.column("age")[0]) + str(id(rows))) % 1000)}

    yield
    for name in ("attack-nan", "attack-shape"):
        registry._REGISTRY.pop(name)


def test_attack_node_sends_nan(nodes, crooked):
    members = nodes(computations=("attack-nan", "count"))
    with pytest.raises(RefusedError, match="rule range"):
        Federation.local(members).run("attack-nan")
    assert Federation.local(members).run("count").value["cases"] == 36


def test_attack_node_sends_a_wrong_shape(nodes, crooked):
    members = nodes(computations=("attack-shape", "count"))
    with pytest.raises(RefusedError, match="rule layout"):
        Federation.local(members).run("attack-shape")
    assert Federation.local(members).run("count").value["cases"] == 36


def test_attack_node_that_breaks_and_talks(nodes, cohorts, tmp_path):
    class Broken(Node):
        def answer(self, query):
            raise ValueError(f"patient {SECRET}")

    broken = Broken(cohorts[0], Policy(min_cases=4), name="broken", log=tmp_path / "log")
    r = Federation.local([*nodes(), broken]).run("count")
    assert r.value["cases"] == 36
    assert r.nodes[3] == {"name": "broken", "status": "failed: failed"}
    assert "Jane" not in repr(r)
