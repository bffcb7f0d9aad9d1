"""Colour images: RGB as stored, YBR converted, palettes looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _arrays
from ..errors import FormatError
from ._codecs import to_rgb
from ._decode import stored_slice
from ._layout import Layout
from ._turns import in_turns
from ._units import ValueMap

__all__ = ["colours"]


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

    one(0)  # fills the index of fragments before threads share it
    in_turns(lambda: one, range(1, len(layouts)), threads)
    return out
