"""Tasks over worker processes that may die: a killed worker costs its cases a second try, alone; twice: a lost case.

Workers are started by forkserver (spawn elsewhere), each with its share of the threads, and end by themselves when the
process that started them is gone, so that a killed run leaves nobody behind who still writes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from multiprocessing.connection import wait as wait_for
from typing import Any

from .. import config
from ._task import Job, Outcome, Task

__all__ = ["InProcess", "Work", "run_all"]

Work = Callable[[Job, Task], Outcome]
TRIES = 2
_job: Job | None = None


def _start(job: Job, isa: str, memory: int) -> None:
    """In a new worker: settings, the job, and an eye on the parent."""
    global _job
    _job = job
    config.set_threads(job.threads)
    config.set_isa(isa)
    config.set_memory_limit(memory)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _run(work: Work, task: Task) -> Outcome:
    assert _job is not None
    return work(_job, task)


def _run_with(work: Work, job: Job, task: Task) -> Outcome:
    return work(job, task)


class InProcess(Executor):
    """Runs each task at once, here: for tests and for looking into a problem."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """fn(*args, **kwargs), done when this returns."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def run_all(
    work: Work, job: Job, tasks: Iterable[Task], *, workers: int, executor: Executor | None = None
) -> Iterator[tuple[Task, Outcome | None]]:
    """(task, outcome) as they come; None where the worker died twice with this task alone in hand.

    At most two tasks a worker are under way. Any other exception of `work` ends the run.
    """
    if executor is not None:
        yield from _foreign(work, job, tasks, workers, executor)
        return
    waiting = deque(tasks)
    lost: deque[Task] = deque()
    deaths: dict[str, int] = {}
    pool: Executor | None = None
    running: dict[Future[Outcome], Task] = {}
    try:
        while waiting or lost or running:
            try:
                pool = pool or _pool(job, workers)
                while (lost and not running) or (waiting and not lost and len(running) < 2 * workers):
                    task = (lost or waiting).popleft()
                    try:
                        running[pool.submit(_run, work, task)] = task
                    except BrokenExecutor:
                        waiting.appendleft(task)
                        raise
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome = future.result()
                    yield running.pop(future), outcome
            except BrokenExecutor:
                finished = [f for f in running if f.done() and not f.cancelled() and f.exception() is None]
                for future in finished:
                    yield running.pop(future), future.result()
                alone = len(running) == 1
                for task in running.values():
                    deaths[task.case_id] = deaths.get(task.case_id, 0) + alone
                    if deaths[task.case_id] >= TRIES:
                        yield task, None
                    else:
                        lost.append(task)
                running.clear()
                if pool is not None:
                    pool.shutdown(wait=False, cancel_futures=True)
                pool = None
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _foreign(
    work: Work, job: Job, tasks: Iterable[Task], workers: int, executor: Executor
) -> Iterator[tuple[Task, Outcome | None]]:
    """On somebody else's executor, which is asked for nothing but `submit`."""
    waiting = deque(tasks)
    running: dict[Future[Outcome], Task] = {}
    while waiting or running:
        while waiting and len(running) < 2 * workers:
            task = waiting.popleft()
            running[executor.submit(_run_with, work, job, task)] = task
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            outcome = future.result()
            yield running.pop(future), outcome


def _pool(job: Job, workers: int) -> Executor:
    method = "forkserver" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["fastimg.pipeline._warm"])
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start, initargs=(job, config.isa(), config.memory_limit())
    )
