"""CPU side of the secagg leaf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _native

_PRG = {"aes128-ctr": 0, "chacha20": 1}


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
    """out = fixed point of values + sum of signs * masks; the numbers of clipped and of not finite values."""
    stream = _native.MaskStream(list(seeds), [sign < 0 for sign in signs], _PRG[prg], False)
    clipped, bad = stream.apply(values.reshape(-1), out.reshape(-1), offset, *fixed, threads, dither)
    return int(clipped), int(bad)
