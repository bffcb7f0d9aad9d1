"""Convolutional filters against their definitions written out, SciPy, ITK and PyWavelets; bits over levels and threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import fastimg as fi
from fastimg import filtering as f
from fastimg.errors import ArgumentError, DeviceError
from fastimg.filtering._recursive import laplacian_in
from fastimg.filtering._rotations import rotated
from fastimg.filtering._wavelets import bands_in


def noise(shape=(9, 12, 14), dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * 300).astype(dtype)


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from([np.int16, np.float32, np.float64]),
    st.sampled_from(["constant", "nearest", "reflect", "mirror", "wrap"]),
    st.integers(0, 3),
)
def test_mean_is_scipys(shape, dtype, mode, radius):
    values = noise(shape, dtype)
    size = 2 * radius + 1
    expected = ndimage.uniform_filter(values.astype(np.float64), size, mode=mode)
    assert f.mean(values, size=size, mode=mode) == pytest.approx(expected, abs=2e-3 if dtype != np.float64 else 1e-9)


@pytest.mark.parametrize("plane", [False, True])
def test_laplacian_is_its_sampled_kernel(plane):
    values, sigma = noise(), 1.3
    axis = np.arange(-5, 6)  # 4 sigma, rounded
    z, y, x = np.meshgrid([0] if plane else axis, axis, axis, indexing="ij")
    square, dims = x**2 + y**2 + z**2, 2 if plane else 3
    kernel = -(1 / sigma**2) * (2 * np.pi * sigma**2) ** (-dims / 2) * (dims - square / sigma**2)
    kernel = kernel * np.exp(-square / (2 * sigma**2))
    expected = ndimage.convolve(values, kernel, mode="reflect")
    assert f.laplacian_of_gaussian(values, sigma=sigma, plane=plane) == pytest.approx(expected, abs=1e-9)


def test_laws_is_a_convolution_of_unit_kernels():
    values = noise()
    expected = values
    for axis, taps in ((2, f.LAWS["E5"]), (1, f.LAWS["L5"]), (0, f.LAWS["W5"])):
        expected = ndimage.convolve1d(expected, np.array(taps) / np.linalg.norm(taps), axis, mode="mirror")
    assert f.laws(values, kernels="E5L5W5", mode="mirror") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("pooling", ["max", "mean", "min"])
def test_rotation_invariance_is_that_of_the_image(pooling):
    values = noise((8, 8, 8))
    for turn in (np.rot90(values, axes=(0, 1)), np.rot90(values, axes=(1, 2)), np.rot90(values, 2, axes=(0, 2))):
        for respond in (
            lambda v: f.laws(v, kernels="E5L5S5", rotation_invariant=True, pooling=pooling),
            lambda v: f.wavelet(
                v, family="db3", bands="LHH", level=2, rotation_invariant=True, pooling=pooling, mode="wrap"
            ),
        ):
            # an even wavelet is not centred on a voxel, so only its pooled values agree, shifted with it
            found, turned = respond(values), respond(np.ascontiguousarray(turn))
            assert np.sort(found, axis=None) == pytest.approx(np.sort(turned, axis=None), abs=1e-6)


def test_there_are_24_and_4_rotations():
    taps = [np.array([1.0, 2, 4]), np.array([1.0, 3, 9]), np.array([1.0, 5, 25])]
    assert len(rotated(taps)) == 24
    assert len(rotated([None, *taps[1:]])) == 4
    assert len(rotated([np.ones(3)] * 3)) == 1


def test_gabor_is_a_convolution_with_its_kernel():
    values = noise((3, 9, 13))
    y, x = np.mgrid[-6:7, -6:7]
    turn = np.deg2rad(30)
    along, across = y * np.sin(turn) + x * np.cos(turn), x * np.sin(turn) - y * np.cos(turn)
    kernel = np.exp(-(along**2 + 0.49 * across**2) / (2 * 2.0**2) + 2j * np.pi * along / 3)
    for mode in ("nearest", "wrap", "constant"):
        expected = [
            ndimage.convolve(plane, kernel.real, mode=mode) + 1j * ndimage.convolve(plane, kernel.imag, mode=mode)
            for plane in values
        ]
        for response, part in (("modulus", np.abs), ("real", np.real), ("imaginary", np.imag)):
            found = f.gabor(
                values, sigma_mm=4, wavelength_mm=6, gamma=0.7, theta=30, spacing=2, mode=mode, response=response
            )
            assert found == pytest.approx(part(np.array(expected)), abs=1e-8)


def test_riesz_components_keep_the_energy():
    values = noise((8, 9, 10))
    values -= values.mean()
    parts = [f.riesz(values, order=order) for order in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    # an even side loses what lies at its Nyquist frequency
    assert sum((part**2).sum() for part in parts) <= (values**2).sum() * (1 + 1e-12)
    smooth = ndimage.gaussian_filter(values, 1.5, mode="wrap")
    parts = [f.riesz(smooth, order=order) for order in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    assert sum((part**2).sum() for part in parts) == pytest.approx((smooth**2).sum(), rel=1e-3)
    again = sum(
        f.riesz(part, order=order) for part, order in zip(parts, ((1, 0, 0), (0, 1, 0), (0, 0, 1)), strict=True)
    )
    assert again == pytest.approx(-smooth, abs=0.03 * np.abs(smooth).max())  # sum of R_i R_i is minus the identity


def test_a_steered_transform_turns_with_the_image():
    z, y, x = np.mgrid[:24, :24, :24] - 11.5
    wave = np.sin(0.9 * (0.8 * x + 0.6 * y)) * np.exp(-(x**2 + y**2 + z**2) / 60)
    image = fi.Image(wave)
    along = f.riesz(image, order=(2, 0, 0), steer_mm=2.0).array[12, 12, 12]
    across = f.riesz(image, order=(0, 0, 2), steer_mm=2.0).array[12, 12, 12]
    # the first direction is the wave's: its second-order transform is minus the wave there, the others nearly nothing
    assert along == pytest.approx(-wave[12, 12, 12], rel=0.1)
    assert abs(across) < 0.1 * abs(along)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("sigma", [0.6, 1.0, 3.0])
def test_recursive_laplacian_has_itks_voxels(dtype, sigma, accuracy):
    sitk = pytest.importorskip("SimpleITK")
    values, spacing = noise((11, 14, 17), dtype), (2.5, 1.2, 0.7)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing[::-1])
    peer = sitk.LaplacianRecursiveGaussianImageFilter()
    peer.SetNormalizeAcrossScale(True)
    peer.SetSigma(sigma)
    found = f.recursive_laplacian(fi.Image(values, spacing=spacing), sigma_mm=sigma)
    expected = sitk.GetArrayFromImage(peer.Execute(image))
    accuracy("Laplacian of Gaussian, recursive", "SimpleITK", found.array, expected)
    assert np.array_equal(found.array, expected)


@pytest.mark.parametrize("family", ["haar", "coif1", "db5", "sym4", "bior2.2", "rbio3.1", "dmey", "db38", "coif6"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_stationary_wavelet_has_pywavelets_voxels(family, dtype, accuracy):
    pywt = pytest.importorskip("pywt", reason="peer PyWavelets is not installed")
    values = noise((9, 12, 80), dtype)
    wide = np.pad(values, [(0, n % 2) for n in values.shape], "wrap")
    for axes in ((2, 1, 0), (2, 0)):
        bands = pywt.swtn(wide, family, level=1, axes=axes)[0]
        found = f.stationary_wavelet(values, family=family, axes=axes)
        assert len(found) == len(bands)
        for name, band in bands.items():
            mine = found[name.replace("a", "L").replace("d", "H")]
            expected = band[tuple(slice(0, n) for n in values.shape)]
            accuracy("stationary wavelets", "PyWavelets", mine, expected)
            assert np.array_equal(mine, expected)


def test_levels_of_the_stationary_wavelet_filter_the_approximation_again():
    values = noise((6, 8, 10))
    two = f.stationary_wavelet(values, levels=2)
    again = f.stationary_wavelet(f.stationary_wavelet(values)["LLL"])
    assert list(two)[:7] == list(again)[:7]
    assert np.array_equal(two["2-HHH"], again["HHH"])
    assert np.array_equal(two["2-LLL"], again["LLL"])
    later = f.stationary_wavelet(values, start_level=1)
    assert np.array_equal(later["LLH"], again["LLH"])


@pytest.mark.parametrize("family", f.WAVELETS)
def test_wavelets_are_those_of_pywavelets(family):
    pywt = pytest.importorskip("pywt", reason="peer PyWavelets is not installed")
    low, high = f.wavelet_filters(family)
    assert np.array_equal(low, pywt.Wavelet(family).dec_lo)
    assert np.array_equal(high, pywt.Wavelet(family).dec_hi)


@pytest.mark.parametrize("family", [n for n in f.WAVELETS if n.startswith(("haar", "db", "sym", "coif"))])
def test_orthogonal_wavelets_are_orthogonal(family):
    low, high = f.wavelet_filters(family)
    for shift in range(0, low.size, 2):
        cut = low.size - shift
        assert low[shift:] @ low[:cut] == pytest.approx(float(shift == 0), abs=1e-9)
        assert low[shift:] @ high[:cut] == pytest.approx(0, abs=1e-9)
    assert low.sum() == pytest.approx(2**0.5)


def test_bits_over_levels_and_threads(isa):
    values = noise((40, 37, 33), np.float32)
    image = fi.Image(values)
    with fi.config.use(isa="baseline"):
        bands = f.stationary_wavelet(values, threads=1)
        blobs = f.recursive_laplacian(image, sigma_mm=2, threads=1).array
    for threads in (1, 2, 5):
        assert np.array_equal(f.recursive_laplacian(image, sigma_mm=2, threads=threads).array, blobs)
        for name, band in f.stationary_wavelet(values, threads=threads).items():
            assert np.array_equal(band, bands[name])


@given(st.data())
@settings(max_examples=60)
def test_filters_in_a_box_are_those_of_the_whole(data):
    shape = tuple(data.draw(st.integers(4, 40)) for _ in range(3))
    dtype = data.draw(st.sampled_from([np.int16, np.float32, np.float64]))
    values = noise(shape, dtype)
    box = []
    for n in shape:
        start = data.draw(st.integers(0, n - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, n))))
    image = fi.Image(values, spacing=(2.5, 1.2, 0.7))
    sigma = data.draw(st.floats(0.5, 3))
    whole = f.recursive_laplacian(image, sigma_mm=sigma).array
    assert np.array_equal(laplacian_in(image, box, sigma_mm=sigma), whole[tuple(box)])
    options = {
        "family": data.draw(st.sampled_from(["haar", "coif1", "db5", "bior2.2", "rbio3.1"])),
        "levels": data.draw(st.integers(1, 2)),
        "start_level": data.draw(st.integers(0, 1)),
        "axes": data.draw(st.sampled_from([(2, 1, 0), (2, 1), (2, 0)])),
    }
    bands = f.stationary_wavelet(values, **options)
    found = bands_in(values, box, threads=None, **options)
    assert list(found) == list(bands)
    for name, band in bands.items():
        assert np.array_equal(found[name], band[tuple(box)]), name


def test_filters_on_a_device(put, get):
    values = noise((8, 9, 10), np.float32)
    image, there = fi.Image(values), fi.Image(put(values))
    for respond in (
        lambda v: f.mean(v, size=3, mode="constant"),
        lambda v: f.laplacian_of_gaussian(v, sigma_mm=1),
        lambda v: f.laws(v, kernels="E5L5S5", rotation_invariant=True, energy=2),
        lambda v: f.wavelet(v, family="coif1", bands="HHL", rotation_invariant=True),
    ):
        assert np.array_equal(get(respond(there).array), respond(image).array)


def test_refusals():
    values = noise()
    for call in (
        lambda: f.mean(values, size=4),
        lambda: f.laplacian_of_gaussian(values),
        lambda: f.laplacian_of_gaussian(values, sigma_mm=1),
        lambda: f.laplacian_of_gaussian(values, sigma=0),
        lambda: f.laws(values, kernels="E5Q5"),
        lambda: f.laws(values, kernels="E5"),
        lambda: f.laws(values, kernels="E5L5", energy=-1),
        lambda: f.laws(values, kernels="E5L5", rotation_invariant=True, pooling="sum"),
        lambda: f.wavelet(values, family="db99", bands="LL"),
        lambda: f.wavelet(values, family="db2", bands="LX"),
        lambda: f.wavelet(values, family="db2", bands="LL", level=0),
        lambda: f.gabor(values, sigma_mm=1, wavelength_mm=2),
        lambda: f.gabor(fi.Image(values), sigma_mm=1, wavelength_mm=0),
        lambda: f.gabor(fi.Image(values), sigma_mm=1, wavelength_mm=2, response="phase"),
        lambda: f.simoncelli(values, level=0),
        lambda: f.simoncelli(values, steer_mm=1),
        lambda: f.riesz(values, order=(1, 0)),
        lambda: f.riesz(values, order=(1, 0, 0), steer_mm=1),
        lambda: f.riesz(fi.Image(values), order=(1, 0, 0), steer_mm=0),
        lambda: f.recursive_laplacian(values, sigma_mm=1),
        lambda: f.recursive_laplacian(fi.Image(values), sigma_mm=0),
        lambda: f.recursive_laplacian(fi.Image(values[:3]), sigma_mm=1),
        lambda: f.stationary_wavelet(values, axes=(0, 1)),
        lambda: f.stationary_wavelet(values, levels=0),
    ):
        with pytest.raises(ArgumentError):
            call()
    with fi.testing.host_device() as put:
        with pytest.raises(DeviceError):
            f.recursive_laplacian(fi.Image(put(values)), sigma_mm=1)
        with pytest.raises(DeviceError):
            f.stationary_wavelet(put(values))
