"""ComBat as a scikit-learn estimator: its checks, metadata routing, set_output, cross-validation without leakage."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastimg as fi
from fastimg.harmonize import ComBat, CovBat, NestedComBat


class OneTable:
    """The signature that the checks call: the batch follows from a row's first value."""

    def _batch(self, X):
        try:
            with np.errstate(invalid="ignore"):
                found = np.floor(np.asarray(X, float)[:, 0] * 2) % 2
            found = np.nan_to_num(found, posinf=0, neginf=0).astype(int)
        except (TypeError, ValueError, IndexError, np.exceptions.ComplexWarning):
            found = np.zeros(X.shape[0] if hasattr(X, "shape") else len(X), int)  # what ComBat itself must refuse
        return {"b": found} if isinstance(self, NestedComBat) else found

    def fit(self, X, y=None):
        return super().fit(X, batch=self._batch(X))

    def transform(self, X):
        return super().transform(X, batch=self._batch(X))

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)


class Partial(OneTable):
    def partial_fit(self, X, y=None):
        return super().partial_fit(X, batch=self._batch(X))


class OneComBat(Partial, ComBat):
    pass


class OneCovBat(Partial, CovBat):
    pass


class OneNested(OneTable, NestedComBat):
    pass


@parametrize_with_checks(
    [
        OneComBat(),
        OneComBat(eb=False, mean_only=True, missing="skip"),
        OneComBat(eb=False, monotone="signed-log"),
        OneComBat(monotone="rank-normal"),
        OneCovBat(),
        OneNested(),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def sites(n=90, seed=0):
    rng = np.random.default_rng(seed)
    batch = np.array(["A", "B", "C"])[np.arange(n) % 3]
    age = rng.normal(60, 10, n)
    X = rng.normal(size=(n, 5)) + (np.arange(n) % 3)[:, None] + 0.1 * age[:, None]
    return X, batch, {"age": age}


def test_a_pipeline_routes_batch_and_covariates():
    X, batch, covariates = sites()
    outcome = X[:, 0] - 2 * X[:, 1]
    with sklearn.config_context(enable_metadata_routing=True):
        combat = (
            ComBat().set_fit_request(batch=True, covariates=True).set_transform_request(batch=True, covariates=True)
        )
        model = make_pipeline(combat, LinearRegression())
        model.fit(X, outcome, batch=batch, covariates=covariates)
        seen = model.predict(X, batch=batch, covariates=covariates)
    clean = ComBat().fit_transform(X, batch=batch, covariates=covariates)
    np.testing.assert_allclose(seen, LinearRegression().fit(clean, outcome).predict(clean))


def test_cross_validation_refits_in_each_fold():
    X, batch, _ = sites()
    fitted = []

    class Spy(ComBat):
        def fit(self, X, y=None, *, batch, covariates=None):
            fitted.append(len(X))
            return super().fit(X, batch=batch, covariates=covariates)

    with sklearn.config_context(enable_metadata_routing=True):
        combat = Spy().set_fit_request(batch=True).set_transform_request(batch=True)
        cross_validate(make_pipeline(combat, LinearRegression()), X, X[:, 0], params={"batch": batch}, cv=3)
    assert fitted == [60, 60, 60]


def test_the_outcome_is_never_looked_at():
    X, batch, _ = sites()
    rng = np.random.default_rng(1)
    plain = ComBat().fit(X, batch=batch).transform(X, batch=batch)
    for y in (X[:, 0], rng.permutation(batch)):
        np.testing.assert_array_equal(ComBat().fit(X, y, batch=batch).transform(X, batch=batch), plain)


def test_set_output_names_the_columns():
    pandas = pytest.importorskip("pandas")
    X, batch, _ = sites()
    frame = pandas.DataFrame(X, columns=list("abcde"), index=[f"case-{i}" for i in range(len(X))])
    combat = ComBat().set_output(transform="pandas")
    seen = combat.fit(frame, batch=batch).transform(frame, batch=batch)
    assert seen.columns.tolist() == list("abcde")
    assert seen.index.tolist() == frame.index.tolist()
    np.testing.assert_array_equal(seen.to_numpy(), ComBat().fit(X, batch=batch).transform(X, batch=batch))
    assert combat.get_feature_names_out().tolist() == list("abcde")
    assert ComBat().fit(X, batch=batch).get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3", "x4"]


def test_options_and_their_errors_are_scikit_learns():
    combat = ComBat(parametric=False, reference=3, monotone="signed-log", interactions=[("a", "b")])
    assert clone(combat).get_params() == combat.get_params()
    with pytest.raises(sklearn.exceptions.NotFittedError):
        ComBat().transform(np.ones((3, 2)), batch=[1, 1, 1])
    assert issubclass(fi.errors.ArgumentError, ValueError)
