"""How a run is followed: a bar with rate and time left on a terminal, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..cohort._progress import columns, told

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
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if event.step in NAMES and event.total:
            bad = event.state in ("quarantined", "failed")
            if not bad and event.done < event.total and now - self._last < 1.0:
                return
            self._last = now
            pace = told(event.rate, event.left)
            line = f"{NAMES[event.step]} {event.done}/{event.total}{', ' if pace else ''}{pace}"
            if event.case_id:
                codes = f" ({', '.join(sorted(set(event.codes)))})" if event.codes else ""
                line += f"; {event.case_id} {event.state}{codes}"
            click.echo(line, err=True)
        elif event.step == "plan":
            click.echo(f"{event.text}: {event.total} cases, {event.done} done before", err=True)
        elif event.text:
            click.echo(event.text, err=True)


@contextmanager
def _bar() -> Iterator[Any]:
    with columns() as progress:
        tasks: dict[str, Any] = {}

        def listener(event: Event) -> None:
            if event.step in NAMES and event.total:
                if event.step not in tasks:
                    tasks[event.step] = progress.add_task(NAMES[event.step], total=event.total, pace="")
                progress.update(tasks[event.step], completed=event.done, pace=told(event.rate, event.left))
                if event.state in ("quarantined", "failed"):
                    progress.console.print(f"{event.case_id} {event.state}: {', '.join(sorted(set(event.codes)))}")
            elif event.step == "plan":
                progress.console.print(f"{event.text}: {event.total} cases, {event.done} done before")
            elif event.text:
                progress.console.print(event.text)

        yield listener
