"""Stored values of one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _arrays
from .._arrays import thread_count
from ..errors import ArgumentError, FormatError
from . import _native
from ._codecs import SYNTAXES, decode, to_rgb
from ._decode import frame_bytes
from ._layout import NATIVE, Layout, layout_of
from ._scan import describe
from ._turns import in_turns

__all__ = ["compressed_frames", "pixels", "row_of"]


def row_of(path: Any) -> dict[str, Any]:
    """The scan's row of one file; ArgumentError where there is no such file."""
    if not os.path.isfile(path):
        raise ArgumentError(f"path: no file {os.path.basename(os.fspath(path))!r}")
    row: dict[str, Any] = describe([path], threads=1).to_pylist()[0]
    if row["status"] == "skipped":
        raise FormatError(f"{row['finding']}: the file cannot be read as DICOM")
    return row


def pixels(path: Any, *, threads: int | None = None) -> Any:
    """The stored values of a file, as pydicom's `pixel_array` gives them.

    No rescale; unused bits are cleared or filled with the sign; YBR_FULL and YBR_FULL_422 become RGB.

    Parameters
    ----------
    path : path
        A DICOM file with pixel data.
    threads : int, optional
        Over frames. Default: `config.threads()`.

    Returns
    -------
    array
        (rows, columns), with frames before and samples after where there are several. The dtype is that of the element:
        its sign, its bits allocated, its byte order.

    Raises
    ------
    ArgumentError
        No such file.
    FormatError
        Not DICOM, no pixels, cut short, damaged, or a transfer syntax without decoder; the message begins with the code
        of the finding.
    """
    row = row_of(path)
    layout = layout_of(row, os.fspath(path))
    if layout.native:
        array = _native_pixels(layout, thread_count(threads))
    else:
        array = compressed_frames(layout, threads=threads)
    photometric = layout.photometric
    if layout.samples == 3 and photometric in ("YBR_FULL", "YBR_FULL_422") and array.dtype == np.uint8:
        array = to_rgb(array)
    if layout.big and not layout.encapsulated:
        array = array.astype(array.dtype.newbyteorder(">"))
    return array[0] if len(array) == 1 else array


def _native_pixels(layout: Layout, threads: int) -> Any:
    if not layout.encapsulated and layout.syntax not in ("", *NATIVE):
        raise FormatError(f"decode-failed: transfer syntax {layout.syntax} without encapsulated pixel data")
    spans = layout.spans() if layout.encapsulated and layout.frames > 1 else None
    frames = len(spans) if spans else _frames_present(layout)
    shape: tuple[int, ...] = (frames, layout.rows, layout.columns)
    shape += (layout.samples,) if layout.samples > 1 else ()
    array = _arrays.empty(shape, layout.dtype, np.empty(0))
    plan = _native.Plan()
    if layout.deflated:  # one stream: inflate it once
        _one_piece(layout, plan, frames)
    else:
        for index in range(frames):
            layout.add(plan, index=index, slice=index, spans=spans[index] if spans else None)
    failed = plan.run(array, threads)
    if failed:
        raise FormatError(f"decode-failed: frame {failed[0][0]}: {failed[0][1]}")
    return array


def _one_piece(layout: Layout, plan: Any, frames: int) -> None:
    if layout.planar and layout.samples > 1 and frames > 1:
        for index in range(frames):
            layout.add(plan, index=index, slice=index)
    else:
        layout.add(plan, index=0, slice=0, frames=frames)


def _frames_present(layout: Layout) -> int:
    """Native pixel data may hold more frames than the header says; they are returned, as pydicom does."""
    if layout.encapsulated or layout.deflated or layout.photometric == "YBR_FULL_422":
        return layout.frames
    values = layout.rows * layout.columns * layout.samples
    frame_bits = values * (1 if layout.bits_allocated == 1 else 8 * layout.dtype.itemsize)
    expected = -(-frame_bits * layout.frames // 8)
    if layout.length <= expected + expected % 2:  # the last byte may be padding, whatever its size in pixels
        return layout.frames
    return max(layout.frames, layout.length * 8 // frame_bits)


def compressed_frames(layout: Layout, *, threads: int | None = None, frames: Any = None) -> Any:
    """(frames, rows, columns[, samples]) of a compressed file, one task a frame; the codecs release the interpreter."""
    if layout.syntax not in SYNTAXES:
        raise FormatError(f"unsupported-syntax: no decoder for transfer syntax {layout.syntax}")
    if not layout.encapsulated:
        raise FormatError(f"decode-failed: transfer syntax {layout.syntax} without encapsulated pixel data")
    spans = layout.spans()
    wanted = range(len(spans)) if frames is None else frames
    shape: tuple[int, ...] = (len(wanted), layout.rows, layout.columns)
    shape += (layout.samples,) if layout.samples > 1 else ()
    array = _arrays.empty(shape, layout.dtype, np.empty(0))
    plan = _native.Plan()
    for place, index in enumerate(wanted):
        layout.add(plan, index=index, slice=place, spans=spans[index])
    left: Sequence[int] = range(len(wanted))
    if layout.lossless_jpeg:  # what the native decoder refuses goes to the codec
        refused = plan.run(array, thread_count(threads))
        for place, problem in refused:
            if problem == _native.JPEG_CUT:
                raise FormatError(f"decode-failed: frame {place}: {problem}")
        left = [place for place, _ in refused]

    def of_thread() -> Callable[[int], None]:
        packed = bytearray()

        def one(place: int) -> None:
            held = decode(frame_bytes(plan, place, packed), layout, room=array[place])
            if not np.may_share_memory(held, array):  # not by a codec that writes where it is told to
                array[place] = held

        return one

    in_turns(of_thread, left, thread_count(threads))
    return array
