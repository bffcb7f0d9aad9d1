"""ComBat against the outputs of the R package, a case a file, and against neuroCombat on random designs."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastimg.harmonize import ComBat

MODES = [
    f"{kind}_{adjusted}{eb}{mean}{ref}"
    for kind in ("parametric", "nonparametric")
    for adjusted in ("adjusted", "unadjusted")
    for eb in ("", "_noeb")
    for mean in ("", "_meanonly")
    for ref in ("", "_batchref")
]


@pytest.fixture(scope="module")
def table(reference):
    return np.loadtxt(reference / "combat" / "testdata.csv", delimiter=",", skiprows=1).T


@pytest.mark.parametrize("mode", MODES)
def test_equals_the_r_package(reference, table, mode):
    expected = np.loadtxt(
        reference / "combat" / "r_output" / f"testdata_combat_{mode}_r.csv", delimiter=",", skiprows=1
    ).T
    batch = [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]
    covariates = {"pheno": np.array([1, 0] * 5)} if "unadjusted" not in mode else None
    combat = ComBat(
        parametric=not mode.startswith("non"),
        eb="noeb" not in mode,
        mean_only="meanonly" in mode,
        reference=1 if "batchref" in mode else None,
    )
    seen = combat.fit(table, batch=batch, covariates=covariates).transform(table, batch=batch, covariates=covariates)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-12)


def test_new_subjects_are_those_of_the_r_package(reference, table):
    """neuroCombatFromTraining of R: four subjects, for which the mean of the covariates stands in."""
    path = reference / "combat" / "r_output" / "training_test_scenario2_r.csv"
    expected = np.loadtxt(path, delimiter=",", skiprows=1).T
    combat = ComBat().fit(table, batch=[1] * 5 + [2] * 5, covariates={"pheno": np.array([1, 0] * 5)})
    seen = combat.transform(table[[0, 1, 5, 6]], batch=[1, 1, 2, 2], covariates={"pheno": np.full(4, 0.5)})
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    batches=st.integers(2, 5),
    features=st.integers(3, 30),
    with_age=st.booleans(),
    with_sex=st.booleans(),
    eb=st.booleans(),
    mean_only=st.booleans(),
    ref=st.booleans(),
)
def test_equals_neurocombat_on_random_designs(
    accuracy, seed, batches, features, with_age, with_sex, eb, mean_only, ref
):
    pandas = pytest.importorskip("pandas")
    neuro = pytest.importorskip("neuroCombat")
    rng = np.random.default_rng(seed)
    n = 12 * batches
    batch = rng.permutation(np.arange(n) % batches)
    covariates = {}
    if with_age:
        covariates["age"] = rng.normal(60, 9, n).astype(np.float32)  # neuroCombat rounds numeric covariates to float32
    if with_sex:
        covariates["sex"] = np.where(rng.random(n) < 0.5, "F", "M")
    X = rng.normal(10, 2, (n, features)) * rng.uniform(0.5, 2, (batches, features))[batch]
    X += rng.normal(0, 3, (batches, features))[batch]
    if not hasattr(np, "int"):
        np.int = int  # noqa: NPY001 - what neuroCombat 0.2.12 still calls it
    # the peer divides by zero for mean_only and for the reference batch, and takes the result's place by other values
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        expected = neuro.neuroCombat(
            X.T,
            pandas.DataFrame({"batch": batch, **covariates}),
            "batch",
            categorical_cols=["sex"] if with_sex else None,
            continuous_cols=["age"] if with_age else None,
            eb=eb,
            mean_only=mean_only,
            ref_batch=0 if ref else None,
        )["data"].T
    del np.int  # noqa: NPY001
    seen = ComBat(eb=eb, mean_only=mean_only, reference=0 if ref else None).fit_transform(
        X, batch=batch, covariates=covariates
    )
    accuracy("ComBat", "neuroCombat", seen, expected)
    np.testing.assert_allclose(seen, expected, rtol=1e-8, atol=1e-8)
