"""Turned grids at and beyond the volume's borders, far steps, and volumes above 2^31 bytes or voxels."""

from __future__ import annotations

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
