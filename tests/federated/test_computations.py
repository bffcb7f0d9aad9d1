"""Federated answers against the pooled ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.errors import ArgumentError, RefusedError
from fastimg.federated._disclosure import Cells, suppress
from fastimg.federated._tables import Bins

from .conftest import FEATURES, SCALE

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.mark.parametrize("secure", [True, False])
def test_histogram_equals_the_pooled_one(make, hospitals, secure):
    r = make(min_cases=1).run("histogram", bins=16, range=(-600, 600), secure=secure)
    voxels = hospitals[1]["voxels"].ravel()
    np.testing.assert_array_equal(r.value["counts"], np.histogram(voxels, 16, (-600, 600))[0])
    np.testing.assert_array_equal(r.value["edges"], np.histogram(voxels, 16, (-600, 600))[1])
    assert (r.value["below"], r.value["above"]) == ((voxels < -600).sum(), (voxels > 600).sum())
    assert (r.value["overflow"], r.value["cases"], r.value["patients"]) == (0, 72, 72)
    assert [node["status"] for node in r.nodes] == ["answered"] * 3
    assert any("secure aggregation" in text for text in r.privacy) == secure


def test_mass_is_kept_and_no_small_cell_leaves_a_node(make, hospitals):
    r = make(min_cases=20).run("histogram", bins=64, range=(-1000, 1000))
    value = r.value
    total = value["counts"].sum() + value["below"] + value["above"] + value["overflow"]
    assert total == hospitals[1]["voxels"].size
    assert value["overflow"] > 0
    pooled = np.histogram(hospitals[1]["voxels"].ravel(), 64, (-1000, 1000))[0]
    assert (value["counts"] <= pooled).all()


def test_histogram_of_a_feature(make, hospitals):
    x = hospitals[1]["x"][:, 2]
    r = make(min_cases=1).run("histogram", bins=5, range=(0, 6), feature="f2")
    np.testing.assert_array_equal(r.value["counts"], np.histogram(x, 5, (0, 6))[0])


def test_count_cross_tabulates(make, hospitals):
    pooled = hospitals[1]
    fed = make(min_cases=1)
    assert fed.run("count").value["cases"] == 72
    value = fed.run("count", by=["scanner", "sex"]).value
    assert value["levels"] == {"scanner": ["A", "B", "C"], "sex": ["F", "M"]}
    for i, scanner in enumerate("ABC"):
        for j, sex in enumerate("FM"):
            assert value["cases"][i, j] == ((pooled["scanner"] == scanner) & (pooled["sex"] == sex)).sum()
    given_levels = fed.run("count", by=["scanner"], levels={"scanner": ["B"]}).value
    assert given_levels["cases"].tolist() == [(pooled["scanner"] == "B").sum()]
    assert given_levels["overflow_cases"] == 72 - given_levels["cases"][0]


def test_where_picks_cases(make, hospitals):
    fed = make(min_cases=1)
    assert fed.run("count", where={"sex": "F"}).value["cases"] == (hospitals[1]["sex"] == "F").sum()
    assert fed.run("count", where={"scanner": ["A", "B"]}).value["cases"] == (hospitals[1]["scanner"] != "C").sum()


@pytest.mark.parametrize("covariance", [False, True])
def test_moments_equal_the_pooled_ones(make, hospitals, covariance):
    x = hospitals[1]["x"]
    value = make().run("moments", features=FEATURES, covariance=covariance).value
    np.testing.assert_allclose(value["mean"], x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(value["variance"], x.var(0, ddof=1), rtol=1e-12)
    assert value["n"].tolist() == [72] * 8
    if covariance:
        expected = np.cov(x.T)
        size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        assert (np.abs(value["covariance"] - expected) / size).max() < 1e-12


@pytest.mark.parametrize("covariates", [[], ["age"], ["sex"], ["age", "sex"]])
@pytest.mark.parametrize(
    "options", [{}, {"parametric": False}, {"mean_only": True}, {"reference": "B"}, {"eb": False}], ids=str
)
def test_combat_equals_the_pooled_fit(make, hospitals, covariates, options):
    """Batches are spread over nodes and nodes hold several; columns span 1e-6 to 1e9."""
    pooled = hospitals[1]
    r = make().run("combat", features=FEATURES, covariates=covariates, batch="scanner", **options)
    given_covariates = {name: pooled[name] for name in covariates} or None
    arguments = {"batch": pooled["scanner"], "covariates": given_covariates}
    expected = fi.harmonize.ComBat(**options).fit(pooled["x"], **arguments).transform(pooled["x"], **arguments)
    seen = r.value.transform(pooled["x"], **arguments)
    assert np.abs((seen - expected) / SCALE).max() < 1e-11
    assert r.value.statistics.subjects == {k: (pooled["scanner"] == k).sum() for k in "ABC"}


def test_combat_states_batches_of_few_nodes(make):
    r = make().run("combat", features=FEATURES, batch="scanner")
    assert any("fewer than 3 nodes: C." in text for text in r.privacy)
    assert r.value.transform(np.ones((1, 8)), batch=["A"]).shape == (1, 8)
    with pytest.raises(RefusedError, match="rule disclose_batches"):
        make(disclose_batches=False).run("combat", features=FEATURES, batch="site")


def test_same_answer_bit_for_bit(make):
    runs = [make().run("combat", features=FEATURES, covariates=["age"], batch="scanner").value for _ in range(2)]
    for name in ("mean", "beta", "var", "gamma_star", "delta_star"):
        np.testing.assert_array_equal(getattr(runs[0].model_, name), getattr(runs[1].model_, name))
    plain = make().run("combat", features=FEATURES, covariates=["age"], batch="scanner", secure=False).value
    np.testing.assert_array_equal(plain.model_.gamma_star, runs[0].model_.gamma_star)


def test_rows_with_missing_values_are_left_out_and_counted(hospitals, tmp_path):
    nodes, kept = [], []
    rng = np.random.default_rng(0)
    for site in range(3):
        cohort = fi.Cohort.create(tmp_path / f"c{site}")
        for i in range(12):
            x = rng.normal(size=2)
            metadata = {"site": "AB"[i % 2], "age": None if i == 0 else float(i), "subject": f"p{i}"}
            values = {"a": float("nan") if i == 1 else x[0], "b": x[1]}
            cohort.add(f"c{i}", fi.Image(np.zeros((1, 2, 2), np.int16)), metadata=metadata, features={"m": values})
            if i > 1:
                kept.append((x, "AB"[i % 2], float(i)))
        nodes.append(fi.federated.Node(cohort, fi.federated.Policy(min_cases=3)))
    r = fi.federated.Federation.local(nodes).run("combat", features=["a", "b"], covariates=["age"], batch="site")
    x, batch, age = (np.array(column) for column in zip(*kept, strict=True))
    arguments = {"batch": batch, "covariates": {"age": age}}
    expected = fi.harmonize.ComBat().fit(x, **arguments).transform(x, **arguments)
    np.testing.assert_allclose(r.value.transform(x, **arguments), expected, atol=1e-12)
    assert any(text.startswith("6 rows were left out") for text in r.privacy)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), patients=st.integers(1, 12), cells=st.integers(1, 8), minimum=st.integers(1, 5))
def test_the_cell_rule(data, patients, cells, minimum):
    weights2 = np.array(
        data.draw(
            st.lists(st.lists(st.integers(0, 3), min_size=cells, max_size=cells), min_size=patients, max_size=patients)
        )
    )
    holds, weights = weights2 > 0, weights2.sum(0).astype(np.int64)
    try:
        shown, counts, moved, inside = suppress(weights, np.nonzero(holds), minimum)
    except RefusedError:
        with pytest.raises(RefusedError):
            filled(weights2, minimum)
        assert 0 < holds.any(axis=1).sum() < minimum
        return
    assert shown.sum() + moved == weights.sum()
    assert ((counts == 0) | (counts >= minimum)).all()
    assert inside == 0 or inside >= minimum
    assert (inside == 0) == (moved == 0)
    np.testing.assert_array_equal(shown[counts > 0], weights[counts > 0])
    seen, overflow = filled(weights2, minimum)
    np.testing.assert_array_equal(seen, shown)
    assert overflow == moved


def filled(by_patient, minimum):
    """The same cells filled patient by patient, in two cases each."""
    cells = Cells(by_patient.shape[1], minimum, len(by_patient))
    for patient, row in enumerate(by_patient):
        cells.add(patient, row // 2)
        cells.add(patient, row - row // 2)
    return cells.suppressed()


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-3000, 3000), max_size=60),
    bins=st.integers(1, 9),
    low=st.integers(-50, 50),
    width=st.integers(1, 200),
    dtype=st.sampled_from([np.int16, np.int32, np.float32, np.float64]),
)
def test_cells_are_numpys(values, bins, low, width, dtype):
    array = np.array(values, dtype)
    cells = Bins(bins, (low, low + width))
    seen = cells.counts(array)
    np.testing.assert_array_equal(seen[:bins], np.histogram(array.astype(float), bins, (low, low + width))[0])
    assert seen[bins:].tolist() == [(array < low).sum(), (array > low + width).sum(), 0]
    assert cells.counts(np.array([np.nan, np.inf, 1.0]))[-1] == 2


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("nothing", {}, "not installed"),
        ("count", {"bins": 3}, "unknown parameter"),
        ("histogram", {}, "'range' is needed"),
        ("histogram", {"range": (1, 1)}, "two rising numbers"),
        ("histogram", {"range": (0, float("inf"))}, "two rising numbers"),
        ("histogram", {"range": (0, 1), "bins": 0}, "bins"),
        ("histogram", {"range": (0, 1), "bins": 2.5}, "bins"),
        ("histogram", {"range": (0, 1), "bins": "import os"}, "bins"),
        ("combat", {"features": [], "batch": "site"}, "features"),
        ("combat", {"features": ["a", "a"], "batch": "site"}, "features"),
        ("combat", {"features": ["a"], "batch": "a\nb"}, "batch"),
        ("combat", {"features": ["a"], "batch": "site", "eb": 1}, "eb"),
        ("count", {"where": {"a": object()}}, "where"),
        ("count", {"by": "sex"}, "by"),
    ],
)
def test_bad_parameters_are_refused_before_a_node_is_asked(make, name, parameters, words):
    fed = make()
    with pytest.raises(ArgumentError, match=words):
        fed.run(name, **parameters)
    assert all(node.log.head == "0" * 64 for node in fed._transport.nodes.values())
