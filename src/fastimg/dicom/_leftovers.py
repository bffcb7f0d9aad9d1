"""Whether a de-identified file may leave: judged on what stands in the file, not on what should have been done to it."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from fastimg.findings import Finding

from ._profile import Profile
from ._quiet import CORRUPT, quiet
from ._residual import residual

__all__ = ["leftovers", "leftovers_of_file"]

BIRTH = frozenset(["PatientBirthDate", "PatientBirthTime", "PatientBirthDateInAlternativeCalendar", "BirthDate"])
UNDEFINED = 0xFFFFFFFF
IMPLICIT = "1.2.840.10008.1.2"
SMALL = 4096  # bytes of a value that is remembered


def leftovers(dataset: Dataset, profile: Profile, identifiers: Iterable[str] = ()) -> list[Finding]:
    """Findings that forbid to store a dataset that was de-identified.

    Parameters
    ----------
    dataset : Dataset
        After `deidentify`.
    profile : Profile
        What it allows: listed private elements.
    identifiers : iterable of str
        The patient's own values, from `identifiers_of` of the dataset before.

    Returns
    -------
    list of Finding
        "private-left", "birth-date-left", "identifier-left"; none tells a value. Empty: it may be stored.
    """
    counts = {"private-left": 0, "birth-date-left": 0}
    with quiet():
        _structure(dataset, profile, counts)
    found = [Finding(code, details={"count": count}) for code, count in counts.items() if count]
    return found + residual(dataset, identifiers)


def _structure(dataset: Dataset, profile: Profile, counts: dict[str, int], tags: Iterable[Any] | None = None) -> None:
    safe = _safe(dataset, profile)
    for tag in list(dataset.keys()) if tags is None else tags:
        if (int(tag) >> 16) & 1:
            counts["private-left"] += int(tag) not in safe
            continue
        item: Any = dataset.get_item(tag)
        if item.VR not in ("SQ", "UN", None) and int(tag) >> 16 != 0x0010:
            continue
        try:
            element = dataset[tag]
        except CORRUPT:
            counts["private-left"] += 1  # cannot be judged
            continue
        if element.VR == "SQ":
            for part in element.value or []:
                _structure(part, profile, counts)
        elif element.keyword in BIRTH and str(element.value or "").strip(" \0") not in ("", "19000101", "000000"):
            counts["birth-date-left"] += 1


def _safe(dataset: Dataset, profile: Profile) -> set[int]:
    allowed: set[int] = set()
    for group, creator, element in profile.safe_private:
        try:
            block = dataset.private_block(group, creator)
        except KeyError:
            continue
        allowed |= {int(block.get_tag(element)), (group << 16) + (block.block_start >> 8)}
    return allowed


def leftovers_of_file(
    path: str, row: dict[str, Any], profile: Profile, identifiers: frozenset[str], seen: set[tuple[int, bytes]]
) -> list[Finding]:
    """The same for a file that was written, from its bytes and the scan's row of it. The pixels are not searched.

    `seen` holds elements that were judged in files before: the slices of a series share most of theirs.
    """
    if row["status"] == "damaged":
        return [Finding("damaged-file", str(row["detail"] or ""))]
    counts = {"private-left": 0, "birth-date-left": 0}
    texts: list[bytes | str] = []
    try:
        with quiet():
            if row["deflated"]:
                dataset = pydicom.dcmread(path, stop_before_pixels=True)
            else:
                data = _around_pixels(path, row)
                texts.append(data[:128])
                dataset = pydicom.dcmread(io.BytesIO(data))
            for part in (dataset.file_meta, dataset):
                _new_elements(part, profile, counts, texts, seen)
    except (InvalidDicomError, *CORRUPT) as error:  # messages would quote the file
        return [Finding("damaged-file", f"cannot be read again ({type(error).__name__})")]
    found = [Finding(code, details={"count": count}) for code, count in counts.items() if count]
    return found + residual(texts, identifiers)


def _new_elements(
    dataset: Dataset,
    profile: Profile,
    counts: dict[str, int],
    texts: list[bytes | str],
    seen: set[tuple[int, bytes]],
) -> None:
    fresh = []
    small: list[bytes] = []
    for tag in dataset.keys():  # noqa: SIM118  # keys() does not convert elements, iteration does
        item: Any = dataset.get_item(tag)
        value = item.value
        if int(tag) == 0x7FE00010:
            continue
        if isinstance(value, bytes) and len(value) <= SMALL:
            if not (int(tag) >> 16) & 1:  # what a private element is depends on its neighbours
                if (int(tag), value) in seen:
                    continue
                seen.add((int(tag), value))
            small.append(value)
        elif isinstance(value, bytes):
            texts.append(value)
        fresh.append(tag)
        if not isinstance(value, bytes):
            texts.extend(_plain(item))
    texts.append(b"\n".join(small))
    _structure(dataset, profile, counts, fresh)


def _plain(element: Any) -> list[bytes | str]:
    """Texts of an element that pydicom has made objects of: a sequence of undefined length."""
    if element.VR != "SQ":
        return [str(element.value or "")]
    found: list[bytes | str] = []
    for item in element.value or []:
        for tag in item.keys():  # noqa: SIM118
            part: Any = item.get_item(tag)
            found += [part.value] if isinstance(part.value, bytes) else _plain(part)
    return found


def _around_pixels(path: str, row: dict[str, Any]) -> bytes:
    """The elements before and behind the pixel data."""
    head = 8 if row["transfer_syntax"] == IMPLICIT else 12  # of the pixels' own element
    start, length = row["pixel_offset"], row["pixel_length"]
    with open(path, "rb") as file:
        if start is None or start < 0:
            return file.read()
        before = file.read(start - head)
        end = start + length if length >= 0 else _end_of_fragments(file, start, row["size"])
        file.seek(end)
        return before + file.read()


def _end_of_fragments(file: Any, start: int, size: int) -> int:
    """Behind the sequence delimiter of encapsulated pixels (PS3.5 A.4)."""
    at = start
    while at + 8 <= size:
        tag, length = struct.unpack("<II", os.pread(file.fileno(), 8, at))
        at += 8
        if tag == 0xE0DDFFFE:
            return at
        if tag != 0xE000FFFE or length == UNDEFINED:
            break
        at += length
    return start  # not as it should be: all of it is searched
