"""What a node remembers: sums over sets of rows that differ by few patients, stored answers, the order of rounds, the log."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import RefusedError
from fastimg.federated import Federation, Node, Policy, registered, verify_log
from fastimg.federated._query import Query

pytestmark = pytest.mark.usefixtures("small_blocks")

ALL = ("count", "moments", "combat", "linear", "quantiles", "feature_summary", "histogram")


def filled(path, patients=12, *, missing=(), extra=0, twice=()):
    """A cohort whose patients have features a and b; b is missing for some, and some have a second case."""
    rng = np.random.default_rng(1)
    cohort = fi.Cohort.create(path)
    for i in range(patients + extra):
        a, b = rng.normal(size=2)
        for k in range(1 + (i in twice)):
            values = {"a": float(a + k), "b": float("nan") if i in missing else float(b)}
            metadata = {"subject": f"p{i}", "site": "xy"[i % 2], "y": float(a - b), "visit": k}
            cohort.add(
                f"c{i}-{k}", fi.Image(np.full((1, 2, 2), i, np.int16)), metadata=metadata, features={"m": values}
            )
    return cohort


def node(cohort, tmp_path, name="n", **rules):
    policy = Policy(**{"min_cases": 3, "computations": ALL, **rules})
    return Node(cohort, policy, name=name, log=tmp_path / f"{name}.jsonl")


def run(one, name, **parameters):
    return Federation.local([one]).run(name, secure=False, **parameters).value


@pytest.mark.parametrize(
    "again",
    [
        ("moments", {"features": ["a", "b"], "covariance": True}),
        ("combat", {"features": ["a", "b"], "batch": "site"}),
        ("linear", {"features": ["a", "b"], "outcome": "y"}),
    ],
    ids=lambda value: value[0],
)
def test_a_missing_value_does_not_take_one_patient_out_of_a_sum(tmp_path, again):
    """a over everybody, then a over those who have b: the difference would be the a of one patient."""
    one = node(filled(tmp_path / "c", missing=(4,)), tmp_path)
    run(one, "moments", features=["a"])
    with pytest.raises(RefusedError, match="rule differencing"):
        run(one, again[0], **again[1])
    run(one, "moments", features=["a", "b"])  # each over its own rows, as before
    far = node(filled(tmp_path / "d", missing=(1, 2, 4)), tmp_path, "far")
    run(far, "moments", features=["a"])
    run(far, again[0], **again[1])  # three patients are enough


def test_a_second_case_of_one_patient_is_a_difference_too(tmp_path):
    one = node(filled(tmp_path / "c", twice=(5,)), tmp_path)
    assert run(one, "count")["cases"] == 13
    with pytest.raises(RefusedError, match="rule differencing"):
        run(one, "count", where={"visit": 0})


def test_an_identical_question_gets_the_stored_answer(tmp_path):
    """Also when a patient came since: another question is refused then, and a new answer would show the newcomer."""
    cohort = filled(tmp_path / "c")
    first = run(node(cohort, tmp_path), "moments", features=["a"])
    rng = np.random.default_rng(9)
    cohort.add(
        "new",
        fi.Image(np.zeros((1, 2, 2), np.int16)),
        metadata={"subject": "new"},
        features={"m": {"a": 1e6, "b": 0.0}},
    )
    one = node(cohort, tmp_path)  # restarted
    again = run(one, "moments", features=["a"])
    assert again["mean"].tobytes() == first["mean"].tobytes()
    assert again["n"].tolist() == [12]
    assert json.loads(one.log.path.read_text().splitlines()[-1])["stored"] is True
    with pytest.raises(RefusedError, match="rule differencing"):
        run(one, "moments", features=["b"])
    for k in range(2):  # with three newcomers there is a new answer
        values = {"a": float(rng.normal()), "b": 0.0}
        cohort.add(
            f"new{k}", fi.Image(np.zeros((1, 2, 2), np.int16)), metadata={"subject": f"new{k}"}, features={"m": values}
        )
    assert run(node(cohort, tmp_path), "moments", features=["a"])["n"].tolist() == [15]


def test_a_stored_answer_that_was_changed_is_not_given(tmp_path):
    cohort = filled(tmp_path / "c")
    one = node(cohort, tmp_path)
    assert run(one, "count")["cases"] == 12
    folder = one.log.path.with_name(one.log.path.name + ".answers")
    (file,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    file.write_bytes(file.read_bytes().replace(b'"count":12', b'"count":13'))
    assert run(node(cohort, tmp_path), "count")["cases"] == 12
    assert "stored" not in json.loads(one.log.path.read_text().splitlines()[-1])


def test_another_policy_does_not_get_what_was_stored_under_the_old_one(tmp_path):
    cohort = filled(tmp_path / "c")
    assert run(node(cohort, tmp_path), "count", by=["site"])["cases"].tolist() == [6, 6]
    assert run(node(cohort, tmp_path, rounding=10), "count", by=["site"])["cases"].tolist() == [10, 10]


def test_a_node_keeps_so_much_and_no_more(tmp_path, monkeypatch):
    from fastimg.federated import _stored

    monkeypatch.setattr(_stored, "_KEPT", 6000)
    one = node(filled(tmp_path / "c"), tmp_path)
    for bins in range(20, 40):
        run(one, "histogram", bins=bins, range=(0, 30))
    folder = one.log.path.with_name(one.log.path.name + ".answers")
    assert 0 < sum(p.stat().st_size for p in folder.iterdir()) <= 6000


def test_rounds_come_in_order_also_after_a_restart(tmp_path):
    cohort = filled(tmp_path / "c")
    parameters = registered()["moments"].check({"features": ["a"]})
    first = Query("moments", 1, parameters, {}, "local", "0" * 32, 1, 1, ["n"], 2, False)
    shared = {"mean": np.zeros(1), "n": np.array([12])}
    second = replace(first, shared=shared, round=2)
    one = node(cohort, tmp_path)
    with pytest.raises(RefusedError, match="rule order"):
        one.answer(second.to_bytes())
    one.answer(first.to_bytes())
    for wrong, words in (
        (first, "rule replay"),
        (replace(second, round=3), "rule order"),
        (replace(second, attempt=0), "rule order"),
    ):
        for _ in range(2):
            with pytest.raises(RefusedError, match=words):
                one.answer(wrong.to_bytes())
            one = node(cohort, tmp_path)
    one.answer(second.to_bytes())
    with pytest.raises(RefusedError, match="rule replay"):
        node(cohort, tmp_path).answer(first.to_bytes())


def test_a_release_is_logged_with_what_it_was(tmp_path):
    one = node(filled(tmp_path / "c"), tmp_path)
    run(one, "moments", features=["a"])
    record = json.loads(one.log.path.read_text().splitlines()[0])
    assert (record["requester"], record["computation"], record["computation_version"]) == ("local", "moments", 1)
    assert json.loads(record["parameters"])["features"] == ["a"]
    assert (record["patients"], record["cases"], record["policy"]) == (12, 12, one.policy.digest)
    assert len(record["answer"]) == 64
    assert "p3" not in record["parameters"]
    verify_log(one.log.path)


def test_a_stranger_does_not_use_up_a_requesters_rate(tmp_path):
    one = node(filled(tmp_path / "c"), tmp_path, max_queries_per_hour=3)
    query = Query("count", 1, registered()["count"].check({}), {}, "local", "0" * 32, 1, 1, ["n"], 2, False, b"forged")
    for _ in range(5):
        with pytest.raises(RefusedError, match="rule identity"):
            one.answer(query.to_bytes())
    assert run(one, "count")["cases"] == 12


def test_a_table_that_is_too_large_is_refused_before_it_is_made(tmp_path):
    one = node(filled(tmp_path / "c", patients=150), tmp_path, max_memory_mb=1)
    run(one, "histogram", bins=1000, range=(0, 30))
    for name, parameters in (
        ("histogram", {"bins": 65536, "range": (0, 30)}),
        ("combat", {"features": ["a"], "batch": "site", "covariates": ["visit"], "smooth": {"visit": wiggly()}}),
    ):
        with pytest.raises(RefusedError, match="rule max_memory_mb"):
            run(one, name, **parameters)


def wiggly():
    """A spline of so many knots that a node's table of it would be large."""
    return {"low": -1.0, "high": 1.0, "inner": np.linspace(-0.9, 0.9, 1000).tolist()}
