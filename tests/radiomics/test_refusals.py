"""Bad input and regions at the edge of what is defined: each with the value or the error that the docs page tells."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import ArgumentError, DeviceError, FormatError, GeometryError
from fastimg.radiomics import FAMILIES, Settings, extract


@pytest.fixture
def image():
    return fi.Image(np.random.default_rng(0).normal(0, 100, (5, 6, 7)).astype(np.float32), spacing=(3, 1, 1))


def box(image, *slices):
    mask = np.zeros(image.shape, np.uint8)
    mask[slices] = 1
    return mask


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_empty_mask(image, dtype):
    with pytest.raises(ArgumentError, match="no voxel; labels in it: none"):
        extract(image, np.zeros(image.shape, dtype))


def test_an_image_on_a_gpu(image):
    mask = box(image, slice(1, 3))
    with fi.testing.host_device() as put:
        there = image.with_array(put(image.array))
        with pytest.raises(DeviceError, match="maps on a GPU makes those of glcm alone"):
            fi.radiomics.maps(there, put(mask))
        with pytest.raises(ArgumentError, match="no voxel; labels in it: none"):
            extract(there, put(np.zeros(image.shape, np.uint8)))
        with pytest.raises(ArgumentError, match="no voxel with label 5; labels in it: 1"):
            extract(there, put(mask), fi.radiomics.Settings(label=5))
        mask[3] = 7
        with pytest.raises(ArgumentError, match="labels 1, 7"):
            extract(there, put(mask))
        with pytest.raises(DeviceError, match="different devices"):
            extract(image, put(mask))


def test_several_labels(image):
    mask = box(image, slice(1, 3))
    mask[3] = 7
    with pytest.raises(ArgumentError, match=r"labels 1, 7; choose one with Settings\(label"):
        extract(image, mask)
    one, other = (extract(image, mask, Settings(label=label))["original_shape_VoxelVolume"] for label in (1, 7))
    assert (one, other) == (2 * 42 * 3, 42 * 3)
    with pytest.raises(ArgumentError, match="with label 3; labels in it: 1, 7"):
        extract(image, mask, Settings(label=3))


def test_a_mask_of_booleans_and_one_of_floats(image):
    mask = box(image, slice(1, 3))
    expected = extract(image, mask)
    assert extract(image, mask.astype(bool)) == pytest.approx(expected, nan_ok=True)
    assert extract(image, mask.astype(np.float32)) == pytest.approx(expected, nan_ok=True)
    with pytest.raises(ArgumentError, match="booleans"):
        extract(image, mask.astype(bool), Settings(label=2))


def test_grids_that_differ_are_both_shown(image):
    mask = fi.Image(box(image, slice(1, 3)), spacing=(3, 1, 1.5), origin=(4, 0, 0))
    with pytest.raises(
        GeometryError, match=r"image shape .*\[3.0, 1.0, 1.0\] mm.* mask shape .*\[3.0, 1.0, 1.5\].*\[4.0,"
    ):
        extract(image, mask)
    with pytest.raises(GeometryError, match=r"shape \(5, 6, 8\), image \(5, 6, 7\)"):
        extract(image, np.ones((5, 6, 8), np.uint8))


def test_a_mask_on_another_grid_is_brought_over_by_choice(image):
    mask = fi.Image(box(image, slice(1, 4)), spacing=(3, 1, 1), origin=(0, 0, 3))  # one slice further
    found = extract(image, mask, Settings(resample_mask=True))
    assert found["original_firstorder_Mean"] == pytest.approx(float(image.array[2:5].mean(dtype=np.float64)))


def test_nan_inside_the_region_and_outside(image):
    values = image.array.copy()
    values[0, 0, 0] = np.nan
    spoiled, mask = image.with_array(values), box(image, slice(1, 3))
    assert not math.isnan(extract(spoiled, mask)["original_firstorder_Mean"])
    assert not math.isnan(extract(spoiled, mask)["original_local_GlobalPeak"])
    mask[0, 0, 0] = 1
    with pytest.raises(ArgumentError, match="NaN or infinite"):
        extract(spoiled, mask)


def test_padding_is_left_out(image):
    padding = np.zeros(image.shape, bool)
    padding[1] = True
    found = extract(image.with_array(image.array, padding=padding), box(image, slice(1, 3)))
    assert found["original_firstorder_Mean"] == pytest.approx(float(image.array[2].mean(dtype=np.float64)))


def test_a_sheared_grid_and_leading_axes(image):
    sheared = image.affine.copy()
    sheared[1, 0] = 0.5
    with pytest.raises(GeometryError, match="sheared"):
        extract(image.with_array(image.array, affine=sheared), box(image, slice(1, 3)))
    with pytest.raises(ArgumentError, match="axes z, y, x alone"):
        extract(fi.Image(np.zeros((2, 5, 6, 7)), dims=("t", "z", "y", "x")), box(image, slice(1, 3)))
    with pytest.raises(ArgumentError, match="must be an Image"):
        extract(image.array, box(image, slice(1, 3)))


NAN_OF_ONE_VOXEL = {"cm_", "morph_moran_i", "morph_geary_c", "morph_pca_elongation", "morph_pca_flatness", "_dens_aee"}


def test_one_voxel(image):
    found = extract(image, box(image, 2, 3, 4), names="ibsi")
    undefined = {tag for tag, value in found.items() if math.isnan(value)}
    assert undefined == {tag for tag in found if any(part in tag for part in NAN_OF_ONE_VOXEL)}
    assert found["stat_mean"] == pytest.approx(float(image.array[2, 3, 4]))
    assert (found["stat_var"], found["stat_skew"], found["stat_kurt"], found["ih_entropy"]) == (0, 0, 0, 0)
    assert (found["morph_vol_approx"], found["szm_z_perc"], found["ngt_coarseness"]) == (3, 1, 1e6)
    assert found["morph_volume"] == pytest.approx(0.5)


def test_one_slice_has_every_feature(image):
    found = extract(image, box(image, 2), names="ibsi")
    assert {tag for tag, value in found.items() if math.isnan(value)} == {"morph_vol_dens_aee", "morph_area_dens_aee"}
    assert found["morph_pca_least_axis"] == 0


def test_a_constant_region(image):
    flat = image.with_array(np.full(image.shape, 7, np.int16))
    found = extract(flat, box(image, slice(1, 4), slice(1, 5)), names="ibsi")
    assert {tag for tag, value in found.items() if math.isnan(value)} == {"morph_moran_i", "morph_geary_c"}
    zero = [
        "stat_var",
        "stat_skew",
        "stat_kurt",
        "stat_cov",
        "ih_entropy",
        "cm_joint_entr",
        "cm_contrast",
        "cm_info_corr1",
    ]
    zero += ["cm_info_corr2", "ngt_contrast", "ngt_busyness", "ngt_complexity", "ngt_strength", "szm_zs_entr"]
    assert {tag: found[tag] for tag in zero} == dict.fromkeys(zero, 0.0)
    assert (found["cm_corr"], found["ngt_coarseness"], found["ih_uniformity"], found["cm_energy"]) == (1, 1e6, 1, 1)


def test_more_levels_than_the_dtype_holds(image):
    mask = box(image, slice(1, 4))
    with pytest.raises(ArgumentError, match="more than 65535"):
        extract(image, mask, Settings(bin_width=1e-4))
    with pytest.raises(ArgumentError, match="more than 65535"):
        extract(image, mask, Settings(bin_number=70000))
    wide = extract(image, mask, Settings(bin_number=1000, families=["glszm", "ngldm"]))  # 16-bit levels
    assert wide["original_glszm_ZonePercentage"] > 0.9


def test_a_matrix_beyond_the_memory_limit(image):
    with fi.config.use(memory_limit=1 << 20), pytest.raises(fi.errors.FastimgError, match="above the memory limit"):
        extract(image, box(image, slice(1, 4)), Settings(bin_number=1000, families=["glcm"]))


def test_resegmentation_that_leaves_nothing(image):
    with pytest.raises(ArgumentError, match="resegment"):
        extract(image, box(image, slice(1, 4)), Settings(resegment=(5000, 6000)))
    with pytest.raises(ArgumentError, match="minimum_size"):
        extract(image, box(image, 1, 1), Settings(minimum_size=8))
    with pytest.raises(ArgumentError, match="minimum_dimensions"):
        extract(image, box(image, 1, 1), Settings(minimum_dimensions=2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bin_widht": 25}, "unknown setting 'bin_widht'; did you mean 'bin_width'"),
        ({"binWidth": 25}, "did you mean 'bin_width'"),
        ({"bin_width": 25, "bin_number": 32}, "not both"),
        ({"bin_width": 0}, "bin_width: must be above 0"),
        ({"bin_number": 2.5}, "bin_number: must be a whole number"),
        ({"families": ["glcn"]}, "unknown family 'glcn'; did you mean 'glcm'"),
        ({"features": {"glcm": ["Contast"]}}, "did you mean 'Contrast'"),
        ({"aggregation": "3D"}, "aggregation: must be one of"),
        ({"compat": "PyRadiomics"}, "compat: must be one of"),
        ({"resegment": (5, 4)}, "low must not be above high"),
        ({"spacing": (1, 1)}, "spacing: must be 3 values"),
        ({"distances": (0,)}, "distances: must be a whole number"),
        ({"label": 0}, "label: must be a whole number from 1"),
    ],
)
def test_settings_that_cannot_be_used(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        Settings(**arguments)


def test_settings_are_frozen_equal_and_travel():
    settings = Settings(bin_number=32, families=["shape", "glcm"], features={"glcm": ["Contrast"]})
    assert pickle.loads(pickle.dumps(settings)) == copy.deepcopy(settings) == settings
    assert settings.families == ("morphology", "glcm")
    with pytest.raises(AttributeError):
        settings.bin_number = 16


def test_features_that_are_asked_for(image):
    found = extract(
        image, box(image, slice(1, 4)), Settings(features={"glcm": ["Contrast", "cm_corr"]}, families=["glcm"])
    )
    assert list(found) == ["original_glcm_Contrast", "original_glcm_Correlation"]
    assert set(FAMILIES) >= {"glcm", "morphology"}


def test_a_parameter_file_of_pyradiomics(tmp_path, image):
    file = tmp_path / "parameters.yaml"
    file.write_text(
        "imageType:\n  Original: {}\nfeatureClass:\n  shape:\n  firstorder: []\n  glcm: ['Contrast', 'Idm']\n"
        "setting:\n  binWidth: 10\n  label: 1\n  force2D: true\n  force2Ddimension: 1\n  weightingNorm: euclidean\n"
        "  resegmentRange: [50, -50]\n  distances: [1, 2]\n  geometryTolerance: 0.001\n"
    )
    settings = Settings.from_yaml(file)
    assert settings == Settings(
        compat="pyradiomics",
        bin_width=10,
        label=1,
        families=["shape", "firstorder", "glcm"],
        features={"glcm": ["Contrast", "Idm"]},
        aggregation="2.5D, direction-merged",
        slice_axis=1,
        weighting="euclidean",
        resegment=(-50, 50),
        distances=(1, 2),
        minimum_dimensions=2,
        geometry_tolerance=0.001,
        label_channel=0,
        additional_info=True,
    )
    assert "original_glcm_Idm" in extract(image, box(image, slice(1, 4)), settings)


def test_a_mask_with_channels(image):
    channels = np.stack([np.zeros(image.shape, np.uint8), box(image, slice(1, 3))])
    with pytest.raises(ArgumentError, match=r"the mask has 2 channels; choose one with Settings\(label_channel"):
        extract(image, channels)
    with pytest.raises(ArgumentError, match="label_channel is 2, and the mask has 2 channels"):
        extract(image, channels, Settings(label_channel=2))
    seen = extract(image, fi.Image(channels, image.affine, dims=("channel", "z", "y", "x")), Settings(label_channel=1))
    assert seen["original_shape_VoxelVolume"] == 2 * 42 * 3


def test_itks_interpolators_are_pyradiomics(image):
    with pytest.raises(ArgumentError, match=r"order: must be one of .nearest., .linear., .cubic.;"):
        Settings(spacing=(1, 1, 1), order="lanczos")
    chosen = Settings(spacing=(1, 1, 1), order="lanczos", compat="pyradiomics", families=["firstorder"])
    assert extract(image, box(image, slice(1, 4)), chosen)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (
            "setting: {resampledPixelSpacing: [1, 1, 1], interpolator: sitkSpline}\n",
            ArgumentError,
            "interpolator must be one of sitkNearestNeighbor, .* or their numbers 1 to 10; got 'sitkSpline'",
        ),
        ("setting: {geometryTolerance: 0}\n", ArgumentError, "geometry_tolerance: must be above 0"),
        ("setting: {label_channel: -1}\n", ArgumentError, "label_channel: must be a whole number from 0"),
        ("setting: {additionalInfo: 1}\n", ArgumentError, "additional_info must be true or false"),
        ("voxelSetting: {kernelRadus: 2}\n", ArgumentError, "did you mean 'kernelRadius'"),
        ("setting:\n  binWith: 25\n", ArgumentError, "unknown setting 'binWith'; did you mean 'binWidth'"),
        ("settings:\n  binWidth: 25\n", ArgumentError, "unknown section 'settings'; did you mean 'setting'"),
        ("featureClass:\n  glcmm:\n", ArgumentError, "unknown feature class 'glcmm'; did you mean 'glcm'"),
        ("featureClass:\n  glcm: [Contrst]\n", ArgumentError, "did you mean 'Contrast'"),
        ("imageType:\n  Orignal: {}\n", ArgumentError, "unknown image type 'Orignal'; did you mean 'Original'"),
        ("setting:\n  binWidth: wide\n", ArgumentError, "bin_width: must be a number"),
        ("setting: [\n", FormatError, "not YAML"),
        ("- a\n- b\n", FormatError, "sections"),
    ],
)
def test_a_parameter_file_that_is_wrong(tmp_path, text, kind, words):
    file = tmp_path / "parameters.yaml"
    file.write_text(text)
    with pytest.raises(kind, match=words):
        Settings.from_yaml(file)


def test_outlines_need_one_slice(image):
    flat = {"aggregation": "2D, averaged", "families": ["firstorder"], "bin_number": 8}
    one = extract(image, box(image, 2, slice(1, 5), slice(1, 5)), Settings(outline=True, **flat))
    assert one["original_shape2D_PixelSurface"] == 16
    assert set(extract(image, box(image, 2), Settings(outline=["Perimeter"], **flat))) >= {"original_shape2D_Perimeter"}
    assert not any("2D_" in name for name in extract(image, box(image, slice(1, 3)), Settings(outline=None, **flat)))
    with pytest.raises(ArgumentError, match="one slice along axis 0; it has 2"):
        extract(image, box(image, slice(1, 3)), Settings(outline=True, **flat))
    with pytest.raises(ArgumentError, match="needs slices"):
        Settings(outline=True)
    with pytest.raises(ArgumentError, match="did you mean 'Perimeter'"):
        Settings(outline=["Perimetre"], **flat)


def test_image_types_that_are_wrong():
    for images, words in (
        ({"Wavelets": {}}, "did you mean 'Wavelet'"),
        ({"LoG": {"sigmas": [1]}}, "did you mean 'sigma'"),
        ({"LoG": {"sigma": [0]}}, "numbers above 0"),
        ({"Wavelet": {"wavelet": "db99"}}, "WAVELETS"),
        ({"Wavelet": {"level": 0}}, "whole number from 1"),
        ({"LBP2D": {"lbp2DMethod": "nri"}}, "one of default"),
        ({"Gradient": {"gradientUseSpacing": 1}}, "true or false"),
        ({"a": {"filter": "lawz"}}, "did you mean 'laws'"),
        ({"a": {"filter": "laws", "kernel": "L5E5"}}, "did you mean 'kernels'"),
        ({"Original": {"filter": "laws"}}, "must be another"),
        ({"LoG": {"settings": {"bin_widht": 3}}}, "did you mean 'bin_width'"),
        ({"LoG": {"settings": {"bin_width": -3}}}, "bin_width"),
        ({}, "mapping of image type"),
        ("LoG", "mapping of image type"),
    ):
        with pytest.raises(ArgumentError, match=words):
            Settings(images=images)


def test_a_filter_spreads_nan_and_an_image_may_be_too_small(image):
    values = image.array.copy()
    values[0, 0, 0] = np.nan
    log = Settings(images={"LoG": {"sigma": [1]}}, families=["firstorder"])
    with pytest.raises(ArgumentError, match="response holds NaN"):
        extract(image.with_array(values), box(image, slice(1, 3)), log)
    thin = fi.Image(image.array[:3], spacing=(3, 1, 1))
    found = extract(thin, box(thin, slice(0, 3)), log)
    assert found
    assert all(name.startswith("log-sigma-1-mm-3D_") and math.isnan(value) for name, value in found.items())
