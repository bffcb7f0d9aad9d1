"""filters against PyRadiomics' own functions: LoG and wavelet coif1 on 150^3 voxels, one thread; IBSI's filters against MIRP's means."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest
from growth import apart
from growth_filters import gabor_scipy, log_scipy
from scipy import ndimage

import fastimg as fi
from fastimg import filtering

SIDE = 150
LOG = "filtering: LoG, sigma 3 mm, 3.4 M voxels float32"
WAVELET = "filtering: wavelet coif1, 8 bands, 3.4 M voxels float32"
WAVELET_CT = "filtering: wavelet coif1, 8 bands, 3.4 M voxels int16"
SAMPLED = "filtering: LoG of IBSI (sampled), sigma 3 voxels, 3.4 M voxels float32"
GABOR = "filtering: Gabor, 8 orientations in slices, 3.4 M voxels float32"


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    values = ndimage.gaussian_filter(rng.normal(size=(SIDE,) * 3).astype(np.float32), 1) * 800
    return fi.Image(values, spacing=(1.5, 1, 1))


@pytest.fixture(scope="module")
def peer():
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("radiomics", reason="peer PyRadiomics is not installed")
        from radiomics import imageoperations
    package.logger.setLevel(logging.CRITICAL)

    def run(function, image, **options):
        volume = image.to_sitk()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return lambda: list(getattr(imageoperations, function)(volume, None, **options))

    return run


@pytest.mark.benchmark(group=LOG)
def bench_log(case, one_thread, image):
    work = lambda: filtering.recursive_laplacian(image, sigma_mm=3)  # noqa: E731
    case(work, nbytes=2 * image.array.nbytes, items=image.array.size, unit="voxel", error=0)


@pytest.mark.benchmark(group=LOG)
def bench_log_pyradiomics(case, peer, image):
    case(peer("getLoGImage", image, sigma=[3.0]), tool="PyRadiomics 3", items=image.array.size, unit="voxel", rounds=2)


@pytest.mark.parametrize("group", [WAVELET, WAVELET_CT])
def bench_wavelet(benchmark, case, one_thread, image, group):
    benchmark.group = group
    array = image.array if group == WAVELET else image.array.astype(np.int16)
    wide = 4 if group == WAVELET else 8
    work = lambda: filtering.stationary_wavelet(array)  # noqa: E731
    case(work, nbytes=array.nbytes + 8 * wide * array.size, items=array.size, unit="voxel", error=0)


@pytest.mark.parametrize("group", [WAVELET, WAVELET_CT])
def bench_wavelet_pyradiomics(benchmark, case, peer, image, group):
    benchmark.group = group
    chosen = image if group == WAVELET else image.with_array(image.array.astype(np.int16))
    case(peer("getWaveletImage", chosen), tool="PyRadiomics 3", items=image.array.size, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=SAMPLED)
def bench_sampled_log(case, one_thread, image):
    work = lambda: filtering.laplacian_of_gaussian(image.array, sigma=3)  # noqa: E731
    few = image.array[:24, :24, :24]
    error = apart(filtering.laplacian_of_gaussian(few, sigma=1.5), log_scipy(few)())
    case(work, nbytes=2 * image.array.nbytes, items=image.array.size, unit="voxel", error=error)


@pytest.mark.benchmark(group=SAMPLED)
def bench_sampled_log_scipy(case, image):
    work = lambda: ndimage.gaussian_laplace(image.array, 3, mode="reflect")  # noqa: E731
    case(work, tool="scipy", items=image.array.size, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=GABOR)
def bench_gabor(case, one_thread, image):
    angles = [22.5 * n for n in range(8)]
    work = lambda: filtering.gabor(image, sigma_mm=5, wavelength_mm=2, gamma=1.5, theta=angles)  # noqa: E731
    few = image.array[:24, :24, :24]
    error = apart(filtering.gabor(few, sigma_mm=2, wavelength_mm=3, theta=30, spacing=1), gabor_scipy(few)())
    case(work, nbytes=2 * image.array.nbytes, items=image.array.size, unit="voxel", error=error, rounds=2)
