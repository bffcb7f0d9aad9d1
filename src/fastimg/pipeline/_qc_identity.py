"""Texts of a stored case that look like identifiers, or hold ones that are known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..findings import Finding
from ._clinical import SHIFTED
from ._names import telling

__all__ = ["identity_findings", "stored_texts", "suspicion"]

# What fastimg itself writes and what holds nobody's identity: keyed codes, digests, names of the standard.
_OWN = re.compile(
    r"(?:site|batch|study|[a-z]{2})-[0-9a-f]{12}\b|~[0-9a-f]{10}\b|\b[0-9a-f]{32}\b|sha256:[0-9a-f]{64}"
    r"|\b1\.2\.840\.10008(?:\.\d+)+"
)
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_FORMS = {
    "a date": re.compile(
        rf"(?<![\d.]){_YEAR}([-./ ]?){_MONTH}\1{_DAY}(?![\d.]\d)"
        rf"|(?<![\d.]){_DAY}([-./]){_MONTH}\2{_YEAR}(?!\d)|(?<![\d.]){_MONTH}/{_DAY}/{_YEAR}(?!\d)"
    ),
    "a UID": re.compile(r"(?<![\d.])[012](?:\.\d+){5,}(?![\d.])"),
    "a person's name": re.compile(r"[^\W\d_]{2,}\^[^\W\d_]"),
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.[A-Za-z]{2,}"),
    "a telephone number": re.compile(r"(?<![\w.])(?:\+|00)\d[\d ()/-]{7,}\d"),
    "a record number": re.compile(r"(?<![\d.])\d{7,}(?![\d.]\d|\d)"),
}


@lru_cache(maxsize=1)
def _telling_keys() -> frozenset[str]:
    """Names of attributes whose value is an identity, without blanks, lines and capitals."""
    from pydicom._dicom_dict import DicomDictionary

    from ..dicom._residual import IDENTIFYING

    names = {entry[4] for entry in DicomDictionary.values() if entry[0] == "PN"} | set(IDENTIFYING)
    own = ("name", "surname", "firstname", "lastname", "mrn", "phone", "telephone", "address", "email", "birthdate")
    return frozenset(_key(name) for name in (*names, *own, "dateofbirth", "dob", "ssn", "insurancenumber"))


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def suspicion(text: str) -> str | None:
    """The kind of identifier that a text has the form of: "a date", "a UID" ...; None if of none.

    Examples
    --------
    >>> suspicion("seen 1961-07-23"), suspicion("site-0a1b2c3d4e5f"), suspicion("Doe^Jane")
    ('a date', None, "a person's name")
    """
    if len(text) < 4:
        return None
    rest = _OWN.sub(" ", text)
    return next((kind for kind, form in _FORMS.items() if form.search(rest)), None)


def stored_texts(case: Any) -> Iterator[tuple[str, str, str]]:
    """(place, key, text) of what a case's manifest keeps; places name no value.

    Figures, times of storing, versions and digests are passed over.
    """
    yield "case_id", "", case.case_id
    for key, value in case.metadata.items():
        if not key.endswith(SHIFTED):  # moved by the site's key
            yield from _texts(f"metadata {key}", key, value)
    for number, name in enumerate(case.mask_names, 1):
        yield f"name of mask {number}", "", name
    for number, found in enumerate(case.findings, 1):
        yield f"finding {number}", "", found.message
        yield f"finding {number}", "", found.where
        yield from _texts(f"finding {number}", "", found.details)
    provenance = case.provenance
    yield from _texts("recipe", "", provenance.get("recipe"))
    header = provenance.get("header") or {}
    for key, value in header.items():
        yield from _texts(f"header {key}", key, value)
    if case.has_voxels:
        entry = case._image_entry()
        for part in ("metadata", "coords"):
            for key, value in (entry.get(part) or {}).items():
                yield from _texts(f"image {part} {key}", key, value)


def _texts(place: str, key: str, value: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, str):
        yield place, key, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield place, "", str(name)
            yield from _texts(place, str(name), part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(place, key, part)


def identity_findings(case: Any, identifiers: Iterable[str] = ()) -> list[Finding]:
    """ "identifier-left" where a known identifier stands, "identifier-suspect" where a text has the form of one."""
    from ..dicom import residual

    texts = list(stored_texts(case))
    known = frozenset(identifiers)
    # One search of everything first: nearly always there is nothing, and no text need be searched alone.
    if known and not residual([f"{place}\n{text}" for place, _, text in texts], known):
        known = frozenset()
    sentences = telling(known)
    places: dict[tuple[str, str, str], int] = {}
    for place, key, text in texts:
        if known and residual([text], sentences if place.startswith("finding") else known):
            kind = ("identifier-left", "A known identifier stands here.")
        elif _key(key) in _telling_keys() and text.strip():
            kind = ("identifier-suspect", "The key names an identifying attribute.")
        elif (form := suspicion(text)) is not None:
            kind = ("identifier-suspect", f"The text has the form of {form}.")
        else:
            continue
        told = (*kind, _safe(place, known))
        places[told] = places.get(told, 0) + 1
    return [Finding(code, why, where, {"value": count}) for (code, why, where), count in places.items()]


def _safe(place: str, known: frozenset[str]) -> str:
    """A place whose key is itself an identifier is told without it."""
    from ..dicom import residual

    head, _, key = place.partition(" ")
    if key and (suspicion(key) is not None or (known and residual([key], known))):
        return f"{head} (a key)"
    return place
