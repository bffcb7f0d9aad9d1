"""A function over all cases on any executor; a killed worker costs its own cases a second try, nothing more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from .. import _workers, config
from ..errors import ArgumentError, FastimgError
from ..findings import Finding
from ._progress import Pace, Progress, bar

if TYPE_CHECKING:
    from ._case import Case
    from ._cohort import Cohort

__all__ = ["map_cases"]


def map_cases(
    cohort: Cohort,
    fn: Callable[[Case], Any],
    executor: _workers.Engine | None = None,
    *,
    states: Sequence[str] = ("ok", "warned"),
    workers: int | None = None,
    threads: int | None = None,
    devices: Sequence[str] | Literal["all"] | None = None,
    on_error: Literal["raise", "finding"] = "raise",
    on_progress: Callable[[Progress], None] | None = None,
    progress: bool = False,
) -> Iterator[tuple[str, Any]]:
    """Call fn(case) for every case, on other processes; yields (case_id, result) by case_id.

    Parameters
    ----------
    fn : callable
        Takes a `Case`; importable by the workers. It may be called twice for a case whose worker was killed.
    executor : concurrent.futures.Executor, or a function that makes one, optional
        Default: own processes (forkserver). Otherwise any: a pool of processes or threads, loky, dask
        (`Client.get_executor()`), `mpi4py.futures.MPIPoolExecutor`; `open_executor` makes some of them by name. Its
        workers must see the cohort's path.
    states : sequence of str
        Which cases.
    workers : int, optional
        Own processes. Default: one for each device, or the cores this process may use.
    threads : int, optional
        Of each task. Default: the cores divided among the workers; 1 on a cluster.
    devices : "all" or names of CUDA devices, optional
        One own process for each, which sees that device alone. A handed-over executor pins its own workers.
    on_error : "raise" or "finding"
        Whether an exception of fn ends the map, or is yielded as the case's Finding ("case-failed") in place of a
        result. A case whose worker died twice while it was alone there counts as one.
    on_progress : callable, optional
        Called with a `Progress` (done, rate, time left over all workers) after each case.
    progress : bool
        A bar on standard error where that is a terminal; nothing where it is not.

    Yields
    ------
    case_id, result

    Raises
    ------
    ArgumentError
        A number below 1, an unknown `on_error`, or devices with an executor of the caller's.

    Notes
    -----
    At most four cases a worker are under way, so memory does not grow with the cohort. A pool of processes or of loky
    that breaks because a worker was killed is made anew and what was under way is tried again; dask does so by itself.
    An MPI job ends with its first dead rank: run it again. Settings (threads, ISA level, memory limit, a
    share of the kept memory) travel along.
    """
    if on_error not in ("raise", "finding"):
        raise ArgumentError(f"on_error: must be 'raise' or 'finding', got {on_error!r}")
    _workers.check_executor(executor)
    if threads is not None and threads < 1:
        raise ArgumentError(f"threads: must be a positive number or None, got {threads!r}")
    names = _workers.devices_of(devices)
    if names and executor is not None:
        raise ArgumentError("devices: only own processes can be pinned; pin the executor's workers where it is made")
    count = workers or len(names) or len(os.sched_getaffinity(0))
    if count < 1 or (names and count != len(names)):
        raise ArgumentError(
            f"workers: must be a positive number, one for each device if there are devices; got {workers!r}"
        )
    wanted = [c for c, s in zip(cohort._column("case_id"), cohort._column("state"), strict=True) if s in states]
    share = threads or _workers.threads_for(executor, count)
    engine = executor if executor is not None else lambda: _workers.own_pool(count, threads=share, devices=names)
    settings: dict[str, Any] = {}  # own workers have them; threads of this process share its own
    if executor is not None and not isinstance(executor, ThreadPoolExecutor | _workers.InProcess):
        kept = config.kept_memory() // _workers.width(executor, count)
        settings = {"memory_limit": config.memory_limit(), "threads": share, "kept_memory": kept}
    return _run(cohort.address, wanted, fn, engine, settings, count, on_error, on_progress, progress)


def _run(
    address: tuple[str, dict[str, Any]],
    wanted: list[str],
    fn: Callable[[Case], Any],
    engine: _workers.Engine,
    settings: dict[str, Any],
    workers: int,
    on_error: str,
    on_progress: Callable[[Progress], None] | None,
    progress: bool,
) -> Iterator[tuple[str, Any]]:
    pace = Pace(len(wanted))

    def submit(pool: Any, case_id: str) -> Future[Any]:
        return _workers.hand(pool, _task, address, case_id, fn, settings)

    with ExitStack() as stack:
        show = stack.enter_context(bar("cases")) if progress else None
        for case_id, future in _workers.spread(wanted, submit, engine, workers=workers, depth=4, ordered=True):
            if future is None:
                result: Any = Finding("case-failed", "Its worker process died twice.", case_id)
                if on_error == "raise":
                    raise FastimgError(str(result))
            elif future.exception() is not None and on_error == "finding":
                result = Finding("case-failed", type(future.exception()).__name__, case_id)
            else:
                result = future.result()
            now = pace.step(failed=isinstance(result, Finding))
            for tell in (show, on_progress):
                if tell is not None:
                    tell(now)
            yield case_id, result


def _task(
    address: tuple[str, dict[str, Any]], case_id: str, fn: Callable[[Case], Any], settings: dict[str, Any]
) -> Any:
    from ._cohort import Cohort

    with config.use(**settings):
        return fn(Cohort.open(address[0], options=address[1])[case_id])
