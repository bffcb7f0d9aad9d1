"""The frame of all benchmarks: each case names its tool, what it moves and how exact it is; `bench/table.py` prints them.

A group is one piece of work; fastimg and its peers are cases of the same group, run one after another in one process on
the same data. The machine's own limits are measured in the same run (bench_machine.py), so that ratios can be read even
when the clock changes from one run to the next.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

import fastimg as fi


def pytest_configure(config):
    config.option.benchmark_disable_gc = True


@pytest.fixture(params=[1], ids=lambda n: f"{n}-thread")
def one_thread(request):
    """One thread for fastimg; peers are told by their own means in their case."""
    with fi.config.use(threads=request.param):
        yield request.param


@pytest.fixture
def case(benchmark):
    """run(work, tool=, nbytes=, items=, error=, unit=, rounds=): time work() and record what it did.

    nbytes: the fewest bytes the work needs to read and write (its floor). items: what `unit` counts, for a rate.
    error: a number, how far the result is from the reference. setup: makes the arguments of each round, not timed.
    """

    def run(work, *, tool="fastimg", nbytes=0, items=0, unit="", error=None, rounds=5, setup=None):
        benchmark.extra_info.update(
            tool=tool, nbytes=int(nbytes), items=float(items), unit=unit, error=None if error is None else float(error)
        )
        benchmark.extra_info["clock_before"] = clock()
        result = benchmark.pedantic(work, setup=setup, rounds=rounds, warmup_rounds=0 if setup else 1, iterations=1)
        benchmark.extra_info["clock_after"] = clock()
        return result

    return run


def clock() -> float:
    """Steps a second of a dependent chain of additions: follows the core's clock, so that its changes are seen."""
    start = time.perf_counter()
    total = 0
    for step in range(200_000):
        total += step
    return 200_000 / (time.perf_counter() - start)


@pytest.fixture(scope="session")
def ct_volume():
    """512 x 512 x 300 int16 like a CT: air, soft tissue, noise; spacing 1.5, 0.7, 0.7 mm."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[-1:1:300j, -1:1:512j, -1:1:512j]
    body = (y * y + (x / 1.3) ** 2 + 0 * z) < 0.5
    volume = np.where(body, 40, -1000).astype(np.int16)
    volume += rng.normal(0, 22, (512, 512)).astype(np.int16)
    volume[::2] += rng.normal(0, 10, (512, 512)).astype(np.int16)
    return fi.Image(volume, spacing=(1.5, 0.7, 0.7), unit="HU")
