"""remove, migrate: what is done to a cohort that exists."""

from __future__ import annotations

from pathlib import Path

import click

from ._main import as_json, emit, exit_with, main

__all__: list[str] = []

COHORT_FILE = "cohort.json"

_cohort = click.argument("cohort", type=click.Path(exists=True, file_okay=False, path_type=Path))


@main.command()
@_cohort
@click.option(
    "--subjects",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Text file, one patient a line: the id as in DICOM, or the cohort's code of it.",
)
@click.option(
    "--key", type=click.Path(exists=True, path_type=Path), help="Key file [default: COHORT.key, where there is one]."
)
@click.option("--reason", default="withdrawal", show_default=True, help="Kept in the log; no identifiers.")
@click.option("--dry-run", is_flag=True, help="Count what would go; change nothing.")
@as_json
@exit_with
def remove(cohort: Path, subjects: Path, key: Path | None, reason: str, dry_run: bool, json_: bool) -> int:
    """Purge patients who withdrew from COHORT for good: voxels, masks, features, index rows, reports and pictures.

    They are kept out from then on, also when their images come again. If this is killed, whatever writes to COHORT next
    ends it. COHORT/tombstones/log.jsonl tells when how many went, never who. Copies elsewhere are not reached.
    """
    from .. import dicom
    from ..cohort import Cohort
    from ..pipeline import check_key

    lines = [line.strip() for line in subjects.read_text("utf-8-sig").splitlines()]
    people = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not people:
        raise click.UsageError("--subjects: the file names nobody")
    place = key or cohort.with_name(f"{cohort.name}.key")
    secret = dicom.load_key(place) if place.exists() else None
    if secret is not None:
        check_key(cohort, secret)  # with another one nobody would be found
    # a line may be an id or a code already: both are taken, and a code that nobody has hurts nobody
    codes = {who: {who} | ({dicom.pseudonym(who, key=secret)} if secret else set()) for who in people}
    store = Cohort.open(cohort, mode="r" if dry_run else "r+")
    there = store.subjects()
    cases = {case for names in codes.values() for name in names for case in there.get(name, ())}
    known = sum(any(name in there for name in names) for names in codes.values())
    if not dry_run:
        with store.lock():
            cases = set(store.remove(subjects=set().union(*codes.values()), reason=reason))
    if json_:
        emit({"subjects": len(people), "with_cases": known, "cases": len(cases), "dry_run": dry_run})
    else:
        click.echo(
            f"{len(people)} subjects, {known} of them with cases here: {len(cases)} cases "
            f"{'would be removed' if dry_run else 'removed'}"
        )
        others = sorted(p.name for p in cohort.iterdir() if p.is_file() and p.name[0] != "." and p.name != COHORT_FILE)
        if others and not dry_run:
            click.echo(f"in the cohort's folder, but not looked into: {', '.join(others)}", err=True)
        if secret is None:
            click.echo(f"no key at {place}: lines were taken as the cohort's codes, not as patient ids", err=True)
    return 0


@main.command()
@_cohort
@as_json
@exit_with
def migrate(cohort: Path, json_: bool) -> int:
    """Bring COHORT to the newest format. May be killed and run again at any time; cases are not touched."""
    from ..cohort import migrate as bring

    before, after = bring(cohort)
    if json_:
        emit({"before": before, "after": after})
    else:
        click.echo(f"format {before} -> {after}" if before != after else f"format {after}: nothing to do")
    return 0
