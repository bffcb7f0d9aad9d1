"""What a second worker gives: ingest of many small cases on one and on two processes, turn by turn.

FASTIMG_BENCH_CASES=3300 takes as many cases as a provider has; the default is small. Workers have one thread each. A rate is
taken between a tenth of the cases and the last, so that starting does not count. On a busy machine the rates say little; what
can be said there is the processor's time a case, of the workers (w) and of the process that hands out work (p): two cores can
give 2 w / (w + p) of one worker's rate where nothing else is in the way.
"""

from __future__ import annotations

import os
import shutil
import time

import pytest
from ingest_memory import KEY, children, write_cases

import fastimg as fi

CASES = int(os.environ.get("FASTIMG_BENCH_CASES", "150"))


def _ingest(folder, workers):
    """(cases a second, core-seconds a case of the workers, of handing out)."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    marks = []

    def tell(event):
        if event.step == "cases" and event.done in (CASES // 10, CASES):
            marks.append((event.done, time.perf_counter(), sum(children().values()), time.process_time()))

    with fi.config.use(threads=workers):
        summary = fi.ingest(folder / "in", folder / "out", key=KEY, workers=workers, on_event=tell)
    assert summary.states["ok"] == CASES
    (first, *began), (last, *ended) = marks
    seconds, working, handing = ((b - a) / (last - first) for a, b in zip(began, ended, strict=True))
    return 1 / seconds, working, handing


@pytest.mark.parametrize(("slices", "size"), [(4, 64), (20, 128)])
@pytest.mark.benchmark(group=f"pipeline: {CASES} small cases by one worker, then by two")
def bench_two_workers(benchmark, tmp_path, case, slices, size):
    """`two_workers_give`: the rate of two over that of one, of all turns together, which begin with one and two in turn."""
    write_cases(tmp_path / "in", CASES, slices, size)
    turns = []

    def turn():
        counts = (1, 2) if len(turns) % 2 == 0 else (2, 1)
        done = {workers: _ingest(tmp_path, workers) for workers in counts}
        turns.append((done[1], done[2]))

    case(turn, items=2 * CASES, unit="case", rounds=3)
    one, two = (len(turns) / sum(1 / turn[k][0] for turn in turns) for k in (0, 1))
    (_, working, handing) = min((turn[0] for turn in turns), key=lambda one: one[1])
    possible = 2 * working / (working + handing)
    benchmark.extra_info.update(
        two_workers_give=two / one,
        turns=[b[0] / a[0] for a, b in turns],
        worker_seconds=working,
        handing_seconds=handing,
        possible=possible,
    )
    print(
        f"\n{CASES} cases of {slices} x {size} x {size}: {one:.1f} cases/s by one worker, {two:.1f} by two: {two / one:.2f} times"
    )
    for a, b in turns:  # a core's own speed changes from one ingest to the next: so beside each its time of a case
        print(f"  {a[0]:.1f} at {1e3 * a[1]:.1f} ms a case, {b[0]:.1f} at {1e3 * b[1]:.1f} ms: {b[0] / a[0]:.2f}")
    print(f"  {1e3 * handing:.2f} ms of handing out: {possible:.2f} possible")
