"""ingest and run on executors of others whose workers are killed: the same cohort as in one process."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor

import pytest
from small_run import KEY, digests
from tests.engines import dask, processes

import fastimg as fi
from fastimg._workers import InProcess
from fastimg.errors import ArgumentError


def pids_of(pool):
    if isinstance(pool, ProcessPoolExecutor):
        return list(pool._processes or ())
    return list(pool._client.run(os.getpid, on_error="ignore").values())


@pytest.fixture(scope="module")
def undisturbed(hospitals, tmp_path_factory):
    target = tmp_path_factory.mktemp("undisturbed") / "cohort"
    fi.ingest(hospitals.folder / "athens", target, InProcess(), key=KEY)
    return digests(target)


@pytest.mark.parametrize("engine", [processes, dask])
def test_an_ingest_whose_workers_are_killed_gives_the_same_cohort(hospitals, undisturbed, tmp_path, engine):
    target, told, killed = tmp_path / "cohort", [], []
    with engine() as pool:

        def tell(event):
            told.append(event)
            if event.step == "cases" and event.done in (1, 2):
                pid = next((pid for pid in pids_of(pool) if pid not in (*killed, os.getpid())), None)
                if pid is not None:
                    killed.append(pid)
                    os.kill(pid, signal.SIGKILL)

        summary = fi.ingest(hospitals.folder / "athens", target, pool, key=KEY, on_event=tell)
    assert killed
    assert digests(target) == undisturbed
    assert summary.states["failed"] == 0
    assert fi.Cohort.open(target).verify(full=True).ok
    cases = [event for event in told if event.step == "cases"]
    assert [event.done for event in cases] == list(range(1, len(undisturbed) + 1))
    assert cases[-1].left == 0
    assert all(event.rate > 0 for event in cases)


def test_a_case_that_was_committed_is_not_made_again(hospitals, tmp_path, monkeypatch):
    """The worker died after the commit and before it told: the second try finds the case by its source."""
    from fastimg.pipeline import _case, _work

    calls = []

    def twice(work, job, tasks, **options):
        for task in tasks:
            first = work(job, task)
            with monkeypatch.context() as patch:
                patch.setattr(_case, "prepared", lambda *a, **k: calls.append(a))
                second = work(job, task)
            assert (second.state, second.codes, second.voxels) == (first.state, first.codes, first.voxels)
            yield task, second

    monkeypatch.setattr(_work, "run_all", twice)
    summary = fi.ingest(hospitals.folder / "athens", tmp_path / "c", key=KEY)
    assert summary.done > 0
    assert calls == []


def test_what_is_no_executor_is_refused_before_any_work(hospitals, tmp_path):
    with pytest.raises(ArgumentError, match="executor"):
        fi.ingest(hospitals.folder / "athens", tmp_path / "c", 3, key=KEY)
    assert not (tmp_path / "c").exists()
