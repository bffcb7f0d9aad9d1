"""Slices of files into a volume on a CUDA device: decoded here, sent through pinned memory, rescaled there.

While one batch travels and is rescaled, the next one is decoded into the other of two pinned buffers. Where nvImageCodec
is installed, frames in its lossless syntaxes travel compressed and are decoded on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _dispatch, _gpu
from . import _cuda, _native, _nvimgcodec
from ._decode import _spans, decode_slices, frame_bytes, stored_slice
from ._layout import Layout
from ._units import ValueMap

__all__ = ["decode_to_device", "fits"]

_BATCH = 32 << 20  # bytes of stored values in one pinned buffer
_agrees: dict[tuple[Any, ...], bool] = {}  # kind of frame -> whether the device's codec gave the CPU's bits


def fits(layouts: Sequence[Layout]) -> bool:
    """Whether the device has a kernel for these stored values."""
    first = layouts[0]
    return first.dtype.name not in ("int64", "uint64") and all(
        one.dtype == first.dtype and one.samples == 1 for one in layouts
    )


def decode_to_device(
    layouts: Sequence[Layout], frames: Sequence[int], maps: Sequence[ValueMap], out: Any, threads: int
) -> None:
    """Slice i from frame `frames[i]` of `layouts[i]` into out[i], float32 on the device: the bits of `decode_slices`."""
    backend = _gpu.backend()
    dtype, plane = layouts[0].dtype, out.shape[1:]
    size = max(1, min(len(layouts), _BATCH // (dtype.itemsize * int(np.prod(plane, dtype=np.int64)))))
    rooms = [backend.pinned((size, *plane), dtype) for _ in range(2 if len(layouts) > size else 1)]
    ready: list[Any] = [None, None]
    for turn, begin in enumerate(range(0, len(layouts), size)):
        part = slice(begin, min(begin + size, len(layouts)))
        stored = _by_device(layouts[part], frames[part])
        if stored is None:
            which = turn % len(rooms)
            if ready[which] is not None:
                ready[which]()  # the buffer's last batch has left
            host = rooms[which][: part.stop - part.start]
            decode_slices(layouts[part], frames[part], [ValueMap()] * len(host), host, threads)
            stored = backend.xp.empty(host.shape, dtype)
            ready[which] = backend.upload(host, stored)
        _rescale(stored, maps[part], out[part])
    for wait in ready:
        if wait is not None:
            wait()


def _rescale(stored: Any, maps: Sequence[ValueMap], out: Any) -> None:
    """One launch for neighbours of the same map."""
    begin = 0
    for end in range(1, len(maps) + 1):
        first = maps[begin]
        if end < len(maps) and first.table is None and _line(maps[end]) == _line(first):
            continue
        if first.table is not None:
            _cuda.lookup(stored[begin:end], out[begin:end], first.first, first.table)
        else:
            _cuda.rescale(stored[begin:end], out[begin:end], 0, 0, first.slope, first.intercept, threads=0)
        begin = end


def _line(one: ValueMap) -> tuple[float, float] | None:
    return None if one.table is not None else (one.slope, one.intercept)


def _by_device(layouts: Sequence[Layout], frames: Sequence[int]) -> Any:
    """The stored values, decoded by nvImageCodec; None where it is not installed or does not take the frames."""
    kind = _nvimgcodec.kind(layouts[0])
    if not _nvimgcodec.takes(layouts) or not _agrees.get(kind, True):
        return None
    plan, spans = _native.Plan(), {}  # type: Any, dict[str, Any]
    for layout, frame in zip(layouts, frames, strict=True):
        layout.add(plan, index=frame, slice=0, spans=_spans(layout, frame, spans))
    packed = [bytes(frame_bytes(plan, number, bytearray())) for number in range(len(layouts))]
    stored = _nvimgcodec.decode(packed, layouts[0])
    if stored is not None and kind not in _agrees:
        first = _dispatch.move(stored[:1], "cpu")[0]
        _agrees[kind] = bool((first == stored_slice(layouts[0], frames[0], {})).all())
    return stored if _agrees.get(kind) else None
