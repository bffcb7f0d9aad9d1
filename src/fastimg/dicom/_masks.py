"""Masks of DICOM-SEG and RTSTRUCT on the grid of an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from fastimg import _arrays
from fastimg.errors import ArgumentError, FastimgError, FormatError
from fastimg.findings import Finding
from fastimg.image import Image

from ._quiet import CORRUPT, quiet, value_of

__all__ = ["Masks", "read_masks"]

SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
STRUCTURES = ("1.2.840.10008.5.1.4.1.1.481.3",)


@dataclass(frozen=True)
class Packed:
    """A mask kept as one bit a voxel of its bounding box."""

    box: tuple[slice, slice, slice]
    bits: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, mask: npt.NDArray[np.uint8], corner: tuple[int, int, int] = (0, 0, 0)) -> Packed:
        """Pack a (z, y, x) array whose first voxel is `corner` of the whole grid."""
        box = tuple(_extent(mask, axis) for axis in range(3))
        bits = np.packbits(mask[box].ravel() != 0)
        shifted = (slice(b.start + c, b.stop + c) for b, c in zip(box, corner, strict=True))
        return cls(tuple(shifted), bits)  # type: ignore[arg-type]

    @property
    def empty(self) -> bool:
        """Whether no voxel is set."""
        return self.bits.size == 0

    def expand(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """The whole (z, y, x) array of 0 and 1."""
        out = np.zeros(shape, np.uint8)
        target = out[self.box]
        target[...] = np.unpackbits(self.bits, count=target.size).reshape(target.shape)
        return out


def _extent(mask: npt.NDArray[np.uint8], axis: int) -> slice:
    others = tuple(a for a in range(3) if a != axis)
    found = np.flatnonzero(mask.any(axis=others))
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0)


class Masks(Mapping[str, Image]):
    """Named masks: name -> Image (uint8, 0 and 1) on one grid.

    Kept as bits; a look-up makes a new full array. `findings` tells what was skipped, moved or refused.
    """

    def __init__(self, like: Image, packed: dict[str, Packed], findings: list[Finding]) -> None:
        self._like = like
        self._packed = packed
        self.findings = findings

    def __getitem__(self, name: str) -> Image:
        array = self._packed[name].expand(self._like.shape[-3:])
        return Image(array, self._like.affine, unit="label", metadata={"mask": name})

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __repr__(self) -> str:
        return f"<Masks: {len(self)} on {'x'.join(map(str, self._like.shape[-3:]))}, {len(self.findings)} findings>"


def read_masks(source: Any, *, like: Image, threshold: float = 0.5, threads: int | None = None) -> Masks:
    """Read DICOM-SEG and RTSTRUCT masks onto the grid of an image.

    Parameters
    ----------
    source : Series, path, folder, pydicom Dataset, or a sequence of them
        Objects that are no masks raise a FormatError.
    like : Image
        The grid. Where its metadata holds "frame_of_reference_uid", masks in another frame are refused: left out, with
        the finding "mask-frame-of-reference".
    threshold : float
        Of a fractional segmentation, the smallest share (of its largest possible value) that counts as inside.
    threads : int, optional

    Returns
    -------
    Masks
        A mapping from name to Image (uint8), with `.findings`. Names that stand twice get " #2", " #3" ...

    Raises
    ------
    FormatError
        Not a mask object, or one that cannot be read.
    ArgumentError
        `like` is no Image, or `threshold` not above 0 and at most 1.

    Notes
    -----
    RTSTRUCT: a voxel is inside when its centre is (even-odd rule over all contours of a plane; a point on an edge belongs
    to the side of larger index). Contours go to the slice whose centre plane is nearest, at most half a slice away;
    where several planes of contours fall to one slice, the nearest is taken. Nothing is interpolated between slices.
    DICOM-SEG: frames on the image's own grid are placed as they are (turned or flipped where needed); on another grid the
    nearest segmentation voxel is taken, which is told by a finding.
    """
    if not isinstance(like, Image):
        raise ArgumentError(f"read_masks: like must be an Image, got {type(like).__name__}")
    if not 0 < threshold <= 1:
        raise ArgumentError(f"read_masks: threshold must be above 0 and at most 1, got {threshold!r}")
    count = _arrays.thread_count(threads)
    packed: dict[str, Packed] = {}
    findings: list[Finding] = []
    for dataset, path in _datasets(source):
        where = path.name if path else ""
        with quiet():
            kind = str(value_of(dataset, "SOPClassUID") or "")
        if kind in SEGMENTATION:
            from ._seg import segments

            found = segments(dataset, like, path, threshold=threshold, threads=threads, findings=findings)
        elif kind in STRUCTURES:
            from ._rtstruct import structures

            found = structures(dataset, like, threads=count, findings=findings, where=where)
        else:
            raise FormatError(f"read_masks: {where or 'the dataset'} is neither DICOM-SEG nor RTSTRUCT")
        try:
            with quiet():
                read = list(found)
        except FastimgError:
            raise
        except CORRUPT as error:  # its message would quote the file
            name = type(error).__name__
            raise FormatError(f"read_masks: {where or 'the mask object'} is damaged ({name})") from None
        for name, mask in read:
            name = _unused(name, packed)
            if mask.empty:
                findings.append(
                    Finding("mask-empty", "no voxel centre of the image lies inside", where, {"mask": name})
                )
            packed[name] = mask
    return Masks(like, packed, findings)


def frame_refused(frame: str, like: Image, findings: list[Finding], where: str) -> bool:
    """Whether the mask's frame of reference is another than the image's; told as a finding."""
    wanted = str(like.metadata.get("frame_of_reference_uid") or "")
    if not frame or not wanted or frame == wanted:
        return False
    findings.append(Finding("mask-frame-of-reference", "the mask was left out", where))
    return True


def _unused(name: str, taken: dict[str, Packed]) -> str:
    name = name or "unnamed"
    if name not in taken:
        return name
    return next(f"{name} #{n}" for n in range(2, len(taken) + 3) if f"{name} #{n}" not in taken)


def _datasets(source: Any) -> Iterator[tuple[Dataset, Path | None]]:
    """Each object, and its file where it has one; the pixels of files are read later."""
    if isinstance(source, Dataset):
        yield source, None
    elif isinstance(source, str | Path):
        path = Path(source)
        paths = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in paths:
            try:
                with quiet():
                    dataset = pydicom.dcmread(file, stop_before_pixels=True)
            except (InvalidDicomError, *CORRUPT) as error:
                raise FormatError(f"read_masks: {file.name} cannot be read as DICOM ({type(error).__name__})") from None
            yield dataset, file
    elif hasattr(source, "files"):
        for file in source.files:
            yield from _datasets(file)
    elif isinstance(source, Iterable):
        for part in source:
            yield from _datasets(part)
    else:
        raise ArgumentError(f"read_masks: expected a series, path or Dataset, got {type(source).__name__}")
