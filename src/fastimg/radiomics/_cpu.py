"""CPU side of the radiomics leaf: texture matrices as integers, from levels in a padded box."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import empty
from . import _native


def glcm(levels: Any, pad: int, offsets: Any, slices: tuple[int, int], count: int, *, threads: int) -> Any:
    """(offsets, count, count) int64: pairs of a level and the level at an offset, in slices [begin, end)."""
    counts = empty((len(offsets), count, count), np.int64, levels)
    counts[...] = 0
    _native.glcm(levels, pad, offsets, *slices, counts, threads)
    return counts


def glrlm(levels: Any, pad: int, directions: Any, slices: tuple[int, int], count: int, *, threads: int) -> Any:
    """(directions, count, longest) int64: runs of each level and length that begin in slices [begin, end)."""
    flat = not directions[:, 0].any()
    longest = max(n - 2 * pad for n in levels.shape[1 if flat else 0 :])
    counts = empty((len(directions), count, longest), np.int64, levels)
    counts[...] = 0
    _native.glrlm(levels, pad, directions, *slices, counts, threads)
    return counts


def neighbours(
    levels: Any, pad: int, offsets: Any, slices: tuple[int, int], count: int, alpha: int, *, threads: int
) -> Any:
    """(3, count, offsets + 1) int64: dependent, valid and apart of csrc/radiomics/neighbours.hpp."""
    tables = empty((3, count, len(offsets) + 1), np.int64, levels)
    tables[...] = 0
    _native.neighbours(levels, pad, offsets, *slices, alpha, tables, threads)
    return tables


def zones(
    levels: Any, pad: int, flat: bool, slices: tuple[int, int], distances: Any, count: int
) -> tuple[Any, Any, Any]:
    """Level, size and (with distances of the box) smallest distance of each connected zone of slices [begin, end)."""
    return _native.zones(levels, pad, flat, *slices, count, distances)


def zone_tallies(
    levels: Any, pad: int, flat: bool, slices: tuple[int, int], distances: Any, count: int
) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    """(level, size, zones) of the sizes that occur, and the same of distances."""
    return _native.zone_tallies(levels, pad, flat, *slices, count, distances)


def taxicab(mask: Any, flat: bool, *, threads: int) -> Any:
    """uint16: steps along the axes from each voxel of a mask to the nearest one outside."""
    return _native.taxicab(mask, flat, threads)


def shape_sums(mask: Any, *, threads: int) -> tuple[Any, Any, tuple[Any, ...]]:
    """Of a mask: 10 moments, (256, 4) sums of marching-cubes cases, and the corners of the hulls of its planes."""
    return _native.shape_sums(mask.view(np.uint8), threads)


def map_features(
    family: int,
    levels: Any,
    values: Any,
    window: Any,
    options: Any,
    centres: Any,
    targets: Any,
    slots: Any,
    rows: Any,
    *,
    threads: int,
) -> None:
    """Features of the windows around centres, into rows (csrc/radiomics/maps.hpp)."""
    _native.map_features(family, levels, values, window, options, centres, targets, slots, rows, threads)
