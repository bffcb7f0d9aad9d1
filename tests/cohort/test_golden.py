"""Cohorts of each format stay readable: golden/vN was written once by `write`, and is never written again."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi

GOLDEN = Path(__file__).parent / "golden"


def voxels():
    """What is stored, by formula."""
    k, j, i = np.ogrid[:9, :40, :35]
    return (100 * k - 3 * j + i * i % 17).astype(np.int16)


def write(path):
    """How the golden cohorts came to be."""
    for profile in ("default", "hot", "gpu"):
        c = fi.Cohort.create(path / profile, profile=profile)
        image = fi.Image(
            voxels(),
            [[0.1, 0, 0.7, 5], [0, 0.7, 0, -3], [2.5, 0, 0.1, 11], [0, 0, 0, 1]],
            unit="HU",
            padding=voxels() < -60,
        )
        c.add(
            "case-1",
            image,
            {"GTV 1": voxels() > 300},
            {"site": "A", "age_years": 61, "subject": "p1"},
            source="5f",
            findings=[fi.Finding("lossy", "JPEG", "series", {"ratio": 10})],
            features={"GTV 1": {"mean": 1.5, "odd": math.nan}},
            provenance={"recipe": "r"},
        )
        c.record("case-2", "failed", findings=[fi.Finding("decode-failed", "cut short")], source="60")
        c.remove(subjects=["p9"])
        shutil.rmtree(c.path / "index")


@pytest.mark.parametrize("profile", ["default", "hot", "gpu"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_golden_cohorts_are_read(version, profile):
    c = fi.Cohort.open(GOLDEN / version / profile)
    assert c.sources() == {"5f": "case-1", "60": "case-2"}
    case = c["case-1"]
    image = case.image()
    np.testing.assert_array_equal(image.array, voxels())
    np.testing.assert_array_equal(image.padding, voxels() < -60)
    np.testing.assert_array_equal(image.affine[:3, 3], (5, -3, 11))
    np.testing.assert_array_equal(case.masks()["GTV 1"].array, voxels() > 300)
    assert image.unit == "HU"
    assert case.features["GTV 1"]["mean"] == 1.5
    assert math.isnan(case.features["GTV 1"]["odd"])
    assert case.metadata == {"site": "A", "age_years": 61, "subject": "p1"}
    assert case.findings == [fi.Finding("lossy", "JPEG", "series", {"ratio": 10})]
    assert (case.state, c["case-2"].state) == ("ok", "failed")
    report = c.verify(full=True)
    assert report.ok, report.findings
    assert report.cases == 2
    assert c.is_removed(subject="p9") == (version != "v1")
    assert not c.is_removed(subject="p1")
