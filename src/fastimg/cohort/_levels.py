"""Coarser levels of a volume: means of neighbouring voxels, labels by vote; OME-Zarr's pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["factors_of", "halved", "halved_labels", "level_affine"]


def factors_of(shape: Sequence[int], spacing: Sequence[float], level: int) -> tuple[int, int, int]:
    """How many voxels of level 0 along z, y, x one of this level takes together.

    From a level to the next each axis is halved whose spacing is at most 1.5 times the finest, so that thick slices wait
    until the plane has come up to them; an axis of one voxel stays.
    """
    factors = [1, 1, 1]
    for _ in range(level):
        steps = [s * f for s, f in zip(spacing, factors, strict=True)]
        sides = [n // f for n, f in zip(shape[-3:], factors, strict=True)]
        finest = min((s for s, n in zip(steps, sides, strict=True) if n > 1), default=0.0)
        factors = [f * 2 if n > 1 and s <= 1.5 * finest else f for f, s, n in zip(factors, steps, sides, strict=True)]
    return factors[0], factors[1], factors[2]


def level_affine(affine: npt.NDArray[np.float64], factors: Sequence[int]) -> npt.NDArray[np.float64]:
    """4x4 of a level: its first voxel stands in the middle of those it was made of."""
    change = np.diag([*map(float, factors), 1.0])
    change[:3, 3] = (np.array(factors) - 1) / 2
    return affine @ change


def _parts(array: npt.NDArray[Any], factors: Sequence[int]) -> list[npt.NDArray[Any]]:
    """Views of every voxel of the blocks; what does not fill a block at the end of an axis is left out."""
    sides = [n // f * f for n, f in zip(array.shape[-3:], factors, strict=True)]
    found = []
    for at in product(*map(range, factors)):
        own: Any = (..., *(slice(k, side, f) for k, side, f in zip(at, sides, factors, strict=True)))
        found.append(array[own])
    return found


def halved(array: npt.NDArray[Any], factors: Sequence[int]) -> npt.NDArray[Any]:
    """Means over blocks of `factors` voxels; whole numbers rounded half to even."""
    parts = _parts(array, factors)
    if len(parts) == 1:
        return array
    total = np.zeros(parts[0].shape, np.float64)
    for part in parts:
        total += part
    total /= len(parts)
    if array.dtype.kind == "b":
        return total >= 0.5
    return (np.rint(total) if array.dtype.kind in "iu" else total).astype(array.dtype)


def halved_labels(array: npt.NDArray[Any], factors: Sequence[int]) -> npt.NDArray[Any]:
    """The label most voxels of a block have; of equal ones the greatest, so that half a block is enough for a mask."""
    parts = _parts(array, factors)
    if len(parts) == 1:
        return array
    best = np.zeros(parts[0].shape, np.uint8)
    out = np.zeros(parts[0].shape, array.dtype)
    for label in np.unique(array):
        votes = np.zeros(best.shape, np.uint8)
        for part in parts:
            votes += part == label
        wins = votes >= np.maximum(best, 1)
        out[wins], best[wins] = label, votes[wins]
    return out
