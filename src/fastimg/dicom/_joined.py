"""Enhanced files of one series that are one volume: parts of a concatenation, and acquisitions of the same places."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ..errors import FormatError
from ..findings import Finding
from ._layout import layouts_of
from ._multiframe import concatenation_of, frames_of_files

__all__ = ["joined", "parts_missing"]

_ALIKE = ("image_type", "frame_of_reference_uid", "sop_class_uid", "rows", "columns", "samples", "photometric")
_ODD = ("missing-slice", "uneven-spacing", "duplicate-position", "no-geometry")

Rows = list[dict[str, Any]]


def joined(rows: Rows, root: str) -> list[Rows]:
    """The rows of enhanced files that go together, two or more each, in the order of their frames.

    Parts of a concatenation (PS3.3 C.7.6.16.2.2.4) are one object, whatever their frames are. Files that are objects of
    their own are one volume where they are alike, all frames are at the same places, and elements of the standard tell the
    repetitions apart; or where each has one frame of a stack. What does not fit that stays apart, as it is in the files.
    """
    groups: dict[tuple[Any, ...], list[tuple[int, str, dict[str, Any]]]] = defaultdict(list)
    for row in rows:
        path = os.path.join(root, row["path"])
        part = concatenation_of(path)
        if part is not None:
            groups[(part[0],)].append((part[1], path, row))
        else:
            groups[tuple(row[name] for name in _ALIKE)].append((row["instance_number"] or 0, path, row))
    found = []
    for key, group in groups.items():
        if len(group) < 2:
            continue
        group.sort(key=lambda one: one[:2])
        together = [row for _, _, row in group]
        if len(key) == 1 or _one_volume(together, [path for _, path, _ in group]):
            found.append(together)
    return found


def _one_volume(rows: Rows, paths: Sequence[str]) -> bool:
    try:
        layouts = layouts_of(rows, paths)
        frames = frames_of_files(rows, layouts)
    except FormatError:
        return False
    repeated = bool(frames.leading) or all(layout.frames == 1 for layout in layouts)
    return repeated and not any(finding.code in _ODD for finding in frames.findings)


def parts_missing(rows: Rows, paths: Sequence[str]) -> list[Finding]:
    """What is missing of a concatenation, whose parts are given in order; nothing for objects that are whole."""
    parts = [concatenation_of(path) for path in paths]
    if parts[0] is None:
        return []
    expected = 0
    for part, row in zip(parts, rows, strict=True):
        assert part is not None
        if part[1] != expected:
            text = f"frames {expected + 1} to {part[1]} of a concatenation are missing"
            if part[1] < expected:
                text = f"frames {part[1] + 1} to {expected} of a concatenation stand in two files"
            return [Finding("missing-slice", text, os.path.basename(row["path"]))]
        expected += row["frames"] or 1
    total = parts[0][3]
    if total and total != len(parts):
        text = f"{len(parts)} of {total} parts of a concatenation are there"
        return [Finding("missing-slice", text, os.path.basename(rows[0]["path"]))]
    return []
