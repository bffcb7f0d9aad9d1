"""demo: three hospitals' DICOM, the main job on it, and the federation in small; every figure is checked, not claimed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import click

from ..errors import ArgumentError
from ._main import exit_with, main

__all__ = ["demo"]

MARK = ".fastimg-demo"


@main.command()
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default="fastimg-demo", show_default=True)
@click.option("--patients", type=click.IntRange(10, 200), default=12, show_default=True, help="Of each hospital.")
@click.option("--workers", type=click.IntRange(1), help="Processes [default: by cores and memory].")
@exit_with
def demo(output: Path, patients: int, workers: int | None) -> int:
    """Make three synthetic hospitals' DICOM, run the main job on it, then a federation of the three.

    Scanners differ in gain, offset, noise, kernel, slice spacing and transfer syntax; lesions come as DICOM-SEG or
    RTSTRUCT; names, numbers and dates are planted to be searched for afterwards. pydicom's own test series are added. A
    second run finds everything done.
    """
    began = time.perf_counter()
    planted = _source(output, patients)
    summary = _main_job(output, workers)
    left = _search(output, planted)
    click.echo(
        f"searched     for {left[2]} planted identifiers: {left[3]} found in the DICOM, {left[0]} left in the {left[1]} "
        "files written"
    )
    from ._demo_federation import federation

    apart = federation(output, click.echo)
    click.echo(f"report       {(output / 'cohort' / 'report.html').resolve()}")
    click.echo(f"             {(output / 'cohort' / 'report_shareable.html').resolve()} (may leave the hospital)")
    click.echo(f"all of it    {time.perf_counter() - began:.0f} s")
    good = not left[0] and not summary.identifiers_left and apart < 1e-6 and summary.states["ok"]
    return 0 if good else 1


def _source(output: Path, patients: int) -> list[str]:
    """Write the hospitals, unless they are there; the planted identifiers."""
    from .. import synth

    folder, mark = output / "dicom", output / MARK
    if mark.is_file() and mark.read_text(encoding="utf-8").splitlines()[:1] == [str(patients)]:
        return mark.read_text(encoding="utf-8").splitlines()[1:]
    if output.exists() and any(output.iterdir()) and not (output / ".made-by-fastimg-demo").exists():
        raise ArgumentError(f"demo: {output} is not empty and was not made by this command; give another --output")
    if output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True)
    (output / ".made-by-fastimg-demo").touch()
    start = time.perf_counter()
    made = synth.hospitals(folder, patients=patients)
    files = _pydicom_files(folder / "pydicom")
    planted = sorted(made.identifiers)
    mark.write_text("\n".join([str(patients), *planted]), encoding="utf-8")
    click.echo(
        f"written      {len(made.cases)} patients of 3 hospitals, {len(made.faults)} strangers and faults, and {files} "
        f"files that pydicom ships ({time.perf_counter() - start:.1f} s)"
    )
    return planted


def _pydicom_files(target: Path) -> int:
    """Copy the DICOM files of the installed pydicom package; how many."""
    import pydicom.data

    root = Path(pydicom.data.__file__).parent / "test_files"
    count = 0
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix in (".dcm", ""):
            place = target / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            count += 1
    return count


def _main_job(output: Path, workers: int | None) -> Any:
    from .. import pipeline, report
    from ._print import summary_lines
    from ._progress import follow

    cohort = output / "cohort"
    with follow() as listener:
        summary = pipeline.run(
            "demo",
            output / "dicom",
            cohort,
            clinical=output / "dicom" / "clinical.csv",
            workers=workers,
            on_event=listener,
        )
    report.write(summary, cohort / "report.html")
    report.write(summary, cohort / "report_shareable.html", shareable=True)
    for line in summary_lines(summary):
        click.echo(line)
    spent = summary.seconds if summary.done else 0
    if spent:
        click.echo(
            f"throughput   {summary.bytes_in / 1e6 / spent:.1f} MB/s of DICOM, {summary.voxels / 1e6 / spent:.2f} Mvoxel/s "
            f"stored, {summary.done / spent:.2f} cases/s on {summary.workers} processes"
        )
    return summary


def _search(output: Path, planted: list[str]) -> tuple[int, int, int, int]:
    """Every byte and name below the cohort: (identifiers found, files, looked for, found in the DICOM itself)."""
    from ._search import Search

    wanted = [text for text in planted if len(text) > 3]
    search = Search(wanted)

    def found_below(folder: Path) -> tuple[set[str], int]:
        found: set[str] = set()
        files = 0
        for path in folder.rglob("*"):
            found |= search.found(str(path.relative_to(output)).encode())
            if path.is_file() and not path.is_symlink():
                files += 1
                found |= search.found(path.read_bytes())
        return found, files

    left, files = found_below(output / "cohort")
    return len(left), files, len(wanted), len(found_below(output / "dicom")[0])
