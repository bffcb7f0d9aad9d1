"""What ComBat keeps: interactions, smooth effects (ComBat-GAM against its peers), formulas that stay at home."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.harmonize import ComBat, Design, Formula, Spline, Statistics


def cohort(n=150, features=6, seed=0):
    rng = np.random.default_rng(seed)
    k = np.arange(n) % 3
    age, sex = rng.uniform(20, 80, n), np.where(rng.random(n) < 0.5, "F", "M")
    X = rng.normal(size=(n, features)) * np.array([1, 2, 0.5])[k][:, None] + k[:, None]
    X += np.sin(age / 12)[:, None] * rng.normal(2, 0.5, features) + (sex == "M")[:, None] * 0.7
    return X, np.array(list("ABC"))[k], {"age": age, "sex": sex}


@pytest.mark.parametrize("missing", ["error", "skip"])
def test_interactions_are_products_of_columns(missing):
    X, batch, covariates = cohort()
    if missing == "skip":
        X[::7, 1] = np.nan
    covariates["stage"] = np.array(["I", "II", "III"])[np.arange(150) % 7 % 3]
    interactions = [("age", "sex"), ("stage", "sex")]
    combat = ComBat(interactions=interactions, missing=missing)
    seen = combat.fit(X, batch=batch, covariates=covariates).transform(X, batch=batch, covariates=covariates)
    male = (covariates["sex"] == "M").astype(float)
    by_hand = {"age": covariates["age"], "male": male, "age_male": covariates["age"] * male}
    for stage in ("II", "III"):
        by_hand[stage] = (covariates["stage"] == stage).astype(float)
        by_hand[f"{stage}_male"] = by_hand[stage] * male
    expected = ComBat(missing=missing).fit_transform(X, batch=batch, covariates=by_hand)
    np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-9)
    part = slice(3, 9)
    few = {name: vector[part] for name, vector in covariates.items()}
    np.testing.assert_array_equal(combat.transform(X[part], batch=batch[part], covariates=few), seen[part])


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), penalty=st.sampled_from([0.0, 0.3, 50.0]), df=st.integers(4, 9))
def test_smooth_effects_are_statsmodels_gam(seed, penalty, df):
    gam = pytest.importorskip("statsmodels.gam.api", reason="peer statsmodels is not installed")
    X, batch, covariates = cohort(features=3, seed=seed)
    age = covariates["age"]
    spline = Spline.of(age, df, penalty=penalty)
    combat = ComBat(smooth={"age": spline}, eb=False).fit(X, batch=batch, covariates={"age": age})
    smoother = gam.BSplines(age[:, None], df=[df], degree=[3])
    np.testing.assert_allclose(spline.basis("age", age), smoother.basis, atol=1e-12)
    np.testing.assert_allclose(spline.roughness(), smoother.penalty_matrices[0], rtol=1e-9, atol=1e-12)
    member = (batch[:, None] == np.array(list("ABC"))).astype(float)
    for column in range(3):
        model = gam.GLMGam(
            X[:, column], exog=member, smoother=smoother, alpha=[penalty / 2]
        ).fit()  # of half the squares
        slopes = model.params[3:]
        np.testing.assert_allclose(combat.model_.beta[:, column], slopes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("penalty", [0.0, 2.0])
def test_smooth_effects_are_neuroharmonizes(penalty, monkeypatch):
    pandas = pytest.importorskip("pandas")
    neuro = pytest.importorskip("neuroHarmonize", reason="peer neuroHarmonize is not installed")
    gam = pytest.importorskip("statsmodels.gam.api", reason="peer statsmodels is not installed")
    # the peer finds its penalty by random folds, a feature at a time: it is given ours instead
    monkeypatch.setattr(gam.GLMGam, "select_penweight_kfold", lambda self: (np.array([penalty / 2]),))
    X, batch, covariates = cohort()
    age, male = covariates["age"], (covariates["sex"] == "M").astype(float)
    frame = pandas.DataFrame({"SITE": batch, "age": age, "male": male})
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # the peer's np.matrix
        expected = neuro.harmonizationLearn(X, frame, smooth_terms=["age"])[1]
    combat = ComBat(smooth={"age": Spline.of(age, 10, penalty=penalty)})
    seen = combat.fit_transform(X, batch=batch, covariates={"age": age, "male": male})
    np.testing.assert_allclose(seen, expected, rtol=1e-6, atol=1e-6)


def test_the_penalty_is_that_of_generalised_cross_validation():
    X, batch, covariates = cohort(features=4)
    age = covariates["age"]
    combat = ComBat(smooth=["age"]).fit(X, batch=batch, covariates={"age": age})
    spline = combat.design_.splines["age"]
    columns = np.column_stack([(batch[:, None] == np.array(list("ABC"))).astype(float), spline.basis("age", age)])
    penalty = np.zeros((columns.shape[1],) * 2)
    penalty[3:, 3:] = spline.roughness()

    def of_weight(y, weight):
        hat = columns @ np.linalg.solve(columns.T @ columns + weight * penalty, columns.T)
        score = len(y) * np.square(y - hat @ y).sum() / (len(y) - np.trace(hat)) ** 2
        return score, np.linalg.solve(columns.T @ columns + weight * penalty, columns.T @ y)[3:]

    for y, beta in zip(X.T, combat.model_.beta.T, strict=True):
        tried = [of_weight(y, weight) for weight in 10.0 ** np.arange(-6, 12, 0.02)]
        away = [np.abs(slopes - beta).max() for _, slopes in tried]
        assert min(away) < 0.02 * np.abs(beta).max()  # it is a penalised fit
        assert tried[int(np.argmin(away))][0] < 1.001 * min(score for score, _ in tried)  # with the best weight


def test_a_smooth_effect_is_kept_where_a_line_would_bend_it():
    rng = np.random.default_rng(5)
    n = 600
    age = np.concatenate([rng.uniform(20, 60, n // 2), rng.uniform(40, 80, n // 2)])
    batch = np.repeat(["A", "B"], n // 2)
    truth = np.square((age - 50) / 10)[:, None] * np.ones(5)
    X = truth + rng.normal(0, 0.3, (n, 5)) + (batch == "B")[:, None]
    error = {}
    for name, smooth in (("line", ()), ("smooth", ["age"])):
        clean = ComBat(smooth=smooth).fit_transform(X, batch=batch, covariates={"age": age})
        off = (clean - truth).mean(1)
        error[name] = abs(off[batch == "A"].mean() - off[batch == "B"].mean())
    assert error["smooth"] < 0.1
    assert error["smooth"] < error["line"]


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), parts=st.integers(2, 6))
def test_smooth_effects_stream_and_merge(seed, parts):
    X, batch, covariates = cohort(seed=seed)
    smooth = {"age": Spline(20, 80, [35, 50, 65])}
    options = {"smooth": smooth, "interactions": [("age", "sex")]}
    pooled = ComBat(**options).fit(X, batch=batch, covariates=covariates)
    expected = pooled.transform(X, batch=batch, covariates=covariates)
    streamed, sums = ComBat(**options), []
    for index in np.array_split(np.random.default_rng(seed).permutation(len(X)), parts):
        few = {name: vector[index] for name, vector in covariates.items()}
        streamed.partial_fit(X[index], batch=batch[index], covariates=few)
        sums.append(Statistics.of(X[index], batch=batch[index], covariates=few, design=pooled.design_))
    merged = ComBat.from_statistics(sum(sums))
    for other in (streamed, merged):
        np.testing.assert_allclose(other.transform(X, batch=batch, covariates=covariates), expected, rtol=1e-8)


def test_a_file_keeps_terms_and_splines(tmp_path):
    X, batch, covariates = cohort()
    combat = ComBat(smooth=["age"], interactions=[("age", "sex")]).fit(X, batch=batch, covariates=covariates)
    combat.save(tmp_path / "combat.json")
    again = ComBat.load(tmp_path / "combat.json")
    assert again.design_ == combat.design_
    np.testing.assert_array_equal(
        again.transform(X, batch=batch, covariates=covariates), combat.transform(X, batch=batch, covariates=covariates)
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda X, b, c: ComBat(smooth=["sex"]).fit(X, batch=b, covariates=c), "holds text"),
        (lambda X, b, c: ComBat(smooth=["weight"]).fit(X, batch=b, covariates=c), "no covariate is named 'weight'"),
        (lambda X, b, c: ComBat(interactions=[("age", "x")]).fit(X, batch=b, covariates=c), "no covariate is named"),
        (lambda X, b, c: ComBat(interactions=[("age",)]).fit(X, batch=b, covariates=c), "two or more"),
        (lambda X, b, c: ComBat(smooth={"age": 2}).fit(X, batch=b, covariates=c), "df"),
        (lambda X, b, c: ComBat(smooth={"age": Spline(30, 40)}).fit(X, batch=b, covariates=c), "leaves the range"),
        (lambda X, b, c: Spline(1, 1), "rise"),
        (lambda X, b, c: Spline(0, 1, [0.5], penalty=-1), "penalty"),
        (lambda X, b, c: Spline(0, 1, degree=0), "degree"),
        (lambda X, b, c: Design(["a"], ["A"], {"age": None}, [("age", "sex")]), "no covariate"),
        (
            lambda X, b, c: (
                ComBat(smooth=["age"])
                .fit(X, batch=b, covariates=c)
                .merge(ComBat(smooth={"age": 7}).fit(X, batch=b, covariates=c))
            ),
            "splines",
        ),
    ],
)
def test_wrong_terms_are_refused_in_words(call, words):
    X, batch, covariates = cohort()
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call(X, batch, covariates)


def test_a_formula_stays_here_and_its_typed_list_travels():
    pytest.importorskip("formulaic", reason="formulaic is not installed")
    X, batch, covariates = cohort()
    formula = Formula("age * sex")
    typed = ComBat(interactions=formula.interactions, categorical=formula.categorical)
    typed.fit(X, batch=batch, covariates={name: covariates[name] for name in formula.names})
    columns = formula.columns(covariates)
    here = ComBat().fit(X, batch=batch, covariates=columns)
    np.testing.assert_allclose(
        typed.transform(X, batch=batch, covariates=covariates),
        here.transform(X, batch=batch, covariates=columns),
        rtol=1e-9,
    )
    few = {name: vector[:5] for name, vector in covariates.items()}
    assert all(np.array_equal(v, columns[n][:5]) for n, v in formula.columns(few).items())
    evil = Formula("print(age) + age")
    with pytest.raises(fi.errors.ArgumentError, match="does not travel"):
        evil.names  # noqa: B018
    for text, words in (("y ~ age", "right-hand"), ("age +", "parsed"), ("age:sex", "on its own")):
        with pytest.raises(fi.errors.ArgumentError, match=words):
            Formula(text).interactions  # noqa: B018
