"""Real-world value maps (PS3.3 C.7.6.16.2.11): stored values to physical quantities, with their units."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from ..errors import ArgumentError, FormatError
from ._quiet import CORRUPT, quiet
from ._units import ValueMap

__all__ = ["PARAMETRIC_MAP", "RealWorld", "check_wanted", "chosen_maps", "maps_of", "units_of"]

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
_SEQUENCE, _SHARED, _FRAMES = 0x00409096, 0x52009229, 0x52009230
# UCUM codes that have a name of their own here; any other stays as it is.
UNITS = {"[hnsf'U]": "HU", "{SUVbw}g/ml": "SUV", "g/ml{SUVbw}": "SUV", "Bq/ml": "Bq/mL", "Gy": "Gy"}
LONGEST = 1 << 20  # entries of a table


@dataclass(frozen=True)
class RealWorld:
    """One map: of stored values from `first` to `last`."""

    label: str
    unit: str
    first: float
    last: float
    map: ValueMap


def maps_of(path: str, frames: int) -> list[list[RealWorld]]:
    """The maps of each frame, in the file's order; empty lists where there are none."""
    try:
        with quiet():
            dataset = pydicom.dcmread(
                path, stop_before_pixels=True, specific_tags=[_SEQUENCE, _SHARED, _FRAMES, 0x00280103]
            )
            top = _items(dataset)
            shared = _items((dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0])
            groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
            found = []
            for frame in range(frames):
                own = _items(groups[frame]) if frame < len(groups) else []
                found.append(own or shared or top)
            return found
    except (InvalidDicomError, *CORRUPT) as error:
        name = type(error).__name__
        raise FormatError(f"damaged-file: the real-world value maps cannot be read ({name})") from None


def units_of(path: str, frames: int) -> set[str]:
    """The units in which every frame has a map."""
    return set.intersection(*({one.unit for one in frame} for frame in maps_of(path, frames)))


def _items(dataset: Dataset) -> list[RealWorld]:
    return [_one(item) for item in dataset.get("RealWorldValueMappingSequence") or []]


def _one(item: Dataset) -> RealWorld:
    first = item.get("DoubleFloatRealWorldValueFirstValueMapped", item.get("RealWorldValueFirstValueMapped"))
    last = item.get("DoubleFloatRealWorldValueLastValueMapped", item.get("RealWorldValueLastValueMapped"))
    units = item.get("MeasurementUnitsCodeSequence") or [Dataset()]
    code = str(units[0].get("CodeValue", "")).strip()
    low = float(first) if first is not None else -math.inf
    high = float(last) if last is not None else math.inf
    table = item.get("RealWorldValueLUTData")
    if table is not None:
        values = np.atleast_1d(np.array(table, np.float64))
        if not math.isfinite(low) or not 0 < len(values) <= LONGEST:
            raise FormatError("mixed-attributes: a real-world value table without its first stored value")
        line = ValueMap(first=int(low), table=values)
        high = min(high, low + len(values) - 1)
    else:
        slope, intercept = float(item.get("RealWorldValueSlope", 1.0)), float(item.get("RealWorldValueIntercept", 0.0))
        if not math.isfinite(slope) or not math.isfinite(intercept) or slope == 0:
            raise FormatError("mixed-attributes: the slope of a real-world value map is zero or no number")
        line = ValueMap(slope, intercept)
    return RealWorld(str(item.get("LUTLabel", "")).strip(), UNITS.get(code, code or "arbitrary"), low, high, line)


def chosen_maps(layouts: Any, frames: Any, wanted: bool | int | str) -> list[RealWorld]:
    """For each slice the map that is asked for: the first (True), by number, or by its label or unit."""
    known: dict[str, list[list[RealWorld]]] = {}
    result = []
    for layout, frame in zip(layouts, frames, strict=True):
        if layout.path not in known:
            known[layout.path] = maps_of(layout.path, layout.frames)
        options = known[layout.path][frame]
        number = 0 if wanted is True else wanted
        if isinstance(number, str):
            fits = [one for one in options if number in (one.label, one.unit)]
        else:
            fits = options[number : number + 1]
        if not fits:
            name = os.path.basename(layout.path)
            told = ", ".join(f"{one.label or '?'} in {one.unit}" for one in options) or "none"
            raise FormatError(f"real-world-missing: {name} has no such real-world value map; there is: {told}")
        result.append(fits[0])
    if len({one.unit for one in result}) > 1:
        raise FormatError(f"mixed-attributes: the slices' real-world values differ in unit: {_units(result)}")
    return result


def _units(found: list[RealWorld]) -> str:
    return ", ".join(sorted({one.unit for one in found}))


def check_wanted(wanted: Any) -> None:
    """ArgumentError for what cannot choose a map."""
    if wanted is None or isinstance(wanted, bool | str) or (isinstance(wanted, int) and wanted >= 0):
        return
    raise ArgumentError(f"read: real_world must be True, a number from 0, a label or a unit, got {wanted!r}")
