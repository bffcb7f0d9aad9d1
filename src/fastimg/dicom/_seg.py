"""DICOM-SEG: binary, fractional and label-map frames, each with its own geometry, to voxels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from fastimg import config
from fastimg.errors import FormatError
from fastimg.findings import Finding
from fastimg.image import Image

from ._masks import Packed, frame_refused
from ._pixels import pixels

__all__ = ["segments"]

ON_GRID = 0.02  # voxels: how far a frame may lie off the image's grid and still be taken as on it


def segments(
    dataset: Dataset, like: Image, path: Path | None, *, threshold: float, threads: int | None, findings: list[Finding]
) -> Iterator[tuple[str, Packed]]:
    """Label and mask of each segment, in the file's order; pixels come from the file where there is one."""
    where = path.name if path else ""
    if frame_refused(str(dataset.get("FrameOfReferenceUID", "")), like, findings, where):
        return
    frames = _frames(dataset, path, threads)
    affines, numbers = _geometry(dataset, len(frames), where)
    kind = str(dataset.get("SegmentationType", "BINARY")).upper()
    least = 1
    if kind == "FRACTIONAL":
        least = max(1, int(np.ceil(threshold * int(dataset.get("MaximumFractionalValue", 255)))))
    outside = resampled = 0
    for segment in dataset.get("SegmentSequence", []):
        number = int(segment.SegmentNumber)
        if kind == "LABELMAP":
            own = [(affine, frame == number) for affine, frame in zip(affines, frames, strict=True)]
        else:
            own = [(a, f >= least) for a, f, n in zip(affines, frames, numbers, strict=True) if n == number]
        target = np.zeros(like.shape[-3:], np.uint8)
        lost, moved = _place(own, like, target)
        outside += lost
        resampled += moved
        yield str(segment.get("SegmentLabel", "")).strip(), Packed.of(target)
    if outside:
        findings.append(Finding("mask-outside", f"{outside} frames lie outside", where, {"count": outside}))
    if resampled:
        findings.append(
            Finding("mask-resampled", f"{resampled} frames lie on another grid", where, {"count": resampled})
        )


def _frames(dataset: Dataset, path: Path | None, threads: int | None) -> npt.NDArray[Any]:
    """(frames, rows, columns) of stored values."""
    where = path.name if path else "the segmentation"
    rows, columns = int(dataset.get("Rows", 0)), int(dataset.get("Columns", 0))
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    if rows < 1 or columns < 1 or count < 1 or rows * columns * count > config.memory_limit():
        raise FormatError(f"read_masks: {where} has {count} frames of {rows} x {columns}")
    try:
        stored = dataset.pixel_array if path is None else pixels(path, threads=threads)
        return np.asarray(stored).reshape(count, rows, columns)
    except (FormatError, ValueError, AttributeError, RuntimeError, NotImplementedError, KeyError) as error:
        name = type(error).__name__
        raise FormatError(f"read_masks: the pixels of {where} cannot be decoded ({name})") from None


def _geometry(dataset: Dataset, count: int, where: str) -> tuple[list[npt.NDArray[np.float64]], list[int]]:
    """For each frame the map from (0, row, column) to LPS mm, its first axis one step along the normal; its segment."""
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(groups) != count:
        raise FormatError(f"read_masks: {where or 'the segmentation'} describes {len(groups)} of its {count} frames")

    def find(group: Dataset, sequence: str, keyword: str) -> Any:
        for level in (group, shared):
            items = level.get(sequence)
            if items and keyword in items[0]:
                return items[0][keyword].value
        return None

    affines, numbers = [], []
    for group in groups:
        position = find(group, "PlanePositionSequence", "ImagePositionPatient")
        cosines = find(group, "PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = find(group, "PixelMeasuresSequence", "PixelSpacing")
        if position is None or cosines is None or spacing is None:
            raise FormatError(f"read_masks: {where or 'the segmentation'} has a frame without position")
        step = find(group, "PixelMeasuresSequence", "SpacingBetweenSlices")
        step = step or find(group, "PixelMeasuresSequence", "SliceThickness") or 1.0
        along_row, along_column = np.array(cosines[:3], float), np.array(cosines[3:], float)
        affine = np.eye(4)
        affine[:3, 0] = np.cross(along_row, along_column) * abs(float(step))
        affine[:3, 1] = along_column * float(spacing[0])
        affine[:3, 2] = along_row * float(spacing[1])
        affine[:3, 3] = np.array(position, float)
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-12:
            raise FormatError(f"read_masks: {where or 'the segmentation'} has a frame with an impossible position")
        affines.append(affine)
        numbers.append(int(find(group, "SegmentIdentificationSequence", "ReferencedSegmentNumber") or 0))
    return affines, numbers


def _place(
    frames: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]], like: Image, target: npt.NDArray[np.uint8]
) -> tuple[int, int]:
    """Set the voxels of `target` that the frames cover; how many frames lay outside, and how many on another grid."""
    inverse = np.linalg.inv(like.affine)
    outside = 0
    others = []
    for affine, frame in frames:
        if not frame.any():
            continue
        placed = _on_grid(inverse @ affine, frame, target)
        if placed is None:
            others.append((affine, frame))
        else:
            outside += not placed
    for affine, frame in others:
        outside += not _sample(affine, frame, like, target)
    return outside, len(others)


def _on_grid(step: npt.NDArray[np.float64], frame: npt.NDArray[np.bool_], target: npt.NDArray[np.uint8]) -> bool | None:
    """Place a frame whose pixels are voxels of the image; None if they are not, False if it lies outside.

    `step` maps (0, row, column) of the frame to (k, j, i) of the image.
    """
    axes = np.rint(step[:3, 1:3]).astype(int)
    corner = np.rint(step[:3, 3]).astype(int)
    ends = np.array([[0, 0, 1], [frame.shape[0] - 1, 0, 1], [0, frame.shape[1] - 1, 1]], float)
    exact = ends @ step[:3, 1:4].T
    if np.abs(exact - ends @ np.column_stack([axes, corner]).T).max() > ON_GRID:
        return None
    if np.abs(axes).sum(axis=0).tolist() != [1, 1] or (np.abs(axes).sum(axis=1) > 1).any():
        return None
    rows, columns = np.nonzero(frame)
    index = corner + rows[:, None] * axes[:, 0] + columns[:, None] * axes[:, 1]
    index = index[((index >= 0) & (index < target.shape)).all(axis=1)]
    target[tuple(index.T)] = 1
    return bool(len(index))


def _sample(
    affine: npt.NDArray[np.float64], frame: npt.NDArray[np.bool_], like: Image, target: npt.NDArray[np.uint8]
) -> bool:
    """Set the voxels of the image whose centre lies in the slab of a frame, on a pixel that is set."""
    rows, columns = np.nonzero(frame)
    low = np.array([-0.5, rows.min() - 0.5, columns.min() - 0.5])
    high = np.array([0.5, rows.max() + 0.5, columns.max() + 0.5])
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1)
    world = affine[:3, :3] @ corners + affine[:3, 3:]
    inverse = np.linalg.inv(like.affine)
    index = inverse[:3, :3] @ world + inverse[:3, 3:]
    first = np.clip(np.ceil(index.min(axis=1) - 1e-9), 0, target.shape).astype(int)
    stop = np.clip(np.floor(index.max(axis=1) + 1e-9) + 1, 0, target.shape).astype(int)
    if (first >= stop).any():
        return False
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(first, stop, strict=True)), indexing="ij"), axis=-1)
    back = np.linalg.inv(affine) @ like.affine
    at = grid @ back[:3, :3].T + back[:3, 3]
    # Half-open, so that of two frames that touch one has the voxel between them.
    inside = (at[..., 0] >= -0.5) & (at[..., 0] < 0.5)
    pixel = np.floor(at[..., 1:] + 0.5).astype(int)
    inside &= ((pixel >= 0) & (pixel < frame.shape)).all(axis=-1)
    hit = np.zeros(inside.shape, bool)
    hit[inside] = frame[pixel[inside][:, 0], pixel[inside][:, 1]]
    target[first[0] : stop[0], first[1] : stop[1], first[2] : stop[2]] |= hit.astype(np.uint8)
    return bool(hit.any())
