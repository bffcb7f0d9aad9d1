"""Killed at any moment and run again, it ends with what an undisturbed run gives; a dead worker costs one case at most."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_run import KEY, RECIPE, digests

import fastimg as fi
from fastimg.pipeline import Recipe, run
from fastimg.pipeline._pool import InProcess, run_all
from fastimg.pipeline._task import Job, Outcome, Task

SCRIPT = """
import sys
import fastimg as fi
if __name__ == "__main__":
    root, target, key, recipe, clinical = sys.argv[1:6]
    def tell(event):
        print(event.step, event.done, flush=True)
    fi.pipeline.run(recipe, root, target, key=bytes.fromhex(key), clinical=clinical, workers=2, on_event=tell)
"""


def killed_run(tmp_path, hospitals, target, moment):
    """Start a run in its own process and SIGKILL it when `moment(line)` says so; the lines until then."""
    script, recipe = tmp_path / "run.py", tmp_path / "small.toml"
    script.write_text(SCRIPT)
    recipe.write_text(RECIPE)
    command = [
        sys.executable,
        str(script),
        str(hospitals.folder),
        str(target),
        KEY.hex(),
        str(recipe),
        str(hospitals.clinical),
    ]
    environment = {**os.environ, "FASTIMG_TEST_TARGET": str(target)}  # its workers inherit it: so they can be found
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    lines = []
    try:
        for line in process.stdout:
            lines.append(line.strip())
            delay = moment(line.strip())
            if delay is not None:
                time.sleep(delay)
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return lines


def workers_of(target):
    """Processes of a run that was started by `killed_run`, whatever they do just now."""
    mark = f"FASTIMG_TEST_TARGET={target}".encode()
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and mark in _read(f"/proc/{pid}/environ").split(b"\0")]


def nobody_is_left(target):
    """Workers of a killed run end by themselves, those too that have no file open at the moment."""
    until = time.monotonic() + 60
    while workers_of(target):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _read(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(lambda line: 0.0 if line.startswith("learn 3") else None, id="learning"),
        pytest.param(lambda line: 0.03 if line.startswith("cases 1") else None, id="first-case"),
        pytest.param(lambda line: 0.0 if line == "cases 9" else None, id="in-the-middle"),
    ],
)
def test_after_a_kill_the_next_run_ends_with_the_same_voxels(hospitals, recipe, done, tmp_path, moment):
    target = tmp_path / "cohort"
    found = []

    def seen(line):
        found.extend(workers_of(target))
        return moment(line)

    lines = killed_run(tmp_path, hospitals, target, seen)
    assert len(set(found)) > 2  # the run and its two workers
    assert not any(line.startswith("done") for line in lines)
    assert nobody_is_left(target)
    summary = run(recipe, hospitals.folder, target, key=KEY, clinical=hospitals.clinical, executor=InProcess())
    assert digests(target) == digests(done[0])
    assert summary.states == done[1].states
    assert fi.Cohort.open(target).verify(full=True).ok
    assert [entry.name for entry in (target / ".tmp").iterdir()] == []


@pytest.mark.soak
def test_a_storm_of_kills(hospitals, recipe, done, tmp_path, soak_minutes):
    import random

    chance = random.Random(1)
    until = time.monotonic() + 60 * soak_minutes
    rounds = 0
    while time.monotonic() < until or rounds < 3:
        target = tmp_path / f"cohort-{rounds}"
        for _ in range(chance.randint(1, 3)):
            count, delay = chance.randint(0, 40), chance.random() * 0.2
            seen = iter(range(10**6))
            killed_run(tmp_path, hospitals, target, lambda line, s=seen, c=count, d=delay: d if next(s) >= c else None)
        assert nobody_is_left(target)
        run(recipe, hospitals.folder, target, key=KEY, clinical=hospitals.clinical, executor=InProcess())
        assert digests(target) == digests(done[0])
        rounds += 1


# workers --------------------------------------------------------------------------------------------------------------


def dies_at_c(job, task):
    if task.case_id == "c":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return Outcome(task.case_id, "ok")


def dies_once(job, task):
    mark = Path(job.root, "died")
    if task.case_id == "b" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(task.case_id, "ok")


def tells_its_threads(job, task):
    return Outcome(task.case_id, "ok", codes=[str(fi.config.threads())])


TASKS = [Task(letter, letter, "CT") for letter in "abcdefgh"]


def test_a_case_that_kills_its_worker_is_the_only_one_lost():
    seen = {task.case_id: outcome for task, outcome in run_all(dies_at_c, Job(Recipe(), "", KEY), TASKS, workers=2)}
    assert seen.pop("c") is None
    assert {outcome.case_id for outcome in seen.values()} == set("abdefgh")


def test_a_worker_that_dies_once_costs_nothing(tmp_path):
    job = Job(Recipe(), "", KEY, root=str(tmp_path))
    seen = [outcome.case_id for _, outcome in run_all(dies_once, job, TASKS, workers=2)]
    assert sorted(seen) == sorted("abcdefgh")


def test_workers_get_their_share_of_the_threads():
    job = Job(Recipe(), "", KEY, threads=3)
    assert {o.codes[0] for _, o in run_all(tells_its_threads, job, TASKS[:2], workers=1)} == {"3"}


def test_a_lost_case_is_recorded_as_failed(hospitals, recipe, tmp_path, monkeypatch):
    from fastimg.pipeline import _work

    def lose_one(work, job, tasks, **options):
        for number, task in enumerate(tasks):
            yield task, (None if number == 1 and work.__name__ == "make" else work(job, task))

    monkeypatch.setattr(_work, "run_all", lose_one)
    root = hospitals.folder / "athens"
    summary = run(recipe, root, tmp_path / "c", key=KEY)
    assert summary.findings["case-failed"] == 1
    assert summary.states["failed"] == 1
    monkeypatch.undo()
    again = run(recipe, root, tmp_path / "c", key=KEY, executor=InProcess())
    assert again.done == 0
    mended = run(recipe, root, tmp_path / "c", key=KEY, executor=InProcess(), retry=True)
    assert (mended.done, mended.states["failed"]) == (1, 0)
