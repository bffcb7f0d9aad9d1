"""fi.resample on axis-aligned grids against its twins, on every device, level and thread count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.testing import resampling as twin

DTYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64]


def volume(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 500, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def grid(start, step, count):
    """An affine and the positions along each axis for a grid that starts and steps in voxels of a unit grid."""
    affine = np.eye(4)[:, [2, 1, 0, 3]]
    affine[:3, :3] *= step
    affine[:3, 3] = start[::-1]
    return affine, tuple(a + s * np.arange(n) for a, s, n in zip(start, step, count, strict=True))


@pytest.mark.parametrize("rounding", ["nearest", "truncate"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_equals_its_twin_on_every_device(put, get, dtype, rounding):
    values = volume((5, 9, 40), dtype)
    affine, positions = grid((-0.75, 0.25, 0.125), (0.625, 1.5, 0.875), (8, 5, 44))
    image = fi.Image(put(values))
    seen = fi.resample(image, affine=affine, shape=(8, 5, 44), rounding=rounding, cval=7)
    np.testing.assert_array_equal(
        get(seen.array), twin.linear(values, positions, cval=7, truncate=rounding == "truncate")
    )
    np.testing.assert_array_equal(seen.affine, affine)


@pytest.mark.parametrize("dtype", [*DTYPES, bool])
def test_nearest_equals_its_twin_on_every_device(put, get, dtype):
    values = volume((5, 9, 100), np.uint8).astype(bool) if dtype is bool else volume((5, 9, 100), dtype)
    affine, positions = grid((-1.0, 0.25, 0.5), (0.5, 1.5, 1.25), (13, 5, 88))
    seen = fi.resample(fi.Image(put(values)), affine=affine, shape=(13, 5, 88), order="nearest", cval=1)
    assert seen.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(get(seen.array), twin.nearest(values, positions, cval=1))


STEPS = [0.3, 0.66, 1.0, -0.7, -1.9, 2.6, 5.5]  # what lies between the planes that the outputs need, both ways


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.int32])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("width", [1, 2, 9, 70])
def test_walks_of_a_device_give_the_processors_bits(put, get, dtype, step, width):
    values = volume((2, 21, 6, width), dtype)
    affine, _ = grid((-1.2 if step > 0 else 20.4, 5.3, -0.7), (step, -0.8, 0.9), (67, 9, 75))
    for cval in ("edge", 3):
        options, dims = {"affine": affine, "shape": (67, 9, 75), "cval": cval}, "czyx"
        for order in ("linear", "nearest"):
            seen = fi.resample(fi.Image(put(values), dims=dims), order=order, **options)
            expected = fi.resample(fi.Image(values, dims=dims), order=order, **options)
            np.testing.assert_array_equal(get(seen.array), expected.array)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 2, st.integers(1, 90)),
    count=st.tuples(*[st.integers(1, 9)] * 2, st.integers(1, 90)),
    start=st.tuples(*[st.floats(-2, 8, allow_subnormal=False)] * 3),
    step=st.tuples(*[st.floats(-3, 3).filter(lambda s: abs(s) > 0.05)] * 3),
    dtype=st.sampled_from([np.uint8, np.int16, np.float32, np.float64]),
    edge=st.booleans(),
    threads=st.integers(1, 3),
)
def test_same_bits_on_all_levels_and_threads(shape, count, start, step, dtype, edge, threads):
    values = volume(shape, dtype)
    affine, _ = grid(start, step, count)
    image, cval = fi.Image(values), "edge" if edge else -0.0
    plans = {
        order: fi.resampling.Plan(image, affine=affine, shape=count, order=order, cval=cval)
        for order in ("nearest", "linear")
    }
    positions = tuple(plans["linear"]._mapping.positions(axis, n) for axis, n in enumerate(count))
    np.testing.assert_allclose(np.ravel([p[0] for p in positions]), start, atol=1e-9)
    expected = {
        "linear": twin.linear(values, positions, cval=cval),
        "nearest": twin.nearest(values, positions, cval=cval),
    }
    for level in fi.config.supported_isa():
        for order, plan in plans.items():
            with fi.config.use(isa=level):
                seen = plan(image, threads=threads)
            np.testing.assert_array_equal(seen.array, expected[order])


def test_default_grid_keeps_the_first_centre_and_stays_within_the_last():
    image = fi.Image(np.zeros((40, 64, 64), np.int16), spacing=(1.5, 0.7, 0.7), origin=(1, 2, 3))
    seen = fi.resample(image, spacing=1)
    assert seen.shape == (59, 45, 45)  # what SimpleITK users' floor rule gives for these sizes
    assert seen.spacing == pytest.approx((1, 1, 1))
    assert seen.origin == image.origin
    halved = fi.resample(image, spacing=(3, 1.4, 1.4), half_pixel=True)
    assert halved.shape == (20, 32, 32)
    assert halved.origin == pytest.approx((1.35, 2.35, 3.75))


def test_same_spacing_gives_the_same_voxels():
    values = volume((4, 5, 6), np.float32)
    values[1, 2, 3] = np.nan
    values[2, 2, 2] = np.inf
    image = fi.Image(values, spacing=(1.5, 0.7, 0.7))
    np.testing.assert_array_equal(fi.resample(image, spacing=(1.5, 0.7, 0.7)).array, values)


def test_turned_and_flipped_axes_are_still_aligned():
    values = volume((4, 5, 6), np.int16)
    image = fi.Image(values)
    affine = np.eye(4)[:, [0, 2, 1, 3]]  # k runs along x, j along z, i along y
    affine[1, 2], affine[1, 3] = -1, 4  # i runs backwards
    seen = fi.resample(image, affine=affine, shape=(6, 4, 5))
    np.testing.assert_array_equal(seen.array, values.transpose(2, 0, 1)[:, :, ::-1])


def test_leading_axes_unit_and_out():
    values = volume((2, 3, 4, 5, 6), np.int16)
    image = fi.Image(values, dims=("t", "echo", "z", "y", "x"), coords={"t": (0, 1)}, unit="HU")
    out = np.empty((2, 3, 7, 9, 11), np.int16)
    seen = fi.resample(image, spacing=0.5, out=out)
    assert seen.array is out
    assert (seen.dims, seen.coords, seen.unit) == (image.dims, image.coords, "HU")
    np.testing.assert_array_equal(out[1, 2], fi.resample(fi.Image(values[1, 2]), spacing=0.5).array)


def test_strided_read_only_big_endian_and_half_inputs():
    base = volume((8, 10, 12), np.int16)
    for array in (base[::2, ::-1, 1::3], base.astype(">i2"), base.T):
        view = array.view()
        view.flags.writeable = False
        plain = fi.Image(np.ascontiguousarray(array.astype(np.int16)))
        np.testing.assert_array_equal(
            fi.resample(fi.Image(view), spacing=0.7).array, fi.resample(plain, spacing=0.7).array
        )
    half = fi.Image(volume((3, 4, 5), np.float32).astype(np.float16))
    wide = fi.Image(half.array.astype(np.float32))
    seen = fi.resample(half, spacing=0.7).array
    np.testing.assert_array_equal(seen, fi.resample(wide, spacing=0.7).array.astype(np.float16))


def test_one_slice_and_a_grid_wholly_outside():
    image = fi.Image(np.full((1, 3, 3), 5, np.int16), spacing=(3, 1, 1))
    assert fi.resample(image, spacing=1).shape == (1, 3, 3)
    away = fi.Image(np.zeros((2, 2, 2), np.int16), origin=(100, 0, 0))
    assert (fi.resample(image, like=away, cval=-9).array == -9).all()
    assert (fi.resample(image, like=away, cval="edge").array == 5).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give the target grid"),
        ({"spacing": 1, "like": fi.Image(np.zeros((1, 1, 1)))}, "one of"),
        ({"spacing": 0}, "spacing: expected"),
        ({"spacing": (1, 1)}, "spacing: expected"),
        ({"spacing": (1, float("nan"), 1)}, "spacing: expected"),
        ({"affine": np.eye(4)}, "needs shape"),
        ({"shape": (2, 2, 2)}, "half_pixel=True"),
        ({"affine": np.eye(4), "shape": (0, 2, 2)}, "shape: expected"),
        ({"spacing": 1, "order": "bicubic"}, "order: must be"),
        ({"spacing": 1, "rounding": "floor"}, "rounding: must be"),
        ({"spacing": 1, "cval": "mirror"}, "cval: expected"),
        ({"spacing": 1, "cval": 1e6}, "cval: 1e\\+06 is not a value of int16"),
        ({"spacing": 1, "threads": 0}, "threads"),
        ({"spacing": 1, "out": np.empty((1, 1, 1), np.int16)}, "out: expected shape"),
        ({"like": fi.Image(np.zeros((1, 1, 1))), "half_pixel": True}, "half_pixel"),
    ],
)
def test_bad_arguments_are_refused_before_work(options, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        fi.resample(fi.Image(np.zeros((2, 2, 2), np.int16)), **options)


def test_more_refusals():
    with pytest.raises(fi.errors.ArgumentError, match="expected an Image"):
        fi.resample(np.zeros((2, 2, 2)), spacing=1)
    with pytest.raises(fi.errors.ArgumentError, match="labels cannot be averaged"):
        fi.resample(fi.Image(np.zeros((2, 2, 2), np.uint8), unit="label"), spacing=1)
    with pytest.raises(fi.errors.GeometryError, match="no voxels"):
        fi.resample(fi.Image(np.zeros((0, 2, 2))), spacing=1)
    with pytest.raises(fi.errors.GeometryError, match="singular"):
        fi.resample(fi.Image(np.zeros((2, 2, 2))), affine=np.zeros((4, 4)) + np.diag([0, 0, 0, 1]), shape=(1, 1, 1))
    with fi.config.use(memory_limit=1000), pytest.raises(fi.errors.FastimgError, match="memory limit"):
        fi.resample(fi.Image(np.zeros((2, 2, 2))), spacing=0.01)
    plan = fi.resampling.Plan(fi.Image(np.zeros((2, 2, 2))), spacing=0.5)
    with pytest.raises(fi.errors.GeometryError, match="source grid"):
        plan(fi.Image(np.zeros((2, 2, 2)), spacing=(2, 1, 1)))
    image = fi.Image(np.zeros((2, 2, 2)))
    with pytest.raises(fi.errors.ArgumentError, match="overlaps"):
        fi.resample(image, spacing=1, out=image.array)


def test_a_plan_serves_many_volumes_of_many_types():
    plan = fi.resampling.Plan(fi.Image(np.zeros((4, 5, 6))), spacing=0.6)
    for dtype in DTYPES:
        image = fi.Image(volume((4, 5, 6), dtype))
        np.testing.assert_array_equal(plan(image).array, fi.resample(image, spacing=0.6).array)
