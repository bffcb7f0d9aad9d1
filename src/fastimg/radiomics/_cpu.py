"""CPU side of the radiomics leaf: texture matrices as integers, from levels in a padded box."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import empty
from . import _native


def glcm(levels: Any, pad: int, offsets: Any, slices: tuple[int, int], count: int, *, threads: int) -> Any:
    """(offsets, count, count) int64: pairs of a level and the level at an offset, in slices [begin, end)."""
    counts = empty((len(offsets), count, count), np.int64, levels)
    counts[...] = 0
    _native.glcm(levels, pad, offsets, *slices, counts, threads)
    return counts
