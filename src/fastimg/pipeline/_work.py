"""A run's passes over its cases: learn a common scale, make, measure again; and the events that tell of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

from .._workers import Engine
from ..cohort import Pace
from ..findings import Finding
from . import _case
from ._plan import Plan
from ._pool import run_all
from ._preview import free
from ._recipe import Recipe
from ._summary import FOLDER, write_whole
from ._task import Job, Outcome, Task
from ._tasks import Tasks

__all__ = ["Event", "Listener", "Log", "learned", "made", "measured_again"]


@dataclass(frozen=True)
class Event:
    """Something that happened, for a progress bar or a log. No text of it holds an identifier.

    Attributes
    ----------
    step : "scan", "plan", "learn", "cases", "features" or "done"
    done, total : int
        Of the step's items.
    case_id, state, codes
        The case that came to its end, in "cases".
    voxels, bytes_in : int
        Of that case.
    rate : float
        Items a second over all workers; 0 while nothing is known.
    left : float or None
        Seconds until the step's end, by the size of what is left; None while nothing is known.
    text : str
        A sentence.
    """

    step: str
    done: int = 0
    total: int = 0
    case_id: str = ""
    state: str = ""
    codes: tuple[str, ...] = ()
    voxels: int = 0
    bytes_in: int = 0
    rate: float = 0.0
    left: float | None = None
    text: str = ""


Listener = Callable[[Event], None]


class Log:
    """Events as lines in the cohort, and to the caller."""

    def __init__(self, path: Path, tell: Listener) -> None:
        self._path, self._tell = path, tell
        self._stream: TextIO | None = None  # opened once there is something to tell

    def __call__(self, event: Event) -> None:
        record = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **event.__dict__}
        line = json.dumps({name: value for name, value in record.items() if value not in ("", (), 0, None)})
        if self._stream is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self._path.open("a", encoding="utf-8", buffering=1)
        self._stream.write(line + "\n")
        self._tell(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()


@dataclass
class Stopped:
    left: int = 0
    caught: int = 0
    storing: float = 0.0


def learned(
    job: Job,
    plan: Plan,
    pending: Tasks,
    sources: dict[str, str],
    workers: int,
    executor: Engine | None,
    target: Path,
    log: Log,
) -> Job:
    """The job with Nyul's scale for each modality that needs one: that of an earlier run, or learned from all cases.

    A scale is learned once and kept, so that cases that come later are brought to it and a resumed run gives the same
    voxels.
    """
    from .. import harmonize

    models: dict[str, dict[str, Any]] = {}
    for modality in sorted(set(plan.tasks.column("modality"))):
        if job.recipe.harmonize_for(modality).method != "nyul":
            continue
        path = target / FOLDER / f"nyul_{modality}.json"
        if path.exists():
            models[modality] = json.loads(path.read_bytes())
            continue
        tasks = plan.tasks.where(lambda own, voxels: own == modality and voxels > 0, "modality", "voxels_out")  # noqa: B023
        if not any(source not in sources for source in tasks.column("source")):
            continue
        parts: dict[str, dict[str, Any]] = {}
        pace = Pace(len(tasks), sum(tasks.column("peak")))
        for task, outcome in run_all(_case.measure, job, tasks, workers=workers, executor=executor):
            if outcome is not None and outcome.model is not None:
                parts[task.case_id] = outcome.model
            now = pace.step(task.peak)
            text = f"common scale of {modality}"
            log(Event("learn", len(parts), len(tasks), rate=round(now.rate, 3), left=_whole(now.left), text=text))
        if parts:
            # In the order of case ids: sums of floats must not depend on which worker was first.
            merged = None
            for case_id in sorted(parts):
                one = harmonize.Nyul.from_dict(parts[case_id])
                merged = one if merged is None else merged.merge(one)
            assert merged is not None
            models[modality] = merged.to_dict()
            write_whole(path, json.dumps(models[modality]).encode())
    return replace(job, models=tuple(models.items()))


def made(
    job: Job, pending: Tasks, workers: int, executor: Engine | None, recipe: Recipe, target: Path, log: Log
) -> Stopped:
    """Make the cases; those not begun when the disk runs low stay for the next run."""
    result = Stopped()
    pace = Pace(len(pending), sum(pending.column("peak")))

    def offered() -> Iterator[Task]:
        for number, task in enumerate(pending):
            if free(target) - task.bytes_out < recipe.run.reserve:
                result.left = len(pending) - number
                log(
                    Event(
                        "cases",
                        pace.now().done,
                        len(pending),
                        text=f"the disk is nearly full: {result.left} cases are left",
                    )
                )
                return
            yield task

    for task, outcome in run_all(_case.make, job, offered(), workers=workers, executor=executor):
        outcome = outcome or _died(job, task)
        now = pace.step(task.peak)
        result.caught += outcome.identifiers_caught
        result.storing += outcome.seconds.get("store", 0.0)
        log(
            Event(
                "cases",
                now.done,
                len(pending),
                outcome.case_id,
                outcome.state,
                tuple(outcome.codes),
                outcome.voxels,
                outcome.bytes_in,
                round(now.rate, 3),
                _whole(now.left),
            )
        )
    return result


def _died(job: Job, task: Task) -> Outcome:
    """A case that killed its worker twice."""
    from ..cohort import Cohort

    found = Finding("case-failed", "Its worker process died twice: a crash, or not enough memory.")
    Cohort.open(job.cohort, mode="r+").record(
        task.case_id, "failed", findings=[found], source=task.source, metadata={"modality": task.modality}, replace=True
    )
    return Outcome(task.case_id, "failed", [found.code])


def measured_again(job: Job, cohort: Any, workers: int, executor: Engine | None, log: Log) -> None:
    """Features of all stored cases, after the recipe's radiomics section changed."""
    cases = [case.case_id for case in cohort.cases(states=("ok", "warned")) if case.mask_names]
    tasks = [Task(case_id, "", "") for case_id in cases]
    pace = Pace(len(tasks))
    for _ in run_all(_case.remeasure, job, tasks, workers=workers, executor=executor):
        now = pace.step()
        log(Event("features", now.done, len(tasks), rate=round(now.rate, 3), left=_whole(now.left)))


def _whole(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
