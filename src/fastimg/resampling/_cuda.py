"""CUDA side of the resampling room: the same functions as `_cpu`. `threads` is of the CPU only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _gpu
from ._tables import LABEL, Displacement, Oblique, Tables, Values

_BLOCK = 256
_DEPTH = 32  # output planes that share what a thread keeps of the source's
_SHARED = 48 << 10  # bytes of shared memory that every device gives a block


def _blocks(count: int, each: int = _BLOCK) -> tuple[int]:
    return (min(-(-count // each), 1 << 20),)


def _geometry(tables: Tables) -> tuple[Any, list[Any]]:
    device = _gpu.backend()
    axes = (tables.z, tables.y, tables.x)
    geometry = np.array([axis.geometry() for axis in axes], np.int64)
    return device.to_device(geometry), [device.to_device(axis.first) for axis in axes]


def _prepared(tables: Tables, compute: str) -> tuple[Any, list[Any], list[Any]]:
    device = _gpu.backend()
    geometry, first = tables.keep((device, "geometry"), lambda: _geometry(tables))
    weights = tables.keep(
        (device, compute),
        lambda: [device.to_device(axis.weight.astype(compute)) for axis in (tables.z, tables.y, tables.x)],
    )
    return geometry, first, weights


def _intake(values: Values, compute: str) -> tuple[Any, ...]:
    real, intake = np.dtype(compute).type, values and values[0]
    return np.int32(intake is not None), *map(real, intake or (1, 0, 0, 0))


def _finish(values: Values, compute: str) -> tuple[Any, ...]:
    real, finish = np.dtype(compute).type, values and values[1]
    return np.int32(finish is not None), *map(real, finish or (0, 1))


def separable(
    array: Any,
    out: Any,
    tables: Tables,
    *,
    compute: str,
    truncate: bool,
    outside: Any,
    threads: int,
    values: Values = None,
) -> None:
    """out = weighted sums of array along y, x, z; see kernels/resample.cu."""
    geometry, first, weights = _prepared(tables, compute)
    name = f"separable_{array.dtype.name}_{out.dtype.name}_{compute}" + ("_truncate" if truncate else "")
    volumes = math.prod(array.shape[:-3])
    z, y, x = out.shape[-3:]
    if out.size:
        pieces = volumes * -(-z // _DEPTH) * -(-y // 8) * -(-x // 32)
        _gpu.launch(
            *("resample", name, (min(pieces, 1 << 20),), (_BLOCK,), array, out, np.int64(volumes), np.int64(_DEPTH)),
            *(geometry, *first, *weights, outside, *_intake(values, compute), *_finish(values, compute)),
        )


def nearest(array: Any, out: Any, tables: Tables, *, outside: Any, threads: int) -> None:
    """out = the nearest samples of array."""
    geometry, first = tables.keep((_gpu.backend(), "geometry"), lambda: _geometry(tables))
    _moved("resample", "nearest", array, out, outside, geometry, *first)


def label(array: Any, out: Any, tables: Tables, *, outside: Any, threads: int) -> None:
    """out = the votes of the samples of array; see kernels/fastimg/vote.cuh."""
    geometry, first, weights = _prepared(tables, "float64")
    _moved("resample", "label", array, out, outside, geometry, *first, *weights)


def _moved(file: str, name: str, array: Any, out: Any, outside: Any, *rest: Any) -> None:
    """Voxels of one size, whatever they mean."""
    size = np.dtype(f"u{array.dtype.itemsize}")
    volumes = np.int64(math.prod(array.shape[:-3]))
    if out.size:
        rows = _blocks(out.size // out.shape[-1], _BLOCK // 32)
        arguments = (array.view(size), out.view(size), volumes, *rest, outside.view(size))
        _gpu.launch(file, f"{name}_{size.name}", rows, (_BLOCK,), *arguments)


def prefilter(
    array: Any, out: Any, *, pole: float, horizon: int, gain: float, compute: str, threads: int, values: Values = None
) -> None:
    """out = B-spline coefficients of array for one pole along z, y, x; out may be array."""
    xp, real = _gpu.backend().xp, np.dtype(compute).type
    z, y, x = array.shape[-3:]
    count = math.prod(array.shape)
    if not count:
        return
    other = xp.empty(out.shape, out.dtype)  # a block reads its neighbours' samples: never in place
    chain = [(array, out), (out, other), (other, out)]
    if array is out:
        third = xp.empty(out.shape, out.dtype)
        chain = [(array, other), (other, third), (third, out)]
    room = (128 + 2 * horizon) * np.dtype(compute).itemsize
    wide = next(lines for lines in (64, 32, 16, 8) if room * (lines + 1) <= _SHARED)
    settings = (real(pole), real(1 / (1 - pole)), real(-pole / (1 - pole)))
    for axis, ((source, target), n, inner) in enumerate(zip(chain, (z, y, x), (y * x, x, 1), strict=True)):
        lines = count // n
        _gpu.launch(
            *("prefilter", f"prefilter_{source.dtype.name}_{compute}"),
            *((min(-(-lines // wide) * -(-n // 128), 1 << 20),), (_BLOCK,), source, target),
            *(np.int64(lines), np.int64(n), np.int64(inner), np.int32(wide), *settings),
            *(real(gain if axis == 0 else 1), np.int32(horizon), *_intake(None if axis else values, compute)),
            shared=room * (wide + 1),
        )


def oblique(
    array: Any,
    out: Any,
    tables: Oblique,
    *,
    degree: int,
    compute: str,
    truncate: bool,
    outside: Any,
    threads: int,
    values: Values = None,
    displacement: Displacement = None,
) -> None:
    """out = array interpolated at tables.matrix @ (k, j, i, 1); degrees 2 to 5 take coefficients, LABEL votes."""
    device = _gpu.backend()
    field, inverse = displacement or (None, np.zeros((3, 3)))
    size, matrix = tables.keep(
        (device, inverse.tobytes()),
        lambda: (
            device.to_device(np.array([*tables.source, *tables.target], np.int64)),
            device.to_device(np.concatenate([tables.matrix.ravel(), inverse.ravel()])),
        ),
    )
    kind = np.int32(0 if field is None else 1 if field.dtype.itemsize == 4 else 2)
    place = (size, matrix, matrix if field is None else field, kind, np.int32(tables.edge))
    if degree in (0, LABEL):
        _moved("oblique", "oblique_nearest" if degree == 0 else "oblique_label", array, out, outside, *place)
    elif out.size:
        name = f"oblique_{degree}_{array.dtype.name}_{out.dtype.name}_{compute}" + ("_truncate" if truncate else "")
        volumes = np.int64(math.prod(array.shape[:-3]))
        _gpu.launch(
            *("oblique", name, _blocks(out.size // out.shape[-1], _BLOCK // 32), (_BLOCK,), array, out, volumes),
            *(*place, outside, *_intake(values, compute), *_finish(values, compute)),
        )
