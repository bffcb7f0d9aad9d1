"""The machine's limits, measured in the same run as everything else: the table quotes shares of the copy rate, or of the limit
that a case names: one core's arithmetic, or its decoder of Zstandard or JPEG 2000, each in a cache that holds all of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest


@pytest.mark.benchmark(group="machine: copy 256 MiB")
def bench_copy(case):
    source = np.ones(1 << 26, np.float32)
    target = np.empty_like(source)
    case(lambda: np.copyto(target, source), tool="memory", nbytes=2 * source.nbytes, items=source.nbytes, unit="B")


@pytest.mark.benchmark(group="machine: two threads, copy 256 MiB")
def bench_copy_by_two_threads(case):
    """What two threads reach together; np.copyto lets go of the interpreter."""
    source = np.ones(1 << 26, np.float32)
    target = np.empty_like(source)
    parts = [slice(0, source.size // 2), slice(source.size // 2, None)]
    with ThreadPoolExecutor(2) as pool:
        work = lambda: list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))  # noqa: E731
        case(work, tool="memory", nbytes=2 * source.nbytes, items=source.nbytes, unit="B")


@pytest.mark.benchmark(group="machine: read 256 MiB")
def bench_read(case):
    source = np.ones(1 << 26, np.float32)
    case(lambda: source.max(), tool="memory", nbytes=source.nbytes, items=source.nbytes, unit="B")


ARITHMETIC, ZSTD, JPEG2000 = "machine: arithmetic, a core", "machine: Zstandard, a core", "machine: JPEG 2000, a core"


@pytest.mark.benchmark(group=ARITHMETIC)
def bench_arithmetic(case):
    """A polynomial of degree 16 in float32 over 16 KiB: a multiplication and an addition a step, vectorised by LLVM."""
    import numba

    @numba.njit
    def polynomials(values, out, repeat):
        for _ in range(repeat):
            for k in range(values.size):
                x = values[k]
                total = np.float32(0.5)
                for _ in range(16):
                    total = total * x + np.float32(0.25)
                out[k] = total

    values, out = np.linspace(0, 1, 4096, dtype=np.float32), np.empty(4096, np.float32)
    operations = 2 * 16 * values.size * 2000
    case(lambda: polynomials(values, out, 2000), tool="Numba", items=operations, unit="flop")
    assert out[-1] == 0.5 + 16 * 0.25


def smooth_ct() -> np.ndarray:
    """512 x 512 int16 with 12 bits: structure and noise."""
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    body = 1000 * (x * x + y * y < 0.6) + 100 * np.sin(9 * x) * np.cos(7 * y)
    return (body + np.random.default_rng(0).normal(0, 8, body.shape) + 1024).astype(np.int16)


@pytest.mark.benchmark(group=ZSTD)
def bench_zstd(case):
    import imagecodecs

    plane = smooth_ct()
    stored = imagecodecs.zstd_encode(plane.tobytes(), level=3)
    work = lambda: imagecodecs.zstd_decode(stored)  # noqa: E731
    case(work, tool="imagecodecs", nbytes=plane.nbytes, items=plane.nbytes, unit="B", rounds=50)


@pytest.mark.benchmark(group=JPEG2000)
def bench_jpeg2000(case):
    import imagecodecs

    plane = smooth_ct()
    stored = imagecodecs.jpeg2k_encode(plane, reversible=True, codecformat="j2k")
    assert np.array_equal(imagecodecs.jpeg2k_decode(stored, numthreads=1), plane)
    work = lambda: imagecodecs.jpeg2k_decode(stored, numthreads=1)  # noqa: E731
    case(work, tool="imagecodecs", nbytes=plane.nbytes, items=plane.nbytes, unit="B", rounds=10)


@pytest.mark.gpu
@pytest.mark.benchmark(group="machine: GPU copy 1 GiB")
def bench_gpu_copy(gpu_case, gpu):
    source = gpu(np.ones(gpu.size(1 << 28, 1 << 10), np.float32))
    target = gpu.xp.empty_like(source)

    def copy():
        target[...] = source

    gpu_case(copy, tool="memory", nbytes=2 * source.nbytes, items=2 * source.nbytes, unit="B")
