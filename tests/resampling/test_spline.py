"""B-splines, turned grids, antialiasing and padding: twins, peers, and the same bits on every device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import fastimg as fi
from fastimg import _gpu
from fastimg.resampling import _cpu, _spline
from fastimg.testing import resampling as twin

sitk = pytest.importorskip("SimpleITK")
INTERPOLATORS = {
    "nearest": sitk.sitkNearestNeighbor,
    "linear": sitk.sitkLinear,
    2: sitk.sitkBSpline2,
    "cubic": sitk.sitkBSpline3,
    4: sitk.sitkBSpline4,
    5: sitk.sitkBSpline5,
}


def smooth(shape, dtype=np.float32, seed=0):
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, shape), 1.0) * 5000
    return np.clip(values, *_range(dtype)).astype(dtype)


def _range(dtype):
    return (np.iinfo(dtype).min, np.iinfo(dtype).max) if np.dtype(dtype).kind in "iu" else (-np.inf, np.inf)


def turned(axis, degrees):
    """A rotation about a unit axis (x, y, z)."""
    u = np.array(axis, float) / np.linalg.norm(axis)
    a, cross = np.deg2rad(degrees), np.cross(np.eye(3), u)
    return np.cos(a) * np.eye(3) - np.sin(a) * cross + (1 - np.cos(a)) * np.outer(u, u)


GRIDS = {
    "aligned": fi.Image(np.zeros((31, 25, 37), np.uint8), spacing=(1.1, 0.9, 0.8), origin=(0.3, 1.7, 2.6)),
    "about z": fi.Image(np.zeros((31, 25, 37), np.uint8), origin=(0.3, 1.7, 2.6), direction=turned((0, 0, 1), 10)),
    "about 111": fi.Image(np.zeros((31, 25, 37), np.uint8), origin=(0.3, 1.7, 2.6), direction=turned((1, 1, 1), 10)),
}


@pytest.fixture(scope="module")
def image():
    return fi.Image(smooth((24, 40, 44)), spacing=(1.5, 0.7, 0.8), origin=(1, 2, 3))


@pytest.mark.parametrize("order", list(INTERPOLATORS))
@pytest.mark.parametrize("grid", list(GRIDS))
def test_equals_simpleitk(image, grid, order, accuracy):
    like = GRIDS[grid]
    peer = sitk.Resample(
        image.to_sitk(), like.to_sitk(), sitk.Transform(), INTERPOLATORS[order], -7e5, sitk.sitkFloat32
    )
    expected = sitk.GetArrayFromImage(peer)
    seen = fi.resample(image, like=like, order=order, cval=-7e5).array
    np.testing.assert_array_equal(seen == -7e5, expected == -7e5)
    assert (expected != -7e5).mean() > 0.1
    inside = expected != -7e5
    name = order if isinstance(order, str) else f"B-spline of degree {order}"
    accuracy(f"resample, {name}", "SimpleITK", seen[inside], expected[inside])
    assert np.abs(seen - expected).max() <= 1e-5 * np.ptp(image.array)  # the promise is 1e-4 linear, 1e-3 cubic


@pytest.mark.parametrize("order", ["nearest", "linear", "cubic", 2, 5])
@pytest.mark.parametrize("grid", list(GRIDS))
@pytest.mark.parametrize(
    ("dtype", "rounding"),
    [(np.int16, "nearest"), (np.int16, "truncate"), (np.float32, "nearest"), (np.uint32, "nearest")],
)
def test_same_bits_on_every_device(_host_device, image, grid, order, dtype, rounding):
    values = np.abs(image.array).astype(dtype)
    plan = fi.resampling.Plan(image, like=GRIDS[grid], order=order, rounding=rounding, cval=3)
    expected = plan(image.with_array(values)).array
    seen = plan(image.with_array(_host_device(values))).array
    np.testing.assert_array_equal(np.array(seen, subok=False), expected)


def launched(monkeypatch):
    """The kernel files that are launched from here on."""
    files, launch = [], _gpu.launch
    monkeypatch.setattr(_gpu, "launch", lambda file, *rest, **more: (files.append(file), launch(file, *rest, **more)))
    return files


@pytest.mark.parametrize(
    ("shape", "spacing", "start", "dtype", "options"),
    [
        pytest.param((48, 131, 52), (1.5, 0.7, 0.9), (0, 0, 0), np.float32, {}, id="a block and three samples"),
        pytest.param((133, 49, 129), (1.2, 1, 0.6), (-5, -7, -9), np.int16, {}, id="outside before"),
        pytest.param((50, 132, 48), (0.8, 0.8, 0.8), (9, 8, 7), np.uint8, {}, id="outside behind, z coarser"),
        pytest.param(
            *((2, 48, 50, 130), (5, 0.9, 0.9), (0, 0, 0), np.int16),
            {"rescale": (2, -3), "clip": (-900, 900), "normalise": (1, 0.5), "dtype": "float32"},
            id="fused, two volumes",
        ),
    ],
)
@pytest.mark.parametrize("put", ["host", pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)
def test_two_axes_at_once_give_the_same_bits(put, monkeypatch, shape, spacing, start, dtype, options):
    values = smooth(shape, dtype)
    grid = fi.Image(np.broadcast_to(np.uint8(0), shape[-3:]), spacing=spacing)
    image = fi.Image(values, grid.affine, dims=("t", "z", "y", "x")[-values.ndim :])
    target = [int(n * s) + 3 for n, s in zip(shape[-3:], spacing, strict=True)]
    like = fi.Image(np.broadcast_to(np.uint8(0), target), origin=[place + 0.3 for place in start])
    plan = fi.resampling.Plan(image, like=like, order="cubic", cval=3, **options)
    expected = plan(image).array
    files = launched(monkeypatch)
    seen = plan(image.with_array(put(values)))
    assert files == ["cubic", "cubic"] or _gpu.backend().shared_limit < 128 << 10
    np.testing.assert_array_equal(seen.to_device("cpu").array, expected)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((48, 48, 48), (1, 1.1, 0.9)),
        ((48, 48, 48), (1, 0.9, 1.1)),
        ((47, 48, 48), (1, 1, 1)),
        ((48, 48, 48), (0.5, 1, 1)),
    ],
    ids=["y finer", "x finer", "short", "z first"],
)
def test_what_two_axes_at_once_do_not_serve_goes_axis_by_axis(_host_device, monkeypatch, shape, spacing):
    image = fi.Image(smooth(shape), spacing=spacing)
    plan = fi.resampling.Plan(image, spacing=1, order="cubic")
    files = launched(monkeypatch)
    seen = plan(image.with_array(_host_device(image.array))).array
    assert files == ["spline"] * 3
    np.testing.assert_array_equal(np.array(seen, subok=False), plan(image).array)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 150), st.integers(1, 5), st.integers(1, 150)),
    order=st.sampled_from([2, "cubic", 4, 5]),
    dtype=st.sampled_from([np.uint8, np.int16, np.float32, np.float64]),
    tilt=st.sampled_from([0, 7.5]),
    threads=st.integers(1, 3),
)
def test_same_bits_on_all_levels_and_threads(shape, order, dtype, tilt, threads):
    image = fi.Image(smooth(shape, dtype))
    like = fi.Image(np.zeros((9, 8, 21), np.uint8), spacing=(0.8, 0.7, 1.3), direction=turned((1, 2, 3), tilt))
    plan = fi.resampling.Plan(image, like=like, order=order)
    seen = []
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            seen += [plan(image, threads=1).array, plan(image, threads=threads).array]
    for other in seen[1:]:
        np.testing.assert_array_equal(other, seen[0])


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
@pytest.mark.parametrize("compute", ["float32", "float64"])
def test_the_prefilter_equals_its_twin_and_inverts_the_spline(compute, degree):
    values = smooth((3, 140, 300), np.dtype(compute))
    tables, recursions = _spline.own(values.shape, degree), _spline.recursions(degree, compute)
    made = np.empty_like(values)
    _cpu.coefficients(values, made, tables, poles=recursions, compute=compute, threads=1)
    np.testing.assert_array_equal(made, by_axes(values, tables, (1, 2, 0), recursions))
    scipy = ndimage.spline_filter(values.astype(np.float64), degree, mode="mirror")
    assert np.abs(made - scipy).max() < (1e-5 if compute == "float32" else 1e-12) * np.abs(scipy).max()


def by_axes(values, tables, order, recursions):
    for axis in order:
        table = (tables.z, tables.y, tables.x)[axis]
        values = twin.spline_axis(values, axis, table.first, table.weight, recursions)
    return values


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 140), st.integers(1, 140)),
    spacing=st.tuples(*[st.sampled_from([0.6, 1.0, 1.7, 7.0])] * 3),
    antialias=st.booleans(),
    flipped=st.booleans(),
    order=st.sampled_from([2, "cubic", 5]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_aligned_grids_equal_their_twin(shape, spacing, antialias, flipped, order, dtype):
    """Both orders of the axes, several blocks, reversed axes, more taps than samples."""
    if np.prod(shape) > 200_000:
        shape = (shape[0], 5, shape[2] % 20 + 1)
    image = fi.Image(smooth(shape, dtype))
    plan = fi.resampling.Plan(image, spacing=spacing, order=order, antialias=antialias)
    if flipped:
        affine = plan.affine @ np.diag([-1.0, 1, -1, 1])
        affine[:3, 3] = (plan.affine @ [plan.shape[0] - 1, 0, plan.shape[2] - 1, 1])[:3]
        options = {"affine": affine, "shape": plan.shape, "antialias": antialias}
        plan = fi.resampling.Plan(image, order=order, **options)
    tables = plan._tables
    axes = (0, 1, 2) if tables.z_first else (1, 2, 0)
    degree = 3 if order == "cubic" else order
    expected = by_axes(image.array, tables, axes, _spline.recursions(degree, np.dtype(dtype).name))
    np.testing.assert_array_equal(plan(image).array, expected)


def test_a_sheared_volume_is_straightened():
    rng = np.random.default_rng(0)
    smooth_field = rng.normal(size=(3,))
    affine = fi.Image(np.zeros((1, 1, 1)), spacing=(2, 1, 1)).affine.copy()
    affine[1, 0] = 0.7  # each slice is shifted along y: a tilted gantry
    k, j, i = np.meshgrid(np.arange(24), np.arange(50), np.arange(36), indexing="ij")
    world = np.stack([k, j, i, np.ones_like(k)], -1) @ affine.T
    image = fi.Image((world[..., :3] @ smooth_field).astype(np.float32), affine)
    assert image.is_sheared
    like = fi.Image(
        np.zeros((8, 9, 15), np.uint8), spacing=(2, 1, 1), origin=(10, 22, 14)
    )  # away from mirrored borders
    at = np.stack(np.meshgrid(*map(np.arange, like.shape), indexing="ij"), -1)
    at = np.concatenate([at, np.ones_like(at[..., :1])], -1) @ like.affine.T
    for order in ("linear", "cubic"):
        seen = fi.resample(image, like=like, order=order).array
        np.testing.assert_allclose(seen, at[..., :3] @ smooth_field, rtol=0, atol=1e-4)


@pytest.mark.parametrize("order", ["linear", "cubic"])
def test_antialias_equals_scipy(image, order, accuracy):
    spacing = (2.5, 2.0, 2.0)
    seen = fi.resample(image, spacing=spacing, order=order, antialias=True)
    factor = np.array(spacing) / np.array(image.spacing)
    mode, degree = ("nearest", 1) if order == "linear" else ("mirror", 3)
    sigma = np.sqrt((factor**2 - 1) / (8 * np.log(2)))
    blurred = ndimage.gaussian_filter(image.array.astype(np.float64), sigma, mode=mode, truncate=4.0)
    expected = ndimage.affine_transform(blurred, factor, output_shape=seen.shape, order=degree, mode=mode)
    accuracy(f"resample, {order}, against aliasing", "scipy", seen.array, expected)
    assert np.abs(seen.array - expected).max() <= 1e-5 * np.ptp(image.array)
    turned_grid = GRIDS["about 111"].with_array(
        np.zeros((9, 9, 9), np.uint8), affine=GRIDS["about 111"].affine @ np.diag([3, 3, 3, 1])
    )
    steps = np.linalg.norm((np.linalg.inv(image.affine) @ turned_grid.affine)[:3, :3], axis=1)
    sigma = np.sqrt(np.maximum(steps**2 - 1, 0) / (8 * np.log(2)))
    blurred = image.with_array(ndimage.gaussian_filter(image.array, sigma, mode=mode, truncate=4.0))
    seen = fi.resample(image, like=turned_grid, order=order, antialias=True).array
    expected = fi.resample(blurred, like=turned_grid, order=order).array
    assert np.abs(seen - expected).max() <= 2e-5 * np.ptp(image.array)


def test_antialias_does_nothing_where_the_grid_is_finer(image):
    plain = fi.resample(image, spacing=0.5)
    np.testing.assert_array_equal(fi.resample(image, spacing=0.5, antialias=True).array, plain.array)


@pytest.mark.parametrize("grid", list(GRIDS))
@pytest.mark.parametrize("order", ["nearest", "linear", "cubic"])
def test_padding_is_left_out_and_resampled_along(put, get, image, grid, order):
    values = image.array.astype(np.int16) + 9000
    y, x = np.mgrid[-1:1:40j, -1:1:44j]
    hole = np.broadcast_to(x * x + y * y > 0.8, values.shape)
    filled = np.where(hole, -20000, values)
    padded = image.with_array(put(filled), padding=put(np.array(hole)))
    seen = fi.resample(padded, like=GRIDS[grid], order=order, cval=-1)
    lost = get(seen.padding).astype(bool)
    assert lost.dtype == bool
    assert 0.05 < lost.mean() < 0.9
    result = get(seen.array)
    assert result[~lost].min() > 0  # nothing of the padding's value
    assert set(np.unique(result[lost])) <= {-1, -20000} | set(np.unique(values[~hole]))
    if order == "linear":
        back = np.linalg.inv(image.affine) @ GRIDS[grid].affine
        for index in list(np.ndindex(lost.shape))[::977]:
            expected = twin.normalised(filled, hole, (back @ [*index, 1])[:3])
            if lost[index]:
                assert np.isnan(expected) or interpolates_near_half(hole, (back @ [*index, 1])[:3])
            else:
                assert abs(result[index] - expected) <= 0.5 + 1e-2


def interpolates_near_half(hole, point):
    return abs(twin.interpolate_point((~hole).astype(float), point) - 0.5) < 1e-4


def test_labels_and_antialias_refusals(image):
    with pytest.raises(fi.errors.ArgumentError, match="averages nothing"):
        fi.resample(image, spacing=2, order="nearest", antialias=True)


def test_a_plan_with_kept_memory_serves_volume_after_volume_and_several_threads(image):
    from concurrent.futures import ThreadPoolExecutor

    plan = fi.resampling.Plan(image, spacing=1.1, order="cubic")
    volumes = [image.with_array(image.array * n) for n in range(1, 5)] + [
        image.with_array(image.array.astype(np.int32))
    ]
    expected = [fi.resample(volume, spacing=1.1, order="cubic").array for volume in volumes]
    with ThreadPoolExecutor(3) as pool:
        seen = list(pool.map(plan, volumes * 2))
    for one, other in zip(seen, expected * 2, strict=True):
        np.testing.assert_array_equal(one.array, other)
