"""De-identification of whole files, bytes to bytes: natively where the file is plain, else through pydicom."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import pydicom
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_dataset
from pydicom.tag import Tag
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID
from pydicom.values import convert_string

from fastimg.errors import ArgumentError, FormatError

from . import _native
from ._deidentify import PIXELS, TABLES, Job, deidentify, job_of, level, marks_of
from ._keys import replacement_uid
from ._profile import Deidentified, Profile, rules
from ._quiet import CORRUPT, quiet
from ._residual import TAGS, TELLING, identifiers_of

__all__ = ["deidentify_bytes", "learning"]

PROFILES = 4  # whose rewriters a thread keeps
NUMBER = {name: number for number, name in enumerate(_native.ACTIONS)}

_local = threading.local()


@contextlib.contextmanager
def learning() -> Iterator[set[str]]:
    """In this thread: the identifiers of every file that `deidentify_bytes` treats inside the block."""
    _local.rewriters = {}  # they remember patients: each is learned anew
    _local.learned = set()
    try:
        yield _local.learned
    finally:
        _local.learned = None


def _note(dataset: Dataset, profile: Profile) -> None:
    learned: set[str] | None = getattr(_local, "learned", None)
    if learned is not None:
        learned |= identifiers_of(dataset, keep_hashed=profile.keep_hashed)


def deidentify_bytes(data: bytes, profile: Profile, *, report: Deidentified | None = None) -> bytes:
    """A DICOM file de-identified: the dataset is the one that `deidentify` makes.

    Parameters
    ----------
    data : bytes
        A whole file: preamble, header and dataset.
    profile : Profile
    report : Deidentified, optional
        Counts of what was done are added to it.

    Returns
    -------
    bytes
        A whole file of the same transfer syntax. The preamble is zeros, the file header is new, sequences have lengths.

    Raises
    ------
    FormatError
        Not a DICOM file, or so damaged that it cannot be written again. The message quotes nothing of it.
    ArgumentError
        No bytes, or no Profile.

    Notes
    -----
    Plain little-endian files are rewritten element by element without making objects of their values; each thread
    remembers the identifiers of up to 64 patients, which makes the slices of a series cheap. All others (private elements
    that are kept, wrong lengths or order, big endian, deflated) take the way of `deidentify` through pydicom.
    Memory: at most seven times the file.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ArgumentError(f"deidentify_bytes: expected the bytes of a file, got {type(data).__name__}")
    if not isinstance(profile, Profile):
        raise ArgumentError(f"deidentify_bytes: expected a Profile, got {type(profile).__name__}")
    data = bytes(data)
    done = None if profile.safe_private else _rewriter(profile).run(data, report is not None)
    if done is None:
        return _by_pydicom(data, profile, report)
    result, counts = done
    if report is not None:
        report.profile = profile
        report.datasets += 1
        for tag, action in counts:
            report.count(tag, _native.ACTIONS[action])
    return bytes(result)


def _by_pydicom(data: bytes, profile: Profile, report: Deidentified | None) -> bytes:
    own = Deidentified()
    try:
        with quiet():
            dataset = pydicom.dcmread(io.BytesIO(data))
            if not dataset:
                raise ValueError("empty")
            _note(dataset, profile)
            written = _written(deidentify(dataset, profile, report=own))
    except (InvalidDicomError, *CORRUPT) as error:  # messages would quote the file
        name = type(error).__name__
        raise FormatError(f"deidentify_bytes: the file cannot be read and written as DICOM ({name})") from None
    if report is not None:
        report += own
        report.profile = profile
    return written


def _written(result: Dataset) -> bytes:
    out = io.BytesIO()
    try:
        pydicom.dcmwrite(out, result, enforce_file_format=True)
    except (ValueError, AttributeError):  # the file header lacks what the standard wants; pydicom may still write it
        out = io.BytesIO()
        pydicom.dcmwrite(out, result)
    return out.getvalue()


def _rewriter(profile: Profile) -> Any:
    """This thread's rewriter for a profile: its callbacks may let other threads run."""
    kept: dict[Profile, Any] = _local.__dict__.setdefault("rewriters", {})
    if profile not in kept:
        if len(kept) >= PROFILES:
            kept.clear()
        kept[profile] = _native.Rewriter(
            rules={tag: NUMBER[action] for tag, action in rules(profile).items()},
            pixels=set(PIXELS),
            tables=set(TABLES),
            telling={int(tag) for tag in TAGS},
            shift_dates=profile.dates == "shift",
            retain_uids=profile.retain_uids,
            meta_tail=_encoded(DataElement(0x00020012, "UI", PYDICOM_IMPLEMENTATION_UID), implicit=False),
            learn=lambda data, uids: _learn(data, uids, profile),
            think=_think,
            uid=lambda uid: replacement_uid(uid, key=profile.key),
            vr=_vr,
        )
    return kept[profile]


def _learn(data: bytes, uids: Sequence[str], profile: Profile) -> tuple[Any, ...] | None:
    """The patient of a file: ASCII words to look for, UIDs that stand elsewhere than in UIDs, elements to set."""
    try:
        with quiet():
            dataset = pydicom.dcmread(io.BytesIO(data))
            job = job_of(dataset, profile, Deidentified())
            _note(dataset, profile)
    except (InvalidDicomError, *CORRUPT):
        return None
    marks = marks_of(job)
    heads = [[(int(mark.tag), _encoded(mark, implicit=implicit)) for mark in marks] for implicit in (False, True)]
    words = [word.encode() for word in job.pattern.words if word.isascii()]
    elsewhere = job.uids - set(uids)
    return words, set(elsewhere), *heads, dataclasses.replace(job, uids=frozenset(elsewhere))


def _think(
    job: Job, tag: int, vr: str, implicit: bool, value: bytes, charset: bytes, uids: Sequence[str]
) -> tuple[bytes, list[tuple[int, int]]] | None:
    """One element by the rules of `deidentify`, written again."""
    report = Deidentified()
    known = job.uids if job.profile.retain_uids else job.uids | set(uids)
    raw_vr = None if implicit else vr
    found = value or empty_value_for_VR(raw_vr, raw=True)
    raw = RawDataElement(Tag(tag), raw_vr, len(value), found, 0, implicit, True)  # type: ignore[arg-type]
    try:
        with quiet():
            terms, encodings = _encodings(charset)
            dataset = Dataset({raw.tag: raw}, parent_encoding=encodings)
            dataset.set_original_encoding(implicit, True, encodings)
            if vr in TELLING or tag in TAGS:
                with contextlib.suppress(*CORRUPT):
                    dataset[raw.tag]  # the search for identifiers has read these before anything is decided
            result = level(dataset, dataclasses.replace(job, report=report, uids=known))
            out = DicomBytesIO()
            out.is_little_endian, out.is_implicit_VR = True, implicit
            write_dataset(out, result, terms)
    except CORRUPT:
        return None
    counts = [(tag, NUMBER[action]) for (_, action), count in report.actions.items() for _ in range(count)]
    return out.getvalue(), counts


@lru_cache(maxsize=256)
def _encodings(charset: bytes) -> tuple[Any, Any]:
    """A character set as the standard and as Python names it."""
    terms: Any = convert_string(charset, True)
    if not terms:
        return "iso8859", "iso8859"
    return terms, convert_encodings(terms)


@lru_cache(maxsize=4096)
def _vr(tag: int, creator: bytes) -> str:
    """An element's type after pydicom's dictionaries; "" where they do not know it."""
    number = Tag(tag)
    try:
        if not number.is_private:
            return str(dictionary_VR(number))
        if number.is_private_creator:
            return "LO"
        return str(private_dictionary_VR(number, creator.decode("ascii", "replace").strip()))
    except KeyError:
        return ""


def _encoded(element: DataElement, *, implicit: bool) -> bytes:
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, implicit
    write_data_element(out, element, "iso8859")
    return out.getvalue()
