"""Turned grids at and beyond the volume's borders, far steps, volumes above 2^31 bytes or voxels, and memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import fastimg as fi
from fastimg.resampling import Plan
from fastimg.testing import resampling as twin


def turned(degrees):
    """A rotation about (1, 1, 1)."""
    a, u = np.deg2rad(degrees), np.ones(3) / np.sqrt(3)
    return np.cos(a) * np.eye(3) - np.sin(a) * np.cross(np.eye(3), u) + (1 - np.cos(a)) * np.outer(u, u)


def labels(shape, dtype=np.uint8, seed=0):
    fields = np.random.default_rng(seed).normal(size=(6, *shape))
    return np.argmax([ndimage.gaussian_filter(field, 1.5) for field in fields], 0).astype(dtype)


_THIN = st.sampled_from([1, 2, 3, 40])


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.sampled_from([1, 2, 3, 9])] * 2, st.sampled_from([1, 2, 3, 17, 300])),
    count=st.tuples(*[st.integers(1, 5)] * 2, st.sampled_from([1, 15, 16, 17, 128, 129, 257, 300])),
    step=st.sampled_from([0.02, 0.9, 30.0, 1e5]),
    dtype=st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]),
    edge=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_turned_linear_has_the_same_bits_on_all_levels_and_threads(shape, count, step, dtype, edge, seed):
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = rng.normal(size=(3, 3)) * step
    affine[:3, 3] = rng.uniform(-1, 1.2, 3) * shape[::-1]
    low, high = _limits(dtype)
    image = fi.Image(np.clip(rng.normal(0, 5000, shape), low, high).astype(dtype))
    plan = Plan(image, affine=affine, shape=count, cval="edge" if edge else 7)
    seen = []
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            seen += [plan(image, threads=1).array, plan(image, threads=3).array]
    for other in seen[1:]:
        np.testing.assert_array_equal(other, seen[0])
    if edge and step < 1e5:
        # 16 steps' rounding in float32 off the place along each axis, and the rounding to a whole number
        room = 4e-6 * (1 + step) * float(np.ptp(image.array.astype(np.float64))) + (image.dtype.kind != "f") / 2
        for index in list(np.ndindex(count))[:: 1 + int(np.prod(count)) // 40]:
            point = np.clip((np.linalg.inv(image.affine) @ affine @ [*index, 1])[:3], 0, np.array(shape) - 1)
            assert abs(float(seen[0][index]) - twin.interpolate_point(image.array, point)) <= room


@pytest.mark.parametrize("order", ["linear", "nearest", "label"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_along_a_face_of_the_volume_have_the_same_bits_on_all_levels(order, data):
    """Long rows that keep within a hair of the first or last sample along some axis, thin volumes among them."""
    shape = data.draw(st.permutations([data.draw(st.sampled_from([600, 64])), *data.draw(st.tuples(*[_THIN] * 2))]))
    along = int(np.argmax(shape))
    rows = np.zeros((3, 3))  # grid to volume, both z, y, x; the grid's rows run along the volume's longest axis
    rows[along, 2] = data.draw(st.sampled_from([1.0, -1.0, 0.37, 1.5]))
    others = [axis for axis in range(3) if axis != along]
    for axis in others:
        rows[axis, 2] = data.draw(st.sampled_from([0.0, 1e-7, -1e-7, 1e-3, -0.01]))
    rows[others[0], 0], rows[others[1], 1] = 0.9, -1.1
    hair = st.sampled_from([0.0, 1e-9, -1e-9, 5e-5, -5e-5, 3e-4, -3e-4, 0.3])
    start = [data.draw(st.sampled_from([0, n - 1, n // 2])) + data.draw(hair) for n in shape]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = rows[::-1], start[::-1]
    floats = [] if order == "label" else [np.float32, np.float64]
    dtype = data.draw(st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint64, *floats]))
    low, high = _limits(dtype)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    image = fi.Image(np.clip(rng.normal(0, 5000, shape), low, high).astype(dtype))
    assert np.allclose(np.linalg.inv(image.affine) @ affine, np.vstack([np.c_[rows, start], [0, 0, 0, 1]]))
    image = image if order == "linear" else image.with_array((image.array > 0).astype(dtype))
    cval, count = data.draw(st.sampled_from(["edge", 7])), data.draw(st.sampled_from([16, 100, 512, 700]))
    plan = Plan(image, affine=affine, shape=(2, 2, count), cval=cval, order=order)
    seen = []
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            seen.append(plan(image, threads=1).array)
    for other in seen[1:]:
        np.testing.assert_array_equal(other, seen[0])


def _limits(dtype):
    return (np.iinfo(dtype).min, np.iinfo(dtype).max) if np.dtype(dtype).kind in "iu" else (-np.inf, np.inf)


def test_grids_that_are_too_far_apart_are_refused():
    image = fi.Image(np.zeros((2, 3, 4), np.int16))
    far = fi.Image(np.zeros((3, 3, 3), np.uint8), spacing=(1e7, 1e7, 1e7), direction=turned(10))
    with pytest.raises(fi.errors.GeometryError, match="voxels of the image apart"):
        fi.resample(image, like=far)
    tiny = fi.Image(np.zeros((2, 3, 4), np.int16), spacing=(1e-150,) * 3)
    with pytest.raises(fi.errors.GeometryError, match="float64"):
        fi.resample(tiny, like=fi.Image(np.zeros((2, 2, 2)), origin=(1e300, 0, 0)))


@pytest.mark.parametrize(
    ("dtype", "shape"), [(np.uint8, (2, 32768, 32769)), (np.int16, (2, 32700, 32768)), (np.float32, (2, 16384, 16500))]
)
@pytest.mark.parametrize("tilt", [0, 10])
@pytest.mark.parametrize("order", ["nearest", "label", "linear"])
def test_volumes_above_two_gibibytes_or_gibivoxels(dtype, shape, tilt, order):
    if order == "label" and np.dtype(dtype).kind == "f":
        return
    whole = np.zeros(shape, dtype)  # pages that nobody writes are not there
    whole[:, -40:, -40:] = labels((2, 40, 40), dtype)
    corner = (0, shape[1] - 40, shape[2] - 40)
    part = fi.Image(np.ascontiguousarray(whole[:, -40:, -40:]), origin=corner[::-1])
    like = fi.Image(
        np.zeros((2, 20, 20), np.uint8),
        origin=(corner[2] + 9, corner[1] + 11, 0.25),
        spacing=(0.5, 1.25, 1.5),
        direction=turned(tilt),
    )
    seen = fi.resample(fi.Image(whole), like=like, order=order, cval=9).array
    expected = fi.resample(part, like=like, order=order, cval=9).array
    assert len(np.unique(expected)) > 3
    if order == "linear":
        np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-4 if np.dtype(dtype).kind == "f" else 0)
    else:
        np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("order", ["nearest", "linear"])
@pytest.mark.parametrize("tilt", [0, 10])
def test_a_stream_through_zarr_keeps_to_its_memory(order, tilt, tmp_path):
    zarr = pytest.importorskip("zarr")
    values = np.random.default_rng(0).integers(-1000, 1000, (64, 192, 192)).astype(np.int16)
    chunks = (16, 32, 32)
    source = zarr.create_array(tmp_path / "in.zarr", shape=values.shape, chunks=chunks, dtype=values.dtype)
    source[...] = values
    like = fi.Image(np.broadcast_to(np.uint8(0), (96, 130, 130)), direction=turned(tilt))
    plan = Plan(fi.Image(values, spacing=(1.5, 0.7, 0.7)), like=like, order=order)
    out = zarr.create_array(tmp_path / "out.zarr", shape=plan.shape, chunks=chunks, dtype=values.dtype)
    tracemalloc.start()
    try:
        plan.stream(source, out, memory=1 << 19, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (1 << 19) + 20 * 32768 + (1 << 18)  # Zarr holds some chunks at a time; the source takes 4.5 MiB
    np.testing.assert_array_equal(out[...], plan(fi.Image(values, spacing=(1.5, 0.7, 0.7))).array)


@pytest.mark.parametrize("tilt", [0, 10])
def test_a_fused_plan_makes_no_volume_in_between(tilt):
    image = fi.Image(np.random.default_rng(0).integers(-1000, 1000, (40, 90, 90)).astype(np.int16), spacing=(1.5, 1, 1))
    like = fi.Image(np.broadcast_to(np.uint8(0), (60, 90, 90)), direction=turned(tilt))
    steps = {"rescale": (1, -24), "clip": (-160, 240), "normalise": (-160, 1 / 400)}
    for dtype in (None, "float32"):
        plan = Plan(image, like=like, dtype=dtype, **steps)
        out = np.empty(plan.shape, dtype or np.int16)
        plan(image, out=out)
        tracemalloc.start()
        try:
            plan(image, out=out)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 1 << 16  # the image takes 633 KiB


@pytest.mark.parametrize("order", ["nearest", "label", "linear", "cubic"])
def test_strides_byte_order_and_read_only_change_nothing_on_turned_grids(order):
    base = np.random.default_rng(0).integers(-99, 99, (8, 10, 12)).astype(np.int16)
    like = fi.Image(np.zeros((5, 6, 20), np.uint8), spacing=(0.9, 0.8, 0.4), direction=turned(10))
    for array in (base[::2, ::-1, 1::3], base.astype(">i2"), base.T):
        view = array.view()
        view.flags.writeable = False
        plain = fi.Image(np.ascontiguousarray(array.astype(np.int16)))
        expected = fi.resample(plain, like=like, order=order).array
        np.testing.assert_array_equal(fi.resample(fi.Image(view), like=like, order=order).array, expected)
        assert expected.any()


@pytest.mark.parametrize("order", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("tilt", [0, 10])
def test_nan_that_is_padding_does_not_spread(order, tilt):
    values = np.random.default_rng(0).normal(0, 100, (6, 20, 24)).astype(np.float32)
    holes = np.zeros(values.shape, bool)
    holes[2:4, 5:8, 9:12] = True
    values[holes] = np.nan
    like = fi.Image(np.zeros((9, 30, 30), np.uint8), spacing=(0.6, 0.6, 0.7), direction=turned(tilt))
    seen = fi.resample(fi.Image(values, padding=holes), like=like, order=order)
    kept = ~np.asarray(seen.padding)
    assert 0.3 < kept.mean() < 1
    assert np.isfinite(seen.array[kept]).all()
    spread = fi.resample(fi.Image(values), like=like, order=order)
    assert np.isnan(spread.array).any()
