"""CovBat: its twin, streaming and merging, devices, what it does to covariances, files, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import fastimg as fi
from fastimg.harmonize import ComBat, CovBat, Statistics
from fastimg.testing import harmonize as twin


def cohort(n=150, features=6, batches=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    k = rng.permutation(np.arange(n) % batches)
    mix = rng.normal(size=(batches, features, features)) + 2 * np.eye(features)
    age = rng.normal(60, 10, n)
    X = np.einsum("nf,nfg->ng", rng.normal(size=(n, features)), mix[k]) + rng.normal(0, 4, (batches, features))[k] + 50
    return (X + 0.1 * age[:, None]).astype(dtype), np.array(list("ABCDEF"))[k], {"age": age}


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    features=st.integers(2, 12),
    batches=st.integers(2, 4),
    eb=st.booleans(),
    scale=st.booleans(),
    explained=st.sampled_from([0.3, 0.8, 0.95]),
)
def test_equals_its_twin(seed, features, batches, eb, scale, explained):
    X, batch, covariates = cohort(100, features, batches, seed)
    seen = CovBat(ComBat(eb=eb), scale=scale, explained=explained).fit_transform(X, batch=batch, covariates=covariates)
    expected = twin.covbat(X, batch, covariates["age"][:, None], eb=eb, scale=scale, explained=explained)
    np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), parts=st.integers(1, 6))
def test_chunks_in_any_order_give_the_pooled_result(seed, parts):
    X, batch, covariates = cohort(120, 5, 3, seed)
    pooled = CovBat().fit(X, batch=batch, covariates=covariates)
    expected = pooled.transform(X, batch=batch, covariates=covariates)
    streamed, estimators, sums = CovBat(), [], []
    rng = np.random.default_rng(seed)
    of_batch = rng.permutation(120)
    of_batch = of_batch[np.argsort(batch[of_batch], kind="stable")]
    for part in range(parts):
        index = rng.permutation(of_batch[part::parts])  # an estimator of its own refuses a lone subject
        few = {name: vector[index] for name, vector in covariates.items()}
        streamed.partial_fit(X[index], batch=batch[index], covariates=few)
        estimators.append(CovBat().fit(X[index], batch=batch[index], covariates=few))
        sums.append(
            Statistics.of(X[index], batch=batch[index], covariates=few, design=pooled.combat_.design_, products=True)
        )
    merged = estimators[0]
    for other in estimators[1:]:
        merged = merged.merge(other)
    for other in (streamed, merged, CovBat.from_statistics(sum(sums))):
        seen = other.transform(X, batch=batch, covariates=covariates)
        np.testing.assert_allclose(seen, expected, rtol=1e-9)


def test_a_federated_round_adds_arrays():
    X, batch, covariates = cohort()
    design = CovBat().fit(X, batch=batch, covariates=covariates).combat_.design_
    public = {"center": np.full(6, 55.0), "covariate_center": [60]}
    nodes = np.array_split(np.random.default_rng(1).permutation(150), 3)  # a node holds several batches
    parts = [
        Statistics.of(
            X[i], batch=batch[i], covariates={"age": covariates["age"][i]}, design=design, products=True, **public
        ).arrays()
        for i in nodes
    ]
    total = {name: sum(part[name] for part in parts) for name in parts[0]}
    seen = CovBat.from_statistics(Statistics.from_arrays(design, total, **public))
    expected = CovBat().fit_transform(X, batch=batch, covariates=covariates)
    np.testing.assert_allclose(seen.transform(X, batch=batch, covariates=covariates), expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("monotone", [None, "signed-log"])
def test_on_every_device(put, get, dtype, monotone):
    X, batch, covariates = cohort(dtype=dtype)
    base = ComBat(monotone=monotone)
    here = CovBat(base).fit_transform(X, batch=batch, covariates=covariates)
    there = CovBat(base).fit(put(X), batch=batch, covariates=covariates)
    seen = get(there.transform(put(X), batch=batch, covariates=covariates))
    assert seen.dtype == dtype
    np.testing.assert_allclose(seen, here, rtol=1e-5 if dtype == np.float32 else 1e-9)


def test_covariances_come_closer_than_by_combat():
    rng = np.random.default_rng(2)
    batch = np.array(list("ABC"))[np.arange(900) % 3]
    common = rng.normal(size=900) * np.array([0.2, 1, 3])[np.arange(900) % 3]  # features go together at one site more
    X = rng.normal(size=(900, 5)) + common[:, None] * rng.choice([-1, 1], 5)
    away = {}
    for name, model in (("combat", ComBat()), ("covbat", CovBat())):
        clean = model.fit_transform(X, batch=batch)
        correlations = [np.corrcoef(clean[batch == label].T) for label in "ABC"]
        away[name] = sum(np.abs(a - b).mean() for a in correlations for b in correlations)
    assert away["covbat"] < 0.5 * away["combat"]


def test_files_and_further_subjects(tmp_path):
    X, batch, covariates = cohort()
    covbat = CovBat(ComBat(eb=False), components=3).fit(X, batch=batch, covariates=covariates)
    assert covbat.loadings_.shape == (6, 3)
    covbat.save(tmp_path / "covbat.json")
    again = CovBat.load(tmp_path / "covbat.json")
    few = {"age": covariates["age"][:7]}
    expected = covbat.transform(X, batch=batch, covariates=covariates)
    np.testing.assert_array_equal(again.transform(X[:7], batch=batch[:7], covariates=few), expected[:7])
    record = covbat.to_dict()
    for change in ({"format": "x"}, {"version": 2}, {"loadings": [[1.0]]}, {"options": {"x": 1}}, {"combat": {}}):
        with pytest.raises(fi.errors.FormatError):
            CovBat.from_dict(record | change)
    with pytest.raises(fi.errors.ArgumentError, match="without its sums"):
        again.partial_fit(X, batch=batch, covariates=covariates)


def test_a_golden_file_is_read():
    covbat = CovBat.load(Path(__file__).parent / "golden" / "covbat-1.json")
    X, batch, covariates = cohort(60, 4, 2, seed=9)
    expected = twin.covbat(X, batch, covariates["age"][:, None])
    np.testing.assert_allclose(covbat.transform(X, batch=batch, covariates=covariates), expected, rtol=1e-9)


def test_a_single_batch_and_a_constant_feature_stay():
    X, batch, _ = cohort()
    np.testing.assert_array_equal(CovBat().fit_transform(X, batch=["A"] * 150), X)
    X[:, 2] = 5
    seen = CovBat().fit_transform(X, batch=batch)
    np.testing.assert_array_equal(seen[:, 2], 5)
    rest = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(seen[:, rest], CovBat().fit_transform(X[:, rest], batch=batch), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda X, b: CovBat(ComBat(reference="A")).fit(X, batch=b), "reference"),
        (lambda X, b: CovBat(ComBat(monotone="rank-normal")).fit(X, batch=b), "rank-normal"),
        (lambda X, b: CovBat(explained=1.5).fit(X, batch=b), "explained"),
        (lambda X, b: CovBat(components=0).fit(X, batch=b), "components"),
        (lambda X, b: CovBat().transform(X, batch=b), "not fitted"),
        (lambda X, b: CovBat.from_statistics(Statistics.of(X, batch=b)), "products"),
        (lambda X, b: Statistics.of(X, batch=b, products=True, missing="skip"), "every value"),
        (lambda X, b: CovBat().fit(X * np.nan, batch=b), "NaN"),
        (lambda X, b: CovBat().fit(X, batch=b).transform(X, batch=["Z"] * 150), "'Z' was not among"),
    ],
)
def test_misuse_is_refused_in_words(call, words):
    X, batch, _ = cohort()
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call(X, batch)


def test_scikit_learn_can_clone_it():
    assert clone(CovBat(ComBat(eb=False), components=4)).get_params()["estimator__eb"] is False
