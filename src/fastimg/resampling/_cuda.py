"""CUDA side of the resampling room: the same functions as `_cpu`. `threads` is of the CPU only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _gpu
from ._tables import Oblique, Tables

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


def prefilter(array: Any, out: Any, *, pole: float, horizon: int, gain: float, compute: str, threads: int) -> None:
    """out = B-spline coefficients of array for one pole along z, y, x; out may be array."""
    xp, real = _gpu.backend().xp, np.dtype(compute).type
    z, y, x = array.shape[-3:]
    count = math.prod(array.shape)
    other = xp.empty(out.shape, out.dtype)  # a block reads its neighbours' samples: never in place
    turn = (array, other, out) if array is not out else (array, other, xp.empty(out.shape, out.dtype))
    chain = [(turn[0], turn[1]), (turn[1], turn[2]), (turn[2], turn[1])]
    for (source, target), n, inner, scale in zip(chain, (z, y, x), (y * x, x, 1), (gain, 1.0, 1.0), strict=True):
        lines = count // n
        blocks = _blocks(lines * -(-n // 128))
        _gpu.launch(
            "prefilter",
            f"prefilter_{source.dtype.name}_{compute}",
            blocks,
            (_BLOCK,),
            *(source, target, np.int64(lines), np.int64(n), np.int64(inner)),
            *(real(pole), real(1 / (1 - pole)), real(-pole / (1 - pole)), real(scale), np.int32(horizon)),
        )
    out[...] = other


def oblique(
    array: Any, out: Any, tables: Oblique, *, degree: int, compute: str, truncate: bool, outside: Any, threads: int
) -> None:
    """out = array interpolated at tables.matrix @ (k, j, i, 1); degrees 2 to 5 take coefficients."""
    device = _gpu.backend()
    size, matrix = tables.keep(
        device,
        lambda: (
            device.to_device(np.array([*tables.source, *tables.target], np.int64)),
            device.to_device(tables.matrix),
        ),
    )
    volumes, edge = np.int64(math.prod(array.shape[:-3])), np.int32(tables.edge)
    if degree == 0:
        raw = np.dtype(f"u{array.dtype.itemsize}")
        name, array, target, outside = f"nearest_{raw.name}", array.view(raw), out.view(raw), outside.view(raw)
    else:
        name, target = f"{degree}_{array.dtype.name}_{out.dtype.name}_{compute}", out
        name += "_truncate" if truncate else ""
    if out.size:
        _gpu.launch(
            "oblique",
            f"oblique_{name}",
            _blocks(out.size),
            (_BLOCK,),
            array,
            target,
            volumes,
            size,
            matrix,
            edge,
            outside,
        )
