"""The rows of a scan's table as dictionaries, group by group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["grouped", "rows_of"]

_FEW = 16  # rows for which asking each column whether it varies costs more than it saves
_MANY = 1024  # rows made at once for groups of few


def rows_of(table: Any) -> list[dict[str, Any]]:
    """`table.to_pylist()`, where what all rows share is made once: most of what files of one series say."""
    count = table.num_rows
    if count < _FEW:
        return list(table.to_pylist())
    first = table.slice(0, 1).to_pylist()[0]
    names, columns = [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not column.slice(1).equals(column.slice(0, count - 1)):
            names.append(name)
            columns.append(column.to_pylist())
    rows = []
    for place in range(count):
        row = first.copy()
        row.update(zip(names, [values[place] for values in columns], strict=True))
        rows.append(row)
    return rows


def grouped(table: Any, name: str) -> Iterator[list[dict[str, Any]]]:
    """The rows that share a value of column `name`, in order of their first ones."""
    places: dict[Any, list[int]] = {}
    for place, value in enumerate(table[name].to_pylist()):
        places.setdefault(value, []).append(place)
    if len(places) * _FEW > table.num_rows:
        yield from _few(table, list(places.values()))
        return
    for group in places.values():
        together = group[-1] - group[0] + 1 == len(group)
        yield rows_of(table.slice(group[0], len(group)) if together else table.take(group))


def _few(table: Any, groups: list[list[int]]) -> Iterator[list[dict[str, Any]]]:
    """Groups of few rows, made many at a time: a dictionary takes ten times the memory of its row in the table."""
    start = 0
    while start < len(groups):
        end, count = start + 1, len(groups[start])
        while end < len(groups) and count + len(groups[end]) <= _MANY:
            count += len(groups[end])
            end += 1
        rows = iter(table.take([place for group in groups[start:end] for place in group]).to_pylist())
        for group in groups[start:end]:
            yield [next(rows) for _ in group]
        start = end
