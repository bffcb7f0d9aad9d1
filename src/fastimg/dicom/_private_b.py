"""b-values that scanners keep in private elements.

Siemens: (0019,xx0C) of "SIEMENS MR HEADER", else "B_value" of the CSA image header (0029,xx10), else the sequence's name.
General Electric: (0043,xx39) of "GEMS_PARM_01", first number, which carries 10^9 as a mark. Philips: (2001,xx03) of "Philips
Imaging DD 001". United Imaging: (0065,xx09) of "Image Private Header". Sources: the makers' conformance statements.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

from ._element import element as stored

__all__ = ["b_values", "csa_number"]

ELEMENTS = (
    (0x0019, "SIEMENS MR HEADER", 0x0C, "IS"),
    (0x0043, "GEMS_PARM_01", 0x39, "IS"),
    (0x2001, "Philips Imaging DD 001", 0x03, "FL"),
    (0x0065, "Image Private Header", 0x09, "FD"),
)
CSA = (0x0029, "SIEMENS CSA HEADER", 0x10)
LARGEST = 100_000  # s/mm^2: General Electric's mark and damaged values lie above


def b_values(paths: list[str], rows: list[dict[str, Any]]) -> list[float | None]:
    """Of each file, s/mm^2; None where none of the places above has one."""
    place: tuple[int, int, str] | None = None  # where the file before had it: tried first
    found: list[float | None] = []
    for path, row in zip(paths, rows, strict=True):
        value = None
        if place is not None:
            value = _number(path, *place)
        if value is None:
            value, place = _anywhere(path)
        if value is None:
            value = _of_csa(path)
        if value is None and "SIEMENS" in (row["manufacturer"] or "").upper():
            named = re.search(r"ep_b(\d{1,5})", row["sequence_name"] or "")
            value = float(named[1]) if named else None
        found.append(value)
    return found


def _anywhere(path: str) -> tuple[float | None, tuple[int, int, str] | None]:
    for group, creator, element, vr in ELEMENTS:
        block = _block(path, group, creator)
        if block is not None:
            value = _number(path, group, block << 8 | element, vr)
            if value is not None:
                return value, (group, block << 8 | element, vr)
    return None, None


def _block(path: str, group: int, creator: str) -> int | None:
    """The block that a private creator has reserved (PS3.5 7.8.1)."""
    for block in range(0x10, 0x20):
        found = stored(path, [group << 16 | block], 64)
        if found is None:
            return None
        if found[0].decode("ascii", "replace").strip(" \0") == creator:
            return block
    return None


def _number(path: str, group: int, element: int, vr: str) -> float | None:
    found = stored(path, [group << 16 | element], 64)
    if found is None:
        return None
    data, big = bytes(found[0]), bool(found[2])
    size = {"FL": 4, "FD": 8}.get(vr)
    try:
        if size is not None and len(data) == size:
            value = float(struct.unpack(f"{'>' if big else '<'}{'f' if size == 4 else 'd'}", data)[0])
        else:
            value = float(data.decode("ascii").split("\\")[0].strip(" \0"))
    except (ValueError, UnicodeDecodeError, struct.error):
        return None
    if value >= 1e9:  # 1000000750 is 750
        value %= LARGEST
    return value if math.isfinite(value) and 0 <= value < LARGEST else None


def _of_csa(path: str) -> float | None:
    group, creator, element = CSA
    block = _block(path, group, creator)
    if block is None:
        return None
    found = stored(path, [group << 16 | block << 8 | element], 1 << 20)
    return None if found is None else csa_number(bytes(found[0]), "B_value")


def csa_number(data: bytes, name: str) -> float | None:
    """The first number of an element of a Siemens CSA header ("SV10" or the older form without that mark)."""
    try:
        at = 8 if data[:4] == b"SV10" else 0
        count = struct.unpack_from("<I", data, at)[0]
        at += 8
        extra = 0  # the older form adds the number of items of the first element that has any to every length
        for _ in range(min(count, 512)):
            label = data[at : at + 64].split(b"\0")[0]
            items = struct.unpack_from("<I", data, at + 76)[0]
            extra = extra or items
            at += 84
            for _ in range(min(items, 4096)):
                first, second = struct.unpack_from("<II", data, at)
                length = second if data[:4] == b"SV10" else first - extra
                if length < 0:
                    return None
                text = data[at + 16 : at + 16 + length]
                at += 16 + (length + 3) // 4 * 4
                if label == name.encode() and text.strip(b" \0"):
                    value = float(text.strip(b" \0").decode("ascii"))
                    return value if math.isfinite(value) and 0 <= value < LARGEST else None
    except (struct.error, ValueError, UnicodeDecodeError):
        return None
    return None
