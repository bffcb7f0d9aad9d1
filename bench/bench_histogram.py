"""histogram against NumPy where it does the same work."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest
from two_threads import on_threads

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


@pytest.mark.parametrize("what", ["count int16", "fixed float32", "quantile float32", "moments float32"])
def bench_threads(benchmark, case, ct_volume, real_volume, what):
    array = ct_volume.array if "int16" in what else real_volume
    work = {
        "count int16": partial(fi.Histogram.of, array),
        "fixed float32": partial(fi.Histogram.of, array, bins=256, range=(-1024, 1024)),
        "quantile float32": partial(fi.histogram.quantile, array, LEVELS),
        "moments float32": partial(fi.histogram.moments, array),
    }[what]
    group = f"histogram, threads: {what}, 78.6 M voxels"
    on_threads(benchmark, case, group, work, array.nbytes, array.size)


# On a GPU. Counting alone, the counts left on the device; and the public call, whose counts come to the host.

PLAYED = os.environ.get("FASTIMG_BENCH_DEVICE") == "host"
GPU = {
    "int16": "histogram on a GPU: int16, a bin a value, 1 GiB (bar: 80 % of copy)",
    "float32": "histogram on a GPU: float32 into 256 fixed bins, 1 GiB (bar: 80 % of copy)",
}


def _gpu_values(gpu, dtype):
    """Noise around two tissues, as a CT has: 1 GiB, or a few thousand values."""
    size = gpu.size((1 << 30) // np.dtype(dtype).itemsize, 5000)
    part = np.random.default_rng(0).normal(0, 20, min(size, 1 << 22))
    part = np.where(np.arange(part.size) // 300 % 3 == 0, part + 40, part / 4 - 1000).astype(dtype)
    return gpu.xp.tile(gpu(part), -(-size // part.size))[:size]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", GPU)
def bench_gpu_count(benchmark, gpu_case, gpu, dtype):
    from fastimg.histogram import _cuda

    benchmark.group = GPU[dtype]
    values = _gpu_values(gpu, dtype)
    if dtype == "int16":
        first = _cuda._busiest(values, None, -32768, 1 << 16)
        work = lambda: _cuda.count("direct", values, None, 1 << 16, np.int64(-32768), first=first)  # noqa: E731
    else:
        borders = (np.float64(-1024), np.float64(1024), np.float64(256 / 2048), np.int32(256))
        work = lambda: _cuda.count("fixed", values, None, 259, *borders)  # noqa: E731
    error = abs(int(gpu.xp.asarray(work()).sum()) - values.size)
    gpu_case(work, nbytes=values.nbytes, items=values.size, unit="voxel", error=error)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", GPU)
def bench_gpu_count_public(benchmark, gpu_case, gpu, dtype):
    benchmark.group = GPU[dtype]
    values = _gpu_values(gpu, dtype)
    bins = {} if dtype == "int16" else {"bins": 256, "range": (-1024, 1024)}
    work = lambda: fi.Histogram.of(values, **bins)  # noqa: E731
    told = {"nbytes": values.nbytes, "items": values.size, "unit": "voxel"}
    counts = fi.Histogram.of(np.asarray(fi._dispatch.move(values, "cpu")), **bins).counts
    gpu_case(work, tool="fastimg, counts on the host", error=(work().counts != counts).sum(), **told)


@pytest.mark.gpu
@pytest.mark.skipif(PLAYED, reason="the peer is CuPy")
@pytest.mark.parametrize("dtype", GPU)
def bench_gpu_count_cupy(benchmark, gpu_case, gpu, dtype):
    benchmark.group = GPU[dtype]
    values = _gpu_values(gpu, dtype)
    bins = np.arange(-1100, 200) if dtype == "int16" else 256
    span = None if dtype == "int16" else (-1024, 1024)
    edges = gpu.xp.asarray(bins) if dtype == "int16" else bins
    work = lambda: gpu.xp.histogram(values, edges, span)  # noqa: E731
    gpu_case(work, tool="CuPy histogram", nbytes=values.nbytes, items=values.size, unit="voxel", batches=5)


def _statistics_error(what, seen, host):
    """Beside NumPy's, in standard deviations."""
    if what == "quantile":
        return np.abs(np.asarray(seen) - np.quantile(host, LEVELS)).max() / host.std(dtype=np.float64)
    mean, sd = host.mean(dtype=np.float64), host.std(dtype=np.float64)
    assert (seen.min, seen.max) == (host.min(), host.max())
    return max(abs(seen.mean - mean), abs(seen.std() - sd)) / sd


@pytest.mark.gpu
@pytest.mark.parametrize("what", ["quantile", "moments"])
def bench_gpu_statistics(benchmark, gpu_case, gpu, what):
    benchmark.group = f"histogram on a GPU: {what} of float32, 1 GiB"
    values = _gpu_values(gpu, "float32")
    work = {
        "quantile": lambda: fi.histogram.quantile(values, LEVELS),
        "moments": lambda: fi.histogram.moments(values),
    }[what]
    error = _statistics_error(what, work(), np.asarray(fi._dispatch.move(values, "cpu")))
    gpu_case(work, nbytes=values.nbytes, items=values.size, unit="voxel", error=error)


@pytest.mark.gpu
@pytest.mark.skipif(PLAYED, reason="the peer is CuPy")
@pytest.mark.parametrize("what", ["quantile", "moments"])
def bench_gpu_statistics_cupy(benchmark, gpu_case, gpu, what):
    benchmark.group = f"histogram on a GPU: {what} of float32, 1 GiB"
    values = _gpu_values(gpu, "float32")
    xp = gpu.xp
    work = {
        "quantile": lambda: xp.quantile(values, xp.asarray(LEVELS)),
        "moments": lambda: (values.mean(), values.var(), values.min(), values.max()),
    }[what]
    gpu_case(work, tool="CuPy", nbytes=values.nbytes, items=values.size, unit="voxel", batches=5)
