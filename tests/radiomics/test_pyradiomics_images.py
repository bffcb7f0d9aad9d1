"""compat="pyradiomics" on filtered, resampled and cropped images against PyRadiomics 3.0.1: within 1e-6 relative."""

from __future__ import annotations

import logging
import math
import sys
import types
import warnings

import numpy as np
import pytest
from scipy import ndimage, special

import fastimg as fi

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("radiomics", reason="peer PyRadiomics is not installed")
    from radiomics import featureextractor

sitk = pytest.importorskip("SimpleITK")
peer.logger.setLevel(logging.CRITICAL)
pytestmark = pytest.mark.filterwarnings("ignore")
SPACING = (2.5, 1.2, 0.7)


def blob(dtype=np.int16, scale=60.0, seed=0, shape=(14, 21, 24)):
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.normal(size=shape), 1)
    mask = ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0.02
    return (values / values.std() * scale).astype(dtype), mask.astype(np.uint8)


def both(values, mask):
    image, label = (sitk.GetImageFromArray(array) for array in (values, mask))
    for each in (image, label):
        each.SetSpacing(SPACING[::-1])
        each.SetOrigin((-10.0, 5.0, 3.0))
    mine = fi.Image(values, spacing=SPACING, origin=(-10.0, 5.0, 3.0))
    return image, label, mine


def agree(found, expected, accuracy):
    expected = {name: float(value) for name, value in expected.items() if not name.startswith("diagnostics")}
    assert set(found) == set(expected)
    theirs = np.array(list(expected.values()))
    floor = np.fmax(np.abs(theirs), 1e-3)  # what the rule below holds to 1e-6
    ours = [found[name] for name in expected]
    accuracy("radiomics of filtered images", "pyradiomics", ours, theirs, of="value, or 1e-3 if below", scale=floor)
    for name, value in expected.items():
        if not (math.isnan(value) and math.isnan(found[name])):
            assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def compare(values, mask, parameters, tmp_path, accuracy):
    """The same parameter file for both."""
    import json

    file = tmp_path / "parameters.yaml"
    file.write_text(json.dumps(parameters))  # JSON is YAML
    image, label, mine = both(values, mask)
    extractor = featureextractor.RadiomicsFeatureExtractor(str(file), additionalInfo=False)
    if not parameters.get("setting", {}).get("force2D"):
        extractor.enabledFeatures.pop("shape2D", None)
    expected = extractor.execute(image, label)
    found = fi.radiomics.extract(mine, mask, fi.radiomics.Settings.from_yaml(file))
    if parameters.get("setting", {}).get("force2Ddimension") == 1:
        # It looks at the wrong side of the box, the region's own, and leaves shape2D out; here it is computed.
        assert not any("shape2D" in name for name in expected)
        found = {name: value for name, value in found.items() if "shape2D" not in name}
    agree(found, expected, accuracy)


CLASSES = dict.fromkeys(("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"))
CASES = {
    "original": {"imageType": {"Original": {}}},
    "log": {"imageType": {"LoG": {"sigma": [1.0, 3], "binWidth": 5}}, "setting": {"binWidth": 10}},
    "wavelet": {"imageType": {"Wavelet": {}, "Original": {"binWidth": 9}}, "setting": {"binWidth": 20}},
    "wavelet levels": {"imageType": {"Wavelet": {"wavelet": "db3", "level": 2, "start_level": 1, "binCount": 24}}},
    "pointwise": {
        "imageType": {"Square": {}, "SquareRoot": {}, "Logarithm": {}, "Exponential": {}},
        "setting": {"binWidth": 15},
    },
    "gradient": {"imageType": {"Gradient": {}}, "setting": {"binWidth": 4}},
    "gradient in voxels": {"imageType": {"Gradient": {"gradientUseSpacing": False}}, "setting": {"binWidth": 4}},
    "lbp uniform": {"imageType": {"LBP2D": {"binWidth": 1}}},
    "lbp ror": {"imageType": {"LBP2D": {"lbp2DMethod": "ror", "lbp2DRadius": 1.5, "lbp2DSamples": 9, "binWidth": 10}}},
    "lbp default": {"imageType": {"LBP2D": {"lbp2DMethod": "default", "lbp2DRadius": 2, "binWidth": 10}}},
    "many": {
        "imageType": {"Original": {}, "LoG": {}, "Wavelet": {}, "Gradient": {}},
        "setting": {"sigma": [2], "binCount": 16, "weightingNorm": "euclidean", "distances": [1, 2], "gldm_a": 1},
    },
    "slices": {
        "imageType": {"Original": {}, "LoG": {"sigma": [1.5]}, "Wavelet": {}},
        "setting": {"binWidth": 8, "force2D": True},
        "featureClass": {name: None for name in CLASSES if name != "shape2D"},
    },
    "columns": {
        "imageType": {"Original": {}, "Wavelet": {}, "LBP2D": {"binWidth": 1}},
        "setting": {"binWidth": 8, "force2D": True, "force2Ddimension": 2},
        "featureClass": CLASSES,
    },
    "range": {
        "imageType": {"Original": {}, "LoG": {"sigma": [2.0]}},
        "setting": {"binWidth": 8, "resegmentRange": [-40, 90]},
    },
    "cropped": {
        "imageType": {"Original": {}, "LoG": {"sigma": [1.0]}, "Wavelet": {}, "Square": {}},
        "setting": {"binWidth": 8, "preCrop": True, "padDistance": 2},
    },
    "normalised": {
        "imageType": {"Original": {}, "LoG": {"sigma": [1.0]}, "Wavelet": {}},
        "setting": {"binWidth": 25, "normalize": True, "normalizeScale": 100, "removeOutliers": 3},
    },
    "resampled": {
        "imageType": {"Original": {}, "LoG": {"sigma": [2.0]}, "Wavelet": {}},
        "setting": {"binWidth": 8, "resampledPixelSpacing": [1, 1, 1]},
    },
    "resampled in plane": {
        "imageType": {"Original": {}},
        "setting": {"binWidth": 8, "resampledPixelSpacing": [1.1, 0.9, 0], "padDistance": 3},
    },
    "resampled linearly": {
        "imageType": {"Original": {}, "Gradient": {}},
        "setting": {"binWidth": 8, "resampledPixelSpacing": [1.3, 1.3, 1.3], "interpolator": "sitkLinear"},
    },
    "resampled nearest": {
        "imageType": {"Original": {}},
        "setting": {"binWidth": 8, "resampledPixelSpacing": [0.9, 0.9, 0.9], "interpolator": "sitkNearestNeighbor"},
    },
    "not resampled": {
        "imageType": {"Original": {}},
        "setting": {"binWidth": 8, "resampledPixelSpacing": [1, 1, 1], "interpolator": None},
    },
    "same spacing": {
        "imageType": {"Original": {}, "Wavelet": {}},
        "setting": {"binWidth": 8, "resampledPixelSpacing": [0.7, 1.2, 2.5]},
    },
}


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize(
    "kind", ["Gaussian", "LabelGaussian", "Hamming", "Cosine", "Welch", "Lanczos", "Blackman", 4, 10], ids=str
)
def test_interpolators(kind, dtype, tmp_path, accuracy):
    values, mask = blob(dtype, seed=2)
    values[3:9, 5:12, 4:15] = 37  # constant: what truncation makes of it hangs on the last bit
    name = kind if isinstance(kind, int) else f"sitk{kind}" + ("" if "Gaussian" in kind else "WindowedSinc")
    setting = {"binWidth": 8, "resampledPixelSpacing": [1, 0.9, 1.7], "interpolator": name}
    compare(values, mask, {"imageType": {"Original": {}}, "setting": setting}, tmp_path, accuracy)


def test_every_feature_that_can_be_named(tmp_path, accuracy):
    """Also those that PyRadiomics computes only when asked for by name."""
    classes = {kind: list(of.getFeatureNames()) for kind, of in peer.getFeatureClasses().items()}
    outline = {"shape2D": classes.pop("shape2D"), "firstorder": classes["firstorder"]}
    values, mask = blob()
    with pytest.warns(UserWarning, match="glcm Homogeneity1 has no value in PyRadiomics either: it equals Id"):
        compare(values, mask, {"featureClass": classes, "setting": {"binWidth": 9}}, tmp_path, accuracy)
    mask[:7], mask[8:] = 0, 0
    compare(values, mask, {"featureClass": outline, "setting": {"binWidth": 9, "force2D": True}}, tmp_path, accuracy)


def test_a_channel_of_the_mask(tmp_path, accuracy):
    values, mask = blob()
    file = tmp_path / "parameters.yaml"
    file.write_text("setting: {binWidth: 9, label_channel: 1}\nfeatureClass: {firstorder: }\n")
    settings = fi.radiomics.Settings.from_yaml(file)
    image, label, mine = both(values, mask)
    channels = sitk.Compose([sitk.Cast(label * 0, sitk.sitkUInt8), sitk.Cast(label, sitk.sitkUInt8)])
    expected = featureextractor.RadiomicsFeatureExtractor(str(file), additionalInfo=False).execute(image, channels)
    agree(fi.radiomics.extract(mine, fi.Image.from_sitk(channels), settings), expected, accuracy)
    told = fi.radiomics.diagnostics(mine, fi.Image.from_sitk(channels), settings)
    assert told["diagnostics_Mask-original_VoxelNum"] == mask.sum()


@pytest.mark.parametrize("moved", ["origin", "spacing", "direction"])
def test_geometry_tolerance(moved, tmp_path, accuracy):
    values, mask = blob()
    image, label, mine = both(values, mask)
    turned = np.array([[math.cos(0.01), -math.sin(0.01), 0], [math.sin(0.01), math.cos(0.01), 0], [0, 0, 1]])
    if moved == "origin":
        label.SetOrigin((-10.006, 5.0, 3.0))
    elif moved == "spacing":
        label.SetSpacing((0.7, 1.2, 2.506))
    else:
        label.SetDirection(turned.ravel())
    other = fi.Image.from_sitk(label)
    for tolerance, fits in ((0.02, True), (0.005, False)):
        parameters = {"setting": {"geometryTolerance": tolerance}, "featureClass": {"firstorder": ["Mean"]}}
        file = tmp_path / "parameters.yaml"
        file.write_text(str(parameters))
        extractor = featureextractor.RadiomicsFeatureExtractor(str(file), additionalInfo=False)
        settings = fi.radiomics.Settings.from_yaml(file)
        if fits:
            agree(fi.radiomics.extract(mine, other, settings), extractor.execute(image, label), accuracy)
            continue
        with pytest.raises(ValueError, match=r"mismatch|same physical space"):
            extractor.execute(image, label)
        with pytest.raises(fi.errors.GeometryError, match="different grids"):
            fi.radiomics.extract(mine, other, settings)
    for set_again in (
        sitk.ProcessObject.SetGlobalDefaultCoordinateTolerance,
        sitk.ProcessObject.SetGlobalDefaultDirectionTolerance,
    ):
        set_again(1e-6)


@pytest.mark.parametrize("name", CASES)
def test_parameter_files(name, tmp_path, accuracy):
    compare(*blob(), CASES[name], tmp_path, accuracy)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, np.float32) for name in ("log", "wavelet", "pointwise", "gradient", "resampled")]
    + [("cropped", np.float64)],
)
def test_floating_point_images(name, dtype, tmp_path, accuracy):
    compare(*blob(dtype, seed=1), CASES[name], tmp_path, accuracy)


@pytest.mark.parametrize(
    ("name", "width"),
    [("original", 12), ("original", {"binCount": 64}), ("log", 25), ("log", {"binCount": 32}), ("wavelet", 25)],
)
def test_the_ct_phantom(name, width, reference, tmp_path, accuracy):
    nibabel = pytest.importorskip("nibabel")
    folder = reference / "ibsi1" / "ct_phantom" / "nifti"
    box = np.s_[10:26, 60:110, 80:140]
    values, mask = (
        np.ascontiguousarray(np.asarray(nibabel.load(folder / part).dataobj).T[box])
        for part in ("image/phantom.nii.gz", "mask/mask.nii.gz")
    )
    setting = width if isinstance(width, dict) else {"binWidth": width}
    images = {"original": {"Original": {}}, "log": {"LoG": {"sigma": [3.0]}}, "wavelet": {"Wavelet": {}}}[name]
    parameters = {"imageType": images, "setting": setting}
    compare(values.astype(np.int16), mask.astype(np.uint8), parameters, tmp_path, accuracy)


def test_lbp_3d(monkeypatch, tmp_path, accuracy):
    pytest.importorskip("trimesh", reason="peer trimesh is not installed")
    # PyRadiomics asks for names that SciPy has since moved.
    module = types.ModuleType("scipy.ndimage.interpolation")
    module.map_coordinates = ndimage.map_coordinates
    monkeypatch.setitem(sys.modules, "scipy.ndimage.interpolation", module)
    old = lambda m, n, azimuth, polar: special.sph_harm_y(n, m, polar, azimuth)  # noqa: E731
    monkeypatch.setattr(special, "sph_harm", old, raising=False)
    compare(*blob(), {"imageType": {"LBP3D": {"binWidth": 0.5, "lbp3DLevels": 3}}}, tmp_path, accuracy)


def test_several_labels_and_one_chosen(tmp_path, accuracy):
    values, mask = blob()
    mask[mask > 0] = np.where(np.arange(mask.sum()) % 3, 1, 2)
    compare(
        values,
        mask,
        {"setting": {"label": 2, "binWidth": 9}, "imageType": {"Original": {}, "Square": {}}},
        tmp_path,
        accuracy,
    )


def test_diagnostics_columns(tmp_path):
    values, mask = blob()
    image, label, mine = both(values, mask)
    options = {"resampledPixelSpacing": [1, 1, 1], "resegmentRange": [-50, 90], "binWidth": 10}
    expected = featureextractor.RadiomicsFeatureExtractor(**options).execute(image, label)
    settings = fi.radiomics.Settings(
        compat="pyradiomics", spacing=(1, 1, 1), order="cubic", resegment=(-50, 90), bin_width=10
    )
    found = fi.radiomics.diagnostics(mine, mask, settings)
    compared = 0
    for name, value in expected.items():
        if name.startswith(("diagnostics_Image", "diagnostics_Mask")):
            compared += 1
            if isinstance(value, str):
                assert found[name] == value, name
            else:
                assert np.ravel(found[name]) == pytest.approx(np.ravel(value), rel=1e-6, abs=1e-6), name
    assert compared > 30


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("chosen", ["all", "some"])
def test_outlines_of_one_slice(axis, chosen, tmp_path, accuracy):
    values, mask = blob(seed=4)
    one = np.zeros_like(mask)
    place = tuple(9 if a == axis else slice(None) for a in range(3))
    one[place] = ndimage.gaussian_filter(np.random.default_rng(axis).normal(size=one[place].shape), 1) > 0.02
    parameters = {"setting": {"force2D": True, "force2Ddimension": axis, "binWidth": 20}, "imageType": {"Original": {}}}
    if chosen == "some":
        parameters["featureClass"] = {"shape2D": ["Perimeter", "MaximumDiameter"], "firstorder": ["Mean"]}
    compare(values, one, parameters, tmp_path, accuracy)
