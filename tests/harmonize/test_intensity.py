"""zscore, robust_zscore, percentile and minmax against NumPy, on every device, level and thread count; refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastimg as fi
from fastimg.testing import harmonize as twin

DTYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]


def values_of(dtype):
    values = np.random.default_rng(2).normal(60, 20, (5, 11, 23)).clip(0, 127)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("masked", [False, True])
def test_against_numpy_on_every_device(put, get, dtype, masked, accuracy):
    values = values_of(dtype)
    mask = values > 50 if masked else np.ones(values.shape, bool)
    options = {"mask": put(mask)} if masked else {}
    inside = values[mask].astype(np.float64)
    seen = get(fi.harmonize.zscore(put(values), **options))
    assert seen.dtype == np.float32
    accuracy("z-score", "numpy", seen, (values - inside.mean()) / inside.std())
    np.testing.assert_allclose(seen, (values - inside.mean()) / inside.std(), rtol=0, atol=2e-6)
    seen = get(fi.harmonize.robust_zscore(put(values), **options))
    median = np.median(inside)
    spread = 1.4826022185056018 * np.median(np.abs(inside - median))
    accuracy("robust z-score", "numpy", seen, (values - median) / spread)
    np.testing.assert_allclose(seen, (values - median) / spread, rtol=0, atol=2e-6)
    seen = get(fi.harmonize.percentile(put(values), low=2, high=97.5, **options))
    low, high = np.percentile(inside, (2, 97.5))
    np.testing.assert_array_equal(seen, twin.window(values, low, high))
    seen = get(fi.harmonize.minmax(put(values), **options))
    np.testing.assert_array_equal(seen, twin.window(values, inside.min(), inside.max()))


@settings(max_examples=40, deadline=None)
@given(
    values=hnp.arrays(st.sampled_from([np.int16, np.float32]), st.integers(2, 5000), elements=st.integers(-3000, 3000)),
    threads=st.integers(1, 3),
)
def test_same_bits_on_all_levels_and_threads(values, threads):
    values[0], values[1] = -1, 1
    wide = values.astype(np.float64)
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            seen = fi.harmonize.zscore(values, threads=threads)
            scaled = fi.harmonize.minmax(values, threads=threads)
        if level == "baseline":
            first, also = seen, scaled
        np.testing.assert_array_equal(seen, first)
        np.testing.assert_array_equal(scaled, also)
    np.testing.assert_allclose(first, (wide - wide.mean()) / wide.std(), rtol=1e-5, atol=1e-5)


def test_the_affine_atom_equals_its_twin():
    values = values_of(np.float32)
    seen = fi.histogram.moments(values)
    np.testing.assert_array_equal(fi.harmonize.zscore(values), twin.affine(values, seen.mean, seen.std()))


def test_an_image_keeps_geometry_and_leaves_padding_out():
    array = np.full((2, 3, 4), -2000, np.int16)
    array[1] = np.arange(12).reshape(3, 4)
    padding = array == -2000
    image = fi.Image(array, spacing=(3, 1, 1), unit="HU", padding=padding)
    seen = fi.harmonize.zscore(image)
    assert (seen.spacing, seen.unit) == ((3, 1, 1), "normalised")
    assert seen.array[1].mean() == pytest.approx(0, abs=1e-6)
    assert seen.array[1].std() == pytest.approx(1, abs=1e-6)
    assert fi.harmonize.minmax(image).array[1].ravel().tolist() == pytest.approx(np.linspace(0, 1, 12))


@pytest.mark.parametrize("name", ["zscore", "robust_zscore", "percentile", "minmax"])
def test_refusals(name):
    function = getattr(fi.harmonize, name)
    with pytest.raises(fi.errors.ArgumentError, match="one value"):
        function(np.full((2, 2, 2), 7, np.int16))
    with pytest.raises(fi.errors.ArgumentError, match="one value"):
        function(np.full((2, 2, 2), 7, np.float32))
    with pytest.raises(fi.errors.ArgumentError, match=r"no voxel is left|empty|no finite value"):
        function(np.arange(8, dtype=np.int16), mask=np.zeros(8, bool))
    with pytest.raises(fi.errors.ArgumentError, match=r"no voxel is left|empty|no finite value"):
        function(np.arange(8, dtype=np.float32), mask=np.zeros(8, bool))
    values = np.float32([1, 2, np.nan, 4])
    with pytest.raises(fi.errors.ArgumentError, match="NaN or infinite"):
        function(values)
    seen = function(values, nan="ignore")
    assert np.isnan(seen).tolist() == [False, False, True, False]
    with pytest.raises(fi.errors.ArgumentError, match="overlaps"):
        function(values, nan="ignore", out=values)


def test_percentiles_must_increase():
    with pytest.raises(fi.errors.ArgumentError, match="low < high"):
        fi.harmonize.percentile(np.arange(5), low=50, high=50)
