"""scan, verify, report, query, doctor: they look, and change nothing (but for the report that they write and an
index that is to be rebuilt)."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ..errors import ArgumentError
from ._main import CohortAt, as_json, emit, exit_with, main

__all__: list[str] = []

_there = click.Path(exists=True, path_type=Path)
_folder = click.Path(exists=True, file_okay=False, path_type=Path)


@main.command()
@click.argument("root", type=_folder)
@click.option("--table", type=click.Path(path_type=Path), help="Write all columns to this .parquet or .csv file.")
@click.option("--key", type=_there, help="Key file: adds the name that reports use for each file.")
@as_json
@exit_with
def scan(root: Path, table: Path | None, key: Path | None, json_: bool) -> int:
    """Read the headers below ROOT: files by status, series, findings. The table holds identifiers: it stays here."""
    from .. import dicom
    from ._print import finding_lines

    if table is not None and table.suffix.lower() not in (".parquet", ".csv"):
        raise click.UsageError("--table: the name must end in .parquet or .csv")
    found = dicom.scan(root)
    series = dicom.series(found)
    if table is not None:
        _write(_named(found, key), table)
    states = Counter(found.column("status").to_pylist())
    codes = Counter(code for code in found.column("finding").to_pylist() if code)
    codes.update(f.code for one in series for f in one.findings)
    kinds = Counter(f"{one.kind} {one.modality or '?'}" for one in series)
    if json_:
        emit({"files": found.num_rows, "status": states, "series": kinds, "findings": codes})
        return 0
    click.echo(f"{found.num_rows} files{_listed(states)}")
    click.echo(f"{len(series)} series{_listed(kinds)}")
    if not any(one.kind == "image" for one in series):
        click.echo("no DICOM image is here")
    if codes:
        click.echo("\n".join(["findings", *finding_lines(codes)]))
    return 0


def _listed(counts: Counter[str]) -> str:
    return "".join([": ", ", ".join(f"{count} {name}" for name, count in counts.most_common())]) if counts else ""


def _named(table: Any, key: Path | None) -> Any:
    if key is None:
        return table
    import pyarrow as pa

    from ..dicom import load_key
    from ..pipeline import names_of

    return table.append_column("name", pa.array(names_of(table, load_key(key))))


def _write(table: Any, path: Path) -> None:
    if path.suffix.lower() == ".csv":
        import pyarrow as pa
        from pyarrow import csv

        flat = [name for name in table.column_names if not pa.types.is_nested(table.schema.field(name).type)]
        csv.write_csv(table.select(flat), path)
    else:
        from pyarrow import parquet

        parquet.write_table(table, path)


@main.command()
@click.argument("cohort", type=CohortAt())
@click.option("--full", is_flag=True, help="Decode every voxel and compare its digest; default: sizes and checksums.")
@click.option("--rebuild", is_flag=True, help="Make the index anew from the manifests where it differs.")
@as_json
@exit_with
def verify(cohort: Path | str, full: bool, rebuild: bool, json_: bool) -> int:
    """Compare COHORT, a folder or s3://bucket/prefix, with its manifests. Exit status 1 if something differs."""
    from ..cohort import Cohort

    seen = Cohort.open(cohort, mode="r+" if rebuild else "r").verify(full=full)
    if json_:
        emit({"ok": seen.ok, "findings": [found.to_dict() for found in seen.findings]})
    else:
        for found in seen.findings:
            click.echo(str(found))
        click.echo("sound" if seen.ok else "damaged")
    return 0 if seen.ok else 1


@main.command()
@click.argument("cohort", type=_folder)
@click.option("--output", type=click.Path(path_type=Path), help="[default: COHORT/report.html]")
@click.option("--shareable", is_flag=True, help="No pictures, no per-case rows, small cells not shown.")
@exit_with
def report(cohort: Path, output: Path | None, shareable: bool) -> int:
    """Write the report of COHORT: one HTML file that needs no network."""
    from .. import report as reports

    place = output or cohort / ("report_shareable.html" if shareable else "report.html")
    reports.write(cohort, place, shareable=shareable)
    click.echo(place)
    return 0


@main.command()
@click.argument("cohort", type=_folder)
@click.argument("case", required=False)
@click.option("--low", type=float, help="Black, in the image's unit [default: -160 for HU, else a percentile].")
@click.option("--high", type=float, help="White [default: 240 for HU, else a percentile].")
@click.option("--browser/--no-browser", default=True, help="Open a browser, or only print the address.")
@exit_with
def view(cohort: Path, case: str | None, low: float | None, high: float | None, browser: bool) -> int:
    """Show CASE of COHORT (default: the first) with its masks in neuroglancer, on this machine alone, until Ctrl-C."""
    import threading
    import webbrowser

    from ..cohort import Cohort
    from ..report import view as show

    opened = Cohort.open(cohort)
    names = opened.index.column("case_id").to_pylist()
    if not names:
        raise ArgumentError("COHORT: it has no case")
    with suppress(KeyboardInterrupt), show(opened[case or names[0]], low=low, high=high) as shown:
        click.echo(shown.url)
        if browser:
            webbrowser.open(shown.url)
        threading.Event().wait()
    return 0


@main.command()
@click.argument("cohort", type=CohortAt())
@click.argument("sql")
@as_json
@exit_with
def query(cohort: Path | str, sql: str, json_: bool) -> int:
    """Ask the index of COHORT, a folder or s3://bucket/prefix: one SELECT over `cases` and `findings`.

    Example: fastimg query COHORT "SELECT site, state, count(*) AS n FROM cases GROUP BY site, state"
    """
    from ..cohort import Cohort

    found = Cohort.open(cohort).query(sql)
    if json_:
        emit(found.to_pylist())
        return 0
    rows = [["" if value is None else str(value) for value in row.values()] for row in found.to_pylist()]
    table = [list(found.column_names), *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(found.column_names))]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


@main.command()
@as_json
@exit_with
def doctor(json_: bool) -> int:
    """Versions, instruction sets, threads, GPU, codecs; what is missing, and the command that mends it."""
    from dataclasses import asdict

    from ..versions import doctor as look

    checks = look()
    if json_:
        emit([asdict(check) for check in checks])
    else:
        colours = {"ok": "green", "note": "yellow", "bad": "red"}
        for check in checks:
            mark = click.style(check.state.ljust(4), fg=colours[check.state])
            click.echo(f"{mark}  {check.name:<36} {check.found}")
            if check.mend:
                click.echo(f"      {'':<36} mend: {check.mend}")
    return 1 if any(check.state == "bad" for check in checks) else 0
