"""What is wrong with a volume's voxels. Missing, doubled and uneven slices are found where series are put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..findings import Finding
from ..image import Image

__all__ = ["LIMITS", "quality"]

SATURATED = 0.01  # share of the voxels above the lowest value that sit at the highest one
# What values of a unit can be: (lowest, highest, why). Below -1024 HU lies nothing but padding that was not declared.
LIMITS = {
    "HU": (-1100.0, 32000.0, "air is -1000 HU"),
    "SUV": (-1.0, 1000.0, "SUV is not negative, and a thousand means a wrong weight, dose or time"),
    "Bq/mL": (-1e4, 1e9, "activity is not negative"),
}


def quality(
    image: Image, *, saturated: float = SATURATED, units: Mapping[str, tuple[float, float]] | None = None
) -> list[Finding]:
    """Findings on the voxels of `image`, padding left out: non-finite, empty, saturated, outside the unit's range.

    Parameters
    ----------
    image : Image
    saturated : float
        Share of the voxels above the lowest value that may sit at the highest one.
    units : mapping of unit to (low, high), optional
        What values of a unit can be; default: HU, SUV and Bq/mL.

    Returns
    -------
    list of Finding
        Empty where all is well.
    """
    if units is None:
        units = {unit: (least, most) for unit, (least, most, _) in LIMITS.items()}
    array = np.asarray(image.array)
    inside = None if image.padding is None else ~np.asarray(image.padding)
    values = array if inside is None else array[..., inside]
    if values.size == 0:
        return [Finding("empty-image", "The whole volume is padding.")]
    found: list[Finding] = []
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        bad = int(values.size - np.count_nonzero(finite))
        if bad:
            found.append(
                Finding("non-finite", f"{bad} of {values.size} voxels are NaN or infinite.", details={"voxels": bad})
            )
            values = values[finite]
            if values.size == 0:
                return found
    low, high = float(values.min()), float(values.max())
    if low == high:
        return [*found, Finding("empty-image", f"All voxels have the value {low:g}.", details={"value": low})]
    found += _saturated(values, low, high, saturated)
    found += _out_of_range(values, image.unit, low, high, units)
    return found


def _saturated(values: npt.NDArray[Any], low: float, high: float, most: float) -> list[Finding]:
    top = int(np.count_nonzero(values == values.dtype.type(high)))
    above = int(np.count_nonzero(values > values.dtype.type(low)))
    # Two or few levels are a map or a mask, not a clipped image.
    if above == 0 or top / above <= most or len(np.unique(values.reshape(-1)[:: max(1, values.size // 65536)])) < 16:
        return []
    share = top / above
    message = f"{100 * share:.1f} % of the voxels above the lowest value sit at the highest, {high:g}."
    return [Finding("saturated", message, details={"share": share, "value": high})]


def _out_of_range(
    values: npt.NDArray[Any], unit: str | None, low: float, high: float, units: Mapping[str, tuple[float, float]]
) -> list[Finding]:
    if unit is None or unit not in units:
        return []
    least, most = units[unit]
    why = LIMITS[unit][2] if unit in LIMITS else "the range that was set"
    found = []
    if low < least or high > most:
        outside = int(np.count_nonzero((values < least) | (values > most)))
        message = (
            f"{outside} voxels lie outside {least:g} to {most:g} {unit} ({why}); the volume spans {low:g} to {high:g}."
        )
        found.append(Finding("unit-range", message, details={"voxels": outside, "low": low, "high": high}))
    if unit == "HU" and low >= 0:
        message = f"No voxel is below 0 HU (lowest {low:g}): the rescale intercept may be missing."
        found.append(Finding("unit-range", message, details={"low": low}))
    return found
