"""A function over all cases on any executor; a killed worker costs its own cases a second try, nothing more."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

from .. import config
from ..errors import ArgumentError, FastimgError
from ..findings import Finding

if TYPE_CHECKING:
    from ._case import Case
    from ._cohort import Cohort

__all__ = ["map_cases"]

_TRIES = 3


def map_cases(
    cohort: Cohort,
    fn: Callable[[Case], Any],
    executor: Executor | Callable[[], Executor] | None = None,
    *,
    states: Sequence[str] = ("ok", "warned"),
    workers: int | None = None,
    on_error: Literal["raise", "finding"] = "raise",
) -> Iterator[tuple[str, Any]]:
    """Call fn(case) for every case, on other processes; yields (case_id, result) by case_id.

    Parameters
    ----------
    fn : callable
        Takes a `Case`; importable by the workers.
    executor : concurrent.futures.Executor, or a function that makes one, optional
        Default: an own process pool (forkserver) of `workers` processes, each with its share of the threads. A pool
        that breaks (a worker was killed) is made anew and its unfinished cases are tried again, up to three times; an
        executor that was handed over cannot be made anew, a function that makes one can.
    states : sequence of str
        Which cases.
    workers : int, optional
        Default: the cores this process may use.
    on_error : "raise" or "finding"
        Whether an exception of fn ends the map, or is yielded as the case's Finding ("case-failed") in place of a
        result.

    Notes
    -----
    At most four cases a worker are under way, so memory does not grow with the cohort. Settings (threads, ISA level,
    memory limit) travel with each task.
    """
    if on_error not in ("raise", "finding"):
        raise ArgumentError(f"on_error: must be 'raise' or 'finding', got {on_error!r}")
    count = workers or len(os.sched_getaffinity(0))
    if count < 1:
        raise ArgumentError(f"workers: must be a positive number or None, got {workers!r}")
    wanted = [c for c, s in zip(cohort._column("case_id"), cohort._column("state"), strict=True) if s in states]
    if executor is None:
        make: Callable[[], Executor] | None = lambda: _own_pool(count)  # noqa: E731
        shared = None
    elif isinstance(executor, Executor) or hasattr(executor, "submit"):
        make, shared = None, executor
    elif callable(executor):
        make, shared = executor, None
    else:
        raise ArgumentError(
            f"executor: must be an Executor or a function that makes one, got {type(executor).__name__}"
        )
    settings: dict[str, Any] = {"memory_limit": config.memory_limit()}
    if executor is None:  # another executor's workers may be other machines
        settings |= {"threads": max(1, config.threads() // count), "isa": config.isa()}
    return _run(str(cohort.path.absolute()), wanted, fn, make, shared, settings, 4 * count, on_error)


def _run(
    path: str,
    wanted: list[str],
    fn: Callable[[Case], Any],
    make: Callable[[], Executor] | None,
    shared: Any,
    settings: dict[str, Any],
    window: int,
    on_error: str,
) -> Iterator[tuple[str, Any]]:
    pool = shared if make is None else make()
    waiting = deque(wanted)
    tries: dict[str, int] = {}
    alone = 0  # so many of the next cases run one at a time, because one of them may have killed its worker
    running: deque[tuple[str, Future[Any]]] = deque()

    def submit() -> None:
        while waiting and len(running) < (1 if alone else window):
            running.append((waiting[0], pool.submit(_task, path, waiting[0], fn, settings)))
            waiting.popleft()

    try:
        while waiting or running:
            try:
                submit()
                case_id, future = running[0]
                result: Any = future.result()
            except BrokenExecutor as error:
                if make is None:
                    raise FastimgError(
                        "map: a worker of the executor died; give a function that makes it, to go on"
                    ) from error
                pool.shutdown(wait=False, cancel_futures=True)
                lost = [case_id for case_id, _ in running]
                running.clear()
                if alone and lost:
                    first = lost[0]
                    tries[first] = tries.get(first, 0) + 1
                    if tries[first] >= _TRIES:
                        problem = Finding("case-failed", "Its worker process died three times.", first)
                        if on_error == "raise":
                            raise FastimgError(str(problem)) from error
                        lost, alone = [], alone - 1
                        yield first, problem
                waiting.extendleft(reversed(lost))
                alone = max(alone, len(lost))
                pool = make()
                continue
            except Exception as error:
                if on_error == "raise" or not running:
                    raise
                result = Finding("case-failed", type(error).__name__, case_id)
            running.popleft()
            alone = max(0, alone - 1)
            yield case_id, result
    finally:
        for _, future in running:
            future.cancel()
        if make is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _own_pool(workers: int) -> Executor:
    method = "forkserver" if sys.platform == "linux" else "spawn"
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(method))


def _task(path: str, case_id: str, fn: Callable[[Case], Any], settings: dict[str, Any]) -> Any:
    from ._cohort import Cohort

    with config.use(**settings):
        return fn(Cohort.open(path)[case_id])
