"""A node's memory does not grow with the cases: voxels are read one case at a time, cells know few patients."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.errors import IntegrityError
from fastimg.federated import Federation, Node, Policy, _rows, _tools, registered, tool, verify_log
from fastimg.federated._registry import Done, Labels
from fastimg.federated._rows import Distinct, Rows

pytestmark = pytest.mark.usefixtures("small_blocks")

MIB = 1 << 20
WIDE = [f"f{k}" for k in range(1000)]


class Endless:
    """So many cases, each made when it is read."""

    class Case:
        has_voxels = True

        def __init__(self, shape, seed):
            self._shape, self._seed = shape, seed

        def image(self):
            rng = np.random.default_rng(self._seed)
            return fi.Image(rng.integers(-1000, 1000, self._shape, np.int16))

    def __init__(self, count, shape, masks=1):
        names = [f"c{i}" for i in range(count)]
        scanner, age = ["ABC"[i % 3] for i in range(count)], [float(i % 61) for i in range(count)]
        relapse = (np.random.default_rng(count).random(count) < 0.5).tolist()
        fixed = {"case_id": names, "state": ["ok"] * count, "subject": names}
        self.index = pa.table({**fixed, "scanner": scanner, "age": age, "relapse": relapse})
        self._shape, self._masks = shape, [f"m{k}" for k in range(masks)]

    def features(self, mask=None, *, names=None, cases=None):
        assert len(cases) <= 256  # never the whole table
        ids, masks = [case for case in cases for _ in self._masks], self._masks * len(cases)
        x = np.random.default_rng(int(cases[0][1:])).normal(size=(len(names), len(ids)))
        return pa.table({"case_id": ids, "mask": masks, **dict(zip(names, x, strict=True))})

    def __getitem__(self, name):
        return self.Case(self._shape, int(name[1:]))


def peak(tmp_path, count, shape, name, **parameters):
    policy = Policy(min_cases=10, computations=(name,), tools=("ten",))
    warm = Node(Endless(40, (1, 2, 2)), policy, log=tmp_path / f"{name}-{count}-warm")
    Federation.local([warm]).run(name, secure=False, **parameters)  # imports and caches
    fed = Federation.local([Node(Endless(count, shape), policy, log=tmp_path / f"{name}-{count}")])
    tracemalloc.start()
    try:
        fed.run(name, secure=False, **parameters)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("histogram", {"bins": 256, "range": (-1024, 1024)}), ("nyul", {})],
    ids=lambda v: str(v)[:9],
)
def test_voxels_are_held_for_one_case(tmp_path, name, parameters):
    shape = (32, 128, 128)  # 1 MiB a case, 8 as int64
    few, many = (peak(tmp_path, count, shape, name, **parameters) for count in (12, 48))
    assert many - few < MIB


def test_bins_do_not_hold_a_byte_a_patient(tmp_path):
    few, many = (peak(tmp_path, n, (1, 2, 2), "histogram", bins=16384, range=(-1024, 1024)) for n in (100, 4000))
    assert many - few < 8 * MIB  # a mask of patients and bins would be 64


def test_a_tools_bins_do_not_hold_a_byte_a_patient(tmp_path, monkeypatch):
    monkeypatch.setattr(_tools, "_TOOLS", {})
    names = [f"x{k}" for k in range(10)]
    tool(name="ten", outputs=dict.fromkeys(names, (0, 1)))(lambda case, options: dict.fromkeys(names, 0.5))
    few, many = (peak(tmp_path, n, (1, 2, 2), "tool", tool="ten", bins=1024) for n in (100, 2100))
    assert many - few < 4 * MIB  # a byte a patient, bin and output would be 20


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("moments", {"features": WIDE}),
        ("moments", {"features": WIDE[:300], "covariance": True}),
        pytest.param("feature_summary", {"features": WIDE}, marks=pytest.mark.soak),
        ("quantiles", {"features": WIDE, "probabilities": [0.5], "range": (-5, 5), "steps": 3}),
        ("histogram", {"feature": "f0", "bins": 16, "range": (-5, 5)}),
        ("combat", {"features": WIDE, "batch": "scanner", "covariates": ["age"]}),
        pytest.param(
            "combat",
            {"features": WIDE, "batch": "scanner", "covariates": ["age"], "batch_parameters": "local"},
            marks=pytest.mark.soak,
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "-".join(map(str, sorted(v))),
)
def test_features_are_held_for_a_block_of_cases(tmp_path, monkeypatch, name, parameters):
    """1,536 more cases are 12 MiB of 1,000 features; what is kept of a case is its places, and a bit a number."""
    monkeypatch.setattr(_rows, "_BLOCK", 256)
    monkeypatch.setattr(_rows, "_HELD", MIB)
    few, many = (peak(tmp_path, n, (1, 2, 2), name, **parameters) for n in (512, 2048))
    assert many - few < 3 * MIB


MANY = WIDE[:150]
PREDICTED = {"features": MANY, "covariates": ["scanner", "age"]}
MODEL = {"model": "logistic", "weights": {"coefficients": np.zeros(153), "intercept": np.zeros(1)}, **PREDICTED}


def peak_of_rounds(count, name, parameters, rounds):
    """Of a node's own work in so many rounds; its sums go back to it as those of the federation would."""
    what, policy = registered()[name], Policy(min_cases=10, max_parameters_per_case=4.0)
    known = what.check(parameters)
    cohort, shared, most = Endless(count, (1, 2, 2), masks=8), {}, 0
    for _ in range(rounds):
        assert not isinstance(shared, Done)
        tracemalloc.start()
        try:
            found = what.local(Rows(cohort, policy), known, shared)
            most = max(most, tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        shared = what.combine([found.of] if isinstance(found, Labels) else found, known, shared)
    return most


@pytest.mark.parametrize(
    ("name", "parameters", "rounds"),
    [
        ("linear", {"outcome": "relapse", "l2": 10.0, **PREDICTED}, 3),
        ("logistic", {"outcome": "relapse", "l2": 10.0, **PREDICTED}, 4),
        ("cox", {"time": "age", "event": "relapse", "times": [20, 40, 60], "l2": 10.0, **PREDICTED}, 3),
        ("fedavg", {"outcome": "relapse", "rounds": 2, **MODEL}, 3),
        pytest.param("fedavg", {"outcome": "relapse", "rounds": 1, "batch": 500, **MODEL}, 2, marks=pytest.mark.soak),
        ("evaluate", {"outcome": "relapse", "by": "scanner", **MODEL}, 2),
        pytest.param(
            "site_effect",
            {"batch": "scanner", "covariates": ["age"], "auc": True, "features": MANY},
            7,
            marks=pytest.mark.soak,
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else str(v)[-8:],
)
def test_models_hold_a_block_of_ten_times_the_cases(monkeypatch, name, parameters, rounds):
    """1,152 more cases of eight rows are 10 MiB of 150 features; a row keeps its place, patient, outcome and covariates."""
    monkeypatch.setattr(_rows, "_BLOCK", 64)
    monkeypatch.setattr(_rows, "_HELD", 0)
    few, many = (peak_of_rounds(n, name, parameters, rounds) for n in (128, 1280))
    assert many - few < 2 * MIB


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.booleans()), max_size=40), st.integers(0, 7))
def test_distinct_patients_over_blocks(rows, cut):
    """A patient's rows may fall into several blocks."""
    rows = sorted(rows, key=lambda row: row[0])
    owners = np.array([row[0] for row in rows], np.int64)
    there = np.array([[row[1] == 1, row[2]] for row in rows], bool).reshape(-1, 2)
    seen = Distinct((2,))
    for block in np.array_split(np.arange(len(rows)), cut + 1):
        seen.add(owners[block], there[block])
    assert seen.count.tolist() == [len(set(owners[there[:, k]].tolist())) for k in range(2)]


class Shrinking(Endless):
    """A cohort of which a case's features are gone when they are read again."""

    reads = 0

    def features(self, mask=None, *, names=None, cases=None):
        self.reads += 1
        return super().features(mask, names=names, cases=[c for c in cases if self.reads < 5 or c != "c7"])


@pytest.mark.parametrize("batch", [0, 8])
def test_a_table_that_changes_between_two_passes_is_refused(monkeypatch, batch):
    monkeypatch.setattr(_rows, "_HELD", 0)
    parameters = {"outcome": "relapse", "features": ["f0"], "model": "logistic", "batch": batch}
    known = registered()["fedavg"].check(
        {**parameters, "weights": {"coefficients": np.zeros(1), "intercept": np.zeros(1)}}
    )
    rows = Rows(Shrinking(20, (1, 2, 2)), Policy(min_cases=2))  # four blocks of five cases
    with pytest.raises(IntegrityError, match="changed while it was read"):
        registered()["fedavg"].local(rows, known, {})


def test_a_case_whose_features_are_damaged_is_counted_and_stops_nothing(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    x = np.random.default_rng(0).normal(size=12)
    for i, value in enumerate(x):
        metadata, features = {"subject": f"p{i}"}, {"m": {"a": float(value)}}
        cohort.add(f"c{i:02}", fi.Image(np.zeros((1, 2, 2), np.int16)), metadata=metadata, features=features)
    damaged = next(path for path in cohort.path.rglob("features.json") if "c07" in str(path))
    damaged.write_bytes(b"{")
    with pytest.raises(IntegrityError):
        cohort["c07"].features  # noqa: B018
    node = Node(cohort, Policy(min_cases=4), log=tmp_path / "log")
    value = Federation.local([node]).run("moments", features=["a"], secure=False).value
    assert value["n"].tolist() == [11]
    np.testing.assert_allclose(value["mean"], [np.delete(x, 7).mean()], rtol=1e-13)
    verify_log(node.log.path)
    assert json.loads(node.log.path.read_text().splitlines()[0])["broken"] == 1
