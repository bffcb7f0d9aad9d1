"""Quantiles, feature summaries and quality counts over nodes against pooled figures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import fastimg as fi
from fastimg.errors import ArgumentError, RefusedError
from fastimg.federated import Federation, Node, Policy
from fastimg.findings import Finding

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.mark.parametrize("steps", [1, 7, 1024])
def test_quantiles_are_the_pooled_ones_rounded_up_to_the_grid(ask, clinic, steps):
    x = clinic[1]["x"][:, :2]
    probabilities = [0.1, 0.25, 0.5, 0.9]
    value = ask(
        "quantiles",
        {"features": ["x0", "x1"], "probabilities": probabilities, "range": (-150, 50), "steps": steps},
    ).value
    exact = np.quantile(x, probabilities, axis=0, method="inverted_cdf").T
    grid = np.linspace(-150, 50, steps + 1)
    expected = grid[np.searchsorted(grid, exact, side="left")]
    np.testing.assert_array_equal(value["quantiles"], expected)
    assert value["n"].tolist() == [120, 120]
    assert value["resolution"] == 200 / steps


def test_a_quantile_beyond_the_range_is_infinite(ask):
    value = ask("quantiles", {"features": ["x0"], "probabilities": [0.5], "range": (-10, 0)}).value
    assert np.isinf(value["quantiles"]).all()


def test_quantiles_need_enough_patients_beyond_them(ask):
    question = {"features": ["x0"], "probabilities": [0.1], "range": (0, 10)}
    with pytest.raises(RefusedError, match="rule min_cases: fewer than 5 patients lie beyond"):
        ask("quantiles", question, min_cases=5)
    value = ask("quantiles", {**question, "probabilities": [0.5]}, min_cases=5).value
    assert 3 < value["quantiles"][0, 0] < 7
    with pytest.raises(ArgumentError, match="between 0 and 1"):
        ask("quantiles", {**question, "probabilities": [0.0, 0.5]})


def test_feature_summary_equals_scipy(ask, clinic):
    x = clinic[1]["x"]
    value = ask("feature_summary", {"features": ["x0", "x1", "x2"]}).value
    np.testing.assert_allclose(value["mean"], x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(value["standard_deviation"], x.std(0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(value["skewness"], stats.skew(x), rtol=1e-9)
    np.testing.assert_allclose(value["kurtosis"], stats.kurtosis(x), rtol=1e-9)
    assert (value["n"].tolist(), value["missing"].tolist()) == ([120] * 3, [0] * 3)


def test_quality_counts_every_state(tmp_path):
    nodes, states = [], {"ok": 0, "warned": 0, "quarantined": 0, "failed": 0}
    for site in range(3):
        cohort = fi.Cohort.create(tmp_path / f"c{site}")
        for i in range(9):
            metadata, case_id = {"subject": f"p{i}"}, f"c{i}"
            if i < 3:
                cohort.record(case_id, "failed", findings=[Finding("decode-failed", "")], metadata=metadata)
                states["failed"] += 1
                continue
            found = [Finding("saturated", "")] if i < 5 + site else []
            cohort.add(case_id, fi.Image(np.zeros((1, 2, 2), np.int16)), metadata=metadata, findings=found)
            states["warned" if found else "ok"] += 1
        nodes.append(Node(cohort, Policy(min_cases=2, computations=("quality",))))
    value = Federation.local(nodes).run("quality").value
    assert value["states"] == states
    assert value["findings"] == {"decode-failed": 9, "saturated": 9}
    assert value["overflow"] == [0, 0]
    strict = [
        Node(node.cohort, Policy(min_cases=4, computations=("quality",)), log=tmp_path / f"{i}.log")
        for i, node in enumerate(nodes)
    ]
    value = Federation.local(strict).run("quality").value
    assert value["states"]["failed"] == 0
    assert sum(value["states"].values()) + value["overflow"][0] == 27
