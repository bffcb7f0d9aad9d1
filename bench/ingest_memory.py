"""Ingest of many small cases: memory of the process that hands out work and of its workers, and what a second worker gives.

python bench/ingest_memory.py [CASES ...] [--workers N ...]     (default: 330 and 3300 cases, 1 and 2 workers)

A line for each, from a process of its own. Rates are those of the wall clock; beside them the processor's time a case, of the
workers and of the process that hands out work, which other programs on the machine do not change much: on two cores a second
worker can give 2 w / (w + p).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import fastimg as fi

KEY = b"a key of the benchmarks, 32 bytes"
TICK = 1 / os.sysconf("SC_CLK_TCK")


def write_cases(folder: Path, count: int, slices: int = 4, size: int = 64) -> None:
    """Series of `slices` of `size` x `size`, a folder each."""
    for number in range(count):
        person = {"PatientName": f"Probe^N{number:05d}", "PatientID": f"ING{number:06d}"}
        fi.synth.ct_series(folder / f"P{number:05d}", slices=slices, size=size, attributes=person, seed=number)


def peak(pid: str) -> float:
    """The most memory a process ever held, in MB."""
    lines = Path("/proc", pid, "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e3


def children() -> dict[str, float]:
    """Processes below this one, with the processor's time that each took, in seconds."""
    below, times, parents = {str(os.getpid())}, {}, []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.append((entry.name, fields[1], (int(fields[11]) + int(fields[12])) * TICK))
    for _ in range(4):
        for pid, parent, spent in parents:
            if parent in below and pid not in below:
                below.add(pid)
                times[pid] = spent
    return times


def ingest(root: str, target: str, count: int, workers: int) -> None:
    """One ingest, and its line."""
    seen = {"workers": 0.0, "began": 0.0, "own": 0.0}

    def tell(event) -> None:
        if event.step == "plan":
            seen["began"], seen["own"] = time.perf_counter(), time.process_time()
        if event.step == "cases" and (event.done % 50 == 0 or event.done == event.total):
            times = children()
            seen["spent"] = sum(times.values())
            for pid in times:
                try:
                    seen["workers"] = max(seen["workers"], peak(pid))
                except (OSError, StopIteration):
                    continue
            seen["seconds"], seen["handing"] = time.perf_counter() - seen["began"], time.process_time() - seen["own"]

    fi.config.set_threads(2)
    summary = fi.ingest(root, target, key=KEY, workers=workers, on_event=tell)
    assert summary.states["ok"] == count, summary.findings
    print(
        f"{count} cases, {workers} workers: {count / seen['seconds']:.1f} cases/s; a case takes workers "
        f"{1e3 * seen['spent'] / count:.1f} ms of a core, handing out {1e3 * seen['handing'] / count:.2f} ms; at most "
        f"{peak(str(os.getpid())):.0f} MB in this process, {seen['workers']:.0f} MB in a worker",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", type=int, default=[330, 3300])
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2])
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for count in asked.cases:
            jobs = [(write_cases, (Path(folder, f"in{count}"), count))]
            for workers in asked.workers:
                target = str(Path(folder, f"out{count}-{workers}"))
                jobs.append((ingest, (str(Path(folder, f"in{count}")), target, count, workers)))
            for work, arguments in jobs:
                process = context.Process(target=work, args=arguments)
                process.start()
                process.join()
                assert process.exitcode == 0


if __name__ == "__main__":
    main()
