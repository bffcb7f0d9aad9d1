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


@pytest.mark.benchmark(group=f"pipeline: {CASES} small cases by one worker, then by two")
def bench_two_workers(benchmark, tmp_path, case):
    """`two_workers_give`: the rate of two over that of one, a value a turn."""
    write_cases(tmp_path / "in", CASES)
    turns = []

    def turn():
        turns.append((_ingest(tmp_path, 1), _ingest(tmp_path, 2)))

    case(turn, items=2 * CASES, unit="case", rounds=1 if CASES >= 1000 else 3)
    (_, working, handing) = min((one for one, _ in turns), key=lambda one: one[1])
    gains = [two[0] / one[0] for one, two in turns]
    possible = 2 * working / (working + handing)
    benchmark.extra_info.update(
        two_workers_give=gains, worker_seconds=working, handing_seconds=handing, possible=possible
    )
    told = ", ".join(f"{one[0]:.1f} and {two[0]:.1f}" for one, two in turns)
    print(f"\none and two workers: {told} cases/s; two give {', '.join(f'{gain:.2f}' for gain in gains)}")
    print(
        f"a case: {1e3 * working:.1f} ms of a worker's core, {1e3 * handing:.2f} of handing out: {possible:.2f} possible"
    )
