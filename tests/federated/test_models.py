"""Linear and logistic models over nodes against pooled fits by other packages."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from fastimg.errors import ArgumentError, RefusedError

pytestmark = pytest.mark.usefixtures("small_blocks")

PREDICTORS = {"features": ["x0", "x1", "x2"], "covariates": ["age", "sex"]}


def design(pooled):
    return np.column_stack([pooled["x"], pooled["age"], pooled["sex"] == "M"])


@pytest.mark.parametrize("secure", [True, False])
def test_linear_equals_least_squares(ask, clinic, secure):
    x, y = design(clinic[1]), clinic[1]["response"]
    value = ask("linear", {"outcome": "response", **PREDICTORS}, secure=secure).value
    full = np.column_stack([np.ones(len(y)), x])
    expected, rss, *_ = np.linalg.lstsq(full, y, rcond=None)
    assert value["columns"] == ["x0", "x1", "x2", "age", "sex=M"]
    np.testing.assert_allclose(np.append(value["intercept"], value["coefficients"]), expected, rtol=1e-10)
    np.testing.assert_allclose(value["residual_variance"], rss[0] / (len(y) - 6), rtol=1e-11)
    errors = np.sqrt(np.diag(np.linalg.inv(full.T @ full)) * rss[0] / (len(y) - 6))[1:]
    np.testing.assert_allclose(value["standard_errors"], errors, rtol=1e-9)
    assert value["r_squared"] == pytest.approx(1 - rss[0] / ((y - y.mean()) ** 2).sum(), rel=1e-11)


def test_linear_with_a_ridge_equals_scikit_learn(ask, clinic):
    x, y = design(clinic[1]), clinic[1]["response"]
    value = ask("linear", {"outcome": "response", "l2": 7.0, **PREDICTORS}).value
    scale = x.std(axis=0)
    expected = Ridge(alpha=7.0, solver="cholesky").fit(x / scale, y)
    np.testing.assert_allclose(value["coefficients"], expected.coef_ / scale, rtol=1e-9)
    assert value["intercept"] == pytest.approx(expected.intercept_, rel=1e-9)
    assert "standard_errors" not in value


@pytest.mark.parametrize("l2", [0.0, 3.0])
def test_logistic_equals_scikit_learn(ask, clinic, l2):
    x, y = design(clinic[1]), clinic[1]["relapse"]
    value = ask("logistic", {"outcome": "relapse", "l2": l2, **PREDICTORS}).value
    scale = x.std(axis=0)
    peer = LogisticRegression(C=1 / l2 if l2 else np.inf, tol=1e-13, max_iter=10_000, solver="newton-cholesky")
    peer.fit((x - x.mean(0)) / scale, y)
    np.testing.assert_allclose(value["coefficients"], peer.coef_[0] / scale, rtol=1e-6)
    p = peer.predict_proba((x - x.mean(0)) / scale)[:, 1]
    assert value["log_likelihood"] == pytest.approx(np.log(np.where(y, p, 1 - p)).sum(), rel=1e-9)
    assert (value["n"], value["positive"]) == (len(y), y.sum())
    if not l2:
        full = np.column_stack([np.ones(len(y)), x])
        information = (full * (p * (1 - p))[:, None]).T @ full
        np.testing.assert_allclose(
            value["standard_errors"], np.sqrt(np.diag(np.linalg.inv(information)))[1:], rtol=1e-6
        )


def test_logistic_of_a_named_label(ask, clinic):
    value = ask("logistic", {"outcome": "sex", "positive": "F", "features": ["x0"]}).value
    assert value["positive"] == (clinic[1]["sex"] == "F").sum()


def test_models_of_too_many_parameters_are_refused(ask):
    """40 patients a node: a third is 13."""
    with pytest.raises(RefusedError, match="rule max_parameters_per_case"):
        ask("linear", {"outcome": "response", **PREDICTORS}, max_parameters_per_case=0.1)
    with pytest.raises(RefusedError, match="rule max_parameters_per_case"):
        ask("logistic", {"outcome": "relapse", **PREDICTORS}, max_parameters_per_case=0.1)
    assert ask("linear", {"outcome": "response", **PREDICTORS}).value["n"] == 120


def test_small_outcome_classes_are_refused(ask):
    with pytest.raises(RefusedError, match="rule min_cases"):
        ask("logistic", {"outcome": "died", "features": ["x0"]}, min_cases=21)


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("linear", {"outcome": "response", "features": ["x0", "x1"], "covariates": ["site", "site"]}, "covariates"),
        ("logistic", {"outcome": "relapse", "features": ["x0"], "l2": -1}, "l2"),
        ("linear", {"features": ["x0"]}, "'outcome' is needed"),
        ("logistic", {"outcome": "died", "features": ["x0"], "where": {"died": 1}}, "same outcome"),
        (
            "linear",
            {"outcome": "response", "features": ["x0"], "covariates": ["died"], "where": {"died": 1}},
            "same value",
        ),
    ],
)
def test_models_that_cannot_be_fitted(ask, name, parameters, words):
    with pytest.raises(ArgumentError, match=words):
        ask(name, parameters)
