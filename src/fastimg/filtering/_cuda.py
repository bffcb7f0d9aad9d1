"""CUDA side of the filtering room: the same functions as `_cpu`. `threads` is of the CPU only."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _gpu

_BLOCK = 256


def fir(array: Any, out: Any, weights: Any, sources: Any, *, threads: int) -> None:
    """out = array filtered along z, y, x by `weights` over the indices `sources`; see kernels/filter.cu."""
    device = _gpu.backend()
    other = device.xp.empty(out.shape, out.dtype)
    z, y, x = array.shape[-3:]
    chain = ((array, out, z, y * x), (out, other, y, x), (other, out, x, 1))
    for (source, target, n, inner), kernel, indices in zip(chain, weights, sources, strict=True):
        _gpu.launch(
            "filter",
            f"filter_{source.dtype.name}_{out.dtype.name}",
            (min(-(-out.size // _BLOCK), 1 << 20),),
            (_BLOCK,),
            *(source, target, np.int64(out.size), np.int64(n), np.int64(inner)),
            *(device.to_device(kernel), device.to_device(indices), np.int32(kernel.size)),
        )
