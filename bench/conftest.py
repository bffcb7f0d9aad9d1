"""The frame of all benchmarks: each case names its tool, what it moves and how exact it is; `bench/table.py` prints them.

A group is one piece of work; fastimg and its peers are cases of the same group, run one after another in one process on
the same data. The machine's own limits are measured in the same run (bench_machine.py), so that ratios can be read even
when the clock changes from one run to the next.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg import _gpu

# FASTIMG_BENCH_DEVICE=host rehearses the GPU cases on a device that the CPU plays, at small sizes; its times mean nothing.
PLAYED = os.environ.get("FASTIMG_BENCH_DEVICE") == "host"


def pytest_configure(config):
    config.option.benchmark_disable_gc = True
    config.addinivalue_line("markers", "gpu: needs a CUDA device")


def pytest_collection_modifyitems(config, items):
    marked = [item for item in items if "gpu" in item.keywords]
    if marked and not PLAYED and not _has_gpu():
        for item in marked:
            item.add_marker(
                pytest.mark.skip(reason="no CUDA device here; bench/on_gpu.sh runs these cases where one is")
            )


def _has_gpu() -> bool:
    from fastimg import _gpu

    try:
        _gpu.backend()
    except (fi.errors.DeviceError, fi.errors.MissingError):
        return False
    return True


@pytest.fixture(params=[1], ids=lambda n: f"{n}-thread")
def one_thread(request):
    """One thread for fastimg; peers are told by their own means in their case."""
    with fi.config.use(threads=request.param):
        yield request.param


def _seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.fixture
def case(benchmark):
    """run(work, tool=, nbytes=, items=, error=, unit=, rounds=, limit=, beside=): time work() and record what it did.

    nbytes: the fewest bytes the work needs to read and write (its floor). items: what `unit` counts, for a rate.
    error: a number, how far the result is from the reference. setup: makes the arguments of each round, not timed.
    limit: the group of bench_machine.py whose rate bounds the work, where it is not the copy's. beside: (tool, other
    work) that is timed for as many rounds, five of each in turn: both meet the same clock, and a core that the other
    work left asleep has its own back for the rounds after the first.
    Peak memory is what the process held above the moment before, results included; that of child processes is not seen.
    """

    def run(
        work, *, tool="fastimg", nbytes=0, items=0, unit="", error=None, rounds=5, setup=None, limit=None, beside=None
    ):
        benchmark.extra_info.update(
            tool=tool,
            limit=limit,
            nbytes=int(nbytes),
            items=float(items),
            unit=unit,
            error=None if error is None else float(error),
        )
        times, turn = [], itertools.count()

        def other():
            if next(turn) % 5 == 0:
                times.extend(_seconds(beside[1]) for _ in range(5))

        if not setup:
            work()
        benchmark.extra_info["clock_before"] = clock()
        with peak_memory() as peak:
            rounds, before = (2 * rounds, other) if beside else (rounds, setup)
            result = benchmark.pedantic(work, setup=before, rounds=rounds, warmup_rounds=0, iterations=1)
        benchmark.extra_info["clock_after"] = clock()
        benchmark.extra_info["peak_bytes"] = peak.bytes
        if beside:
            benchmark.extra_info["beside"] = {"tool": beside[0], "seconds": min(times)}
        return result

    return run


@pytest.fixture(scope="session")
def gpu():
    """Puts an array on the CUDA device; `gpu.size(full, small)` is the full size there, the small one on a played device."""
    if not PLAYED:
        put = _gpu.backend().to_device
        yield _Device(put, lambda full, small: full)
        return
    with fi.testing.host_device() as put:
        yield _Device(put, lambda full, small: small)


class _Device:
    def __init__(self, put, size):
        self.put, self.size, self.xp = put, size, _gpu.backend().xp

    def __call__(self, array):
        return self.put(array)


@pytest.fixture
def gpu_case(benchmark, gpu):
    """As `case`, for work whose inputs and outputs lie on the device: the median of many batches between two events.

    A batch is repeated calls without a wait, so that what Python spends on a launch hides behind the kernel before it, as
    in a user's loop; where the kernel is shorter than that, the time is the launch's and says so.
    """

    def run(work, *, tool="fastimg", nbytes=0, items=0, unit="", error=None, expected=None, batches=21):
        """`expected`: makes on the CPU what `work` gives; the error is the largest difference as a share of its range."""
        benchmark.extra_info.update(tool=tool, nbytes=int(nbytes), items=float(items), unit=unit, device="cuda")
        seen = work()
        error = error if expected is None else apart(seen, expected())
        benchmark.extra_info["error"] = None if error is None else float(error)
        del seen
        seconds = _batch(gpu.xp, work, 1)
        inner = 1 if PLAYED else max(1, min(200, int(0.004 / max(seconds, 1e-6))))
        times = sorted(_batch(gpu.xp, work, inner) / inner for _ in range(2 if PLAYED else batches))
        benchmark.extra_info["device_seconds"] = times[len(times) // 2]
        return benchmark.pedantic(work, rounds=1, warmup_rounds=0, iterations=1)

    return run


def apart(seen, expected) -> float:
    """The largest difference of two results, of whatever device, as a share of the range of the second; NaN is NaN."""
    if isinstance(expected, tuple | list):
        return max(apart(a, b) for a, b in zip(seen, expected, strict=True))
    if isinstance(expected, dict):
        assert set(seen) == set(expected)
        return max(apart(seen[name], expected[name]) for name in expected)
    a, b = (getattr(x, "array", x) for x in (seen, expected))
    a, b = (np.asarray(fi._dispatch.move(x, "cpu") if hasattr(x, "dtype") else x, np.float64) for x in (a, b))
    assert a.shape == b.shape
    assert np.array_equal(np.isnan(a), np.isnan(b))
    scale = np.nanmax(np.abs(b), initial=0) if b.size < 2 else np.nanmax(b) - np.nanmin(b)
    return float(np.nanmax(np.abs(a - b), initial=0) / max(scale, 1e-300))


def _batch(xp, work, calls: int) -> float:
    if PLAYED:
        start = time.perf_counter()
        for _ in range(calls):
            work()
        return time.perf_counter() - start
    first, last = xp.cuda.Event(), xp.cuda.Event()
    first.record()
    for _ in range(calls):
        work()
    last.record()
    last.synchronize()
    return xp.cuda.get_elapsed_time(first, last) * 1e-3


_trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)


class Peak:
    """`bytes`: None where the kernel does not tell."""

    bytes: int | None = None


@contextlib.contextmanager
def peak_memory():
    """The most memory that this process held inside above what it held before, as Linux counts it (VmHWM, reset first)."""
    peak = Peak()
    try:
        _trim(0)  # what free() and fastimg keep for later would hide the next allocation
        with fi.config.use(kept_memory=0):
            pass
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
    except OSError:
        yield peak
        return
    yield peak
    peak.bytes = max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


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


@pytest.fixture(scope="session")
def room():
    """A folder for series of DICOM, in memory where there is room."""
    base = "/dev/shm" if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 1 << 30 else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def volume():
    """Their voxels, 300 slices of 12 bits."""
    from series_maker import slices

    return np.stack(list(slices()))
