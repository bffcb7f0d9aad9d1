"""The table of `measure_features`: rows of an earlier one and of an interrupted run, and the new one in its place."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, FormatError
from ..findings import CODES

__all__ = ["FIXED", "journal_of", "known_rows", "write_table"]

FIXED = ("case", "mask", "finding", "message", "fingerprint")


def _is_text(name: str) -> bool:
    return name in FIXED or name.startswith("diagnostics_")


def journal_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.journal")


def known_rows(target: Path, retry: bool) -> dict[str, list[dict[str, Any]]]:
    """Rows of an earlier table and of an interrupted run, by fingerprint."""
    known: dict[str, list[dict[str, Any]]] = {}
    if target.exists():
        for row in _read(target):
            known.setdefault(str(row["fingerprint"]), []).append(row)
    journal = journal_of(target)
    if journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                mark, rows = json.loads(line)
            except ValueError:
                continue  # the line at which the run was killed
            known[mark] = rows
    if retry:
        known = {mark: rows for mark, rows in known.items() if not any(row["finding"] for row in rows)}
    return known


def _read(target: Path) -> list[dict[str, Any]]:
    try:
        if target.suffix == ".parquet":
            import pyarrow.parquet as pq

            rows = pq.read_table(target).to_pylist()
        else:
            with target.open(newline="", encoding="utf-8") as stream:
                rows = [
                    {
                        name: cell if _is_text(name) else float(cell)
                        for name, cell in row.items()
                        if name in FIXED or cell
                    }
                    for row in csv.DictReader(stream)
                ]
    except Exception as error:
        raise FormatError(f"output: {target.name!r} is there and is not a table of features; name another") from error
    if rows and not {"case", "mask", "finding", "fingerprint"} <= set(rows[0]):
        raise FormatError(f"output: {target.name!r} is there and is not a table of features; name another")
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def write_table(target: Path, rows: list[dict[str, Any]]) -> int:
    """The whole table, beside its name and then in its place; the number of features."""
    found = dict.fromkeys(name for row in rows for name in row if name not in FIXED)
    told, features = [name for name in found if _is_text(name)], [name for name in found if not _is_text(name)]
    for row in rows:
        if row["finding"] and row["finding"] not in CODES:
            raise ArgumentError(f"findings: unknown code {row['finding']!r}")
    part = target.with_name(f"{target.name}.part")
    if target.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {name: pa.array([row.get(name, "") for row in rows], pa.string()) for name in (*FIXED, *told)}
        columns |= {name: pa.array([row.get(name) for row in rows], pa.float64()) for name in features}
        pq.write_table(pa.table(columns), part)
    else:
        with part.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow([*FIXED, *told, *features])
            for row in rows:
                cells = [row.get(name, "") for name in (*FIXED, *told)]
                writer.writerow(cells + [repr(row[name]) if name in row else "" for name in features])
    os.replace(part, target)
    return len(features)
