"""One task a frame over threads, for work that leaves the interpreter: codecs and files."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from .. import config

__all__ = ["in_turns"]


def in_turns(make: Callable[[], Callable[[int], None]], numbers: Iterable[int], threads: int) -> None:
    """Call `make()(number)` for every number, `make()` once a thread; the calling thread is one of them.

    Threads take the next number when they are done with one: a future each would cost as much as a small frame. Of several
    that fail the first number's error is raised, whatever the threads; later numbers are left out.

    Parameters
    ----------
    make : callable
        Gives a thread's own function, which may keep buffers.
    numbers : iterable of int
    threads : int
        0: `config.threads()`.
    """
    wanted = list(numbers)
    left = iter(wanted)  # of a list: taking one is a single step for the interpreter
    failed: list[tuple[int, BaseException]] = []

    def run() -> None:
        one = make()
        for number in left:
            try:
                one(number)
            except BaseException as error:  # raised below, in the calling thread
                failed.append((number, error))
                deque(left, maxlen=0)

    others = [threading.Thread(target=run) for _ in range(min(threads or config.threads(), len(wanted)) - 1)]
    for thread in others:
        thread.start()
    run()
    for thread in others:
        thread.join()
    if failed:
        raise min(failed, key=lambda one: one[0])[1]
