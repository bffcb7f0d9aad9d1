"""Palettes: plain tables, and segmented ones (PS3.3 C.7.9.2) expanded within the length that the descriptor states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError
from ._element import element

__all__ = ["expand", "palette_of"]

_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


def palette_of(path: str) -> tuple[int, Any]:
    """The first stored value that is mapped, and (entries, 3) colours."""
    columns = []
    first = 0
    for number in (1, 2, 3):
        found = element(path, [0x00281100 + number], 6)
        if found is None:
            raise FormatError("unsupported-syntax: a palette image without palette tables")
        descriptor = np.frombuffer(found[0], ">u2" if found[2] else "<u2")
        if len(descriptor) != 3 or descriptor[2] not in (8, 16):
            raise FormatError("mixed-attributes: a palette's descriptor makes no table")
        entries, first, bits = int(descriptor[0]) or 65536, int(descriptor[1]), int(descriptor[2])
        columns.append(_table(path, number, entries, bits))
    if len({len(column) for column in columns}) != 1 or len({column.dtype for column in columns}) != 1:
        raise FormatError("mixed-attributes: the palettes differ in length")
    return first, np.stack(columns, axis=-1)


def _table(name: str, number: int, entries: int, bits: int) -> npt.NDArray[Any]:
    dtype = np.uint8 if bits == 8 else np.uint16
    data = element(name, [0x00281200 + number], 1 << 18)
    if data is not None and len(data[0]):
        wide = len(data[0]) >= 2 * entries
        kind = (">u2" if data[2] else "<u2") if wide else "u1"
        table = np.frombuffer(data[0][: entries * (2 if wide else 1)], kind)
        if len(table) < entries:
            raise FormatError("mixed-attributes: a palette is shorter than its descriptor says")
        return table.astype(dtype)
    data = element(name, [0x00281220 + number], 1 << 18)
    if data is None:
        raise FormatError("unsupported-syntax: a palette image without palette tables")
    kind = "u1" if bits == 8 else ">u2" if data[2] else "<u2"
    size = np.dtype(kind).itemsize
    words = np.frombuffer(data[0][: len(data[0]) // size * size], kind).tolist()
    return expand(words, entries, size=size, big=bool(data[2])).astype(dtype)


def expand(segments: Sequence[int], entries: int, *, size: int = 2, big: bool = False) -> npt.NDArray[np.int64]:
    """The table that discrete, linear and indirect segments describe; FormatError where it has not `entries` values.

    A linear segment runs from the value before it to its own, rounded to even halves as NumPy rounds. An indirect one
    repeats segments that start at an offset in bytes; those may not be indirect themselves. `size` is that of an entry in
    bytes, `big` its order (which matters to offsets in entries of one byte).
    """
    out: list[int] = []
    _run(segments, 0, None, out, entries, size, big, nested=False)
    if len(out) < entries:
        raise FormatError(f"mixed-attributes: a segmented palette describes {len(out)} of {entries} values")
    return np.array(out[:entries], np.int64)


def _run(
    data: Sequence[int], at: int, count: int | None, out: list[int], entries: int, size: int, big: bool, *, nested: bool
) -> None:
    """Expand `count` segments (None: all) from `at`."""
    done = 0
    while at + 1 < len(data) and len(out) < entries and (count is None or done < count):
        kind, length = data[at], data[at + 1]
        at += 2
        done += 1
        if kind == _DISCRETE:
            if at + length > len(data):
                raise FormatError("mixed-attributes: a segmented palette is cut short")
            out.extend(data[at : at + length])
            at += length
        elif kind == _LINEAR and at < len(data) and out and length:
            room = min(length, entries - len(out))
            out.extend(np.rint(np.linspace(out[-1], data[at], length + 1)[1 : room + 1]).astype(int).tolist())
            at += 1
        elif kind == _INDIRECT and at + 4 // size <= len(data) and not nested:
            parts = list(data[at : at + 4 // size])
            if size == 1 and big:  # two words, each with its high byte first
                parts = [parts[1], parts[0], parts[3], parts[2]]
            start = sum(part << 8 * size * place for place, part in enumerate(parts)) // size
            at += len(parts)
            if start >= len(data):
                raise FormatError("mixed-attributes: a segmented palette points outside of itself")
            _run(data, start, length, out, entries, size, big, nested=True)
        else:
            raise FormatError("mixed-attributes: a segmented palette has a segment that makes no sense")
