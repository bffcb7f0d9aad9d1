"""histogram against NumPy where it does the same work."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi

COUNT = "histogram: int16, a bin a value, 78.6 M voxels"
MASKED = "histogram: int16 inside a mask of 42 %, 78.6 M voxels"
FIXED = "histogram: float32 into 256 fixed bins, 78.6 M voxels"
QUANTILE = "histogram: exact quantiles 1, 50, 99 % of float32, 78.6 M voxels"
MOMENTS = "histogram: mean, variance, min and max of float32, 78.6 M voxels"
LEVELS = (0.01, 0.5, 0.99)


@pytest.fixture(scope="module")
def real_volume(ct_volume):
    return ct_volume.array + np.random.default_rng(0).random(ct_volume.shape[1:], dtype=np.float32)


@pytest.mark.benchmark(group=COUNT)
def bench_count(case, one_thread, ct_volume):
    array = ct_volume.array
    part = fi.Histogram.of(array[:9])
    expected = np.bincount(array[:9].ravel().astype(np.intp) - part.origin)
    error = np.abs(part.counts - expected).max()
    case(lambda: fi.Histogram.of(array), nbytes=array.nbytes, items=array.size, unit="voxel", error=error)


@pytest.mark.benchmark(group=COUNT)
def bench_count_numpy(case, ct_volume):
    array = ct_volume.array.ravel()
    case(
        lambda: np.bincount(array.astype(np.intp) + 32768, minlength=65536),
        tool="numpy bincount",
        items=array.size,
        unit="voxel",
        rounds=2,
    )


@pytest.mark.benchmark(group=MASKED)
def bench_masked(case, one_thread, ct_volume):
    array = ct_volume.array
    mask = array > -500
    work = lambda: fi.Histogram.of(array, mask=mask)  # noqa: E731
    error = abs(work().count - int(mask.sum()))
    case(work, nbytes=3 * array.size, items=array.size, unit="voxel", error=error)


@pytest.mark.benchmark(group=MASKED)
def bench_masked_numpy(case, ct_volume):
    array = ct_volume.array
    mask = array > -500
    work = lambda: np.bincount(array[mask].astype(np.intp) + 32768, minlength=65536)  # noqa: E731
    case(work, tool="numpy bincount", items=array.size, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=FIXED)
def bench_fixed(case, one_thread, real_volume):
    work = lambda: fi.Histogram.of(real_volume, bins=256, range=(-1024, 1024))  # noqa: E731
    expected = np.histogram(real_volume[:9], 256, (-1024, 1024))[0]
    error = np.abs(fi.Histogram.of(real_volume[:9], bins=256, range=(-1024, 1024)).counts - expected).max()
    case(work, nbytes=real_volume.nbytes, items=real_volume.size, unit="voxel", error=error)


@pytest.mark.benchmark(group=FIXED)
def bench_fixed_numpy(case, real_volume):
    flat = real_volume.ravel()
    work = lambda: np.histogram(flat, 256, (-1024, 1024))  # noqa: E731
    case(work, tool="numpy histogram", items=flat.size, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=QUANTILE)
def bench_quantile(case, one_thread, real_volume):
    work = lambda: fi.histogram.quantile(real_volume, LEVELS)  # noqa: E731
    error = np.abs(
        fi.histogram.quantile(real_volume[:9], LEVELS) - np.quantile(real_volume[:9].astype(np.float64), LEVELS)
    ).max()
    case(work, nbytes=2 * real_volume.nbytes, items=real_volume.size, unit="voxel", error=error)


@pytest.mark.benchmark(group=QUANTILE)
def bench_quantile_numpy(case, real_volume):
    work = lambda: np.quantile(real_volume, LEVELS)  # noqa: E731
    case(work, tool="numpy quantile", items=real_volume.size, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=MOMENTS)
def bench_moments(case, one_thread, real_volume):
    work = lambda: fi.histogram.moments(real_volume)  # noqa: E731
    error = abs(work().mean - real_volume.mean(dtype=np.float64))
    case(work, nbytes=real_volume.nbytes, items=real_volume.size, unit="voxel", error=error)


@pytest.mark.benchmark(group=MOMENTS)
def bench_moments_numpy(case, real_volume):
    work = lambda: (real_volume.mean(), real_volume.var(), real_volume.min(), real_volume.max())  # noqa: E731
    case(work, tool="numpy", items=real_volume.size, unit="voxel", rounds=2)
