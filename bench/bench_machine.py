"""The machine's limits, measured in the same run as everything else: the table quotes shares of the copy rate."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.benchmark(group="machine: copy 256 MiB")
def bench_copy(case):
    source = np.ones(1 << 26, np.float32)
    target = np.empty_like(source)
    case(lambda: np.copyto(target, source), tool="memory", nbytes=2 * source.nbytes, items=source.nbytes, unit="B")


@pytest.mark.benchmark(group="machine: read 256 MiB")
def bench_read(case):
    source = np.ones(1 << 26, np.float32)
    case(lambda: source.max(), tool="memory", nbytes=source.nbytes, items=source.nbytes, unit="B")


@pytest.mark.gpu
@pytest.mark.benchmark(group="machine: GPU copy 1 GiB")
def bench_gpu_copy(gpu_case, gpu):
    source = gpu(np.ones(gpu.size(1 << 28, 1 << 10), np.float32))
    target = gpu.xp.empty_like(source)

    def copy():
        target[...] = source

    gpu_case(copy, tool="memory", nbytes=2 * source.nbytes, items=2 * source.nbytes, unit="B")
