"""CPU side of the filtering room: contiguous arrays of checked shapes to the compiled loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _native

_KINDS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def fir(array: Any, out: Any, weights: Any, sources: Any, *, threads: int) -> None:
    """out = array filtered along z, y, x by `weights` over the indices `sources`; see csrc/filtering/fir.hpp."""
    kind, axes = _KINDS.index(array.dtype.name), [part for pair in zip(weights, sources, strict=True) for part in pair]
    volumes = array.reshape(-1, *array.shape[-3:])
    for volume, target in zip(volumes, out.reshape(volumes.shape), strict=True):
        _native.fir(volume.reshape(-1).view(np.uint8), kind, target.reshape(-1), *axes, threads)
