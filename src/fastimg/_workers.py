"""Tasks over any executor whose workers may die: right and complete results as long as a task can be done at all.

Worker processes of our own are started by forkserver (spawn elsewhere), each with its share of the threads and, where
asked for, with one GPU; they end by themselves when the process that started them is gone, so that a killed run leaves
nobody behind who still writes.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from importlib import import_module
from multiprocessing.connection import wait as wait_for
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from . import config
from .errors import ArgumentError, FastimgError

__all__ = ["Engine", "InProcess", "check_executor", "devices_of", "hand", "own_pool", "spread", "threads_for", "width"]

T = TypeVar("T")
Engine = Executor | Callable[[], Executor]
TRIES = 2
_TOGETHER = 0.02  # seconds that a result may wait for others
_LOOK = 5.0  # seconds after which a cluster is asked again how many workers it has


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


def check_executor(executor: Any) -> None:
    """Refuse what is neither an Executor nor a function that makes one."""
    if executor is not None and not hasattr(executor, "submit") and not callable(executor):
        raise ArgumentError(
            f"executor: must be an Executor or a function that makes one, got {type(executor).__name__}"
        )


# own processes ----------------------------------------------------------------------------------------------------------


def own_pool(
    workers: int,
    *,
    threads: int,
    devices: Sequence[str] = (),
    preload: Sequence[str] = (),
    setup: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> ProcessPoolExecutor:
    """Worker processes with this process's settings; `setup(*arguments)` runs in each before its first task.

    With `devices`, worker k sees one of them alone (CUDA_VISIBLE_DEVICES); there must be as many as workers.
    """
    method = "forkserver" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver" and preload:
        context.set_forkserver_preload(list(preload))
    free = None
    if devices:
        free = context.SimpleQueue()
        for device in devices:
            free.put(device)
    settings = (threads, config.isa(), config.memory_limit(), config.kept_memory() // workers)
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start, initargs=(settings, free, setup, arguments)
    )


def _start(settings: tuple[int, str, int, int], free: Any, setup: Callable[..., None] | None, arguments: Any) -> None:
    """In a new worker: settings, a device, and an eye on the parent."""
    if free is not None:  # before anything makes a CUDA context
        os.environ["CUDA_VISIBLE_DEVICES"] = free.get()
    config.set_threads(settings[0])
    config.set_isa(settings[1])
    config.set_memory_limit(settings[2])
    config.set_kept_memory(settings[3])
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    if setup is not None:
        setup(*arguments)


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def devices_of(asked: Sequence[str] | str | None) -> tuple[str, ...]:
    """Names of CUDA devices as CUDA_VISIBLE_DEVICES takes them; "all": those that this process may use.

    No CUDA context is made here: a process that has one could not hand devices to its workers.
    """
    if asked is None:
        return ()
    if asked != "all":
        given = (asked,) if isinstance(asked, str) else tuple(map(str, asked))
        if not given or len(set(given)) < len(given) or any(not re.fullmatch(r"[\w./:-]+", name) for name in given):
            raise ArgumentError(f"devices: expected 'all' or different names of CUDA devices, got {asked!r}")
        return given
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        found = tuple(name for name in map(str.strip, visible.split(",")) if name and name != "-1")
    else:
        there = [name for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name)]
        found = tuple(map(str, range(len(there))))
    if not found:
        raise ArgumentError("devices: 'all' was asked for, but this process sees no CUDA device")
    return found


# any executor -----------------------------------------------------------------------------------------------------------


def width(executor: Any, workers: int) -> int:
    """How many tasks an executor can do at once, as far as it tells; `workers` if it does not."""
    client = getattr(executor, "_client", None)  # dask: Client.get_executor()
    if client is not None and hasattr(client, "nthreads"):
        return max(1, sum(client.nthreads().values()))
    for name in ("num_workers", "_max_workers"):  # mpi4py; processes, threads, loky
        count = getattr(executor, name, None)
        if isinstance(count, int) and count > 0:
            return count
    return workers


def threads_for(executor: Any, workers: int) -> int:
    """Threads of one task: this machine's divided among local workers; 1 where workers may be elsewhere."""
    known = getattr(executor, "_max_workers", None)
    if executor is None or isinstance(known, int):
        return max(1, config.threads() // width(executor, workers))
    return config.threads() if isinstance(executor, InProcess) else 1


def hand(pool: Any, fn: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Submit a call that may have effects: a dask cluster would otherwise give equal calls one result, or one failure."""
    if getattr(pool, "_client", None) is not None:
        return pool.submit(fn, *arguments, pure=False)
    return pool.submit(fn, *arguments)


class _Held:
    """An executor, and another like it once it broke."""

    def __init__(self, engine: Engine) -> None:
        self._make = None if hasattr(engine, "submit") else engine
        self._own = self._make is not None
        self.pool: Any = engine if self._make is None else self._make()

    def remake(self, cause: BaseException) -> None:
        broken = self.pool
        if self._make is not None:
            made = self._make()
        elif isinstance(broken, ProcessPoolExecutor) and type(broken).__module__.startswith("concurrent."):
            made = ProcessPoolExecutor(
                width(broken, 1),
                mp_context=broken._mp_context,
                initializer=broken._initializer,
                initargs=broken._initargs,
            )
        elif "loky" in type(broken).__module__:  # loky's own, or the one that joblib carries
            loky = import_module(type(broken).__module__.partition("loky")[0] + "loky")
            made = loky.get_reusable_executor(max_workers=broken._max_workers)
        else:
            raise FastimgError(
                f"executor: a worker of the {type(broken).__name__} died and it takes no more tasks; "
                "give a function that makes it, to go on"
            ) from cause
        if made is not broken:
            _shut(broken, wait=False)
        self.pool, self._own = made, True

    def close(self) -> None:
        if self._own:
            _shut(self.pool, wait=True)


def _shut(pool: Any, *, wait: bool) -> None:
    try:
        pool.shutdown(wait=wait, cancel_futures=True)
    except TypeError:  # loky has it not
        pool.shutdown(wait=wait)


def spread(
    tasks: Iterable[T],
    submit: Callable[[Any, T], Future[Any]],
    engine: Engine,
    *,
    workers: int,
    depth: int = 2,
    ordered: bool = False,
) -> Iterator[tuple[T, Future[Any] | None]]:
    """(task, its future, done) as they come, or in the order of tasks; None for a task that killed its workers.

    A pool that breaks is made anew, and what was under way is tried again; what was under way at a second break is tried
    alone, and given up when its worker dies `TRIES` times so. A cluster that restarts its workers by itself (dask) tells
    of a task that it gave up; that is tried alone too. Tasks are taken from `tasks` when there is room for them: at most
    `depth` a worker are under way, so memory does not grow with their number.
    """
    held = _Held(engine)
    source = iter(enumerate(tasks))
    running: dict[Future[Any], tuple[int, T]] = {}
    again: deque[tuple[int, T]] = deque()  # lost once: beside others
    alone: deque[tuple[int, T]] = deque()  # lost twice: by themselves
    losses: Counter[int] = Counter()
    deaths: Counter[int] = Counter()
    done: dict[int, tuple[T, Future[Any] | None]] = {}
    ready: SimpleQueue[Future[Any]] = SimpleQueue()
    following = idle = 0
    seen, room, more = 0.0, 0, True

    def lose(ticket: tuple[int, T], by_itself: bool, *, suspect: bool = False) -> None:
        losses[ticket[0]] += 1
        deaths[ticket[0]] += by_itself
        if deaths[ticket[0]] >= TRIES:
            done[ticket[0]] = ticket[1], None
        elif suspect or losses[ticket[0]] > 1:
            alone.append(ticket)
        else:
            again.append(ticket)

    try:
        while True:
            if time.monotonic() - seen > _LOOK:
                seen, room = time.monotonic(), depth * width(held.pool, workers)
            try:
                while more or again or alone:
                    if again and len(running) < room:
                        ticket = again.popleft()
                    elif alone and not again:
                        if running:
                            break
                        ticket = alone.popleft()
                    elif more and len(running) + len(done) < room:
                        fresh = next(source, None)
                        if fresh is None:
                            more = False
                            continue
                        ticket = fresh
                    else:
                        break
                    try:
                        future = submit(held.pool, ticket[1])
                        running[future] = ticket
                        future.add_done_callback(ready.put)
                    except BrokenExecutor:
                        again.appendleft(ticket)
                        raise
                if running:
                    finished = _finished(ready, running, enough=2 * room // depth)
                    broken = [f for f in finished if not f.cancelled() and isinstance(f.exception(), BrokenExecutor)]
                    if broken:
                        raise broken[0].exception() or BrokenExecutor
                    single = len(running) == 1
                    for future in finished:
                        ticket = running.pop(future)
                        if _given_up(future):
                            lose(ticket, single, suspect=True)
                        else:
                            done[ticket[0]] = ticket[1], future
            except BrokenExecutor as error:
                idle = 0 if running else idle + 1
                if idle > TRIES:
                    raise FastimgError("executor: it breaks before it is given any task") from error
                single = len(running) == 1
                for future, ticket in running.items():
                    if future.done() and not future.cancelled() and future.exception() is None:
                        done[ticket[0]] = ticket[1], future
                    else:
                        lose(ticket, single)
                running.clear()
                held.remake(error)
            if ordered:
                while following in done:
                    yield done.pop(following)
                    following += 1
            else:
                while done:
                    yield done.pop(next(iter(done)))
            if not (more or again or alone or running):
                return
    finally:
        for future in running:
            future.cancel()
        held.close()


def _finished(ready: SimpleQueue[Future[Any]], running: Mapping[Future[Any], Any], enough: int) -> set[Future[Any]]:
    """Those of `running` that are done: one at least, unless `_LOOK` passes, and others that come soon after it while there
    is `enough` for workers to do, as each waking takes a core from them."""
    found: set[Future[Any]] = set()
    try:
        found.add(ready.get(timeout=_LOOK))
        while True:
            found.add(ready.get(timeout=_TOGETHER if len(running) - len(found) > enough else 0))
    except Empty:
        return found & running.keys()  # a pool that broke may have told of its tasks late


def _given_up(future: Future[Any]) -> bool:
    """Whether a cluster lost the worker of a task too often, or the task itself."""
    if future.cancelled():
        return True
    error = future.exception()
    return type(error).__name__ == "KilledWorker" and type(error).__module__.startswith("distributed")
