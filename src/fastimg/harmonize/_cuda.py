"""CUDA side of the harmonize leaf: the same functions as `_cpu`. `threads` is of the CPU only."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _gpu

_BLOCK = 256


def _each(file: str, entry: str, array: Any, out: Any, *rest: Any) -> None:
    """A thread a voxel, grid-stride."""
    blocks = min(-(-array.size // (_BLOCK * 4)), 1 << 16)
    if blocks:
        name = f"{entry}_{array.dtype.name}"
        _gpu.launch(file, name, (blocks,), (_BLOCK,), array, out, np.int64(array.size), *rest)


def window(array: Any, out: Any, low: Any, high: Any, scale: Any, *, threads: int) -> None:
    """out = window(array); see kernels/fastimg/window.cuh."""
    _each("window", "window", array, out, low, high, scale)


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


def combat_add(x: Any, batch: Any, covariates: Any, center: Any, sums: dict[str, Any], *, threads: int) -> None:
    """Add rows to the sums about a centre; see kernels/combat.cu."""
    rows, features = x.shape
    if not x.size:
        return
    skip = "n" in sums
    spare = [sums[name] if skip else sums["y"] for name in ("n", "c", "cc")]
    _gpu.launch(
        "combat",
        f"add_{x.dtype.name}",
        (-(-features // 64),),
        (64,),
        *(x, batch, covariates, center),
        *(np.int64(rows), np.int64(features), np.int32(covariates.shape[1])),
        *(sums["y"], sums["yy"], sums["cy"], *spare),
        np.int32(skip),
    )


def combat_apply(
    x: Any, out: Any, batch: Any, covariates: Any, mean: Any, beta: Any, gamma: Any, alpha: Any, *, threads: int
) -> None:
    """out = combat_apply(x); see kernels/fastimg/combat.cuh."""
    rows, features = x.shape
    if x.size:
        _gpu.launch(
            "combat",
            f"apply_{x.dtype.name}",
            (min(-(-x.size // _BLOCK), 1 << 16),),
            (_BLOCK,),
            *(x, out, batch, covariates, mean, beta, gamma, alpha),
            *(np.int64(rows), np.int64(features), np.int32(covariates.shape[1])),
        )
