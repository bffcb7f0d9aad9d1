"""run and ingest."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ._main import as_json, emit, exit_with, main

__all__ = ["engine"]

_there = click.Path(exists=True, path_type=Path)
_any = click.Path(path_type=Path)
_shared = [
    click.option("--key", type=_any, help="File of the pseudonyms' key [default: OUTPUT.key, made if absent]."),
    click.option("--clinical", type=_there, help="A CSV or Parquet table with one row a patient."),
    click.option("--workers", type=click.IntRange(1), help="Processes [default: by cores and memory]."),
    click.option(
        "--executor",
        metavar="NAME",
        help="Who does the work: processes, loky, dask, dask:ADDRESS, mpi [default: processes].",
    ),
    click.option("--retry", is_flag=True, help="Try failed cases again."),
    click.option("--dry-run", is_flag=True, help="Write nothing; say what would be done."),
    as_json,
]


def _options(command: Any) -> Any:
    for option in reversed(_shared):
        command = option(command)
    return command


@main.command()
@click.argument("recipe")
@click.option("--input", "input_", type=_there, help="A folder of DICOM, or a CSV table with the columns image, mask.")
@click.option("--pairs", type=_there, help="The same as --input, for a table of NIfTI files.")
@click.option("--output", type=_any, required=True, help="The cohort: made, or gone on with.")
@click.option("--report", "report_", type=_any, help="Where the report goes [default: OUTPUT/report.html].")
@_options
@exit_with
def run(
    recipe: str, input_: Path | None, pairs: Path | None, output: Path, report_: Path | None, **options: Any
) -> int:
    """Make a harmonised cohort with features and a report, as RECIPE says.

    RECIPE is a TOML file, or the name of one that ships with fastimg: default, ingest. The run may be stopped or killed
    at any moment and started again: it goes on, and ends with the same voxels.
    """
    if (input_ is None) == (pairs is None):
        raise click.UsageError("give --input or --pairs")
    return work(recipe, input_ or pairs, output, report=report_ or output / "report.html", **options)


@main.command()
@click.argument("root", type=_there)
@click.argument("cohort", type=_any)
@_options
@exit_with
def ingest(root: Path, cohort: Path, **options: Any) -> int:
    """Bring a folder of DICOM into COHORT as it is: modality units, masks, metadata without identifiers."""
    return work("ingest", root, cohort, report=None, **options)


def work(
    recipe: Any,
    source: Any,
    output: Path,
    *,
    report: Path | None,
    key: Path | None = None,
    clinical: Path | None = None,
    workers: int | None = None,
    executor: str | None = None,
    retry: bool = False,
    dry_run: bool = False,
    json_: bool = False,
) -> int:
    """Run a recipe and tell of it; the exit status."""
    from .. import pipeline
    from ._print import preview_lines, summary_lines
    from ._progress import follow

    chosen = pipeline.Recipe.load(recipe)
    if dry_run:
        known = _known_key(key, output)
        seen = pipeline.preview(chosen, source, output, key=known, clinical=clinical, workers=workers)
        if json_:
            emit({**asdict(seen), "fits": seen.fits})
        else:
            click.echo("\n".join(preview_lines(seen)))
        return 0 if seen.fits else 1
    with engine(executor, workers) as chosen_executor, follow(quiet=json_) as listener:
        summary = pipeline.run(
            chosen,
            source,
            output,
            key=key,
            clinical=clinical,
            workers=workers,
            retry=retry,
            executor=chosen_executor,
            on_event=listener,
        )
    if report is not None:
        from .. import report as reports

        reports.write(summary, report)
        summary.report = str(report)
    if json_:
        emit(summary.to_dict())
    else:
        click.echo("\n".join(summary_lines(summary)))
        if summary.cases > summary.states.get("ok", 0):
            click.echo(f'why          fastimg query {output} "select * from findings"')  # noqa: S608
        if report is not None:
            click.echo(f"report       {report}")
    return summary.exit_code


def engine(name: str | None, workers: int | None) -> Any:
    """For `with`: the executor of that name; None for own processes, which know how much memory a case takes."""
    from ..cohort import open_executor

    return nullcontext() if name in (None, "processes") else open_executor(str(name), workers=workers)


def _known_key(key: Path | None, output: Path) -> bytes | None:
    """The key if its file exists; a dry run makes none."""
    from ..dicom import load_key

    place = key or output.with_name(f"{output.name}.key")
    return load_key(place) if place.is_file() else None
