"""What each output index of one axis takes from the input: first sample and weights, made once in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "LABEL",
    "AxisTable",
    "Displacement",
    "Oblique",
    "Poles",
    "Tables",
    "Values",
    "bspline_weights",
    "linear_axis",
    "nearest_axis",
    "weighted_axis",
]

Floats = npt.NDArray[np.float64]

# What a fused plan does with samples, (slope, intercept, low, high), and with results, (shift, scale).
Values = tuple[tuple[float, float, float, float] | None, tuple[float, float] | None] | None

# The field (z, y, x, 3) and the inverse of the source's affine (3, 3).
Displacement = tuple[Any, Floats] | None

# Of a B-spline's recursions: (pole, horizon).
Poles = list[tuple[float, int]]

LABEL = -1  # as a degree: samples vote


@dataclass(frozen=True)
class AxisTable:
    """One axis; outputs [low, high) lie inside. `linear`: weight (1, out) is that of the sample after first."""

    size: int
    low: int
    high: int
    linear: bool
    first: npt.NDArray[np.int32]
    weight: Floats

    @property
    def out(self) -> int:
        """Number of outputs."""
        return int(self.first.size)

    def native(self) -> tuple[Any, ...]:
        """As the compiled plans take it."""
        return self.size, self.low, self.high, self.linear, self.first, self.weight

    def part(self, begin: int, end: int, first: int, size: int) -> AxisTable:
        """Outputs [begin, end) of it, from samples [first, first + size) alone."""
        low, high = (min(max(edge - begin, 0), end - begin) for edge in (self.low, self.high))
        index = np.clip(self.first[begin:end] - first, 0, size - 1).astype(np.int32)
        return AxisTable(size, low, high, self.linear, index, np.ascontiguousarray(self.weight[:, begin:end]))

    def reach(self, begin: int, end: int) -> tuple[int, int]:
        """Samples [first, end) that its outputs [begin, end) take; empty where all of them lie outside."""
        begin, end = max(begin, self.low), min(end, self.high)
        if begin >= end:
            return 0, 0
        first = self.first[begin:end]
        taps = np.where(self.weight[0, begin:end] != 0, 2, 1) if self.linear else self.weight.shape[0]
        return int(first.min()), int((first + taps).max())

    def ranges(self, block: int) -> npt.NDArray[np.int32]:
        """(blocks, 2): the outputs [begin, end) whose first tap lies in each block of samples; in order, so adjoining."""
        blocks = -(-self.size // block)
        found = (np.flatnonzero(self.first // block == b) for b in range(blocks))
        return np.array([(where[0], where[-1] + 1) if where.size else (0, 0) for where in found], np.int32)

    def geometry(self) -> list[int]:
        """As the kernels take it: in, out, low, high, linear, taps."""
        return [self.size, self.out, self.low, self.high, int(self.linear), 2 if self.linear else self.weight.shape[0]]


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What a device keeps of a plan."""

    kept: dict[Any, Any] = field(default_factory=dict, compare=False)

    def keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """The value kept under `key`, made at first use."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]


@dataclass(frozen=True)
class Tables(_Kept):
    """The three axes z, y, x; whether a B-spline does z before y and x."""

    z: AxisTable
    y: AxisTable
    x: AxisTable
    z_first: bool = False


@dataclass(frozen=True)
class Oblique(_Kept):
    """Source index = matrix (3, 4) @ (k, j, i, 1); shapes (z, y, x) of both grids, and where a piece of them begins."""

    matrix: Floats
    source: tuple[int, int, int]
    target: tuple[int, int, int]
    edge: bool
    first_source: tuple[int, ...] = (0, 0, 0)
    first_target: tuple[int, ...] = (0, 0, 0)


def _inside(positions: Floats, size: int, edge: bool) -> tuple[int, int]:
    """Outputs from -1/2 (included) to size - 1/2 (excluded) are inside, as in ITK; positions are monotonic."""
    if edge:
        return 0, positions.size
    found = np.flatnonzero((positions >= -0.5) & (positions < size - 0.5))
    return (int(found[0]), int(found[-1]) + 1) if found.size else (0, 0)


def nearest_axis(positions: Floats, size: int, edge: bool) -> AxisTable:
    """Halves go up, as in ITK."""
    index = np.clip(np.floor(positions + 0.5), 0, size - 1).astype(np.int32)
    return AxisTable(size, *_inside(positions, size, edge), False, index, np.ones((1, positions.size)))


def linear_axis(positions: Floats, size: int, edge: bool) -> AxisTable:
    """In the half voxel outside the outermost samples the value is theirs, as in ITK."""
    low, high = _inside(positions, size, edge)
    clamped = np.clip(positions, 0, size - 1)
    first = np.floor(clamped)
    weight = clamped - first
    up = weight.astype(np.float32) == 1  # would be the next sample in float32: say so exactly
    first, weight = np.where(up, first + 1, first), np.where(up, 0, weight)
    return AxisTable(size, low, high, True, first.astype(np.int32), weight[np.newaxis])


def bspline_weights(offset: Floats, degree: int) -> Floats:
    """(taps, n): values of the centred B-spline at offset - t for the taps t = 0, 1 ... from the first one with weight.

    `offset` is the position after the first tap. Cox-de Boor recursion on unit knots.
    """
    taps = degree + 1
    u = offset[np.newaxis] - np.arange(taps)[:, np.newaxis]  # distance to each tap's centre
    return _bspline(u, degree)


def _bspline(u: Floats, degree: int) -> Floats:
    if degree == 0:
        return ((u >= -0.5) & (u < 0.5)).astype(np.float64)
    half = (degree + 1) / 2
    return ((half + u) * _bspline(u + 0.5, degree - 1) + (half - u) * _bspline(u - 0.5, degree - 1)) / degree


def weighted_axis(
    positions: Floats,
    size: int,
    edge: bool,
    *,
    degree: int,
    mirror: bool,
    blur: Floats | None = None,
    scale: float = 1.0,
) -> AxisTable:
    """Samples weighted by `scale` and the B-spline of a degree (1: linear), convolved with the symmetric kernel `blur`.

    Samples outside the volume are mirrored at the outermost centres, or are the outermost one; their weights are added
    to those of the samples that they equal.
    """
    low, high = _inside(positions, size, edge)
    rim = 0.0 if edge or not mirror else 0.5
    p = np.clip(positions, -rim, size - 1 + rim)
    base = np.floor(p - (degree - 1) / 2)
    weights = scale * bspline_weights(p - base, degree)
    if blur is not None:
        radius = blur.size // 2
        spread = np.zeros((weights.shape[0] + blur.size - 1, positions.size))
        for t, share in enumerate(blur):
            spread[t : t + weights.shape[0]] += share * weights
        weights, base = spread, base - radius
    taps = min(weights.shape[0], size)
    first = np.clip(base, 0, size - taps).astype(np.int32)
    folded = np.zeros((taps, positions.size))
    columns = np.arange(positions.size)
    for t, row in enumerate(weights):
        index = _reflected(base + t, size) if mirror else np.clip(base + t, 0, size - 1)
        np.add.at(folded, (index.astype(np.int64) - first, columns), row)
    return AxisTable(size, low, high, False, first, folded)


def _reflected(index: Floats, size: int) -> Floats:
    if size == 1:
        return np.zeros_like(index)
    period = 2 * (size - 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index)
