"""The clinical table: a CSV with one row a patient, joined to cases by the patient's id, which is then forgotten."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from ..errors import ArgumentError, FormatError
from ._recipe import Clinical
from ._schema import nearest

__all__ = ["Clinical", "Table", "read"]

Value = str | float | int
Table = dict[str, dict[str, Value]]
SUBJECT = ("patient_id", "subject", "subject_id", "patientid", "id")
MOST_LEVELS = 12  # a text column with more values than this may name people
OLDEST = 89
LARGEST = 64 << 20


def read(path: Path, wanted: Clinical) -> tuple[Table, list[str]]:
    """Patient id -> {column: value}, and the names of the columns that were left out.

    Without columns in the recipe those are taken that hold numbers, or texts of few kinds; names, dates and addresses
    are neither.

    Raises
    ------
    FormatError
        No table, no column of patient ids, a column that the recipe names and the table lacks, a patient twice.
    """
    name = path.name
    if not path.is_file():
        raise ArgumentError(f"clinical: no file {name!r}")
    if path.stat().st_size > LARGEST:
        raise FormatError(f"{name}: larger than {LARGEST >> 20} MiB")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.reader(stream))
    if not rows:
        raise FormatError(f"{name}:1: empty; expected a line of column names")
    head = [column.strip() for column in rows[0]]
    if len(set(head)) != len(head):
        raise FormatError(f"{name}:1: a column name stands twice")
    lower = [column.lower() for column in head]
    subject = next((lower.index(c) for c in (wanted.subject.lower(), *SUBJECT) if c in lower), None)
    if subject is None:
        raise FormatError(
            f"{name}:1: no column {wanted.subject!r} of patient ids; name it in the recipe: clinical.subject"
        )
    for column in wanted.columns:
        if column not in head:
            raise FormatError(f"{name}:1: no column {column!r}; {nearest(column, head)}")
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(head):
            raise FormatError(f"{name}:{line}: {len(row)} cells, expected {len(head)}")
    taken: list[int] = []
    for at, column in enumerate(head):
        cells = [row[at].strip() for row in rows[1:]]
        if at != subject and (column in wanted.columns if wanted.columns else _harmless(cells)):
            taken.append(at)
    table: Table = {}
    for line, row in enumerate(rows[1:], 2):
        patient = row[subject].strip()
        if patient in table:
            raise FormatError(f"{name}:{line}: this patient stands in an earlier line too")
        table[patient] = {head[at]: _told(head[at], _value(row[at].strip())) for at in taken if row[at].strip()}
    return table, [column for at, column in enumerate(head) if at != subject and at not in taken]


def _told(column: str, value: Value) -> Value:
    """Ages above 89 are told as 90: so old, a person may be known by it."""
    aged = column.lower().startswith("age") and not isinstance(value, str) and value > OLDEST
    return OLDEST + 1 if aged else value


def _harmless(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    values = [_value(cell) for cell in filled]
    if values and all(not isinstance(value, str) for value in values):
        # Whole numbers of six digits and more may be dates, telephone or record numbers.
        return all(abs(float(value)) < 1e5 for value in values)
    return len(set(filled)) <= min(MOST_LEVELS, max(len(filled) // 2, 1))


def _value(text: str) -> Value:
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() and "." not in text and "e" not in text.lower() else number
