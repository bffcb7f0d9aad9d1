"""Reconstructed nuclear medicine (NM Image, PS3.3 C.8.4): slices placed by the detector module, told apart by vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from ..findings import Finding
from ._axes import Candidate, arranged
from ._geometry import affine_from_parts, normal_of, spacing_of, stack
from ._layout import Layout
from ._multiframe import Frames
from ._quiet import CORRUPT, quiet
from ._units import ValueMap

__all__ = ["nuclear_frames"]

# Axis and vector, one number a frame (C.8.4.8.1): energy window, detector, phase, R-R interval, time slot, time slice.
_AXES = (
    ("energy", 0x00540010),
    ("detector", 0x00540020),
    ("phase", 0x00540030),
    ("interval", 0x00540060),
    ("t", 0x00540070),
    ("t", 0x00540100),
)
_SLICES, _DETECTORS, _BETWEEN, _POINTER = 0x00540080, 0x00540022, 0x00180088, 0x00280009


def nuclear_frames(row: dict[str, Any], layout: Layout, maps: list[ValueMap]) -> Frames:
    """Frames of a reconstruction as volumes; other NM images (planar, dynamic, raw projections) have no place.

    Orientation and position of slice 1 are those of the detector's item (C.8.4.11). Slice k lies (k - 1) times Spacing
    Between Slices along row x column: the sign of the spacing is the direction of stacking (C.8.4.15).
    """
    name = Path(layout.path).name
    try:
        with quiet():
            tags = [_SLICES, _DETECTORS, _BETWEEN, _POINTER, *(tag for _, tag in _AXES)]
            dataset = pydicom.dcmread(layout.path, stop_before_pixels=True, specific_tags=tags)
            found = _placed(dataset, row, layout, maps, name)
    except (InvalidDicomError, *CORRUPT):
        found = "the detector module cannot be read"
    if isinstance(found, Frames):
        return found
    step = abs(row["spacing_between_slices"] or row["thickness"] or 1.0)
    affine = affine_from_parts(np.array([1.0, 0, 0, 0, 1, 0]), spacing_of(row), np.array([0.0, 0, step]), np.zeros(3))
    return Frames(list(range(layout.frames)), maps, affine, findings=[Finding("no-geometry", found, name)])


def _placed(dataset: Any, row: dict[str, Any], layout: Layout, maps: list[ValueMap], name: str) -> Frames | str:
    """The volume, or why there is none."""
    count = layout.frames
    pointer = dataset.get(_POINTER)
    named = set() if pointer is None or pointer.value is None else _listed(pointer.value)
    slices = _vector(dataset, _SLICES, count)
    if slices is None or _SLICES not in named:
        return "the frames are no slices of a reconstruction"
    detectors = list(dataset[_DETECTORS].value) if _DETECTORS in dataset else []
    places = {
        (tuple(map(float, one.ImageOrientationPatient)), tuple(map(float, one.ImagePositionPatient)))
        for one in detectors
        if one.get("ImageOrientationPatient") and one.get("ImagePositionPatient")
    }
    if len(places) != 1:
        return (
            f"{len(places)} places of the first slice in the detector module" if places else "the slices have no place"
        )
    orientation, origin = (np.array(value) for value in places.pop())
    normal = normal_of(orientation)
    step = row["spacing_between_slices"]
    if normal is None or origin.shape != (3,) or not np.isfinite(origin).all():
        return "orientation or position of the detector module make no place"
    if row["pixel_spacing"] is None or not step or not np.isfinite(step):
        return "no pixel spacing, or no spacing between slices"
    positions = origin + np.outer((slices - 1) * step, normal)
    names = [f"frame {frame + 1}" for frame in range(count)]
    stacked = stack(positions, normal, names, fallback=abs(step))
    vectors = [(axis, _vector(dataset, tag, count)) for axis, tag in _AXES if tag in named]
    candidates = [Candidate(axis, values.tolist()) for axis, values in vectors if values is not None]
    arrangement = arranged(stacked.repeats, candidates, [None] * count)
    findings = stacked.findings
    if arrangement is None:
        extra = next(group for group in stacked.repeats if len(group) > 1)[1]
        text = "frames lie at the position of another, and no vector tells them apart"
        findings = [*findings, Finding("duplicate-position", text, names[extra])]
        arrangement = [group[0] for group in stacked.repeats], []
    order, axes = arrangement
    affine = affine_from_parts(orientation, spacing_of(row), stacked.step, positions[stacked.order[0]])
    return Frames(
        order,
        [maps[i] for i in order],
        affine,
        stacked.depths,
        tuple(len(values) for _, values in axes),
        tuple(axis for axis, _ in axes),
        dict(axes),
        findings,
    )


def _listed(value: Any) -> set[int]:
    return {int(tag) for tag in (value if isinstance(value, list | pydicom.multival.MultiValue) else [value])}


def _vector(dataset: Any, tag: int, count: int) -> Any:
    """One number a frame, from 1; None where there are not that many."""
    if tag not in dataset or dataset[tag].value is None:
        return None
    values = np.atleast_1d(np.asarray(dataset[tag].value, np.int64))
    return values if len(values) == count and (values >= 1).all() else None
