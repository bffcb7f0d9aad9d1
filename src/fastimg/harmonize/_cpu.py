"""CPU side of the harmonize leaf: contiguous arrays of checked shapes to the compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _native


def window(array: Any, out: Any, low: Any, high: Any, scale: Any, *, look: bool = False, threads: int) -> bool:
    """out = window(array), where NaN stays; whether there is any is known for sure with `look`. See window.cuh."""
    return _native.window(array.reshape(-1), out.reshape(-1), low, high, scale, threads)


def affine(array: Any, out: Any, shift: Any, scale: Any, *, threads: int) -> None:
    """out = (array - shift) * scale; see kernels/fastimg/affine.cuh."""
    _native.affine(array.reshape(-1), out.reshape(-1), shift, scale, threads)


def piecewise(array: Any, out: Any, knot: Any, level: Any, slope: Any, *, threads: int) -> None:
    """out = piecewise(array); see kernels/fastimg/piecewise.cuh. The knots are host arrays, float32."""
    _native.piecewise(array.reshape(-1), out.reshape(-1), knot, level, slope, threads)


def lookup(array: Any, out: Any, table: Any, *, threads: int) -> None:
    """out = table[array - least value of its type], for 8 and 16 bits. The table is a host array, float32."""
    _native.lookup(array.reshape(-1), out.reshape(-1), table, threads)


def combine(arrays: Sequence[Any], weights: Sequence[Any], out: Any, *, threads: int) -> None:
    """out = sum of weights * arrays, float32, one after another; `out` may be one of the arrays."""
    flat = [array.reshape(-1) for array in arrays]
    _native.combine(flat, np.array(weights, np.float32), out.reshape(-1), threads)


def unsharp(values: Any, smooth: Any, amount: float, out: Any, *, threads: int) -> None:
    """out = values + amount * (values - smooth), float32; `out` may be either."""
    _native.unsharp(values.reshape(-1), smooth.reshape(-1), amount, out.reshape(-1), threads)


def clahe(
    array: Any, mask: Any, out: Any, low: float, scale: float, inverse: float, grid: Any, limit: float, *, threads: int
) -> None:
    """out = grey levels of a volume; grid: (tile, tiles, bins); see kernels/fastimg/clahe.cuh."""
    tile, tiles, bins = grid
    levels = np.empty(array.size, np.uint8)
    _native.clahe_levels(array.reshape(-1), levels, low, scale, inverse, threads)
    counts = np.zeros((*tiles, bins), np.int32)
    _native.clahe_count(levels, mask, array.shape, tile, counts, threads)
    _native.clahe_apply(levels, clahe_maps(counts, limit, threads), array.shape, tile, out.reshape(-1), threads)


def clahe_maps(counts: Any, limit: float, threads: int) -> Any:
    """Clipped counts of tiles, as maps from bins to grey levels: host arrays."""
    maps = np.empty(counts.shape, np.float32)
    _native.clahe_maps(counts, limit, maps, threads)
    return maps


def combat_add(x: Any, batch: Any, covariates: Any, center: Any, sums: dict[str, Any], *, threads: int) -> None:
    """Add rows to the sums about a centre; see csrc/harmonize/combat.hpp."""
    flat = {name: None if (array := sums.get(name)) is None else array.reshape(-1) for name in ("n", "c", "cc")}
    _native.combat_add(
        x,
        np.argsort(batch, kind="stable").astype(np.int64, copy=False),
        batch,
        covariates.reshape(-1),
        center.reshape(-1),
        center.shape[0],
        covariates.shape[1],
        sums["y"].reshape(-1),
        sums["yy"].reshape(-1),
        sums["cy"].reshape(-1),
        flat["n"],
        flat["c"],
        flat["cc"],
        threads,
    )


def combat_apply(
    x: Any, out: Any, batch: Any, covariates: Any, mean: Any, beta: Any, gamma: Any, alpha: Any, *, threads: int
) -> None:
    """out = combat_apply(x); see kernels/fastimg/combat.cuh."""
    _native.combat_apply(
        x,
        out,
        batch,
        covariates.reshape(-1),
        mean.reshape(-1),
        beta.reshape(-1),
        gamma.reshape(-1),
        alpha.reshape(-1),
        gamma.shape[0],
        covariates.shape[1],
        threads,
    )
