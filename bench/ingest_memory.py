"""Ingest of many small cases: memory of the process that hands out work and of its workers, and what a second worker gives.

python bench/ingest_memory.py [cases ...]   (default: 330 3300; a table of one line for each number of cases and workers)
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import fastimg as fi

KEY = b"a key of the benchmarks, 32 bytes"


def write_cases(folder: Path, count: int) -> None:
    """Series of 4 slices of 64 x 64, a folder each."""
    for number in range(count):
        person = {"PatientName": f"Probe^N{number:05d}", "PatientID": f"ING{number:06d}"}
        fi.synth.ct_series(folder / f"P{number:05d}", slices=4, size=64, attributes=person, seed=number)


def peak(pid: str = "self") -> float:
    """The most memory a process ever held, in MB."""
    lines = Path("/proc", pid, "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e3


def children() -> list[str]:
    """Processes below this one."""
    found, below = [], [str(os.getpid())]
    parents: dict[str, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            parents.setdefault(parent, []).append(entry.name)
    while below:
        below = [child for parent in below for child in parents.get(parent, [])]
        found += below
    return found


def ingest(root: Path, target: Path, workers: int) -> dict[str, float]:
    """One ingest; seconds of the cases alone, peaks of memory in MB, sampled at every fiftieth case."""
    seen = {"start": 0.0, "worker": 0.0}

    def tell(event) -> None:
        if event.step == "plan":
            seen["start"] = time.perf_counter()
        if event.step == "cases":
            seen["seconds"] = time.perf_counter() - seen["start"]
            if event.done % 50 == 0 or event.done == event.total:
                for pid in children():
                    try:
                        seen["worker"] = max(seen["worker"], peak(pid))
                    except (OSError, StopIteration):
                        continue

    summary = fi.ingest(root, target, key=KEY, workers=workers, on_event=tell)
    assert summary.states["ok"] == summary.done, summary.findings
    return seen


def main() -> None:
    counts = [int(text) for text in sys.argv[1:]] or [330, 3300]
    fi.config.set_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            root = Path(folder, f"in{count}")
            write_cases(root, count)
            rates = {}
            for workers in (1, 2):
                seen = ingest(root, Path(folder, f"out{count}-{workers}"), workers)
                rates[workers] = count / seen["seconds"]
                gain = f", {rates[2] / rates[1]:.2f} times one worker" if workers == 2 else ""
                print(
                    f"{count} cases, {workers} workers: {rates[workers]:.1f} cases/s{gain}; peak of this process "
                    f"{peak():.0f} MB, of a worker {seen['worker']:.0f} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
