"""The clinical table: CSV or Parquet, one row a patient, joined to cases by the patient's id, which is then forgotten."""

from __future__ import annotations

import csv
import datetime as dt
import math
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, FormatError
from ..findings import Finding
from ._recipe import Clinical
from ._schema import nearest

__all__ = ["Clinical", "ClinicalTable", "Table", "joined_later", "read"]

Value = str | float | int
Table = dict[str, dict[str, Value]]
SUBJECT = ("patient_id", "subject", "subject_id", "patientid", "id")
MOST_LEVELS = 12  # a text column with more values than this may name people
OLDEST = 89
LARGEST = 64 << 20
SHIFTED = "_shifted"  # ends the name of a column whose dates were moved
# ISO 8601 and DICOM, a time behind them or not; day before month with full stops. With slashes nobody knows which is which.
_DATE = re.compile(r"(?:(?P<y>(?:18|19|20)\d\d)(?P<s>[-.]?)(?P<m>\d\d)(?P=s)(?P<d>\d\d)(?:[T ].*)?)")
_DAY_FIRST = re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>(?:18|19|20)\d\d)")
_LIKE = re.compile(r"(?:\d{1,2}/\d{1,2}/(?:\d\d|\d{4})|(?:18|19|20)\d\d-\d\d(?:-\d\d.*)?)")


@dataclass
class ClinicalTable:
    """What was read of a clinical table.

    Attributes
    ----------
    rows : {patient's id: {column: value}}
    left_out : list of str
        Columns that were not taken.
    findings : list of Finding
        Patients in several rows, values that do not fit the recipe's types, dates: counted, without their values.
    """

    rows: Table = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def joined(self, subjects: set[str]) -> list[Finding]:
        """How many rows and how many of the patients (their ids) found no partner."""
        if not self.rows:
            return []
        rows, cases = len(self.rows.keys() - subjects), len(subjects - self.rows.keys())
        found = []
        if rows:
            message = f"{rows} of {len(self.rows)} patients of the table have no case here."
            found.append(Finding("clinical-unmatched", message, "clinical", {"rows": rows}))
        if cases:
            message = f"{cases} of {len(subjects)} patients with cases have no row in the table."
            found.append(Finding("clinical-unmatched", message, "clinical", {"patients": cases}))
        return found


def joined_later(cohort: Any, clinical: Table, identifiers: set[str]) -> list[Finding]:
    """Bring the table to cases that are stored already: columns that they lack, and those that came from a table.

    What the header said stays. A value that holds an identifier of the tree is left out and counted.
    """
    from .. import dicom

    known, left_out = frozenset(identifiers), 0
    for case in cohort.cases() if clinical else ():
        row = clinical.get(str(case.metadata.get("subject", "")), {})
        own = case.provenance.get("clinical", [])
        more = {
            name: value
            for name, value in row.items()
            if name not in case.metadata or (name in own and case.metadata[name] != value)
        }
        good = {name: value for name, value in more.items() if not dicom.residual([str(value)], known)}
        left_out += len(more) - len(good)
        if good:
            names = [*own, *(name for name in good if name not in own)]
            cohort.set_metadata(case.case_id, good, provenance={"clinical": names})
    if not left_out:
        return []
    told = f"{left_out} values of the clinical table held an identifier and were left out."
    return [Finding("identifier-removed", told, "clinical", {"values": left_out})]


def read(path: Path, wanted: Clinical, key: bytes | None = None) -> ClinicalTable:
    """The table, checked against the recipe.

    Without columns in the recipe those are taken that hold numbers, or texts of few kinds; names and addresses are
    neither. Dates are left out, or moved by the days that the site's key gives the patient (those by which
    `dicom.deidentify` moves them), and the column then ends with "_shifted". Of a patient with several rows the columns
    that agree are taken.

    Raises
    ------
    ArgumentError, FormatError
        No table, no column of patient ids, a column that the recipe names and the table lacks, rows of other lengths.
    """
    name = path.name
    if not path.is_file():
        raise ArgumentError(f"clinical: no file {name!r}")
    if path.stat().st_size > LARGEST:
        raise FormatError(f"{name}: larger than {LARGEST >> 20} MiB")
    head, rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    if len(set(head)) != len(head):
        raise FormatError(f"{name}:1: a column name stands twice")
    lower = [column.lower() for column in head]
    subject = next((lower.index(c) for c in (wanted.subject.lower(), *SUBJECT) if c in lower), None)
    if subject is None:
        raise FormatError(
            f"{name}:1: no column {wanted.subject!r} of patient ids; name it in the recipe: clinical.subject"
        )
    types = dict(wanted.types)
    for column in (*wanted.columns, *types):
        if column not in head:
            raise FormatError(f"{name}:1: no column {column!r}; {nearest(column, head)}")
    seen = _Columns(wanted, types, key if key is not None else secrets.token_bytes(32))
    for at, column in enumerate(head):
        if at != subject:
            seen.judge(at, column, [row[at] for row in rows])
    table = ClinicalTable(left_out=[column for at, column in enumerate(head) if at != subject and at not in seen.taken])
    table.rows, several = _by_patient(rows, subject, seen)
    table.findings = seen.findings()
    if several:
        message = f"{several} patients stand in several rows; where these differ, nothing was taken."
        table.findings.append(Finding("clinical-duplicate", message, "clinical", {"patients": several}))
    return table


def _csv(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [[cell.strip() for cell in row] for row in csv.reader(stream)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path.name}: not a CSV in UTF-8 ({type(error).__name__})") from None
    if not rows:
        raise FormatError(f"{path.name}:1: empty; expected a line of column names")
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise FormatError(f"{path.name}:{line}: {len(row)} cells, expected {len(rows[0])}")
    return rows[0], rows[1:]


def _parquet(path: Path) -> tuple[list[str], list[list[str]]]:
    """As texts; nested columns have none."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{path.name}: not a Parquet file ({type(error).__name__})") from None
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    return list(table.column_names), [list(row) for row in zip(*columns, strict=True)]


def _text(value: Any) -> str:
    if value is None or isinstance(value, list | dict | bytes):
        return ""
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()[:10]
    return str(value).strip()


class _Columns:
    """Which columns are taken, and how a cell of each becomes a value."""

    def __init__(self, wanted: Clinical, types: dict[str, str], key: bytes) -> None:
        self._wanted, self._types, self._key = wanted, types, key
        self.taken: dict[int, str] = {}  # place -> name in the cohort
        self._dates: dict[int, str] = {}
        self._kinds: dict[int, str] = {}
        self._refused: list[str] = []
        self._wrong: Counter[str] = Counter()

    def judge(self, at: int, column: str, cells: list[str]) -> None:
        """Take a column or not."""
        kind = self._types.get(column, "")
        filled = [cell for cell in cells if cell]
        named = column in self._wanted.columns or column in self._types
        if kind == "date" or (kind in ("", "text") and any(_is_date(cell) for cell in filled)):
            if self._wanted.dates == "shift" and (named or not self._wanted.columns):
                self._dates[at] = column
                self.taken[at] = f"{column}{SHIFTED}"
            elif filled:
                self._refused.append(column)
        elif named or (not self._wanted.columns and _harmless(filled)):
            self.taken[at] = column
            self._kinds[at] = kind

    def value(self, at: int, cell: str, patient: str) -> Value | None:
        """The cell's value; None where it is empty, or does not fit, which is counted."""
        if not cell:
            return None
        if at in self._dates:
            value: Value | None = _moved(cell, patient, self._key)
        else:
            value = _fitting(cell, self._kinds[at])
            if value is not None:
                value = _told(self.taken[at], value)
        if value is None:
            self._wrong[self.taken[at]] += 1
        return value

    def findings(self) -> list[Finding]:
        found = []
        if self._refused:
            message = f"{len(self._refused)} columns of dates were left out: {', '.join(sorted(self._refused))}."
            found.append(Finding("clinical-date", message, "clinical", {"columns": len(self._refused)}))
        for column, count in sorted(self._wrong.items()):
            kind = self._types.get(column.removesuffix(SHIFTED), "date")
            message = f"{count} values of {column} are no {kind} and were left out."
            found.append(Finding("clinical-value", message, "clinical", {"values": count}))
        return found


def _by_patient(rows: list[list[str]], subject: int, seen: _Columns) -> tuple[Table, int]:
    """Patients with their values, and how many stand in several rows."""
    table: Table = {}
    conflicts: dict[str, set[str]] = {}
    several = set()
    for row in rows:
        patient = row[subject]
        if not patient:
            continue
        values = {name: v for at, name in seen.taken.items() if (v := seen.value(at, row[at], patient)) is not None}
        if patient not in table:
            table[patient] = values
            continue
        several.add(patient)
        known = table[patient]
        conflicts.setdefault(patient, set()).update(
            name for name in values.keys() & known.keys() if values[name] != known[name]
        )
        table[patient] = values | known
    for patient, names in conflicts.items():
        for name in names:
            del table[patient][name]
    return table, len(several)


def _is_date(cell: str) -> bool:
    return _parts(cell) is not None or _LIKE.fullmatch(cell) is not None


def _parts(cell: str) -> tuple[int, int, int] | None:
    """(year, month, day) of a text that says them without doubt."""
    found = _DATE.fullmatch(cell) or _DAY_FIRST.fullmatch(cell)
    if found is None:
        return None
    year, month, day = (int(found[name]) for name in "ymd")
    try:
        dt.date(year, month, day)
    except ValueError:
        return None
    return year, month, day


def _moved(cell: str, patient: str, key: bytes) -> str | None:
    """A date moved by the patient's days, as YYYY-MM-DD."""
    from ..dicom._keys import day_shift

    parts = _parts(cell)
    if parts is None:
        return None
    return (dt.date(*parts) + dt.timedelta(days=day_shift(patient, key=key))).isoformat()


def _fitting(cell: str, kind: str) -> Value | None:
    value = _value(cell)
    if kind == "number":
        return None if isinstance(value, str) else value
    if kind == "whole":
        return value if isinstance(value, int) else None
    if "|" in kind:
        return cell if cell in kind.split("|") else None
    return cell if kind == "text" else value


def _told(column: str, value: Value) -> Value:
    """Ages above 89 are told as 90: so old, a person may be known by it."""
    aged = column.lower().startswith("age") and not isinstance(value, str) and value > OLDEST
    return OLDEST + 1 if aged else value


def _harmless(filled: list[str]) -> bool:
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
