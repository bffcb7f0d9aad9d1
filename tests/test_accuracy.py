"""The recorder of accuracy: what it writes is what numbers by hand give, over workers too."""

from __future__ import annotations

import json

import numpy as np

from .accuracy import Accuracy
from .conftest import ROOT

pytest_plugins = ["pytester"]


def test_differences_by_hand():
    measured = Accuracy()
    measured("work", "numpy", [1.0, 2.0, np.nan, np.inf], [1.0, 2.5, np.nan, np.inf], of="value")
    measured("work", "numpy", [4.0], [5.0], of="value")
    measured("image", "a standard", [0.0, 10.5], [0.0, 10.0])
    image, work = measured.report()["rows"]
    assert (work["values"], work["equal"], work["largest"], work["share"]) == (5, 3, 1.0, 0.2)
    assert (image["largest"], image["share"], image["peer_version"]) == (0.5, 0.05, "")
    assert work["peer_version"] == np.__version__


def test_a_value_that_is_not_finite_in_one_alone_is_infinitely_far():
    measured = Accuracy()
    measured("work", "numpy", [np.nan, 1.0], [1.0, 1.0])
    (row,) = measured.report()["rows"]
    assert row["largest"] == np.inf
    assert row["equal"] == 1


def test_workers_are_merged(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest("from tests.conftest import accuracy, pytest_addoption, pytest_configure")
    pytester.makepyfile(
        "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test(n, accuracy): accuracy('w', 'numpy', n, 0)"
    )
    result = pytester.runpytest_subprocess("-n", "2", "--accuracy", "seen.json", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=6)
    (row,) = json.loads((pytester.path / "seen.json").read_text())["rows"]
    assert (row["values"], row["equal"], row["largest"]) == (6, 1, 5.0)
