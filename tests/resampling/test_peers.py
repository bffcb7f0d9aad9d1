"""fi.resample against SimpleITK and SciPy, within the half-voxel rim too."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import fastimg as fi

sitk = pytest.importorskip("SimpleITK")
INTERPOLATORS = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear}


def smooth(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (ndimage.gaussian_filter(rng.normal(0, 1, shape), 1.0) * 5000).astype(np.float32)


def peer(image, like, order, pixel=None):
    source, target = image.to_sitk(), like.to_sitk()
    return sitk.GetArrayFromImage(
        sitk.Resample(source, target, sitk.Transform(), INTERPOLATORS[order], -77.0, pixel or source.GetPixelID())
    )


def target(shape=(31, 45, 52), spacing=(0.9, 1.03, 0.61), origin=(-1.2, 0.3, 0.4)):
    return fi.Image(np.zeros(shape, np.uint8), spacing=spacing, origin=origin)


@pytest.fixture
def image():
    return fi.Image(smooth((20, 32, 40)), spacing=(1.5, 0.7, 0.8), origin=(-0.5, 0.1, 0.2))


@pytest.mark.parametrize("order", ["nearest", "linear"])
def test_float_equals_simpleitk_to_1e_4_of_range(image, order, accuracy):
    expected = peer(image, target(), order)
    seen = fi.resample(image, like=target(), order=order, cval=-77).array
    outside = expected == -77
    assert 0.01 < outside.mean() < 0.9
    np.testing.assert_array_equal(seen == -77, outside)
    accuracy(f"resample, {order}", "SimpleITK", seen[~outside], expected[~outside])
    assert np.abs(seen - expected).max() <= 1e-4 * np.ptp(image.array)


def test_truncation_equals_simpleitk_but_on_whole_numbers(image):
    image = image.with_array(image.array.astype(np.int16))
    expected = peer(image, target(), "linear")
    seen = fi.resample(image, like=target(), rounding="truncate", cval=-77).array
    exact = peer(image, target(), "linear", sitk.sitkFloat64)
    differs = seen != expected
    assert np.abs(exact - np.rint(exact))[differs].max(initial=0) < 1e-9
    assert differs.mean() < 0.01
    rounded = fi.resample(image, like=target(), cval=-77).array
    tie = np.abs(exact - np.floor(exact) - 0.5) < 1e-3
    np.testing.assert_array_equal(rounded[~tie], np.rint(exact)[~tie])


def test_linear_equals_scipy_on_shared_conventions(image, accuracy):
    seen = fi.resample(image, spacing=1)
    steps = np.array(seen.spacing) / np.array(image.spacing)
    expected = ndimage.affine_transform(image.array, steps, output_shape=seen.shape, order=1, mode="nearest")
    accuracy("resample, linear", "scipy", seen.array, expected)
    assert np.abs(seen.array - expected).max() <= 1e-4 * np.ptp(image.array)


@pytest.mark.parametrize("shape", [(7, 64, 13), (40, 16, 80)])
def test_half_pixel_equals_scipys_grid_mode(image, shape, accuracy):
    seen = fi.resample(image, shape=shape, half_pixel=True, cval="edge").array
    factors = np.array(shape) / np.array(image.shape)
    expected = ndimage.zoom(image.array.astype(np.float64), factors, order=1, mode="nearest", grid_mode=True)
    accuracy("resample, linear, half-pixel grid", "scipy", seen, expected)
    assert np.abs(seen - expected).max() <= 1e-5 * np.ptp(image.array)


def test_half_pixel_equals_torch(image, accuracy):
    torch = pytest.importorskip("torch")
    seen = fi.resample(image, shape=(7, 64, 13), half_pixel=True, cval="edge").array
    tensor = torch.from_numpy(image.array)[None, None]
    expected = torch.nn.functional.interpolate(tensor, size=(7, 64, 13), mode="trilinear", align_corners=False)
    accuracy("resample, linear, half-pixel grid", "torch", seen, expected[0, 0].numpy())
    assert np.abs(seen - expected[0, 0].numpy()).max() <= 1e-4 * np.ptp(image.array)
