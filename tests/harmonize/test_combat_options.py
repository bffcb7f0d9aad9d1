"""ComBat's scales, robust estimates, further batches, the golden file, and the warning when a site effect rises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import fastimg as fi
from fastimg.harmonize import ComBat, Statistics, effect_of, site_effect
from fastimg.harmonize._monotone import Scale, skewed, tied
from fastimg.testing.harmonize import _iterate

GOLDEN = Path(__file__).parent / "golden"


def cohort(n=120, features=6, batches=3, seed=0):
    rng = np.random.default_rng(seed)
    k = np.arange(n) % batches
    X = rng.normal(10, 1, (n, features)) * rng.uniform(0.5, 2, (batches, features))[k]
    X += rng.normal(0, 3, (batches, features))[k]
    age = rng.normal(60, 10, n)
    return X + 0.1 * age[:, None], np.array(list("ABCDEFGH"))[k], {"age": age}


# scales ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 200),
    ties=st.booleans(),
    name=st.sampled_from(["signed-log", "rank-normal"]),
)
def test_scales_are_monotone_and_have_an_inverse(seed, n, ties, name):
    rng = np.random.default_rng(seed)
    x = np.exp(rng.normal(0, 2, (n, 2))) * rng.choice([-1, 1], (n, 2))
    x = np.round(x) if ties else x
    scale = Scale.of(name, x)
    more = np.sort(np.concatenate([x, rng.normal(0, 50, (20, 2))]), axis=0)
    there = scale.forward(more)
    assert (np.diff(there, axis=0) >= 0).all()
    np.testing.assert_allclose(scale.backward(there), more, rtol=1e-6, atol=1e-6 * np.abs(x).max())


def test_rank_normal_scores_are_blom_scores():
    x = np.random.default_rng(0).gamma(0.3, size=(50, 1))
    expected = stats.norm.ppf((stats.rankdata(x) - 0.375) / 50.25)
    np.testing.assert_allclose(Scale.of("rank-normal", x).forward(x)[:, 0], expected, rtol=1e-12)
    tied_ = np.round(x)
    expected = stats.norm.ppf((stats.rankdata(tied_) - 0.375) / 50.25)
    np.testing.assert_allclose(Scale.of("rank-normal", tied_).forward(tied_)[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("monotone", ["signed-log", "rank-normal"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scales_on_every_device_and_in_a_file(put, get, tmp_path, monotone, dtype):
    X, batch, covariates = cohort()
    X = np.sinh(X / 10).astype(dtype)
    combat = ComBat(monotone=monotone).fit(put(X), batch=batch, covariates=covariates)
    seen = get(combat.transform(put(X), batch=batch, covariates=covariates))
    assert seen.dtype == dtype
    here = ComBat(monotone=monotone).fit(X, batch=batch, covariates=covariates)
    expected = here.transform(X, batch=batch, covariates=covariates)
    np.testing.assert_allclose(seen, expected, rtol=1e-4 if dtype == np.float32 else 1e-9)
    here.save(tmp_path / "combat.json")
    again = ComBat.load(tmp_path / "combat.json").transform(X, batch=batch, covariates=covariates)
    np.testing.assert_array_equal(again, expected)


def test_rank_normal_is_combat_on_the_scores():
    X, batch, _ = cohort()
    X = np.exp(X)
    scale = Scale.of("rank-normal", X)
    expected = scale.backward(ComBat().fit_transform(scale.forward(X), batch=batch))
    np.testing.assert_allclose(ComBat(monotone="rank-normal").fit_transform(X, batch=batch), expected, rtol=1e-12)


def test_a_constant_feature_and_nan_pass_a_rank_normal_scale():
    X, batch, _ = cohort()
    X[:, 1] = 7.0
    X[::9, 2] = np.nan
    seen = ComBat(monotone="rank-normal", missing="skip").fit_transform(X, batch=batch)
    np.testing.assert_array_equal(seen[:, 1], 7.0)
    np.testing.assert_array_equal(np.isnan(seen), np.isnan(X))


def test_scales_that_differ_do_not_merge():
    X, batch, _ = cohort()
    one, two = (ComBat(monotone="rank-normal").fit(X[s], batch=batch[s]) for s in (slice(60), slice(60, 120)))
    with pytest.raises(fi.errors.ArgumentError, match="different monotone"):
        one.merge(two)
    with pytest.raises(fi.errors.ArgumentError, match="sums have none"):
        ComBat.from_statistics(Statistics.of(X, batch=batch), monotone="rank-normal")


def test_skew_and_ties_are_looked_for():
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [
            rng.normal(size=200),
            np.exp(rng.normal(0, 3, 200)),
            np.where(rng.random(200) < 0.6, 0, rng.random(200)),
            np.ones(200),
        ]
    )
    assert skewed(X, "abcd") == ["b"]
    assert tied(X, "abcd") == ["c"]
    found = {f.code: f for f in ComBat(eb=False).fit(X, batch=["A", "B"] * 100).findings_}
    assert found["combat-tied"].details["features"] == ["f2"]


# outliers -------------------------------------------------------------------------------------------------------------


def test_robust_estimates_are_plain_ones_without_outliers():
    X, batch, covariates = cohort()
    plain = ComBat().fit_transform(X, batch=batch, covariates=covariates)
    robust = ComBat(robust=1e6).fit_transform(X, batch=batch, covariates=covariates)
    np.testing.assert_allclose(robust, plain, rtol=1e-9)


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_robust_estimates_stand_outliers(share):
    X, batch, covariates = cohort(n=600, features=20)
    rng = np.random.default_rng(1)
    dirty = X.copy()
    hit = rng.random(X.shape) < share
    hit &= (batch == "A")[:, None]
    dirty[hit] += 200
    clean = ComBat().fit(X, batch=batch, covariates=covariates).transform(X, batch=batch, covariates=covariates)
    error = {}
    for name, cut in (("plain", None), ("robust", 4.0)):
        combat = ComBat(robust=cut).fit(dirty, batch=batch, covariates=covariates)
        seen = combat.transform(X, batch=batch, covariates=covariates)  # what it does to the good values
        error[name] = np.abs(seen - clean).mean()
    assert error["robust"] < 0.2
    assert error["robust"] < error["plain"] / 5


def test_robust_on_every_device_and_what_it_refuses(put, get):
    X, batch, covariates = cohort()
    X[::17, 2] += 300
    combat = ComBat(robust=4, missing="skip").fit(put(X), batch=batch, covariates=covariates)
    here = ComBat(robust=4, missing="skip").fit(X, batch=batch, covariates=covariates)
    seen = get(combat.transform(put(X), batch=batch, covariates=covariates))
    np.testing.assert_allclose(seen, here.transform(X, batch=batch, covariates=covariates), rtol=1e-10)
    with pytest.raises(fi.errors.ArgumentError, match="use fit"):
        combat.partial_fit(X, batch=batch, covariates=covariates)
    with pytest.raises(fi.errors.ArgumentError, match="robust"):
        ComBat(robust=0.5).fit(X, batch=batch)
    with pytest.raises(fi.errors.ArgumentError, match="robust options"):
        here.merge(ComBat(missing="skip").fit(X, batch=batch, covariates=covariates))


# further batches ------------------------------------------------------------------------------------------------------


def by_the_book(z, *, eb=True, mean_only=False, parametric=True, monotone=None):
    """Shift and scale of one batch from its standardised values, by the formulas of Johnson, Li & Rabinovic."""
    n, g, d = len(z), z.mean(0), z.var(0, ddof=1)
    d = np.ones_like(d) if mean_only else d
    if not eb:
        return g, d
    if mean_only:
        return (g.var(ddof=1) * g + g.mean()) / (g.var(ddof=1) + 1), d
    if parametric:
        return _iterate(z, g, d, g.mean(), g.var(ddof=1), n)
    pairs = []
    for j in range(len(g)):
        others = np.arange(len(g)) != j
        misfit = np.square(z[:, j][:, None] - g[others]).sum(0)
        weight = np.exp(-misfit / (2 * d[others])) / (2 * np.pi * d[others]) ** (n / 2)
        pairs.append([(weight * part[others]).sum() / weight.sum() for part in (g, d)])
    return tuple(np.array(pairs).T)


@pytest.mark.parametrize(
    "options", [{}, {"eb": False}, {"mean_only": True}, {"parametric": False}, {"monotone": "signed-log"}]
)
def test_a_batch_is_added_and_the_others_stay(options, tmp_path):
    X, batch, covariates = cohort(n=160, features=12, batches=4)
    old = batch != "D"
    first = {name: vector[old] for name, vector in covariates.items()}
    second = {name: vector[~old] for name, vector in covariates.items()}
    combat = ComBat(**options).fit(X[old], batch=batch[old], covariates=first)
    wider = combat.add_batch(X[~old], batch=batch[~old], covariates=second)
    before = combat.transform(X[old], batch=batch[old], covariates=first)
    np.testing.assert_array_equal(wider.transform(X[old], batch=batch[old], covariates=first), before)
    seen = wider.transform(X[~old], batch=batch[~old], covariates=second)
    # by the formulas: standardise with the fit's mean, slope and variance, then shift and scale of the batch itself
    model = combat.model_
    scale = Scale.of(options.get("monotone"), X)
    expected = model.mean + (second["age"] - model.covariate_center[0])[:, None] * model.beta[0]
    z = (scale.forward(X[~old]) - expected) / np.sqrt(model.var)
    shift, scales = by_the_book(z, **options)
    clean = scale.backward((z - shift) / np.sqrt(scales) * np.sqrt(model.var) + expected)
    np.testing.assert_allclose(seen, clean, rtol=1e-9)
    wider.save(tmp_path / "wider.json")
    again = ComBat.load(tmp_path / "wider.json")
    np.testing.assert_array_equal(again.transform(X[~old], batch=batch[~old], covariates=second), seen)
    combat.save(tmp_path / "combat.json")
    later = ComBat.load(tmp_path / "combat.json").add_batch(X[~old], batch=batch[~old], covariates=second)
    np.testing.assert_array_equal(later.transform(X[~old], batch=batch[~old], covariates=second), seen)


def test_what_add_batch_refuses():
    X, batch, covariates = cohort()
    combat = ComBat().fit(X, batch=batch, covariates=covariates)
    few = {"age": covariates["age"][:3]}
    for call, words in (
        (lambda: combat.add_batch(X[:3], batch=["A", "Z", "Z"], covariates=few), "already in the fit"),
        (lambda: combat.add_batch(X[:3], batch=["Y", "Z", "Z"], covariates=few), "at least two subjects"),
        (lambda: combat.add_batch(X[:3] * np.nan, batch=["Z"] * 3, covariates=few), "NaN"),
        (lambda: ComBat().fit(X, batch=["A"] * len(X)).add_batch(X[:3], batch=["Z"] * 3), "one batch"),
        (
            lambda: combat.add_batch(X[:3], batch=["Z"] * 3, covariates=few).partial_fit(X, batch=batch),
            "covariates|sums",
        ),
    ):
        with pytest.raises(fi.errors.ArgumentError, match=words):
            call()


# files of earlier versions --------------------------------------------------------------------------------------------


def golden_cohort():
    k = np.arange(40) % 3
    X = np.random.default_rng(20).normal(10, 2, (40, 4)) * np.array([1, 2, 0.5])[k][:, None]
    X = np.round(X + np.arange(40)[:, None] % 3, 3)
    covariates = {"age": np.arange(40) % 7 + 50.0, "sex": np.where(np.arange(40) % 5 < 2, "F", "M")}
    return {f"feature {i}": X[:, i] for i in range(4)}, np.array(list("ABC"))[k], covariates


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_each_released_version_are_read(version):
    X, batch, covariates = golden_cohort()
    options = {"reference": "B"}
    if version == 2:
        options |= {"monotone": "rank-normal", "interactions": [["age", "sex"]], "smooth": {"age": 4}, "robust": 6.0}
    combat = ComBat.load(GOLDEN / f"combat-{version}.json")
    fresh = ComBat(**options).fit(X, batch=batch, covariates=covariates)
    seen = combat.transform(X, batch=batch, covariates=covariates)
    np.testing.assert_allclose(seen, fresh.transform(X, batch=batch, covariates=covariates), rtol=1e-12)


def test_a_damaged_scale_is_refused():
    record = ComBat.load(GOLDEN / "combat-2.json").to_dict()
    for change in ([], [[[1, 2], [3]]] * 4, [[[2, 1], [0, 1]]] * 4, [[["x", 1], [0, 1]]] * 4):
        with pytest.raises(fi.errors.FormatError):
            ComBat.from_dict(record | {"scale": change})


# the warning ----------------------------------------------------------------------------------------------------------


def test_a_rise_of_the_site_effect_is_warned_of_and_a_scale_cures_it():
    rng = np.random.default_rng(3)
    n = 160
    batch = np.repeat(["A", "B"], n // 2)
    X = np.exp(rng.normal(0, 2.5, (n, 8)))
    X[batch == "B"] *= np.where(rng.random((n // 2, 8)) < 0.05, 30, 1)  # a few large ones: means differ, bulks do not
    with pytest.warns(UserWarning, match="site effect rose"):
        plain = effect_of(ComBat(), X, batch, trees=30)
    assert plain["findings"][0].code == "site-effect-rose"
    assert plain["after"]["auc_forest"] > plain["before"]["auc_forest"] + 0.1
    cured = site_effect(X, batch, harmonizer=ComBat(monotone="rank-normal"), trees=30)
    assert cured["auc_forest"] < plain["after"]["auc_forest"] - 0.2


def test_no_warning_where_the_site_effect_falls():
    X, batch, covariates = cohort(n=300)
    seen = effect_of(ComBat(), X, batch, covariates=covariates, trees=20)
    assert seen["findings"] == []
    assert seen["after"]["auc_linear"] < seen["before"]["auc_linear"]
