"""Images without a place in the patient: projections and ultrasound. Where their millimetres come from, if they have any.

A projection's ImagerPixelSpacing is that of the detector (PS3.3 C.8.11.3.1.2; 10.7.1.3): what lies before it is magnified.
An ultrasound image is calibrated region by region (PS3.3 C.8.5.5); without regions in centimetres it has no millimetres.
"""

from __future__ import annotations

import math
import os
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError

from ..findings import Finding
from ._element import element
from ._quiet import CORRUPT, quiet

__all__ = ["described", "frame_times", "is_flat", "regions_of"]

PROJECTIONS = ("CR", "DX", "MG", "RG", "PX", "IO", "XA", "RF")
ULTRASOUND = ("US", "IVUS")
_FLAT = frozenset([*PROJECTIONS, *ULTRASOUND])
CENTIMETRES = 3  # PS3.3 C.8.5.5.1.15
FORMATS = {1: "2D", 2: "M-mode", 3: "spectral", 4: "waveform", 5: "graphics"}
UNITS = {0: "none", 1: "percent", 2: "dB", 3: "cm", 4: "s", 5: "Hz", 6: "dB/s", 7: "cm/s", 8: "cm2", 9: "cm2/s",
         10: "cm3", 11: "cm3/s", 12: "degrees"}  # fmt: skip
_REGIONS, _CALIBRATION, _SCANNED, _MAGNIFICATION = 0x00186011, 0x00280A02, 0x00182010, 0x00181114
_FRAME_TIME, _FRAME_TIMES = 0x00181063, 0x00181065


def is_flat(row: dict[str, Any]) -> bool:
    """Whether a row of a scan is a projection or an ultrasound image that has no position in the patient."""
    flat = row["modality"] in _FLAT
    return flat and row["image_position"] is None and not row["multi_frame"]


def described(row: dict[str, Any], path: str) -> tuple[dict[str, Any], list[Finding]]:
    """The row with the spacing that may be used and "spacing_source", where it comes from; and what to know about it.

    Sources: "patient" (PixelSpacing, calibrated or of the patient's plane), "detector" (ImagerPixelSpacing), "film"
    (NominalScannedPixelSpacing), "regions" (ultrasound), "none" (then the spacing is 1 and means nothing).
    """
    name = os.path.basename(path)
    row = {**row, "spacing_source": "none"}
    if row["modality"] in ULTRASOUND:
        return _ultrasound(row, path, name)
    own, imager = _pair(row["pixel_spacing"]), _pair(row["imager_pixel_spacing"])
    calibrated = element(path, [_CALIBRATION], 64) is not None
    magnified = _numbers(path, _MAGNIFICATION)
    if magnified and magnified[0] >= 1:
        row["magnification"] = magnified[0]
    if own is not None and (calibrated or own != imager):
        return {**row, "spacing_source": "patient"}, []
    if imager is not None:
        text = f"{imager[0]:g} x {imager[1]:g} mm is the spacing at the detector"
        row = {**row, "pixel_spacing": list(imager), "spacing_source": "detector"}
        return row, [Finding("detector-spacing", text, name)]
    scanned = _pair(_numbers(path, _SCANNED))
    if scanned is not None:
        text = f"{scanned[0]:g} x {scanned[1]:g} mm is the spacing on the film that was scanned"
        row = {**row, "pixel_spacing": list(scanned), "spacing_source": "film"}
        return row, [Finding("detector-spacing", text, name)]
    return row, [Finding("no-geometry", "no pixel spacing: the image has no millimetres", name)]


def _ultrasound(row: dict[str, Any], path: str, name: str) -> tuple[dict[str, Any], list[Finding]]:
    regions = regions_of(path)
    row["regions"] = regions
    spacings = {tuple(one["spacing_mm"]) for one in regions if one["format"] == "2D" and one["spacing_mm"]}
    if len(spacings) == 1:
        return {**row, "pixel_spacing": list(spacings.pop()), "spacing_source": "regions"}, []
    if not regions and _pair(row["pixel_spacing"]) is not None:
        return {**row, "spacing_source": "patient"}, []
    text = f"{len(spacings)} regions differ in scale" if spacings else "no region is calibrated"
    return {**row, "pixel_spacing": None}, [Finding("no-geometry", f"{text}: the image has no millimetres", name)]


def regions_of(path: str) -> list[dict[str, Any]]:
    """Regions of an ultrasound image: box (x0, y0, x1, y1) in pixels, format, units, and (y, x) mm where it is spatial."""
    try:
        with quiet():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[_REGIONS])
            return [_region(item) for item in dataset.get("SequenceOfUltrasoundRegions") or []]
    except (InvalidDicomError, *CORRUPT):
        return []  # no calibration that could be believed


def _region(item: Any) -> dict[str, Any]:
    units = [int(item.get(f"PhysicalUnits{axis}Direction", 0)) for axis in "XY"]
    deltas = [abs(float(item.get(f"PhysicalDelta{axis}", 0) or 0)) for axis in "XY"]
    spatial = units == [CENTIMETRES, CENTIMETRES] and all(math.isfinite(d) and d > 0 for d in deltas)
    box = [int(item.get(f"RegionLocation{name}", 0)) for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    return {
        "box": box,
        "format": FORMATS.get(int(item.get("RegionSpatialFormat", 0)), "none"),
        "units": [UNITS.get(unit, "none") for unit in units],
        "spacing_mm": [10 * deltas[1], 10 * deltas[0]] if spatial else None,
    }


def frame_times(path: str, frames: int) -> tuple[float, ...]:
    """When each frame of a cine was taken, ms from the first; their numbers where the file does not say."""
    steps = _numbers(path, _FRAME_TIMES)
    if len(steps) == frames:
        total, times = 0.0, []
        for step in (0.0, *steps[1:]):
            total += step
            times.append(total)
        return tuple(times)
    even = _numbers(path, _FRAME_TIME)
    return tuple(k * even[0] for k in range(frames)) if even and even[0] > 0 else tuple(map(float, range(frames)))


def _numbers(path: str, tag: int) -> list[float]:
    found = element(path, [tag], 1 << 20)
    try:
        values = [] if found is None else [float(v) for v in found[0].decode("ascii").strip(" \0").split("\\")]
    except (ValueError, UnicodeDecodeError):
        return []
    return values if all(map(math.isfinite, values)) else []


def _pair(values: Any) -> tuple[float, float] | None:
    if values is None or len(values) != 2 or not all(math.isfinite(v) and v > 0 for v in values):
        return None
    return float(values[0]), float(values[1])
