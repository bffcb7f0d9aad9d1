"""map_voxels on a GPU: one Numba CUDA kernel for each number of arrays, a thread a voxel."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from numba import cuda

__all__ = ["run"]

_BLOCK = 256


def run(function: Callable[..., Any], *arrays: Any) -> None:
    """arrays[-1][i] = function(arrays[0][i], ...) for flat arrays of one length on the device."""
    blocks = -(-arrays[-1].size // _BLOCK)
    _compiled(function, len(arrays) - 1)[blocks, _BLOCK](*arrays)


@lru_cache(maxsize=128)
def _compiled(function: Callable[..., Any], count: int) -> Any:
    f = cuda.jit(function, device=True)

    def each1(a: Any, o: Any) -> None:
        i = cuda.grid(1)
        if i < o.size:
            o[i] = f(a[i])

    def each2(a: Any, b: Any, o: Any) -> None:
        i = cuda.grid(1)
        if i < o.size:
            o[i] = f(a[i], b[i])

    def each3(a: Any, b: Any, c: Any, o: Any) -> None:
        i = cuda.grid(1)
        if i < o.size:
            o[i] = f(a[i], b[i], c[i])

    def each4(a: Any, b: Any, c: Any, d: Any, o: Any) -> None:
        i = cuda.grid(1)
        if i < o.size:
            o[i] = f(a[i], b[i], c[i], d[i])

    return cuda.jit((each1, each2, each3, each4)[count - 1])
