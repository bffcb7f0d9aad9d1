"""Keys, rosters and signed requests: what is not signed by who should have is refused, also after a restart."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from fastimg.errors import ArgumentError, FormatError, RefusedError
from fastimg.federated import Federation, Identity, Node, Policy, Roster, registered, signed_request
from fastimg.federated._codec import dumps, loads
from fastimg.federated._query import Query, Request

NAMES = ("alpha", "beta", "gamma")


@pytest.fixture
def members(hospitals, tmp_path):
    """(authority, requester, {node: identity}, roster, make node)."""
    authority, requester = Identity.new("authority"), Identity.new("statistician")
    nodes = {name: Identity.new(name) for name in NAMES}
    roster = Roster().trust("statistician", "requester", requester.public)
    for name, identity in nodes.items():
        roster = roster.trust(name, "node", identity.public)
    roster = roster.signed(authority)

    def node(name, roster=roster, **rules):
        policy = Policy(**({"min_cases": 4, "requesters": ("statistician",)} | rules))
        path = hospitals[0][NAMES.index(name)]
        return Node(path, policy, identity=nodes[name], roster=roster, log=tmp_path / f"{name}.jsonl")

    return authority, requester, nodes, roster, node


def test_a_key_file_is_ones_own(tmp_path):
    identity = Identity.new("me")
    path = tmp_path / "me.key"
    identity.save(path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert Identity.load(path).public == identity.public
    secret = json.loads(path.read_text())["key"]
    assert secret not in repr(identity)
    with pytest.raises(TypeError):
        pickle.dumps(identity)
    with pytest.raises(ArgumentError, match="cannot be made"):
        identity.save(path)
    path.chmod(0o640)
    with pytest.raises(RefusedError, match="others may read"):
        Identity.load(path)
    path.chmod(0o600)
    path.write_text("{}")
    with pytest.raises(FormatError, match="not a fastimg-key"):
        Identity.load(path)
    with pytest.raises(ArgumentError, match="cannot be read"):
        Identity.load(tmp_path / "none")
    for name in ("", "a/b", "../x", "a" * 65, "x\n"):
        with pytest.raises(ArgumentError, match="name: "):
            Identity.new(name)


def test_a_roster_counts_only_as_its_authority_signed_it(members, tmp_path):
    authority, _, nodes, roster, _ = members
    data = roster.to_bytes()
    assert Roster.from_bytes(data, authority=authority.public) == roster
    file = tmp_path / "roster.json"
    file.write_bytes(data)
    assert Roster.load(file, authority=authority.public) == roster
    with pytest.raises(RefusedError, match="rule roster"):
        Roster.from_bytes(data, authority=Identity.new("x").public)
    for changed in (
        data.replace(nodes["alpha"].public.encode(), Identity.new("m").public.encode()),
        data.replace(b'"serial":1', b'"serial":2'),
        data.replace(b'"requester"', b'"node"'),
    ):
        with pytest.raises((RefusedError, FormatError)):
            Roster.from_bytes(changed, authority=authority.public)
    again = roster.revoke("beta").signed(authority)
    assert again.serial == 2
    assert again.key("beta", "node") is None
    with pytest.raises(RefusedError, match="revoked"):
        again.trust("beta", "node", nodes["beta"].public)
    with pytest.raises(FormatError, match="twice"):
        roster.trust("delta", "node", nodes["beta"].public)
    with pytest.raises(ArgumentError, match="no member"):
        roster.revoke("nobody")


def test_signed_requests_are_answered_in_the_active_model(members):
    _, requester, _, _, node = members
    result = Federation.local([node(name) for name in NAMES], requester=requester).run("count")
    assert result.value["cases"] == 72
    assert result.provenance["requester"] == "statistician"
    assert any(text.startswith("Active model") for text in result.privacy)


def test_nobody_else_is_answered(members):
    _, requester, nodes, _, node = members
    with pytest.raises(RefusedError, match="signed requests only"):
        Federation.local([node(name) for name in NAMES], requester="statistician").run("count")
    with pytest.raises(RefusedError, match="signature does not fit"):
        Federation.local([node(name) for name in NAMES], requester=Identity.new("statistician")).run("count")
    with pytest.raises(RefusedError, match="not in this node's roster"):
        Federation.local([node(name) for name in NAMES], requester=Identity.new("mallory")).run("count")
    with pytest.raises(RefusedError, match="not in this node's roster"):  # a node's key asks no questions
        Federation.local([node(name) for name in NAMES], requester=nodes["alpha"]).run("count")
    with pytest.raises(RefusedError, match="rule secure"):
        Federation.local([node(name) for name in NAMES], requester=requester).run("count", secure=False)


def query_of(request, **changes):
    query = Query(
        request.computation,
        request.version,
        request.parameters,
        {},
        request.requester,
        request.nonce,
        1,
        1,
        list(NAMES),
        2,
        True,
    )
    return replace(query, request=request.to_bytes(), **changes)


def test_a_hub_can_carry_a_request_and_not_change_it(members):
    _, requester, _, _, node = members
    parameters = registered()["count"].check({})
    request = Request.signed(requester, "count", 1, parameters, list(NAMES), secure=True)
    alpha = node("alpha", computations=("count", "histogram"))
    for change in (
        {"computation": "histogram"},
        {"parameters": {**parameters, "by": ["site"]}},
        {"nonce": "0" * 32},
        {"requester": "other"},
        {"secure": False},
    ):
        with pytest.raises(RefusedError, match="rule identity"):
            alpha.answer(query_of(request, **change).to_bytes())
    with pytest.raises(RefusedError, match="rule roster"):
        alpha.answer(query_of(request, nodes=[*NAMES, "hub-1", "hub-2"]).to_bytes())
    with pytest.raises(RefusedError, match="rule threshold"):
        alpha.answer(query_of(request, threshold=1).to_bytes())
    assert alpha.answer(query_of(request).to_bytes())
    for _ in range(2):
        with pytest.raises(RefusedError, match="rule replay"):
            alpha.answer(query_of(request).to_bytes())
        alpha = node("alpha")  # also after a restart


def test_nodes_that_the_roster_does_not_know_are_not_summed_with(members):
    """A hub that invents nodes could open the one real part."""
    _, requester, _, _, node = members
    invented = ["alpha", "ghost-1", "ghost-2"]
    parameters = registered()["count"].check({})
    request = Request.signed(requester, "count", 1, parameters, invented, secure=True)
    with pytest.raises(RefusedError, match="rule roster"):
        node("alpha").answer(query_of(request, nodes=invented).to_bytes())


def test_requests_expire(members):
    _, requester, _, roster, _ = members
    parameters = registered()["count"].check({})
    request = Request.signed(requester, "count", 1, parameters, list(NAMES), secure=True, valid=60)
    now = time.time()
    request.check(roster, now)
    with pytest.raises(RefusedError, match="expired"):
        request.check(roster, now + 3600)
    forever = Request.signed(requester, "count", 1, parameters, list(NAMES), secure=True, valid=10**7)
    with pytest.raises(RefusedError, match="more than a day"):
        forever.check(roster, now)


def test_rosters_only_get_newer(members, tmp_path):
    authority, _, _, roster, node = members
    newer = roster.revoke("gamma").signed(authority)
    alpha = node("alpha")
    alpha.renew(newer)
    for one in (lambda: alpha.renew(roster), lambda: node("alpha", roster=roster)):
        with pytest.raises(RefusedError, match="older"):
            one()
    with pytest.raises(RefusedError, match="does not hold this node"):
        node("gamma", roster=newer)
    with pytest.raises(RefusedError, match="another authority"):
        alpha.renew(replace(newer, entries=newer.entries, signature="").signed(Identity.new("other")))


def test_a_node_needs_both_or_neither(members, hospitals, tmp_path):
    _, _, nodes, _, _ = members
    with pytest.raises(ArgumentError, match="give both"):
        Node(hospitals[0][0], Policy(), identity=nodes["alpha"], log=tmp_path / "l")


def test_a_message_from_outside_gives_a_rule_or_nothing(members):
    from fastimg.federated import _messages as wire

    _, requester, _, _, node = members
    alpha = node("alpha")
    for message in (
        b"",
        b"Q",
        b"X\0",
        b"G\xff",
        b"G\x01\xff{}",
        wire.ask(b"{}"),
        wire.give("none", b"x"),
        os.urandom(300),
    ):
        reply = wire.result(alpha.handle(message))
        assert isinstance(reply, Exception)
        assert str(reply) in ("FormatError", "RefusedError", "ArgumentError") or str(reply).startswith("rule ")
    request = Request.signed(requester, "count", 1, registered()["count"].check({}), list(NAMES), secure=True)
    assert isinstance(wire.result(alpha.handle(wire.ask(query_of(request).to_bytes()))), bytes)


def test_a_request_is_signed_elsewhere_and_only_carried_by_the_hub(members, tmp_path):
    """The requester's key is on another machine: a process without a network signs; the hub has no key at all."""
    _, requester, nodes, _, node = members
    requester.save(tmp_path / "me.key")
    (tmp_path / "params.json").write_text('{"by": ["sex"]}')
    command = [sys.executable, "-m", "fastimg", "node", "request", "count", "--key", str(tmp_path / "me.key")]
    command += ["--params", str(tmp_path / "params.json"), "--out", str(tmp_path / "request")]
    for name in NAMES:
        command += ["--node", name]
    assert b"count by statistician of 3 nodes" in subprocess.run(command, check=True, capture_output=True).stdout
    request = (tmp_path / "request").read_bytes()
    hub = Federation.local([node(name) for name in NAMES], requester=None)
    result = hub.carry(request)
    assert result.value["cases"].sum() == 72
    assert (result.provenance["requester"], result.provenance["parameters"]["by"]) == ("statistician", ["sex"])
    with pytest.raises(RefusedError, match="rule replay"):  # the same request again
        hub.carry(request)
    with pytest.raises(ArgumentError, match="carries signed requests only"):
        hub.run("count")
    for altered in (
        signed_request(Identity.new("statistician"), "count", NAMES),  # another key under the same name
        signed_request(nodes["alpha"], "count", NAMES),  # a node's key
        dumps(loads(request) | {"nodes": [*NAMES, "delta"], "nonce": "1" * 32}),  # changed by the hub
        dumps(loads(request) | {"expires": int(time.time()) + 9999}),
        dumps(loads(request) | {"requester": "alpha"}),
    ):
        with pytest.raises(RefusedError, match=r"rule survivors.*rule identity"):
            hub.carry(altered)
    with pytest.raises(FormatError, match="request: "):
        hub.carry(b"{}")
    with pytest.raises(ArgumentError, match="differs"):
        hub.carry(dumps(loads(request) | {"version": 9}))


def test_a_hub_asks_those_whom_the_request_names(members):
    _, requester, _, _, node = members
    four = [node(name) for name in NAMES]
    request = signed_request(requester, "count", ["alpha", "beta", "nobody"])
    with pytest.raises(RefusedError, match="2 nodes answer; 3 are needed"):
        Federation.local(four, requester=None).carry(request)
    assert [record["event"] for record in map(json.loads, four[2].log.path.read_text().splitlines())] == ["roster"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nodes": []}, "nodes: "),
        ({"nodes": "abc"}, "nodes: "),
        ({"nodes": ["a", "a"]}, "nodes: "),
        ({"valid": 0}, "valid: "),
    ],
)
def test_a_request_is_checked_where_it_is_signed(given, words):
    given = {"nodes": ["a", "b", "c"]} | given
    with pytest.raises(ArgumentError, match=words):
        signed_request(Identity.new("me"), "count", given.pop("nodes"), **given)
    with pytest.raises(ArgumentError, match="unknown parameter"):
        signed_request(Identity.new("me"), "count", ["a"], formula="1 + 1")
