"""From stored values to modality units: rescale, modality LUT, palette, units, and the exact integer type."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import FormatError
from . import _native
from ._layout import Layout

__all__ = ["ValueMap", "exact_dtype", "is_localizer", "narrowed", "unit_of", "value_map", "value_maps"]

_MODALITY_LUT, _LUT_DESCRIPTOR, _LUT_DATA = 0x00283000, 0x00283002, 0x00283006
# SUV Type (PS3.3 C.8.9.1) where it is not body weight, as the modifiers of UCUM's units name it (PS3.16 CID 85).
_SUV_TYPES = {
    "LBM": "SUVlbm",
    "LBMJAMES128": "SUVlbm(James128)",
    "LBMJANMA": "SUVlbm(Janma)",
    "BSA": "SUVbsa",
    "IBW": "SUVibw",
}
_LOCALIZERS = ("LOCALIZER", "SCOUT", "TOPOGRAM")
_CANDIDATES = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32)


@dataclass(frozen=True, eq=False)
class ValueMap:
    """How the stored values of a frame become modality values: a line, or a table (PS3.3 C.11.1)."""

    slope: float = 1.0
    intercept: float = 0.0
    first: int = 0  # stored value that the table's first entry stands for
    table: Any = None  # modality LUT
    palette: Any = None  # (entries, 3) of a PALETTE COLOR image

    def scaled(self, factor: float) -> ValueMap:
        """The same map with its result times `factor`."""
        table = None if self.table is None else self.table * factor
        return replace(self, slope=self.slope * factor, intercept=self.intercept * factor, table=table)

    @property
    def whole(self) -> bool:
        """Whether whole numbers stay whole."""
        return self.table is None and self.slope == int(self.slope) and self.intercept == int(self.intercept)


def value_map(row: dict[str, Any], path: str) -> ValueMap:
    """Of a single-frame file, from its scan's row; tables are read from the file."""
    if row["photometric"] == "PALETTE COLOR":
        from ._palette import palette_of

        first, palette = palette_of(path)
        return ValueMap(first=first, palette=palette)
    if row["dose_grid_scaling"] is not None and row["modality"] == "RTDOSE":
        return ValueMap(slope=row["dose_grid_scaling"])
    slope, intercept = row["rescale_slope"], row["rescale_intercept"]
    if slope is None and intercept is None:
        found = _modality_lut(row, path)
        return found if found is not None else ValueMap()
    slope = 1.0 if slope is None else slope
    if slope == 0:
        raise FormatError("mixed-attributes: the rescale slope is zero")
    return ValueMap(slope, intercept or 0.0)


def value_maps(rows: Iterable[dict[str, Any]], paths: Iterable[str]) -> list[ValueMap]:
    """Of single-frame files, one each."""
    maps: list[ValueMap] = []
    last: Any = None
    for row, path in zip(rows, paths, strict=True):
        said = (
            row["rescale_slope"],
            row["rescale_intercept"],
            row["photometric"],
            row["dose_grid_scaling"],
            row["modality"],
        )
        if said != last or said[0] is None or said[2] == "PALETTE COLOR":
            maps.append(value_map(row, path))
            last = said
        else:
            maps.append(maps[-1])
    return maps


def _modality_lut(row: dict[str, Any], path: str) -> ValueMap | None:
    if row["modality"] in ("MR", "PT", "RTDOSE"):
        return None
    name = os.fsencode(path)
    found = _native.value(name, [_MODALITY_LUT, _LUT_DESCRIPTOR], 6)
    data = _native.value(name, [_MODALITY_LUT, _LUT_DATA], 1 << 18)
    if found is None or data is None:
        return None
    descriptor = np.frombuffer(found[0], ">u2" if found[2] else "<u2")
    if len(descriptor) != 3 or descriptor[2] not in (8, 16):
        raise FormatError("mixed-attributes: the modality LUT's descriptor makes no table")
    entries = int(descriptor[0]) or 65536
    first = int(descriptor[1])
    if row["pixel_representation"] == 1 and first >= 32768:
        first -= 65536
    kind = "u1" if descriptor[2] == 8 and len(data[0]) < 2 * entries else (">u2" if data[2] else "<u2")
    table = np.frombuffer(data[0][: len(data[0]) // np.dtype(kind).itemsize * np.dtype(kind).itemsize], kind)
    if len(table) < entries:
        raise FormatError("mixed-attributes: the modality LUT is shorter than its descriptor says")
    return ValueMap(first=first, table=table[:entries].astype(np.float64))


def is_localizer(row: dict[str, Any]) -> bool:
    """Whether the image type says so."""
    kind = (row["image_type"] or "").upper()
    return any(word in kind for word in _LOCALIZERS)


def _ct_unit(row: dict[str, Any]) -> str:
    """What Rescale Type says (PS3.3 C.8.2.1, C.11.1.1.2).

    It may be absent only where it would be HU, and never of a multi-energy acquisition. "US" is unspecified; scanners write it
    on plain slices too, and there the standard has said the unit already: of an ORIGINAL image that is neither a localizer nor
    of a multi-energy acquisition it "shall be Hounsfield Units".
    """
    kind = row["rescale_type"]
    if kind not in (None, "US"):
        return str(kind)
    plain = row["multi_energy"] != "YES"
    if kind == "US":
        original = (row["image_type"] or "").upper().split("\\")[0].strip() == "ORIGINAL"
        plain = plain and original and not is_localizer(row)
    return "HU" if plain else "arbitrary"


def unit_of(row: dict[str, Any], *, suv: bool) -> str:
    """What a voxel's value means; "SUV" is by body weight and no other (PS3.3 C.8.9.1: so is a file without SUV Type)."""
    modality = row["modality"]
    if modality == "CT":
        return _ct_unit(row)
    if modality == "PT":
        if suv:
            return "SUV"
        if row["pet_units"] == "GML":
            kind = row["suv_type"] or "BW"
            return "SUV" if kind == "BW" else _SUV_TYPES.get(kind, "arbitrary")
        return "Bq/mL" if row["pet_units"] == "BQML" else "arbitrary"
    if modality == "RTDOSE":
        return "Gy" if row["dose_units"] == "GY" else "arbitrary"
    return "arbitrary"


def exact_dtype(layouts: Sequence[Layout], maps: Sequence[ValueMap]) -> np.dtype[Any]:
    """The smallest integer type for all values that the stored bits can express; float32 where there is none."""
    low, high = 0, 0
    for limits, one in {
        (layout.limits, one.slope, one.intercept): (layout.limits, one)
        for layout, one in zip(layouts, maps, strict=True)
    }.values():
        if limits is None or not one.whole:
            return np.dtype(np.float32)
        ends = [int(end) * int(one.slope) + int(one.intercept) for end in limits]
        low, high = min(low, *ends), max(high, *ends)
    for candidate in _CANDIDATES:
        info = np.iinfo(candidate)
        if info.min <= low and high <= info.max:
            return np.dtype(candidate)
    return np.dtype(np.float32) if high > 2**63 - 1 else np.dtype(np.int64)


def narrowed(array: Any) -> Any:
    """In the smallest integer type that holds the values there are."""
    low, high = int(array.min()), int(array.max())
    for candidate in _CANDIDATES:
        info = np.iinfo(candidate)
        if info.min <= low and high <= info.max:
            return array.astype(candidate, copy=False)
    return array
