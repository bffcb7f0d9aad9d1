"""The federated report of site effects against the pooled one, and what it does not tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from fastimg.errors import RefusedError
from fastimg.federated import Federation, Node, Policy
from fastimg.harmonize import ComBat
from fastimg.harmonize import site_effect as pooled_site_effect

from .memory import Table

pytestmark = pytest.mark.usefixtures("small_blocks")

FEATURES = [f"f{i}" for i in range(5)]


@pytest.fixture(scope="module")
def clinics():
    """([Table], pooled columns): three scanners, each at all nodes; f0 and f1 shifted, f2 scaled, f3 and f4 alike."""
    rng = np.random.default_rng(2)
    tables, pooled = [], {name: [] for name in ("x", "scanner", "age")}
    for site in range(3):
        scanner = np.array(["A", "B", "C"])[(np.arange(90) + site) % 3]
        age = rng.normal(60, 9, 90)
        x = rng.normal(size=(90, 5)) + 0.03 * age[:, None]
        x[:, 0] += 1.5 * (scanner == "B")
        x[:, 1] -= 0.7 * (scanner == "C")
        x[:, 2] *= 1 + 2 * (scanner == "A")
        tables.append(Table(x, scanner=scanner, age=age))
        for name, value in (("x", x), ("scanner", scanner), ("age", age)):
            pooled[name].append(value)
    return tables, {name: np.concatenate(value) for name, value in pooled.items()}


@pytest.fixture
def ask(clinics, tmp_path):
    def run(min_cases=1, tables=None, disclose=True, **parameters):
        policy = Policy(
            min_cases=min_cases, computations=("site_effect",), disclose_batches=disclose, max_parameters_per_case=0.5
        )
        number = len(list(tmp_path.iterdir()))
        nodes = [
            Node(t, policy, name=f"n{k}", log=tmp_path / f"{number}-{k}") for k, t in enumerate(tables or clinics[0])
        ]
        return Federation.local(nodes).run("site_effect", features=FEATURES, batch="scanner", **parameters)

    return run


@pytest.mark.parametrize("covariates", [[], ["age"]], ids=str)
def test_it_equals_the_pooled_report(ask, clinics, covariates):
    pooled = clinics[1]
    value = ask(covariates=covariates, bins=4096).value
    given = {name: pooled[name] for name in covariates} or None
    expected = pooled_site_effect(pooled["x"], pooled["scanner"], covariates=given, trees=1)
    seen = value["by_feature"]
    np.testing.assert_allclose(seen["variance_explained"], expected["by_feature"]["variance_explained"], rtol=1e-11)
    assert value["variance_explained"] == pytest.approx(expected["variance_explained"], rel=1e-11)
    assert value["variance_chance"] == expected["variance_chance"]
    assert value["batches"] == {k: (pooled["scanner"] == k).sum() for k in "ABC"}
    # distances at the borders of bins: below the exact ones, and near
    assert (seen["ks_p"] >= expected["by_feature"]["ks_p"] - 1e-15).all()
    if not covariates:
        exact = [
            max(ks_2samp(x[pooled["scanner"] == k], x[pooled["scanner"] != k]).statistic for k in "ABC")
            for x in pooled["x"].T
        ]
        assert (seen["ks_binned"] <= np.array(exact) + 1e-12).all()
        np.testing.assert_allclose(seen["ks_binned"], exact, atol=0.02)
    assert value["ks_share"] == expected["ks_share"]


def test_few_bins_and_small_cells_only_ever_find_less(ask, clinics):
    """30 rows of a scanner at a node and at least 10 patients a bin: p values are never below the exact ones."""
    pooled = clinics[1]
    expected = pooled_site_effect(pooled["x"], pooled["scanner"], trees=1)["by_feature"]["ks_p"]
    few = ask(min_cases=10, bins=4).value
    assert few["rows_not_shown"] > 0
    assert (few["by_feature"]["ks_p"] >= expected - 1e-15).all()
    assert ask(min_cases=1, bins=4).value["rows_not_shown"] == 0


def test_the_auc_is_that_of_discriminants_on_unseen_rows(ask, clinics):
    pooled = clinics[1]
    value = ask(auc=True).value
    rng = np.random.default_rng(0)
    fold, z = rng.permutation(len(pooled["x"])) % 3, (pooled["x"] - pooled["x"].mean(0)) / pooled["x"].std(0)
    for k in "ABC":
        areas = []
        for f in range(3):
            train, own = fold != f, pooled["scanner"] == k
            peer = LinearDiscriminantAnalysis(solver="eigen", shrinkage=1e-3).fit(z[train], own[train])
            areas.append(roc_auc_score(own[~train], peer.decision_function(z[~train])))
        assert value["auc_by_batch"][k] == pytest.approx(np.mean(areas), abs=0.06)
    assert value["auc_by_batch"]["B"] > 0.8
    assert value["auc_linear_binormal"] == pytest.approx(np.mean(list(value["auc_by_batch"].values())))
    assert value["rows_without_auc"] == 0


def test_after_harmonising_little_is_left(ask, clinics):
    tables, pooled = clinics
    combat = ComBat().fit(pooled["x"], batch=pooled["scanner"])
    clean = []
    for table in tables:
        index = table.index.to_pydict()
        x = np.column_stack([table.features()[name].to_numpy() for name in FEATURES])
        clean.append(Table(combat.transform(x, batch=index["scanner"]), scanner=index["scanner"], age=index["age"]))
    before, after = ask(auc=True).value, ask(auc=True, tables=clean).value
    assert after["variance_explained"] < 0.1 * before["variance_explained"]
    assert after["auc_linear_binormal"] < 0.6 < before["auc_linear_binormal"]
    assert after["ks_share"] < before["ks_share"]


def test_what_it_refuses(ask, clinics):
    alone = [
        Table(t.features().select(FEATURES).to_pandas().to_numpy(), scanner=[s] * 90, age=[60.0] * 90)
        for t, s in zip(clinics[0], "ABC", strict=True)
    ]
    assert any("held by fewer than 3 nodes: A, B, C" in text for text in ask(tables=alone).privacy)
    with pytest.raises(RefusedError, match="rule disclose_batches"):
        ask(tables=alone, disclose=False)
    with pytest.raises(RefusedError, match="fewer than two batches"):
        ask(where={"scanner": "A"})
    value = ask(min_cases=11, auc=True, folds=3).value  # 10 patients a fold and scanner at each node
    assert value["rows_without_auc"] == 270
    assert np.isnan(value["auc_linear_binormal"])
