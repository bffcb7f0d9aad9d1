"""Real DICOM: uneven slices are named and resampled only when allowed, enhanced MR reads, an RTSTRUCT becomes a mask."""

from __future__ import annotations

import numpy as np
import pytest
from small_run import KEY

import fastimg as fi
from fastimg.pipeline import Recipe, run
from fastimg.pipeline._pool import InProcess

KEEP = '[radiomics]\nenabled = false\n[combat]\nenabled = false\n[run]\nreserve = "1 MB"\n'


def made(text, source, target):
    summary = run(Recipe.parse(text), source, target, key=KEY, executor=InProcess())
    return summary, fi.Cohort.open(target)


def test_uneven_slices_are_a_finding_that_names_the_gap(data, tmp_path):
    summary, cohort = made(KEEP, data / "dicom" / "ct_ge_uneven", tmp_path / "c")
    assert summary.states == {"ok": 0, "warned": 0, "quarantined": 1, "failed": 0}
    (case,) = cohort.cases()
    (found,) = [f for f in case.findings if f.code == "uneven-spacing"]
    assert "1.08" in found.message
    assert not case.has_voxels


def test_uneven_slices_are_resampled_when_the_recipe_allows_it(data, tmp_path):
    text = (
        '[input]\ntolerate = ["uneven-spacing"]\nrelease = ["head"]\n[resample]\nspacing = ["5 mm", "2 mm", "2 mm"]\n'
        + KEEP
    )
    summary, cohort = made(text, data / "dicom" / "ct_ge_uneven", tmp_path / "c")
    assert summary.states["warned"] == 1
    (case,) = cohort.cases()
    image = case.image()
    assert not image.is_sheared  # the tilt is gone too
    np.testing.assert_allclose(image.spacing, (5, 2, 2))
    assert {"tolerated", "gantry-tilt"} <= {f.code for f in case.findings}
    assert 0 < np.median(image.array[image.array > -300]) < 100  # a head: brain


@pytest.mark.parametrize(("folder", "cases"), [("enhanced_mr", 2), ("mr_ge_fmri", 1)])
def test_mr_reads(data, tmp_path, folder, cases):
    text = '[input]\nrelease = ["head"]\n' + KEEP
    summary, cohort = made(text, data / "dicom" / folder, tmp_path / "c")
    assert summary.states["warned"] == summary.cases == cases  # head scans: released by the recipe, and told
    for case in cohort.cases():
        assert case.image().array.std() > 0
    shapes = {case.image().dims[0]: case.image().shape for case in cohort.cases()}
    if folder == "mr_ge_fmri":
        assert list(shapes) == ["t"]
    else:  # a field map, and four files of one time point each
        assert shapes == {"type": (2, 32, 64, 64), "t": (4, 6, 64, 64)}


def test_a_head_scan_is_set_aside_unless_the_recipe_releases_it(data, tmp_path):
    summary, cohort = made(KEEP, data / "dicom" / "enhanced_mr", tmp_path / "c")
    assert summary.states["quarantined"] == summary.cases == 2
    assert all("burned-in" in {f.code for f in case.findings} and not case.has_voxels for case in cohort.cases())


def test_an_rtstruct_becomes_a_mask_with_features(reference, tmp_path):
    text = '[resample]\nspacing = "3 mm"\n[radiomics]\nbin_width = 25\nclasses = ["firstorder", "shape"]\n[run]\nreserve = "1 MB"'
    summary, cohort = made(text, reference / "ibsi1" / "ct_phantom" / "dicom", tmp_path / "c")
    (case,) = cohort.cases()
    assert case.mask_names == ["GTV-1"]
    assert case.image().unit == "HU"
    features = case.features["GTV-1"]
    volume = features["original_shape_MeshVolume"] / 1000
    assert 340 < volume < 380  # cm3; the benchmark's mask has 357 to 367 in its configurations
    assert "combat-skipped" in summary.findings
