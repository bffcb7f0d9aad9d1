"""KernelMatch and unsharp on scans of known transfer functions; merging; refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

import fastimg as fi
from fastimg import _arrays
from fastimg.harmonize import KernelMatch
from fastimg.testing import harmonize as twin

SPACING = (1.5, 0.7, 0.7)


def scan(seed, sigma_mm, n=96):
    """A disc in noise of all frequencies, seen through the Gaussian transfer function of a reconstruction kernel."""
    noise = np.random.default_rng(seed).normal(0, 60, (8, n, n))
    y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    f_y, f_x = np.fft.fftfreq(n, SPACING[1])[:, None], np.fft.rfftfreq(n, SPACING[2])
    transfer = np.exp(-2 * (np.pi * sigma_mm) ** 2 * (f_y**2 + f_x**2))
    array = np.fft.irfft2(np.fft.rfft2(noise + 300 * (np.hypot(y, x) < 0.6)) * transfer, s=(n, n))
    return fi.Image(array.astype(np.float32), spacing=SPACING, unit="HU")


def apart(a, b):
    return float(np.sqrt(np.square(a.array - b.array).mean()))


def test_energies_are_those_of_the_definition(put):
    image = scan(0, 0.4)
    expected = [band.std() for band in twin.bands(image.array, [1.0, 2.0])[:2]]
    image.array = put(image.array)
    match = KernelMatch(sigmas_mm=(0.7, 1.4))
    np.testing.assert_allclose(match.energies(image), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_same_bits_on_threads(monkeypatch, dtype):
    monkeypatch.setattr(_arrays, "_PIECE", 1000)
    image = scan(0, 0.4)
    image = image.with_array(image.array.astype(dtype))
    match = KernelMatch(sigmas_mm=(0.7, 1.4)).fit([scan(1, 0.8)])
    for work in (
        lambda threads: match.transform(image, threads=threads).array,
        lambda threads: fi.harmonize.unsharp(image, sigma_mm=1, amount=0.5, threads=threads).array,
        lambda threads: fi.harmonize.robust_zscore(image, threads=threads).array,
    ):
        one = work(1)
        assert one.std() > 0
        for threads in (2, 3):
            np.testing.assert_array_equal(work(threads), one)


def test_a_sharp_kernel_becomes_the_smooth_reference():
    match = KernelMatch().fit([scan(seed, 0.9) for seed in range(3)])
    sharp, smooth = scan(9, 0.4), scan(9, 0.9)  # one patient, two kernels
    seen = match.transform(sharp)
    assert apart(seen, smooth) < 0.15 * apart(sharp, smooth)
    np.testing.assert_allclose(match.energies(seen)[:4], match.reference[:4], rtol=0.05)
    # the first band's ratio is that of the two transfer functions over white noise
    assert match.ratios[0] < match.ratios[1] < match.ratios[2] < 1.02
    # a smooth scan stays what it is
    assert apart(match.transform(smooth), smooth) < 0.1 * apart(sharp, smooth)


def test_a_smooth_kernel_is_sharpened_as_far_as_allowed():
    match = KernelMatch(limit=4).fit([scan(seed, 0.4) for seed in range(3)])
    sharp, smooth = scan(9, 0.4), scan(9, 0.7)
    seen = match.transform(smooth)
    assert apart(seen, sharp) < 0.8 * apart(smooth, sharp)
    assert (match.energies(seen) <= 4.2 * match.energies(smooth)).all()


def test_learning_streams_merges_and_is_kept():
    cohort = [scan(seed, 0.5, 32) for seed in range(4)]
    whole = KernelMatch().fit(cohort)
    parts = [KernelMatch().fit([image]) for image in cohort]
    merged = parts[2].merge(parts[0]).merge(parts[3].merge(parts[1]))
    np.testing.assert_array_equal(merged.reference, whole.reference)
    again = KernelMatch.from_dict(json.loads(json.dumps(whole.to_dict())))
    np.testing.assert_array_equal(again.transform(cohort[0]).array, whole.transform(cohort[0]).array)
    for change in ({"version": 2}, {"format": "x"}, {"sum": [1]}, {"sigmas_mm": [2, 1]}):
        with pytest.raises((fi.errors.FormatError, fi.errors.ArgumentError)):
            KernelMatch.from_dict(whole.to_dict() | change)


def test_masks_and_whole_numbers():
    array = np.asarray(scan(0, 0.4, 32).array).round().astype(np.int16)
    mask = np.zeros(array.shape, bool)
    mask[:, 8:24, 8:24] = True
    plain = fi.Image(array, spacing=SPACING)
    match = KernelMatch(sigmas_mm=(0.5, 1))
    np.testing.assert_allclose(
        match.energies(plain, mask=mask)[0], twin.bands(array, np.array([0.5]) / 0.7)[0][mask].std(), rtol=1e-4
    )


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_padding_does_not_spread(dtype):
    """What stands in the padding changes nothing outside of it: as if it was left out as NaN."""
    array = np.asarray(scan(0, 0.4, 24).array).round()
    padding = np.broadcast_to(np.hypot(*np.mgrid[-1:1:24j, -1:1:24j]) > 0.9, array.shape)
    left_out = fi.Image(np.where(padding, np.float32(np.nan), array), spacing=SPACING)
    match = KernelMatch(sigmas_mm=(0.7, 1.4), iterations=2).fit([scan(1, 0.9, 24)])
    works = (
        lambda image, **more: match.transform(image, **more).array,
        lambda image, **more: fi.harmonize.unsharp(image, sigma_mm=1, amount=0.5, **more).array,
    )
    for value in (-2000, 30000):
        image = fi.Image(np.where(padding, value, array).astype(dtype), spacing=SPACING, padding=padding)
        np.testing.assert_array_equal(match.energies(image), match.energies(left_out, nan="ignore"))
        for work in works:
            seen = work(image)
            np.testing.assert_array_equal(seen[~padding], work(left_out, nan="ignore")[~padding])
            assert (seen[padding] == value).all()


def test_unsharp_leaves_padding_out_on_every_device(put, get):
    array = np.random.default_rng(0).normal(0, 100, (3, 20, 24)).astype(np.float32)
    padding = np.zeros(array.shape, bool)
    padding[:, :4] = True
    image = fi.Image(put(array), spacing=SPACING, padding=put(padding))
    other = fi.Image(put(np.where(padding, np.float32(5000), array)), spacing=SPACING, padding=put(padding))
    one, two = (get(fi.harmonize.unsharp(each, sigma_mm=0.9, amount=0.8).array) for each in (image, other))
    np.testing.assert_array_equal(one[~padding], two[~padding])
    np.testing.assert_array_equal(one[padding], array[padding])


def test_padding_may_be_nan():
    array = np.asarray(scan(0, 0.4, 48).array).copy()
    padding = np.zeros(array.shape, bool)
    padding[:, :5] = True
    array[padding] = np.nan
    image = fi.Image(array, spacing=SPACING, padding=padding)
    assert np.isfinite(fi.harmonize.unsharp(image, sigma_mm=1, amount=0.5).array[~padding]).all()
    array[3, 20, 20] = np.inf
    with pytest.raises(fi.errors.ArgumentError, match="NaN or infinite"):
        fi.harmonize.unsharp(image, sigma_mm=1, amount=0.5)


@pytest.mark.parametrize("terms", range(1, 8))
def test_weighted_sums_are_numpys_one_after_another(put, get, terms):
    rng = np.random.default_rng(terms)
    arrays = rng.normal(0, 100, (terms, 70_001)).astype(np.float32)
    weights = rng.normal(0, 2, terms).astype(np.float32)
    expected = arrays[0] * weights[0]
    for array, weight in zip(arrays[1:], weights[1:], strict=True):
        expected += array * weight
    for into in (None, 0, terms - 1):  # in place too
        given = [put(array.copy()) for array in arrays]
        out = put(np.empty_like(expected)) if into is None else given[into]
        leaf = fi._dispatch.pick(out, leaf="harmonize")
        for threads in (1, 3) if into is None else (3,):
            leaf.combine(given, weights, out, threads=threads)
            np.testing.assert_array_equal(get(out), expected)


@pytest.mark.parametrize("into", [None, 0, 1])
def test_the_loop_of_unsharp_is_numpys(put, get, into):
    arrays = np.random.default_rng(0).normal(0, 100, (2, 70_001)).astype(np.float32)
    expected = arrays[0] + np.float32(0.7) * (arrays[0] - arrays[1])
    given = [put(array.copy()) for array in arrays]
    out = put(np.empty_like(expected)) if into is None else given[into]
    fi._dispatch.pick(out, leaf="harmonize").unsharp(*given, 0.7, out, threads=3)
    np.testing.assert_array_equal(get(out), expected)


def test_unsharp_leaves_what_has_one_value(put, get):
    image = fi.Image(put(np.full((2, 20, 300), 37.3, np.float32)), spacing=SPACING)
    seen = get(fi.harmonize.unsharp(image, sigma_mm=0.6, amount=7.1).array)
    np.testing.assert_allclose(seen, np.float32(37.3), rtol=1e-6)  # the smoothed value's own rounding


def test_unsharp_has_its_documented_gain(put, get):
    n, cycles = 64, 8
    wave = np.cos(2 * np.pi * cycles * np.arange(n) / n).astype(np.float32)
    image = fi.Image(put(np.tile(wave, (2, n, 1))), spacing=(1, 0.5, 0.5))
    f = cycles / (n * 0.5)
    for amount in (0.8, -1.0):
        seen = get(fi.harmonize.unsharp(image, sigma_mm=0.6, amount=amount).array)
        gain = 1 + amount * (1 - np.exp(-2 * (np.pi * 0.6 * f) ** 2))
        np.testing.assert_allclose(seen[0, n // 2, 20:44], gain * wave[20:44], atol=2e-3)


@pytest.mark.parametrize("in_plane", [True, False])
def test_unsharp_is_scipys_border_included(put, get, in_plane):
    array = np.random.default_rng(0).normal(0, 100, (3, 20, 24)).astype(np.float32)
    sigmas = (0.0 if in_plane else 0.9 / SPACING[0], 0.9 / SPACING[1], 0.9 / SPACING[2])
    smooth = ndimage.gaussian_filter(array.astype(np.float64), sigmas, mode="reflect", truncate=4.0)
    image = fi.Image(put(array), spacing=SPACING)
    seen = get(fi.harmonize.unsharp(image, sigma_mm=0.9, amount=0.8, in_plane=in_plane).array)
    np.testing.assert_allclose(seen, array + 0.8 * (array - smooth), rtol=0, atol=1e-6 * np.ptp(array))


@pytest.mark.parametrize("in_plane", [True, False])
def test_unsharp_leaves_holes_out_by_choice(put, get, in_plane):
    """Against the ratio of SciPy's Gaussians of the values that count and of their weights, in float64."""
    array = np.random.default_rng(0).normal(0, 100, (3, 20, 24)).astype(np.float32)
    array[1, 4:7, 5:9], array[0, 0, 0], array[2, 11, 12] = np.nan, np.inf, -np.inf
    sound = np.isfinite(array)
    sigmas = (0.0 if in_plane else 0.9 / SPACING[0], 0.9 / SPACING[1], 0.9 / SPACING[2])
    values, weights = (
        ndimage.gaussian_filter(part.astype(np.float64), sigmas, mode="reflect", truncate=4.0)
        for part in (np.where(sound, array, 0), sound)
    )
    image = fi.Image(put(array), spacing=SPACING)
    seen = get(fi.harmonize.unsharp(image, sigma_mm=0.9, amount=0.8, in_plane=in_plane, nan="ignore").array)
    np.testing.assert_array_equal(seen[~sound], array[~sound])
    expected = array[sound] + 0.8 * (array[sound] - (values / weights)[sound])
    np.testing.assert_allclose(seen[sound], expected, rtol=0, atol=2e-6 * np.ptp(array[sound]))


def test_holes_do_not_count_in_energies_and_stay_in_the_result():
    holed, whole = scan(0, 0.4, 48), scan(0, 0.4, 48)
    holed.array[3, 10:14, 20:22], holed.array[5, 0, 0] = np.nan, np.inf
    holes = ~np.isfinite(holed.array)
    match = KernelMatch(sigmas_mm=(0.7, 1.4)).fit([scan(1, 0.9, 48)])
    seen = match.transform(holed, nan="ignore").array
    np.testing.assert_array_equal(seen[holes], holed.array[holes])
    assert np.isfinite(seen[~holes]).all()
    # 9 of 18432 voxels say next to nothing of a scan's energies; what is far from them is as it was
    np.testing.assert_allclose(match.energies(holed, nan="ignore"), match.energies(whole), rtol=0.01)
    np.testing.assert_allclose(seen[0], match.transform(whole).array[0], rtol=0, atol=1)
    learnt = KernelMatch(sigmas_mm=(0.7, 1.4)).fit([holed], nan="ignore")
    np.testing.assert_array_equal(learnt.reference, match.energies(holed, nan="ignore"))


FLAT = fi.Image(np.full((2, 16, 16), 7, np.float32), spacing=SPACING, unit="HU")
HOLES = fi.Image(np.full((2, 16, 16), np.nan, np.float32), spacing=SPACING, unit="HU")
GOOD = scan(0, 0.4, 16)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: KernelMatch(sigmas_mm=(2, 1)), "increase"),
        (lambda: KernelMatch(sigmas_mm=()), "increase"),
        (lambda: KernelMatch(limit=1), "limit"),
        (lambda: KernelMatch().transform(GOOD), "not fitted"),
        (lambda: KernelMatch().fit([]), "no image"),
        (lambda: KernelMatch().fit([np.ones((2, 4, 4))]), "give an Image"),
        (lambda: KernelMatch().fit([fi.Image(np.ones((2, 4, 4)), unit="arbitrary")]), "not HU"),
        (lambda: KernelMatch().fit([HOLES]), "NaN"),
        (lambda: KernelMatch().fit([HOLES], nan="ignore"), "no voxel"),
        (lambda: KernelMatch().fit([GOOD], nan="drop"), "nan"),
        (lambda: KernelMatch().fit([GOOD]).transform(HOLES), "NaN"),
        (lambda: KernelMatch().fit([GOOD], masks=[np.zeros(GOOD.shape)]), "no voxel"),
        (lambda: KernelMatch().fit([GOOD]).transform(FLAT), "one value"),
        (lambda: fi.harmonize.unsharp(np.ones((2, 3, 4)), sigma_mm=1, amount=1), "Image"),
        (lambda: fi.harmonize.unsharp(GOOD, sigma_mm=0, amount=1), "positive"),
        (lambda: fi.harmonize.unsharp(HOLES, sigma_mm=1, amount=1), "NaN"),
        (lambda: fi.harmonize.unsharp(GOOD, sigma_mm=1, amount=1, nan="drop"), "nan"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call()
