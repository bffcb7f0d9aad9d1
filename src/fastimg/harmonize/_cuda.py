"""CUDA side of the harmonize leaf: the same functions as `_cpu`. `threads` is of the CPU only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _gpu

_BLOCK = 256
_TILE = 128  # rows of one batch that a block sums, at least


def _each(file: str, entry: str, array: Any, out: Any, *rest: Any) -> None:
    """A thread sixteen voxels; see kernels/fastimg/each.cuh."""
    blocks = min(-(-array.size // (_BLOCK * 16)), 1 << 16)
    if blocks:
        name = f"{entry}_{array.dtype.name}"
        _gpu.launch(file, name, (blocks,), (_BLOCK,), array, out, np.int64(array.size), *rest)


def window(array: Any, out: Any, low: Any, high: Any, scale: Any, *, look: bool = False, threads: int) -> bool:
    """out = window(array); with `look` the host waits to tell whether there is a NaN, else the answer is False."""
    device = _gpu.backend()
    holes = device.xp.zeros(1, np.int32)
    _each("window", "window", array, out, low, high, scale, holes)
    return look and bool(device.to_host(holes)[0])


def affine(array: Any, out: Any, shift: Any, scale: Any, *, threads: int) -> None:
    """out = (array - shift) * scale; see kernels/fastimg/affine.cuh."""
    _each("map", "affine", array, out, shift, scale)


def piecewise(array: Any, out: Any, knot: Any, level: Any, slope: Any, *, threads: int) -> None:
    """out = piecewise(array); see kernels/fastimg/piecewise.cuh."""
    device = _gpu.backend().to_device
    _each("map", "piecewise", array, out, device(knot), device(level), device(slope), np.int32(len(knot)))


def lookup(array: Any, out: Any, table: Any, *, threads: int) -> None:
    """out = table[array - least value of its type], for 8 and 16 bits."""
    least = np.int32(np.iinfo(array.dtype).min)
    _each("map", "lookup", array, out, _gpu.backend().to_device(table), least)


def combine(arrays: Sequence[Any], weights: Sequence[Any], out: Any, *, threads: int) -> None:
    """out = sum of weights * arrays, float32, one after another; `out` may be one of the arrays."""
    total = arrays[0] * np.float32(weights[0])
    for array, weight in zip(arrays[1:], weights[1:], strict=True):
        total += array * np.float32(weight)
    out[...] = total


def unsharp(values: Any, smooth: Any, amount: float, out: Any, *, threads: int) -> None:
    """out = values + amount * (values - smooth), float32; `out` may be either."""
    out[...] = values + np.float32(amount) * (values - smooth)


def clahe(
    array: Any, mask: Any, out: Any, low: float, scale: float, inverse: float, grid: Any, limit: float, *, threads: int
) -> None:
    """out = grey levels of a volume; the tiles' maps are made on the host: a few thousand numbers."""
    from ._cpu import clahe_maps

    device = _gpu.backend()
    tile, tiles, bins = grid
    levels = device.xp.empty(array.size, np.uint8)
    _each("clahe", "levels", array, levels, np.float64(low), np.float64(scale), np.float64(inverse))
    counts = device.xp.empty((*tiles, bins), np.int32)
    sizes = [np.int32(n) for n in (*array.shape, *tile)]
    where = (levels if mask is None else mask, np.int32(mask is not None))
    number = [np.int32(n) for n in tiles]
    blocks = (int(np.prod(tiles)),)
    _gpu.launch("clahe", "tiles", blocks, (_BLOCK,), levels, *where, *sizes, *number[1:], np.int32(bins), counts)
    maps = device.to_device(clahe_maps(device.to_host(counts), limit, threads))
    nz, ny, nx = array.shape
    block = min(_BLOCK, 32 * -(-nx // 32))
    grid3 = -(-nx // block), min(-(-ny // 4), 65_535), min(nz, 65_535)  # four rows a thread
    _gpu.launch("clahe", "apply", grid3, (block,), levels, maps, *sizes, *number, np.int32(bins), out)


def combat_add(x: Any, batch: Any, covariates: Any, center: Any, sums: dict[str, Any], *, threads: int) -> None:
    """Add rows to the sums about a centre; see kernels/combat.cu. The batches' codes are on the host."""
    rows, features = x.shape
    if not x.size:
        return
    xp, device = _gpu.backend().xp, _gpu.backend().to_device
    batches, q = center.shape[0], covariates.shape[1]
    order, counts = _by_batch(batch, batches)
    first, batch_of, tiles = _tiles(counts)
    skip = "n" in sums
    one = xp.ones((rows, 1))
    linear = _fours(xp, [one, covariates])
    factors = [linear]
    if skip:
        pairs = (covariates[:, :, None] * covariates[:, None, :]).reshape(rows, q * q)
        factors.append(_fours(xp, [one, covariates, pairs]))
    factor = xp.ascontiguousarray(xp.concatenate(factors, axis=1))
    groups = factor.shape[1] // 4
    partial = xp.empty((len(batch_of), groups * 4 + 1, features))
    total = xp.empty((batches, groups * 4 + 1, features))
    _gpu.launch(
        "combat",
        f"add_{x.dtype.name}",
        (-(-features // 64), len(batch_of), groups),
        (64,),
        *(x, x if order is None else device(order), np.int32(order is None)),
        *(device(first), device(batch_of), factor, center),
        *(np.int64(features), np.int32(groups), np.int32(linear.shape[1] // 4), partial, np.int32(skip)),
    )
    width = total.shape[1] * features
    _gpu.launch(
        "combat",
        "fold_float64",
        (-(-width // _BLOCK), batches),
        (_BLOCK,),
        *(partial, device(tiles), np.int64(width), np.int64(batches), total),
    )
    sums["y"] += total[:, 0]
    sums["yy"] += total[:, -1]
    sums["cy"] += total[:, 1 : 1 + q]
    if skip:
        at = linear.shape[1]
        sums["n"] += total[:, at]
        sums["c"] += total[:, at + 1 : at + 1 + q]
        sums["cc"] += total[:, at + 1 + q : at + 1 + q + q * q].reshape(batches, q, q, features)


def _by_batch(batch: Any, batches: int) -> tuple[Any, Any]:
    """(the rows by batch, None where they lie so, and how many each has)."""
    order = None
    if not (batch[1:] >= batch[:-1]).all():
        keys = batch.astype(np.uint16) if batches <= 1 << 16 else batch  # NumPy sorts 16 bits by radix
        order = np.argsort(keys, kind="stable").astype(np.int64, copy=False)
        batch = batch[order]
    return order, np.diff(np.searchsorted(batch, np.arange(batches + 1)))


def _tiles(counts: Any) -> tuple[Any, Any, Any]:
    """(first row of each tile and the end, its batch, first tile of each batch and the end), rows sorted by batch."""
    size = max(_TILE, -(-int(counts.sum()) // (1 << 15)))  # a grid has 65,535 rows of blocks at most
    number = -(-counts // size)
    batch_of = np.repeat(np.arange(len(counts)), number)
    tiles = np.concatenate([[0], np.cumsum(number)])
    start = np.concatenate([[0], np.cumsum(counts)])
    within = np.arange(len(batch_of)) - tiles[batch_of]
    first = np.append(start[batch_of] + within * size, start[-1])
    return first.astype(np.int64), batch_of.astype(np.int32), tiles.astype(np.int64)


def _fours(xp: Any, parts: list[Any]) -> Any:
    """The columns side by side, and zeros up to a multiple of four."""
    wide = sum(part.shape[1] for part in parts)
    return xp.concatenate([*parts, xp.zeros((len(parts[0]), -wide % 4))], axis=1)


def combat_apply(
    x: Any, out: Any, batch: Any, covariates: Any, mean: Any, beta: Any, gamma: Any, alpha: Any, *, threads: int
) -> None:
    """out = combat_apply(x); see kernels/fastimg/combat.cuh."""
    rows, features = x.shape
    if x.size:
        _gpu.launch(
            "combat",
            f"apply_{x.dtype.name}",
            (-(-features // _BLOCK), min(rows, 1 << 12)),
            (_BLOCK,),
            *(x, out, batch, covariates, mean, beta, gamma, alpha),
            *(np.int64(rows), np.int64(features), np.int32(covariates.shape[1])),
        )
