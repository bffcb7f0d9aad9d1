"""Policies, logs and attacks: refused with the rule's name, logged, nothing of the data in the words."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import ArgumentError, FastimgError, FormatError, RefusedError
from fastimg.federated import Done, Federation, Labels, Node, Parameter, Policy, computation, registered, verify_log
from fastimg.federated import _registry as registry
from fastimg.federated._query import Query

from .conftest import FEATURES

HISTOGRAM = {"bins": 4, "range": (-600, 600)}


def query(fed, **changes):
    """A well-formed query of a histogram."""
    parameters = registered()["histogram"].check(HISTOGRAM)
    names = list(fed._transport.nodes)
    q = Query("histogram", 1, parameters, {}, "local", "0" * 32, 1, 1, names, 2, True)
    return replace(q, **changes)


def test_a_policy_is_read_from_toml_and_checked(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text('format = "fastimg-policy"\nversion = 1\nmin_cases = 12\ncomputations = ["count"]\n')
    policy = Policy.load(file)
    assert (policy.min_cases, policy.computations) == (12, ("count",))
    assert policy.digest != Policy().digest == Policy().digest
    assert pickle.loads(pickle.dumps(policy)) == policy
    for text, words in [
        ("", "must say format"),
        ('format = "fastimg-policy"\n', "version None"),
        ('format = "fastimg-policy"\nversion = 2\n', "version 2"),
        ('format = "fastimg-policy"\nversion = 1\nmin_case = 3\n', "unknown key 'min_case'"),
        ('format = "fastimg-policy"\nversion = 1\nmin_cases = "3"\n', "min_cases must be int"),
        ('format = "fastimg-policy"\nversion = 1\nmin_cases = 0\n', "min_cases must be 1"),
        ('format = "fastimg-policy"\nversion = 1\nsecure_only = 1\n', "secure_only must be bool"),
        ('format = "fastimg-policy"\nversion = 1\nrequesters = "all"\n', "requesters must be a list"),
        ('format = "fastimg-policy"\nversion = 1\nstates = ["failed"]\n', "states"),
        ("min_cases = \n", "not TOML"),
    ]:
        file.write_text(text)
        with pytest.raises(FormatError, match=words):
            Policy.load(file)
    with pytest.raises(ArgumentError, match="cannot be read"):
        Policy.load(tmp_path / "absent.toml")


def test_a_node_takes_a_policys_path_and_insists_on_one(hospitals, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text('format = "fastimg-policy"\nversion = 1\n')
    assert Node(hospitals[0][0], file, log=tmp_path / "log").policy.min_cases == 10
    with pytest.raises(ArgumentError, match="no node without one"):
        Node(hospitals[0][0], None, log=tmp_path / "log")


@pytest.mark.parametrize(
    ("rules", "call", "rule"),
    [
        ({"min_cases": 25}, ("count", {}), "min_cases"),
        ({"computations": ("count",)}, ("histogram", HISTOGRAM), "computations"),
        ({"computations": ("histogram@2",)}, ("histogram", HISTOGRAM), "computations"),
        ({"requesters": ("somebody",)}, ("count", {}), "requesters"),
        ({"requesters": ()}, ("count", {}), "requesters"),
        ({"max_values": 6}, ("histogram", HISTOGRAM), "max_values"),
        ({"secure_only": True}, ("count", {"secure": False}), "secure_only"),
        ({}, ("count", {"by": ["patient_name"]}), "columns"),
        ({}, ("count", {"by": ["subject"]}), "columns"),
        ({}, ("count", {"where": {"../../etc/passwd": "x"}}), "columns"),
        ({}, ("moments", {"features": ["f0", "no such"]}), "columns"),
    ],
)
def test_rules_refuse_by_name_and_are_logged(make, rules, call, rule):
    fed = make(**rules)
    with pytest.raises(RefusedError, match=f"rule {rule}") as caught:
        fed.run(call[0], **call[1])
    assert "passwd" not in str(caught.value)
    for node in fed._transport.nodes.values():
        lines, _ = verify_log(node.log.path)
        record = json.loads(node.log.path.read_text().splitlines()[-1])
        assert lines >= 1
        assert (record["event"], record["rule"]) == ("refused", f"rule {rule}")


def test_fewer_than_three_nodes_never_get_a_secure_sum_nor_a_plain_one_instead(make):
    for count in (1, 2):
        with pytest.raises(RefusedError, match="rule survivors"):
            make(count).run("count")
    policies = [Policy(min_cases=4), Policy(min_cases=4), Policy(min_cases=999)]
    fed = make(policies=policies)
    with pytest.raises(RefusedError, match=r"rule survivors.*hospital-2 refused: rule min_cases"):
        fed.run("count")


def test_a_plain_sum_takes_nodes_that_answer(make):
    r = make(policies=[Policy(min_cases=4), Policy(min_cases=999), Policy(min_cases=4)]).run("count", secure=False)
    assert r.value["cases"] == 48
    assert [node["status"].split(":")[0] for node in r.nodes] == ["answered", "refused", "answered"]
    assert any("plain" in text for text in r.privacy)


def test_disclosure_rules_act_before_masking(make, hospitals, monkeypatch):
    """What a node masks holds no cell of fewer than its minimum of patients."""
    from fastimg.federated import _exact
    from fastimg.federated import _node as node_module

    masked, real = {}, node_module.Client

    def client(name, words, **options):
        masked[name] = words.copy()
        return real(name, words, **options)

    monkeypatch.setattr(node_module, "Client", client)
    value = make(min_cases=20).run("histogram", bins=64, range=(-1000, 1000)).value
    assert value["overflow"] > 0
    layout = (("counts", "whole", (67,)), ("overflow", "whole", (4,)))
    for k in range(3):
        counts = _exact.decode(masked[f"hospital-{k}"], layout)["counts"][:64]
        own = hospitals[1]["voxels"][hospitals[1]["site"] == f"s{k}"]
        by_patient = np.array([np.histogram(v, 64, (-1000, 1000))[0] for v in own])
        few = (by_patient > 0).sum(axis=0) < 20
        assert few.any()
        assert (counts[few] == 0).all()
        assert (counts[~few] == by_patient.sum(axis=0)[~few]).any()


def test_a_model_may_have_a_third_of_the_patients_as_parameters():
    Policy().check("parameters", (13, 39))
    with pytest.raises(RefusedError, match="rule max_parameters_per_case"):
        Policy().check("parameters", (14, 39))


def test_a_computation_states_what_leaves_the_node(make):
    for what in registered().values():
        if "." not in what.name:  # the shipped ones
            assert len(what.discloses) > 30, what.name
    said = make().run("moments", features=FEATURES).privacy
    assert said[0] == f"moments discloses {registered()['moments'].discloses}."


def test_patients_are_counted_not_cases(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    for i in range(12):
        cohort.add(f"c{i}", fi.Image(np.zeros((1, 2, 2), np.int16)), metadata={"subject": f"p{i % 3}"})
    fed = Federation.local([Node(cohort, Policy(min_cases=4))])
    with pytest.raises(RefusedError, match="rule min_cases"):
        fed.run("count", secure=False)


def test_quarantined_cases_do_not_count(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    for i in range(4):
        cohort.add(f"c{i}", fi.Image(np.zeros((1, 2, 2), np.int16)), metadata={"subject": f"p{i}"})
    finding = fi.Finding("damaged-file")
    cohort.record("bad", "failed", findings=[finding], metadata={"subject": "p9"})
    fed = Federation.local([Node(cohort, Policy(min_cases=4))])
    assert fed.run("count", secure=False).value["cases"] == 4


def test_replayed_and_foreign_queries_are_refused(make):
    fed = make()
    node = fed._transport.nodes["hospital-0"]
    node.answer(query(fed).to_bytes())
    for _ in range(2):
        with pytest.raises(RefusedError, match="rule replay"):
            node.answer(query(fed).to_bytes())
        node = Node(node.cohort, node.policy, name=node.name, log=node.log.path)  # also after a restart
    cases = [
        ({"nodes": ["a", "b", "c"]}, "rule roster"),
        ({"nodes": ["hospital-0"] * 3}, "rule roster"),
        ({"nodes": ["hospital-0", "b"]}, "rule survivors"),
        ({"requester": "mallory"}, "rule requesters"),
        ({"computation": "os.system"}, "rule computations"),
        ({"version": 2}, "rule computations"),
    ]
    for i, (change, words) in enumerate(cases):
        with pytest.raises(RefusedError, match=words):
            node.answer(query(fed, nonce=f"{i + 1:032}", **change).to_bytes())
    with pytest.raises(RefusedError, match="no such round"):
        node.receive(f"{'f' * 32}-1-1", b"anything")
    node.answer(query(fed, nonce="f" * 32).to_bytes())
    with pytest.raises(FormatError):
        node.receive(f"{'f' * 32}-1-1", b"anything")


def test_a_node_that_falls_silent_between_rounds(make, hospitals, tmp_path):
    """Lost before a sum was opened: the others go on. Lost after: refused, for a rerun would show its part."""

    class Dies(Node):
        def answer(self, query):
            if Query.from_bytes(query).round >= self.last:
                raise OSError("gone")
            return super().answer(query)

    for last, fine in ((1, True), (2, True), (3, False)):
        node = Dies(hospitals[0][0], Policy(min_cases=4), name="dies", log=tmp_path / f"log{last}")
        node.last = last
        for old in tmp_path.glob("hospital-*.jsonl"):
            old.unlink()  # nodes that have not answered this question before
        fed = Federation.local([*make()._transport.nodes.values(), node])
        if fine:
            value = fed.run("combat", features=FEATURES, covariates=["age"], batch="scanner").value
            assert sum(value.statistics.subjects.values()) == 72
        else:
            with pytest.raises(RefusedError, match="rule rerun"):
                fed.run("combat", features=FEATURES, covariates=["age"], batch="scanner")


def test_a_site_registers_fifty_tools(make):
    names = [f"site.tool-{i}" for i in range(50)]
    try:
        for i, name in enumerate(names):

            def combine(total, parameters, shared):
                return Done(int(total["v"][0]) * parameters["times"], ["noted"])

            @computation(name=name, version=i + 1, parameters={"times": Parameter("int", 2)}, combine=combine)
            def tool(rows, parameters, shared, i=i):
                return {"v": np.array([i + rows.n_patients])}

        fed = make(computations=tuple(names[:49]))
        assert fed.run(names[7], times=3).value == 3 * (3 * 7 + 72)
        assert fed.run(names[7]).privacy[-1] == "noted"
        with pytest.raises(RefusedError, match="rule computations"):
            fed.run(names[49])
    finally:
        for name in names:
            registry._REGISTRY.pop(name, None)


SHAPE = {"n": "integer", "mean": "number|array", "more": "object?"}


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"n": 3, "mean": 1.5}, None),
        ({"n": np.int64(3), "mean": np.zeros(2), "more": {}}, None),
        ({"n": 3, "mean": float("nan"), "more": None}, None),
        ({"n": 3.0, "mean": 1.5}, "'n'"),
        ({"n": True, "mean": 1.5}, "'n'"),
        ({"n": 3}, "'mean'"),
        ({"n": 3, "mean": "1"}, "'mean'"),
        ({"n": 3, "mean": 1, "more": []}, "'more'"),
        ({"n": 3, "mean": 1, "patient": 1}, "'patient'"),
        ([3], "mapping"),
    ],
)
def test_a_value_is_what_its_computation_declares(make, value, word):
    try:

        @computation(name="site.shaped", result=SHAPE, combine=lambda total, parameters, shared: Done(value))
        def shaped(rows, parameters, shared):
            return {"n": np.array([rows.n_patients])}

        fed = make(computations=("site.shaped",))
        if word is None:
            assert fed.run("site.shaped").value is value
        else:
            with pytest.raises(FastimgError, match=f"site.shaped: .*{word}.* declares"):
                fed.run("site.shaped")
    finally:
        registry._REGISTRY.pop("site.shaped", None)
    with pytest.raises(ArgumentError, match="result 'n' must be of"):
        computation(name="x", result={"n": "int"})


def test_names_of_computations_and_versions_are_checked():
    for options in ({"name": "Bad Name"}, {"name": "x" * 65}, {"name": "x", "version": 0}, {"name": "../x"}):
        with pytest.raises(ArgumentError):
            computation(**options)
    with pytest.raises(ArgumentError, match="registered already"):
        computation(name="count")(lambda rows, parameters, shared: Labels({}))


def test_provenance_names_everything(make):
    r = make().run("count", by=["sex"])
    p = r.provenance
    assert (p["computation"], p["computation_version"], p["secure"], p["rounds"]) == ("count", 1, True, 2)
    assert p["parameters"]["by"] == ["sex"]
    assert (p["fastimg"], p["requester"], p["attempts"]) == (fi.__version__, "local", 1)
    assert p["survivors"] == ["hospital-0", "hospital-1", "hospital-2"]
    assert p["nodes"]["hospital-1"]["policy"].startswith("sha256:")
    json.dumps(p)


def test_nodes_of_one_name_are_told_apart(make, hospitals, tmp_path):
    nodes = [Node(hospitals[0][0], Policy(), name="site", log=tmp_path / f"{i}") for i in range(3)]
    assert list(Federation.local(nodes)._transport.nodes) == ["site", "site-2", "site-3"]
    with pytest.raises(ArgumentError, match="twice"):
        Federation.local([nodes[0], nodes[0]])
    with pytest.raises(ArgumentError, match="list of Node"):
        Federation.local([])
