"""How a run is followed: a bar with rate and time left on a terminal, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..pipeline import Event

__all__ = ["follow"]

NAMES = {"learn": "learning a common scale", "cases": "cases", "features": "features"}


@contextmanager
def follow(*, quiet: bool = False) -> Iterator[Callable[[Event], None] | None]:
    """A listener for `pipeline.run`."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as listener:
            yield listener
    else:
        yield _Lines()


class _Lines:
    """At most about a line a second, always the last one, and problems always."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        began = self._began.setdefault(event.step, now)
        if event.step in NAMES and event.total:
            bad = event.state in ("quarantined", "failed")
            if not bad and event.done < event.total and now - self._last < 1.0:
                return
            self._last = now
            told = f"{NAMES[event.step]} {event.done}/{event.total}{_pace(event, now - began)}"
            if event.case_id:
                codes = f" ({', '.join(sorted(set(event.codes)))})" if event.codes else ""
                told += f"; {event.case_id} {event.state}{codes}"
            click.echo(told, err=True)
        elif event.step == "plan":
            click.echo(f"{event.text}: {event.total} cases, {event.done} done before", err=True)
        elif event.text:
            click.echo(event.text, err=True)


def _pace(event: Event, seconds: float) -> str:
    if event.done < 2 or seconds <= 0:
        return ""
    rate = event.done / seconds
    left = (event.total - event.done) / rate
    return f", {rate:.1f}/s, {left:.0f} s left" if rate >= 0.1 else f", {60 * rate:.1f}/min, {left / 60:.0f} min left"


@contextmanager
def _bar() -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, Any] = {}
        began: dict[str, float] = {}

        def listener(event: Event) -> None:
            if event.step in NAMES and event.total:
                if event.step not in tasks:
                    began[event.step] = time.monotonic()
                    tasks[event.step] = progress.add_task(NAMES[event.step], total=event.total, rate="")
                seconds = time.monotonic() - began[event.step]
                rate = f"{event.done / seconds:.1f}/s" if seconds > 0.5 else ""
                progress.update(tasks[event.step], completed=event.done, rate=rate)
                if event.state in ("quarantined", "failed"):
                    progress.console.print(f"{event.case_id} {event.state}: {', '.join(sorted(set(event.codes)))}")
            elif event.step == "plan":
                progress.console.print(f"{event.text}: {event.total} cases, {event.done} done before")
            elif event.text:
                progress.console.print(event.text)

        yield listener
