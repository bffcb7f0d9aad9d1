"""Target grids, and how a target's indices map to a source's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, GeometryError
from ..image import Image

__all__ = ["Grid", "Mapping", "mapping", "target_grid"]

_SNAP = 1e-9  # voxels: positions this near to a multiple of a half are that multiple
_ALIGNED = 1e-5  # voxels: a grid whose axes stray less than this from the source's axes counts as aligned
_FARTHEST = 1e6  # voxels: a turned grid's samples lie no further apart; 16 steps must be known to a voxel in float32


@dataclass(frozen=True)
class Grid:
    """A shape (z, y, x) and the 4x4 affine of its indices."""

    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]


def target_grid(
    source: Image,
    *,
    spacing: float | Sequence[float] | None,
    like: Image | None,
    affine: npt.ArrayLike | None,
    shape: Sequence[int] | None,
    half_pixel: bool,
) -> Grid:
    """The grid that the arguments of `resample` describe; see there for the rules."""
    given = [name for name, value in (("spacing", spacing), ("like", like), ("affine", affine)) if value is not None]
    if len(given) > 1:
        raise ArgumentError(f"resample: give one of spacing=, like= and affine=; got {' and '.join(given)}")
    if like is not None:
        if not isinstance(like, Image):
            raise ArgumentError(f"like: expected an Image, got {type(like).__name__}")
        if shape is not None:
            raise ArgumentError("shape: the target grid is that of like=; give shape= with affine= or spacing=")
        _no_half_pixel(half_pixel, "like=")
        return Grid(_three(like.shape[-3:]), like.affine)
    if affine is not None:
        if shape is None:
            raise ArgumentError("resample: affine= needs shape=(z, y, x)")
        _no_half_pixel(half_pixel, "affine=")
        checked = _checked_shape(shape)
        return Grid(checked, Image(np.empty((1, 1, 1), np.uint8), affine).affine)
    size = _three(source.shape[-3:])
    if spacing is None:
        if shape is None:
            raise ArgumentError("resample: give the target grid: spacing=, like=, or affine= with shape=")
        if not half_pixel:
            raise ArgumentError("resample: shape= alone keeps the volume's borders and needs half_pixel=True")
        checked = _checked_shape(shape)
        return _stretched(source.affine, [n / m for n, m in zip(size, checked, strict=True)], checked, True)
    steps = [new / old for new, old in zip(_checked_spacing(spacing), source.spacing, strict=True)]
    if shape is not None:
        checked = _checked_shape(shape)
    elif half_pixel:
        checked = _three([max(1, math.floor(n / step + 1e-6)) for n, step in zip(size, steps, strict=True)])
    else:
        checked = _three([math.floor((n - 1) / step + 1e-6) + 1 for n, step in zip(size, steps, strict=True)])
    return _stretched(source.affine, steps, checked, half_pixel)


def _no_half_pixel(half_pixel: bool, name: str) -> None:
    if half_pixel:
        raise ArgumentError(f"half_pixel: {name} says where the voxels are; half_pixel goes with spacing= or shape=")


def _stretched(
    affine: npt.NDArray[np.float64], steps: Sequence[float], shape: tuple[int, int, int], half_pixel: bool
) -> Grid:
    matrix = affine.copy()
    matrix[:3, :3] = affine[:3, :3] * np.asarray(steps)
    if half_pixel:  # the first voxels' outer borders stay where they are
        matrix[:3, 3] += affine[:3, :3] @ ((np.asarray(steps) - 1) / 2)
    return Grid(shape, matrix)


def _checked_spacing(spacing: float | Sequence[float]) -> tuple[float, float, float]:
    values = [spacing] * 3 if isinstance(spacing, (int, float, np.number)) else list(spacing)
    if len(values) != 3 or not all(
        isinstance(v, (int, float, np.number)) and math.isfinite(v) and v > 0 for v in values
    ):
        raise ArgumentError(f"spacing: expected one or three (z, y, x) positive values in mm, got {spacing!r}")
    z, y, x = (float(v) for v in values)
    return z, y, x


def _checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    values = list(shape)
    if len(values) != 3 or not all(isinstance(n, (int, np.integer)) and 0 < n < 2**31 for n in values):
        raise ArgumentError(f"shape: expected three positive whole numbers (z, y, x), got {shape!r}")
    return _three(values)


def _three(values: Sequence[Any]) -> tuple[int, int, int]:
    z, y, x = (int(v) for v in values)
    return z, y, x


@dataclass(frozen=True)
class Mapping:
    """Continuous source index = matrix @ (k, j, i, 1).

    When the axes are parallel, `order` names the source axis behind each target axis; `starts` and `steps` are
    its line.
    """

    matrix: npt.NDArray[np.float64]
    order: tuple[int, int, int] | None
    starts: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()

    def positions(self, axis: int, count: int) -> npt.NDArray[np.float64]:
        """Source positions of the target's indices 0 to count - 1 along a target axis."""
        line = self.starts[axis] + self.steps[axis] * np.arange(count)
        halves = np.round(2 * line) / 2
        return np.where(np.abs(line - halves) < _SNAP, halves, line)


def mapping(source: npt.NDArray[np.float64], target: Grid) -> Mapping:
    """How the target's indices map to the source's."""
    if max(target.shape) >= 2**31:
        raise GeometryError(f"resample: an axis of {max(target.shape)} voxels is too long")
    matrix = np.asarray(np.linalg.solve(source, target.affine), np.float64) + 0.0  # no -0: its sign would reach results
    matrix[3] = 0, 0, 0, 1
    linear = matrix[:3, :3]
    if not np.isfinite(matrix).all():
        raise GeometryError("resample: the two grids lie further apart than float64 holds")
    main = np.abs(linear).argmax(axis=1)  # for each source axis, the target axis that moves along it
    if sorted(main) != [0, 1, 2]:
        return _turned(matrix, target)
    stray = np.abs(linear) * (np.array(target.shape) - 1)
    stray[np.arange(3), main] = 0
    if stray.sum(axis=1).max() > _ALIGNED:
        return _turned(matrix, target)
    a, b, c = (int(axis) for axis in np.argsort(main))
    starts = tuple(float(matrix[axis, 3]) for axis in (a, b, c))
    steps = tuple(float(linear[axis, n]) for n, axis in enumerate((a, b, c)))
    return Mapping(matrix, (a, b, c), starts, steps)


def _turned(matrix: npt.NDArray[np.float64], target: Grid) -> Mapping:
    farthest = (np.abs(matrix[:3, :3]) * (np.array(target.shape) > 1)).max()
    if farthest > _FARTHEST:
        raise GeometryError(
            f"resample: neighbours of the target lie {farthest:.3g} voxels of the image apart; at most {_FARTHEST:g}: "
            "are both affines in mm?"
        )
    return Mapping(matrix, None)
