"""What identifies a patient, and whether any of it is left in a text.

Identifiers are compared without regard to case, accents and the way letters are composed; German umlauts also in their
two-letter form; dates in the usual notations, with English names of months too. A finding tells where something was found, never what.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from fastimg.errors import ArgumentError
from fastimg.findings import Finding

from ._charset import without_escapes
from ._greek import latin
from ._matcher import Matcher, normal
from ._quiet import CORRUPT, quiet, value_of

__all__ = [
    "TAGS",
    "TELLING",
    "finder",
    "fold",
    "hashed_upstream",
    "identifiers_of",
    "matcher",
    "own_values",
    "ready",
    "residual",
    "scrub",
]

# Attributes whose whole value identifies the patient, the people who treated him, or the place.
IDENTIFYING = frozenset(
    [
        "PatientID",
        "IssuerOfPatientID",
        "OtherPatientIDs",
        "PatientBirthDate",
        "PatientAddress",
        "PatientTelephoneNumbers",
        "PatientTelecomInformation",
        "MedicalRecordLocator",
        "MilitaryRank",
        "PatientInsurancePlanCodeSequence",
        "InsurancePlanIdentification",
        "AccessionNumber",
        "AdmissionID",
        "ServiceEpisodeID",
        "RequestedProcedureID",
        "ScheduledProcedureStepID",
        "PerformedProcedureStepID",
        "FillerOrderNumberImagingServiceRequest",
        "PlacerOrderNumberImagingServiceRequest",
        "InstitutionName",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "StationName",
        "DeviceSerialNumber",
        "GantryID",
        "CurrentPatientLocation",
        "PatientInstitutionResidence",
        "PersonAddress",
        "PersonTelephoneNumbers",
        "ReferringPhysicianAddress",
        "ReferringPhysicianTelephoneNumbers",
        "ResponsibleOrganization",
        "SpecimenIdentifier",
        "ContainerIdentifier",
    ]
)
TAGS = frozenset(tag for keyword in IDENTIFYING if (tag := tag_for_keyword(keyword)) is not None)
TELLING = ("SQ", "PN", "UI", "UN")  # kinds of which every element is looked at
# Words of names and titles that identify nobody.
COMMON = frozenset(
    # what upstream tools write in place of a name
    ["anonymous", "anonymized", "anonymised", "deidentified", "pseudonymized", "pseudonymised", "anon", "removed"]
    + ["redacted", "deleted", "unknown", "none", "patient", "test", "phantom", "prof"]
)
STANDARD = "1.2.840.10008."  # UIDs that DICOM itself defines
# A digest of 64 bits or more in hexadecimal digits, or a UUID; a letter must be among them: numbers alone are no hash.
HASHED = re.compile(r"(?i)(?=.*[a-f])(?:[0-9a-f]{16,128}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
DATE = re.compile(r"(?a:(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01]))")
ESCAPES = re.compile(rb"\x1b[-$()]*[A-Z@]")  # of ISO 2022: where they stand depends on the neighbours
ENCODINGS = (
    "iso2022_jp_2",
    "utf-8",
    "latin-1",
    *(f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 11, 15)),
    "shift_jis",
    "euc_kr",
    "gb18030",
    "utf-16-le",
)

_SPECIAL = str.maketrans(
    {"ø": "o", "œ": "oe", "æ": "ae", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "\u2019": "'"}
)
_UMLAUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa"})


def fold(text: str) -> str:
    """Lower case without accents: what two spellings of one name have in common."""
    text = without_escapes(text)
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold().translate(_SPECIAL)


def identifiers_of(source: Any, *, keep_hashed: bool = False) -> set[str]:
    """The values by which a series or dataset can be traced to a person or a place.

    Parameters
    ----------
    source : Series, Dataset, path, or a sequence of them
        Of a series the first and the last file are read (without pixels): names, numbers, addresses and UIDs are
        those of the series; slices differ in their SOP instance UID, which is taken from the first and the last.
    keep_hashed : bool
        A patient's number that an upstream tool has hashed is no identifier (see `Profile.keep_hashed`).

    Returns
    -------
    set of str
        All components and character groups of person names, at any depth; patient, accession and study numbers; birth
        dates; addresses; institution and station; UIDs other than those that DICOM defines. Values shorter than three
        characters (two in ideographic scripts, five for plain numbers) are left out: they would be found everywhere. Of
        names that short family and given name are taken together.

    Raises
    ------
    ArgumentError
        Anything else.
    """
    if isinstance(source, Dataset):
        return own_values(source, keep_hashed=keep_hashed)
    found: set[str] = set()
    if hasattr(source, "files"):
        files = list(source.files)
        for file in files[:1] + files[1:][-1:]:
            found |= identifiers_of(file, keep_hashed=keep_hashed)
    elif isinstance(source, str | bytes) or hasattr(source, "__fspath__"):
        with quiet():
            dataset = pydicom.dcmread(source, stop_before_pixels=True, force=True)
        found = identifiers_of(dataset, keep_hashed=keep_hashed)
    elif isinstance(source, Iterable):
        for part in source:
            found |= identifiers_of(part, keep_hashed=keep_hashed)
    else:
        raise ArgumentError(f"identifiers_of: expected a series, path or Dataset, got {type(source).__name__}")
    return found


def hashed_upstream(dataset: Dataset) -> bool:
    """Whether PatientID is the hash of a tool that de-identified the dataset before: a code, and the dataset says so."""
    removed, patient = value_of(dataset, "PatientIdentityRemoved"), value_of(dataset, "PatientID")
    return str(removed or "").strip().upper() == "YES" and HASHED.fullmatch(str(patient or "").strip()) is not None


def own_values(dataset: Dataset, skip: frozenset[str] = frozenset(), *, keep_hashed: bool = False) -> set[str]:
    """The identifiers of one dataset; attributes whose keyword is in `skip` are not taken, nor is a hash that is kept."""
    found: set[str] = set()
    with quiet():
        _collect(dataset, found, skip)
    if keep_hashed and hashed_upstream(dataset):  # the name is often the same code, and is taken apart
        patient = str(dataset.PatientID).strip()
        found = {value for value in found if value not in patient}
    return {value for value in found if _long_enough(value)}


def _collect(dataset: Dataset, found: set[str], skip: frozenset[str]) -> None:
    for tag in dataset.keys():  # noqa: SIM118  # keys() does not convert elements, iteration does
        item: Any = dataset.get_item(tag)
        if isinstance(item, RawDataElement) and item.VR not in TELLING and item.VR and int(tag) not in TAGS:
            continue
        try:
            element = dataset[tag]
        except CORRUPT:
            continue  # cannot be decoded: de-identification removes it
        value = element.value
        if element.VR == "SQ":
            for item in value or []:
                _collect(item, found, skip)
        elif not value:
            continue
        elif element.VR == "PN":
            for name in _several(value):
                found.update(_components(name))
        elif element.VR == "UI":
            found.update(uid for uid in map(str, _several(value)) if not uid.startswith(STANDARD))
        elif element.keyword in IDENTIFYING and element.keyword not in skip:
            found.update(without_escapes(str(v)).strip() for v in _several(value))


def _several(value: Any) -> Iterable[Any]:
    return value if isinstance(value, MultiValue | list | tuple) else [value]


def _components(name: PersonName | str) -> Iterator[str]:
    """Every component of every character group; words of a component too, so that double names are found apart.

    Names that are too short to be looked for alone are looked for together: family and given name in both orders, side by
    side in scripts that write them so.
    """
    for group in without_escapes(str(name)).split("="):
        parts = [component.strip() for component in group.split("^")]
        family, given = (*parts, "")[:2]
        named = all(part.isalpha() and fold(part) not in COMMON for part in (family, given))
        if named and not all(map(_long_enough, (family, given))):
            yield from (f"{family} {given}", f"{given} {family}", f"{family}, {given}")
            if _ideographs(family + given):
                yield family + given
        for component in parts:
            yield component
            words = re.split(r"[\s,.\-]+", component)
            if len(words) > 1:
                yield from (word for word in words if len(word) > 3)


def _long_enough(value: str) -> bool:
    folded = fold(value)
    letters = [c for c in folded if c.isalnum()]
    if folded in COMMON or not letters:
        return False
    if folded.isdigit():
        return len(folded) >= 5
    return len(letters) >= (2 if _ideographs(letters) else 3)


def _ideographs(letters: Iterable[str]) -> bool:
    return all("\u3040" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7a3" for c in letters)


def _variants(value: str) -> Iterator[str]:
    """Folded spellings of one identifier."""
    yield fold(value)
    lower = unicodedata.normalize("NFC", value.casefold())
    yield fold(lower.translate(_UMLAUT))
    yield latin(fold(value))
    if DATE.fullmatch(value):
        year, month, day = value[:4], value[4:6], value[6:]
        for sign in "-./ ":
            yield sign.join((year, month, day))
            yield sign.join((day, month, year))
            yield sign.join((month, day, year))


@lru_cache(maxsize=64)
def matcher(identifiers: frozenset[str]) -> Matcher:
    """What finds the identifiers in a text that was made ready by `ready`."""
    spellings = (
        normal(spelling).strip() for value in identifiers if _long_enough(value) for spelling in _variants(value)
    )
    return Matcher(spellings, dates=[value for value in identifiers if DATE.fullmatch(value)])


def ready(text: str) -> str:
    """A text as `matcher` wants it."""
    return normal(fold(text))


def finder(identifiers: Iterable[str]) -> Callable[[str], bool]:
    """What tells whether a text holds one of the identifiers, as `residual` looks for them; of very many of them nothing is
    kept for the next call."""
    pattern = matcher.__wrapped__(frozenset(identifiers))
    return lambda text: bool(pattern) and pattern.count(ready(text)) > 0


def residual(texts: Any, identifiers: Iterable[str]) -> list[Finding]:
    """Look for identifiers in texts; an empty list means that none was found.

    Parameters
    ----------
    texts : str, bytes, Dataset, mapping, sequence or a nest of them
        Keys of mappings are texts too; numbers are written out; bytes are read as UTF-8, Latin-1, the other character
        sets of DICOM and UTF-16; arrays of numbers are passed over.
    identifiers : iterable of str
        As from `identifiers_of`.

    Returns
    -------
    list of Finding
        "identifier-left", one a place; `where` is the place as a path of keys and positions, in which a key that is
        itself an identifier is replaced by its position.
    """
    wanted = frozenset(identifiers)
    pattern = matcher(wanted)
    if not pattern:
        return []
    found: dict[str, int] = {}
    with quiet():
        for where, text in _walk(texts, "", pattern):
            hits = pattern.count(ready(text)) if isinstance(text, str) else _hits(text, wanted)
            if hits:
                found[where] = found.get(where, 0) + hits
    return [
        Finding("identifier-left", f"{count} values of the patient were found", where, {"count": count})
        for where, count in found.items()
    ]


def _hits(data: bytes, wanted: frozenset[str]) -> int:
    pattern = matcher(wanted)
    hits = pattern.count(ready(data.decode("utf-8", "ignore")))
    if hits or (data.isascii() and b"\x1b" not in data):
        return hits
    latin, needles = data.decode("latin-1"), _encoded(wanted)
    hits = pattern.count(ready(latin)) or needles.count(latin)
    if not hits and b"\x1b" in data:
        hits = needles.count(ESCAPES.sub(b"", data).decode("latin-1"))
    return hits


@lru_cache(maxsize=64)
def _encoded(wanted: frozenset[str]) -> Matcher:
    """Identifiers as the bytes of each character set that has their letters, each byte written as a letter."""
    found = set()
    for value in wanted:
        if value.isascii() or not _long_enough(value):
            continue  # plain letters are the same bytes everywhere, or UTF-16
        for encoding in ENCODINGS:
            for spelling in (value, value.upper(), value.lower()):
                try:
                    found.add(ESCAPES.sub(b"", spelling.encode(encoding)).decode("latin-1"))
                except UnicodeEncodeError:
                    continue
    found |= {v.encode("utf-16-le").decode("latin-1") for v in wanted if v.isascii() and _long_enough(v)}
    return Matcher((needle for needle in found if len(needle) > 3), exact=True)


def _walk(value: Any, where: str, pattern: Matcher) -> Iterator[tuple[str, str | bytes]]:
    if value is None or isinstance(value, bool | np.ndarray):
        return
    if isinstance(value, str | bytes):
        yield where, value
    elif isinstance(value, Dataset):
        for tag in value.keys():  # noqa: SIM118  # keys() does not convert elements, iteration does
            place = f"{where}/{int(tag):08X}"
            try:
                element = value[tag]
            except CORRUPT:
                yield from _walk(getattr(value.get_item(tag), "value", None), place, pattern)
                continue
            if element.VR == "SQ":
                yield from _walk(list(element.value or []), place, pattern)
            elif element.tag != 0x7FE00010:
                yield from _walk(
                    element.value if isinstance(element.value, bytes) else str(element.value), place, pattern
                )
    elif isinstance(value, Mapping):
        for position, (key, part) in enumerate(value.items()):
            name = str(key)
            place = f"{where}/{f'#{position}' if pattern.search(ready(name)) else name}"
            yield f"{place} (key)", name
            yield from _walk(part, place, pattern)
    elif isinstance(value, Iterable):
        for position, part in enumerate(value):
            yield from _walk(part, f"{where}[{position}]", pattern)
    else:
        yield where, str(value)


def scrub(text: str, identifiers: Iterable[str]) -> str:
    """The text without the words in which identifiers stand; blanks are tidied.

    For labels of masks and for descriptions: "Lesion Müller" becomes "Lesion".
    """
    pattern = matcher(frozenset(identifiers))
    if not pattern.search(ready(text)):
        return text
    words = re.split(r"[\s_^=,;:/\\]+", text)
    result = " ".join(word for word in words if word and not pattern.search(ready(word)))
    return "" if pattern.search(ready(result)) else result
