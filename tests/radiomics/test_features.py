"""Formulas against their twins, shape against closed forms and brute force, autocorrelation against all pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

import fastimg as fi
from fastimg import _dispatch, radiomics
from fastimg.radiomics import _native, _shape
from fastimg.testing import radiomics as twin


def blob(seed, shape=(6, 7, 8), dtype=np.float32):
    rng = np.random.default_rng(seed)
    values = rng.normal(20, 60, shape)
    values = values if np.dtype(dtype).kind == "f" else np.rint(values)
    mask = rng.random(shape) < rng.uniform(0.2, 1)
    mask.flat[rng.integers(mask.size)] = True
    return values.astype(dtype), mask


def features(values, mask, names="ibsi", spacing=(2.5, 1.5, 0.7), **settings):
    return radiomics.extract(fi.Image(values, spacing=spacing), mask, radiomics.Settings(**settings), names=names)


def levels_of(values, mask, width=25.0):
    inside = values[mask].astype(np.float64)
    return np.where(mask, np.floor((values - inside.min()) / width) + 1, 0).astype(np.int64)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), dtype=st.sampled_from([np.int16, np.float32, np.float64, np.uint8]))
def test_statistics(seed, dtype):
    values, mask = blob(seed)
    values = values.clip(0, 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)
    found = features(values, mask, families=["statistics"])
    expected = twin.statistics(values[mask])
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), merged=st.booleans())
def test_cooccurrence_features(seed, merged):
    values, mask = blob(seed)
    counts = twin.cooccurrences(levels_of(values, mask))
    counts = counts + counts.transpose(0, 2, 1)
    matrices = [counts.sum(0)] if merged else [matrix for matrix in counts if matrix.any()]
    matrices = [matrix for matrix in matrices if matrix.any()]
    found = features(values, mask, families=["glcm"], aggregation="3D, merged" if merged else "3D, averaged")
    if not matrices:
        assert all(math.isnan(value) for value in found.values())
        return
    rows = [twin.glcm_features(matrix) for matrix in matrices]
    for tag, value in found.items():
        assert value == pytest.approx(np.mean([row[tag] for row in rows]), rel=1e-9, abs=1e-7), tag


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_size_features_of_runs_zones_and_dependences(seed):
    values, mask = blob(seed)
    levels, voxels = levels_of(values, mask), int(mask.sum())
    found = features(values, mask, aggregation="3D, merged", families=["glrlm", "glszm", "gldzm", "ngldm"])
    runs = twin.run_lengths(levels).sum(0)
    zones = twin.zones(levels)
    sizes, distances = (np.zeros((levels.max(), voxels + 1), np.int64) for _ in range(2))
    for level, size, distance in zones:
        sizes[level - 1, size - 1] += 1
        distances[level - 1, distance - 1] += 1
    near = twin.dependences(levels)[0]
    expected = [
        *twin.size_features(runs, 13 * voxels)[:16],
        *twin.size_features(sizes, voxels)[:16],
        *twin.size_features(distances, voxels)[:16],
        *twin.size_features(near, voxels),
    ]
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 4), (1, 5, 1), (6, 2, 70)])
def test_mesh_of_a_box_has_its_closed_form(size):
    # The mesh cuts edges and corners at half a voxel: an octahedron rolled along the box of the outer voxels' centres.
    mask = np.zeros(tuple(n + 3 for n in size), np.uint8)
    mask[tuple(slice(1, n + 1) for n in size)] = 1
    a, b, c = (n - 1 for n in size)
    found = features(np.zeros(mask.shape, np.float32), mask, spacing=(1, 1, 1), families=["morphology"])
    faces, edges = a * b + a * c + b * c, a + b + c
    assert found["morph_volume"] == pytest.approx(a * b * c + faces + edges / 2 + 1 / 6, rel=1e-13)
    assert found["morph_area_mesh"] == pytest.approx(2 * faces + 4 * edges * math.sqrt(0.5) + math.sqrt(3), rel=1e-13)
    assert found["morph_vol_approx"] == math.prod(size)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), width=st.integers(1, 9))
def test_diameters_are_those_of_all_pairs_of_vertices(seed, width):
    values, mask = blob(seed, (4, 5, width))
    spacing = (2.5, 1.5, 0.7)
    found = features(values, mask, "pyradiomics", spacing, families=["morphology"])
    seen = [found[f"original_shape_Maximum{name}"] for name in ("3DDiameter", "2DDiameterSlice")]
    seen += [found[f"original_shape_Maximum2DDiameter{name}"] for name in ("Column", "Row")]
    np.testing.assert_allclose(seen, twin.diameters(mask, spacing), rtol=1e-12)


def test_box_and_ellipsoid_around_a_voxel_and_a_cube():
    # One voxel: a regular octahedron, whose smallest box with a face on one of its faces has a third of its cube.
    mask = np.zeros((3, 3, 3), np.uint8)
    mask[1, 1, 1] = 1
    found = features(np.zeros(mask.shape, np.float32), mask, spacing=(1, 1, 1), families=["morphology"])
    assert found["morph_vol_dens_ombb"] == pytest.approx(1 / 2, rel=1e-12)
    assert found["morph_area_dens_ombb"] == pytest.approx(
        math.sqrt(3) / (2 * math.sqrt(1 / 3) * (1 + math.sqrt(2 / 3) + math.sqrt(1 / 2))), rel=1e-12
    )
    assert found["morph_vol_dens_mvee"] == pytest.approx(1 / math.pi, rel=1e-8)
    assert found["morph_area_dens_mvee"] == pytest.approx(math.sqrt(3) / math.pi, rel=1e-8)
    mask = np.pad(np.ones((4, 4, 4), np.uint8), 1)
    found = features(np.zeros(mask.shape, np.float32), mask, spacing=(1, 1, 1), families=["morphology"])
    assert found["morph_vol_dens_ombb"] == pytest.approx(found["morph_volume"] / 64, rel=1e-12)
    radius = math.sqrt(2**2 + 2 * 1.5**2)  # by symmetry a sphere through all corners of the mesh
    assert found["morph_vol_dens_mvee"] == pytest.approx(
        found["morph_volume"] / (4 / 3 * math.pi * radius**3), rel=1e-8
    )


@settings(max_examples=25, deadline=None)
@example(seed=299, count=6)  # corners one above the other, but for a rounding
@given(seed=st.integers(0, 2**31), count=st.integers(5, 60))
def test_smallest_box_is_that_of_the_faces_one_by_one(seed, count):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3)) * (3, 1, 0.4)
    sides = _shape._smallest_box(ConvexHull(points))
    assert np.prod(sides) == pytest.approx(twin.smallest_box(points), rel=1e-9)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    corners = (np.array(list(np.ndindex(2, 2, 2))) * (5.0, 2.0, 1.0)) @ turn
    inner = (rng.random((count, 3)) * (5.0, 2.0, 1.0)) @ turn
    sides = _shape._smallest_box(ConvexHull(np.concatenate([inner, corners])))
    np.testing.assert_allclose(sorted(sides), [1, 2, 5], rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), inner=st.integers(0, 40))
def test_smallest_ellipsoid_of_affine_images_of_regular_bodies(seed, inner):
    rng = np.random.default_rng(seed)
    simplex = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
    cube = np.array(list(np.ndindex(2, 2, 2))) * 2.0 - 1
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    for corners, radius in ((simplex, math.sqrt(3)), (cube, math.sqrt(3)), (octahedron, 1.0)):
        # The circumscribed sphere of a regular body is its smallest ellipsoid, and affine maps keep what is smallest.
        first, second = (np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2))
        shape = first * rng.uniform(0.01, 3, 3) @ second
        weights = rng.dirichlet(np.ones(len(corners)), inner)
        points = np.concatenate([corners, weights @ corners]) @ shape.T + rng.normal(size=3)
        matrix = _shape._smallest_ellipsoid(points)
        np.testing.assert_allclose(matrix, radius**2 * shape @ shape.T, rtol=1e-7, atol=1e-7)


def test_area_under_the_intensity_volume_curve():
    values = np.array([[[0, 1, 2, 3]]], np.int16)
    found = features(values, np.ones(values.shape, bool), families=["ivh"])
    assert found["ivh_auc"] == pytest.approx((1 + 0.25) / 2)  # shares 1, 3/4, 1/2, 1/4: a straight line
    flat = features(np.full((2, 2, 2), 5, np.int16), np.ones((2, 2, 2), bool), families=["ivh"])
    assert flat["ivh_auc"] == 0


def test_axes_are_those_of_the_covariance_of_voxel_centres():
    values, mask = blob(4)
    spacing = (2.5, 1.5, 0.7)
    found = features(values, mask, spacing=spacing, families=["morphology"])
    eigenvalues = np.linalg.eigvalsh(np.cov((np.argwhere(mask) * spacing).T))
    lengths = [found[f"morph_pca_{axis}_axis"] for axis in ("least", "min", "maj")]
    np.testing.assert_allclose(lengths, 4 * np.sqrt(eigenvalues), rtol=1e-12)


def test_autocorrelation_leaves_no_pair_out():
    values, mask = blob(5, (4, 5, 6))
    spacing = (2.5, 1.5, 0.7)
    found = features(values, mask, spacing=spacing, families=["morphology"])
    expected = twin.moran_geary(values, mask, spacing)
    np.testing.assert_allclose([found["morph_moran_i"], found["morph_geary_c"]], expected, rtol=1e-10)


def test_local_peak_is_the_mean_of_a_sphere_around_the_brightest_voxel():
    values, mask = blob(6, (9, 16, 21))
    mask[:2], spacing = False, (3.0, 1.0, 0.8)
    found = features(values, mask, spacing=spacing, families=["local"])
    radius = (3 / 4 / math.pi) ** (1 / 3) * 10
    places = np.argwhere(np.ones(values.shape, bool))
    means = {}
    for place in np.argwhere(mask):
        near = np.linalg.norm((places - place) * spacing, axis=1) <= radius
        means[tuple(place)] = values[tuple(places[near].T)].astype(np.float64).mean()
    brightest = max(map(tuple, np.argwhere(mask)), key=lambda place: values[place])
    assert found["loc_peak_glob"] == pytest.approx(max(means.values()), rel=1e-12)
    assert found["loc_peak_loc"] == pytest.approx(means[brightest], rel=1e-12)


def test_bits_do_not_depend_on_threads_or_level():
    values, mask = blob(7, (30, 40, 50), np.int16)
    image, first = fi.Image(values, spacing=(3, 1, 1)), None
    for level in fi.config.supported_isa():
        for threads in (1, 2, 3):
            with fi.config.use(isa=level):
                found = radiomics.extract(image, mask, threads=threads)
            first = first or found
            assert found == first


def test_ibsi_tags_and_pyradiomics_names_carry_the_same_values():
    values, mask = blob(8)
    peer = features(values, mask, "pyradiomics")
    ibsi = features(values, mask, "ibsi")
    assert len(ibsi) == 29 + 2 + 18 + 23 + 7 + 25 + 16 + 16 + 16 + 5 + 17
    assert peer["original_glcm_Contrast"] == ibsi["cm_contrast"]
    assert peer["original_gldm_DependenceEntropy"] == ibsi["ngl_dc_entr"]
    assert peer["original_firstorder_Kurtosis"] == ibsi["stat_kurt"]
    assert peer["original_firstorder_Entropy"] == ibsi["ih_entropy"]
    assert len(features(values, mask, "pyradiomics", compat="pyradiomics")) == 107


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {"bin_width": 20},
        {"bin_number": 300, "aggregation": "2D, averaged", "slice_axis": 1},
        {"bin_width": 25, "compat": "pyradiomics", "resegment": (-60, 80), "weighting": "euclidean"},
        {"bin_width": 20, "spacing": (1.5, 1, 1), "round_intensities": True, "outlier_sigma": 2},
    ],
    ids=["plain", "slices", "peer", "chain"],
)
def test_extract_on_every_device(put, dtype, options):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(6, 7, 9)).cumsum(0) * 60).astype(dtype)
    mask = np.zeros(values.shape, np.uint8)
    mask[1:5, 1:7, 2:8] = rng.random((4, 6, 6)) < 0.85
    chosen = fi.radiomics.Settings(**options)
    expected = fi.radiomics.extract(fi.Image(values, spacing=(2, 1, 1)), mask, chosen)
    found = fi.radiomics.extract(fi.Image(put(values), spacing=(2, 1, 1)), put(mask), chosen)
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 62), (5, 4, 63), (3, 6, 150)])
def test_shape_sums_on_every_device(put, shape):
    mask = np.random.default_rng(0).random(shape) < 0.6
    mask.flat[-1] = True
    moments, cubes, hulls = _dispatch.pick(put(mask), leaf="radiomics").shape_sums(put(mask), threads=2)
    z, y, x = np.nonzero(np.pad(mask, 1))
    sums = [z, y, x, z * z, y * y, x * x, z * y, z * x, y * x]
    np.testing.assert_array_equal(moments, [len(z), *(part.sum() for part in sums)])
    corners = np.pad(mask, 1).astype(int)
    # Corners of a cube at (z, y, x), in the order of the bits of its case.
    steps = [(0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)]
    sizes = [n - 1 for n in corners.shape]
    cases = sum(
        corners[tuple(slice(a, a + n) for a, n in zip(step, sizes, strict=True))] << bit
        for bit, step in enumerate(steps)
    )
    for case in range(1, 255):
        places = np.argwhere(cases == case)
        np.testing.assert_array_equal(cubes[case], [len(places), *places.sum(0)])
    expected = _native.shape_sums(mask.view(np.uint8), 1)
    for own, other in zip(hulls, expected[2], strict=True):
        np.testing.assert_array_equal(own, other)


def test_large_zones_are_tallied_on_every_device(put):
    values = np.zeros((9, 20, 20), np.int16)
    values[:, 10:] = 100
    values[::3, :, ::4] = 50
    mask = np.ones(values.shape, np.uint8)
    chosen = fi.radiomics.Settings(bin_width=25, families=["glszm", "gldzm"])
    expected = fi.radiomics.extract(fi.Image(values), mask, chosen)
    assert fi.radiomics.extract(fi.Image(put(values)), put(mask), chosen) == expected
