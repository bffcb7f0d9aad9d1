"""Growth of the filters and of what is done to labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from growth import SMALL, Kernel, mask_of, simpleitk
from scipy import ndimage

import fastimg as fi

Work = Callable[[], Any]
TURN = np.deg2rad(30)


def convolved(kernels: str) -> Callable[[np.ndarray], Work]:
    """Laws' kernels of unit length along x, y, z by SciPy."""
    lines = [np.array(fi.filtering.LAWS[kernels[at : at + 2]], float) for at in (0, 2, 4)]
    return in_turn([line / np.linalg.norm(line) for line in lines])


def in_turn(lines: list[np.ndarray]) -> Callable[[np.ndarray], Work]:
    """Convolved along x, y, z."""

    def make(v: np.ndarray) -> Work:
        def work(out: Any = v):
            for axis, line in zip((2, 1, 0), lines, strict=True):
                out = ndimage.convolve1d(out, line, axis, mode="reflect")
            return out

        return work

    return make


def wavelet_scipy(v: np.ndarray) -> Work:
    low, high = fi.filtering.wavelet_filters("coif1")
    lines = [np.append(taps, 0) for taps in (low, low, high)]  # odd, so that SciPy and we mean one middle
    return in_turn(lines)(v)


def separable_scipy(v: np.ndarray) -> Work:
    def work(out: Any = v):
        for axis in range(3):
            out = ndimage.correlate1d(out, np.hanning(7) / 3, axis, mode="nearest")
        return out

    return work


def unsharp_scipy(v: np.ndarray) -> Work:
    return lambda: v + np.float32(0.5) * (v - ndimage.gaussian_filter(v, (0, 1, 1), mode="reflect"))


def riesz_numpy(v: np.ndarray) -> Work:
    def work():
        z, y, x = np.meshgrid(*(np.fft.fftfreq(n) for n in v.shape), indexing="ij", sparse=True)
        length = np.sqrt(z * z + y * y + x * x)
        length[0, 0, 0] = 1
        return np.fft.ifftn(np.fft.fftn(v) * (-1j * x / length)).real

    return work


def simoncelli_numpy(v: np.ndarray) -> Work:
    """cos(pi/2 log2(2 |f|)) for 1/4 <= |f| <= 1, on frequencies from -1 to 1 with both ends (IBSI's grid)."""

    def work():
        places = np.meshgrid(*(np.fft.ifftshift(np.linspace(-1, 1, n)) for n in v.shape), indexing="ij", sparse=True)
        far = np.sqrt(sum(f * f for f in places))
        inside = (far >= 0.25) & (far <= 1)
        band = np.where(inside, np.cos(np.pi / 2 * np.log2(2 * np.where(inside, far, 1))), 0)
        return np.fft.ifftn(np.fft.fftn(v) * band).real

    return work


def log_scipy(v: np.ndarray) -> Work:
    """The sampled Laplacian of a Gaussian of 1.5 voxels, cut at 4 of them, in one dense convolution."""
    sigma, axis = 1.5, np.arange(-6, 7)
    square = sum(np.meshgrid(axis**2, axis**2, axis**2, indexing="ij"))
    kernel = -(1 / sigma**2) * (2 * np.pi * sigma**2) ** -1.5 * (3 - square / sigma**2)
    kernel *= np.exp(-square / (2 * sigma**2))
    return lambda: ndimage.convolve(v.astype(np.float64), kernel, mode="reflect")


def recursive_simpleitk(v: np.ndarray) -> Work:
    sitk = simpleitk()
    peer = sitk.LaplacianRecursiveGaussianImageFilter()
    peer.SetNormalizeAcrossScale(True)
    peer.SetSigma(2.0)
    image = sitk.GetImageFromArray(v)
    return lambda: peer.Execute(image)


def gabor_scipy(v: np.ndarray) -> Work:
    y, x = np.mgrid[-12:13, -12:13]
    along, across = y * np.sin(TURN) + x * np.cos(TURN), x * np.sin(TURN) - y * np.cos(TURN)
    kernel = np.exp(-(along**2 + across**2) / (2 * 2.0**2) + 2j * np.pi * along / 3)

    def work():
        wide = v.astype(np.float64)
        parts = [
            [ndimage.convolve(plane, part, mode="reflect") for plane in wide] for part in (kernel.real, kernel.imag)
        ]
        return np.hypot(*np.array(parts))

    return work


def bands_pywavelets(v: np.ndarray) -> Work:
    pywt = pytest.importorskip("pywt", reason="peer PyWavelets is not installed")

    def work():
        bands = pywt.swtn(v, "coif1", level=1, axes=(2, 1, 0))[0]
        return np.stack([bands[name] for name in sorted(bands)])

    return work


def bands(v: np.ndarray) -> Work:
    def work():
        found = fi.filtering.stationary_wavelet(v)
        return np.stack([found[name] for name in sorted(found, key=lambda name: name.replace("L", "A"))])

    return work


def ball_scipy(erode: bool) -> Callable[[np.ndarray], Work]:
    """The same rule, a distance of at most 3 voxels, by SciPy's distances."""

    def make(v: np.ndarray) -> Work:
        m = mask_of(v) != 0
        if erode:
            return lambda: ndimage.distance_transform_edt(m) > 3
        return lambda: ndimage.distance_transform_edt(~m) <= 3

    return make


def largest_scipy(v: np.ndarray) -> Work:
    m = mask_of(v)

    def work():
        found = ndimage.label(m, np.ones((3, 3, 3)))[0]
        return found == np.bincount(found.ravel())[1:].argmax() + 1

    return work


def of_mask(function: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Work]:
    return lambda v: (lambda m: lambda: function(m))(mask_of(v))


KERNELS = {
    "Gaussian, sigma 2": Kernel(
        lambda v: lambda: fi.filtering.gaussian(v, sigma=2),
        lambda v: lambda: ndimage.gaussian_filter(v, 2, mode="nearest"),
        "scipy",
    ),
    "mean, 5 voxels": Kernel(
        lambda v: lambda: fi.filtering.mean(v, size=5, mode="nearest"),
        lambda v: lambda: ndimage.uniform_filter(v, 5, mode="nearest"),
        "scipy",
    ),
    "three separable kernels of 7": Kernel(
        lambda v: lambda: fi.filtering.separable(v, [np.hanning(7) / 3] * 3, mode="nearest"), separable_scipy, "scipy"
    ),
    "Laws, L5E5S5": Kernel(lambda v: lambda: fi.filtering.laws(v, kernels="L5E5S5"), convolved("L5E5S5"), "scipy"),
    "unsharp mask, in plane": Kernel(
        lambda v: lambda: fi.harmonize.unsharp(fi.Image(v), sigma_mm=1, amount=0.5), unsharp_scipy, "scipy"
    ),
    "Laplacian of Gaussian, sampled, 1.5 voxels": Kernel(
        lambda v: lambda: fi.filtering.laplacian_of_gaussian(v, sigma=1.5), shrink=2, reference=lambda v: log_scipy(v)()
    ),
    "Laplacian of Gaussian, recursive, 2 mm": Kernel(
        lambda v: lambda: fi.filtering.recursive_laplacian(fi.Image(v), sigma_mm=2), recursive_simpleitk, "SimpleITK"
    ),
    "Gabor, one orientation": Kernel(
        lambda v: lambda: fi.filtering.gabor(v, sigma_mm=2, wavelength_mm=3, theta=30, spacing=1),
        gabor_scipy,
        "scipy",
        shrink=SMALL,
        checked=24,
    ),
    "Riesz, first order": Kernel(
        lambda v: lambda: fi.filtering.riesz(v, order=(1, 0, 0)), riesz_numpy, "numpy", shrink=2
    ),
    "Simoncelli": Kernel(lambda v: lambda: fi.filtering.simoncelli(v, level=1), simoncelli_numpy, "numpy", shrink=2),
    "wavelet coif1, LLH": Kernel(
        lambda v: lambda: fi.filtering.wavelet(v, family="coif1", bands="LLH"), wavelet_scipy, "scipy"
    ),
    "stationary wavelet, 8 bands": Kernel(bands, bands_pywavelets, "PyWavelets", 36, 2),
    "components (26)": Kernel(
        of_mask(lambda m: fi.labels.components(m)),
        of_mask(lambda m: ndimage.label(m, np.ones((3, 3, 3)))[0]),
        "scipy",
        5,
    ),
    "largest component": Kernel(of_mask(lambda m: fi.labels.largest(m)), largest_scipy, "scipy", 2),
    "distance": Kernel(
        of_mask(lambda m: fi.labels.distance(m)), of_mask(ndimage.distance_transform_edt), "scipy", 5, 2
    ),
    "dilated by 3 voxels": Kernel(of_mask(lambda m: fi.labels.dilate(m, 3)), ball_scipy(False), "scipy", 2, 2),
    "eroded by 3 voxels": Kernel(of_mask(lambda m: fi.labels.erode(m, 3)), ball_scipy(True), "scipy", 2, 2),
}
