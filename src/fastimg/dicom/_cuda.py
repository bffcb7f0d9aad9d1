"""CUDA side of the dicom leaf: the same functions as `_cpu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _gpu

_BLOCK = 256
_EACH = _BLOCK * 16  # values of a block; see kernels/fastimg/each.cuh


def rescale(array: Any, out: Any, left: int, right: int, slope: float, intercept: float, *, threads: int) -> None:
    """out = rescale(array); see kernels/fastimg/rescale.cuh. `threads` is of the CPU only."""
    blocks = min(-(-array.size // _EACH), 1 << 16)
    if blocks:
        _gpu.launch(
            "rescale",
            f"rescale_{array.dtype.name}",
            (blocks,),
            (_BLOCK,),
            array,
            out,
            np.int64(array.size),
            np.int32(left),
            np.int32(right),
            np.float64(slope),
            np.float64(intercept),
        )


def lookup(array: Any, out: Any, first: int, table: Any) -> None:
    """out = table[array - first], the ends beyond them (PS3.3 C.11.1.1.1); integers to float32."""
    entries = _gpu.backend().to_device(np.ascontiguousarray(table, np.float32))
    blocks = min(-(-array.size // _EACH), 1 << 16)
    if blocks:
        _gpu.launch(
            "rescale",
            f"lookup_{array.dtype.name}",
            (blocks,),
            (_BLOCK,),
            array,
            out,
            np.int64(array.size),
            np.int64(first),
            entries,
            np.int64(len(table)),
        )


def reorient(
    array: Any, out: Any, order: tuple[int, int, int], flipped: tuple[bool, bool, bool], *, threads: int
) -> None:
    """out = array with its last three axes in another order, some backwards; `threads` is of the CPU only."""
    if array.size == 0:
        return
    sizes = array.shape[-3:]
    strides = (sizes[1] * sizes[2], sizes[2], 1)
    first = sum((sizes[axis] - 1) * strides[axis] for axis, flip in zip(order, flipped, strict=True) if flip)
    steps = [-strides[axis] if flip else strides[axis] for axis, flip in zip(order, flipped, strict=True)]
    word = np.dtype(f"u{array.dtype.itemsize}")
    _gpu.launch(
        "reorient",
        f"reorient_{word.itemsize}",
        (min(-(-array.size // (_BLOCK * 4)), 1 << 16),),
        (_BLOCK,),
        array.view(word),
        out.view(word),
        np.int64(array.size),
        *(np.int64(sizes[axis]) for axis in order),
        *(np.int64(step) for step in steps),
        np.int64(first),
        np.int32(order.index(2)),
    )
