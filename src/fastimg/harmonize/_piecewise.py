"""A piecewise-linear map of an image, by table where the type has few values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import thread_count
from ..errors import ArgumentError
from ._intensity import finished, prepared

__all__ = ["mapped"]

Array = npt.NDArray[np.float64]


def mapped(
    name: str,
    image: Any,
    source: Array,
    target: Array,
    out: Any,
    threads: int | None,
    *,
    unit: str | None = "normalised",
) -> Any:
    """image through the knots (source, target), source not decreasing; the end segments go on beyond the ends.

    Knots of equal source (as float32) become one, at the mean of their targets.
    """
    knot, level, slope = _padded(name, source, target)
    array, result = prepared(image, out)
    leaf = _dispatch.pick(array, leaf="harmonize")
    team = thread_count(threads)
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2 and array.size >= 1 << (8 * array.dtype.itemsize):
        limits = np.iinfo(array.dtype)
        values = np.arange(limits.min, limits.max + 1).astype(np.float32)
        place = np.searchsorted(knot[: np.isfinite(knot).sum()], values, side="right") - 1
        place = np.clip(place, 0, None)
        table = level[place] + (values - knot[place]) * slope[place]
        leaf.lookup(array, result, table, threads=team)
    else:
        leaf.piecewise(array, result, knot, level, slope, threads=team)
    return finished(image, result, unit)


def _padded(name: str, source: Array, target: Array) -> tuple[Any, Any, Any]:
    """(knots with +infinity from the last one on, levels, slopes), float32, a power of two entries."""
    x, inverse, counts = np.unique(np.asarray(source, np.float32), return_inverse=True, return_counts=True)
    y = np.bincount(inverse, np.asarray(target, np.float64)) / counts
    if len(x) < 2:
        raise ArgumentError(
            f"{name}: the voxels that count have one value ({float(source[0]):g}); there is no scale to set"
        )
    entries = 1 << int(len(x) - 1).bit_length()
    knot = np.full(entries, np.inf, np.float32)
    level, slope = np.zeros(entries, np.float32), np.zeros(entries, np.float32)
    knot[: len(x) - 1] = x[:-1]
    level[: len(x) - 1] = y[:-1]
    slope[: len(x) - 1] = np.diff(y) / np.diff(x.astype(np.float64))
    return knot, level, slope
