"""Texture matrices themselves, as exact integers, for arrays of grey levels on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _dispatch
from .._arrays import array_of, choice, thread_count
from ..errors import ArgumentError
from ._texture import offsets_of

__all__ = ["cooccurrences", "dependences", "run_lengths", "zone_tallies", "zones"]


def _padded(levels: Any, pad: int) -> tuple[Any, int]:
    array = array_of(levels, "levels")
    if array.ndim != 3 or array.dtype.kind not in "iu" or not all(array.shape):
        raise ArgumentError(
            f"levels: expected whole numbers (z, y, x), got {array.dtype} of shape {tuple(array.shape)}"
        )
    highest, lowest = int(array.max()), int(array.min())
    if lowest < 0 or highest > 65535:
        raise ArgumentError(f"levels: must lie in 0 (outside) to 65535, got {lowest} to {highest}")
    if highest == 0:
        raise ArgumentError("levels: no voxel is above 0, which is outside")
    shape = tuple(n + 2 * pad for n in array.shape)
    box = _dispatch.namespace(array).zeros(shape, np.uint8 if highest <= 255 else np.uint16)
    box[pad:-pad, pad:-pad, pad:-pad] = array
    return box, highest


def _pad_of(distances: Sequence[int]) -> int:
    if not distances or not all(isinstance(d, (int, np.integer)) and 1 <= d <= 64 for d in distances):
        raise ArgumentError(f"distances: must be whole numbers from 1 to 64, got {distances!r}")
    return int(max(distances))


def cooccurrences(
    levels: Any, *, distances: Sequence[int] = (1,), dimension: str = "3D", threads: int | None = None
) -> Any:
    """Count pairs of grey levels at each offset (GLCM).

    Parameters
    ----------
    levels : array (z, y, x) of whole numbers
        1 to n inside the region, 0 outside; at most 65535.
    distances : sequence of int
        Chebyshev distances in voxels.
    dimension : "3D" or "2D"
        2D: offsets within a slice only.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    array (offsets, n, n), int64
        [k, i - 1, j - 1]: voxels of level i whose neighbour at offset k has level j. One offset of each opposite pair,
        in order of (z, y, x); add the transpose for the symmetric matrix. On the device of `levels`.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> fi.radiomics.cooccurrences(np.array([[[1, 2, 2]]])).sum(0)
    array([[0, 1],
           [0, 1]])
    """
    choice("dimension", dimension, ("2D", "3D"))
    pad = _pad_of(distances)
    box, count = _padded(levels, pad)
    leaf = _dispatch.pick(box, leaf="radiomics")
    offsets = offsets_of(tuple(distances), dimension)
    return leaf.glcm(box, pad, offsets, (0, box.shape[0] - 2 * pad), count, threads=thread_count(threads))


def run_lengths(levels: Any, *, dimension: str = "3D", threads: int | None = None) -> Any:
    """Count runs of one grey level along each direction (GLRLM).

    Parameters
    ----------
    levels : array (z, y, x) of whole numbers
        1 to n inside the region, 0 outside; at most 65535.
    dimension : "3D" or "2D"
        2D: directions within a slice only.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    array (directions, n, longest), int64
        [k, i - 1, j - 1]: runs of level i and length j along direction k; directions in order of (z, y, x).

    Raises
    ------
    ArgumentError
        Levels that are no whole numbers from 0 to 65535, all 0, or of another number of axes; another dimension.
    """
    choice("dimension", dimension, ("2D", "3D"))
    box, count = _padded(levels, 1)
    leaf = _dispatch.pick(box, leaf="radiomics")
    directions = offsets_of((1,), dimension)
    return leaf.glrlm(box, 1, directions, (0, box.shape[0] - 2), count, threads=thread_count(threads))


def dependences(
    levels: Any,
    *,
    distances: Sequence[int] = (1,),
    dimension: str = "3D",
    alpha: int = 0,
    threads: int | None = None,
) -> Any:
    """Count what the neighbours of each voxel say (NGLDM and NGTDM).

    Parameters
    ----------
    levels : array (z, y, x) of whole numbers
        1 to n inside the region, 0 outside; at most 65535.
    distances : sequence of int
        Chebyshev distances in voxels, 1 to 64.
    dimension : "3D" or "2D"
        2D: offsets within a slice only.
    alpha : int
        The largest difference of level of a dependent neighbour (NGLDM), from 0.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    array (3, n, neighbours + 1), int64
        [0, i - 1, k]: voxels of level i with k dependent neighbours. [1, i - 1, k]: voxels with k neighbours in the
        region. [2, i - 1, k]: over those, the sum of abs(k level - sum of the neighbours' levels).

    Raises
    ------
    ArgumentError
        Levels that are no whole numbers from 0 to 65535, all 0, or of another number of axes; an alpha, distance, dimension or threads
        out of range.
    """
    choice("dimension", dimension, ("2D", "3D"))
    if isinstance(alpha, bool) or not isinstance(alpha, (int, np.integer)) or alpha < 0:
        raise ArgumentError(f"alpha: must be a whole number from 0, got {alpha!r}")
    pad = _pad_of(distances)
    box, count = _padded(levels, pad)
    leaf = _dispatch.pick(box, leaf="radiomics")
    offsets = offsets_of(tuple(distances), dimension, both=True)
    slices = (0, box.shape[0] - 2 * pad)
    return leaf.neighbours(box, pad, offsets, slices, count, int(alpha), threads=thread_count(threads))


def zones(
    levels: Any, mask: Any = None, *, distances: bool = True, dimension: str = "3D", threads: int | None = None
) -> tuple[Any, Any, Any]:
    """Connected zones of one grey level (GLSZM and GLDZM).

    Parameters
    ----------
    levels : array (z, y, x) of whole numbers
        As for `cooccurrences`.
    mask : array (z, y, x), optional
        The region whose border distances are measured to; default: where `levels` is above 0.
    distances : bool
        Whether the distances are wanted (GLDZM); without them the third array is empty.
    dimension : "3D" or "2D"
        3D: 26 neighbours and distances in space; 2D: 8 neighbours and distances within the slice.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    level, size, distance : arrays (zones,), int32, int64, int32
        Of each zone, in the order of their first voxel: its level, its number of voxels, and the smallest number of
        steps along the axes from one of them to a voxel outside the mask (1 at the edge; outside the array is outside).
    """
    leaf, box, flat, far, count = _zone_arguments(levels, mask, distances, dimension, threads)
    return leaf.zones(box, 1, flat, (0, box.shape[0] - 2), far, count)


def zone_tallies(
    levels: Any, mask: Any = None, *, distances: bool = True, dimension: str = "3D", threads: int | None = None
) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    """Count connected zones by level and size (GLSZM), and by level and distance (GLDZM).

    The matrices without their zeros: as arrays they would be as wide as the largest zone.

    Parameters
    ----------
    levels : array (z, y, x) of whole numbers
        1 to n inside the region, 0 outside; at most 65535.
    mask : array (z, y, x), optional
        The region whose border distances are measured to; default: where `levels` is above 0.
    distances : bool
        Whether the distances are wanted (GLDZM); without them the second three arrays are empty.
    dimension : "3D" or "2D"
        3D: 26 neighbours and distances in space; 2D: 8 neighbours and distances within the slice.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    (level, size, count), (level, distance, count) : arrays (entries,), int64, on the host
        How many zones have each level and size, in order of both; the same for distances, empty without them.

    Raises
    ------
    ArgumentError
        Levels that are no whole numbers from 0 to 65535, all 0, or of another number of axes; a mask of another shape; another dimension.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> by_size, by_distance = fi.radiomics.zone_tallies(np.array([[[1, 2, 2, 1]]]))
    >>> [part.tolist() for part in by_size]
    [[1, 2], [1, 2], [2, 1]]
    """
    leaf, box, flat, far, count = _zone_arguments(levels, mask, distances, dimension, threads)
    by_size, by_distance = leaf.zone_tallies(box, 1, flat, (0, box.shape[0] - 2), far, count)
    return by_size, by_distance


def _zone_arguments(
    levels: Any, mask: Any, distances: bool, dimension: str, threads: int | None
) -> tuple[Any, Any, bool, Any, int]:
    choice("dimension", dimension, ("2D", "3D"))
    box, count = _padded(levels, 1)
    inside = box[1:-1, 1:-1, 1:-1] > 0 if mask is None else array_of(mask, "mask") != 0
    if tuple(inside.shape) != tuple(n - 2 for n in box.shape):
        raise ArgumentError(f"mask: expected the shape of levels, got {tuple(inside.shape)}")
    leaf = _dispatch.pick(box, inside, leaf="radiomics")
    flat = dimension == "2D"
    far = None
    if distances:
        region = _dispatch.namespace(box).ascontiguousarray(inside).view(np.uint8)
        far = leaf.taxicab(region, flat, threads=thread_count(threads))
    return leaf, box, flat, far, count
