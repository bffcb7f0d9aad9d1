"""How cost grows: each public kernel on cubes of three sizes, on one thread and on all, beside one peer a kernel.

Larger works, more peers and dtypes are in the domains' own files. FASTIMG_BENCH_EDGES="16,24,32" makes it short.
"""

from __future__ import annotations

import os
from functools import cache

import growth_filters
import growth_intensities
import growth_tables
import pytest
from growth import error_of, smooth_noise

import fastimg as fi

EDGES = [int(edge) for edge in os.environ.get("FASTIMG_BENCH_EDGES", "64,128,256").split(",")]
THREADS = {"one thread": 1, "all threads": fi.config.threads()}
KERNELS = growth_intensities.KERNELS | growth_filters.KERNELS | growth_tables.KERNELS


@pytest.fixture(scope="module")
def volumes():
    """Smooth noise, float32, of each edge."""
    return cache(smooth_noise)


@cache
def error(name: str) -> float | None:
    try:
        return error_of(KERNELS[name])
    except pytest.skip.Exception:
        return None


CASES = [
    pytest.param(
        name, edge, threads, id=f"{name}, {edge}, {threads}", marks=pytest.mark.benchmark(group=f"growth: {name}, {edge}^3, {threads}")
    )
    for name, kernel in KERNELS.items()
    for edge in (max(8, edge // kernel.shrink) for edge in EDGES)
    for threads in THREADS
]  # fmt: skip


@pytest.mark.parametrize(("name", "edge", "threads"), CASES)
def bench_kernel(case, volumes, name, edge, threads):
    kernel, volume = KERNELS[name], volumes(edge)
    with fi.config.use(threads=THREADS[threads]):
        work = kernel.make(volume)
        case(work, nbytes=kernel.moved * volume.size, items=volume.size, unit="voxel", error=error(name), rounds=3)


@pytest.mark.parametrize(
    ("name", "edge", "threads"), [c for c in CASES if KERNELS[c.values[0]].peer and c.values[2] == "one thread"]
)
def bench_peer(case, volumes, name, edge, threads):
    kernel, volume = KERNELS[name], volumes(edge)
    case(kernel.peer(volume), tool=kernel.name, items=volume.size, unit="voxel", rounds=2)
