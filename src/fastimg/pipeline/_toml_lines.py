"""Small TOML files of a user, and at which line of one a key stands: `tomllib` does not tell, and an error in one must."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, FormatError

__all__ = ["lines_of", "parse", "read"]

_MOST = 1 << 20  # bytes

_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")


def read(path: Path, what: str) -> str:
    """The text of a file; `what` it is goes into the message."""
    try:
        if path.stat().st_size > _MOST:
            raise FormatError(f"{path.name}: larger than 1 MiB; {what} is a small file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{what}: {path.name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name}: not UTF-8 at byte {error.start}") from None


def parse(text: str, file: str) -> dict[str, Any]:
    """The document, or a FormatError with file and line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise FormatError(f"{file}:{line[1] if line else text.count(chr(10)) + 1}: not TOML: {error}") from None


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """The line (1 is the first) of each table header and key outside inline tables, by its dotted path.

    The text has been parsed before: it is valid, so a small walk over it suffices.
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    at, line = 0, 1
    while at < len(text):
        character = text[at]
        if character == "\n":
            at, line = at + 1, line + 1
        elif character in " \t\r":
            at += 1
        elif character == "#":
            at = _end_of_line(text, at)
        elif character == "[":
            start = at + (2 if text.startswith("[[", at) else 1)
            table, at = _path(text, start, "]")
            found.setdefault(table, line)
            at = _end_of_line(text, at)
        else:
            keys, at = _path(text, at, "=")
            for depth in range(1, len(keys) + 1):
                found.setdefault(table + keys[:depth], line)
            at, passed = _skip_value(text, at + 1)
            line += passed
    return found


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _path(text: str, at: int, stop: str) -> tuple[tuple[str, ...], int]:
    parts: list[str] = []
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            break
        parts.append(next(group for group in match.groups() if group is not None))
        at = match.end()
        if at < len(text) and text[at] == ".":
            at += 1
        elif at >= len(text) or text[at] == stop:
            break
    return tuple(parts), at


def _skip_value(text: str, at: int) -> tuple[int, int]:
    """Past the value that begins at `at`, to the end of its line; and how many line ends were passed."""
    depth = passed = 0
    while at < len(text):
        character = text[at]
        if character in "\"'":
            end = _end_of_string(text, at)
            passed += text.count("\n", at, end)
            at = end
        elif character == "#":
            at = _end_of_line(text, at)
        elif character == "\n":
            if depth == 0:
                break
            at, passed = at + 1, passed + 1
        else:
            depth += (character in "[{") - (character in "]}")
            at += 1
    return at, passed


def _end_of_string(text: str, at: int) -> int:
    quote = text[at]
    if text.startswith(quote * 3, at):
        closing, at = quote * 3, at + 3
    else:
        closing, at = quote, at + 1
    while at < len(text) and not text.startswith(closing, at):
        at += 2 if quote == '"' and text[at] == "\\" else 1
    at += len(closing)
    while len(closing) == 3 and at < len(text) and text[at] == quote:  # """a""""": up to two quotes may end the text
        at += 1
    return at
