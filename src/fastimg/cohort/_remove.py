"""Withdrawal: cases are purged for good, and tombstones keep them from coming back.

A tombstone is a small file named by the keyed hash of what it blocks (a subject, a source, a case_id); it tells when and
why, not who. The key is made with the cohort and stays in it: a list of tombstones alone tells nobody who was removed.

Order: one file that says what is to be removed, written in one step: from then on the removal happens. Then tombstones,
purge, the tables and reports that were made from the cases, the log; the file goes last. Whoever opens the cohort for
writing next goes on where a kill cut it short; each step may be done twice.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import ArgumentError, FastimgError, FormatError, IntegrityError, RefusedError
from ..findings import Finding
from ._files import storing
from ._manifest import check_case_id, pack, unpack

if TYPE_CHECKING:
    from ._place import Place

__all__ = [
    "KEY",
    "add_keyed",
    "audit",
    "finish",
    "is_removed",
    "new_key",
    "refuse",
    "removals",
    "remove_cases",
    "subjects",
]

TOMBSTONE, PENDING, KEY_FILE = "fastimg-tombstone", "fastimg-removal", "fastimg-removal-key"
FOLDER, KEY, LOG = "tombstones", "tombstones/key", "tombstones/log.jsonl"
_PENDING, _KEYED, _PLAIN = "tombstones/pending", ".tombstone", ".json"
# made from all cases at once: they hold rows and pictures of those that go, and the next run makes them anew
DERIVED = ("features.parquet", "features_combat.parquet", "report.html", "report_shareable.html")


def new_key() -> bytes:
    """The file of a fresh key."""
    return pack(KEY_FILE, {"key": os.urandom(32).hex()})


def _key(place: Place) -> bytes:
    try:
        return bytes.fromhex(unpack(KEY_FILE, place.read(KEY), "the key of the tombstones")["key"])
    except FileNotFoundError:
        raise IntegrityError(
            f"{KEY}: is missing, so nobody can tell who was removed; restore it from a copy of the cohort"
        ) from None


def audit(place: Place) -> list[Finding]:
    """Whether it can be told who was removed."""
    if place.version > 1:
        try:
            _key(place)
        except (IntegrityError, FormatError, OSError) as error:
            return [Finding("removal-key", str(error) if isinstance(error, FastimgError) else "", KEY)]
    return []


def _plain(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind}\n{value}".encode()).hexdigest()


def _keyed(key: bytes, plain: str) -> str:
    """Over the plain hash that names a tombstone of format 1, so that those can be turned without knowing whose."""
    return hmac.new(key, plain.encode(), hashlib.sha256).hexdigest()


def is_removed(place: Place, **keys: str | None) -> bool:
    """Whether a tombstone stands for one of subject=, source=, case_id=."""
    plain = [_plain(kind, value) for kind, value in keys.items() if isinstance(value, str)]
    if place.version == 1:
        return any(place.exists(f"{FOLDER}/{name}{_PLAIN}") for name in plain)
    key = _key(place)
    return any(place.exists(f"{FOLDER}/{_keyed(key, name)}{_KEYED}") for name in plain)


def refuse(place: Place, body: dict[str, Any]) -> None:
    """A RefusedError where the case of this manifest was removed."""
    if is_removed(place, subject=body["metadata"].get("subject"), source=body["source"], case_id=body["case_id"]):
        raise RefusedError(f"case {body['case_id']}: it, its source or its subject was removed from this cohort")


def remove_cases(place: Place, case_ids: Iterable[str], subjects: Iterable[str], reason: str) -> list[str]:
    """See `Cohort.remove`."""
    names = sorted({check_case_id(case_id) for case_id in case_ids})
    people = sorted(set(subjects))
    if not all(isinstance(subject, str) and subject for subject in people):
        raise ArgumentError("subjects: must be texts, as in the metadata key 'subject'")
    missing = [name for name in names if not place.has(name)]
    if missing:
        raise ArgumentError(f"remove: the cohort has no case {missing[0]!r}")
    if not names and not people:
        return []
    key = _key(place)
    blocked = [("subject", subject) for subject in people]
    for name in names:
        blocked.append(("case_id", name))
        with suppress(FastimgError):  # a damaged case can be removed; its source is not known then
            source = place.case(name).source
            if source is not None:
                blocked.append(("source", source))
    order: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "reason": reason,
        "tombstones": [(kind, _keyed(key, _plain(kind, value))) for kind, value in blocked],
        "cases": names,
    }
    with storing("remove"):
        place.write(f"{_PENDING}/{order['id']}.json", pack(PENDING, order))
        return finish(place).get(order["id"], [])


def finish(place: Place) -> dict[str, list[str]]:
    """Do what pending removals ask for, also those of writers that were killed: {id: purged cases}."""
    for file in add_keyed(place):
        place.delete(file)
    done = {}
    for file in place.listing(_PENDING):
        try:
            order = unpack(PENDING, place.read(file), "a list of removals")
        except FileNotFoundError:  # another process has ended it
            continue
        for kind, name in order.get("tombstones", []):
            body = {"kind": kind, "at": order["at"], "reason": order["reason"]}
            place.write(f"{FOLDER}/{name}{_KEYED}", pack(TOMBSTONE, body))
        # only now, with the tombstones in place: whoever commits a case from here on sees them itself
        cases = sorted({*order["cases"], *_of_blocked(place, {n for _, n in order.get("tombstones", [])})})
        for case_id in cases:
            place.purge(case_id)
        place.forget_tables(DERIVED)
        place.clear()
        _log(place, order, len(cases))
        place.delete(file)
        done[order.get("id", "")] = cases
    return done


def _of_blocked(place: Place, names: set[str]) -> list[str]:
    """Cases in the index whose subject is blocked by one of these tombstones."""
    if not names:
        return []
    key = _key(place)
    people = subjects(place).items()
    return [case for who, cases in people if _keyed(key, _plain("subject", who)) in names for case in cases]


def subjects(place: Place) -> dict[str, list[str]]:
    """See `Cohort.subjects`."""
    found: dict[str, list[str]] = {}
    with place.reader() as db:
        for case_id, metadata in db.execute("SELECT case_id, metadata FROM details ORDER BY case_id"):
            subject = json.loads(metadata).get("subject")
            if isinstance(subject, str):
                found.setdefault(subject, []).append(case_id)
    return found


def _log(place: Place, order: dict[str, Any], count: int) -> None:
    """A line in the log of removals, once; figures and the reason, nobody's name."""
    kinds = [kind for kind, _ in order.get("tombstones", [])]
    line = {
        "id": order.get("id", ""),
        "at": order.get("at", ""),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "reason": order.get("reason", ""),
        "subjects": kinds.count("subject"),
        "cases": count,
        "fastimg": __version__,
    }
    try:
        before = place.read(LOG)
    except FileNotFoundError:
        before = b""
    if f'"id": "{line["id"]}"'.encode() not in before:
        place.write(LOG, before + json.dumps(line).encode() + b"\n")


def add_keyed(place: Place) -> list[str]:
    """A keyed tombstone beside each of format 1, whose name has no key; returns the latter."""
    plain = [file for file in place.listing(FOLDER) if file.endswith(_PLAIN)]
    key = _key(place) if plain else b""
    for file in plain:
        name = file.rsplit("/", 1)[1].removesuffix(_PLAIN)
        place.write(f"{FOLDER}/{_keyed(key, name)}{_KEYED}", place.read(file))
    return plain


def removals(place: Place) -> list[dict[str, Any]]:
    """What was removed, when and why, oldest first; whose it was is not kept."""
    found = []
    for file in place.listing(FOLDER):
        if file.endswith((_PLAIN, _KEYED)):
            try:
                found.append(unpack(TOMBSTONE, place.read(file), "a tombstone"))
            except IntegrityError:
                found.append({"kind": "damaged", "at": "", "reason": ""})  # it still blocks: its name does
    return sorted(found, key=lambda body: (body["at"], body["kind"]))
