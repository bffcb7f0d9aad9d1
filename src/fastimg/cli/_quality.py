"""qc: what is wrong with the cases of a cohort. catalogue: what may be told of them to a catalogue of health data."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ._main import CohortAt, as_json, emit, exit_with, main
from ._print import finding_lines

__all__: list[str] = []

_folder = click.Path(exists=True, file_okay=False, path_type=Path)
_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_any = click.Path(path_type=Path)


@main.command()
@click.argument("cohort", type=CohortAt())
@click.option("--settings", type=_file, help="The site's limits and severities, a TOML file.")
@click.option("--output", type=_any, help="Write the findings to this .parquet, .csv or .json file.")
@click.option("--measures", type=_any, help="Write the measures, a row a case, to this .parquet, .csv or .json file.")
@click.option("--source", type=_folder, help="The DICOM that the cohort was made of: its identifiers are searched for.")
@click.option("--workers", type=click.IntRange(1), help="Processes [default: one a core].")
@as_json
@exit_with
def qc(
    cohort: Path,
    settings: Path | None,
    output: Path | None,
    measures: Path | None,
    source: Path | None,
    workers: int | None,
    json_: bool,
) -> int:
    """Look at every case of COHORT: slices, field, voxels, noise, sharpness, units, masks, copies, identifiers left.

    It changes nothing in COHORT. Exit status 1 if a finding is as grave as the settings' `fail` (quarantine, unless set).
    """
    from .. import dicom, pipeline
    from ..pipeline._plan import identifiers_in
    from ..pipeline._qc import check_output

    for path in (output, measures):
        if path is not None:
            check_output(path)
    chosen = pipeline.QcSettings.load(settings) if settings is not None else pipeline.QcSettings()
    known = identifiers_in(dicom.scan(source)) if source is not None else set()
    last = time.monotonic()

    def told(done: int, total: int, case: str, codes: list[str]) -> None:
        nonlocal last
        if not json_ and (done == total or time.monotonic() - last > 1):
            last = time.monotonic()
            click.echo(f"qc {done}/{total}", err=True)

    seen = pipeline.qc(cohort, chosen, identifiers=known, workers=workers, on_case=told)
    if output is not None:
        seen.write(output)
    if measures is not None:
        seen.write_measures(measures)
    if json_:
        emit(seen.to_dict())
        return int(seen.failed)
    rate = f", {seen.voxels / 1e6 / seen.seconds:.0f} Mvoxel/s" if seen.seconds else ""
    click.echo(f"{seen.cases} cases, {seen.findings.num_rows} findings in {seen.seconds:.1f} s{rate}")
    for line in finding_lines(seen.counts, chosen.severity_of):
        click.echo(line)
    return int(seen.failed)


@main.command()
@click.argument("cohort", type=CohortAt())
@click.option("--about", type=_file, required=True, help="Title, publisher, access body ...: a TOML file.")
@click.option("--policy", type=_file, help="The node's policy [default: 10 patients a cell, counts in tens].")
@click.option("--log", type=_any, help="The node's log [default: in COHORT; needed where that is in an object store].")
@click.option("--output", type=_any, help="Write it to this .ttl or .jsonld file [default: Turtle on standard output].")
@as_json
@exit_with
def catalogue(
    cohort: Path, about: Path, policy: Path | None, log: Path | None, output: Path | None, json_: bool
) -> int:
    """Describe COHORT for a catalogue: DCAT-AP 3, HealthDCAT-AP release 8, non-public data, with counts.

    Counts by cancer type, modality, manufacturer, sex, age band and voxel size are asked of the cohort's node: its policy
    decides what is told, and its log keeps that it was. With --json the counts alone, as JSON.
    """
    from .. import pipeline
    from ..pipeline._catalogue import check_output

    if output is not None:
        check_output(output)
    made = pipeline.catalogue(cohort, about, policy, log=log)
    if output is not None:
        made.write(output)
    if json_:
        emit(made.counts.to_dict())
    elif output is None:
        click.echo(made.turtle(), nl=False)
    else:
        click.echo(f"{len(made.graph)} statements in {output}; counts by {', '.join(made.counts.tables) or 'nothing'}")
    for name, rule in made.counts.refused.items():
        click.echo(f"not told: {name or 'the total'} ({rule})", err=True)
    return 0
