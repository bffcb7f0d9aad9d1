"""Separable filters against their twin and SciPy, on every device, level and thread count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import fastimg as fi
from fastimg.testing import filtering as twin

DTYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64]
KERNELS = ([0.25, 0.5, 0.25], [-0.5, 0, 0.5], [0.1, 0.2, 0.4, 0.2, 0.1])


@pytest.mark.parametrize("mode", ["nearest", "mirror", "reflect", "wrap"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_its_twin_on_every_device(put, get, dtype, mode):
    values = (np.random.default_rng(0).random((2, 5, 6, 37)) * 100).astype(dtype)
    seen = get(fi.filtering.separable(put(values), KERNELS, mode=mode))
    np.testing.assert_array_equal(seen, twin.separable(values, KERNELS, mode))


@pytest.mark.parametrize("mode", ["nearest", "mirror", "reflect", "wrap"])
@pytest.mark.parametrize(
    ("shape", "sigma"), [((19, 24, 150), (2, 1.3, 3)), ((2, 9, 1, 1), (5, 0, 2)), ((1, 17, 131), 4)]
)
def test_axes_longer_and_shorter_than_the_kernel_on_every_device(put, get, shape, sigma, mode):
    values = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    kernels = [fi.filtering.gaussian_kernel(s) for s in np.broadcast_to(sigma, 3)]
    seen = get(fi.filtering.gaussian(put(values), sigma=sigma, mode=mode))
    np.testing.assert_array_equal(seen, twin.separable(values, kernels, mode))


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 2, st.integers(1, 70)),
    sigma=st.tuples(*[st.floats(0, 3)] * 3),
    dtype=st.sampled_from([np.int16, np.float32, np.float64]),
    mode=st.sampled_from(["nearest", "mirror", "reflect", "wrap"]),
    threads=st.integers(1, 3),
)
def test_same_bits_on_all_levels_and_threads_and_equal_to_scipy(accuracy, shape, sigma, dtype, mode, threads):
    values = (np.random.default_rng(1).normal(size=shape) * 1000).astype(dtype)
    kernels = [fi.filtering.gaussian_kernel(s) for s in sigma]
    expected = twin.separable(values, kernels, mode)
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            seen = fi.filtering.gaussian(values, sigma=sigma, mode=mode, threads=threads)
        np.testing.assert_array_equal(seen, expected)
    scipy = ndimage.gaussian_filter(values.astype(np.float64), sigma, mode=mode)
    accuracy("Gaussian filter", "scipy", seen, scipy, of="largest value", scale=max(1, np.abs(values).max()))
    assert np.abs(seen - scipy).max() <= 1e-5 * max(1, np.abs(values).max())


def test_sigma_in_mm_uses_the_spacing_and_keeps_the_image():
    values = np.random.default_rng(2).normal(size=(8, 9, 10)).astype(np.float32)
    image = fi.Image(values, spacing=(2.5, 1, 0.5), unit="HU")
    seen = fi.filtering.gaussian(image, sigma_mm=2)
    expected = ndimage.gaussian_filter(values.astype(np.float64), (0.8, 2, 4), mode="nearest")
    np.testing.assert_allclose(seen.array, expected, atol=1e-6)
    assert (seen.spacing, seen.unit, seen.dtype) == (image.spacing, "HU", np.float32)


def test_views_and_out():
    base = np.arange(720, dtype=">i2").reshape(8, 9, 10)
    view = base[::2, ::-1, 1::3]
    out = np.empty(view.shape, np.float32)
    seen = fi.filtering.gaussian(view, sigma=1, out=out)
    assert seen is out
    np.testing.assert_array_equal(out, fi.filtering.gaussian(view.astype(np.int16), sigma=1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "one of sigma_mm"),
        ({"sigma": 1, "sigma_mm": 1}, "one of sigma_mm"),
        ({"sigma_mm": 1}, "bare array"),
        ({"sigma": -1}, "sigma: must be 0 or more"),
        ({"sigma": (1, 1)}, "expected one or three"),
        ({"sigma": float("nan")}, "sigma: must be finite"),
        ({"sigma": 1, "mode": "zero"}, "mode: must be"),
        ({"sigma": 1, "truncate": 0}, "sigma: must be"),
        ({"sigma": 1, "out": np.empty((1, 1, 1), np.float32)}, "out: expected shape"),
    ],
)
def test_bad_arguments_are_refused_before_work(options, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        fi.filtering.gaussian(np.zeros((2, 2, 2), np.float32), **options)


def test_bad_kernels_are_refused():
    for kernels, words in (
        ([[1]], "expected three"),
        ([[1, 1], [1], [1]], "odd length"),
        ([[np.inf], [1], [1]], "finite"),
    ):
        with pytest.raises(fi.errors.ArgumentError, match=words):
            fi.filtering.separable(np.zeros((2, 2, 2)), kernels)
