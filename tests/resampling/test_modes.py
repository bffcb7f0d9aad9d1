"""Votes of labels, displacement fields, fused plans, and volumes resampled piece by piece."""

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


def smooth(shape, seed=0):
    return (ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, shape), 1.0) * 5000).astype(np.float32)


GRIDS = {
    "aligned": fi.Image(np.zeros((21, 19, 23), np.uint8), spacing=(1.1, 0.9, 0.8), origin=(0.3, -0.4, 1.6)),
    "turned": fi.Image(np.zeros((21, 19, 23), np.uint8), origin=(0.3, 1.7, 2.6), direction=turned(10)),
}


# labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64, bool])
@pytest.mark.parametrize("grid", list(GRIDS))
def test_labels_vote_on_every_device(put, get, grid, dtype):
    values = labels((14, 20, 24)).astype(dtype)
    image = fi.Image(put(values), spacing=(1.5, 0.9, 0.8), unit="label")
    seen = fi.resample(image, like=GRIDS[grid], order="label", cval=1)
    assert seen.dtype == values.dtype
    assert seen.unit == "label"
    result, back = get(seen.array), np.linalg.inv(image.affine) @ GRIDS[grid].affine
    checked = 0
    for index in list(np.ndindex(result.shape))[::13]:
        winners, inside = twin.label_point(values.astype(int), (back @ [*index, 1])[:3])
        assert int(result[index]) in (winners if inside else {1})
        checked += inside and len(winners) == 1
    assert checked > 100


@pytest.mark.parametrize("grid", list(GRIDS))
def test_labels_are_the_argmax_of_resampled_one_hot_volumes(grid):
    image = fi.Image(labels((14, 20, 24)), spacing=(1.5, 0.9, 0.8))
    kinds = np.unique(image.array)
    shares = np.stack(
        [
            fi.resample(image.with_array((image.array == kind).astype(np.float64)), like=GRIDS[grid], cval="edge").array
            for kind in kinds
        ]
    )
    seen = fi.resample(image, like=GRIDS[grid], order="label", cval="edge").array
    top = np.sort(shares, 0)
    clear = top[-1] - top[-2] > 1e-5
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(seen[clear], kinds[shares.argmax(0)][clear])
    mixed = fi.resample(image, like=GRIDS[grid], order="nearest", cval="edge").array
    assert (mixed != seen).any()


def test_antialiased_labels_vote_with_gaussian_weights():
    image = fi.Image(labels((30, 40, 44)), spacing=(1.0, 0.7, 0.7))
    kinds = np.unique(image.array)
    shares = np.stack(
        [
            fi.resample(image.with_array((image.array == kind).astype(np.float64)), spacing=2.1, antialias=True).array
            for kind in kinds
        ]
    )
    seen = fi.resample(image, spacing=2.1, order="label", antialias=True).array
    top = np.sort(shares, 0)
    clear = top[-1] - top[-2] > 1e-9
    np.testing.assert_array_equal(seen[clear], kinds[shares.argmax(0)][clear])


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    many=st.sampled_from([2, 3, 100]),
    threads=st.integers(1, 3),
    antialias=st.booleans(),
)
def test_votes_do_not_depend_on_levels_and_threads(shape, many, threads, antialias):
    values = np.random.default_rng(0).integers(0, many, shape).astype(np.uint16)
    plan = Plan(fi.Image(values), spacing=1.7 if antialias else 0.6, order="label", antialias=antialias)
    seen = []
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            seen.append(plan(fi.Image(values), threads=threads).array)
    for other in seen:
        np.testing.assert_array_equal(other, seen[0])
    assert set(np.unique(seen[0])) <= set(np.unique(values))


# displacements


@pytest.mark.parametrize("order", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("grid", list(GRIDS))
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_displacement_equals_simpleitk(put, get, grid, order, kind):
    sitk = pytest.importorskip("SimpleITK")
    image = fi.Image(smooth((14, 24, 30)), spacing=(1.5, 0.7, 0.8))
    like = GRIDS[grid]
    field = np.stack(
        [ndimage.gaussian_filter(f, 2) for f in np.random.default_rng(1).normal(0, 30, (3, *like.shape))], -1
    )
    field = field.astype(kind)
    vectors = sitk.GetImageFromArray(field.astype(np.float64), isVector=True)
    vectors.CopyInformation(like.to_sitk())
    interpolator = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline3}[order]
    peer = sitk.Resample(
        image.to_sitk(), like.to_sitk(), sitk.DisplacementFieldTransform(vectors), interpolator, -7e5, sitk.sitkFloat32
    )
    expected = sitk.GetArrayFromImage(peer)
    seen = get(
        fi.resample(
            image.with_array(put(image.array)), like=like, order=order, displacement=put(field), cval=-7e5
        ).array
    )
    np.testing.assert_array_equal(seen == -7e5, expected == -7e5)
    assert 0.2 < (expected == -7e5).mean() < 0.95
    if order == "nearest":
        assert (seen != expected).mean() < 1e-3
    else:
        assert np.abs(seen - expected).max() <= 1e-5 * np.ptp(image.array)


def test_no_displacement_moves_nothing_and_nan_is_outside():
    image = fi.Image(smooth((8, 9, 40)).astype(np.int16))
    like = GRIDS["turned"]
    zero = np.zeros((*like.shape, 3), np.float32)
    still = fi.resample(image, like=like, displacement=zero, cval=-5)
    np.testing.assert_allclose(still.array, fi.resample(image, like=like, cval=-5).array, atol=1)
    zero[3, 4, 5, 1] = np.nan
    assert fi.resample(image, like=like, displacement=zero, cval=-5).array[3, 4, 5] == -5
    whole = np.zeros((8, 9, 40, 3))
    whole[..., 0] = 2  # mm along x
    seen = fi.resample(image, like=image, displacement=whole, cval=-5).array
    np.testing.assert_array_equal(seen[..., :-2], image.array[..., 2:])
    assert (seen[..., -2:] == -5).all()


def test_displaced_bits_are_those_of_every_level_and_thread_count():
    like = GRIDS["turned"]
    field = np.random.default_rng(2).normal(0, 3, (*like.shape, 3))
    for dtype in (np.uint8, np.int16, np.float32, np.float64):
        image = fi.Image(np.abs(smooth((14, 24, 40)) / 60).astype(dtype))
        for order in ("nearest", "label", "linear", 2):
            if order == "label" and np.dtype(dtype).kind == "f":
                continue
            seen = []
            for level in fi.config.supported_isa():
                for threads in (1, 3):
                    with fi.config.use(isa=level):
                        seen.append(
                            fi.resample(image, like=like, order=order, displacement=field, threads=threads).array
                        )
            for other in seen:
                np.testing.assert_array_equal(other, seen[0])


# fused

VALUES = {"rescale": (1.5, -20.0), "clip": (-300.0, 900.0), "normalise": (40.0, 0.01), "dtype": "float32"}


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("order", ["linear", "cubic"])
@pytest.mark.parametrize("grid", list(GRIDS))
@pytest.mark.parametrize("antialias", [False, True])
def test_fused_equals_the_steps(put, get, dtype, order, grid, antialias):
    values = np.clip(
        smooth((14, 24, 40)), *((np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype != np.float32 else (-9e9, 9e9))
    )
    image = fi.Image(values.astype(dtype), spacing=(0.5, 0.7, 0.6) if antialias else (1.5, 0.7, 0.6))
    plan = Plan(image, like=GRIDS[grid], order=order, antialias=antialias, cval=-3, **VALUES)
    seen = get(plan(image.with_array(put(image.array))).array)
    assert seen.dtype == np.float32
    taken = np.clip(
        image.array.astype(np.float32) * np.float32(1.5) + np.float32(-20), np.float32(-300), np.float32(900)
    )
    plain = Plan(image, like=GRIDS[grid], order=order, antialias=antialias, cval=-7e5)(image.with_array(taken)).array
    expected = np.where(plain == -7e5, np.float32(-3), (plain - np.float32(40)) * np.float32(0.01))
    np.testing.assert_array_equal(seen, expected)


def test_fused_to_integers_levels_and_threads():
    image = fi.Image((smooth((14, 24, 40)) / 4).astype(np.int16), spacing=(1.5, 0.7, 0.6))
    for like in GRIDS.values():
        plan = Plan(image, like=like, rescale=(2, 1), clip=(-500, 500))
        seen = []
        for level in fi.config.supported_isa():
            with fi.config.use(isa=level):
                seen += [plan(image, threads=1).array, plan(image, threads=2).array]
        for other in seen:
            np.testing.assert_array_equal(other, seen[0])
        assert seen[0].dtype == np.int16
        taken = np.clip(image.array * 2.0 + 1, -500, 500)
        reference = fi.resample(image.with_array(taken.astype(np.float32)), like=like).array
        np.testing.assert_array_equal(seen[0], np.rint(reference).astype(np.int16))


def test_fused_with_padding():
    hole = np.zeros((14, 24, 40), bool)
    hole[:, :5] = True
    values = np.where(hole, -2000, 100).astype(np.int16)
    image = fi.Image(values, spacing=(1.5, 0.7, 0.6), padding=hole)
    for order in ("linear", "cubic"):
        seen = Plan(image, spacing=1, order=order, **VALUES)(image)
        kept = ~np.asarray(seen.padding)
        assert 0.5 < kept.mean() < 1
        np.testing.assert_allclose(seen.array[kept], (100 * 1.5 - 20 - 40) * 0.01, rtol=1e-5)
        np.testing.assert_allclose(seen.array[~kept][0], (-300 - 40) * 0.01, rtol=1e-5)


# piece by piece


@pytest.mark.parametrize("order", ["nearest", "label", "linear", 2, "cubic", 5])
@pytest.mark.parametrize("tilt", [0, 10])
def test_streamed_bits_are_those_of_the_whole(order, tilt):
    like = fi.Image(
        np.zeros((50, 150, 75), np.uint8), spacing=(1.0, 1.3, 1.2), origin=(-3, 4, 2), direction=turned(tilt)
    )
    for dtype in (np.int16, np.int8, np.int32, np.float32, np.float64) if order == "linear" else (np.int16,):
        values = (smooth((40, 300, 140)) / 20).astype(dtype)
        image = fi.Image(values, spacing=(1.5, 0.7, 0.6))
        plan = Plan(image, like=like, order=order, cval=-7)
        whole = plan(image).array
        assert 0.3 < (whole != -7).mean() < 1
        seen = np.empty_like(whole)
        least = {2: 18, "cubic": 18, 5: 30}.get(order, max(1, values.itemsize / 2))  # MiB
        for memory in (None, int(least * 2**20)):
            seen[...] = 99
            plan.stream(values, seen, memory=memory, threads=2)
            np.testing.assert_array_equal(seen, whole)


def test_streamed_edges_antialias_fused_and_turned_axes():
    values = smooth((60, 70, 80)).astype(np.float32)
    image = fi.Image(values)
    swap = np.eye(4)[:, [0, 2, 1, 3]] @ np.diag([1.5, 2.5, 1.7, 1])
    tilted = fi.image.affine_from((2, 2, 2), (5, 4, 3), turned(7))
    for affine in (swap, tilted):
        for options in ({"cval": "edge"}, {"antialias": True}, {"antialias": True, "order": "cubic"}, VALUES):
            plan = Plan(image, affine=affine, shape=(40, 41, 42), **options)
            whole = plan(image).array
            seen = np.empty_like(whole)
            plan.stream(values, seen, memory=3 << 20)
            np.testing.assert_array_equal(seen, whole)


def test_stream_through_zarr_in_bounded_memory(tmp_path):
    zarr = pytest.importorskip("zarr")
    values = (smooth((40, 96, 100)) / 20).astype(np.int16)
    plan = Plan(fi.Image(values, spacing=(2, 1, 1)), spacing=1.3)
    source = zarr.create_array(tmp_path / "in.zarr", shape=values.shape, chunks=(16, 32, 32), dtype=values.dtype)
    source[...] = values
    out = zarr.create_array(tmp_path / "out.zarr", shape=plan.shape, chunks=(16, 32, 32), dtype=values.dtype)
    plan.stream(source, out, memory=300_000)
    np.testing.assert_array_equal(out[...], plan(fi.Image(values, spacing=(2, 1, 1))).array)


# refusals


def test_refusals():
    image = fi.Image(np.zeros((4, 5, 6), np.int16))
    refused = fi.errors.ArgumentError
    for options, words in (
        ({"rescale": 3}, "rescale: expected two numbers"),
        ({"rescale": (1, np.nan)}, "rescale: expected two finite"),
        ({"clip": (3, 1)}, "clip: low is above high"),
        ({"normalise": ("a", 1)}, "normalise: expected two numbers"),
        ({"dtype": "int32"}, "dtype: must be"),
        ({"dtype": "nonsense"}, "dtype: must be"),
        ({"order": "nearest", "clip": (0, 1)}, "moves voxels as they are"),
        ({"order": "label", "dtype": "float32"}, "moves voxels as they are"),
    ):
        with pytest.raises(refused, match=words):
            Plan(image, spacing=2, **options)
    with pytest.raises(refused, match="votes of labels on a turned grid"):
        Plan(
            image,
            like=fi.Image(np.zeros((2, 2, 2)), spacing=(3, 3, 3), direction=turned(9)),
            order="label",
            antialias=True,
        )
    with pytest.raises(refused, match="whole numbers"):
        fi.resample(image.with_array(np.zeros((4, 5, 6))), spacing=2, order="label")
    with pytest.raises(refused, match="float32 does not hold int32"):
        Plan(image, spacing=2, dtype="float32")(image.with_array(np.zeros((4, 5, 6), np.int32)))
    with pytest.raises(refused, match="displacement: expected"):
        fi.resample(image, spacing=2, displacement=np.zeros((3, 4, 5, 6)))
    with pytest.raises(fi.errors.GeometryError, match="spacing"):
        fi.Image(np.zeros((2, 2, 2)), spacing=(0, 1, 1))
    with pytest.raises(fi.errors.GeometryError, match="spacing"):
        fi.Image(np.zeros((2, 2, 2)), spacing=(1, float("nan"), 1))
    with pytest.raises(fi.errors.GeometryError, match="spacing must be 3 positive values"):
        fi.Image(np.zeros((2, 2, 2)), spacing=2.0)
    plan = Plan(image, spacing=2)
    with pytest.raises(refused, match="source: expected the plan's shape"):
        plan.stream(np.zeros((5, 4, 6), np.int16), np.zeros(plan.shape, np.int16))
    with pytest.raises(refused, match="out: expected the plan's shape"):
        plan.stream(image.array, np.zeros((9, 9, 9), np.int16))
    with pytest.raises(refused, match="out: expected dtype int16"):
        plan.stream(image.array, np.zeros(plan.shape, np.float32))
    with pytest.raises(fi.errors.FastimgError, match="too little"):
        plan.stream(image.array, np.zeros(plan.shape, np.int16), memory=10)


def test_wrong_order_of_axes_is_told():
    """An array in another order of axes does not lie on the plan's grid."""
    plan = Plan(fi.Image(np.zeros((4, 5, 6), np.int16)), spacing=2)
    with pytest.raises(fi.errors.GeometryError, match="source grid, shape \\(4, 5, 6\\)"):
        plan(fi.Image(np.zeros((6, 5, 4), np.int16)))


def test_mixed_devices_are_refused(_host_device):
    image = fi.Image(_host_device(np.zeros((4, 5, 6), np.int16)))
    with pytest.raises(fi.errors.DeviceError):
        fi.resample(image, spacing=2, out=np.zeros((2, 3, 3), np.int16))
    with pytest.raises(fi.errors.DeviceError):
        fi.resample(image, like=image, displacement=np.zeros((4, 5, 6, 3)))


def test_constant_and_one_slice_volumes():
    for shape in ((1, 9, 40), (9, 1, 40), (5, 6, 1), (1, 1, 1)):
        image = fi.Image(np.full(shape, 77, np.int16))
        for order in ("nearest", "label", "linear", "cubic", 5):
            for like in (GRIDS["turned"], GRIDS["aligned"]):
                assert (fi.resample(image, like=like, order=order, cval="edge").array == 77).all()
