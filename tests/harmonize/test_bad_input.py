"""What every image scale does with input that is odd but right, and with input that is wrong."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import fastimg as fi

H = fi.harmonize


def brain():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(m, s, n) for m, s, n in ((200, 30, 300), (600, 50, 500), (900, 40, 520))])
    rng.shuffle(values)
    return values.round().astype(np.int16).reshape(10, 11, 12)


def by_image(function):
    """Arrays for a function of an Image in mm."""

    def call(image, **more):
        seen = function(image if isinstance(image, fi.Image) else fi.Image(image, spacing=(1.5, 0.7, 0.7)), **more)
        return seen if isinstance(image, fi.Image) else seen.array

    return call


def kernel_matched(image, mask=None, **more):
    match = H.KernelMatch(sigmas_mm=(0.7, 1.4)).fit([fi.Image(brain() * 2, spacing=(1.5, 0.7, 0.7))])
    return by_image(match.transform)(image, mask=mask, **more)


# name -> call of (image, mask)
SCALES = {
    "zscore": lambda image, mask=None, **more: H.zscore(image, mask, **more),
    "robust_zscore": lambda image, mask=None, **more: H.robust_zscore(image, mask, **more),
    "percentile": lambda image, mask=None, **more: H.percentile(image, mask, **more),
    "minmax": lambda image, mask=None, **more: H.minmax(image, mask, **more),
    "clahe": lambda image, mask=None, **more: H.clahe(image, mask, tile=5, **more),
    "nyul": lambda image, mask=None, **more: H.Nyul().fit([brain()]).transform(image, mask=mask, **more),
    "match": lambda image, mask=None, **more: H.match_histogram(image, brain() * 2, mask=mask, **more),
    "match in pieces": lambda image, mask=None, **more: H.match_histogram(image, brain(), mask=mask, points=9, **more),
    "match above the mean": lambda image, mask=None, **more: H.match_histogram(
        image, brain(), mask=mask, points=9, above_mean=True, **more
    ),
    "whitestripe": lambda image, mask=None, **more: H.WhiteStripe().fit_transform(image, mask=mask, **more),
    "fcm": lambda image, mask=None, **more: H.FCM().fit_transform(image, mask=mask, **more),
    "kde": lambda image, mask=None, **more: H.KDE().fit_transform(image, mask=mask, **more),
    "lsq": lambda image, mask=None, **more: H.LSQ().fit([brain()]).transform(image, mask=mask, **more),
    "n4": lambda image, mask=None, **more: H.n4(image, mask, shrink=1, iterations=(2,), **more)[0],
}
EVERY = pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
# Its Gaussians see voxels outside of a mask too, which the energies then leave out.
MEASURED = SCALES | {"kernel match": kernel_matched}
EVERY_MASKED = pytest.mark.parametrize("scale", MEASURED.values(), ids=MEASURED)
# These measure nothing, so they have no mask.
ALL = MEASURED | {
    "window": H.window,
    "unsharp": lambda image, **more: by_image(H.unsharp)(image, sigma_mm=1, amount=1, **more),
}
ANY = pytest.mark.parametrize("scale", ALL.values(), ids=ALL)


def test_no_scale_of_images_is_left_out():
    """Every public name that takes an image and gives one; what works on features is listed by name."""
    features = {"ComBat", "CovBat", "Design", "Formula", "LongitudinalComBat", "NestedComBat", "Spline", "Statistics"}
    features |= {"agreement", "effect_of", "risen", "site_effect"}
    images = set(H.__all__) - features
    assert len(images) == len(set(ALL) - {"match in pieces", "match above the mean"})
    for name in images:
        function = getattr(H, name)
        calls = (
            [function]
            if inspect.isfunction(function)
            else [function.fit, getattr(function, "fit_transform", function.transform)]
        )
        assert all("nan" in inspect.signature(call).parameters for call in calls), name


@ANY
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_strides_byte_order_and_read_only_change_nothing(scale, dtype):
    image = brain().astype(dtype)
    expected = scale(image)
    wide = np.zeros((20, 11, 24), dtype)
    wide[::2, :, ::2] = image
    turned = np.ascontiguousarray(image.T).T
    frozen = image.copy()
    frozen.flags.writeable = False
    for same in (wide[::2, :, ::2], turned, frozen, image.astype(image.dtype.newbyteorder(">"))):
        before = same.copy()
        np.testing.assert_array_equal(scale(same), expected)
        np.testing.assert_array_equal(same, before)  # inputs are never written


@EVERY_MASKED
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_constant_image_is_refused(scale, dtype):
    words = r"one value|no contrast|as many|equal|none"
    with pytest.raises(fi.errors.ArgumentError, match=words):
        scale(np.full((4, 5, 6), 7, dtype))


@EVERY_MASKED
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_an_empty_mask_is_refused(scale, dtype):
    image = brain().astype(dtype)
    with pytest.raises(fi.errors.ArgumentError, match=r"no voxel|empty|no finite|no positive|none"):
        scale(image, np.zeros(image.shape, bool))


@EVERY_MASKED
def test_a_mask_of_another_shape_is_refused(scale):
    with pytest.raises(fi.errors.ArgumentError, match="shape"):
        scale(brain(), np.ones((3, 3), bool))


@ANY
def test_nan_is_refused_or_ignored_and_never_spreads(scale):
    image = brain().astype(np.float32)
    image[3, 4, 5] = np.nan
    with pytest.raises(fi.errors.ArgumentError, match="NaN"):
        scale(image)
    with pytest.raises(fi.errors.ArgumentError, match="NaN"):
        scale(image, nan="raise")
    seen = scale(image, nan="ignore")
    np.testing.assert_array_equal(np.isnan(seen), np.isnan(image))
    with pytest.raises(fi.errors.ArgumentError, match="nan"):
        scale(image, nan="drop")


@EVERY
def test_padding_of_an_image_does_not_count(scale):
    array = brain()
    padding = np.zeros(array.shape, bool)
    padding[:, :2] = True
    one, two = (np.where(padding, np.int16(value), array) for value in (30000, 3))
    seen, other = (scale(fi.Image(dirty, padding=padding)).array[:, 2:] for dirty in (one, two))
    np.testing.assert_array_equal(seen, other)


@EVERY
def test_what_lies_outside_a_mask_does_not_count(scale):
    array = brain()
    mask = np.ones(array.shape, np.uint8)
    mask[:, :2] = 0
    one, two = (np.where(mask == 0, other, array) for other in (array * np.int16(9), array // 3 + 1))
    seen, other = (scale(dirty, mask)[:, 2:] for dirty in (one, two))
    np.testing.assert_array_equal(seen, other)
    assert not np.array_equal(scale(one)[:, 2:], seen)


@ANY
def test_one_slice(scale):
    image = brain()[:1].repeat(12, axis=1)
    if scale is SCALES["n4"]:
        with pytest.raises(fi.errors.ArgumentError, match="every axis needs 2"):
            scale(image)
        return
    assert np.isfinite(scale(image)).all()


@EVERY_MASKED
def test_arrays_of_two_devices_are_refused(scale):
    with fi.testing.host_device() as put, pytest.raises(fi.errors.DeviceError, match="different devices"):
        scale(brain(), put(np.ones((10, 11, 12), bool)))


def test_units():
    with pytest.raises(fi.errors.ArgumentError, match="not HU"):
        H.window(fi.Image(brain(), unit="arbitrary"))
    ct, mr = (fi.Histogram.of(fi.Image(brain(), unit=unit)) for unit in ("HU", "arbitrary"))
    with pytest.raises(fi.errors.ArgumentError, match="HU"):
        ct + mr
    seen = H.match_histogram(fi.Image(brain(), unit="arbitrary"), fi.Image(brain(), unit="HU"))
    assert seen.unit == "HU"


def test_matching_is_scikit_images(accuracy):
    exposure = pytest.importorskip("skimage.exposure", reason="peer scikit-image is not installed")
    image, reference = brain(), (brain()[::-1].astype(np.int32) * 3 // 2 + 7).astype(np.int16)
    expected = exposure.match_histograms(image, reference)
    seen = H.match_histogram(image, reference)
    accuracy("histogram matching", "scikit-image", seen, expected)
    np.testing.assert_allclose(seen, expected, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("above", [True, False])
def test_matching_in_pieces_is_close_to_simpleitks(above, accuracy):
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    image, reference = brain().astype(np.float32), brain()[::-1].astype(np.float32) ** 1.1
    theirs = sitk.HistogramMatching(*map(sitk.GetImageFromArray, (image, reference)), 4096, 7, above)
    seen = H.match_histogram(image, reference, points=9, above_mean=above)
    accuracy("histogram matching in pieces", "SimpleITK", seen, sitk.GetArrayFromImage(theirs))
    # it takes quantiles from bins, 1/4096 of the range each
    assert np.abs(seen - sitk.GetArrayFromImage(theirs)).max() < 0.006 * np.ptp(reference)


@ANY
def test_a_result_above_the_memory_limit_is_refused(scale):
    with fi.config.use(memory_limit=1000), pytest.raises(fi.errors.FastimgError, match="memory limit"):
        scale(brain().astype(np.float32))
