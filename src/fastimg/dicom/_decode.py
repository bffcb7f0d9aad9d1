"""Slices of files into a volume: native ones in one native plan, others through codecs, a table where there is one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .. import config
from ..errors import FormatError
from . import _native
from ._codecs import SYNTAXES, decode
from ._layout import NATIVE, Layout
from ._units import ValueMap

__all__ = ["decode_slices"]


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
    codecs: list[int] = []
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
            codecs.extend(range(begin, end))
        else:
            if layout.lossless_jpeg:
                lossless.extend(range(begin, end))
            layout.add(
                plan,
                index=frames[begin],
                slice=begin,
                slope=maps[begin].slope,
                intercept=maps[begin].intercept,
                spans=_spans(layout, frames[begin], spans),
            )
            if end - begin > 1:
                rest = maps[begin + 1 : end]
                slopes, intercepts = [one.slope for one in rest], [one.intercept for one in rest]
                layout.add_more(plan, layouts[begin + 1 : end], slopes, intercepts, begin + 1)
    codecs += _run(plan, out, threads, lossless)
    _through_codecs(layouts, frames, maps, out, codecs, spans, threads)
    for place in tables:
        _through_table(layouts[place], frames[place], maps[place], out[place], spans)


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
    places: list[int],
    spans: dict[str, Any],
    threads: int,
) -> None:
    if not places:
        return
    plan = _native.Plan()
    for place in places:
        layout = layouts[place]
        layout.add(plan, index=frames[place], slice=0, spans=_spans(layout, frames[place], spans))

    local = threading.local()

    def one(number: int) -> None:
        place = places[number]
        layout = layouts[place]
        room = getattr(local, "room", None)
        if room is None or room.shape != (layout.rows, layout.columns) or room.itemsize != layout.dtype.itemsize:
            room = local.room = np.empty((layout.rows, layout.columns), f"u{layout.dtype.itemsize}")
        try:
            stored = decode(_bytes(plan, number), layout, room=room)
        except FormatError as error:
            raise FormatError(f"{error} (slice {place})") from error
        _native.rescale(stored.reshape(-1), out[place].reshape(-1), 0, 0, maps[place].slope, maps[place].intercept, 1)

    workers = min(threads or config.threads(), len(places))
    if workers <= 1:
        for number in range(len(places)):
            one(number)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(len(places))))


def _bytes(plan: Any, number: int) -> bytes:
    try:
        return bytes(plan.bytes(number))
    except RuntimeError as error:
        raise FormatError(f"decode-failed: {error}") from error


def stored_slice(layout: Layout, index: int, spans: dict[str, Any]) -> Any:
    """The stored values of one frame, unused bits cleared."""
    shape: tuple[int, ...] = (layout.rows, layout.columns)
    shape += (layout.samples,) if layout.samples > 1 else ()
    plan = _native.Plan()
    layout.add(plan, index=index, slice=0, spans=_spans(layout, index, spans))
    if not layout.native:
        return decode(_bytes(plan, 0), layout)
    stored = np.empty(shape, layout.dtype)
    _run(plan, stored, 1)
    return stored


def _through_table(layout: Layout, index: int, one: ValueMap, out: Any, spans: dict[str, Any]) -> None:
    stored = stored_slice(layout, index, spans).astype(np.int64)
    place = np.clip(stored - one.first, 0, len(one.table) - 1)
    out[...] = one.table[place]
