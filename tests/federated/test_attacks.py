"""Attacks on a node, one after the other: each is refused with a clear reason, logged, and the node goes on serving.

ATTACKS is the list, ELSEWHERE what is tried in other files; a test checks that each has its own. What is tried on the masks is
in tests/secagg.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import FastimgError, IntegrityError, RefusedError
from fastimg.federated import Federation, Identity, Node, Policy, Roster, _exact, computation, registered, verify_log
from fastimg.federated import _messages as wire
from fastimg.federated import _registry as registry
from fastimg.federated._query import Query, Request
from fastimg.federated._reply import Answer

ATTACKS = [
    "unknown_computation_version_or_parameter",
    "oversize_result",
    "path_traversal_in_every_name",
    "replayed_messages",
    "reordered_messages",
    "hub_asks_for_a_cohort_of_nine",
    "hub_drops_nodes_to_force_a_plain_sum",
    "hub_drops_nodes_to_force_a_small_sum",
    "hub_says_that_more_nodes_hold_a_batch",
    "hub_makes_up_a_level_of_one_patient",
    "differencing_by_two_overlapping_queries",
    "differencing_by_a_missing_value",
    "differencing_by_a_rerun",
    "formula_that_carries_code",
    "requester_without_a_key",
    "hub_changes_the_question",
    "tampered_log",
    "node_sends_nan",
    "node_sends_a_wrong_shape",
    "node_that_breaks_and_talks",
]
ELSEWHERE = {  # what needs processes, a network or ten thousand tries
    "a wrong certificate": "test_flower_federation.py::test_a_wrong_certificate_and_a_wrong_key_are_refused",
    "a requester without a key, over TLS": "test_flower_federation.py::test_a_stranger_asks_in_vain_and_the_logs_are_whole",
    "another app than the pinned one": "test_flower.py::test_a_foreign_app_is_not_answered",
    "malformed requests, 10,000": "test_fuzz.py::test_malformed_messages",
    "malformed answers, 10,000": "test_fuzz.py::test_malformed_answers_at_the_hub",
}
SECRET = "Jane Doe 1948"  # what every patient is called here, with a number
NAMES = ("alpha", "beta", "gamma")
OPEN = ("count", "histogram", "moments", "combat", "linear", "tool", "evaluate", "nyul", "site_effect", "quantiles")


def test_every_attack_has_a_test():
    found = {name.removeprefix("test_attack_") for name in globals() if name.startswith("test_attack_")}
    assert found == set(ATTACKS)
    for place in ELSEWHERE.values():
        file, name = place.split("::")
        assert f"def {name}(" in Path(__file__).with_name(file).read_text()


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    """Three of 12 patients: two scanners, a feature that one patient lacks, an age."""
    rng = np.random.default_rng(4)
    folder, made = tmp_path_factory.mktemp("attacked"), []
    for name in NAMES:
        cohort = fi.Cohort.create(folder / name)
        for i in range(12):
            features = {"a": float(rng.normal()), "b": float("nan") if i == 7 else float(rng.normal())}
            metadata = {"subject": f"{SECRET} {i}", "scanner": "XY"[i % 2], "age": 50.0 + i, "first": i < 9}
            metadata["almost"] = i < 11
            image = fi.Image(rng.integers(0, 99, (1, 2, 3)).astype(np.int16))
            cohort.add(f"case-{i}", image, metadata=metadata, features={"lesion": features})
        made.append(cohort)
    return made


@pytest.fixture
def nodes(cohorts, tmp_path):
    def build(**rules):
        policy = Policy(**{"min_cases": 10, "computations": OPEN, "tools": ("t",), **rules})
        return [Node(c, policy, name=n, log=tmp_path / f"{n}.jsonl") for n, c in zip(NAMES, cohorts, strict=True)]

    return build


@pytest.fixture
def signed(cohorts, tmp_path):
    """(requester, [node with a roster])."""
    authority, requester = Identity.new("authority"), Identity.new("local")
    identities = {name: Identity.new(name) for name in NAMES}
    roster = Roster().trust("local", "requester", requester.public)
    for name, identity in identities.items():
        roster = roster.trust(name, "node", identity.public)
    roster = roster.signed(authority)

    def build(**rules):
        policy = Policy(**{"min_cases": 10, "computations": OPEN, **rules})
        return [
            Node(c, policy, identity=identities[n], roster=roster, log=tmp_path / f"{n}.jsonl")
            for n, c in zip(NAMES, cohorts, strict=True)
        ]

    return requester, build


def ask(name="count", **changes):
    """A first round as a hub sends it."""
    parameters = dict(changes.pop("parameters", {}))
    known = registered()[name].check(parameters) if changes.pop("checked", True) else parameters
    first = Query(name, registered()[name].version, known, {}, "local", "0" * 32, 1, 1, list(NAMES), 2, True)
    return replace(first, **changes)


def refused(node, query, *words):
    """The attack comes over a wire: what goes back names a rule or a kind of error, the log has it, the node serves."""
    before = verify_log(node.log.path)[0]
    reply = wire.result(node.handle(wire.ask(query if isinstance(query, bytes) else query.to_bytes())))
    assert isinstance(reply, FastimgError)
    assert str(reply).startswith(words), str(reply)
    assert not any(secret in str(reply) for secret in ("Jane", "case-", "passwd"))
    public = {f"ArgumentError: {name}" for what in registered().values() for name in what.parameters}
    assert "Error:" not in str(reply) or str(reply) in public
    assert verify_log(node.log.path)[0] == before + 1
    record = json.loads(node.log.path.read_text().splitlines()[-1])
    assert record["event"] in ("refused", "malformed")
    whole = {"nonce": f"e{before:031x}", "nodes": [node.name, "other", "third"], "secure": node.policy.secure_only}
    fine = ask(parameters={"by": ["scanner"], "levels": {"scanner": [str(before)]}}, **whole)
    if node.roster is None:
        assert isinstance(wire.result(node.handle(wire.ask(fine.to_bytes()))), bytes)


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


class Recorder:
    """A transport inside this process that keeps what it carried, or mixes it up."""

    def __init__(self, members, late=False):
        self.nodes, self.late, self.seen = {n.name: n for n in members}, late, {n.name: [] for n in members}

    def names(self):
        return list(self.nodes)

    def exchange(self, kind, key, messages):
        found = {}
        if kind == "give" and self.late:
            messages = dict(zip(messages, [*list(messages.values())[1:], *list(messages.values())[:1]], strict=True))
        for name, message in messages.items():
            if kind == "give":
                self.seen[name].append((key, message))
            found[name] = wire.result(
                self.nodes[name].handle(wire.ask(message) if kind == "ask" else wire.give(key, message))
            )
        return found


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
