"""CUDA side of the radiomics leaf: the same functions as `_cpu`, with the same integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _gpu
from .._arrays import empty
from ..errors import DeviceError
from . import _native

_BLOCK = 256
_SHORT, _SMALL = 8, 256  # kShort and kSmall of kernels/texture.cu
_MOST_PAIRS = 20  # kMost of kernels/maps.cu
_SHARED = 48 << 10  # bytes a block may use on every device


def _launch(
    entry: str,
    levels: Any,
    pad: int,
    slices: tuple[int, int],
    rows: int,
    *rest: Any,
    shared: int = 0,
) -> None:
    """One thread a voxel of the slices; blocks of at least as many voxels as their shared memory has bytes, at most 2^17."""
    ny, nx = (size - 2 * pad for size in levels.shape[1:])
    count = (slices[1] - slices[0]) * ny * nx
    most = max(min(-(-count // max(_BLOCK * 8, shared)), 1 << 12), -(-count >> 17))
    blocks = max(most, 1)
    box = (np.int64(ny), np.int64(nx), np.int64(pad), np.int64(slices[0]), np.int64(count))
    _gpu.launch("texture", entry, (blocks, rows), (_BLOCK,), levels, *box, *rest, shared=shared)


def _shifts(levels: Any, offsets: Any) -> Any:
    """Offsets as distances in the flat array, on the device."""
    _, ny, nx = levels.shape
    flat = (offsets.astype(np.int64) * np.array([ny * nx, nx, 1])).sum(1)
    return _gpu.backend().to_device(np.ascontiguousarray(flat))


def _zeros(shape: tuple[int, ...], beside: Any) -> Any:
    counts = empty(shape, np.int64, beside)
    counts[...] = 0
    return counts


def glcm(levels: Any, pad: int, offsets: Any, slices: tuple[int, int], count: int, *, threads: int) -> Any:
    """(offsets, count, count) int64; a table of one offset lies in shared memory where it fits."""
    counts = _zeros((len(offsets), count, count), levels)
    shared = 4 * count * count
    shifts = _shifts(levels, offsets)
    if levels.dtype == np.uint8 and shared <= _SHARED:
        _launch("glcm_uint8", levels, pad, slices, len(offsets), shifts, np.int32(count), counts, shared=shared)
    else:
        entry = f"glcm_wide_{levels.dtype.name}"
        _launch(entry, levels, pad, slices, len(offsets), shifts, np.int64(count), counts)
    return counts


def glrlm(levels: Any, pad: int, directions: Any, slices: tuple[int, int], count: int, *, threads: int) -> Any:
    """(directions, count, longest) int64: runs of each level and length that begin in slices [begin, end)."""
    flat = not directions[:, 0].any()
    longest = max(n - 2 * pad for n in levels.shape[1 if flat else 0 :])
    counts, voxels = _zeros((len(directions), count, longest), levels), _zeros((count,), levels)
    shared = 4 * count * (_SHORT + 1)
    gathers = shared <= _SHARED
    sizes = (np.int64(count), np.int64(longest), counts, voxels, np.int32(gathers))
    entry = f"glrlm_{levels.dtype.name}"
    shifts = _shifts(levels, directions)
    _launch(entry, levels, pad, slices, len(directions), shifts, *sizes, shared=shared if gathers else 0)
    lengths = _gpu.backend().xp.arange(2, longest + 1)  # runs of one are what is left of a level's voxels
    counts[:, :, 0] = voxels - (counts[:, :, 1:] * lengths).sum(2)
    return counts


def neighbours(
    levels: Any, pad: int, offsets: Any, slices: tuple[int, int], count: int, alpha: int, *, threads: int
) -> Any:
    """(3, count, offsets + 1) int64: dependent, valid and apart of csrc/radiomics/neighbours.hpp."""
    tables = _zeros((3, count, len(offsets) + 1), levels)
    shared = 4 * tables.size
    gathers = shared <= _SHARED and levels.dtype == np.uint8 and len(offsets) <= 26
    sizes = (np.int64(len(offsets)), np.int64(count), np.int64(alpha), tables, np.int32(gathers))
    shifts = _shifts(levels, offsets)
    entry = f"neighbours_{levels.dtype.name}"
    _launch(entry, levels, pad, slices, 1, shifts, *sizes, shared=shared if gathers else 0)
    return tables


def _joined(levels: Any, pad: int, flat: bool, slices: tuple[int, int], distances: Any) -> tuple[Any, Any, Any]:
    """The levels of the slices alone, and at each zone's first voxel its size and smallest distance (elsewhere 0, most)."""
    xp = _gpu.backend().xp
    steps = [(z, y, x) for z in range(2) for y in range(-1, 2) for x in range(-1, 2) if (z, y, x) > (0, 0, 0)]
    offsets = np.array([step for step in steps if not (flat and step[0])], np.int64)
    # A voxel joins those after it, so that the last slice of the range looks at none beyond: they are not its own.
    part = levels
    if slices != (0, levels.shape[0] - 2 * pad):
        part = xp.zeros(levels.shape, levels.dtype)
        part[slices[0] + pad : slices[1] + pad] = levels[slices[0] + pad : slices[1] + pad]
    parent = xp.arange(part.size, dtype=np.int32)
    name = part.dtype.name
    shifts = _shifts(part, offsets)
    _launch(f"zone_join_{name}", part, pad, slices, 1, shifts, np.int64(len(offsets)), parent)
    sizes = xp.zeros(part.size, np.int32)
    nearest = xp.full(part.size, np.iinfo(np.int32).max, np.int32)
    _launch(f"zone_count_{name}", part, pad, slices, 1, parent, distances, sizes, nearest)
    return part.reshape(-1), sizes, nearest


def zones(
    levels: Any, pad: int, flat: bool, slices: tuple[int, int], distances: Any, count: int
) -> tuple[Any, Any, Any]:
    """Level, size and (with distances of the box) smallest distance of each connected zone of slices [begin, end)."""
    xp = _gpu.backend().xp
    part, sizes, nearest = _joined(levels, pad, flat, slices, distances)
    roots = xp.flatnonzero(sizes)
    distance = nearest[roots] if distances is not None else xp.zeros(0, np.int32)
    return part[roots].astype(np.int32), sizes[roots].astype(np.int64), distance


def zone_tallies(
    levels: Any, pad: int, flat: bool, slices: tuple[int, int], distances: Any, count: int
) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    """On the host: (level, size, zones) of the sizes that occur, and the same of distances; one copy from the device."""
    part, sizes, nearest = _joined(levels, pad, flat, slices, distances)
    reach = 0 if distances is None else max(levels.shape) + 1
    begin, middle = count * _SMALL, count * (_SMALL + reach)
    table = _zeros((middle + 1 + 2 * (part.size // _SMALL + 1),), levels)
    rest = (np.int64(reach), table, table[begin:], table[middle:])
    blocks = min(-(-part.size // (_BLOCK * 8)), 1 << 12)
    _gpu.launch(
        "texture",
        f"zone_tally_{part.dtype.name}",
        (blocks,),
        (_BLOCK,),
        part,
        np.int64(part.size),
        sizes,
        nearest,
        *rest,
    )
    found = _gpu.backend().to_host(table)
    large = found[middle + 1 : middle + 1 + 2 * found[middle]].reshape(-1, 2)
    return (
        _entries(found[:begin].reshape(count, _SMALL), large),
        _entries(found[begin:middle].reshape(count, reach), large[:0]),
    )


def _entries(counts: Any, large: Any) -> tuple[Any, Any, Any]:
    """(level, size, how often) of a table and a list, in order."""
    level, size = np.nonzero(counts)
    often = counts[level, size]
    if len(large):
        pairs, times = np.unique(large, axis=0, return_counts=True)
        level, size = np.append(level + 1, pairs[:, 0]), np.append(size, pairs[:, 1])
        order = np.lexsort((size, level))
        return level[order], size[order], np.append(often, times)[order]
    return level + 1, size, often


def taxicab(mask: Any, flat: bool, *, threads: int) -> Any:
    """uint16: steps along the axes from each voxel of a mask to the nearest one outside."""
    out = mask.astype(np.uint16) * np.uint16(32766)
    nz, ny, nx = mask.shape
    for axis, (length, stride) in enumerate(((nz, ny * nx), (ny, nx), (nx, 1))):
        if axis == 0 and flat:
            continue
        lines = out.size // length
        inner, outer = (lines, 0) if axis == 0 else (nx, ny * nx) if axis == 1 else (ny, ny * nx)
        blocks = max(min(-(-lines // _BLOCK), 1 << 12), 1)
        sizes = (np.int64(lines), np.int64(inner), np.int64(length), np.int64(stride), np.int64(outer))
        _gpu.launch("texture", "taxicab_axis", (blocks,), (_BLOCK,), out, *sizes)
    return out


def shape_sums(mask: Any, *, threads: int) -> tuple[Any, Any, tuple[Any, ...]]:
    """On the host, as the CPU's; the mask comes there as bits, an eighth of its bytes, and its hulls are found there."""
    xp, to_host = _gpu.backend().xp, _gpu.backend().to_host
    nz, ny, nx = mask.shape
    words = (nx + 2 + 63) // 64
    bits = xp.empty((nz + 2, ny + 2, words + 1), np.uint64)
    sizes = tuple(np.int64(n) for n in (nz, ny, nx, words))
    _gpu.launch("mesh", "mask_bits", (_blocks(bits.size, 1),), (_BLOCK,), mask.view(np.uint8), *sizes, bits)
    sums = _zeros((10 + 4 * 256,), mask)
    blocks = (_blocks((nz + 1) * (ny + 1) * words, 32),)
    sizes = (np.int64(nz + 2), np.int64(ny + 2), np.int64(words))
    _gpu.launch("mesh", "mask_sums", blocks, (_BLOCK,), bits, *sizes, sums, shared=sums.nbytes)
    found = to_host(sums)
    return found[:10], found[10:].reshape(256, 4), _native.packed_hulls(to_host(bits), nx + 2, threads)


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
    """As the CPU's, of the GLCM: one thread a window (kernels/maps.cu)."""
    count, _, symmetric, merged, _, weights, *_, flat = options
    places, pairs, begins, *_ = window
    most = int(np.diff(begins).max())
    if not symmetric or merged or weights is not None or most > _MOST_PAIRS:
        raise DeviceError(
            "maps on a GPU takes symmetric matrices of single directions without weights, of windows with at most "
            f"{_MOST_PAIRS} pairs a direction (these have {most}): move image and mask with to_device('cpu')"
        )
    put = _gpu.backend().to_device
    table = _gpu.backend().xp.empty((count + 1, 5), np.float64)
    _gpu.launch("maps", "inverse_table", (_blocks(count + 1, 1),), (_BLOCK,), np.int64(count), table)
    _gpu.launch(
        "maps",
        "glcm_maps",
        (_blocks(len(centres), 1),),
        (_BLOCK,),
        levels,
        *(put(part) for part in (places, pairs, begins)),
        np.int64(len(begins) - 1),
        put(centres),
        put(targets),
        np.int64(len(centres)),
        put(slots),
        table,
        np.float64(flat),
        rows,
        np.int64(rows.shape[1]),
    )


def _blocks(count: int, each: int) -> int:
    """Blocks for a count of things, so many a thread."""
    return max(min(-(-count // (_BLOCK * each)), 1 << 12), 1)
