"""Frames of one file as volumes: functional groups of enhanced objects, dose grids, plain frame lists."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..findings import Finding
from . import _native
from ._axes import Candidate, arranged
from ._element import element
from ._flat import frame_times, is_flat
from ._geometry import affine_from_parts, normal_of, spacing_of, stack
from ._layout import Layout
from ._units import ValueMap, value_map

__all__ = ["Frames", "concatenation_of", "frames_of", "frames_of_files", "groups_of", "stacks_of"]

NM_IMAGE = "1.2.840.10008.5.1.4.1.1.20"


@dataclass
class Frames:
    """Frames in the order of the volume, leading indices first; those of several files counted through."""

    order: list[int]
    maps: list[ValueMap]
    affine: Any
    depths: Any = None
    leading: tuple[int, ...] = ()
    dims: tuple[str, ...] = ()
    coords: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def frames_of(row: dict[str, Any], layout: Layout, chosen: Sequence[int] | None = None) -> Frames:
    """Order and geometry of a multi-frame file's frames, or of those that are chosen."""
    if row["multi_frame"]:
        return _enhanced([row], [layout], chosen)
    base = value_map(row, layout.path)
    maps = [base] * layout.frames
    order = list(range(layout.frames))
    if is_flat(row):  # a cine: frames are times
        affine = affine_from_parts(np.array([1.0, 0, 0, 0, 1, 0]), spacing_of(row), np.array([0.0, 0, 1]), np.zeros(3))
        times = frame_times(layout.path, layout.frames)
        return Frames(order, maps, affine, leading=(layout.frames,), dims=("t",), coords={"t": times})
    if row["sop_class_uid"] == NM_IMAGE:
        from ._nuclear import nuclear_frames

        return nuclear_frames(row, layout, maps)
    orientation = row["image_orientation"]
    normal = None if orientation is None else normal_of(orientation)
    offsets = row["grid_frame_offsets"]
    if (
        normal is not None
        and row["image_position"] is not None
        and offsets is not None
        and len(offsets) == layout.frames
    ):
        return _dose_grid(row, order, maps, normal)
    step = abs(row["spacing_between_slices"] or row["thickness"] or 1.0)
    usable = np.array([1.0, 0, 0, 0, 1, 0]) if normal is None else np.asarray(orientation, np.float64)
    axis = np.array([0.0, 0, 1]) if normal is None else normal
    origin = np.zeros(3) if row["image_position"] is None else np.asarray(row["image_position"], np.float64)
    affine = affine_from_parts(usable, spacing_of(row), axis * step, origin)
    finding = Finding("no-geometry", "the frames have no positions", Path(layout.path).name)
    return Frames(order, maps, affine, findings=[finding])


def _dose_grid(row: dict[str, Any], order: list[int], maps: list[ValueMap], normal: Any) -> Frames:
    """RT dose (PS3.3 C.8.8.3.2): offsets along the normal, from 0 or from the first frame's own coordinate."""
    offsets = np.asarray(row["grid_frame_offsets"], np.float64)
    origin = np.asarray(row["image_position"], np.float64)
    offsets = offsets - offsets[0]
    orientation = np.asarray(row["image_orientation"], np.float64)
    names = [f"frame {i + 1}" for i in order]
    found = stack(origin + np.outer(offsets, normal), normal, names)
    affine = affine_from_parts(orientation, spacing_of(row), found.step, origin + normal * offsets[found.order[0]])
    return Frames(found.order, maps, affine, found.depths, findings=found.findings)


def stacks_of(path: str, frames: int) -> list[tuple[int, ...]]:
    """Frames of an enhanced file, apart where they are no one volume: by orientation and pixel spacing, and by stack where
    the stacks of one orientation do not continue each other. One empty tuple where all frames are one volume."""
    try:
        groups = groups_of(path, frames)
    except FormatError:
        return [()]  # the reader says what is wrong
    orientation = np.round(groups.orientation, 3) + 0.0
    parts: dict[Any, list[int]] = {}
    for frame in range(frames):
        key = (*orientation[frame].tolist(), *groups.spacing[frame].tolist())
        parts.setdefault(repr(key), []).append(frame)
    found: list[tuple[int, ...]] = []
    for part in parts.values():
        ids: dict[bytes, list[int]] = {}
        for frame in part:
            ids.setdefault(groups.raw["stacks"][frame], []).append(frame)
        apart = len(ids) > 1 and _broken(groups, part) and not all(_broken(groups, own) for own in ids.values())
        found += [tuple(own) for own in ids.values()] if apart else [tuple(part)]
    return found if len(found) > 1 else [()]


def _broken(groups: Groups, frames: list[int]) -> bool:
    """Whether the positions of some frames leave gaps."""
    normal = normal_of(groups.orientation[frames[0]])
    positions = groups.position[frames]
    if normal is None or not np.isfinite(positions).all():
        return False
    return any(
        f.code in ("missing-slice", "uneven-spacing") for f in stack(positions, normal, [""] * len(frames)).findings
    )


@dataclass
class Groups:
    """Functional groups of each frame, as arrays."""

    raw: dict[str, Any]
    position: Any
    orientation: Any
    spacing: Any
    numbers: dict[str, Any]


def groups_of(path: str, count: int) -> Groups:
    """The functional groups of the first `count` frames."""
    try:
        groups = _native.groups(os.fsencode(path))
    except RuntimeError as error:
        raise FormatError(f"damaged-file: {error}") from error
    if int(groups["frames"]) < count:
        raise FormatError(f"damaged-file: {int(groups['frames'])} functional groups for {count} frames")
    width = len(_native.GROUP_NUMBERS)
    return Groups(
        groups,
        groups["position"].reshape(-1, 3)[:count],
        groups["orientation"].reshape(-1, 6)[:count],
        groups["spacing"].reshape(-1, 2)[:count],
        dict(zip(_native.GROUP_NUMBERS, groups["numbers"].reshape(-1, width)[:count].T, strict=True)),
    )


def frames_of_files(rows: Sequence[dict[str, Any]], layouts: Sequence[Layout]) -> Frames:
    """Order and geometry of all frames of several enhanced files that are one volume: see `_joined`."""
    return _enhanced(rows, layouts, None, whole=concatenation_of(layouts[0].path) is not None)


def concatenation_of(path: str) -> tuple[str, int, int, int] | None:
    """Of a part of a concatenation (PS3.3 C.7.6.16.2.2.4): its UID, the frames before this part, the part's number and
    how many there are (0: not told). None for an object that is whole."""
    uid = element(path, [0x00209161], 128)
    if uid is None or not uid[0].strip(b" \0"):
        return None
    number, total, before = (_whole(element(path, [tag], 8)) for tag in (0x00209162, 0x00209163, 0x00209228))
    return uid[0].decode("ascii", "replace").strip(" \0"), before, number, total


def _whole(found: tuple[bytes, str | None, bool] | None) -> int:
    return 0 if found is None else int.from_bytes(found[0], "big" if found[2] else "little")


def _together(parts: Sequence[Groups]) -> Groups:
    """The groups of several files, frame after frame."""
    if len(parts) == 1:
        return parts[0]
    raw = {name: [value for one in parts for value in one.raw[name]] for name in ("types", "stacks", "dimensions")}
    numbers = {name: np.concatenate([one.numbers[name] for one in parts]) for name in parts[0].numbers}
    position, orientation, spacing = (
        np.concatenate([getattr(one, name) for one in parts]) for name in ("position", "orientation", "spacing")
    )
    return Groups(raw, position, orientation, spacing, numbers)


def _enhanced(
    rows: Sequence[dict[str, Any]], layouts: Sequence[Layout], chosen: Sequence[int] | None, *, whole: bool = True
) -> Frames:
    """`whole`: the files are one object, whose dimension indices order what nothing else does."""
    row, layout = rows[0], layouts[0]
    groups = _together([groups_of(one.path, one.frames) for one in layouts])
    count = sum(one.frames for one in layouts)
    frames = np.array(chosen if chosen else range(count), np.int64)
    if frames.max() >= count:
        raise FormatError("damaged-file: the file has fewer frames than when it was scanned")
    positions, orientations, spacings = groups.position[frames], groups.orientation[frames], groups.spacing[frames]
    numbers = {name: column[frames] for name, column in groups.numbers.items()}
    owner = np.repeat(np.arange(len(layouts)), [one.frames for one in layouts])[frames]
    maps = _maps(numbers, owner, rows, layouts)
    name = Path(layout.path).name
    normal = normal_of(orientations[0])
    if normal is None or not np.isfinite(positions).all() or not np.isfinite(spacings).all():
        affine = affine_from_parts(np.array([1.0, 0, 0, 0, 1, 0]), spacing_of(row), np.array([0.0, 0, 1]), np.zeros(3))
        text = "frames lack positions, orientation or pixel spacing"
        return Frames(frames.tolist(), maps, affine, findings=[Finding("no-geometry", text, name)])
    findings = []
    if np.abs(orientations - orientations[0]).max() > 1e-3 or np.abs(spacings - spacings[0]).max() > 1e-6:
        raise FormatError("mixed-attributes: the file holds several volumes; choose one with dicom.series()")
    thickness = numbers["thickness"][0]
    fallback = row["spacing_between_slices"] or (float(thickness) if np.isfinite(thickness) else None)
    names = _names(layouts)
    names = [names[frame] for frame in frames]
    found = stack(positions, normal, names, fallback=fallback)
    findings += found.findings
    affine = affine_from_parts(
        orientations[0], (float(spacings[0, 0]), float(spacings[0, 1])), found.step, positions[found.order[0]]
    )
    headers = [] if whole else [rows[file] for file in owner]
    order, axes = _leading(found.repeats, groups.raw, numbers, frames, names, headers, findings)
    return Frames(
        [int(frames[i]) for i in order],
        [maps[i] for i in order],
        affine,
        found.depths,
        tuple(len(values) for _, values in axes),
        tuple(axis for axis, _ in axes),
        dict(axes),
        findings,
    )


def _names(layouts: Sequence[Layout]) -> list[str]:
    """What findings call each frame."""
    if len(layouts) == 1:
        return [f"frame {frame + 1}" for frame in range(layouts[0].frames)]
    return [f"frame {frame + 1} of {Path(one.path).name}" for one in layouts for frame in range(one.frames)]


def _maps(
    numbers: dict[str, Any], owner: Any, rows: Sequence[dict[str, Any]], layouts: Sequence[Layout]
) -> list[ValueMap]:
    slopes, intercepts = numbers["slope"], numbers["intercept"]
    if (slopes == 0).any():
        raise FormatError("mixed-attributes: the rescale slope of a frame is zero")
    told = [bool(np.isfinite(slopes[owner == file]).any()) for file in range(len(layouts))]
    own = [None if one else value_map(row, layout.path) for one, row, layout in zip(told, rows, layouts, strict=True)]
    return [
        own[file] or ValueMap(float(s) if np.isfinite(s) else 1.0, float(i) if np.isfinite(i) else 0.0)
        for file, s, i in zip(owner.tolist(), slopes, intercepts, strict=True)
    ]


# (axis, functional group's number), in the order in which they are tried; times in ms or s as their elements say.
_AXES = (
    ("b", "b_value"),
    ("inversion", "inversion_time"),
    ("echo", "echo_time"),
    ("t", "time_offset"),
    ("t", "temporal_index"),
    ("t", "cardiac_phase"),
    ("t", "trigger_delay"),
)


# Of the files that hold the frames, where the functional groups do not tell them apart: acquisitions, from file to file.
_FILE_AXES = (("t", "temporal_position"), ("t", "acquisition_datetime"), ("t", "acquisition_number"))


def _leading(
    repeats: list[list[int]],
    groups: dict[str, Any],
    numbers: dict[str, Any],
    frames: Any,
    names: Sequence[str],
    headers: Sequence[dict[str, Any]],
    findings: list[Finding],
) -> tuple[list[int], list[tuple[str, tuple[Any, ...]]]]:
    """Frames at the same position told apart by type, b-value, echo and time; else by their dimension indices.

    `headers`: the row of each frame's file, where files are objects of their own. Indices mean nothing then.
    """
    types = [groups["types"][frame].decode("ascii", "replace") for frame in frames]
    candidates = [Candidate("type", types)] + [
        Candidate(axis, [None if np.isnan(v) else v for v in numbers[name].tolist()], gaps=True) for axis, name in _AXES
    ]
    candidates += [Candidate(axis, [row[name] for row in headers]) for axis, name in _FILE_AXES if headers]
    tie = [None if headers else (*groups["dimensions"][frame], int(frame)) for frame in frames]
    found = arranged(repeats, candidates, tie)
    if found is not None:
        return found
    text = f"{sum(len(g) - 1 for g in repeats)} frames lie at the position of another, and no element tells them apart"
    findings.append(Finding("duplicate-position", text, names[next(g for g in repeats if len(g) > 1)[1]]))
    return [group[0] for group in repeats], []
