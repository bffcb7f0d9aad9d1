"""Nyul, match_histogram and WhiteStripe against slow definitions; streaming, merging, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.harmonize import Nyul, WhiteStripe, match_histogram
from fastimg.testing import harmonize as twin


def images(dtype=np.float32, count=3):
    rng = np.random.default_rng(5)
    return [rng.gamma(4, 5 + 6 * i, (9, 10, 21)).astype(dtype) for i in range(count)]


def slow_scale(cohort, percentiles, low=1.0, high=100.0):
    total = 0
    for image in cohort:
        own = np.percentile(image.astype(np.float64), percentiles)
        total = total + low + (own - own[0]) / (own[-1] - own[0]) * (high - low)
    return total / len(cohort)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32, np.float32, np.float64])
def test_nyul_equals_the_definition_on_every_device(request, put, get, dtype):
    cohort = [image.clip(0, 255).astype(dtype) for image in images(count=2)]
    # a played device takes a second for each rank of floats
    few = request.node.callspec.params["put"] == "host" and np.dtype(dtype).kind == "f"
    nyul = Nyul(inner=(30, 60)) if few else Nyul()
    nyul.fit([put(image) for image in cohort])
    np.testing.assert_allclose(nyul.standard, slow_scale(cohort, nyul.percentiles), rtol=1e-13)
    for image in cohort:
        own = np.percentile(image.astype(np.float64), nyul.percentiles)
        expected = twin.piecewise(image, own, nyul.standard)
        np.testing.assert_allclose(get(nyul.transform(put(image))), expected, rtol=1e-5, atol=1e-4)


def test_nyul_is_that_of_intensity_normalization():
    peer = pytest.importorskip("intensity_normalization", reason="peer intensity-normalization is not installed")
    cohort = images()  # all above 0, where it looks without a mask
    wrapped = [peer.adapters.images.NumpyImageAdapter(image) for image in cohort]
    theirs = peer.normalizers.population.nyul.NyulNormalizer()
    theirs.fit_population(wrapped)
    nyul = Nyul().fit(cohort)
    for image, other in zip(cohort, wrapped, strict=True):
        expected = theirs.transform(other).get_data()
        np.testing.assert_allclose(nyul.transform(image), expected, rtol=0, atol=1e-5 * np.ptp(expected))


def test_nyul_by_table_equals_nyul_by_search():
    image = np.random.default_rng(0).integers(-1000, 3000, (5, 150, 150)).astype(np.int16)  # enough voxels for a table
    nyul = Nyul().fit([image, image // 2])
    np.testing.assert_array_equal(nyul.transform(image), nyul.transform(image.astype(np.int32)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(2, 40), threads=st.integers(1, 3))
def test_the_map_has_the_same_bits_on_all_levels_whatever_the_number_of_knots(seed, count, threads):
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 100, 3001).astype(np.float32)
    image[:3] = np.nan, np.inf, -np.inf
    inner = np.sort(rng.choice(np.arange(2, 98), count - 2, replace=False)) if count > 2 else ()
    nyul = Nyul(inner=inner).fit([image[3:]])
    seen = []
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            seen.append(nyul.transform(image, nan="ignore", threads=threads))
    for other in seen[1:]:
        np.testing.assert_array_equal(seen[0], other)
    own = np.percentile(image[3:].astype(np.float64), nyul.percentiles)
    np.testing.assert_allclose(seen[0][3:], twin.piecewise(image[3:], own, nyul.standard), rtol=1e-4, atol=1e-3)
    assert np.isnan(seen[0][0])


def test_nyul_streams_merges_and_learns_from_histograms():
    cohort = images(np.int16)
    whole = Nyul().fit(cohort)
    streamed = Nyul()
    for image in cohort:
        streamed.partial_fit(fi.Histogram.of(image))
    merged = Nyul().fit(cohort[:1]).merge(Nyul().fit(cohort[1:]))
    np.testing.assert_array_equal(streamed.standard, whole.standard)
    np.testing.assert_allclose(merged.standard, whole.standard, rtol=1e-14)
    again = Nyul.from_dict(json.loads(json.dumps(whole.to_dict())))
    np.testing.assert_array_equal(again.transform(cohort[0]), whole.transform(cohort[0]))
    for change in ({"version": 3}, {"format": "x"}, {"sum": [1]}, {"sum": ["z"] * 11}, {"percentiles": []}):
        with pytest.raises(fi.errors.FormatError):
            Nyul.from_dict(whole.to_dict() | change)


def test_nyul_with_a_background_of_one_value():
    image = images(np.int16)[0]
    image[:4] = 0  # the lowest landmarks coincide
    seen = Nyul().fit([image]).transform(image)
    assert np.isfinite(seen).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Nyul(inner=(50, 40)), "increase"),
        (lambda: Nyul(scale=(1, 1)), "increasing"),
        (lambda: Nyul().standard, "not fitted"),
        (lambda: Nyul().fit([]), "no image"),
        (lambda: Nyul().fit([np.ones((2, 2, 2), np.int16)]), "no contrast"),
        (lambda: Nyul().fit([np.float32([1, np.nan])]), "NaN"),
        (lambda: Nyul().partial_fit(fi.Histogram.of(np.int16([1, 2])), mask=np.ones(2)), "mask"),
        (lambda: match_histogram(np.ones(9, np.int16), np.arange(9)), "one value"),
        (lambda: match_histogram(np.arange(9), np.zeros(0, np.int16)), "reference"),
        (lambda: match_histogram(np.arange(9), np.arange(9), points=1), "points"),
        (lambda: WhiteStripe("CT"), "contrast"),
        (lambda: WhiteStripe(width=0.6), "width"),
        (lambda: WhiteStripe().transform(np.arange(9)), "not fitted"),
        (lambda: WhiteStripe().fit(np.ones(9)), "one value"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_exact_matching_is_scikit_images_definition(put, get, dtype):
    one, two = (image.clip(0, 200).astype(dtype) for image in images(count=2))
    _, inverse, counts = np.unique(one, return_inverse=True, return_counts=True)
    values, others = np.unique(two, return_counts=True)
    expected = np.interp(np.cumsum(counts) / one.size, np.cumsum(others) / two.size, values)[inverse].reshape(one.shape)
    seen = get(match_histogram(put(one), put(two)))
    np.testing.assert_allclose(seen, expected, rtol=1e-6, atol=1e-4)


def test_matching_of_floats_by_quantiles():
    one, two = images(count=2)
    seen = match_histogram(one, two)
    q = np.linspace(0, 1, 101)
    wide = np.quantile(two.astype(np.float64), q)
    assert np.abs(np.quantile(seen.astype(np.float64), q) - wide)[2:-2].max() < 0.01 * np.ptp(wide)
    again = match_histogram(one, fi.Histogram.of(two))
    assert np.abs(again - seen).max() < 0.01 * np.ptp(wide)


def test_quantiles_of_a_large_float_image_are_close_whatever_its_outliers():
    from fastimg.harmonize._match import _spaced

    values = np.random.default_rng(0).gamma(3, 50, 200_000).astype(np.float32)
    values[7] = 1e30
    seen = _spaced(values, None, 257, "raise", None)
    expected = np.quantile(values.astype(np.float64), np.linspace(0, 1, 257))
    np.testing.assert_allclose(seen[:-1], expected[:-1], rtol=0, atol=(expected[-2] - expected[1]) / 65536 * 3)
    assert seen[-1] == expected[-1]


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_whitestripe_finds_white_matter(put, get, dtype):
    rng = np.random.default_rng(1)
    tissues = ((20, 6, 8000), (600, 60, 20000), (1000, 40, 30000))  # fluid, grey, white
    brain = np.concatenate([rng.normal(mean, sd, n) for mean, sd, n in tissues]).astype(dtype)
    stripe = WhiteStripe("T1").fit(put(brain), mask=put(np.ones(brain.shape, bool)))
    assert abs(stripe.peak - 1000) < 15
    assert abs(stripe.mean - 1000) < 15
    inside = brain[np.abs(brain - stripe.mean) < 2 * stripe.std].astype(np.float64)
    assert 0.05 < inside.size / brain.size < 0.2
    seen = get(stripe.transform(put(brain)))
    np.testing.assert_allclose(seen, (brain - stripe.mean) / stripe.std, rtol=1e-5, atol=1e-5)
    flair = WhiteStripe("FLAIR").fit(brain[:28000], mask=np.ones(28000))
    assert abs(flair.peak - 600) < 20
