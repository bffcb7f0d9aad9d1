"""n4 against its twin and SimpleITK, fixed iterations and stop rule; levels and threads; refusals."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi
from fastimg.harmonize._n4 import _cpu
from fastimg.testing import n4 as twin


def phantom(shape=(20, 18, 22), seed=0):
    """A head of three tissues under a smooth field, and its mask."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.sqrt(x * x + y * y + z * z)
    tissue = np.where(radius < 0.5, 100, np.where(radius < 0.8, 160, 40))
    noise = np.random.default_rng(seed).normal(0, 4, shape)
    image = (tissue + noise) * np.exp(0.3 * x + 0.2 * y * y - 0.2 * z * x)
    return image.astype(np.float32).clip(1), radius < 0.9


@pytest.mark.parametrize("bins", [20, 100, 300])  # transforms of 64, 256 and 1,024, an even number of stages
def test_equals_its_twin_whatever_the_number_of_bins(bins):
    image, mask = phantom((15, 14, 17))
    expected, _ = twin.log_field(image, mask, (12, 6), 0.0, bins=bins)
    _, field = fi.harmonize.n4(image, mask, shrink=1, iterations=(12, 6), threshold=0, bins=bins)
    assert np.abs(np.log(field) - expected)[mask].max() < 2e-6


@pytest.mark.parametrize("threshold", [0.0, 0.006])
def test_equals_its_twin(threshold):
    image, mask = phantom((15, 14, 17))
    expected, done = twin.log_field(image, mask, (12, 6, 4), threshold)
    _, field = fi.harmonize.n4(image, mask, shrink=1, iterations=(12, 6, 4), threshold=threshold)
    assert np.abs(np.log(field) - expected)[mask].max() < 2e-6
    assert (done == [12, 6, 4]) == (threshold == 0)


@pytest.mark.parametrize(("iterations", "threshold"), [((8, 8, 8), 0.0), ((50, 50, 50), 0.004)])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_simpleitk(iterations, threshold, masked, accuracy):
    sitk = pytest.importorskip("SimpleITK")
    image, mask = phantom()
    if not masked:
        mask = np.ones(image.shape, bool)
    corrected, field = fi.harmonize.n4(image, mask, shrink=1, iterations=iterations, threshold=threshold)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(list(iterations))
    n4.SetConvergenceThreshold(threshold)
    theirs = n4.Execute(sitk.GetImageFromArray(image), sitk.GetImageFromArray(mask.astype(np.uint8)))
    log_field = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(sitk.GetImageFromArray(image)))
    accuracy("N4, corrected image", "SimpleITK", corrected[mask], sitk.GetArrayFromImage(theirs)[mask], of="value")
    assert np.abs(np.log(field) - log_field)[mask].max() < 1e-4
    np.testing.assert_allclose(corrected[mask], sitk.GetArrayFromImage(theirs)[mask], rtol=1e-4)


@pytest.mark.parametrize("iterations", [(50,), (50, 50)])
def test_the_default_threshold_ends_a_level_at_itks_iteration(iterations):
    sitk = pytest.importorskip("SimpleITK")
    image, mask = phantom()
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    pair = sitk.GetImageFromArray(image), sitk.GetImageFromArray(mask.astype(np.uint8))
    n4.SetMaximumNumberOfIterations([3])
    n4.Execute(*pair)
    assert n4.GetElapsedIterations() == 3 + 1  # it counts the turn that is refused
    n4.SetMaximumNumberOfIterations(list(iterations))
    n4.Execute(*pair)
    assert n4.GetConvergenceThreshold() == 0.001
    expected, done = twin.log_field(image, mask, iterations, 0.001)
    assert done[-1] + 1 == n4.GetElapsedIterations() <= 50
    _, field = fi.harmonize.n4(image, mask, shrink=1, iterations=iterations)
    assert np.abs(np.log(field) - expected)[mask].max() < 2e-6


def test_shrinking_is_simpleitks():
    sitk = pytest.importorskip("SimpleITK")
    image, mask = phantom((37, 40, 43))
    _, field = fi.harmonize.n4(image, mask, shrink=3, iterations=(10, 10), threshold=0)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([10, 10])
    n4.SetConvergenceThreshold(0)
    whole = sitk.GetImageFromArray(image)
    n4.Execute(sitk.Shrink(whole, [3] * 3), sitk.Shrink(sitk.GetImageFromArray(mask.astype(np.uint8)), [3] * 3))
    assert np.abs(np.log(field) - sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(whole)))[mask].max() < 1e-4


def test_same_bits_on_all_levels_and_threads():
    image, mask = phantom((50, 41, 43))
    seen = []
    for level in fi.config.supported_isa():
        for threads in (1, 2):
            with fi.config.use(isa=level):
                seen.append(fi.harmonize.n4(image, mask, shrink=1, iterations=(4, 3), threads=threads))
    for other in seen[1:]:
        np.testing.assert_array_equal(other[0], seen[0][0])
        np.testing.assert_array_equal(other[1], seen[0][1])


@pytest.mark.parametrize("measure", ["itk", "float64"])
def test_the_stop_rule_ends_levels_at_the_same_iteration_on_threads(monkeypatch, measure):
    """With threads an iteration is made before it is known whether it is wanted."""
    image, mask = phantom((30, 31, 33))
    kept: list[int] = []
    ratio = _cpu._native.n4_ratio  # once for each iteration that is kept
    monkeypatch.setattr(_cpu._native, "n4_ratio", lambda *given: kept.append(threads) or ratio(*given))
    seen = []
    for threads in (1, 2):
        options = {"threshold": 0.008, "measure": measure, "threads": threads}
        seen.append(fi.harmonize.n4(image, mask, shrink=1, iterations=(30, 30), **options))
    assert 4 < kept.count(1) == kept.count(2) < 60
    np.testing.assert_array_equal(seen[1][0], seen[0][0])
    np.testing.assert_array_equal(seen[1][1], seen[0][1])


def test_a_known_field_is_found():
    image, mask = phantom((40, 40, 40))
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, 40),) * 3, indexing="ij")
    truth = 0.3 * x + 0.2 * y * y - 0.2 * z * x
    _, field = fi.harmonize.n4(image, mask, shrink=1)
    rest = (np.log(field) - truth)[mask]
    assert rest.std() < 0.3 * truth[mask].std()


def test_an_image_keeps_geometry_and_its_padding_does_not_count():
    array, mask = phantom()
    array[~mask] = 1e6
    image = fi.Image(array, spacing=(2, 1, 1), unit="arbitrary", padding=~mask)
    corrected, field = fi.harmonize.n4(image, shrink=1, iterations=(5,))
    expected, _ = fi.harmonize.n4(array, mask, shrink=1, iterations=(5,))
    np.testing.assert_array_equal(corrected.array, expected)
    assert (corrected.spacing, corrected.unit, field.unit) == ((2, 1, 1), "arbitrary", "ratio")
    whole, _ = fi.harmonize.n4(array.round().astype(np.int32), mask, shrink=1, iterations=(5,))
    assert whole.dtype == np.float32


GOOD = phantom((8, 8, 8))[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fi.harmonize.n4(GOOD[0]), "one volume"),
        (lambda: fi.harmonize.n4(GOOD, shrink=8), "every axis needs 2"),
        (lambda: fi.harmonize.n4(GOOD, shrink=0), "shrink"),
        (lambda: fi.harmonize.n4(GOOD, iterations=()), "iterations"),
        (lambda: fi.harmonize.n4(GOOD, fwhm=0), "fwhm"),
        (lambda: fi.harmonize.n4(GOOD, threshold=float("nan")), "threshold"),
        (lambda: fi.harmonize.n4(GOOD * np.nan), "NaN"),
        (lambda: fi.harmonize.n4(np.ones((8, 8, 8)), shrink=1), "one value"),
        (lambda: fi.harmonize.n4(GOOD, np.zeros(GOOD.shape), shrink=1), "no positive voxel"),
        (lambda: fi.harmonize.n4(-GOOD, shrink=1), "no positive voxel"),
        (lambda: fi.harmonize.n4(GOOD, np.ones(3)), "mask"),
        (lambda: fi.harmonize.n4(GOOD, weights=np.ones(3)), "weights"),
        (lambda: fi.harmonize.n4(GOOD, shrink=1, weights=-np.ones(GOOD.shape)), "weights"),
        (lambda: fi.harmonize.n4(GOOD, shrink=1, control_points=3), "control_points"),
        (lambda: fi.harmonize.n4(GOOD, shrink=1, measure="mean"), "measure"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call()


@pytest.mark.parametrize("options", [{}, {"weights": True}, {"threshold": 0.1, "measure": "float64"}])
def test_on_every_device(put, get, options, monkeypatch):
    from fastimg.harmonize._n4 import _cuda

    if isinstance(put(np.zeros(1)), fi.testing.HostArray):
        monkeypatch.setattr(_cuda, "_BLOCK", 32)  # a played device's threads are threads
    image, mask = phantom((9, 8, 7))
    options = {"shrink": 1, "iterations": (2, 1), "threshold": 0.0} | options
    if "weights" in options:
        options["weights"] = np.random.default_rng(0).random(image.shape).astype(np.float32)
    expected = fi.harmonize.n4(image, mask, **options)
    there = {name: put(value) if name == "weights" else value for name, value in options.items()}
    seen = fi.harmonize.n4(put(image), put(mask), **there)
    for one, other in zip(seen, expected, strict=True):
        np.testing.assert_allclose(get(one), other, rtol=1e-5)


def test_weights_equal_the_twin_and_leave_voxels_out():
    image, mask = phantom((12, 11, 10))
    weights = np.random.default_rng(1).random(image.shape).astype(np.float32)
    expected, _ = twin.log_field(image, mask, (5, 3), 0, weights=weights)
    _, field = fi.harmonize.n4(image, mask, shrink=1, iterations=(5, 3), threshold=0, weights=weights)
    assert np.abs(np.log(field) - expected)[mask].max() < 2e-6
    none = np.where(np.arange(10) < 5, 0.0, 1.0) * np.ones(image.shape)
    _, field = fi.harmonize.n4(image, mask, shrink=1, iterations=(5,), weights=none)
    _, other = fi.harmonize.n4(image, mask & (none > 0), shrink=1, iterations=(5,))
    np.testing.assert_array_equal(field, other)


def test_nan_is_left_out_by_choice():
    image, mask = phantom((12, 11, 10))
    holed = image.copy()
    holed[3, 4, 5:8] = np.nan
    corrected, field = fi.harmonize.n4(holed, mask, shrink=1, iterations=(4,), nan="ignore")
    clean = np.where(np.isnan(holed), 0, image)
    expected, other = fi.harmonize.n4(clean, mask, shrink=1, iterations=(4,))
    np.testing.assert_array_equal(field, other)
    np.testing.assert_array_equal(np.isnan(corrected), np.isnan(holed))
    np.testing.assert_array_equal(corrected[~np.isnan(holed)], expected[~np.isnan(holed)])


def test_control_points_are_itks():
    sitk = pytest.importorskip("SimpleITK")
    image, mask = phantom((16, 15, 14))
    _, field = fi.harmonize.n4(image, mask, shrink=1, iterations=(4, 3), threshold=0, control_points=6)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([4, 3])
    n4.SetConvergenceThreshold(0)
    n4.SetNumberOfControlPoints([6] * 3)
    n4.Execute(sitk.GetImageFromArray(image), sitk.GetImageFromArray(mask.astype(np.uint8)))
    log_field = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(sitk.GetImageFromArray(image)))
    assert np.abs(np.log(field) - log_field)[mask].max() < 1e-4
