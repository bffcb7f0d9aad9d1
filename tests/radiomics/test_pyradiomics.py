"""compat="pyradiomics" against PyRadiomics 3.0.1 itself, run here: every feature within 1e-6 relative."""

from __future__ import annotations

import logging
import math
import warnings

import numpy as np
import pytest
from scipy import ndimage

import fastimg as fi

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("radiomics", reason="peer PyRadiomics is not installed")
    from radiomics import featureextractor

sitk = pytest.importorskip("SimpleITK")
peer.logger.setLevel(logging.CRITICAL)
pytestmark = pytest.mark.filterwarnings("ignore")
SPACING = (2.5, 1.2, 0.7)


def blob(dtype=np.int16, scale=50.0):
    rng = np.random.default_rng(0)
    values = ndimage.gaussian_filter(rng.normal(size=(14, 20, 24)), 1)
    mask = ndimage.gaussian_filter(rng.normal(size=values.shape), 2) > 0.02
    return (values / values.std() * scale).astype(dtype), mask.astype(np.uint8)


def of_peer(values, mask, options):
    image, label = (sitk.GetImageFromArray(array) for array in (values, mask))
    for each in (image, label):
        each.SetSpacing(SPACING[::-1])
    extractor = featureextractor.RadiomicsFeatureExtractor(
        additionalInfo=False, **{"minimumROIDimensions": 1, **options}
    )
    extractor.enableAllFeatures()
    extractor.enabledFeatures.pop("shape2D", None)
    found = extractor.execute(image, label)
    return {name: float(value) for name, value in found.items() if name.startswith("original_")}


def check(values, mask, options, settings, accuracy):
    expected = of_peer(values, mask, options)
    image = fi.Image(values, spacing=SPACING)
    found = fi.radiomics.extract(image, mask, fi.radiomics.Settings(compat="pyradiomics", **settings))
    assert set(expected) == set(found)
    theirs = np.array(list(expected.values()))
    floor = np.fmax(np.abs(theirs), 1e-6)  # what the rule below holds to 1e-6
    ours = [found[name] for name in expected]
    accuracy("radiomics, compat", "pyradiomics", ours, theirs, of="value, or 1e-6 if below", scale=floor)
    for name, value in expected.items():
        if not (math.isnan(value) and math.isnan(found[name])):
            assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-12), name


CASES = {
    "width": ({"binWidth": 10}, {"bin_width": 10}),
    "narrow": ({"binWidth": 3}, {"bin_width": 3}),
    "count": ({"binCount": 32}, {"bin_number": 32}),
    "distances": ({"binWidth": 10, "distances": [1, 2]}, {"bin_width": 10, "distances": (1, 2)}),
    "alpha": ({"binWidth": 10, "gldm_a": 1}, {"bin_width": 10, "alpha": 1}),
    "asymmetric": ({"binWidth": 10, "symmetricalGLCM": False}, {"bin_width": 10, "symmetric": False}),
    "slices": ({"binWidth": 10, "force2D": True}, {"bin_width": 10, "aggregation": "2.5D, direction-merged"}),
    "columns": (
        {"binWidth": 10, "force2D": True, "force2Ddimension": 2},
        {"bin_width": 10, "aggregation": "2.5D, direction-merged", "slice_axis": 2},
    ),
    "range": ({"binWidth": 10, "resegmentRange": [-40, 60]}, {"bin_width": 10, "resegment": (-40, 60)}),
    "sigma": (
        {"binWidth": 10, "resegmentRange": [-1, 1], "resegmentMode": "sigma", "resegmentShape": True},
        {"bin_width": 10, "resegment": (-1, 1), "resegment_mode": "sigma", "resegment_shape": True},
    ),
    "relative": (
        {"binWidth": 10, "resegmentRange": [0.1], "resegmentMode": "relative"},
        {"bin_width": 10, "resegment": (0.1, None), "resegment_mode": "relative"},
    ),
    "normalised": (
        {"binWidth": 5, "normalize": True, "normalizeScale": 100, "removeOutliers": 2},
        {"bin_width": 5, "normalize": True, "normalize_scale": 100, "normalize_outliers": 2},
    ),
    "shift": ({"binWidth": 10, "voxelArrayShift": 1000}, {"bin_width": 10, "shift": 1000}),
}


@pytest.mark.parametrize("name", CASES)
def test_settings(name, accuracy):
    check(*blob(), *CASES[name], accuracy)


@pytest.mark.parametrize("norm", ["manhattan", "euclidean", "infinity", "no_weighting"])
def test_weighted_directions(norm, accuracy):
    check(*blob(), {"binWidth": 10, "weightingNorm": norm}, {"bin_width": 10, "weighting": norm}, accuracy)


@pytest.mark.parametrize(
    ("dtype", "scale", "width"), [(np.float32, 50, 10), (np.float64, 50, 7), (np.float32, 1.3, 0.3)]
)
def test_floating_point_images(dtype, scale, width, accuracy):
    check(*blob(dtype, scale), {"binWidth": width}, {"bin_width": width}, accuracy)


@pytest.mark.parametrize("kind", ["slice", "constant", "two voxels", "sparse", "noise"])
def test_regions(kind, accuracy):
    rng = np.random.default_rng(1)
    values, mask = blob()
    if kind == "slice":
        mask[:6] = mask[7:] = 0
    elif kind == "constant":
        values[...] = 7
    elif kind == "two voxels":
        mask[...] = 0
        mask[3, 4, 5:7] = 1
    elif kind == "sparse":
        mask = (rng.random(mask.shape) < 0.04).astype(np.uint8)
    else:
        values = rng.integers(0, 4000, values.shape).astype(np.int16)
    check(values, mask, {"binWidth": 25}, {"bin_width": 25}, accuracy)


def test_the_ct_phantom(reference, accuracy):
    nibabel = pytest.importorskip("nibabel")
    folder = reference / "ibsi1" / "ct_phantom" / "nifti"
    values, mask = (
        np.asarray(nibabel.load(folder / part).dataobj).T for part in ("image/phantom.nii.gz", "mask/mask.nii.gz")
    )
    box = np.s_[10:30, 60:110, 80:140]
    check(values[box].astype(np.int16), mask[box].astype(np.uint8), {"binWidth": 25}, {"bin_width": 25}, accuracy)


def test_a_parameter_file(tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text(
        "setting:\n  binWidth: 12.5\n  weightingNorm: manhattan\n  gldm_a: 1\nfeatureClass:\n  glcm:\n  gldm:\n"
    )
    values, mask = blob()
    image, label = (sitk.GetImageFromArray(array) for array in (values, mask))
    expected = featureextractor.RadiomicsFeatureExtractor(str(file), additionalInfo=False).execute(image, label)
    found = fi.radiomics.extract(fi.Image(values), mask, fi.radiomics.Settings.from_yaml(file))
    assert found == pytest.approx({k: float(v) for k, v in expected.items() if k.startswith("original")}, rel=1e-6)
