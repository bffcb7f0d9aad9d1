"""filtering against SciPy and SimpleITK: a Gaussian of 2 voxels over 512 x 512 x 150 float32 voxels, one thread."""

from __future__ import annotations

import numpy as np
import pytest
from growth import apart
from scipy import ndimage

import fastimg as fi

GAUSSIAN = "filtering: Gaussian, sigma 2 voxels, float32, 39.3 M voxels"


@pytest.fixture(scope="module")
def values(ct_volume):
    return ct_volume.array[:150].astype(np.float32)


@pytest.mark.benchmark(group=GAUSSIAN)
def bench_gaussian(case, one_thread, values):
    few = values[:24, :64, :64]
    error = apart(
        fi.filtering.gaussian(few, sigma=2), ndimage.gaussian_filter(few.astype(np.float64), 2, mode="nearest")
    )
    work = lambda: fi.filtering.gaussian(values, sigma=2)  # noqa: E731
    case(work, nbytes=2 * values.nbytes, items=values.size, unit="voxel", error=error)


@pytest.mark.benchmark(group=GAUSSIAN)
def bench_gaussian_scipy(case, values):
    work = lambda: ndimage.gaussian_filter(values, 2, mode="nearest")  # noqa: E731
    case(work, tool="scipy", items=values.size, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=GAUSSIAN)
def bench_gaussian_simpleitk(case, values):
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = sitk.GetImageFromArray(values)
    work = lambda: sitk.DiscreteGaussian(image, 4.0)  # noqa: E731
    case(work, tool="SimpleITK DiscreteGaussian", items=values.size, unit="voxel", rounds=1)


GPU_GAUSSIAN = "filtering: GPU Gaussian, sigma 2 voxels, float32"


@pytest.fixture
def on_gpu(gpu):
    shape = (gpu.size(150, 12), gpu.size(512, 40), gpu.size(512, 48))
    return gpu(np.random.default_rng(0).normal(0, 300, shape).astype(np.float32))


@pytest.mark.gpu
@pytest.mark.benchmark(group=GPU_GAUSSIAN)
def bench_gpu_gaussian(gpu_case, on_gpu):
    work = lambda: fi.filtering.gaussian(on_gpu, sigma=2)  # noqa: E731
    expected = lambda: fi.filtering.gaussian(np.asarray(fi._dispatch.move(on_gpu, "cpu")), sigma=2)  # noqa: E731
    gpu_case(work, nbytes=2 * on_gpu.nbytes, items=on_gpu.size, unit="voxel", expected=expected)


@pytest.mark.gpu
@pytest.mark.benchmark(group=GPU_GAUSSIAN)
def bench_gpu_gaussian_cupyx(gpu_case, gpu, on_gpu):
    if gpu.xp.__name__ != "cupy":
        pytest.skip("cupyx needs a real device")
    ndimage = pytest.importorskip("cupyx.scipy.ndimage", reason="peer cupyx is not installed")
    work = lambda: ndimage.gaussian_filter(on_gpu, 2, mode="nearest")  # noqa: E731
    gpu_case(work, tool="cupyx.scipy.ndimage", items=on_gpu.size, unit="voxel", batches=5)


@pytest.mark.gpu
@pytest.mark.benchmark(group=GPU_GAUSSIAN)
def bench_gpu_gaussian_cucim(gpu_case, gpu, on_gpu):
    filters = pytest.importorskip("cucim.skimage.filters", reason="peer cuCIM is not installed")
    work = lambda: filters.gaussian(on_gpu, 2, mode="nearest", preserve_range=True)  # noqa: E731
    gpu_case(work, tool="cuCIM", items=on_gpu.size, unit="voxel", batches=5)
