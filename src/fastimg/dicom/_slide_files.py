"""Instances of a whole-slide image (PS3.3 A.32.8, C.8.12): what each holds, and which frame shows which tile."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import InvalidDicomError

from ..errors import FormatError
from ._element import element
from ._layout import Layout, layout_of
from ._multiframe import groups_of
from ._quiet import CORRUPT, quiet

__all__ = ["WHOLE_SLIDE", "Instance", "instance_of"]

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
MOST_FRAMES = 1 << 24

_COLUMNS, _ROWS, _PLANES = 0x00480006, 0x00480007, 0x00480303
_PATHS, _PATH_SEQUENCE, _PATH_ID = 0x00480302, 0x00480105, 0x00480106
_ORGANIZATION, _CONCATENATION, _OFFSET = 0x00209311, 0x00209161, 0x00209228
_ORIGIN, _X, _Y = 0x00480008, 0x0040072A, 0x0040073A
_ORIENTATION, _FOCUS, _PYRAMID = 0x00480102, 0x00480013, 0x00080019


@dataclass
class Instance:
    """One file of a level.

    Attributes
    ----------
    size : (int, int)
        Rows and columns of the whole matrix.
    paths : list of str
        Optical paths' identifiers, in the file's order; one "" where it does not say.
    planes : int
        Focal planes.
    first : int
        Number of the first frame within its concatenation.
    where : array (frames, 4) or None
        Of a sparse file for each frame (path, plane, row, column), the last two from 0; None: tiled full.
    """

    layout: Layout
    row: dict[str, Any]
    size: tuple[int, int]
    paths: list[str]
    planes: int
    flavour: str
    spacing: tuple[float, float]
    origin: tuple[float, float]
    orientation: tuple[float, ...]
    concatenation: str
    first: int
    full: bool
    where: npt.NDArray[np.int64] | None = None
    depths: tuple[float, ...] = ()  # z offsets of the planes of a sparse file, micrometres
    spans: dict[str, Any] = field(default_factory=dict)  # fragments, once they were asked for

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.layout.rows, self.layout.columns


def instance_of(row: dict[str, Any], path: str) -> Instance:
    """Read what places the tiles of one file."""
    layout = layout_of(row, path)
    name = os.path.basename(path)
    size = _whole(path, _ROWS) or layout.rows, _whole(path, _COLUMNS) or layout.columns
    words = [word.strip() for word in (row["image_type"] or "").upper().split("\\")]
    full = _text(path, [_ORGANIZATION]).upper() == "TILED_FULL"
    paths = [_text(path, [_PATH_SEQUENCE, _PATH_ID])]
    count, planes = max(_whole(path, _PATHS), 1), max(_whole(path, _PLANES), 1)
    single = layout.frames == 1 and size[0] <= layout.rows and size[1] <= layout.columns
    where: npt.NDArray[np.int64] | None = None
    depths: tuple[float, ...] = ()
    if not full and not single:
        where, paths, depths = _sparse(path, layout.frames, name)
        planes = max(len(depths), 1)
    elif count > 1:
        paths = _path_ids(path, count)
    tiles = -(-size[0] // layout.rows) * -(-size[1] // layout.columns) * len(paths) * planes
    if not 0 < tiles <= MOST_FRAMES:
        raise FormatError(f"mixed-attributes: {name} would have {tiles} tiles")
    spacing = row["pixel_spacing"] or (1.0, 1.0)
    orientation = _numbers(path, [_ORIENTATION])
    return Instance(
        layout=layout,
        row=row,
        size=size,
        paths=paths,
        planes=planes,
        flavour=words[2] if len(words) > 2 else "VOLUME",
        spacing=(float(spacing[0]), float(spacing[1])),
        origin=(_first(path, [_ORIGIN, _X]), _first(path, [_ORIGIN, _Y])),
        orientation=orientation if len(orientation) == 6 else (0.0, -1.0, 0.0, -1.0, 0.0, 0.0),
        concatenation=_text(path, [_CONCATENATION]),
        first=_whole(path, _OFFSET),
        full=full or single,
        where=where,
        depths=depths,
    )


def _raw(path: str, tags: list[int], limit: int = 1024) -> tuple[bytes, bool]:
    found = element(path, tags, limit)
    return (b"", False) if found is None else (bytes(found[0]), bool(found[2]))


def _text(path: str, tags: list[int]) -> str:
    return _raw(path, tags)[0].decode("ascii", "replace").strip(" \0")


def _whole(path: str, tag: int) -> int:
    data, big = _raw(path, [tag], 8)
    return int.from_bytes(data, "big" if big else "little") if len(data) in (2, 4) else 0


def _numbers(path: str, tags: list[int]) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in _text(path, tags).split("\\") if part)
    except ValueError:
        return ()


def _first(path: str, tags: list[int]) -> float:
    found = _numbers(path, tags)
    return found[0] if found and np.isfinite(found[0]) else 0.0


def _dataset(path: str, tags: list[int]) -> Any:
    try:
        with quiet():
            return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except (InvalidDicomError, *CORRUPT) as error:
        name = type(error).__name__
        raise FormatError(f"damaged-file: {os.path.basename(path)} cannot be read ({name})") from None


def _path_ids(path: str, count: int) -> list[str]:
    items = _dataset(path, [_PATH_SEQUENCE]).get("OpticalPathSequence") or []
    found = [str(item.get("OpticalPathIdentifier", "")) for item in items]
    return found if len(found) == count else [str(number) for number in range(count)]


def _sparse(path: str, frames: int, name: str) -> tuple[npt.NDArray[np.int64], list[str], tuple[float, ...]]:
    """Places of the frames of a TILED_SPARSE file, from its functional groups."""
    groups = groups_of(path, frames)
    numbers = groups.numbers
    placed = np.isfinite(numbers["slide_row"]) & np.isfinite(numbers["slide_column"])
    if not placed.all():
        raise FormatError(f"no-geometry: {name} does not say where frame {int(np.argmin(placed)) + 1} lies")
    depths = np.nan_to_num(numbers["slide_depth"])
    levels, plane = np.unique(depths, return_inverse=True)
    names = groups.raw["types"][:frames]
    paths = {one: number for number, one in enumerate(dict.fromkeys(names))}
    places = np.empty((frames, 4), np.int64)
    places[:, 0] = [paths[one] for one in names]
    places[:, 1] = plane
    places[:, 2] = numbers["slide_row"] - 1
    places[:, 3] = numbers["slide_column"] - 1
    return places, [one.decode("ascii", "replace") for one in paths], tuple(levels.tolist())
