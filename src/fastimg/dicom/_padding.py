"""Where voxels are padding: told in stored values (PS3.3 C.7.5.1.1.2), before any rescale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._decode import stored_slice
from ._element import element as value_of
from ._layout import Layout
from ._units import ValueMap

__all__ = ["Range", "padded", "padding_of"]

Range = tuple[float, float]  # the smallest and the largest stored value
FLOAT = {0x08: (0x00280122, 0x00280124, "f4"), 0x09: (0x00280123, 0x00280125, "f8")}  # float and double pixel data


def padding_of(row: dict[str, Any], layout: Layout) -> Range | None:
    """The range of stored values of a file that are padding, in the pixels' own sign; None where there is none."""
    value = row["padding_value"]
    if layout.dtype.kind == "f":
        return _float_padding(row, layout)
    if value is None:
        return None
    limits = layout.limits
    assert limits is not None
    limit = row["padding_limit"] if row["padding_limit"] is not None else value
    low, high = limits
    span = 1 << layout.bits_allocated
    # The element's sign is the pixels'; writers that use the other one mean the same bits.
    ends = sorted(
        v - span if layout.signed and v > high else v + span if not layout.signed and v < 0 else v
        for v in (value, limit)
    )
    return (ends[0], ends[1]) if low <= ends[1] and ends[0] <= high else None


def _float_padding(row: dict[str, Any], layout: Layout) -> Range | None:
    element = FLOAT.get(row["pixel_element"])
    if element is None:
        return None
    ends = []
    for tag in element[:2]:
        found = value_of(layout.path, [tag], 8)
        if found is not None and len(found[0]) == int(element[2][1]):
            ends.append(float(np.frombuffer(found[0], ("<", ">")[bool(found[2])] + element[2])[0]))
    return (min(ends), max(ends)) if ends and not any(map(math.isnan, ends)) else None


def padded(
    layouts: Sequence[Layout],
    frames: Sequence[int],
    maps: Sequence[ValueMap],
    out: Any,
    padding: Sequence[Range | None],
    covered: Sequence[Range] | None = None,
) -> Any:
    """(slices, y, x) bool: padding, or outside of the stored values that are covered by a real-world value map.

    It is seen in the modality values where the same arithmetic gives the same bits and the stored values next to the range
    give others; else the slice's stored values are decoded again.
    """
    result = np.zeros(out.shape, bool)
    spans: dict[str, Any] = {}
    for place, one in enumerate(maps):
        ranges = [(padding[place], True)] + ([(covered[place], False)] if covered is not None else [])
        stored = None
        for span, inside in ranges:
            if span is None:
                continue
            ends = _values(span, one, out.dtype) if layouts[place].limits is not None else None
            if ends is not None:
                within = (out[place] >= ends[0]) & (out[place] <= ends[1])
            else:
                if stored is None:
                    stored = stored_slice(layouts[place], frames[place], spans)
                within = (stored >= span[0]) & (stored <= span[1])
            result[place] |= within if inside else ~within
    return result


def _values(span: Range, one: ValueMap, dtype: Any) -> tuple[Any, Any] | None:
    """The modality values of a range's ends; None where they do not tell it from its neighbours."""
    if one.table is not None or not all(map(math.isfinite, span)):
        return None
    stored = np.array([span[0] - 1, span[0], span[1], span[1] + 1], np.float64)
    values = stored * one.slope + one.intercept
    if dtype.kind in "iu":  # what the type cannot hold is beyond the stored bits
        info = np.iinfo(dtype)
        values = values.clip(info.min, info.max)
        before, low, high, after = values if one.slope > 0 else values[::-1]
        return low, high
    before, low, high, after = values.astype(dtype) if one.slope > 0 else values[::-1].astype(dtype)
    return (low, high) if before < low and high < after else None
