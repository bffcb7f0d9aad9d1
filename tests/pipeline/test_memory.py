"""The process that plans and hands out work: what it holds does not grow with the number of cases, but for some columns."""

from __future__ import annotations

import gc
import tracemalloc

import pyarrow as pa
import pytest
from small_run import KEY

import fastimg as fi
from fastimg._workers import InProcess
from fastimg.pipeline import _after, _case, _plan, _run, ingest
from fastimg.pipeline._task import Outcome, Task
from fastimg.pipeline._tasks import Tasks
from fastimg.versions import versions

SLICES = 5


def grown(folder, few, many, monkeypatch):
    """Bytes a case, held at the last case and at the worst moment, between two sizes of one tree."""
    made = []
    monkeypatch.setattr(_case, "make", lambda job, task: made.append(1) or Outcome(task.case_id, "ok"))  # elsewhere
    for number in range(many):
        person = {"PatientName": f"Probe^N{number:05d}", "PatientID": f"MEM{number:06d}"}
        for size, name in ((few, "few"), (many, "many")):
            if number < size:
                place = folder / name / f"P{number:05d}"
                fi.synth.ct_series(place, slices=SLICES, size=8, attributes=person, seed=number)
    held, worst, seen = {}, {}, {}
    for name in (
        "few",
        "few",
        "many",
        "many",
    ):  # the first fills caches; what a larger tree is the first to fill comes once
        gc.collect()
        base = pa.total_allocated_bytes()

        def tell(event, name=name, base=base):
            if event.step == "cases" and event.done == event.total:
                gc.collect()
                current, peak = tracemalloc.get_traced_memory()
                now = current + pa.total_allocated_bytes() - base, peak
                held[name], worst[name] = (min(pair) for pair in zip(now, seen.get(name, now), strict=True))
                seen[name] = now

        tracemalloc.start()
        target = folder / f"out{len(list(folder.iterdir()))}"
        summary = ingest(folder / name, target, key=KEY, executor=InProcess(), on_event=tell)
        tracemalloc.stop()
        assert len(made) == summary.done == {"few": few, "many": many}[name]
        made.clear()
    return tuple((of["many"] - of["few"]) / (many - few) for of in (held, worst))


def test_what_is_held_a_case(tmp_path, monkeypatch):
    monkeypatch.setattr(_plan, "PART", 64)  # a tree of several parts
    held, worst = grown(tmp_path, 25, 100, monkeypatch)
    assert held < 2000, held  # a row of a header as a dictionary takes 8,000, and a case here has five
    assert worst < 4000, worst


@pytest.mark.soak
def test_what_is_held_of_many_cases(tmp_path, monkeypatch):
    held, worst = grown(tmp_path, 450, 1700, monkeypatch)  # of two parts and of five
    assert held < 2000, held
    assert worst < 4000, worst


def test_what_the_end_of_a_run_holds(tmp_path, monkeypatch):
    """Over the index and all cases, and in the last search for identifiers, which takes some of them at a time."""
    monkeypatch.setattr(_after, "TOGETHER", 32)
    monkeypatch.setattr(_after, "PIECE", 2048)

    def make(job, task):
        cohort = fi.Cohort.open(job.cohort, mode="r+")
        metadata = {"modality": "CT", "subject": 32 * "a", "site": "A"}
        cohort.record(task.case_id, "failed", findings=[], source=task.source, metadata=metadata, listed=False)
        return Outcome(task.case_id, "failed")

    known, worst = versions(), {}
    monkeypatch.setattr("fastimg.versions.versions", lambda: known)  # half a MB, whatever the cases

    def told(step, name):
        def work(*arguments):
            gc.collect()
            tracemalloc.start()
            done = step(*arguments)
            worst[name, step.__name__] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return done

        return work

    monkeypatch.setattr(_case, "make", make)
    few, many = 30, 130
    for number in range(many):
        person = {"PatientName": f"Probe^N{number:05d}", "PatientID": f"MEM{number:06d}"}
        for name, size in (("few", few), ("many", many)):
            if number < size:
                fi.synth.ct_series(tmp_path / name / f"P{number:05d}", slices=2, size=8, attributes=person, seed=number)
    for number, name in enumerate(("few", "few", "many")):  # the first fills caches
        with monkeypatch.context() as patch:
            for step in (_run.summed, _run.left_behind):
                patch.setattr(_run, step.__name__, told(step, name))
            summary = ingest(tmp_path / name, tmp_path / f"out{number}", key=KEY, executor=InProcess())
        assert summary.states["failed"] == summary.done == {"few": few, "many": many}[name]
    grown = {step: (worst["many", step] - worst["few", step]) / (many - few) for step in ("summed", "left_behind")}
    assert 100 < grown["summed"] < 2000, grown  # the least: what is measured is what grows
    assert grown["left_behind"] < 500, grown  # with all matchers kept, or all identifiers at once, some thousands


def test_tasks_are_what_was_appended():
    made = [Task(f"c{n}", f"s{n}", "CT" if n % 3 else "MR", paths=(f"p/{n}",) * 3, voxels_in=n) for n in range(200)]
    tasks = Tasks(made)
    assert list(tasks) == made
    some = tasks.where(lambda modality, voxels: modality == "MR" and voxels > 100, "modality", "voxels_in")
    assert list(some) == [task for task in made if task.modality == "MR" and task.voxels_in > 100]
    assert some.column("case_id") == [task.case_id for task in some]
    assert some.column("peak") == [task.peak for task in some]
    assert not list(Tasks())
    assert Tasks().column("source") == []


def test_one_identifier_among_many_is_found_in_a_long_log(tmp_path, monkeypatch):
    monkeypatch.setattr(_after, "TOGETHER", 50)
    monkeypatch.setattr(_after, "PIECE", 4000)
    run = tmp_path / "run"
    run.mkdir()
    lines = [f'{{"step": "cases", "done": {n}}}\n' for n in range(2000)]
    identifiers = {f"Surname{n:04d}" for n in range(500)}
    (run / "log.jsonl").write_text("".join(lines))
    (run / "summary.json").write_text("{}")
    assert _after.left_behind(tmp_path, identifiers) == 0
    lines[1234] = '{"text": "of surname0321"}\n'
    (run / "log.jsonl").write_text("".join(lines))
    assert _after.left_behind(tmp_path, identifiers) == 1
    (tmp_path / "SURNAME0007").mkdir()
    assert _after.left_behind(tmp_path, identifiers) == 2
