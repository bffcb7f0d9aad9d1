"""CUDA side of the secagg leaf: ChaCha20 only, since a GPU has no AES instructions and both ends need one generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _gpu
from ..errors import ArgumentError

_BLOCK = 128


def mask(
    values: Any,
    out: Any,
    seeds: Sequence[bytes],
    signs: Sequence[int],
    *,
    prg: str,
    offset: int,
    fixed: tuple[float, float, float],
    dither: bytes | None,
    threads: int,
) -> tuple[int, int]:
    """out = fixed point of values + sum of signs * masks; `threads` is of the CPU only."""
    if prg != "chacha20":
        raise ArgumentError(f"mask: on a GPU prg must be 'chacha20', got {prg!r}")
    words = 64 // out.dtype.itemsize
    if offset % words:
        raise ArgumentError(f"mask: on a GPU the offset must be a multiple of {words}, got {offset}")
    backend = _gpu.backend()
    keys = backend.to_device(np.frombuffer(b"".join(seeds) or bytes(32), "<u4").copy())
    directions = backend.to_device(np.array(list(signs) or [1], np.int8))
    rounding = backend.to_device(np.frombuffer(dither or bytes(32), "<u4").copy())
    counts = backend.xp.zeros(2, np.uint64)
    blocks = -(-out.size // words)
    if blocks:
        _gpu.launch(
            "chacha20",
            f"mask_{values.dtype.name}_{out.dtype.name}",
            (min(-(-blocks // _BLOCK), 1 << 16),),
            (_BLOCK,),
            values.reshape(-1),
            out.reshape(-1),
            np.int64(out.size),
            np.uint32(offset // words),
            keys,
            directions,
            np.int32(len(seeds)),
            *map(np.float64, fixed),
            rounding,
            np.int32(dither is not None),
            counts,
        )
    clipped, bad = backend.to_host(counts)
    return int(clipped), int(bad)
