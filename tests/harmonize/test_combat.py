"""ComBat: the twin, devices, streaming, merging, federated rounds, files, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.harmonize import ComBat, Design, Statistics
from fastimg.testing import harmonize as twin


def cohort(n=120, features=7, batches=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    batch = rng.permutation(np.arange(n) % batches)
    covariates = {"age": rng.normal(60, 10, n), "sex": np.where(rng.random(n) < 0.5, "F", "M")}
    X = rng.normal(100, 5, (n, features)) * rng.uniform(0.5, 2, (batches, features))[batch]
    X += rng.normal(0, 20, (batches, features))[batch] + covariates["age"][:, None] * rng.normal(0, 0.5, features)
    return X.astype(dtype), np.array(list("ABCDEFGH"))[batch], covariates


def rows(covariates, index):
    return {name: vector[index] for name, vector in covariates.items()}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    features=st.integers(2, 300),
    batches=st.integers(2, 5),
    eb=st.booleans(),
    mean_only=st.booleans(),
    threads=st.integers(1, 3),
)
def test_equals_its_twin_with_the_same_bits_on_all_levels_and_threads(seed, features, batches, eb, mean_only, threads):
    X, batch, covariates = cohort(60, features, batches, seed)
    columns = np.column_stack([covariates["age"], covariates["sex"] == "M"]).astype(float)
    expected = twin.combat(X, batch, columns, eb=eb, mean_only=mean_only)
    seen = []
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            combat = ComBat(eb=eb, mean_only=mean_only, threads=threads)
            seen.append(combat.fit_transform(X, batch=batch, covariates=covariates))
    for other in seen[1:]:
        np.testing.assert_array_equal(seen[0], other)
    np.testing.assert_allclose(seen[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("missing", ["error", "skip"])
def test_on_every_device(put, get, dtype, missing):
    X, batch, covariates = cohort(dtype=dtype)
    if missing == "skip":
        X[::7, 2] = np.nan
    here = ComBat(missing=missing).fit(X, batch=batch, covariates=covariates)
    there = ComBat(missing=missing).fit(put(X), batch=batch, covariates=covariates)
    for name, array in here.statistics.arrays().items():
        np.testing.assert_allclose(there.statistics.arrays()[name], array, rtol=1e-12, atol=1e-9)
    seen = there.transform(put(X), batch=batch, covariates=covariates)
    assert seen.dtype == dtype
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(get(seen), here.transform(X, batch=batch, covariates=covariates), atol=tolerance)


@pytest.mark.parametrize("missing", ["error", "skip"])
def test_many_rows_and_covariates_on_every_device(put, missing):
    """More rows a batch than one tile of the device holds, more columns than one group, a batch without rows."""
    rng = np.random.default_rng(0)
    n, columns = 500, 6
    X, batch = rng.normal(100, 5, (n, 70)), np.where(rng.random(n) < 0.8, "A", "C")
    if missing == "skip":
        X[::7, 2] = np.nan
    covariates = {f"c{i}": rng.normal(i, 1, n) for i in range(columns)}
    design = Design([f"f{i}" for i in range(70)], ["A", "B", "C"], dict.fromkeys(covariates))
    options = {"batch": batch, "covariates": covariates, "design": design, "missing": missing}
    here, there = Statistics.of(X, **options).arrays(), Statistics.of(put(X), **options).arrays()
    for name, array in here.items():
        np.testing.assert_allclose(there[name], array, rtol=1e-12, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), parts=st.integers(1, 9), data=st.data())
def test_chunks_in_any_order_give_the_pooled_result(seed, parts, data):
    X, batch, covariates = cohort(90, 5, 4, seed)
    pooled = ComBat().fit(X, batch=batch, covariates=covariates)
    chunks = np.array_split(np.random.default_rng(seed).permutation(90), parts)
    chunks = data.draw(st.permutations(chunks))
    streamed = ComBat()
    for index in chunks:
        streamed.partial_fit(X[index], batch=batch[index], covariates=rows(covariates, index))
    merged = sum(Statistics.of(X[i], batch=batch[i], covariates=rows(covariates, i)) for i in chunks)
    expected = pooled.transform(X, batch=batch, covariates=covariates)
    for other in (streamed, ComBat.from_statistics(merged)):
        np.testing.assert_allclose(other.transform(X, batch=batch, covariates=covariates), expected, rtol=1e-10)
        assert other.design_ == pooled.design_


def test_a_batch_that_one_chunk_lacks_and_a_level_that_another_lacks():
    X, batch, covariates = cohort(seed=3)
    order = np.lexsort([covariates["sex"], batch])  # chunks of one batch and one sex
    streamed = ComBat()
    for index in np.array_split(order, 11):
        streamed.partial_fit(X[index], batch=batch[index], covariates=rows(covariates, index))
    pooled = ComBat().fit(X, batch=batch, covariates=covariates)
    expected = pooled.transform(X, batch=batch, covariates=covariates)
    np.testing.assert_allclose(streamed.transform(X, batch=batch, covariates=covariates), expected, rtol=1e-10)


def test_two_estimators_merge_and_neither_changes():
    X, batch, covariates = cohort()
    half = np.arange(120) < 50
    one = ComBat(eb=False).fit(X[half], batch=batch[half], covariates=rows(covariates, half))
    two = ComBat(eb=False).fit(X[~half], batch=batch[~half], covariates=rows(covariates, ~half))
    before = {name: array.copy() for name, array in one.statistics.arrays().items()}
    seen = one.merge(two).transform(X, batch=batch, covariates=covariates)
    expected = ComBat(eb=False).fit_transform(X, batch=batch, covariates=covariates)
    np.testing.assert_allclose(seen, expected, rtol=1e-10)
    for name, array in one.statistics.arrays().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("missing", ["error", "skip"])
def test_one_round_with_public_centres_and_two_rounds_without(missing):
    X, batch, covariates = cohort(features=4)
    if missing == "skip":
        X[5::9, 1] = np.nan
    nodes = np.array_split(np.random.default_rng(1).permutation(120), 3)  # a node holds several batches
    design = Design([f"f{i}" for i in range(4)], ["A", "B", "C", "D"], {"age": None, "sex": ["F", "M", "other"]})

    def round_(**options):
        sums = [
            Statistics.of(
                X[i], batch=batch[i], covariates=rows(covariates, i), design=design, missing=missing, **options
            ).arrays()
            for i in nodes
        ]
        return {name: sum(part[name] for part in sums) for name in sums[0]}

    public = {"center": np.full(4, 90.0), "covariate_center": [55]}
    one = ComBat.from_statistics(Statistics.from_arrays(design, round_(**public), **public), missing=missing)
    first = Statistics.from_arrays(design, round_(order=1, center=0), center=0)
    exact = {"center": first.means(), "covariate_center": [60]}
    two = ComBat.from_statistics(Statistics.from_arrays(design, round_(**exact), **exact), missing=missing)
    expected = ComBat(missing=missing).fit_transform(X, batch=batch, covariates=covariates)
    for combat in (one, two):
        np.testing.assert_allclose(combat.transform(X, batch=batch, covariates=covariates), expected, rtol=1e-10)


def test_missing_values_are_those_of_a_fit_without_them():
    X, batch, covariates = cohort(features=3)
    X[::5, 1] = np.nan
    seen = ComBat(eb=False, missing="skip").fit_transform(X, batch=batch, covariates=covariates)
    np.testing.assert_array_equal(np.isnan(seen), np.isnan(X))
    whole = ~np.isnan(X[:, 1])
    # Without empirical Bayes features do not touch one another; the grand mean weighs batches by all their subjects.
    weight = np.array([(batch == b).mean() for b in "ABC"])
    alone = Statistics.of(X[whole, 1:2], batch=batch[whole], covariates=rows(covariates, whole))
    alone.sums["rows"] = weight * 120
    expected = ComBat.from_statistics(alone, eb=False).transform(
        X[whole, 1:2], batch=batch[whole], covariates=rows(covariates, whole)
    )
    np.testing.assert_allclose(seen[whole, 1], expected[:, 0], rtol=1e-12)


def test_a_file_and_back(tmp_path):
    X, batch, covariates = cohort()
    combat = ComBat(reference="B", categorical=()).fit(X, batch=batch, covariates=covariates)
    combat.save(tmp_path / "combat.json")
    again = ComBat.load(tmp_path / "combat.json")
    seen = again.transform(X, batch=batch, covariates=covariates)
    np.testing.assert_array_equal(seen, combat.transform(X, batch=batch, covariates=covariates))
    np.testing.assert_array_equal(seen[batch == "B"], X[batch == "B"])
    with pytest.raises(fi.errors.ArgumentError, match="without its sums"):
        again.merge(combat)
    record = json.loads((tmp_path / "combat.json").read_text())
    for change in ({"version": 3}, {"format": "x"}, {"mean": [1]}, {"gamma_star": None}, {"options": {}}):
        (tmp_path / "bad.json").write_text(json.dumps(record | change))
        with pytest.raises(fi.errors.FormatError):
            ComBat.load(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text("[1, 2")
    with pytest.raises(fi.errors.FormatError, match="not a JSON file"):
        ComBat.load(tmp_path / "bad.json")


def test_tables_keep_their_names_and_wrong_ones_are_refused():
    pandas = pytest.importorskip("pandas")
    import pyarrow

    X, batch, covariates = cohort(features=3)
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    combat = ComBat().fit(frame, batch=batch, covariates=pandas.DataFrame(covariates))
    expected = ComBat().fit_transform(X, batch=batch, covariates=covariates)
    for table in (frame, pyarrow.table(dict(frame)), {name: frame[name] for name in frame}):
        np.testing.assert_array_equal(combat.transform(table, batch=batch, covariates=covariates), expected)
    assert combat.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(fi.errors.ArgumentError, match="another order"):
        combat.transform(frame[["b", "a", "c"]], batch=batch, covariates=covariates)
    with pytest.raises(fi.errors.ArgumentError, match="missing \\['c'\\], unknown \\['d'\\]"):
        combat.transform(frame.rename(columns={"c": "d"}), batch=batch, covariates=covariates)


def test_findings():
    X, batch, _ = cohort(n=36)
    X[:, 2] = 5
    X[:, 3] = np.exp(np.random.default_rng(0).normal(0, 3, 36))
    combat = ComBat().fit(X, batch=batch)
    codes = {finding.code: finding for finding in combat.findings_}
    assert set(codes) == {"combat-small-batch", "combat-skewed", "combat-constant-feature"}
    assert codes["combat-skewed"].details["features"] == ["f3"]
    assert codes["combat-constant-feature"].details["features"] == ["f2"]
    np.testing.assert_array_equal(combat.transform(X, batch=batch)[:, 2], X[:, 2])


def test_a_single_batch_is_left_alone_with_a_finding():
    X = cohort()[0]
    combat = ComBat().fit(X, batch=["A"] * 120)
    assert "combat-skipped" in [finding.code for finding in combat.findings_]
    np.testing.assert_array_equal(combat.transform(X, batch=["A"] * 120), X)


def test_signed_log_works_on_its_scale_and_comes_back():
    X, batch, _ = cohort()
    X = np.sinh(X / 30)
    seen = ComBat(monotone="signed-log").fit_transform(X, batch=batch)
    expected = ComBat().fit_transform(np.sign(X) * np.log1p(np.abs(X)), batch=batch)
    np.testing.assert_allclose(seen, np.sign(expected) * np.expm1(np.abs(expected)), rtol=1e-10)


BAD = np.arange(24.0).reshape(8, 3) ** 2
PAIRS = list("AAAABBBB")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ComBat().fit(BAD, batch=list("AAAAAAAB")).model_, "single subject"),
        (lambda: ComBat(reference="Z").fit(BAD, batch=PAIRS).model_, "reference"),
        (lambda: ComBat().fit(BAD, batch=PAIRS, covariates={"c": [1, 1, 1, 1, 2, 2, 2, 2]}).model_, "confounded"),
        (lambda: ComBat().fit(BAD, batch=PAIRS, covariates={"c": list("xxxxyyyy")}).model_, "confounded"),
        (
            lambda: ComBat().fit(BAD, batch=PAIRS, covariates=np.c_[np.arange(8.0), np.arange(8) * 2.0]).model_,
            "not independent",
        ),
        (lambda: ComBat().fit(BAD, batch=PAIRS[:7]), "one label for each of 8"),
        (lambda: ComBat().fit(BAD, batch=[None, *PAIRS[1:]]), "label is missing"),
        (lambda: ComBat().fit(BAD, batch=PAIRS, covariates={"age": [np.nan] * 8}), "missing or infinite"),
        (lambda: ComBat().fit(np.where(BAD == 4, np.nan, BAD), batch=PAIRS), "NaN"),
        (lambda: ComBat(missing="skip").fit(np.where(BAD == 4, np.inf, BAD), batch=PAIRS), "infinite"),
        (lambda: ComBat().fit(BAD[0], batch=PAIRS), "subjects x features"),
        (lambda: ComBat().fit(BAD.astype(str), batch=PAIRS), "real numbers"),
        (lambda: ComBat().fit(BAD, batch=PAIRS).transform(BAD, batch=["Z", *PAIRS[1:]]), "'Z' was not among"),
        (lambda: ComBat().fit(BAD, batch=PAIRS).transform(BAD[:, :2], batch=PAIRS), "expecting 3 features"),
        (lambda: ComBat().fit(BAD, batch=PAIRS).transform(BAD * np.nan, batch=PAIRS), "NaN"),
        (lambda: ComBat().fit(BAD, batch=PAIRS).transform(BAD, batch=PAIRS, covariates={"a": BAD[:, 0]}), "covariates"),
        (lambda: ComBat().fit(BAD, batch=PAIRS).transform(BAD, batch=PAIRS, out=BAD), "overlaps"),
        (lambda: ComBat().transform(BAD, batch=PAIRS), "not fitted"),
        (lambda: ComBat().fit(BAD[:, :1], batch=PAIRS).model_, "at least two features"),
        (lambda: ComBat(missing="drop").fit(BAD, batch=PAIRS), "missing"),
        (lambda: ComBat(categorical=["x"]).fit(BAD, batch=PAIRS), "categorical"),
        (lambda: Design([], ["A"]), "features"),
        (lambda: Design(["a"], ["A", "A"]), "batches"),
        (lambda: Statistics.of(BAD, batch=PAIRS, center=[1, 2]), "center"),
        (lambda: ComBat.from_statistics(Statistics.of(BAD, batch=PAIRS, order=1)).model_, "first round"),
        (lambda: Statistics.from_arrays(Design(["a"], ["A"]), {"x": [1]}, center=0), "expected the arrays"),
        (
            lambda: Statistics.of(BAD, batch=PAIRS) + Statistics.of(BAD[:, :2], batch=PAIRS),
            "features differ",
        ),
    ],
)
def test_misuse_is_refused_in_words(call, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call()


def test_an_unseen_level_of_a_covariate_is_refused():
    covariates = {"sex": list("FMFMFMFM")}
    combat = ComBat().fit(BAD, batch=PAIRS, covariates=covariates)
    with pytest.raises(fi.errors.ArgumentError, match="level"):
        combat.transform(BAD, batch=PAIRS, covariates={"sex": list("FMFMFMFX")})


def test_a_far_centre_costs_the_digits_that_are_stated():
    X, batch, _ = cohort()
    for far, digits in ((1e3, 1e-11), (1e6, 1e-5)):
        design = Design([f"f{i}" for i in range(7)], list("ABC"))
        combat = ComBat.from_statistics(Statistics.of(X, batch=batch, design=design, center=far))
        expected = ComBat().fit_transform(X, batch=batch)
        np.testing.assert_allclose(combat.transform(X, batch=batch), expected, rtol=digits)
