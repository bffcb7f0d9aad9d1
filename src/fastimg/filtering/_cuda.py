"""CUDA side of the filtering room: the same functions as `_cpu`. `threads` is of the CPU only."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _gpu

_BLOCK = 256
_MOST = 65_535  # of blocks along a grid's second and third axis


def fir(array: Any, out: Any, weights: Any, sources: Any, *, threads: int) -> None:
    """out = array filtered along z, y, x by `weights` over the indices `sources`; see kernels/filter.cu."""
    device = _gpu.backend()
    other = device.xp.empty(out.shape, out.dtype)
    z, y, x = array.shape[-3:]
    chain = ((array, out, z, y * x), (out, other, y, x))
    for (source, target, n, inner), kernel, indices in zip(chain, weights, sources, strict=False):
        outer, block = array.size // (n * inner), min(_BLOCK, 32 * -(-inner // 32))
        _gpu.launch(
            "filter",
            f"across_{source.dtype.name}_{out.dtype.name}",
            (-(-inner // block), min(-(-n // 8), _MOST), min(outer, _MOST)),
            (block,),
            *(source, target, np.int32(n), np.int64(inner), np.int64(outer)),
            *(device.to_device(kernel), device.to_device(indices), np.int32(kernel.size)),
        )
    rows, block = array.size // x, min(_BLOCK, 32 * -(-x // 128))
    _gpu.launch(
        "filter",
        f"along_{out.dtype.name}",
        (-(-x // (4 * block)), min(rows, _MOST)),
        (block,),
        *(other, out, np.int32(x), np.int64(rows)),
        *(device.to_device(weights[2]), device.to_device(sources[2]), np.int32(weights[2].size)),
    )
