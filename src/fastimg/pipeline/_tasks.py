"""The cases of a plan: what is asked of all of them as columns, the rest packed, so that many take little memory."""

from __future__ import annotations

import pickle
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ._task import Task

__all__ = ["Tasks"]

TOGETHER = 64  # tasks packed at once: their paths have much in common


class Tasks:
    """Tasks in the order in which they were appended, less those that were left out.

    Iterating makes `Task` objects, a few at a time. Columns: case_id, source, modality, subject, voxels_in, voxels_out,
    bytes_in.
    """

    def __init__(self, tasks: Iterable[Task] = ()) -> None:
        self._packed: list[bytes] = []
        self._open: list[Task] = []
        self._texts: dict[str, list[str]] = {name: [] for name in ("case_id", "source", "modality", "subject")}
        self._figures = {name: array("q") for name in ("voxels_in", "voxels_out", "bytes_in", "bytes_out", "peak")}
        self._kept: array[int] = array("q")
        for task in tasks:
            self.append(task)

    def append(self, task: Task) -> int:
        """Add a task; returns its number."""
        number = len(self._texts["case_id"])
        for name, texts in self._texts.items():
            texts.append(getattr(task, name))
        for name, figures in self._figures.items():
            figures.append(getattr(task, name))
        self._kept.append(number)
        self._open.append(task)
        if len(self._open) == TOGETHER:
            self._packed.append(zlib.compress(pickle.dumps(self._open, pickle.HIGHEST_PROTOCOL), 1))
            self._open = []
        return number

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Task]:
        together: list[Task] = []
        at = -1
        for number in self._kept:
            if number // TOGETHER != at:
                at = number // TOGETHER
                together = self._open
                if at < len(self._packed):
                    together = pickle.loads(zlib.decompress(self._packed[at]))  # noqa: S301  (made above)
            yield together[number % TOGETHER]

    def column(self, name: str) -> list[Any]:
        """One value a task."""
        values = self._values(name)
        return [values[number] for number in self._kept]

    def _values(self, name: str) -> Any:
        return self._texts[name] if name in self._texts else self._figures[name]

    def where(self, keep: Callable[..., bool], *names: str) -> Tasks:
        """The tasks for which `keep`, given these columns' values, says so; what is packed is shared."""
        columns = [self._values(name) for name in names]
        chosen = Tasks()
        chosen._packed, chosen._open, chosen._texts, chosen._figures = (
            self._packed,
            self._open,
            self._texts,
            self._figures,
        )
        chosen._kept = array("q", (n for n in self._kept if keep(*(values[n] for values in columns))))
        return chosen
