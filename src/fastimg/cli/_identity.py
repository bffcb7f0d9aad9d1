"""deidentify: a folder of DICOM into another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ._main import as_json, emit, exit_with, main

__all__: list[str] = []

RULES = ("burned-in", "secondary-capture", "ultrasound", "document", "head", "label")


def _flag(name: str, text: str) -> Any:
    return click.option(name, is_flag=True, help=text)


@main.command()
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--key", type=click.Path(path_type=Path), help="Key file [default: OUT.key, made if absent]. Keep it apart."
)
@click.option("--dates", type=click.Choice(["shift", "remove", "keep"]), default="shift", show_default=True)
@_flag("--clean-descriptors", "Keep descriptions, reduced to harmless words.")
@_flag("--retain-patient-characteristics", "Keep sex, age, size, weight.")
@_flag("--retain-device-identity", "Keep serial number, station and the like.")
@_flag("--retain-uids", "Keep UIDs: linkable, so only with --not-for-export.")
@_flag("--safe-private", "Keep private elements that hold physics only (b-values, SUV factors).")
@_flag("--keep-hashed", "Keep patient identifiers that an upstream tool has hashed.")
@_flag("--not-for-export", "Allow options that make the output linkable to the archive.")
@click.option("--release", type=click.Choice(RULES), multiple=True, help="A rule on pixels that the site lets pass.")
@click.option("--threads", type=click.IntRange(1), help="Series at once [default: cores].")
@as_json
@exit_with
def deidentify(
    root: Path,
    out: Path,
    key: Path | None,
    release: tuple[str, ...],
    not_for_export: bool,
    safe_private: bool,
    threads: int | None,
    json_: bool,
    **options: Any,
) -> int:
    """Pseudonymise the DICOM files below ROOT into OUT (PS3.15 Basic Profile). Exit status 1 if a series was held back.

    Each written file is searched for its patient's own values; a series in which one is found, or whose pixels may show
    who the patient is, is not written. May be stopped and started again. OUT/deidentification.json tells what was done.
    """
    from .. import dicom
    from ._print import finding_lines

    secret = dicom.load_key(key or out.with_name(f"{out.name}.key"), create=True, outside=out)
    profile = dicom.Profile(key=secret, safe_private=dicom.SAFE_PRIVATE if safe_private else (), **options)
    done = dicom.deidentify_folder(root, out, profile, release=release, export=not not_for_export, threads=threads)
    if json_:
        emit(done.to_dict())
    else:
        click.echo(
            f"{done.files} files of {done.series['written']} series written, {done.series['quarantined']} series "
            f"quarantined, {done.series['failed']} failed, {done.dropped} slide labels dropped"
        )
        if done.findings:
            click.echo("\n".join(["findings", *finding_lines(done.findings)]))
        click.echo(f"report       {out / 'deidentification.json'}")
    return int(bool(done.series["quarantined"] or done.series["failed"]))
