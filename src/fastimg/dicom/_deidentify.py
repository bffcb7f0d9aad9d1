"""De-identification of one dataset after PS3.15 annex E."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from fastimg.errors import ArgumentError

from ._keys import day_shift, pseudonym, replacement_uid
from ._matcher import Matcher
from ._profile import Deidentified, Profile, rules
from ._quiet import CORRUPT, quiet, value_of
from ._residual import STANDARD, fold, hashed_upstream, matcher, own_values, ready
from ._vocabulary import WORDS

__all__ = ["PIXELS", "TABLES", "Job", "deidentify", "job_of", "level", "marks_of"]

TEXT = frozenset(["LO", "SH", "ST", "LT", "UT", "UC", "AE", "CS", "UR"])
# The last three: types that an implicit file leaves open, where nothing in the dataset decides them.
BULK = frozenset(["OB", "OW", "OF", "OD", "OL", "OV", "OB or OW", "US or OW", "US or SS or OW"])
PIXELS = frozenset([0x7FE00008, 0x7FE00009, 0x7FE00010, 0x7FE00001, 0x7FE00002, 0x7FE00003])
# Byte strings that are numbers and pictures' tables: kept. Any other is removed, as it could hold a document.
TABLES = frozenset([0x00281201, 0x00281202, 0x00281203, 0x00281204, 0x00281221, 0x00281222, 0x00281223, 0x00283006])
DEVICE = frozenset(["StationName", "DeviceSerialNumber", "GantryID"])
DUMMY: dict[str, Any] = {
    **dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "PN"), "REMOVED"),
    "CS": "REMOVED",
    "AE": "REMOVED",
    "DA": "19000101",
    "TM": "000000",
    "DT": "19000101000000",
    "AS": "000Y",
    **dict.fromkeys(("DS", "IS"), "0"),
    **dict.fromkeys(("US", "SS", "UL", "SL", "UV", "SV"), 0),
    **dict.fromkeys(("FL", "FD"), 0.0),
    "UI": "2.25.0",
    "UR": "urn:removed",
}
PATIENT_NAME, PATIENT_ID, PATIENT_AGE = 0x00100010, 0x00100020, 0x00101010
OLDEST = 89
# Day and month without the year would pass as short numbers.
DATE = re.compile(
    r"(?<!\d)(\d{4}([-./_ ])\d{1,2}\2\d{1,2}|\d{1,2}([-./_ ])\d{1,2}\3\d{4}|\d{1,2}([-./])\d{1,2}\4\d{2})(?!\d)"
)
ESCAPE = b"\x1b"  # begins another character set in ISO 2022: such bytes look like ASCII and are not
UID = re.compile(r"\d+(?:\.\d+){3,}")


@dataclass
class Job:
    """What all levels of one dataset share."""

    profile: Profile
    report: Deidentified
    rules: dict[int, Any]
    days: dt.timedelta
    subject: str
    pattern: Matcher
    uids: frozenset[str]

    def identifies(self, text: str) -> bool:
        """Whether one of the patient's own values stands in a text."""
        if self.pattern.search(ready(text)):
            return True
        return bool(self.uids) and any(found in self.uids for found in UID.findall(text))


def deidentify(dataset: Dataset, profile: Profile, *, report: Deidentified | None = None) -> Dataset:
    """A de-identified copy of a dataset; the pixel data are shared with the input, not copied.

    Parameters
    ----------
    dataset : pydicom Dataset
        Not changed.
    profile : Profile
    report : Deidentified, optional
        Counts what was done are added to it.

    Returns
    -------
    pydicom Dataset
        PatientID and PatientName hold the subject's pseudonym; the attributes that tell how it was de-identified are set.

    Raises
    ------
    ArgumentError
        No pydicom Dataset, or no Profile.

    Notes
    -----
    Attributes of PS3.15 Table E.1-1 are treated as the table says, at every depth of sequences. Beyond the table, because
    identity hides there too: names (PN) are emptied, dates shifted, UIDs other than the standard's own replaced, elements
    of unknown type and byte strings that are neither pixels nor look-up tables removed, and any text in which one of the
    patient's own identifiers still stands is emptied. Overlay and curve groups are removed. The pixels are not changed:
    see `pixel_identity`. The result is pseudonymised, not anonymous.
    """
    if not isinstance(dataset, Dataset):
        raise ArgumentError(f"deidentify: expected a pydicom Dataset, got {type(dataset).__name__}")
    if not isinstance(profile, Profile):
        raise ArgumentError(f"deidentify: expected a Profile, got {type(profile).__name__}")
    report = report if report is not None else Deidentified()
    report.profile = profile
    report.datasets += 1
    job = job_of(dataset, profile, report)
    with quiet():
        result = level(dataset, job)
    result.update(marks_of(job))  # as new elements: the file may have given them a wrong type
    _meta(dataset, result)
    return result


def job_of(dataset: Dataset, profile: Profile, report: Deidentified) -> Job:
    """What is known of a dataset's patient before its elements are decided on."""
    patient = next(
        (text for k in ("PatientID", "PatientName") if (text := str(value_of(dataset, k) or "").strip())), ""
    )
    skip = DEVICE if profile.retain_device_identity else frozenset()
    everything = own_values(dataset, skip=skip, keep_hashed=profile.keep_hashed)
    hashed = profile.keep_hashed and hashed_upstream(dataset)
    uids = {value for value in everything if UID.fullmatch(value)}
    known = everything - uids  # without UIDs the expression is the same for all slices of a patient
    return Job(
        profile=profile,
        report=report,
        rules=rules(profile),
        days=dt.timedelta(days=day_shift(patient, key=profile.key)),
        subject=patient if hashed else pseudonym(patient, key=profile.key),
        pattern=matcher(frozenset(known)),
        uids=frozenset() if profile.retain_uids else frozenset(uids),
    )


def marks_of(job: Job) -> Dataset:
    """The subject's code, and how the dataset was de-identified."""
    marks = Dataset()
    marks.PatientID = marks.PatientName = job.subject
    marks.PatientIdentityRemoved = "YES"
    marks.DeidentificationMethod = "fastimg: pseudonymised by a keyed code"
    marks.DeidentificationMethodCodeSequence = Sequence([_coded(*code) for code in job.profile.codes])
    marks.LongitudinalTemporalInformationModified = {"shift": "MODIFIED", "remove": "REMOVED", "keep": "UNMODIFIED"}[
        job.profile.dates
    ]
    return marks


def _coded(value: str, meaning: str) -> Dataset:
    texts = ((0x00080100, "SH", value), (0x00080102, "SH", "DCM"), (0x00080104, "LO", meaning))
    elements = [DataElement(tag, vr, text) for tag, vr, text in texts]
    return Dataset({element.tag: element for element in elements})


def _meta(source: Dataset, result: Dataset) -> None:
    """The file's header: only what a reader needs. The preamble, free for private use, becomes zeros."""
    old = getattr(source, "file_meta", None)
    if old is None:
        return
    meta = FileMetaDataset()
    for keyword in ("MediaStorageSOPClassUID", "TransferSyntaxUID"):
        if keyword in old:
            setattr(meta, keyword, old[keyword].value)
    if "SOPInstanceUID" in result:
        meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    result.file_meta = meta
    result.preamble = b"\0" * 128


def level(dataset: Dataset, job: Job) -> Dataset:
    """One level: every element is decided on; sequences are walked.

    Elements that pydicom has not converted yet are decided on by their bytes where these suffice: most of a header.
    """
    kept: dict[BaseTag, Any] = {}
    result = Dataset(kept)
    _same_encoding(dataset, result)
    safe = _safe_private(dataset, job.profile) if job.profile.safe_private else frozenset()
    for tag in dataset.keys():  # noqa: SIM118  # keys() does not convert elements, iteration does
        number = int(tag)
        if number & 0xFFFF == 0:
            continue  # group length: of the old group
        if number in PIXELS:
            kept[tag] = dataset.get_item(tag)
            continue
        private = (number >> 16) & 1
        if (private and number not in safe) or number >> 24 in (0x50, 0x60):
            job.report.count(number, "remove")
            continue
        item: Any = dataset.get_item(tag)
        if not private and isinstance(item, RawDataElement) and _by_bytes(item, tag, job, kept):
            continue
        try:
            element = dataset[tag]
        except CORRUPT:
            job.report.count(number, "remove")  # cannot be decoded, so it cannot be judged
            continue
        if private:
            _kept(element, number, job, result)
        else:
            _element(element, number, job, result)
    return result


def _same_encoding(source: Dataset, result: Dataset) -> None:
    """Bytes that are taken over are written as they are only where the encoding is known to be the same."""
    implicit, little = source.original_encoding
    if implicit is not None and little is not None:
        result.set_original_encoding(implicit, little, source.original_character_set)


def _by_bytes(item: RawDataElement, tag: BaseTag, job: Job, kept: dict[BaseTag, Any]) -> bool:
    """Decide on an element without converting it; False where that takes its value."""
    number, vr, value = int(tag), item.VR, item.value
    if vr is None or not isinstance(value, bytes) or item.length == 0xFFFFFFFF:
        return False
    action = job.rules.get(number) or _default(vr)
    if action == "remove" or vr == "UN" or (vr in BULK and number not in TABLES):
        job.report.count(number, "remove")
        return True
    if vr == "SQ" or number == PATIENT_AGE or not value.isascii() or ESCAPE in value:
        return False
    new: bytes | None
    if action == "empty":
        new = b""
    elif action == "keep" and (vr not in TEXT or not value or not job.identifies(value.decode("ascii"))):
        new = value if vr != "UI" else None
    elif (action == "uid" and vr == "UI") or (action == "keep" and vr == "UI"):
        new = None
    elif action == "shift" and job.profile.dates == "shift" and vr == "TM":
        new = value
    else:
        return False
    if new is None:
        uids = [u.strip(" \0") for u in value.decode("ascii").split("\\")]
        new = "\\".join(_uid(u, job) if u else "" for u in uids).encode("ascii")
        new += b"\0" * (len(new) % 2)
    kept[tag] = item if new is value else item._replace(value=new, length=len(new))
    if action != "keep":
        job.report.count(number, action)
    return True


def _safe_private(dataset: Dataset, profile: Profile) -> frozenset[int]:
    """Tags of listed private elements of this level, and of the elements that reserve their blocks."""
    kept: set[int] = set()
    for group, creator, element in profile.safe_private:
        try:
            block = dataset.private_block(group, creator)
        except KeyError:
            continue
        if element in block:
            kept |= {int(block.get_tag(element)), (group << 16) + (block.block_start >> 8)}
    return frozenset(kept)


def _element(element: DataElement, tag: int, job: Job, result: Dataset) -> None:
    vr = element.VR
    action = job.rules.get(tag) or _default(vr)
    if vr == "UN" or (vr in BULK and tag not in TABLES) or (action == "uid" and vr != "UI"):
        action = "remove"
    elif action == "dummy" and vr == "SQ":
        action = "empty"
    if action in ("keep", "recurse"):
        if vr == "SQ":
            result.add(_copied(element, job))
        else:
            _kept(element, tag, job, result)
            return
    elif action == "uid":
        result.add(_copied(element, job))
    elif action == "shift":
        _shifted(element, vr, job, result)
    elif action == "clean" and vr == "SQ":
        result.add(_copied(element, job))
    elif action == "clean":
        words = _several(element.value)
        result.add(_made(tag, vr, _joined([_cleaned(str(w), job) for w in words if w], "")))
    elif action == "empty":
        result.add(_made(tag, vr, Sequence() if vr == "SQ" else None if vr in DUMMY and vr not in TEXT else ""))
    elif action == "dummy" and vr in DUMMY:
        result.add(_made(tag, vr, DUMMY[vr]))
    else:
        action = "remove"
    if action != "recurse":
        job.report.count(tag, action)


def _default(vr: str) -> str:
    """What happens to attributes that are not in the table."""
    if vr == "SQ":
        return "recurse"
    if vr == "UI":
        return "uid"
    if vr in ("DA", "DT"):
        return "shift"
    if vr == "PN":
        return "empty"
    return "keep"


def _made(tag: Any, vr: str, value: Any) -> DataElement:
    """An element; what was read is not judged again."""
    return DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE)


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else list(value)


def _joined(values: list[Any], none: Any) -> Any:
    return values if len(values) > 1 else values[0] if values else none


def _copied(element: DataElement, job: Job) -> DataElement:
    """A sequence with its items treated, or UIDs replaced; anything else as it is."""
    if element.VR == "SQ":
        return _made(element.tag, "SQ", Sequence([level(item, job) for item in element.value or []]))
    if element.VR == "UI":
        return _made(element.tag, "UI", _joined([_uid(str(u), job) for u in _several(element.value) if u], ""))
    return _made(element.tag, element.VR, element.value)


def _uid(value: str, job: Job) -> str:
    if value.startswith(STANDARD) or job.profile.retain_uids:
        return value
    return replacement_uid(value, key=job.profile.key)


def _kept(element: DataElement, tag: int, job: Job, result: Dataset) -> None:
    """An attribute that stays, unless the patient's own identifiers stand in it."""
    value = element.value
    if tag == PATIENT_AGE:
        value = _capped(str(value))
    if element.VR in TEXT and value and any(job.identifies(str(v)) for v in _several(value)):
        result.add(_made(tag, element.VR, ""))
        job.report.count(tag, "empty")
        return
    if element.VR == "UI":
        result.add(_copied(element, job))
        return
    result.add(_made(tag, element.VR, value))


def _capped(age: str) -> str:
    """An age above 89 years is told as 90; what is no age is emptied, since nobody can tell that it is below."""
    match = re.fullmatch(r"\s*(\d{1,3})\s*([DWMY])\s*", age.upper())
    if match is None:
        return ""
    return f"{OLDEST + 1:03d}Y" if match[2] == "Y" and int(match[1]) > OLDEST else age


def _shifted(element: DataElement, vr: str, job: Job, result: Dataset) -> None:
    """Dates move by the patient's days; times of day stay; what is no date is emptied."""
    if job.profile.dates == "remove":
        result.add(_made(element.tag, vr, DUMMY.get(vr, "")))
    elif job.profile.dates == "keep" or vr == "TM":
        result.add(_made(element.tag, vr, element.value))
    elif vr == "SQ":
        result.add(_copied(element, job))
    elif vr in ("DA", "DT"):
        moved = [shift_date(str(v), job.days) for v in _several(element.value) if v]
        result.add(_made(element.tag, vr, _joined(moved, "")))
    else:  # time zones and the like
        result.add(_made(element.tag, vr, None if vr in DUMMY and vr not in TEXT else ""))


def shift_date(text: str, days: dt.timedelta) -> str:
    """A DICOM date, or date and time, moved by whole days; "" when it is none. A year alone or with its month is dropped."""
    text = text.strip()
    old = re.fullmatch(r"(\d{4})\.(\d\d)\.(\d\d)", text)  # the form of ACR-NEMA
    text = "".join(old.groups()) if old else text
    match = re.fullmatch(r"(\d{8})(\d{0,6}(\.\d{1,6})?([+-]\d{4})?)", text)
    if match is None:
        return ""
    try:
        moved = dt.datetime.strptime(match[1], "%Y%m%d") + days
    except (ValueError, OverflowError):
        return ""
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}{match[2]}"


def _cleaned(text: str, job: Job) -> str:
    """Only words of the vocabulary and numbers of up to three digits, and none that is the patient's."""
    kept = []
    for word in re.findall(r"[^\W_]+", DATE.sub(" ", text)):
        folded = fold(word)
        known = folded in WORDS or re.fullmatch(r"\d{1,3}(mm|cm|s|d|kv|min|hu|x\d{1,3})?|[a-z]\d{1,3}[a-z]?", folded)
        if known and not job.identifies(word):
            kept.append(word)
    return " ".join(kept)
