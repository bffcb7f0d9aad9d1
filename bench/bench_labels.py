"""labels against SciPy and SimpleITK: 512 x 512 x 100 voxels with blobs, one thread."""

from __future__ import annotations

import numpy as np
import pytest
from growth import apart
from scipy import ndimage

import fastimg as fi

COMPONENTS = "labels: connected components (26), 26 M voxels"
DISTANCE = "labels: Euclidean distance, 26 M voxels"
SPACING = (1.5, 0.7, 0.7)


@pytest.fixture(scope="module")
def mask():
    noise = np.random.default_rng(0).normal(size=(100, 512, 512)).astype(np.float32)
    return (fi.filtering.gaussian(noise, sigma=3) > 0.02).astype(np.uint8)


@pytest.fixture(scope="module")
def sitk():
    package = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    package.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return package


@pytest.mark.benchmark(group=COMPONENTS)
def bench_components(case, one_thread, mask):
    few = mask[:40, :128, :128]
    error = apart(fi.labels.components(few), ndimage.label(few, np.ones((3, 3, 3)))[0])
    case(lambda: fi.labels.components(mask), nbytes=5 * mask.size, items=mask.size, unit="voxel", error=error)


@pytest.mark.benchmark(group=COMPONENTS)
def bench_components_scipy(case, mask):
    work = lambda: ndimage.label(mask, np.ones((3, 3, 3)))  # noqa: E731
    case(work, tool="scipy", items=mask.size, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=COMPONENTS)
def bench_components_simpleitk(case, mask, sitk):
    image = sitk.GetImageFromArray(mask)
    case(lambda: sitk.ConnectedComponent(image, True), tool="SimpleITK", items=mask.size, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=DISTANCE)
def bench_distance(case, one_thread, mask):
    few = mask[:40, :128, :128]
    error = apart(fi.labels.distance(few, SPACING), ndimage.distance_transform_edt(few, sampling=SPACING))
    work = lambda: fi.labels.distance(mask, SPACING)  # noqa: E731
    case(work, nbytes=5 * mask.size, items=mask.size, unit="voxel", error=error, rounds=3)


@pytest.mark.benchmark(group=DISTANCE)
def bench_distance_scipy(case, mask):
    work = lambda: ndimage.distance_transform_edt(mask, sampling=SPACING)  # noqa: E731
    case(work, tool="scipy", items=mask.size, unit="voxel", rounds=1)


@pytest.mark.benchmark(group=DISTANCE)
def bench_distance_simpleitk(case, mask, sitk):
    image = sitk.GetImageFromArray(mask)
    image.SetSpacing(SPACING[::-1])
    work = lambda: sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)  # noqa: E731
    case(work, tool="SimpleITK Maurer", items=mask.size, unit="voxel", rounds=1)
