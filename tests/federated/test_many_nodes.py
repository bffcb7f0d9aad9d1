"""Above 64 nodes secure sums go over the sparse graph of SecAgg+."""

from __future__ import annotations

import numpy as np
import pytest

from fastimg.errors import RefusedError
from fastimg.federated import Federation, Identity, Node, Policy, Roster
from fastimg.federated import _node as node_module

from .memory import Table

COUNT = 70


@pytest.fixture
def clients(monkeypatch):
    """Every secagg.Client that nodes make."""
    made = []
    real = node_module.Client

    def client(*args, **options):
        made.append(real(*args, **options))
        return made[-1]

    monkeypatch.setattr(node_module, "Client", client)
    return made


@pytest.mark.parametrize("active", [False, True])
def test_seventy_nodes_are_summed_over_a_sparse_graph(tmp_path, clients, active):
    rng = np.random.default_rng(1)
    tables = [Table(rng.normal(size=(5, 3))) for _ in range(COUNT)]
    names = [f"n{k:02}" for k in range(COUNT)]
    members, requester = {}, "local"
    if active:
        authority, requester = Identity.new("authority"), Identity.new("local")
        identities = {name: Identity.new(name) for name in names}
        roster = Roster().trust("local", "requester", requester.public)
        for name, identity in identities.items():
            roster = roster.trust(name, "node", identity.public)
        roster = roster.signed(authority)
        members = {name: {"identity": identity, "roster": roster} for name, identity in identities.items()}
    nodes = [
        Node(table, Policy(min_cases=1), name=name, log=tmp_path / name, **members.get(name, {}))
        for name, table in zip(names, tables, strict=True)
    ]
    silent = nodes[7]

    def receive(key, message, real=silent.receive, asked=[]):  # noqa: B006
        asked.append(key)
        if len(asked) > 1:  # after its keys, before its sum
            raise OSError("gone")
        return real(key, message)

    silent.receive = receive
    value = Federation.local(nodes, requester=requester).run("histogram", feature="f1", bins=3, range=(-9, 9)).value
    kept = [t for k, t in enumerate(tables) if k != 7]
    x = np.concatenate([t.features()["f1"].to_numpy() for t in kept])
    np.testing.assert_array_equal(value["counts"], np.histogram(x, 3, (-9, 9))[0])
    assert len(clients) == COUNT
    assert all(0 < c._terms.neighbours < COUNT - 1 for c in clients)


def test_few_nodes_do_not_get_a_sparse_graph(tmp_path):
    """A hub that names no threshold for few nodes gets no sum."""
    from fastimg.federated import registered
    from fastimg.federated._query import Query

    node = Node(Table(np.zeros((5, 1))), Policy(min_cases=1), name="a", log=tmp_path / "a")
    query = Query("count", 1, registered()["count"].check({}), {}, "local", "0" * 32, 1, 1, ["a", "b", "c"], 0, True)
    with pytest.raises((RefusedError, ValueError)):
        node.answer(query.to_bytes())
