"""A folder of DICOM de-identified into another one: series by series, resumable, nothing written that was not searched."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

from fastimg import config
from fastimg._arrays import thread_count
from fastimg.errors import ArgumentError, FormatError, RefusedError

from ._keys import code_of, pseudonym
from ._leftovers import leftovers_of_file
from ._pixel_identity import RULES, pixel_identity, with_faces
from ._profile import Deidentified, Profile
from ._residual import HASHED, residual
from ._rewrite import deidentify_bytes, learning
from ._scan import describe, scan

__all__ = ["Batch", "deidentify_folder"]

STATES, REPORT, LOCK = "deidentification.jsonl", "deidentification.json", ".deidentification.lock"
DEVICE_COLUMNS = ("station",)
Row = dict[str, Any]


@dataclass
class Batch:
    """What became of a folder. No value of a header is in it.

    Attributes
    ----------
    series : dict
        Number of series by state: "written", "quarantined", "failed".
    files, dropped, left_out : int
        Files written; label and overview images of slides that were dropped; files that are no DICOM with a series.
    findings : dict
        Number of series, or of files that were left out, by the finding's code; `rules` of pixels that may show identity.
    skipped : int
        Series that an earlier run had finished.
    report : Deidentified
        Attributes and actions.
    release : tuple of str
        The rules that were released, in order.
    export : bool
        Whether the output may leave the site; False where it can be linked without the key.
    """

    series: Counter[str] = field(default_factory=Counter)
    files: int = 0
    dropped: int = 0
    left_out: int = 0
    skipped: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    report: Deidentified = field(default_factory=Deidentified)
    release: tuple[str, ...] = ()
    export: bool = True

    def to_dict(self) -> dict[str, Any]:
        """The compliance report, as plain values for JSON."""
        return {
            **self.report.to_dict(),
            "format": "fastimg-deidentified-folder",
            "export": "allowed" if self.export else "barred: the output can be linked without the key",
            "files": self.files,
            "series": {state: self.series[state] for state in ("written", "quarantined", "failed")},
            "slide_labels_dropped": self.dropped,
            "files_left_out": self.left_out,
            "findings": dict(sorted(self.findings.items())),
            "pixel_rules": {"met": dict(sorted(self.rules.items())), "released": sorted(self.release)},
            "checked": [
                "every written file was read again: no unlisted private element, no birth date, none of the patient's own "
                "values in any character set, in texts, names, UIDs or labels; its pixels were judged by the rules above",
                "this report and the names of all files were searched for the values of all patients",
            ],
        }


def deidentify_folder(
    root: Any,
    out: Any,
    profile: Profile,
    *,
    release: Collection[str] = (),
    export: bool = True,
    threads: int | None = None,
    on_series: Callable[[int, int, str], None] | None = None,
) -> Batch:
    """De-identify every DICOM file below a folder into another folder.

    A series is written as a whole or not at all: it is quarantined (nothing of it is written) while its pixels may show
    who the patient is, in any of its files, or while the search of what was written finds one of the patient's own values,
    a private element that is not listed, or a birth date. Label and overview images of slides are dropped.

    Parameters
    ----------
    root : path
    out : path
        Made if absent, gone on with if there: series whose files, profile and releases are those of an earlier run are
        left as they are. May be killed at any moment. Files lie in SUBJECT/STUDY/SERIES/INSTANCE.dcm, all codes.
    profile : Profile
    release : collection of str
        Rules of `pixel_identity` that the site lets pass ("head", "burned-in" ...).
    export : bool
        The output is to leave the site. A profile that keeps UIDs or full dates can be linked to the archive: it is
        refused unless `export` is False; the report then bars the output from export.
    threads : int, optional
        Series at once. Default: `config.threads()`.
    on_series : callable, optional
        Called with (done, total, state) after each series.

    Returns
    -------
    Batch
        Also written to OUT/deidentification.json.

    Raises
    ------
    RefusedError
        A linkable profile without export=False, or another run at work on `out`.
    ArgumentError
        Folders that lie within each other, an unknown rule.

    Notes
    -----
    Memory: about seven times a file for each thread, and the table of headers (2 KB a file).
    """
    if not isinstance(profile, Profile):
        raise ArgumentError(f"deidentify_folder: expected a Profile, got {type(profile).__name__}")
    unknown = set(release) - set(RULES)
    if unknown:
        raise ArgumentError(f"deidentify_folder: release: no such rule {sorted(unknown)}; there are {sorted(RULES)}")
    if profile.linkable and export:
        raise RefusedError(
            "deidentify_folder: the profile keeps UIDs or full dates, so its output can be linked to the archive and is "
            "barred from export; pass export=False to make it for use inside of the site"
        )
    source, target = Path(root), Path(out)
    inner, outer = target.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise ArgumentError("deidentify_folder: the folders must not lie within each other")
    count = thread_count(threads) or config.threads()
    table = scan(source, threads=count)
    groups, batch = _grouped(table, profile)
    batch.release, batch.export = tuple(sorted(release)), export
    batch.report.profile = profile
    target.mkdir(parents=True, exist_ok=True)
    with _locked(target):
        for half in target.glob(".half-*"):
            shutil.rmtree(half)
        known = _states(target)
        job = _Job(source, target, profile, frozenset(release))
        done = 0

        def one(rows: list[Row]) -> dict[str, Any]:
            mark = _mark(rows, job)
            before = known.get(mark)
            if before is not None and (before["state"] != "written" or (target / before["folder"]).is_dir()):
                return {**before, "again": True}
            return {**_series(rows, job), "source": mark}

        with ThreadPoolExecutor(count) as pool, (target / STATES).open("a", encoding="utf-8") as states:
            for record in pool.map(one, groups):
                done += 1
                if not record.pop("again", False):
                    states.write(json.dumps(record) + "\n")
                    states.flush()
                else:
                    batch.skipped += 1
                _add(batch, record)
                if on_series is not None:
                    on_series(done, len(groups), record["state"])
        _reported(batch, table, target)
    return batch


@dataclass(frozen=True)
class _Job:
    source: Path
    target: Path
    profile: Profile
    release: frozenset[str]


def _grouped(table: Any, profile: Profile) -> tuple[list[list[Row]], Batch]:
    """Rows of each series of each patient; what is no DICOM object of a series is counted."""
    batch = Batch()
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in table.to_pylist():
        if row["status"] in ("image", "mask", "other") and row["series_uid"]:
            groups[row["patient_id"] or row["patient_name"] or "", row["series_uid"]].append(row)
        else:
            batch.left_out += 1
            batch.findings[row["finding"] or "not-image"] += 1
    return list(groups.values()), batch


def _mark(rows: list[Row], job: _Job) -> str:
    """Keyed hash of a series' files and of what is done to them."""
    parts = []
    for row in rows:
        try:
            seen = (job.source / row["path"]).stat()
            parts.append(f"{row['path']}\t{seen.st_size}\t{seen.st_mtime_ns}")
        except OSError:
            parts.append(row["path"])
    options = (job.profile.dates, job.profile.keep_hashed, job.profile.safe_private, job.profile.codes)
    return pseudonym("\n".join([repr(options), repr(sorted(job.release)), *sorted(parts)]), key=job.profile.key)


def _series(rows: list[Row], job: _Job) -> dict[str, Any]:
    """Judge, write and search one series; its folder appears only when all of it may."""
    rules: set[str] = set()
    kept: list[Row] = []
    dropped = 0
    for row in with_faces(rows, [str(job.source / row["path"]) for row in rows]):
        met = {found.details["rule"] for found in pixel_identity(row)}
        if "label" in met and "label" not in job.release:
            dropped += 1
            continue
        rules |= met
        kept.append(row)
    record: dict[str, Any] = {
        "state": "quarantined",
        "files": 0,
        "dropped": dropped,
        "rules": sorted(rules),
        "codes": [],
    }
    if dropped:
        record["codes"].append("slide-label")
    if rules - job.release:
        record["codes"].append("burned-in")
        return record
    if not kept:
        return {**record, "state": "written", "folder": ""}
    half = job.target / f".half-{code_of('series', rows[0]['series_uid'], rows[0]['path'], key=job.profile.key)}"
    half.mkdir()
    report = Deidentified()
    try:
        with learning() as learned:
            paths = [_rewritten(job.source / row["path"], half, number, job, report) for number, row in enumerate(kept)]
            identifiers = _identifiers(learned, rows, job.profile)
        folder, codes = _searched(paths, half, job, identifiers)
        record["codes"] += codes
        if codes:
            return record
        place = job.target / folder
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():  # of an earlier run over other files
            shutil.rmtree(place)
        os.rename(half, place)
    except FormatError:
        return {**record, "state": "failed", "codes": [*record["codes"], "damaged-file"]}
    except OSError:
        return {**record, "state": "failed", "codes": [*record["codes"], "unreadable"]}
    finally:
        shutil.rmtree(half, ignore_errors=True)
    actions = [[tag, action, count] for (tag, action), count in sorted(report.actions.items())]
    return {**record, "state": "written", "files": len(paths), "folder": folder, "actions": actions}


def _rewritten(path: Path, half: Path, number: int, job: _Job, report: Deidentified) -> str:
    place = half / f"{number}.dcm"
    place.write_bytes(deidentify_bytes(path.read_bytes(), job.profile, report=report))
    return str(place)


def _identifiers(learned: set[str], rows: list[Row], profile: Profile) -> frozenset[str]:
    """What must not be found: all that the files' headers say of their patient, and every UID of the series."""
    known = set(learned)
    for row in rows:
        known |= {row[name] for name in ("sop_instance_uid", "series_uid", "study_uid") if row[name]}
    if profile.retain_uids:
        known = {value for value in known if not _is_uid(value)}
    if profile.retain_device_identity:
        known -= _device_values(rows)
    return frozenset(known - {PYDICOM_IMPLEMENTATION_UID})  # which every file that is written has


def _is_uid(text: str) -> bool:
    return text.count(".") > 2 and text.replace(".", "").isdigit()


def _device_values(rows: list[Row]) -> set[str]:
    return {str(row[name]).strip() for row in rows for name in DEVICE_COLUMNS if row[name]}


def _searched(paths: list[str], half: Path, job: _Job, identifiers: frozenset[str]) -> tuple[str, list[str]]:
    """The folder for a series, and the codes that forbid it; its files get their names."""
    codes: list[str] = []
    rows = describe(paths, threads=1).to_pylist()
    folder = ""
    seen: set[tuple[int, bytes]] = set()
    for path, row in zip(paths, rows, strict=True):
        codes += [found.code for found in leftovers_of_file(path, row, job.profile, identifiers, seen)]
        folder = folder or "/".join(_named(row[name], job) for name in ("patient_id", "study_uid", "series_uid"))
        os.rename(path, half / f"{_named(row['sop_instance_uid'], job)}.dcm")
    return folder, sorted(set(codes))


def _named(value: str | None, job: _Job) -> str:
    """A value of a written file as a name: codes and UIDs as they are, anything else as its code."""
    text = value or "none"
    return text if text.replace(".", "").replace("-", "").isalnum() else pseudonym(text, key=job.profile.key)


def _add(batch: Batch, record: dict[str, Any]) -> None:
    batch.series[record["state"]] += 1
    batch.files += record["files"]
    batch.dropped += record["dropped"]
    batch.findings.update(record["codes"])
    batch.rules.update(record["rules"])
    batch.report.datasets += record["files"]
    for tag, action, count in record.get("actions", ()):
        batch.report.actions[tag, action] += count


def _states(target: Path) -> dict[str, dict[str, Any]]:
    """Series of earlier runs by their mark; a line that was cut off is none."""
    known = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (target / STATES).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError, KeyError):
                record = json.loads(line)
                known[record["source"]] = record
    return known


def _reported(batch: Batch, table: Any, target: Path) -> None:
    """Write the report, unless it would tell somebody."""
    text = json.dumps(batch.to_dict(), indent=1)
    everybody: set[str] = set()
    for name in ("patient_id", "patient_name", "patient_birth_date", "institution", "study_uid", "series_uid"):
        everybody |= {str(value) for value in table.column(name).unique().to_pylist() if value}
    profile = batch.report.profile
    if profile is not None and profile.retain_uids:
        everybody -= {value for value in everybody if _is_uid(value)}
    if profile is not None and profile.keep_hashed:
        everybody -= {value for value in everybody if HASHED.fullmatch(value)}
    names = [str(path.relative_to(target)) for path in target.rglob("*")]
    left = residual([text, *names], everybody)
    if left:
        raise RefusedError(f"deidentify_folder: the report or {len(left)} names of files hold an identifier")
    beside = target / f".{REPORT}"
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, target / REPORT)


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    with (target / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RefusedError("deidentify_folder: another run is at work on the output") from None
        yield
