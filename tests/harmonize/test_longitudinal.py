"""LongitudinalComBat: the mixed model against statsmodels, the whole against a port of the R package, files, refusals."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import fastimg as fi
from fastimg.harmonize import ComBat, LongitudinalComBat
from fastimg.harmonize._mixed import fit_mixed


def cohort(people=40, features=4, seed=0, tau=2.0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(people), rng.integers(1, 5, people))
    n = len(subject)
    time = np.concatenate([np.arange(c) for c in np.bincount(subject)]).astype(float)
    k = rng.permutation(np.arange(n) % 3)
    group = np.where(subject % 2, "case", "control")
    X = (
        rng.normal(0, tau, (people, features))[subject]
        + rng.normal(0, 1, (n, features)) * np.array([0.7, 1, 1.5])[k][:, None]
    )
    X += rng.normal(0, 1, (3, features))[k] + 0.3 * time[:, None] * (group == "case")[:, None] + 10
    return X.astype(dtype), np.array(list("ABC"))[k], subject, {"time": time, "group": group}


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), tau=st.sampled_from([0.0, 0.5, 3.0]))
def test_the_mixed_model_is_a_maximum(seed, tau):
    """Its criterion, by whole matrices, is nowhere lower; coefficients and intercepts are those of the ratio."""
    X, batch, subject, covariates = cohort(15, 2, seed, tau)
    fixed = np.column_stack([(batch[:, None] == np.array(list("ABC"))).astype(float), covariates["time"]])
    mixed = fit_mixed(fixed, X, subject)
    member = (subject[:, None] == np.unique(subject)).astype(float)
    n, q = fixed.shape

    def criterion(y, ratio):
        V = np.eye(n) + ratio * member @ member.T
        inverse = np.linalg.inv(V)
        a = fixed.T @ inverse @ fixed
        beta = np.linalg.solve(a, fixed.T @ inverse @ y)
        r = y - fixed @ beta
        rss = r @ inverse @ r
        return (
            (n - q) * np.log(rss) + np.linalg.slogdet(V)[1] + np.linalg.slogdet(a)[1],
            beta,
            rss / (n - q),
            ratio * member.T @ inverse @ r,
        )

    for f in range(2):
        own, beta, variance, intercepts = criterion(X[:, f], mixed.ratio[f])
        for ratio in (0.0, *10.0 ** np.arange(-3, 3, 0.25)):
            assert own <= criterion(X[:, f], ratio)[0] + 1e-8
        np.testing.assert_allclose(mixed.coefficients[:, f], beta, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(mixed.variance[f], variance, rtol=1e-7)
        np.testing.assert_allclose(mixed.intercepts[:, f], intercepts, rtol=1e-6, atol=1e-7)


def test_the_mixed_model_is_statsmodels():
    sm = pytest.importorskip("statsmodels.api", reason="peer statsmodels is not installed")
    X, batch, subject, covariates = cohort(60, 3)
    fixed = np.column_stack([(batch[:, None] == np.array(list("ABC"))).astype(float), covariates["time"]])
    mixed = fit_mixed(fixed, X, subject)
    for f in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = sm.MixedLM(X[:, f], fixed, groups=subject).fit(reml=True, gtol=1e-10)
        np.testing.assert_allclose(mixed.coefficients[:, f], fit.fe_params, rtol=1e-5)
        np.testing.assert_allclose(mixed.variance[f], fit.scale, rtol=1e-4)
        np.testing.assert_allclose(mixed.ratio[f] * mixed.variance[f], fit.cov_re[0, 0], rtol=1e-4)
        blups = np.array([fit.random_effects[s].iloc[0] for s in np.unique(subject)])
        np.testing.assert_allclose(mixed.intercepts[:, f], blups, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("variance", ["reml", "residual"])
@pytest.mark.parametrize("eb", [True, False])
def test_equals_a_port_of_the_r_package(variance, eb):
    pandas = pytest.importorskip("pandas")
    peer = pytest.importorskip("longcombat", reason="peer longcombat-py is not installed")
    X, batch, subject, covariates = cohort(60, 5)
    names = [f"v{i}" for i in range(5)]
    frame = pandas.DataFrame(X, columns=names).assign(batch=batch, subject=subject, **covariates)
    method = "REML" if variance == "reml" else "MSR"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = peer.long_combat(
            frame,
            "batch",
            "subject",
            "time",
            names,
            "time*group",
            "(1|subject)",
            niter=200,
            method=method,
            eb=eb,
            verbose=False,
        ).data_combat
    model = LongitudinalComBat(eb=eb, variance=variance, interactions=[("time", "group")])
    seen = model.fit_transform(X, batch=batch, subject=subject, covariates=covariates)
    # the peer's optimiser stops at 1e-5 of its likelihood
    np.testing.assert_allclose(seen, expected[[f"{name}.combat" for name in names]], atol=2e-3)


def test_equals_the_published_formulas():
    """Beer et al. 2020, a row at a time, on the mixed model that is checked above."""
    X, batch, subject, covariates = cohort(50, 6)
    n, levels = len(X), list("ABC")
    fixed = np.column_stack([(batch[:, None] == np.array(levels)).astype(float), covariates["time"]])
    mixed = fit_mixed(fixed, X, subject)
    ni = np.array([(batch == level).sum() for level in levels])
    effect = mixed.coefficients[:3] - ni @ mixed.coefficients[:3] / n
    rows = np.array([levels.index(label) for label in batch])
    predicted = fixed @ mixed.coefficients + mixed.intercepts[subject]
    sigma = np.sqrt(mixed.variance)
    z = (X - predicted + effect[rows]) / sigma
    gamma = np.array([z[rows == k].mean(0) for k in range(3)])
    delta = np.array([z[rows == k].var(0, ddof=1) for k in range(3)])
    tau2, D, S2 = gamma.var(1, ddof=1), delta.mean(1), delta.var(1, ddof=1)
    a, b = (D**2 + 2 * S2) / S2, (D**3 + D * S2) / S2
    g, d = gamma.copy(), delta.copy()
    for _ in range(500):
        g = (ni[:, None] * tau2[:, None] * gamma + d * gamma.mean(1)[:, None]) / (ni[:, None] * tau2[:, None] + d)
        misfit = np.array([np.square(z[rows == k] - g[k]).sum(0) for k in range(3)])
        d = (b[:, None] + misfit / 2) / (ni[:, None] / 2 + a[:, None] - 1)
    expected = sigma / np.sqrt(d[rows]) * (z - g[rows]) + predicted - effect[rows]
    seen = LongitudinalComBat().fit_transform(X, batch=batch, subject=subject, covariates={"time": covariates["time"]})
    np.testing.assert_allclose(seen, expected, rtol=1e-8)


def test_what_a_subject_is_stays_and_the_site_goes():
    """Plain ComBat takes part of a subject's own level for the site's where subjects have one site each."""
    rng = np.random.default_rng(0)
    subject, time = np.repeat(np.arange(80), 4), np.tile(np.arange(4.0), 80)
    batch = np.where(rng.random(320) < 0.5, "A", "B")
    level = rng.normal(0, 5, (80, 6))
    X = level[subject] + rng.normal(0, 1, (320, 6)) + (batch == "B")[:, None] * 2
    clean = LongitudinalComBat().fit_transform(X, batch=batch, subject=subject, covariates={"time": time})
    plain = ComBat().fit_transform(X, batch=batch, covariates={"time": time})
    away = {}
    for name, values in (("clean", clean), ("plain", plain)):
        inside = values - level[subject]
        away[name] = np.abs(inside[batch == "A"].mean(0) - inside[batch == "B"].mean(0)).mean()
    assert away["clean"] < 0.3
    assert away["clean"] < away["plain"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_devices_and_other_subjects(put, get, tmp_path, dtype):
    X, batch, subject, covariates = cohort(dtype=dtype)
    model = LongitudinalComBat(interactions=[("time", "group")])
    model.fit(put(X), batch=batch, subject=subject, covariates=covariates)
    seen = model.transform(put(X), batch=batch, subject=subject, covariates=covariates)
    assert seen.dtype == dtype
    seen = get(seen)
    few = {name: rows[:4] for name, rows in covariates.items()}
    part = get(model.transform(put(X[:4]), batch=batch[:4], subject=subject[:4], covariates=few))
    np.testing.assert_array_equal(part, seen[:4])
    model.save(tmp_path / "longitudinal.json")
    assert "subject" not in (tmp_path / "longitudinal.json").read_text()
    again = LongitudinalComBat.load(tmp_path / "longitudinal.json")
    loaded = again.transform(X, batch=batch, subject=subject, covariates=covariates)
    np.testing.assert_allclose(loaded, seen, rtol=1e-5 if dtype == np.float32 else 1e-9)
    record = model.to_dict()
    for change in ({"format": "x"}, {"version": 2}, {"ratio": [1.0]}, {"combat": {}}, {"level": None}):
        with pytest.raises(fi.errors.FormatError):
            LongitudinalComBat.from_dict(record | change)


def test_a_golden_file_is_read():
    model = LongitudinalComBat.load(Path(__file__).parent / "golden" / "longitudinal-combat-1.json")
    X, batch, subject, covariates = cohort(20, 3, seed=5)
    expected = LongitudinalComBat().fit_transform(X, batch=batch, subject=subject, covariates=covariates)
    seen = model.transform(X, batch=batch, subject=subject, covariates=covariates)
    np.testing.assert_allclose(seen, expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda X, b, s, c: LongitudinalComBat().fit(X, batch=b, subject=np.arange(len(X))), "two rows"),
        (lambda X, b, s, c: LongitudinalComBat().fit(X, batch=["Z", *b[1:]], subject=s), "single row"),
        (lambda X, b, s, c: LongitudinalComBat().fit(X, batch=b, subject=s, covariates={"c": b}), "explain them"),
        (lambda X, b, s, c: LongitudinalComBat().fit(X * np.nan, batch=b, subject=s), "NaN"),
        (lambda X, b, s, c: LongitudinalComBat(variance="x").fit(X, batch=b, subject=s), "variance"),
        (lambda X, b, s, c: LongitudinalComBat().fit(X, batch=b, subject=s[:3]), "one label"),
        (
            lambda X, b, s, c: LongitudinalComBat().fit(
                X[:4], batch=list("AABB"), subject=[1, 1, 2, 2], covariates=np.eye(4)[:, [0, 2]]
            ),
            "too few",
        ),
        (lambda X, b, s, c: LongitudinalComBat().transform(X, batch=b, subject=s), "not fitted"),
        (
            lambda X, b, s, c: (
                LongitudinalComBat().fit(X, batch=b, subject=s).transform(X, batch=["Z"] * len(X), subject=s)
            ),
            "'Z' was not among",
        ),
    ],
)
def test_misuse_is_refused_in_words(call, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call(*cohort())


def test_findings_a_constant_feature_a_single_batch_and_clone():
    X, batch, subject, _ = cohort()
    X[:, 1] = 3
    model = LongitudinalComBat().fit(X, batch=batch, subject=subject)
    np.testing.assert_array_equal(model.transform(X, batch=batch, subject=subject)[:, 1], 3)
    assert "combat-constant-feature" in {finding.code for finding in model.findings_}
    single = ["A"] * len(X)
    np.testing.assert_array_equal(LongitudinalComBat().fit_transform(X, batch=single, subject=subject), X)
    assert clone(LongitudinalComBat(False, variance="residual")).get_params()["variance"] == "residual"
