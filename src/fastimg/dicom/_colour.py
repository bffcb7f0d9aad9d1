"""Colour images: RGB as stored, YBR converted, palettes looked up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .. import _arrays, config
from ..errors import FormatError
from . import _native
from ._codecs import to_rgb
from ._decode import stored_slice
from ._layout import Layout
from ._units import ValueMap

__all__ = ["colours", "palette_of"]


def palette_of(path: str) -> tuple[int, Any]:
    """The first stored value that is mapped, and (entries, 3) colours; segmented palettes are refused."""
    columns = []
    first = 0
    for number in (1, 2, 3):
        name = os.fsencode(path)
        found = _native.value(name, [0x00281100 + number], 6)
        data = _native.value(name, [0x00281200 + number], 1 << 18)
        if found is None or data is None:
            raise FormatError("unsupported-syntax: a palette image without plain palette tables")
        descriptor = np.frombuffer(found[0], ">u2" if found[2] else "<u2")
        entries, first, bits = int(descriptor[0]) or 65536, int(descriptor[1]), int(descriptor[2])
        wide = len(data[0]) >= 2 * entries
        table = np.frombuffer(data[0][: entries * (2 if wide else 1)], (">u2" if data[2] else "<u2") if wide else "u1")
        if len(table) < entries or bits not in (8, 16):
            raise FormatError("mixed-attributes: a palette is shorter than its descriptor says")
        columns.append(table.astype(np.uint8 if bits == 8 else np.uint16))
    if len({len(column) for column in columns}) != 1:
        raise FormatError("mixed-attributes: the palettes differ in length")
    return first, np.stack(columns, axis=-1)


def colours(layouts: Sequence[Layout], frames: Sequence[int], maps: Sequence[ValueMap], threads: int) -> Any:
    """(slices, y, x, 3)."""
    first = layouts[0]
    dtype = maps[0].palette.dtype if maps[0].palette is not None else first.dtype
    out = _arrays.empty((len(layouts), first.rows, first.columns, 3), dtype, np.empty(0))
    spans: dict[str, Any] = {}

    def one(place: int) -> None:
        layout, value = layouts[place], maps[place]
        stored = stored_slice(layout, frames[place], spans)
        if value.palette is not None:
            # Stored values beyond the palette take its nearest entry (PS3.3 C.7.6.3.1.5).
            index = np.clip(stored.astype(np.int64) - value.first, 0, len(value.palette) - 1)
            out[place] = value.palette[index]
        elif layout.samples != 3:
            raise FormatError(f"mixed-attributes: {layout.samples} samples are not a colour image")
        elif layout.photometric in ("YBR_FULL", "YBR_FULL_422") and stored.dtype == np.uint8:
            out[place] = to_rgb(stored)
        else:
            out[place] = stored

    workers = min(threads or config.threads(), len(layouts))
    if workers <= 1:
        for place in range(len(layouts)):
            one(place)
    else:
        one(0)  # fills the index of fragments before threads share it
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, range(1, len(layouts))))
    return out
