"""Tables of N4: cubic B-splines on a grid, finer lattices of the same spline, turns of the Fourier transform."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["refined", "turns", "weights_along"]

Array = npt.NDArray[Any]


def weights_along(length: int, spans: int) -> tuple[Array, Array]:
    """(first control point, four weights) of each voxel; the last one is a thousandth of a voxel inside."""
    u = np.arange(length) * (spans / (length - 1))
    margin = 1e-3 * spans / (length - 1)
    u = np.where(np.abs(u - spans) <= margin, spans - margin, u)
    start = u.astype(np.int32)
    t = u - start
    parts = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    return start, np.ascontiguousarray(np.stack(parts, 1) / 6)


def refined(lattice: Array) -> Array:
    """The same spline with twice the spans along each axis."""
    for axis in range(3):
        old = np.moveaxis(lattice, axis, 0)
        new = np.empty((2 * len(old) - 3, *old.shape[1:]))
        new[0::2] = (old[:-1] + old[1:]) / 2
        new[1::2] = (old[:-2] + 6 * old[1:-1] + old[2:]) / 8
        lattice = np.moveaxis(new, 0, axis)
    return np.ascontiguousarray(lattice)


def turns(bins: int) -> Array:
    """cos and sin of 2 pi k / size, k below size / 2, of the size in which a histogram is transformed."""
    size = 1 << (math.ceil(math.log2(bins)) + 1)
    turn = 2 * np.pi * np.arange(size // 2) / size
    return np.ascontiguousarray(np.stack([np.cos(turn), np.sin(turn)], 1))
