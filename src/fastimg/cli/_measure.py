"""radiomics: features of one image and mask, or of many cases as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ._main import as_json, emit, exit_with, main
from ._print import finding_lines
from ._work import engine

__all__: list[str] = []

_there = click.Path(exists=True, path_type=Path)
_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_any = click.Path(path_type=Path)


@main.command()
@click.argument("source", type=_there)
@click.argument("mask", type=_there, required=False)
@click.option("--output", type=_any, help="The table of many cases: .parquet or .csv; gone on with if it is there.")
@click.option("--settings", type=_file, help="A PyRadiomics parameter file.")
@click.option("--names", type=click.Choice(["pyradiomics", "ibsi"]), default="pyradiomics", show_default=True)
@click.option("--workers", type=click.IntRange(1), help="Processes [default: one a core].")
@click.option("--executor", metavar="NAME", help="processes, loky, dask, dask:ADDRESS or mpi [default: processes].")
@click.option("--key", type=_any, help="File of the key that names DICOM series [default: OUTPUT.key, made if absent].")
@click.option("--retry", is_flag=True, help="Measure rows with a finding again.")
@as_json
@exit_with
def radiomics(
    source: Path,
    mask: Path | None,
    output: Path | None,
    settings: Path | None,
    names: str,
    workers: int | None,
    executor: str | None,
    key: Path | None,
    retry: bool,
    json_: bool,
) -> int:
    """Radiomic features: of one image and MASK, or with --output of many cases as a table.

    SOURCE is an image (NIfTI, NRRD, MetaImage, a folder of DICOM); or, with --output, a cohort, a CSV with the columns
    image and mask (perhaps case, mask_name, label), or a folder: of A.nii.gz beside A_mask.nii.gz, or of DICOM with SEG
    or RTSTRUCT. A bad case is a row with a finding. A run that was stopped goes on when it is started again.
    """
    from .. import pipeline
    from .. import radiomics as leaf
    from ._progress import follow

    if (mask is None) == (output is None):
        raise click.UsageError("give a MASK for one image, or --output for a table of many cases")
    chosen = leaf.Settings.from_yaml(settings) if settings is not None else leaf.Settings()
    if mask is not None:
        return _one(source, mask, chosen, names, json_)
    assert output is not None
    with engine(executor, workers) as chosen_executor, follow(quiet=json_) as listener:
        made = pipeline.measure_features(
            source,
            output,
            chosen,
            names=names,
            key=key,
            workers=workers,
            retry=retry,
            executor=chosen_executor,
            on_case=None if listener is None else _told(listener),
        )
    if json_:
        emit(made.to_dict())
    else:
        click.echo(
            f"{made.rows} rows of {made.features} features in {made.path}; {made.made} cases measured, "
            f"{made.skipped} unchanged"
        )
        for line in finding_lines(made.findings):
            click.echo(line)
    return 1 if made.findings else 0


def _told(listener: Callable[[Any], None]) -> Callable[[int, int, str, list[str]], None]:
    """What `measure_features` tells, as events."""
    from ..cohort import Pace
    from ..pipeline import Event

    pace: list[Pace] = []

    def told(done: int, total: int, case: str, codes: list[str]) -> None:
        pace[:] = pace or [Pace(total)]
        now = pace[0].step(failed=bool(codes))
        bad = {"case_id": case, "state": "failed", "codes": tuple(codes)} if codes else {}
        listener(Event("features", done, total, rate=now.rate, left=now.left, **bad))  # type: ignore[arg-type]

    return told


def _one(image: Path, mask: Path, settings: Any, names: str, json_: bool) -> int:
    from .. import radiomics as leaf
    from ..pipeline._measure import _is_dicom, _volume

    seen = _volume(image)
    if _is_dicom(mask):
        from .. import dicom

        regions: dict[str, Any] = dict(dicom.read_masks(mask, like=seen))
    else:
        regions = {"": _volume(mask)}
    found: dict[str, dict[str, Any]] = {}
    for name, region in regions.items():
        told = leaf.diagnostics(seen, region, settings) if settings.additional_info else {}
        found[name] = {
            **{key: str(value) for key, value in told.items()},
            **leaf.extract(seen, region, settings, names=names),
        }
    if json_:
        emit(found.get("", found))
        return 0
    for name, features in found.items():
        if name:
            click.echo(name)
        for feature, value in features.items():
            click.echo(f"{feature:<60} {value if isinstance(value, str) else format(float(value), '.9g')}")
    return 0
