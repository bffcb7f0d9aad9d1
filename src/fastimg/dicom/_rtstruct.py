"""RTSTRUCT: closed planar contours to voxels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from fastimg.findings import Finding
from fastimg.image import Image

from ._masks import Packed, frame_refused

__all__ = ["rasterise", "structures"]

Points = npt.NDArray[np.float64]

CONTOUR_DATA = 0x30060050
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
FAR = 1e7  # mm: no patient is that large; also refuses values that are not numbers
FLAT = 0.05  # slices: how far the points of one contour may leave their common plane
SAME_PLANE = 0.01  # slices: contours closer than this are one plane


def structures(
    dataset: Dataset, like: Image, *, threads: int, findings: list[Finding], where: str
) -> Iterator[tuple[str, Packed]]:
    """Name and mask of each region that has contours, in the file's order."""
    contours = {
        int(c.ReferencedROINumber): c.get("ContourSequence") or [] for c in dataset.get("ROIContourSequence", [])
    }
    whole = _frame_of(dataset)
    for region in dataset.get("StructureSetROISequence", []):
        name = str(region.get("ROIName", "")).strip()
        if frame_refused(str(region.get("ReferencedFrameOfReferenceUID", "") or whole), like, findings, where):
            continue
        closed = _closed(contours.get(int(region.ROINumber), []), name, findings, where)
        if closed is not None:
            yield name, rasterise(closed, like, threads=threads, findings=findings, where=where, name=name)


def _frame_of(dataset: Dataset) -> str:
    frames = [str(r.get("FrameOfReferenceUID", "")) for r in dataset.get("ReferencedFrameOfReferenceSequence", [])]
    return frames[0] if len(frames) == 1 else str(dataset.get("FrameOfReferenceUID", ""))


def _closed(items: Any, name: str, findings: list[Finding], where: str) -> list[Points] | None:
    """The usable contours of one region (n, 3) mm; None when none of its contours could ever enclose anything."""
    kept: list[Points] = []
    seen: set[bytes] = set()
    skipped: dict[str, int] = {}
    repeated = 0
    for item in items:
        kind = str(item.get("ContourGeometricType", "")).strip().upper()
        points = _points(item) if kind in CLOSED else None
        if points is None:
            reason = kind if kind not in CLOSED and kind else "malformed"
            skipped[reason] = skipped.get(reason, 0) + 1
            continue
        key = _canonical(points)
        if key in seen:
            repeated += 1
            continue
        seen.add(key)
        kept.append(points)
    if skipped:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
        findings.append(
            Finding("mask-contour-skipped", f"not closed and planar: {told}", where, {"mask": name, **skipped})
        )
    if repeated:
        details = {"mask": name, "count": repeated}
        findings.append(Finding("mask-contour-duplicate", f"{repeated} contours stand twice", where, details))
    return None if skipped and not kept else kept


def _points(item: Dataset) -> Points | None:
    """(n, 3) mm without a repeated last point; None when the data are no polygon.

    Reads the raw text where it can: pydicom would make an object of every number.
    """
    if CONTOUR_DATA not in item:
        return None
    raw: Any = item.get_item(CONTOUR_DATA)
    try:
        if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
            values = np.array(raw.value.rstrip(b" \0").split(b"\\"), dtype=np.float64)
        else:
            values = np.array([float(v) for v in item.ContourData or []], np.float64)
    except ValueError:
        return None
    if values.size % 3 or not (np.abs(values) < FAR).all():
        return None
    points = values.reshape(-1, 3)
    if len(points) > 1 and (points[0] == points[-1]).all():
        points = points[:-1]
    return points if len(points) >= 3 else None


def _canonical(points: Points) -> bytes:
    """The same bytes for the same polygon, wherever it starts and whichever way it runs."""
    start = int(np.lexsort(points.T)[0])
    forward = np.roll(points, -start, axis=0)
    backward = np.roll(points[::-1], start + 1, axis=0)
    return min(forward.tobytes(), backward.tobytes())


def rasterise(
    contours: list[Points], like: Image, *, threads: int, findings: list[Finding], where: str = "", name: str = ""
) -> Packed:
    """Contours (n, 3) in mm to the voxels of `like` whose centres they enclose."""
    from . import _native

    slices, rows, columns = like.shape[-3:]
    inverse = np.linalg.inv(like.affine)
    planes: list[tuple[float, Points]] = []  # (slice coordinate, (n, 2) row and column)
    tilted = 0
    for contour in contours:
        index = contour @ inverse[:3, :3].T + inverse[:3, 3]
        level = float(index[:, 0].mean())
        if np.abs(index[:, 0] - level).max() > FLAT:
            tilted += 1
        else:
            planes.append((level, index[:, 1:]))
    chosen, outside, crowded = _assign(planes, slices)
    for count, reason in ((tilted, "not parallel to the slices"), (outside, "beyond the first or last slice"),
                          (crowded, "another plane of contours is nearer to its slice")):  # fmt: skip
        if count:
            details = {"mask": name, "count": count}
            findings.append(Finding("mask-contour-off-plane", f"{count} left out: {reason}", where, details))
    if not chosen:
        return Packed((slice(0, 0),) * 3, np.empty(0, np.uint8))
    # One plane a slice between the first and the last that has contours; those between may have none.
    levels = sorted(chosen)
    flat = [points for k in range(levels[0], levels[-1] + 1) for points in chosen.get(k, [])]
    counts = [len(chosen.get(k, [])) for k in range(levels[0], levels[-1] + 1)]
    # Cells of the bounding box only: a lesion is small in its image.
    every = np.concatenate(flat)
    low = np.clip(np.floor(every.min(axis=0)), 0, (rows, columns)).astype(int)
    high = np.clip(np.ceil(every.max(axis=0)) + 1, 0, (rows, columns)).astype(int)
    size = np.maximum(high - low, 0)
    mask = _native.fill_polygons(
        np.ascontiguousarray(every - low),
        np.concatenate([[0], np.cumsum([len(p) for p in flat])]).astype(np.int64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        int(size[0]),
        int(size[1]),
        threads,
    )
    return Packed.of(mask, (levels[0], int(low[0]), int(low[1])))


def _assign(planes: list[tuple[float, Points]], slices: int) -> tuple[dict[int, list[Points]], int, int]:
    """Contours of each slice; how many lie outside the stack, and how many gave way to a nearer plane."""
    best: dict[int, float] = {}
    outside = 0
    inside: list[tuple[int, float, Points]] = []
    for level, points in planes:
        k = int(np.floor(level + 0.5)) if abs(level) < 2**31 else -1
        if level == slices - 0.5:
            k = slices - 1  # half a slice above the last plane still belongs to it
        if not 0 <= k < slices:
            outside += 1
            continue
        inside.append((k, level, points))
        if k not in best or abs(level - k) < abs(best[k] - k):
            best[k] = level
    chosen: dict[int, list[Points]] = {}
    for k, level, points in inside:
        if abs(level - best[k]) <= SAME_PLANE:
            chosen.setdefault(k, []).append(points)
    return chosen, outside, len(inside) - sum(map(len, chosen.values()))
