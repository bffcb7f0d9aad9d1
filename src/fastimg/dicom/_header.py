"""The header that may be kept with a case: captured from, de-identified, searched, and reduced to plain values."""

from __future__ import annotations

from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from fastimg.errors import ArgumentError, FormatError
from fastimg.findings import Finding

from ._deidentify import DEVICE, deidentify
from ._leftovers import leftovers
from ._profile import Deidentified, Profile
from ._quiet import CORRUPT, quiet
from ._residual import own_values

__all__ = ["header"]

TEXTS = frozenset(["CS", "LO", "SH", "LT", "ST", "UT", "UC"])
NUMBERS = frozenset(["DS", "IS", "FD", "FL", "US", "SS", "UL", "SL"])
LONGEST = 64  # values of an element, and letters of a text: what describes an acquisition is short


def header(
    source: Any, profile: Profile, *, report: Deidentified | None = None
) -> tuple[dict[str, Any], list[Finding]]:
    """The de-identified header of a series' first file as plain values, and what forbids to keep it.

    Parameters
    ----------
    source : Series, path or Dataset
    profile : Profile
    report : Deidentified, optional
        Counts are added to it.

    Returns
    -------
    values : dict
        Keyword -> text, number or list of them: how the images were made. Without sequences, UIDs, dates, times, names,
        and all of the patient's module: those belong to `capture`.
    findings : list of Finding
        As of `leftovers`: while there is one, the case must not be stored.
    """
    dataset = _dataset(source)
    skip = DEVICE if profile.retain_device_identity else frozenset()
    identifiers = own_values(dataset, skip=skip, keep_hashed=profile.keep_hashed)
    if profile.retain_uids:
        identifiers = {value for value in identifiers if value.count(".") < 3}
    result = deidentify(dataset, profile, report=report)
    with quiet():
        return dict(_plain(result)), leftovers(result, profile, identifiers)


def _dataset(source: Any) -> Dataset:
    if isinstance(source, Dataset):
        return source
    files = getattr(source, "files", [source])
    if not files:
        raise ArgumentError("header: the series has no files")
    try:
        with quiet():
            return pydicom.dcmread(files[0], stop_before_pixels=True, force=True)
    except CORRUPT as error:
        raise FormatError(f"damaged-file: the header cannot be read ({type(error).__name__})") from None


def _plain(dataset: Dataset) -> Any:
    for tag in dataset.keys():  # noqa: SIM118  # keys() does not convert elements, iteration does
        if int(tag) >> 16 in (0x0010, 0x0012, 0x0032, 0x0038, 0x0040) or (int(tag) >> 16) & 1:
            continue
        try:
            element = dataset[tag]
        except CORRUPT:
            continue
        if not element.keyword or element.VR not in TEXTS | NUMBERS or element.value in (None, ""):
            continue
        values = list(element.value) if isinstance(element.value, MultiValue | list) else [element.value]
        if len(values) > LONGEST:
            continue
        try:
            plain = [str(v)[:LONGEST] if element.VR in TEXTS else _number(v) for v in values]
        except (TypeError, ValueError):
            continue
        if "REMOVED" not in plain:
            yield element.keyword, plain if len(plain) > 1 else plain[0] if plain else None


def _number(value: Any) -> int | float:
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
