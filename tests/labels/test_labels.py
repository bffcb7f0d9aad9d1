"""Components and distances against their twins and SciPy; morphology against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import fastimg as fi
from fastimg.testing import labels as twin

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 6), st.integers(1, 20))
RANK = {6: 1, 18: 2, 26: 3}


def scipy_components(mask, connectivity):
    return ndimage.label(mask, ndimage.generate_binary_structure(3, RANK[connectivity]))[0]


@settings(max_examples=60, deadline=None)
@given(
    mask=hnp.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 0, 1, 200])),
    connectivity=st.sampled_from([6, 18, 26]),
    threads=st.integers(1, 3),
)
def test_components_equal_scipys(mask, connectivity, threads):
    seen = fi.labels.components(mask, connectivity=connectivity, threads=threads)
    assert seen.dtype == np.int32
    np.testing.assert_array_equal(seen, scipy_components(mask, connectivity))


@pytest.mark.parametrize("density", [0.02, 0.15, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_components_of_large_noise_equal_scipys_in_any_number_of_threads(density, connectivity, accuracy):
    mask = np.random.default_rng(3).random((50, 60, 70)) < density
    expected = scipy_components(mask, connectivity)
    for threads in (1, 3):
        seen = fi.labels.components(mask, connectivity=connectivity, threads=threads)
        accuracy("connected components", "scipy", seen, expected)
        np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_components_equal_the_twin(connectivity):
    mask = np.random.default_rng(4).random((18, 5, 9)) < 0.3
    expected = twin.components(mask, connectivity)
    np.testing.assert_array_equal(fi.labels.components(mask, connectivity=connectivity), expected)


@settings(max_examples=40, deadline=None)
@given(
    mask=hnp.arrays(np.bool_, st.tuples(*[st.integers(1, 8)] * 3)),
    spacing=st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 2.5])] * 3),
    metric=st.sampled_from(["euclidean", "taxicab"]),
    threads=st.integers(1, 3),
)
def test_distance_equals_its_twin(mask, spacing, metric, threads):
    seen = fi.labels.distance(mask, spacing, metric=metric, threads=threads)
    np.testing.assert_allclose(seen, twin.distance(mask, spacing, metric), rtol=3e-7)


@pytest.mark.parametrize("density", [0.5, 0.99, 0.9999])
def test_distance_equals_scipys(density, accuracy):
    mask = np.random.default_rng(5).random((40, 50, 60)) < density
    seen = fi.labels.distance(mask, (2.5, 0.7, 0.8))
    expected = ndimage.distance_transform_edt(mask, sampling=(2.5, 0.7, 0.8))
    accuracy("distance transform", "scipy", seen, expected, of="value")
    np.testing.assert_allclose(seen, expected, rtol=1e-7, atol=0)
    for threads in (1, 3):
        np.testing.assert_array_equal(fi.labels.distance(mask, (2.5, 0.7, 0.8), threads=threads), seen)
    unit = fi.labels.distance(mask)
    np.testing.assert_array_equal(unit, ndimage.distance_transform_edt(mask).astype(np.float32))
    steps = fi.labels.distance(mask, metric="taxicab")
    np.testing.assert_array_equal(steps, ndimage.distance_transform_cdt(mask, metric="taxicab"))


def test_masks_that_are_all_or_nothing():
    assert np.isinf(fi.labels.distance(np.ones((2, 3, 4)))).all()
    assert (fi.labels.distance(np.zeros((2, 3, 4))) == 0).all()
    assert (fi.labels.components(np.zeros((2, 3, 4))) == 0).all()
    assert (fi.labels.largest(np.zeros((2, 3, 4))) == 0).all()
    assert (fi.labels.dilate(np.zeros((2, 3, 4)), 5) == 0).all()
    assert (fi.labels.erode(np.ones((2, 3, 4)), 5) == 1).all()
    assert fi.labels.components(np.ones((0, 3, 4))).shape == (0, 3, 4)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_taxicab_morphology_equals_scipys(steps):
    mask = np.random.default_rng(6).random((14, 15, 16)) < 0.4
    cross = ndimage.generate_binary_structure(3, 1)
    grown = fi.labels.dilate(mask, steps, metric="taxicab")
    np.testing.assert_array_equal(grown, ndimage.binary_dilation(mask, cross, steps))
    shrunk = fi.labels.erode(grown, steps, metric="taxicab")
    np.testing.assert_array_equal(shrunk, ndimage.binary_erosion(grown, cross, steps, border_value=1))


def test_morphology_in_mm_is_a_ball():
    mask = np.zeros((9, 15, 15), np.uint8)
    mask[4, 7, 7] = 1
    image = fi.Image(mask, spacing=(2, 1, 1), unit="label")
    ball = fi.labels.dilate(image, 5)
    z, y, x = np.ogrid[-4:5, -7:8, -7:8]
    np.testing.assert_array_equal(ball.array, (2.0 * z) ** 2 + y**2 + x**2 <= 25)
    assert (ball.spacing, ball.unit, ball.dtype) == ((2, 1, 1), "label", np.uint8)


def test_largest_and_views():
    mask = np.zeros((4, 6, 8), np.int16)
    mask[0, 0, :2], mask[2:, 3:, 4:] = -5, 7
    np.testing.assert_array_equal(fi.labels.largest(mask), mask == 7)
    view = mask.astype(">i2")[::-1, ::2, 1::2]
    np.testing.assert_array_equal(fi.labels.components(view), scipy_components(view != 0, 26))
    out = np.empty(mask.shape, np.int32)
    assert fi.labels.components(mask, out=out) is out
    assert fi.labels.components(fi.Image(mask)).unit == "label"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: fi.labels.components(m, connectivity=8), "connectivity: must be"),
        (lambda m: fi.labels.components(m[0]), "expected the axes"),
        (lambda m: fi.labels.components(m * np.nan), "holds NaN"),
        (lambda m: fi.labels.components(m, out=np.empty(3, np.int32)), "out: expected shape"),
        (lambda m: fi.labels.distance(m, (1, 0, 1)), "spacing: expected"),
        (lambda m: fi.labels.distance(m, (1, 1)), "spacing: expected"),
        (lambda m: fi.labels.distance(m, metric="chess"), "metric: must be"),
        (lambda m: fi.labels.dilate(m, -1), "radius: must be"),
    ],
)
def test_bad_arguments_are_refused_before_work(call, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call(np.ones((2, 2, 2)))


def test_a_mask_on_the_gpu_is_refused_with_the_remedy(_host_device):
    with pytest.raises(fi.errors.DeviceError, match="to_device"):
        fi.labels.components(_host_device(np.ones((2, 2, 2))))
