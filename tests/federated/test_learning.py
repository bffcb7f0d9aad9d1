"""Training and judging models over nodes against pooled twins."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

import fastimg as fi
from fastimg.errors import ArgumentError, RefusedError
from fastimg.federated import Federation, Node, Policy, _rows, families, family

pytestmark = pytest.mark.usefixtures("small_blocks")

MODEL = {"model": "logistic", "outcome": "relapse", "features": ["x0", "x1", "x2"]}


@pytest.fixture
def center(clinic):
    x = clinic[1]["x"]
    return {"mean": x.mean(0), "scale": x.std(0)}


def zeros(p=3):
    return {"coefficients": np.zeros(p), "intercept": np.zeros(1)}


def test_one_epoch_of_all_rows_is_gradient_descent_on_the_pooled_rows(ask, clinic, center):
    """With one step a round the mean of the nodes' steps is the step of all rows: nodes are of one size here."""
    x, y = (clinic[1]["x"] - center["mean"]) / center["scale"], clinic[1]["relapse"].astype(float)
    w, b = np.zeros(3), 0.0
    losses = []
    for _ in range(25):
        p = 1 / (1 + np.exp(-(x @ w + b)))
        losses.append(-np.where(y > 0, np.log(p), np.log(1 - p)).mean())
        w, b = w - 0.7 * x.T @ (p - y) / len(y), b - 0.7 * (p - y).mean()
    value = ask("fedavg", {**MODEL, "weights": zeros(), "center": center, "rounds": 25, "rate": 0.7}).value
    np.testing.assert_allclose(value["weights"]["coefficients"], w, rtol=1e-11)
    np.testing.assert_allclose(value["weights"]["intercept"], [b], rtol=1e-10)
    np.testing.assert_allclose(value["losses"], losses, rtol=1e-12)


def test_training_reaches_the_pooled_optimum(ask, clinic, center):
    x, y = (clinic[1]["x"] - center["mean"]) / center["scale"], clinic[1]["relapse"]
    peer = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(x, y)
    question = {**MODEL, "weights": zeros(), "center": center, "rounds": 120, "rate": 4.0}
    value = ask("fedavg", question, secure=False).value
    np.testing.assert_allclose(value["weights"]["coefficients"], peer.coef_[0], atol=2e-4)


def test_the_proximal_term_keeps_the_weights_near(ask, center):
    question = {**MODEL, "weights": zeros(), "center": center, "rounds": 1, "epochs": 200, "rate": 0.2}
    far = ask("fedavg", question).value["weights"]["coefficients"]
    near = ask("fedavg", {**question, "mu": 3.0}).value["weights"]["coefficients"]
    assert np.linalg.norm(near) < 0.5 * np.linalg.norm(far)


def test_mini_batches_repeat_by_seed(ask, center):
    question = {**MODEL, "weights": zeros(), "center": center, "rounds": 3, "batch": 8}
    first, again, other = (ask("fedavg", {**question, "seed": s}).value["weights"]["coefficients"] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def descent(x, y, w, b, options):
    """The slow way, over a table that is there as a whole; the rows lie patient by patient."""
    start, random = (w, b), np.random.default_rng([options["seed"], 0])
    for _ in range(options["epochs"]):
        order = random.permutation(len(y))
        for at in range(0, len(y), options["batch"]):
            own = order[at : at + options["batch"]]
            error = 1 / (1 + np.exp(-(x[own] @ w + b))) - y[own]
            slope, shift = x[own].T @ error / len(own), error.mean()
            w, b = (
                w - options["rate"] * (slope + options["mu"] * (w - start[0])),
                b - options["rate"] * (shift + options["mu"] * (b - start[1])),
            )
    return np.append(w, b)


@pytest.mark.parametrize("batch", [1, 7, 33])
@pytest.mark.parametrize("held", [0, 1 << 20])
def test_mini_batches_are_those_of_the_whole_table(tmp_path, monkeypatch, batch, held):
    """Two rows a case, so that cases of a batch are read for one of them; some are incomplete."""
    monkeypatch.setattr(_rows, "_HELD", held)
    rng = np.random.default_rng(batch)
    x, y = rng.normal(size=(22, 2, 3)), rng.random(22) < 0.5
    x[3, 1, 0] = x[8, 0, 2] = np.nan
    cohort = fi.Cohort.create(tmp_path / "c")
    for i in range(22):
        features = {mask: {f"x{k}": float(v) for k, v in enumerate(x[i, m])} for m, mask in enumerate(("core", "rim"))}
        metadata = {"subject": f"p{(7 * i) % 20:02}", "relapse": bool(y[i])}  # patients lie in another order than cases
        cohort.add(f"c{i:02}", fi.Image(np.zeros((1, 2, 2), np.int16)), metadata=metadata, features=features)
    order = np.argsort([(7 * i) % 20 for i in range(22)], kind="stable")
    table, outcome = x[order].reshape(-1, 3), np.repeat(y[order], 2)
    whole = np.isfinite(table).all(axis=1)
    options = {"epochs": 3, "batch": batch, "rate": 0.3, "mu": 0.1, "seed": 5}
    policy = Policy(min_cases=1, computations=("fedavg",))
    fed = Federation.local([Node(cohort, policy, log=tmp_path / "log")])
    seen = fed.run("fedavg", secure=False, **MODEL, weights=zeros(), rounds=1, **options).value["weights"]
    expected = descent(table[whole], outcome[whole].astype(float), np.zeros(3), 0.0, options)
    np.testing.assert_allclose(np.append(seen["coefficients"], seen["intercept"]), expected, rtol=1e-12)


def test_a_perceptrons_gradient_is_the_losses(ask, center):
    """One plain step from given weights against differences of the loss."""
    rng = np.random.default_rng(3)
    start = {"w1": rng.normal(size=(3, 2)), "b1": np.zeros(2), "w2": rng.normal(size=2), "b2": np.zeros(1)}
    question = {**MODEL, "model": "perceptron", "center": center, "rounds": 1}
    step = ask("fedavg", {**question, "weights": start, "rate": 1.0}).value["weights"]
    for name, place in (("w1", (1, 0)), ("b1", (1,)), ("w2", (0,)), ("b2", (0,))):
        loss = []
        for shift in (1e-5, -1e-5):
            moved = {key: value.copy() for key, value in start.items()}
            moved[name][place] += shift
            loss.append(ask("fedavg", {**question, "weights": moved}).value["losses"][0])
        slope = (loss[0] - loss[1]) / 2e-5
        assert start[name][place] - step[name][place] == pytest.approx(slope, abs=1e-8)


def test_models_larger_than_the_policy_allows_are_refused(ask, center):
    weights = {"w1": np.zeros((3, 5)), "b1": np.zeros(5), "w2": np.zeros(5), "b2": np.zeros(1)}
    question = {**MODEL, "model": "perceptron", "weights": weights, "center": center}
    with pytest.raises(RefusedError, match="rule max_parameters_per_case"):
        ask("fedavg", question)
    assert ask("fedavg", {**question, "rounds": 1}, max_parameters_per_case=1.0).value["n"] == 120


@pytest.mark.parametrize("secure", [True, False])
def test_evaluation_equals_scikit_learn(ask, clinic, center, secure):
    x, y = (clinic[1]["x"] - center["mean"]) / center["scale"], clinic[1]["relapse"]
    weights = {"coefficients": np.array([1.0, 0.5, 0.1]), "intercept": np.array([0.2])}
    question = {**MODEL, "weights": weights, "center": center, "bins": 10_000, "by": "site"}
    value = ask("evaluate", question, secure=secure).value
    p = 1 / (1 + np.exp(-(x @ weights["coefficients"] + 0.2)))
    assert value["auc"] == pytest.approx(roc_auc_score(y, p), abs=2e-4)  # ties inside bins of 1e-4
    assert value["brier"] == pytest.approx(brier_score_loss(y, p), rel=1e-10)
    assert value["accuracy"] == pytest.approx(((p >= 0.5) == y).mean(), rel=1e-12)
    assert value["sensitivity"] == pytest.approx((p[y] >= 0.5).mean(), rel=1e-12)
    assert value["specificity"] == pytest.approx((p[~y] < 0.5).mean(), rel=1e-12)
    for site in ("s0", "s1", "s2"):
        own = clinic[1]["site"] == site
        assert value["by"][site]["n"] == 40
        assert value["by"][site]["brier"] == pytest.approx(brier_score_loss(y[own], p[own]), rel=1e-10)


def test_calibration_by_bins(ask, clinic, center):
    x, y = (clinic[1]["x"] - center["mean"]) / center["scale"], clinic[1]["relapse"]
    weights = {"coefficients": np.array([1.0, 0.5, 0.1]), "intercept": np.array([0.2])}
    value = ask("evaluate", {**MODEL, "weights": weights, "center": center, "bins": 4}).value
    p = 1 / (1 + np.exp(-(x @ weights["coefficients"] + 0.2)))
    place = np.minimum((p * 4).astype(int), 3)
    for k in range(4):
        assert value["calibration"]["n"][k] == (place == k).sum()
        assert value["calibration"]["observed"][k] == pytest.approx(y[place == k].mean(), rel=1e-12)
        assert value["calibration"]["predicted"][k] == pytest.approx(p[place == k].mean(), rel=1e-12)


def test_the_column_of_the_table_may_be_a_predictor(ask, clinic, center):
    weights = {"coefficients": np.array([1.0, 0.5, 0.1, 0.7]), "intercept": np.array([0.2])}
    center = {"mean": np.append(center["mean"], 0.0), "scale": np.append(center["scale"], 1.0)}
    question = {**MODEL, "covariates": ["sex"], "by": "sex", "weights": weights, "center": center}
    value = ask("evaluate", question).value
    x = np.column_stack([clinic[1]["x"], clinic[1]["sex"] == "M"])
    z = (x - center["mean"]) / center["scale"] @ weights["coefficients"] + 0.2
    assert value["brier"] == pytest.approx(brier_score_loss(clinic[1]["relapse"], 1 / (1 + np.exp(-z))), rel=1e-10)
    assert {sex: row["n"] for sex, row in value["by"].items()} == {s: (clinic[1]["sex"] == s).sum() for s in "FM"}


def test_small_cells_are_in_no_figure(ask, center):
    weights = {"coefficients": np.array([1.0, 0.5, 0.1]), "intercept": np.array([0.2])}
    question = {**MODEL, "weights": weights, "center": center, "bins": 10}
    value = ask("evaluate", question, min_cases=5).value
    assert value["overflow"] > 0
    assert value["n"] + value["overflow"] == 120
    assert value["calibration"]["n"].sum() == value["n"]


def test_a_registered_family_is_judged_but_not_trained(ask, center):
    family("test-threshold", lambda x, w: (x[:, 0] > w["t"][0]).astype(float))
    assert "test-threshold" in families()
    question = {**MODEL, "model": "test-threshold", "weights": {"t": np.zeros(1)}, "center": center}
    assert 0.3 < ask("evaluate", question).value["accuracy"] < 1
    with pytest.raises(ArgumentError, match="cannot be trained"):
        ask("fedavg", question)


def test_a_registered_family_trains_on_the_stream(ask, clinic, center):
    """Its own optimiser: each row once an epoch, in parts of a block at most, and a batch can be gone through again."""
    sizes = []

    def train(epoch, start, options):
        w = dict(start)
        for _ in range(int(options["epochs"])):
            rows = 0
            for batch in epoch():
                parts = [(len(x), y.sum()) for x, y in batch]
                assert parts == [(len(x), y.sum()) for x, y in batch]
                sizes.extend(n for n, _ in parts)
                rows += sum(n for n, _ in parts)
                w = {"t": w["t"] + sum(positive for _, positive in parts)}
            assert rows == 40
        return w

    family("test-counter", lambda x, w: np.full(len(x), 0.5), train)
    question = {**MODEL, "model": "test-counter", "weights": {"t": np.zeros(1)}, "center": center, "rounds": 1}
    for batch in (0, 12):
        value = ask("fedavg", {**question, "epochs": 2, "batch": batch}).value
        assert value["weights"]["t"] == pytest.approx([2 * clinic[1]["relapse"].sum() / 3])  # the mean over the nodes
    assert 0 < max(sizes) <= _rows._BLOCK


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "no-such"}, "not installed"),
        ({"weights": {"coefficients": np.zeros(2), "intercept": np.zeros(1)}}, "do not fit"),
        ({"weights": {"w": np.zeros(3)}}, "do not fit"),
        ({"weights": {"coefficients": np.array([np.nan] * 3), "intercept": np.zeros(1)}}, "finite arrays"),
        ({"center": {"mean": np.zeros(2), "scale": np.ones(2)}}, "3 columns"),
        ({"center": {"mean": np.zeros(3), "scale": np.zeros(3)}}, "3 columns"),
    ],
)
def test_bad_models(ask, center, changes, words):
    with pytest.raises(ArgumentError, match=words):
        ask("evaluate", {**MODEL, "weights": zeros(), "center": center, **changes})
