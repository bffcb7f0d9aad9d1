"""filtering against SciPy and SimpleITK: a Gaussian of 2 voxels over 512 x 512 x 150 float32 voxels, one thread."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi

GAUSSIAN = "filtering: Gaussian, sigma 2 voxels, float32, 39.3 M voxels"


@pytest.fixture(scope="module")
def values(ct_volume):
    return ct_volume.array[:150].astype(np.float32)


@pytest.mark.benchmark(group=GAUSSIAN)
def bench_gaussian(case, one_thread, values):
    case(lambda: fi.filtering.gaussian(values, sigma=2), nbytes=2 * values.nbytes, items=values.size, unit="voxel")


@pytest.mark.benchmark(group=GAUSSIAN)
def bench_gaussian_scipy(case, values):
    from scipy import ndimage

    work = lambda: ndimage.gaussian_filter(values, 2, mode="nearest")  # noqa: E731
    case(work, tool="scipy", items=values.size, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=GAUSSIAN)
def bench_gaussian_simpleitk(case, values):
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = sitk.GetImageFromArray(values)
    work = lambda: sitk.DiscreteGaussian(image, 4.0)  # noqa: E731
    case(work, tool="SimpleITK DiscreteGaussian", items=values.size, unit="voxel", rounds=1)
