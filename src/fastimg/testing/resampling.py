"""Twins of fastimg.resampling: one axis after another, or one point after another, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "arithmetic",
    "interpolate_point",
    "label_point",
    "linear",
    "nearest",
    "normalised",
    "spline_axis",
    "to_voxels",
]


def arithmetic(dtype: npt.DTypeLike, *, truncate: bool = False) -> type:
    """The type of the arithmetic for voxels of `dtype`."""
    small = np.dtype(dtype).name in ("int8", "uint8", "int16", "uint16", "float32")
    return np.float32 if small and not (truncate and np.dtype(dtype).kind in "iu") else np.float64


def to_voxels(values: npt.NDArray[Any], dtype: npt.DTypeLike, *, truncate: bool = False) -> npt.NDArray[Any]:
    """Saturate and round to an integer dtype; floats are cast."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return values.astype(kind)
    limits = np.iinfo(kind)
    top = np.nextafter(np.float64(limits.max), 0) if kind.itemsize == 8 else limits.max
    values = np.clip(values, limits.min, top)
    return (np.trunc(values) if truncate else np.rint(values)).astype(kind)


def _inside(position: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    return (position >= -0.5) & (position < size - 0.5)


def linear(
    array: npt.NDArray[Any],
    positions: tuple[npt.NDArray[np.float64], ...],
    *,
    cval: float | str = 0.0,
    truncate: bool = False,
) -> npt.NDArray[Any]:
    """Axis-aligned linear interpolation at the product of three lists of source positions (z, y, x)."""
    kind: Any = arithmetic(array.dtype, truncate=truncate)
    values = array.astype(kind)
    inside = np.ones((), bool)
    for axis in (1, 2, 0):
        line, size = positions[axis], array.shape[axis]
        clamped = np.clip(line, 0, size - 1)
        first = np.floor(clamped).astype(int)
        weight = (clamped - first).astype(kind)
        first, weight = np.where(weight == 1, first + 1, first), np.where(weight == 1, kind(0), weight)
        shape = [1, 1, 1]
        shape[axis] = -1
        w = weight.reshape(shape)
        a = values.take(first, axis)
        b = values.take(np.minimum(first + 1, size - 1), axis)
        with np.errstate(invalid="ignore", over="ignore"):
            values = np.where(w == 0, a, a + w * (b - a))
        inside = inside & _inside(line, size).reshape(shape)
    seen = to_voxels(values, array.dtype, truncate=truncate)
    return seen if cval == "edge" else np.where(inside, seen, np.asarray(cval, array.dtype))


def nearest(
    array: npt.NDArray[Any], positions: tuple[npt.NDArray[np.float64], ...], *, cval: float | str = 0.0
) -> npt.NDArray[Any]:
    """Axis-aligned nearest neighbour; halves go up."""
    inside = np.ones((), bool)
    values = array
    for axis, line in enumerate(positions):
        size = array.shape[axis]
        values = values.take(np.clip(np.floor(line + 0.5), 0, size - 1).astype(int), axis)
        shape = [1, 1, 1]
        shape[axis] = -1
        inside = inside & _inside(line, size).reshape(shape)
    return values if cval == "edge" else np.where(inside, values, np.asarray(cval, array.dtype))


def interpolate_point(array: npt.NDArray[Any], point: npt.NDArray[np.float64], *, order: str = "linear") -> float:
    """One point (z, y, x) in source indices, in float64; NaN outside the volume."""
    size = np.array(array.shape)
    if ((point < -0.5) | (point >= size - 0.5)).any():
        return float("nan")
    if order == "nearest":
        return float(array[tuple(np.clip(np.floor(point + 0.5).astype(int), 0, size - 1))])
    clamped = np.clip(point, 0, size - 1)
    low = np.floor(clamped).astype(int)
    total = 0.0
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, clamped - low, 1 - (clamped - low)))
        total += share * float(array[tuple(np.minimum(low + corner, size - 1))]) if share else 0.0
    return total


def label_point(array: npt.NDArray[Any], point: npt.NDArray[np.float64]) -> tuple[set[int], bool]:
    """The labels that may win at a point (several: a tie to rounding) by linear one-hot votes, and if it is inside."""
    size = np.array(array.shape)
    if ((point < -0.5) | (point >= size - 0.5)).any():
        return set(), False
    votes: dict[int, float] = {}
    low = np.floor(point).astype(int)
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, point - low, 1 - (point - low)))
        label = int(array[tuple(np.clip(low + corner, 0, size - 1))])
        votes[label] = votes.get(label, 0.0) + float(share)
    return {label for label, share in votes.items() if share > max(votes.values()) - 1e-9}, True


def spline_axis(
    values: npt.NDArray[Any],
    axis: int,
    first: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float64],
    recursions: list[tuple[float, int]],
    block: int = 128,
) -> npt.NDArray[Any]:
    """One axis of `fastimg.resampling`'s B-splines, sample after sample, in the dtype of `values`.

    The coefficients under the outputs whose first tap lies in a block are those of the block's own recursions.
    """
    kind: Any = values.dtype.type
    lines = np.moveaxis(values, axis, 0)
    size, taps = lines.shape[0], weight.shape[0]
    made = np.empty((first.size, *lines.shape[1:]), kind)
    reach = sum(horizon for _, horizon in recursions)
    for begin in range(0, size, block):
        length = min(block + taps - 1, size - begin)
        places = np.arange(begin - reach, begin + length + reach)
        period = max(2 * (size - 1), 1)
        folded = np.abs(places) % period
        line = list(lines[np.minimum(folded, period - folded) if size > 1 else folded * 0])
        for pole, horizon in recursions:
            z = kind(pole)
            forward = [line[0] * kind(1 / (1 - pole))]
            for sample in line[1:]:
                forward.append(sample + z * forward[-1])
            backward = [forward[-1] * kind(-pole / (1 - pole))]
            for value in forward[-2::-1]:
                backward.append(z * (backward[-1] - value))
            line = backward[::-1][horizon : len(backward) - horizon]
        for o in np.flatnonzero(first // block == begin // block):
            total = kind(weight[0, o]) * line[first[o] - begin]
            for t in range(1, taps):
                total = total + kind(weight[t, o]) * line[first[o] - begin + t]
            made[o] = total
    return np.ascontiguousarray(np.moveaxis(made, 0, axis))


def normalised(array: npt.NDArray[Any], padding: npt.NDArray[np.bool_], point: npt.NDArray[np.float64]) -> float:
    """Linear interpolation of one point that leaves padded voxels out, in float64; NaN where they are too many."""
    weight = interpolate_point((~padding).astype(np.float64), point)
    if not weight >= 0.5:
        return float("nan")
    return interpolate_point(np.where(padding, 0, array).astype(np.float64), point) / weight
