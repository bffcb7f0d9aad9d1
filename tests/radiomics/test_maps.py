"""radiomics.maps against its twin, which measures each window by itself, and against PyRadiomics' voxel-based run."""

from __future__ import annotations

import dataclasses
import logging
import math
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

import fastimg as fi
from fastimg.radiomics import _firstorder, _names, _region, _texture

SPACING = (2.5, 1.2, 0.7)


def patch(shape=(5, 7, 8), dtype=np.int16, seed=0):
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.normal(size=shape), 0.8)
    values = (values / (values.std() or 1) * 50).astype(dtype)
    mask = (rng.random(shape) < 0.85).astype(np.uint8)
    mask[0, 0, 0] = 1
    return values, mask


def windows(image, mask, chosen):
    """name -> value at each voxel of the region: the families' own functions over one window at a time."""
    plain = dataclasses.replace(chosen, slice_axis=0)
    region = _region.region_of(image, mask, plain)
    levels = _region.levels_of(region, dataclasses.replace(plain, distances=(1,)))
    inner = levels.array[1:-1, 1:-1, 1:-1]
    reach = [chosen.kernel_radius] * 3
    if chosen.dimension != "3D":
        reach[chosen.slice_axis] = 0
    order = (chosen.slice_axis, *(axis for axis in range(3) if axis != chosen.slice_axis))
    found = {}
    for place in np.argwhere(region.inside):
        box = tuple(slice(max(p - r, 0), p + r + 1) for p, r in zip(place, reach, strict=True))
        part = inner[box].transpose(order) if chosen.dimension != "3D" else inner[box]
        inside = part > 0
        pad = max(chosen.distances)
        own = _region.Levels(
            np.pad(part, pad), pad, levels.count, np.bincount(part.ravel(), minlength=levels.count + 1)[1:]
        )
        crop = region.crop[box].transpose(order) if chosen.dimension != "3D" else region.crop[box]
        spacing = tuple(region.spacing[axis] for axis in order) if chosen.dimension != "3D" else region.spacing
        whole = tuple(slice(0, n) for n in inside.shape)
        window = _region.Region(np.ascontiguousarray(crop), whole, inside, inside, spacing, image.affine)
        rows = dict(_firstorder.statistics(window, own, chosen))
        one = {"threads": 1}
        dependences, differences = _texture.ngldm_ngtdm(own, chosen, **one)
        for family, row in (
            ("glcm", _texture.glcm(window, own, chosen, **one)),
            ("glrlm", _texture.glrlm(window, own, chosen, **one)),
            ("glszm", _texture.zones(window, own, chosen, **one)[0]),
            ("ngldm", dependences),
            ("ngtdm", differences),
        ):
            rows.update(zip((feature.key for feature in _names.FEATURES[family]), row, strict=True))
        for key, value in rows.items():
            found.setdefault(key, []).append(value)
    return found, region


def check(values, mask, **options):
    image, chosen = fi.Image(values, spacing=SPACING), fi.radiomics.Settings(**options)
    expected, region = windows(image, mask, chosen)
    seen = fi.radiomics.maps(image, mask, chosen)
    assert len(seen) == 101 if chosen.compat == "ibsi" else 93
    places, margin = np.argwhere(mask), chosen.kernel_radius
    box = tuple(slice(max(a - margin, 0), b + margin + 1) for a, b in zip(places.min(0), places.max(0), strict=True))
    for family in ("statistics", "glcm", "glrlm", "glszm", "ngldm", "ngtdm"):
        for feature in _names.FEATURES[family]:
            name = f"original_{feature.kind}_{feature.name}"
            if name in seen:
                array = seen[name].array[mask[box] > 0]
                # The root of a difference of entropies turns rounding of 1e-16 into 1e-8.
                near = {"rel": 1e-7, "abs": 3e-8} if feature.name in ("Imc2", "MCC") else {"rel": 1e-9, "abs": 1e-9}
                assert array == pytest.approx(np.array(expected[feature.key]), nan_ok=True, **near), name
    return seen, region


CASES = {
    "plain": {"bin_width": 10},
    "few levels": {"bin_number": 3},
    "merged": {"bin_width": 10, "aggregation": "3D, merged"},
    "radius": {"bin_width": 15, "kernel_radius": 2, "distances": (1, 2), "alpha": 1},
    "slices": {"bin_width": 10, "aggregation": "2D, averaged", "slice_axis": 1},
    "wide slices": {"bin_width": 4, "aggregation": "2D, averaged", "kernel_radius": 3},  # matrices of many levels
    "asymmetric": {"bin_width": 10, "symmetric": False},
    "peer": {"bin_width": 10, "compat": "pyradiomics", "shift": 100},
}


@pytest.mark.parametrize("name", CASES)
def test_each_window_is_what_it_gives_alone(name):
    if name == "peer":  # PyRadiomics has another MCC for a window of one level: compared with itself below
        values, mask = patch((3, 4, 5))
        check(values, np.ones_like(mask), **CASES[name])
    else:
        check(*patch((4, 5, 6)), **CASES[name])


@settings(max_examples=6)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    width=st.sampled_from([4, 30, 200]),
    dtype=st.sampled_from([np.int16, np.float32]),
)
@example(seed=3306, shape=(1, 1, 4), width=4, dtype=np.int16)  # the region's box and its margin are less than the image
def test_any_patch(seed, shape, width, dtype):
    values, mask = patch(shape, dtype, seed)
    check(values, mask, bin_width=width)


def test_many_levels_take_the_sorted_path():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1500, (1, 2, 3)).astype(np.int16)
    values.flat[:2] = 0, 1499
    check(values, np.ones(values.shape, np.uint8), bin_width=1, aggregation="2D, averaged")


def test_threads_and_levels_of_instructions_do_not_change_a_bit():
    values, mask = patch((12, 22, 24))
    image, chosen = fi.Image(values), fi.radiomics.Settings(bin_width=10)
    one = fi.radiomics.maps(image, mask, chosen, threads=1)
    for isa in fi.config.supported_isa():
        with fi.config.use(isa=isa):
            three = fi.radiomics.maps(image, mask, chosen, threads=3)
        for name in one:
            np.testing.assert_array_equal(one[name].array, three[name].array)


@pytest.mark.parametrize("levels", [254, 255])
def test_levels_that_fit_the_lanes_and_one_more(levels):
    rng = np.random.default_rng(levels)
    values = rng.integers(0, levels, (2, 3, 4)).astype(np.int16)
    values.flat[:2] = 0, levels - 1
    check(values, np.ones(values.shape, np.uint8), bin_width=1)


def test_the_grid_is_the_region_with_a_margin():
    values, _ = patch((9, 10, 11))
    mask = np.zeros(values.shape, np.uint8)
    mask[0:3, 4:6, 5:9] = 1
    image = fi.Image(values, spacing=SPACING, origin=(10, -20, 5))
    chosen = fi.radiomics.Settings(
        bin_width=10, families=["glcm"], features={"glcm": ["Contrast"]}, initial_value=math.nan
    )
    (found,) = fi.radiomics.maps(image, mask, chosen).values()
    assert found.shape == (4, 4, 6)  # cut at the image's border below
    assert found.spacing == pytest.approx(SPACING)
    assert found.origin == pytest.approx((10 + 4 * 0.7, -20 + 3 * 1.2, 5))
    np.testing.assert_array_equal(np.isnan(found.array), mask[0:4, 3:7, 4:10] == 0)


def test_names_of_ibsi_and_of_chosen_features():
    values, mask = patch((3, 4, 5))
    chosen = fi.radiomics.Settings(families=["ngtdm", "firstorder"], features={"ngtdm": ["Busyness"]})
    found = fi.radiomics.maps(fi.Image(values), mask, chosen, names="ibsi")
    assert "ngt_busyness" in found
    assert "stat_mean" in found
    assert not any(name.startswith("ngt") and name != "ngt_busyness" for name in found)


def test_a_family_without_maps_is_named():
    values, mask = patch((3, 4, 5))
    with pytest.raises(fi.errors.ArgumentError, match="morphology cannot be mapped"):
        fi.radiomics.maps(fi.Image(values), mask, fi.radiomics.Settings(families=["morphology", "glcm"]))


def test_surroundings_must_be_finite_where_they_count():
    values, mask = patch((4, 5, 6), np.float32)
    mask[2, 2, 2] = 0
    values[2, 2, 2] = math.nan
    image = fi.Image(values)
    fi.radiomics.maps(image, mask)
    with pytest.raises(fi.errors.ArgumentError, match="masked_kernel"):
        fi.radiomics.maps(image, mask, fi.radiomics.Settings(masked_kernel=False))


ON_A_GPU = {
    "plain": {"bin_width": 4},
    "flat windows": {"bin_width": 150, "compat": "pyradiomics"},
    "slices": {"bin_width": 6, "aggregation": "2D, averaged", "kernel_radius": 2, "slice_axis": 1},
    "unmasked": {"bin_width": 6, "masked_kernel": False, "initial_value": math.nan},
    "many levels": {"bin_number": 1000},
    "chosen": {"bin_width": 6, "features": {"glcm": ["Contrast", "Idm"]}},
}


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("name", ON_A_GPU)
def test_maps_on_every_device(put, name, dtype):
    values, mask = patch((5, 6, 9), dtype)
    chosen = fi.radiomics.Settings(families=["glcm"], **ON_A_GPU[name])
    expected = fi.radiomics.maps(fi.Image(values, spacing=SPACING), mask, chosen)
    found = fi.radiomics.maps(fi.Image(put(values), spacing=SPACING), put(mask), chosen)
    assert set(found) == set(expected)
    for key, image in expected.items():
        seen = found[key]
        assert seen.device == fi.Image(put(values)).device
        array = np.asarray(seen.to_device("cpu").array)
        # Logarithms and the exponential may differ in their last bits; the root of a difference makes 1e-8 of them.
        near = {"rel": 1e-7, "abs": 3e-8} if key.endswith(("Imc2", "MCC")) else {"rel": 1e-12, "abs": 1e-12}
        assert array == pytest.approx(image.array, nan_ok=True, **near), key


def test_what_a_gpu_does_not_map():
    values, mask = patch((4, 5, 6))
    with fi.testing.host_device() as put:
        image, inside = fi.Image(put(values)), put(mask)
        for options, words in (
            ({}, "those of glcm alone, not of statistics, glcm"),
            ({"families": ["glcm"], "symmetric": False}, "symmetric matrices"),
            ({"families": ["glcm"], "weighting": "euclidean"}, "without weights"),
            ({"families": ["glcm"], "kernel_radius": 2}, r"at most 20 pairs a direction \(these have 100\)"),
        ):
            with pytest.raises(fi.errors.DeviceError, match=words):
                fi.radiomics.maps(image, inside, fi.radiomics.Settings(**options))


PEERS = {
    "plain": ({"binWidth": 10}, {"bin_width": 10}),
    "wide": ({"binWidth": 60}, {"bin_width": 60}),
    "radius": (
        {"binWidth": 10, "kernelRadius": 2, "distances": [1, 2], "gldm_a": 1},
        {"bin_width": 10, "kernel_radius": 2, "distances": (1, 2), "alpha": 1},
    ),
    "unmasked": (
        {"binWidth": 10, "maskedKernel": False, "initValue": -3, "voxelBatch": 17},
        {"bin_width": 10, "masked_kernel": False, "initial_value": -3},
    ),
    "weighted": ({"binWidth": 10, "weightingNorm": "euclidean"}, {"bin_width": 10, "weighting": "euclidean"}),
    "columns": (
        {"binCount": 16, "force2D": True, "force2Ddimension": 1},
        {"bin_number": 16, "aggregation": "2.5D, direction-merged", "slice_axis": 1},
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PEERS)
def test_pyradiomics_voxel_based(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip("radiomics", reason="peer PyRadiomics is not installed")
        from radiomics import featureextractor
    sitk = pytest.importorskip("SimpleITK")
    peer.logger.setLevel(logging.CRITICAL)
    options, own = PEERS[name]
    values, mask = patch((5, 6, 7))
    # A direction without a pair makes PyRadiomics fail in MCC and return NaN in JointAverage: so one hole, at a corner.
    mask[...] = 1
    mask[0, 0, 0] = 0
    values[1:4, 2:5, 2:6] = 7  # a flat window
    image, label = (sitk.GetImageFromArray(array) for array in (values, mask))
    for each in (image, label):
        each.SetSpacing(SPACING[::-1])
    extractor = featureextractor.RadiomicsFeatureExtractor(additionalInfo=False, **options)
    extractor.enableAllFeatures()
    for kind in ("shape", "shape2D"):
        extractor.enabledFeatures.pop(kind, None)
    expected = extractor.execute(image, label, voxelBased=True)
    found = fi.radiomics.maps(
        fi.Image(values, spacing=SPACING), mask, fi.radiomics.Settings(compat="pyradiomics", **own)
    )
    assert set(expected) == set(found)
    for key, of_peer in expected.items():
        array = sitk.GetArrayFromImage(of_peer)
        assert not np.isnan(array).any(), key
        assert found[key].array == pytest.approx(array, rel=1e-6, abs=1e-7), key
        assert found[key].origin == pytest.approx(of_peer.GetOrigin())
