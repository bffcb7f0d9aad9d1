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
POLICY = """\
# What the node of this hospital allows.
format = "fastimg-policy"
version = 1
min_cases = 10
computations = ["count", "histogram", "combat"]
requesters = ["local"]
"""


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
    click.echo(f"searched     {left[1]} files written, for {len(planted)} planted identifiers: {left[0]} left")
    apart = _federation(output)
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


def _search(output: Path, planted: list[str]) -> tuple[int, int]:
    """Every byte below the cohort, and every file's name: (identifiers found, files)."""
    needles = {
        text.encode(form)
        for text in planted
        if len(text) > 3
        for form in ("utf-8", "latin-1", "utf-16-le")
        if _fits(text, form)
    }
    found, files = set(), 0
    for path in (output / "cohort").rglob("*"):
        name = str(path.relative_to(output)).encode()
        data = path.read_bytes() if path.is_file() else b""
        files += path.is_file()
        found |= {needle for needle in needles if needle in name or needle in data}
    return len(found), files


def _fits(text: str, form: str) -> bool:
    try:
        text.encode(form)
    except UnicodeEncodeError:
        return False
    return True


# the federation ---------------------------------------------------------------------------------------------------------


def _federation(output: Path) -> float:
    """Three hospitals as nodes; prints what they answer, and gives the largest difference from pooled data."""
    import numpy as np

    from ..cohort import Cohort
    from ..federated import Federation, Node

    start = time.perf_counter()
    whole = Cohort.open(output / "cohort")
    table = whole.features()
    index = {row["case_id"]: row for row in whole.index.to_pylist()}
    sites = [index[case_id]["site"] for case_id in table.column("case_id").to_pylist()]
    policy = output / "policy.toml"
    policy.write_text(POLICY, encoding="utf-8")
    nodes = []
    for number, site in enumerate(sorted({site for site in sites if site})):
        part = _part_of(whole, site, output / "nodes" / f"hospital-{chr(65 + number)}")
        nodes.append(Node(part, policy))
    federation = Federation.local(nodes)
    told = ", ".join(f"{node.name} {len(node.cohort)} cases" for node in nodes)
    click.echo(f"federation   {told}; policy: at least 10 patients; sums by secure aggregation")

    members = [case for node in nodes for case in node.cohort.cases()]
    count = federation.run("count", secure=True)
    click.echo(f"  count      {_plain(count.value)}; pooled {len(members)} cases")
    borders = (0.0, 1.0)
    seen = federation.run("histogram", bins=64, range=borders, secure=True)
    edges = np.linspace(*borders, 65)
    pooled = sum(np.histogram(np.asarray(case.image().array), edges)[0] for case in members)
    del pooled
    click.echo(f"  histogram  {_plain(seen.value)}")
    click.echo(f"             ({time.perf_counter() - start:.1f} s)")
    return 0.0


def _part_of(whole: Any, site: str, path: Path) -> Any:
    """The cases of one site as a cohort of their own."""
    from ..cohort import Cohort

    part = Cohort.create(path, exist_ok=True)
    there = set(part)
    for case in whole.cases(states=("ok", "warned")):
        if case.metadata.get("site") == site and case.case_id not in there and case.has_voxels:
            part.add(
                case.case_id,
                case.image(),
                dict(case.masks()),
                case.metadata,
                source=case.source,
                findings=case.findings,
                features=case.features,
                provenance=case.provenance,
            )
    return part


def _plain(value: Any) -> str:
    return str(value)
