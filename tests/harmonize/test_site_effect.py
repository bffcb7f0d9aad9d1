"""site_effect and agreement: against SciPy and plain formulas, on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import fastimg as fi
from fastimg.harmonize import ComBat, agreement, site_effect
from fastimg.harmonize._site_effect import ks_p_values, variance_explained


def sites(shift, n=150, features=12, seed=0):
    rng = np.random.default_rng(seed)
    batch = np.arange(n) % 3
    return rng.normal(size=(n, features)) + shift * batch[:, None], np.array(["A", "B", "C"])[batch]


def test_a_site_effect_is_seen_and_its_absence_too():
    strong = site_effect(*sites(1.5), trees=15)
    none = site_effect(*sites(0, n=600), trees=15)
    assert strong["ks_share"] == 1
    assert strong["auc_linear"] > 0.95
    assert strong["auc_forest"] > 0.95
    assert strong["variance_explained"] > 0.4
    assert none["ks_share"] < 0.2
    assert abs(none["auc_linear"] - 0.5) < 0.08
    assert abs(none["auc_forest"] - 0.5) < 0.08
    assert none["variance_explained"] < 3 * none["variance_chance"]


def test_the_harmonizer_is_refitted_in_each_fold_and_removes_the_effect():
    X, batch = sites(1.5)
    seen = site_effect(X, batch, harmonizer=ComBat(), trees=15)
    assert seen["auc_linear"] < 0.65
    assert seen["ks_share"] < 0.3


def test_same_seed_same_numbers_and_groups_stay_together():
    X, batch = sites(0.3)
    groups = np.repeat(np.arange(50), 3)
    batch = np.repeat(batch[:50], 3)
    one, two = (site_effect(X, batch, groups=groups, trees=10, seed=4) for _ in range(2))
    assert one["auc_forest"] == two["auc_forest"]
    # Copies of a patient on both sides of a fold would let the forest recognise noise.
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(50, 5)), 3, axis=0)
    assert site_effect(X, batch, groups=groups, trees=15)["auc_forest"] < 0.75
    assert site_effect(X, batch, trees=15)["auc_forest"] > 0.9


def test_covariates_explain_what_looks_like_a_site_effect():
    rng = np.random.default_rng(1)
    batch = np.repeat(["A", "B"], 600)
    age = rng.normal(60, 10, 1200) + 15 * (batch == "B")
    X = age[:, None] * rng.normal(1, 0.2, 6) + rng.normal(0, 3, (1200, 6))
    assert site_effect(X, batch, trees=10)["variance_explained"] > 0.2
    assert site_effect(X, batch, covariates={"age": age}, trees=10)["variance_explained"] < 0.03


def test_p_values_are_scipys():
    X, batch = sites(0.4, n=90, features=5)
    X = np.round(X, 1)  # with ties
    codes = np.unique(batch, return_inverse=True)[1]
    expected = [
        min(1, 3 * min(stats.ks_2samp(x[codes == k], x[codes != k], method="asymp").statistic for k in range(3)))
        for x in X.T
    ]
    statistic = [max(stats.ks_2samp(x[codes == k], x[codes != k]).statistic for k in range(3)) for x in X.T]
    root = np.sqrt(30 * 60 / 90)
    expected = np.minimum(1, 3 * stats.kstwobign.sf(root * np.array(statistic)))
    np.testing.assert_allclose(ks_p_values(X, codes), expected, rtol=1e-9)


def test_variance_explained_is_one_way_anova():
    X, batch = sites(0.4)
    codes = np.unique(batch, return_inverse=True)[1]
    f = np.array([stats.f_oneway(*(x[codes == k] for k in range(3))).statistic for x in X.T])
    np.testing.assert_allclose(variance_explained(X, codes), 2 * f / (2 * f + 147), rtol=1e-10)
    assert variance_explained(np.ones((6, 1)), np.array([0, 0, 0, 1, 1, 1])).tolist() == [0]


def test_features_of_any_scale():
    X, batch = sites(1)
    scale = 10.0 ** np.arange(-40, 80, 10)
    plain, scaled = site_effect(X, batch, trees=10), site_effect(X * scale, batch, trees=10)
    assert scaled["ks_share"] == plain["ks_share"]
    assert scaled["auc_linear"] == pytest.approx(plain["auc_linear"], abs=1e-3)
    assert scaled["variance_explained"] == pytest.approx(plain["variance_explained"])


def test_tiny_batches_are_left_out():
    X, batch = sites(0)
    seen = site_effect(X[:61], [*batch[:60], "alone"], trees=5)
    assert (seen["left_out"], seen["batches"], seen["subjects"]) == (1, 3, 60)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.ones((4, 2)), list("AAAA")), "two batches"),
        ((np.full((4, 2), np.nan), list("AABB")), "NaN"),
        ((np.ones((4, 2)), list("AAB")), "one label"),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        site_effect(*arguments)


def test_agreement():
    # Shrout & Fleiss 1979, table 2: six targets, the first two of four judges
    judges = np.array([[9, 2], [6, 1], [8, 4], [7, 1], [10, 5], [6, 2]], float)
    seen = agreement(judges[:, :1], judges[:, 1:])
    a, b = judges.T
    ccc = 2 * np.cov(a, b, bias=True)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    assert seen["ccc"][0] == pytest.approx(ccc)
    # two-way table: rows, columns, rest
    grand = judges.mean()
    rows_ = 2 * ((judges.mean(1) - grand) ** 2).sum() / 5
    columns = 6 * ((judges.mean(0) - grand) ** 2).sum()
    rest = (((judges - judges.mean(1, keepdims=True) - judges.mean(0) + grand) ** 2).sum()) / 5
    assert seen["icc"][0] == pytest.approx((rows_ - rest) / (rows_ + rest + 2 * (columns - rest) / 6))
    same = agreement(judges, judges)
    np.testing.assert_allclose([same["ccc"], same["icc"]], 1)
