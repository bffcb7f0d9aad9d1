"""The policy's rules beyond who and what: blurring, hours, rates, cohorts, time, reruns."""

from __future__ import annotations

import time

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import ArgumentError, FormatError, RefusedError
from fastimg.federated import Federation, Node, Policy
from fastimg.federated._disclosure import blur


def test_rounding_moves_each_nodes_counts_by_half_a_step(ask, clinic):
    exact = ask("count", {"by": ["sex"]}).value["cases"]
    seen = ask("count", {"by": ["sex"]}, rounding=10).value["cases"]
    assert (seen % 10 == 0).all()
    assert (np.abs(seen - exact) <= 3 * 5).all()


def test_noise_moves_each_nodes_counts_by_what_its_epsilon_says(ask, clinic):
    """P(|k| > 60) = 5e-8 for each of the three nodes; rounding adds half a step each."""
    exact = ask("histogram", {"feature": "x0", "bins": 3, "range": (3, 7)}).value["counts"]
    for step, rules in ((0, {}), (5, {"rounding": 10})):
        rules = {"obfuscation_epsilon": 0.28, **rules}
        seen = ask("histogram", {"feature": "x0", "bins": 3, "range": (3, 7)}, **rules).value["counts"]
        assert (seen != exact).any()
        assert (np.abs(seen - exact) <= 3 * (60 + step)).all()


def test_noise_is_geometric_and_the_same_for_the_same_question():
    policy, counts = Policy(obfuscation_epsilon=0.28), np.full(200_000, 1000, np.int64)
    seen = blur(counts, policy, b"s" * 32, b"question")
    np.testing.assert_array_equal(seen, blur(counts, policy, b"s" * 32, b"question"))
    assert (seen != blur(counts, policy, b"s" * 32, b"another")).any()
    assert (seen != blur(counts, policy, b"t" * 32, b"question")).any()
    noise, a = seen - 1000, np.exp(-0.28)
    for k in range(-6, 7):  # P(k) = (1 - a) / (1 + a) a^|k|, six standard errors
        p = (1 - a) / (1 + a) * a ** abs(k)
        assert abs((noise == k).mean() - p) < 6 * np.sqrt(p / noise.size)
    assert abs(noise.mean()) < 6 * np.sqrt(2 * a) / (1 - a) / np.sqrt(noise.size)
    assert (blur(np.zeros(1000, np.int64), policy, b"s" * 32, b"q") == 0).all()
    assert (blur(np.ones(1000, np.int64), policy, b"s" * 32, b"q") >= 0).all()


def test_an_identical_question_gets_the_identical_blurred_answer(hospitals, tmp_path):
    def node(k):
        policy = Policy(min_cases=4, obfuscation_epsilon=0.28, rounding=1)
        return Node(hospitals[0][k], policy, log=tmp_path / f"{k}.jsonl")

    answers = [
        Federation.local([node(k) for k in range(3)]).run("count", by=["scanner"]).value["cases"] for _ in range(2)
    ]
    np.testing.assert_array_equal(*answers)  # the second federation is made of restarted nodes
    key = tmp_path / "0.jsonl.noise"
    assert key.stat().st_mode & 0o777 == 0o600


def test_hours_and_rates(hospitals, tmp_path):
    minute = int(time.time() // 60) % 1440
    before, after = (f"{m // 60:02}:{m % 60:02}" for m in ((minute - 2) % 1440, (minute + 30) % 1440))
    policy = Policy(min_cases=1, hours=(f"{before}-{after}",), max_queries_per_hour=2)
    fed = Federation.local([Node(hospitals[0][0], policy, log=tmp_path / "a")])
    for _ in range(2):
        fed.run("count", secure=False)
    with pytest.raises(RefusedError, match="rule max_queries_per_hour"):
        fed.run("count", secure=False)
    again = Federation.local([Node(hospitals[0][0], policy, log=tmp_path / "a")])  # a restart forgets nothing
    with pytest.raises(RefusedError, match="rule max_queries_per_hour"):
        again.run("count", secure=False)
    closed = Policy(min_cases=1, hours=(f"{after}-{before}",))
    with pytest.raises(RefusedError, match="rule hours"):
        Federation.local([Node(hospitals[0][0], closed, log=tmp_path / "b")]).run("count", secure=False)


def test_spans_over_midnight():
    policy = Policy(hours=("22:00-06:00",))
    for minute, good in ((23 * 60, True), (60, True), (6 * 60, False), (12 * 60, False)):
        if good:
            policy.check("minute", minute)
        else:
            with pytest.raises(RefusedError, match="rule hours"):
                policy.check("minute", minute)


def test_cohorts(hospitals, tmp_path):
    with pytest.raises(RefusedError, match="rule cohorts"):
        Node(hospitals[0][0], Policy(cohorts=("trial",)), log=tmp_path / "a")
    assert Node(hospitals[0][0], Policy(cohorts=("hospital-0",)), log=tmp_path / "a").name == "hospital-0"


def test_work_that_takes_too_long_is_refused(hospitals, tmp_path):
    policy = Policy(min_cases=1, max_seconds=1e-9)
    with pytest.raises(RefusedError, match="rule max_seconds"):
        Federation.local([Node(hospitals[0][0], policy, log=tmp_path / "a")]).run(
            "histogram", range=(0, 1), secure=False
        )


def test_the_same_question_over_one_node_less_is_refused(hospitals, tmp_path):
    """The difference of the two sums would be that node's part."""

    def nodes(count):
        found = []
        for k in range(count):
            path = hospitals[0][k % 3]
            found.append(Node(path, Policy(min_cases=4), name=f"n{k}", log=tmp_path / f"{k}.jsonl"))
        return found

    assert Federation.local(nodes(6)).run("count").value["cases"] == 144
    for count in (5, 4):
        with pytest.raises(RefusedError, match="rule rerun"):
            Federation.local(nodes(count)).run("count")
    assert Federation.local(nodes(3)).run("count").value["cases"] == 72
    assert Federation.local(nodes(6)).run("count").value["cases"] == 144
    assert Federation.local(nodes(5)).run("count", by=["sex"]).value["cases"].sum() == 120  # another question


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"hours": ("8-18",)}, "hours"),
        ({"hours": ("25:00-26:00",)}, "hours"),
        ({"rounding": 0}, "rounding"),
        ({"obfuscation_epsilon": -1.0}, "obfuscation_epsilon"),
        ({"max_seconds": -1.0}, "max_seconds"),
        ({"max_queries_per_hour": -1}, "max_queries"),
        ({"cohorts": "all"}, "cohorts"),
    ],
)
def test_policies_that_make_no_sense(rules, words, tmp_path):
    with pytest.raises(ArgumentError, match=words):
        Policy(**rules)
    file = tmp_path / "p.toml"
    lines = [f"{k} = {list(v) if isinstance(v, tuple) else v!r}" for k, v in rules.items()]
    file.write_text('format = "fastimg-policy"\nversion = 1\n' + "\n".join(lines).replace("'", '"'))
    with pytest.raises(FormatError, match=words):
        Policy.load(file)


def test_a_whole_number_will_do_for_a_number(tmp_path):
    file = tmp_path / "p.toml"
    file.write_text('format = "fastimg-policy"\nversion = 1\nmax_seconds = 60\n')
    assert Policy.load(file).max_seconds == 60.0
    assert isinstance(fi.federated.Policy(max_seconds=1).max_seconds, float)
