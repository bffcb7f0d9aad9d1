"""CUDA side of the secagg leaf: ChaCha20 only, since a GPU has no AES instructions and both ends need one generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _gpu
from ..errors import ArgumentError

_BLOCK = 128  # kThreads of chacha20.cu


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
    # All that a launch needs goes up in one copy: the counts, the keys, the rounding's key, the signs.
    head = bytes(16) + (b"".join(seeds) or bytes(32)) + (dither or bytes(32))
    small = backend.to_device(np.frombuffer(head + np.array(list(signs) or [1], np.int8).tobytes(), np.uint8).copy())
    counts, keys, rounding, directions = small[:16], small[16:], small[len(head) - 32 :], small[len(head) :]
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
    if values.dtype.kind == "u":
        return 0, 0  # nothing to wait for
    clipped, bad = backend.to_host(counts).view(np.uint64)
    return int(clipped), int(bad)
