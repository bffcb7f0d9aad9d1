"""How a file's pixels are stored, and the plan that decodes them natively."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from ..errors import FormatError
from . import _native

__all__ = ["Layout", "layout_of", "layouts_of"]

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
RLE = "1.2.840.10008.1.2.5"
LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_PLAIN, _BITS, _RLE, _YBR422, _LOSSLESS = range(5)


class Layout(NamedTuple):
    """Pixel format of one file, checked.

    Attributes
    ----------
    path, offset, length
        The file, where its pixel data are and their bytes (-1: in fragments); all else is the same for alike files.
    dtype : numpy.dtype
        Of a stored sample, in this machine's byte order.
    left, right : int
        Bit shifts that leave the stored bits (see kernels/fastimg/rescale.cuh).
    limits : (int, int) or None
        Smallest and largest value that the stored bits can hold; None for floating point.
    """

    path: str
    offset: int
    length: int
    syntax: str
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: bool
    dtype: np.dtype[Any]
    bits_allocated: int
    bits_stored: int
    left: int
    right: int
    signed: bool
    big: bool
    words: bool
    deflated: bool

    @property
    def native(self) -> bool:
        """Whether this library decodes the pixels in one pass, without a codec."""
        return not self.encapsulated or self.syntax == RLE

    @property
    def lossless_jpeg(self) -> bool:
        """Whether the native decoder of lossless JPEG may take the frames; a codec takes those that it refuses."""
        return self.encapsulated and self.syntax in LOSSLESS and self.bits_allocated in (8, 16)

    @property
    def encapsulated(self) -> bool:
        """Whether the pixels are in fragments."""
        return self.length < 0

    @property
    def limits(self) -> tuple[int, int] | None:
        """What the stored bits can hold."""
        if self.dtype.kind == "f":
            return None
        bits = self.bits_stored
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if self.signed else (0, (1 << bits) - 1)

    def like(self, other: Layout) -> bool:
        """Whether all but the place is the same."""
        return self[3:] == other[3:] and self.encapsulated == other.encapsulated

    def add(
        self,
        plan: Any,
        *,
        index: int,
        slice: int,
        slope: float = 1.0,
        intercept: float = 0.0,
        spans: list[tuple[int, int]] | None = None,
        shifts: tuple[int, int] | None = None,
        frames: int = 1,
    ) -> None:
        """Put `frames` frames from `index` into a native plan; they go to `slice` and after it."""
        packing = _PLAIN
        if self.encapsulated:
            packing = _LOSSLESS if self.syntax in LOSSLESS else _RLE
        elif self.bits_allocated == 1:
            packing = _BITS
        elif self.photometric == "YBR_FULL_422" and self.samples == 3 and self.dtype.itemsize == 1:
            packing = _YBR422
        left, right = shifts or (self.left, self.right)
        if packing == _LOSSLESS:  # the codestream has the stored bits in its lowest ones
            left = right = self.bits_allocated - self.bits_stored
        plan.add(
            path=os.fsencode(self.path),
            pixels=self.rows * self.columns * frames,
            columns=self.columns,
            samples=self.samples,
            dtype=self.dtype,
            packing=packing,
            planar=self.planar and self.samples > 1 and packing == _PLAIN,
            swap=self.big and not self.encapsulated,
            swap_pairs=self.big and self.words and self.dtype.itemsize == 1 and not self.encapsulated,
            index=index,
            offset=self.offset,
            length=max(self.length, 0),
            deflated_at=self._deflated_at(),
            spans=spans or [],
            left=left,
            right=right,
            slope=slope,
            intercept=intercept,
            slice=slice,
        )

    @staticmethod
    def add_more(
        plan: Any, layouts: Sequence[Layout], slopes: Sequence[float], intercepts: Sequence[float], slice: int
    ) -> None:
        """Put files of one frame each behind the last frame that was put, whose layout is like theirs."""
        plan.more(
            paths=[os.fsencode(one.path) for one in layouts],
            offsets=[one.offset for one in layouts],
            lengths=[max(one.length, 0) for one in layouts],
            slopes=slopes,
            intercepts=intercepts,
            slice=slice,
        )

    def _deflated_at(self) -> int:
        return int(_native.data_set_offset(os.fsencode(self.path))) if self.deflated else 0

    def spans(self) -> list[list[tuple[int, int]]]:
        """The fragments of each frame of encapsulated pixels, as (offset, length) in the file."""
        extended = [_native.value(os.fsencode(self.path), [tag], 1 << 30) for tag in (0x7FE00001, 0x7FE00002)]
        offsets, lengths = (
            [] if found is None else np.frombuffer(found[0][: len(found[0]) // 8 * 8], "<u8").tolist()
            for found in extended
        )
        try:
            spans = _native.spans(os.fsencode(self.path), self.offset, self.big, self.frames, offsets, lengths)
        except RuntimeError as error:
            raise FormatError(f"decode-failed: {error}") from error
        return [list(frame) for frame in spans]


# The elements of which a layout is made, its place left out.
_DESCRIBED = itemgetter(
    "status", "transfer_syntax", "rows", "columns", "frames", "samples", "photometric", "planar_configuration",
    "bits_allocated", "bits_stored", "high_bit", "pixel_representation", "pixel_element", "pixel_words", "big_endian",
    "deflated",
)  # fmt: skip


def layouts_of(rows: Iterable[dict[str, Any]], paths: Iterable[str]) -> list[Layout]:
    """The layouts of scanned files: see `layout_of`."""
    layouts: list[Layout] = []
    last: Any = None
    for row, path in zip(rows, paths, strict=True):
        described = _DESCRIBED(row)
        offset, length = row["pixel_offset"], row["pixel_length"]
        if described == last and offset is not None and offset >= 0:
            layouts.append(layouts[-1]._replace(path=path, offset=offset, length=length))
        else:
            layouts.append(layout_of(row, path))
            last = described
    return layouts


def layout_of(row: dict[str, Any], path: str) -> Layout:
    """The layout of a scanned file.

    Raises
    ------
    FormatError
        Pixels are absent, or their description makes no sense.
    """
    if row["status"] == "damaged":
        raise FormatError(f"damaged-file: {row['detail']}")
    if row["pixel_offset"] is None or row["pixel_offset"] < 0:
        raise FormatError("not-image: the file holds no pixel data")
    allocated, samples = row["bits_allocated"] or 0, row["samples"] or 1
    stored = row["bits_stored"] or allocated
    high = row["high_bit"] if row["high_bit"] is not None else stored - 1
    signed = row["pixel_representation"] == 1
    floating = row["pixel_element"] in (0x08, 0x09)
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise FormatError(
            f"mixed-attributes: {allocated} bits allocated, {stored} stored, high bit {high} make no pixel format"
        )
    if not row["rows"] or not row["columns"] or not 1 <= samples <= 4:
        raise FormatError(
            f"mixed-attributes: {row['rows']} rows, {row['columns']} columns, {samples} samples make no image"
        )
    if floating:
        dtype = np.dtype(np.float32 if row["pixel_element"] == 0x08 else np.float64)
        stored, left, right = allocated, 0, 0
    elif allocated == 1:
        dtype, left, right, signed = np.dtype(np.uint8), 0, 0, False
    else:
        dtype = np.dtype(f"{'iu'[not signed]}{allocated // 8}")
        left, right = allocated - 1 - high, allocated - stored
    return Layout(
        path=path,
        syntax=row["transfer_syntax"] or "",
        rows=row["rows"],
        columns=row["columns"],
        frames=max(row["frames"] or 1, 1),
        samples=samples,
        photometric=row["photometric"] or "",
        planar=row["planar_configuration"] == 1,
        dtype=dtype,
        bits_allocated=allocated,
        bits_stored=stored,
        left=left,
        right=right,
        signed=signed,
        offset=row["pixel_offset"],
        length=row["pixel_length"],
        big=row["big_endian"],
        words=row["pixel_words"],
        deflated=row["deflated"],
    )
