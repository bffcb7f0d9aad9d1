"""NestedComBat: the test that counts, the order, the published procedure, files, refusals."""

from __future__ import annotations

import contextlib
import io
import warnings
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone

import fastimg as fi
from fastimg.harmonize import ComBat, NestedComBat
from fastimg.harmonize._anderson import anderson_p_values


def cohort(n=96, features=8, seed=0):
    rng = np.random.default_rng(seed)
    batch = {
        "vendor": np.array(["GE", "Philips", "Siemens"])[rng.integers(0, 3, n)],
        "kernel": np.array(["sharp", "soft"])[rng.integers(0, 2, n)],
        "contrast": np.array([0, 1])[rng.integers(0, 2, n)],
    }
    X = rng.normal(size=(n, features)) + (batch["kernel"] == "soft")[:, None] * rng.normal(1, 1, features)
    X *= np.where(batch["vendor"] == "GE", 2, 1)[:, None]
    X += batch["contrast"][:, None] * rng.normal(0, 1, features)
    return X, batch, {"age": rng.normal(60, 10, n)}


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), k=st.integers(2, 5), n=st.integers(12, 80), ties=st.booleans())
def test_anderson_darling_is_scipys(seed, k, n, ties):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(n) % k)
    x = rng.normal(size=(n, 4)) + codes[:, None] * np.array([0, 0.3, 0.6, 2])
    x = np.round(x) if ties else x
    expected = []
    for column in x.T:
        samples = [column[codes == j] for j in range(k)]
        if np.ptp(column) == 0:
            expected.append(1.0)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # p values at the ends of the table; SciPy's own changes
            expected.append(stats.anderson_ksamp(samples).pvalue)
    np.testing.assert_allclose(anderson_p_values(x, codes), expected, rtol=1e-9)


def test_a_constant_feature_and_a_single_level_differ_in_nothing():
    assert anderson_p_values(np.ones((10, 1)), np.arange(10) % 2).tolist() == [1]
    assert anderson_p_values(np.arange(10.0)[:, None], np.zeros(10, int)).tolist() == [1]


def test_a_given_order_is_combat_after_combat():
    X, batch, covariates = cohort()
    expected = X
    for name in ("kernel", "contrast", "vendor"):
        expected = ComBat().fit_transform(expected, batch=batch[name], covariates=covariates)
    nested = NestedComBat(order=["kernel", "contrast", "vendor"])
    seen = nested.fit_transform(X, batch=batch, covariates=covariates)
    np.testing.assert_array_equal(seen, expected)
    assert nested.order_ == ["kernel", "contrast", "vendor"]


def test_the_best_order_is_that_of_the_published_procedure():
    """Horng et al. 2022, with neuroCombat and SciPy: of all orders the one with the fewest p values below 0.05."""
    pandas = pytest.importorskip("pandas")
    neuro = pytest.importorskip("neuroCombat", reason="peer neuroCombat is not installed")
    X, batch, covariates = cohort()
    frame = pandas.DataFrame({name: np.unique(rows, return_inverse=True)[1] for name, rows in batch.items()})
    frame["age"] = covariates["age"].astype(np.float32)
    count, result = {}, {}
    for order in permutations(batch):
        values = X.T
        for name in order:
            with contextlib.redirect_stdout(io.StringIO()):
                values = neuro.neuroCombat(values, frame, name, continuous_cols=["age"])["data"]
        count[order], result[order] = 0, values.T
        for name in batch:
            for column in values:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    groups = [column[frame[name] == level] for level in frame[name].unique()]
                    count[order] += stats.anderson_ksamp(groups).pvalue < 0.05
    nested = NestedComBat()
    seen = nested.fit_transform(X, batch=batch, covariates={"age": frame["age"].to_numpy()})
    assert nested.scores_ == count
    best = min(count, key=count.get)
    assert tuple(nested.order_) == best
    np.testing.assert_allclose(seen, result[best], rtol=1e-8, atol=1e-8)


def test_each_variable_is_told_less_well_afterwards():
    X, batch, _ = cohort(n=300)
    clean = NestedComBat(ComBat(eb=False), test="ks").fit_transform(X, batch=batch)
    for name, rows in batch.items():
        codes = np.unique(rows, return_inverse=True)[1]
        before, after = ((anderson_p_values(x, codes) < 0.05).mean() for x in (X, clean))
        assert after <= 0.25, name
        assert after < before


def test_new_subjects_files_devices_and_findings(put, get, tmp_path):
    X, batch, covariates = cohort()
    nested = NestedComBat(ComBat(monotone="signed-log")).fit(put(X), batch=batch, covariates=covariates)
    some = slice(10, 20)
    few = {name: rows[some] for name, rows in batch.items()}
    age = {"age": covariates["age"][some]}
    seen = get(nested.transform(put(X[some]), batch=few, covariates=age))
    whole = get(nested.transform(put(X), batch=batch, covariates=covariates))
    np.testing.assert_array_equal(seen, whole[some])
    nested.save(tmp_path / "nested.json")
    again = NestedComBat.load(tmp_path / "nested.json")
    assert again.order_ == nested.order_
    np.testing.assert_allclose(again.transform(X, batch=batch, covariates=covariates), whole, rtol=1e-12)
    assert {
        finding.where for finding in NestedComBat().fit(X[:40], batch={n: r[:40] for n, r in batch.items()}).findings_
    }
    record = nested.to_dict()
    for change in ({"format": "x"}, {"version": 2}, {"steps": []}, {"steps": [{"batch": "vendor"}]}):
        with pytest.raises(fi.errors.FormatError):
            NestedComBat.from_dict(record | change)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda X, b: NestedComBat(order=["vendor"]).fit(X, batch=b), "each of"),
        (lambda X, b: NestedComBat(test="t").fit(X, batch=b), "anderson"),
        (lambda X, b: NestedComBat().fit(X, batch=b["vendor"]), "table or mapping"),
        (lambda X, b: NestedComBat().fit(X, batch={}), "at least one"),
        (lambda X, b: NestedComBat().fit(X, batch={str(i): b["kernel"] for i in range(6)}), "up to 5"),
        (lambda X, b: NestedComBat().transform(X, batch=b), "not fitted"),
        (
            lambda X, b: NestedComBat().fit(X, batch=b).transform(X, batch={"vendor": b["vendor"]}),
            "expected the columns",
        ),
        (lambda X, b: NestedComBat().fit(X, batch=b).transform(X[:, :2], batch=b), "expecting 8 features"),
        (lambda X, b: NestedComBat().fit(X, batch=b | {"kernel": ["one"] * 95 + ["two"]}), "single subject"),
    ],
)
def test_misuse_is_refused_in_words(call, words):
    X, batch, _ = cohort()
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call(X, batch)


def test_scikit_learn_can_clone_it():
    nested = NestedComBat(ComBat(eb=False), test="ks")
    assert clone(nested).get_params()["estimator__eb"] is False
