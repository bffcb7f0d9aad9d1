"""Slices of files into a volume: native ones in one native plan, others through codecs, a table where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import FormatError
from . import _native
from ._codecs import SYNTAXES, decode
from ._layout import NATIVE, Layout
from ._turns import in_turns
from ._units import ValueMap

__all__ = ["decode_slices", "frame_bytes", "stored_slice"]


def decode_slices(
    layouts: Sequence[Layout],
    frames: Sequence[int],
    maps: Sequence[ValueMap],
    out: Any,
    threads: int,
) -> None:
    """Decode slice i from frame `frames[i]` of `layouts[i]` into out[i]."""
    plan = _native.Plan()
    tables: list[int] = []
    codecs: list[tuple[int, int]] = []  # runs [begin, end)
    lossless: list[int] = []  # those of the plan that a codec takes where the native decoder refuses them
    spans: dict[str, Any] = {}
    for begin, end in _alike(layouts, frames, maps):
        layout = layouts[begin]
        if not layout.encapsulated and layout.syntax not in ("", *NATIVE):
            raise FormatError(f"decode-failed: transfer syntax {layout.syntax} without encapsulated pixel data")
        if not layout.native and layout.syntax not in SYNTAXES:
            raise FormatError(f"unsupported-syntax: no decoder for transfer syntax {layout.syntax}")
        if maps[begin].table is not None:
            tables.extend(range(begin, end))
        elif not layout.native and not layout.lossless_jpeg:
            codecs.append((begin, end))
        else:
            if layout.lossless_jpeg:
                lossless.extend(range(begin, end))
            _add(plan, layouts[begin:end], frames[begin], maps[begin:end], begin, spans)
    codecs += [(place, place + 1) for place in _run(plan, out, threads, lossless)]
    _through_codecs(layouts, frames, maps, out, codecs, spans, threads)
    for place in tables:
        _through_table(layouts[place], frames[place], maps[place], out[place], spans)


def _add(
    plan: Any, layouts: Sequence[Layout], index: int, maps: Sequence[ValueMap], slice: int, spans: dict[str, Any]
) -> None:
    """Put a run of `_alike` into a native plan."""
    first, rest = layouts[0], maps[1:]
    slope, intercept = maps[0].slope, maps[0].intercept
    found = _spans(first, index, spans)
    first.add(plan, index=index, slice=slice, slope=slope, intercept=intercept, spans=found)
    if rest:
        slopes, intercepts = [one.slope for one in rest], [one.intercept for one in rest]
        first.add_more(plan, layouts[1:], slopes, intercepts, slice + 1)


def _alike(layouts: Sequence[Layout], frames: Sequence[int], maps: Sequence[ValueMap]) -> Iterator[tuple[int, int]]:
    """Runs [begin, end) of files of one frame that differ in their place alone; any other frame is one by itself."""
    begin = 0
    for end in range(1, len(layouts) + 1):
        if end < len(layouts):
            first, next_one = layouts[begin], layouts[end]
            plain = maps[end].table is maps[begin].table is None
            if plain and first.frames == 1 and not first.deflated and next_one.like(first):
                continue
        yield begin, end
        begin = end


def _spans(layout: Layout, index: int, known: dict[str, Any]) -> list[tuple[int, int]] | None:
    """The fragments of one frame of a multi-frame file; a file with one frame is cut up where it is decoded."""
    if not layout.encapsulated or layout.frames == 1:
        return None
    if layout.path not in known:
        known[layout.path] = layout.spans()
    frames = known[layout.path]
    if index >= len(frames):
        raise FormatError(f"decode-failed: the file has no frame {index}")
    return list(frames[index])


def _run(plan: Any, out: Any, threads: int, tried: Sequence[int] = ()) -> list[int]:
    """Run the plan; the slices among `tried` that it refused."""
    if not len(plan):
        return []
    second = set(tried)
    failed = plan.run(out, threads)
    for place, problem in failed:
        if place not in second or problem == _native.JPEG_CUT:
            raise FormatError(f"decode-failed: slice {place}: {problem}")
    return [place for place, _ in failed]


def _through_codecs(
    layouts: Sequence[Layout],
    frames: Sequence[int],
    maps: Sequence[ValueMap],
    out: Any,
    runs: list[tuple[int, int]],
    spans: dict[str, Any],
    threads: int,
) -> None:
    plan, places = _native.Plan(), []  # type: Any, list[int]
    for begin, end in runs:
        _add(plan, layouts[begin:end], frames[begin], maps[begin:end], begin, spans)
        places += range(begin, end)

    def of_thread() -> Callable[[int], None]:
        packed, room = bytearray(), np.empty((0, 0), np.uint8)  # kept: new ones of a frame's size cost page faults

        def one(number: int) -> None:
            nonlocal room
            place = places[number]
            layout, value = layouts[place], maps[place]
            if room.shape != (layout.rows, layout.columns) or room.itemsize != layout.dtype.itemsize:
                room = np.empty((layout.rows, layout.columns), f"u{layout.dtype.itemsize}")
            try:
                stored = decode(frame_bytes(plan, number, packed), layout, room=room)
            except FormatError as error:
                raise FormatError(f"{error} (slice {place})") from error
            flat = out[place].reshape(-1)
            _native.rescale(stored.reshape(-1), flat, 0, 0, value.slope, value.intercept, 1, out.nbytes)

        return one

    in_turns(of_thread, range(len(places)), threads)


def frame_bytes(plan: Any, number: int, to: bytearray) -> bytearray:
    """The compressed bytes of one frame, in `to`."""
    try:
        plan.bytes(number, to)
    except RuntimeError as error:
        raise FormatError(f"decode-failed: {error}") from error
    return to


def stored_slice(layout: Layout, index: int, spans: dict[str, Any]) -> Any:
    """The stored values of one frame, unused bits cleared."""
    shape: tuple[int, ...] = (layout.rows, layout.columns)
    shape += (layout.samples,) if layout.samples > 1 else ()
    plan = _native.Plan()
    layout.add(plan, index=index, slice=0, spans=_spans(layout, index, spans))
    if not layout.native:
        return decode(frame_bytes(plan, 0, bytearray()), layout)
    stored = np.empty(shape, layout.dtype)
    _run(plan, stored, 1)
    return stored


def _through_table(layout: Layout, index: int, one: ValueMap, out: Any, spans: dict[str, Any]) -> None:
    stored = stored_slice(layout, index, spans).astype(np.int64)
    place = np.clip(stored - one.first, 0, len(one.table) - 1)
    out[...] = one.table[place]
