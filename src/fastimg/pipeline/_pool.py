"""The pipeline's tasks over worker processes, or over somebody else's executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from .._workers import Engine, InProcess, hand, own_pool, spread
from ._task import Job, Outcome, Task

__all__ = ["InProcess", "Work", "run_all"]

Work = Callable[[Job, Task], Outcome]
_job: Job | None = None


def _start(job: Job) -> None:
    """In a new worker: what all tasks share."""
    global _job
    _job = job


def _run(work: Work, task: Task) -> Outcome:
    assert _job is not None
    return work(_job, task)


def _run_with(work: Work, job: Job, task: Task) -> Outcome:
    return work(job, task)


def run_all(
    work: Work, job: Job, tasks: Iterable[Task], *, workers: int, executor: Engine | None = None
) -> Iterator[tuple[Task, Outcome | None]]:
    """(task, outcome) as they come; None where the worker died twice with this task alone in hand.

    At most three tasks a worker are under way. Any exception of `work` ends the run.
    """

    def own() -> Any:
        return own_pool(
            workers, threads=job.threads, preload=["fastimg.pipeline._warm"], setup=_start, arguments=(job,)
        )

    def submit(pool: Any, task: Task) -> Future[Any]:
        return hand(pool, _run, work, task) if executor is None else hand(pool, _run_with, work, job, task)

    for task, future in spread(tasks, submit, executor or own, workers=workers, depth=3):
        yield task, None if future is None else future.result()
