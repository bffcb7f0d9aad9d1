"""CUDA side of the resampling room: the same functions as `_cpu`. `threads` is of the CPU only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _gpu
from ._tables import Tables

_BLOCK = 256


def _blocks(count: int) -> tuple[int]:
    return (min(-(-count // _BLOCK), 1 << 20),)


def _geometry(tables: Tables) -> tuple[Any, list[Any]]:
    device = _gpu.backend()
    axes = (tables.z, tables.y, tables.x)
    geometry = np.array([axis.geometry() for axis in axes], np.int64)
    return device.to_device(geometry), [device.to_device(axis.first) for axis in axes]


def separable(
    array: Any, out: Any, tables: Tables, *, compute: str, truncate: bool, outside: Any, threads: int
) -> None:
    """out = weighted sums of array along z, y, x; see kernels/resample.cu."""
    device = _gpu.backend()
    geometry, first = tables.keep((device, "geometry"), lambda: _geometry(tables))
    weights = tables.keep(
        (device, compute),
        lambda: [device.to_device(axis.weight.astype(compute)) for axis in (tables.z, tables.y, tables.x)],
    )
    name = f"separable_{array.dtype.name}_{out.dtype.name}_{compute}" + ("_truncate" if truncate else "")
    volumes = np.int64(math.prod(array.shape[:-3]))
    if out.size:
        _gpu.launch(
            "resample", name, _blocks(out.size), (_BLOCK,), array, out, volumes, geometry, *first, *weights, outside
        )


def nearest(array: Any, out: Any, tables: Tables, *, outside: Any, threads: int) -> None:
    """out = the nearest samples of array."""
    geometry, first = tables.keep((_gpu.backend(), "geometry"), lambda: _geometry(tables))
    size = np.dtype(f"u{array.dtype.itemsize}")
    volumes = np.int64(math.prod(array.shape[:-3]))
    if out.size:
        _gpu.launch(
            "resample",
            f"nearest_{size.name}",
            _blocks(out.size),
            (_BLOCK,),
            *(array.view(size), out.view(size), volumes, geometry, *first, outside.view(size)),
        )
