"""CUDA side of the harmonize leaf: the same functions as `_cpu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _gpu

_BLOCK = 256


def window(array: Any, out: Any, low: Any, high: Any, scale: Any, *, threads: int) -> None:
    """out = window(array); see kernels/fastimg/window.cuh. `threads` is of the CPU only."""
    blocks = min(-(-array.size // (_BLOCK * 4)), 1 << 16)
    if blocks:
        _gpu.launch(
            "window",
            f"window_{array.dtype.name}",
            (blocks,),
            (_BLOCK,),
            array,
            out,
            np.int64(array.size),
            low,
            high,
            scale,
        )
