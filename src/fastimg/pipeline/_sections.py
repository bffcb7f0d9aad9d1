"""A section of a small TOML file as a dataclass, whose fields say how they are checked; every problem with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any

from ..errors import FormatError
from . import _schema as check

__all__ = ["Problems", "option", "read_section"]


def option(default: Any, checker: check.Checker, explained: str) -> Any:
    """A field with its check and a line of explanation."""
    return field(default=default, metadata={"check": checker, "help": explained})


class Problems:
    """Collects what is wrong, each with its line."""

    def __init__(self, file: str, lines: Mapping[tuple[str, ...], int]) -> None:
        self.file, self.lines, self.found = file, lines, list[tuple[int, str]]()

    def add(self, path: tuple[str, ...], message: str) -> None:
        """Of this key, or of the nearest section above it that stands in the file."""
        known = next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), 1)
        self.found.append((known, f"{self.file}:{known}: {'.'.join(path)}: {message}"))

    def stop(self) -> None:
        """Raise a FormatError of all, if there are any."""
        if self.found:
            raise FormatError("\n".join(message for _, message in sorted(self.found)))


def read_section(kind: type, path: tuple[str, ...], table: dict[str, Any], problems: Problems, **checkers: Any) -> Any:
    """The dataclass of a table; `checkers` take the place of its fields' own."""
    known = {entry.name: checkers.get(entry.name, entry.metadata["check"]) for entry in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            problems.add((*path, key), f"unknown key; {check.nearest(key, list(known))}")
            continue
        try:
            values[key] = known[key](value)
        except ValueError as error:
            problems.add((*path, key), str(error))
    return kind(**values)
