"""Withdrawal: cases are purged for good, and tombstones keep them from coming back.

A tombstone is a small file named by the hash of what it blocks (a subject, a source, a case_id); it tells when and why,
not who. Order: tombstones, then the list of cases to purge, then the purge; whoever opens the cohort for writing next
ends what a kill cut short.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, FastimgError, IntegrityError, RefusedError
from ._files import Slot, read_bytes, storing, sync_folder, write_atomic
from ._manifest import check_case_id, pack, unpack

if TYPE_CHECKING:
    from ._folder import Folder

__all__ = ["finish", "is_removed", "refuse", "removals", "remove_cases"]

TOMBSTONE, PENDING = "fastimg-tombstone", "fastimg-removal"


def _name(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind}\n{value}".encode()).hexdigest() + ".json"


def is_removed(folder: Path, **keys: str | None) -> bool:
    """Whether a tombstone stands for one of subject=, source=, case_id=."""
    return any((folder / _name(kind, value)).exists() for kind, value in keys.items() if isinstance(value, str))


def refuse(folder: Path, body: dict[str, Any]) -> None:
    """A RefusedError where the case of this manifest was removed."""
    if is_removed(folder, subject=body["metadata"].get("subject"), source=body["source"], case_id=body["case_id"]):
        raise RefusedError(f"case {body['case_id']}: it, its source or its subject was removed from this cohort")


def remove_cases(place: Folder, case_ids: Iterable[str], subjects: Iterable[str], reason: str) -> list[str]:
    """See `Cohort.remove`."""
    names = sorted({check_case_id(case_id) for case_id in case_ids})
    people = sorted(set(subjects))
    if not all(isinstance(subject, str) and subject for subject in people):
        raise ArgumentError("subjects: must be texts, as in the metadata key 'subject'")
    missing = [name for name in names if not place.has(name)]
    if missing:
        raise ArgumentError(f"remove: the cohort has no case {missing[0]!r}")
    keys = [("subject", subject) for subject in people]
    for name in names:
        keys.append(("case_id", name))
        with suppress(FastimgError):  # a damaged case can be removed; its source is not known then
            source = place.case(name).source
            if source is not None:
                keys.append(("source", source))
    folder = place.tombstones
    with storing("remove"):
        (folder / "pending").mkdir(parents=True, exist_ok=True)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        for kind, value in keys:
            body = {"kind": kind, "at": at, "reason": reason}
            write_atomic(folder / _name(kind, value), pack(TOMBSTONE, body), place.tmp)
        wanted = sorted({*names, *_of_subjects(place, people)})
        if wanted:
            list_file = folder / "pending" / f"{uuid.uuid4().hex}.json"
            write_atomic(list_file, pack(PENDING, {"cases": wanted}), place.tmp)
        finish(place)
    return wanted


def _of_subjects(place: Folder, subjects: list[str]) -> list[str]:
    if not subjects:
        return []
    wanted = set(subjects)
    with place.reader() as db:
        rows = db.execute("SELECT case_id, metadata FROM details").fetchall()
    return [case_id for case_id, metadata in rows if json.loads(metadata).get("subject") in wanted]


def finish(place: Folder) -> None:
    """Purge what removals have listed; again after a kill."""
    pending = place.tombstones / "pending"
    try:
        lists = [Path(entry.path) for entry in os.scandir(pending)]
    except FileNotFoundError:
        return
    for path in lists:
        try:
            cases = unpack(PENDING, read_bytes(path), "a list of removals")["cases"]
        except FileNotFoundError:  # another process has ended it
            continue
        for case_id in cases:
            with Slot(place.tmp, case_id) as slot:  # its folder goes with everything in it
                with suppress(FileNotFoundError):
                    os.rename(place.cases / case_id, slot.folder / "removed")
                sync_folder(place.cases)
                place.index.put([], [case_id])
        (place.indexes / "cases.parquet").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        sync_folder(pending)


def removals(folder: Path) -> list[dict[str, Any]]:
    """What was removed, when and why, oldest first; whose it was is not kept."""
    found = []
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            if entry.name.endswith(".json"):
                try:
                    found.append(unpack(TOMBSTONE, read_bytes(Path(entry.path)), "a tombstone"))
                except IntegrityError:
                    found.append({"kind": "damaged", "at": "", "reason": ""})  # it still blocks: its name does
    return sorted(found, key=lambda body: (body["at"], body["kind"]))
