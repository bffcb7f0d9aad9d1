"""How far a batch is, over all workers: done, rate, time left; and a line of it on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Pace", "Progress", "bar", "told"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a batch stands.

    Attributes
    ----------
    done, total, failed : int
        Tasks; those that failed are among the done ones.
    seconds : float
        Since the start.
    rate : float
        Tasks a second over all workers, 0 while nothing is known.
    left : float or None
        Seconds until the end, None while nothing is known.
    """

    done: int
    total: int
    failed: int
    seconds: float
    rate: float
    left: float | None


class Pace:
    """Counts tasks as they come back from any worker; `cost` weighs them (bytes, voxels), for the time left.

    Parameters
    ----------
    total : int
        Tasks.
    cost : float, optional
        Of all tasks together, in the unit of `step`. Default: `total`.
    clock : callable
        Seconds from any beginning. Default: `time.monotonic`.
    """

    def __init__(self, total: int, cost: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._cost, self._clock = total, cost, clock
        self._began = clock()
        self._done = self._failed = 0
        self._spent = 0.0

    def step(self, cost: float = 1.0, *, failed: bool = False) -> Progress:
        """One more is done. `cost` is its share of the work, `failed` says that it went wrong."""
        self._done += 1
        self._failed += failed
        self._spent += cost
        return self.now()

    def now(self) -> Progress:
        """Where it stands."""
        seconds = self._clock() - self._began
        rate = self._done / seconds if self._done and seconds > 0 else 0.0
        whole = self._total if self._cost is None else self._cost
        left = None
        if self._done >= self._total:
            left = 0.0
        elif self._done and self._spent > 0:
            left = max(0.0, whole - self._spent) * seconds / self._spent
        return Progress(self._done, self._total, self._failed, seconds, rate, left)


def told(rate: float, left: float | None) -> str:
    """ "3.2/s, 40 s left"; empty while nothing is known."""
    if not rate:
        return ""
    pace = f"{rate:.1f}/s" if rate >= 0.1 else f"{60 * rate:.1f}/min"
    if left is None:
        return pace
    return f"{pace}, {left:.0f} s left" if left < 120 else f"{pace}, {left / 60:.0f} min left"


@contextmanager
def bar(label: str) -> Iterator[Callable[[Progress], None]]:
    """A function that shows progress on standard error; it does nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    with columns() as shown:
        task = shown.add_task(label, total=None, pace="")

        def show(progress: Progress) -> None:
            pace = told(progress.rate, progress.left) + (f", {progress.failed} failed" if progress.failed else "")
            shown.update(task, completed=progress.done, total=progress.total, pace=pace)

        yield show


def columns() -> Any:
    """The one form of all bars."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bars

    parts = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    return Bars(*parts, console=Console(stderr=True))
