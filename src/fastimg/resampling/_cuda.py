"""CUDA side of the resampling room: the same functions as `_cpu`. `threads` is of the CPU only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _gpu
from ._tables import LABEL, AxisTable, Displacement, Oblique, Poles, Tables, Values

_BLOCK = 256
_DEPTH = 32  # output planes that share what a thread keeps of the source's
_LINEAR = (64, 8, 30)  # kernels/linear.cu: columns and rows of a block, and how deep a slab it takes
_ROWS = 2  # of nearest neighbours that a warp takes together
_TILE = (32, 8, 32)  # kernels/oblique.cu: columns, rows and planes of a block
_GRID = 65535  # blocks along the second and third axis of a grid
_SPLINE_BLOCK = 128  # kernels/fastimg/bspline.cuh
_SHARED = 48 << 10  # bytes of shared memory that every device gives a block
_TAPS, _HORIZON, _BEHIND, _COLUMNS = 4, 13, 2, 160  # kernels/cubic.cu
_SMALLEST = 48
_PLANE_SHARED = 4 * _COLUMNS * (_COLUMNS + 4) + 2 * (16 + 4) * (_SPLINE_BLOCK + 2 * _BEHIND)


def _rows(out: Any) -> tuple[int]:
    """Blocks whose warps take a row each."""
    return (min(-(-out.size // max(out.shape[-1], 1) * 32 // _BLOCK), 1 << 20),)


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


def _walk(tables: Tables, compute: str) -> tuple[str, int, Any, Any] | None:
    """How kernels/linear.cu walks the planes of z: direction, first plane, the last plane that each output needs and the
    first output that needs more than each plane, planes counted from the first on. None: where that kernel does not serve,
    since an axis has other taps, a row is one sample, or half of the planes or more would be read in vain.
    """
    z = tables.z
    if not all(axis.linear for axis in (z, tables.y, tables.x)) or tables.x.size < 2:
        return None
    first, top = z.first[z.low : z.high].astype(np.int64), np.zeros(z.out, np.int32)
    last = first + (z.weight[0, z.low : z.high].astype(compute) != 0)
    if not first.size:
        return "up", 0, *map(_gpu.backend().to_device, (top, np.zeros(1, np.int32)))
    down = first[0] > first[-1]
    base = int(last[0] if down else first[0])
    needed = base - first if down else last - base
    if np.any(np.diff(needed) < 0) or 2 * np.union1d(first, last).size <= needed[-1]:
        return None
    top[z.low : z.high] = needed
    upto = z.low + np.searchsorted(needed, np.arange(needed[-1] + 1), side="right")
    return "down" if down else "up", base, *map(_gpu.backend().to_device, (top, upto.astype(np.int32)))


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
    """out = weighted sums of array along y, x, z; see kernels/linear.cu for two taps an axis, else kernels/resample.cu."""
    geometry, first, weights = _prepared(tables, compute)
    name = f"{array.dtype.name}_{out.dtype.name}_{compute}" + ("_truncate" if truncate else "")
    volumes = math.prod(array.shape[:-3])
    z, y, x = out.shape[-3:]
    walk = tables.keep((_gpu.backend(), compute, "walk"), lambda: _walk(tables, compute))
    if walk and max(volumes, -(-z // _LINEAR[2])) <= _GRID:
        if out.size:
            direction, base, top, upto = walk
            columns, rows, depth = _LINEAR
            _gpu.launch(
                *("linear", f"linear_{direction}_{name}", (-(-y // rows) * -(-x // columns), -(-z // depth), volumes)),
                *((_BLOCK,), array, out, np.int32(depth), *_sizes(tables), np.int32(base), top, upto, weights[0]),
                *(first[1], weights[1], first[2], weights[2], outside),
                *(*_intake(values, compute), *_finish(values, compute)),
            )
        return
    if out.size:
        pieces = (min(volumes * -(-z // _DEPTH) * -(-y // 8) * -(-x // 32), 1 << 20),)
        _gpu.launch(
            *("resample", f"separable_{name}", pieces, (_BLOCK,), array, out, np.int64(volumes), np.int64(_DEPTH)),
            *(geometry, *first, *weights, outside, *_intake(values, compute), *_finish(values, compute)),
        )


def nearest(array: Any, out: Any, tables: Tables, *, outside: Any, threads: int) -> None:
    """out = the nearest samples of array."""
    _, first = tables.keep((_gpu.backend(), "geometry"), lambda: _geometry(tables))
    volumes, (z, y, x) = math.prod(array.shape[:-3]), out.shape[-3:]
    apart = 32 // math.gcd(32, x * out.dtype.itemsize)
    warps = -(-y // (_ROWS * apart)) * apart
    grid = (-(-warps * 32 // _BLOCK), min(z, _GRID), min(volumes, _GRID))
    each = (np.int32(volumes), np.int32(apart), *_sizes(tables))
    _moved("resample", "nearest", array, out, outside, *each, *first, blocks=grid)


def _sizes(tables: Tables) -> tuple[np.int32, ...]:
    """in, out, low, high of z, y, x."""
    return tuple(np.int32(n) for t in (tables.z, tables.y, tables.x) for n in (t.size, t.out, t.low, t.high))


def label(array: Any, out: Any, tables: Tables, *, outside: Any, threads: int) -> None:
    """out = the votes of the samples of array; see kernels/fastimg/vote.cuh."""
    geometry, first, weights = _prepared(tables, "float64")
    volumes = np.int64(math.prod(array.shape[:-3]))
    _moved("resample", "label", array, out, outside, volumes, geometry, *first, *weights, blocks=_rows(out))


def _moved(file: str, name: str, array: Any, out: Any, outside: Any, *rest: Any, blocks: tuple[int, ...]) -> None:
    """Voxels of one size, whatever they mean."""
    size = np.dtype(f"u{array.dtype.itemsize}")
    if out.size:
        arguments = (array.view(size), out.view(size), *rest, outside.view(size))
        _gpu.launch(file, f"{name}_{size.name}", blocks, (_BLOCK,), *arguments)


def spline(
    array: Any,
    out: Any,
    tables: Tables,
    memory: Any,
    *,
    poles: Poles,
    compute: str,
    truncate: bool,
    outside: Any,
    threads: int,
    values: Values = None,
) -> None:
    """out = B-spline of array, axis by axis; see kernels/spline.cu. CuPy's pool keeps the memory between the axes."""
    if not out.size:
        return
    xp = _gpu.backend().xp
    cubic = _cubic_tables(tables, poles, compute, array)
    if cubic is not None:
        _cubic(array, out, tables, cubic, poles[0][0], outside, values)
        return
    intake, finish = values or (None, None)
    order, shape = ((0, 1, 2) if tables.z_first else (1, 2, 0)), [math.prod(array.shape[:-3]), *array.shape[-3:]]
    axes = (tables.z, tables.y, tables.x)
    for step, axis in enumerate(order):
        made = [*shape[: axis + 1], axes[axis].out, *shape[axis + 2 :]]
        last = step == 2
        target = out if last else xp.empty(made, compute)
        others = [n for n in range(3) if n != axis]
        inside = (
            np.int64(math.prod(made[n + 1] for n in others)),
            np.int64(made[others[1] + 1]),
            *(np.int32(edge) for n in others for edge in (axes[n].low, axes[n].high)),
            *(np.int32(axes[axis].low), np.int32(axes[axis].high)),
        )
        everywhere = (np.int64(0), np.int64(1), *[np.int32(0)] * 6)
        _spline_axis(
            *(array, target, tables, axis, shape, poles, compute),
            inside=inside if last else everywhere,
            outside=outside if last else np.dtype(compute).type(0),
            values=(None if step else intake, finish if last else None),
            truncate=truncate and last,
        )
        array, shape = target, made


def _cubic_rows(axis: AxisTable) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]] | None:
    """Where each output begins, and the weights by that; None where two outputs begin at one sample.

    The outermost outputs share the axis's first or last taps: they are given the places before and behind.
    """
    inside, last = slice(axis.low, axis.high), axis.size - _TAPS
    rows = axis.first.copy()
    for edge, way in ((0, -1), (last, 1)):
        share = np.flatnonzero(axis.first[inside] == edge) + axis.low
        rows[share] = edge + way * np.arange(share.size)
    if (
        np.unique(rows[inside]).size < axis.high - axis.low
        or np.abs(rows[inside] - last / 2).max() > last / 2 + _BEHIND
    ):
        return None
    weights = np.zeros((-(-axis.size // _SPLINE_BLOCK) * _SPLINE_BLOCK + 2 * _BEHIND, _TAPS), np.float32)
    weights[rows[inside] + _BEHIND] = axis.weight[:, inside].T
    return rows, weights


def _cubic_tables(tables: Tables, poles: Poles, compute: str, array: Any) -> Any:
    """What kernels/cubic.cu takes, or None where it does not serve; see there."""
    axes = (tables.z, tables.y, tables.x)
    if (
        compute != "float32"
        or tables.z_first
        or [horizon for _, horizon in poles] != [_HORIZON]
        or any(axis.size < _SMALLEST or axis.weight.shape[0] != _TAPS or axis.high <= axis.low for axis in axes)
        or 4 * max(array.shape[-1], tables.x.out) * max(array.shape[-2], tables.y.out) >= 1 << 32
        or (np.diff(tables.z.first) < 0).any()
    ):
        return None

    def make() -> Any:
        y, x = _cubic_rows(tables.y), _cubic_rows(tables.x)
        if y is None or x is None:
            return None
        starts = np.searchsorted(tables.z.first, np.arange(tables.z.size + 1)).astype(np.int32)
        weights = np.zeros((tables.z.out + 2, _TAPS), np.float32)
        weights[:-2] = tables.z.weight.T
        shared = (
            4 * _COLUMNS**2
            + 16 * (int(np.diff(starts[::_SPLINE_BLOCK], append=starts[-1]).max()) + 2)
            + 4 * (_SPLINE_BLOCK + 1)
        )
        if max(shared, _PLANE_SHARED) > _gpu.backend().shared_limit:
            return None
        # what lies outside along y and x is left to the stack
        ranges = [np.clip(axis.ranges(_SPLINE_BLOCK), axis.low, axis.high) for axis in (tables.y, tables.x)]
        put = _gpu.backend().to_device
        return [*map(put, ranges)], [*map(put, y)], [*map(put, x)], (put(starts), put(weights)), shared

    return tables.keep((_gpu.backend(), "cubic"), make)


def _cubic(array: Any, out: Any, tables: Tables, cubic: Any, pole: float, outside: Any, values: Values) -> None:
    """out = cubic B-spline of array by kernels/cubic.cu."""
    (y_ranges, x_ranges), down, across, stack, shared = cubic
    z, y, x = tables.z, tables.y, tables.x
    volumes, whole = math.prod(array.shape[:-3]), np.int32
    between = _gpu.backend().xp.empty((volumes, z.size, y.out, x.out), np.float32)
    recursion = tuple(map(np.float32, (pole, 1 / (1 - pole), -pole / (1 - pole))))
    tiles = volumes * z.size * -(-y.size // _SPLINE_BLOCK) * -(-x.size // _SPLINE_BLOCK)
    _gpu.launch(
        *("cubic", f"plane_{array.dtype.name}", (min(tiles, 1 << 20),), (_COLUMNS,), array, between),
        *(np.int64(volumes * z.size), whole(y.size), whole(y.out), y_ranges, *down),
        *(whole(x.size), whole(x.out), x_ranges, *across, *recursion, *_intake(values, "float32")),
        shared=_PLANE_SHARED,
    )
    groups = volumes * -(-y.out * x.out // _COLUMNS) * -(-z.size // _SPLINE_BLOCK)
    edges = [whole(edge) for axis in (y, x, z) for edge in (axis.low, axis.high)]
    _gpu.launch(
        *("cubic", f"stack_{out.dtype.name}", (min(groups, 1 << 20),), (_COLUMNS,), between, out, np.int64(volumes)),
        *(np.int64(y.out * x.out), whole(z.size), whole(z.out), *stack, *recursion, whole(x.out), *edges),
        *(outside, *_finish(values, "float32")),
        shared=shared,
    )


def coefficients(
    array: Any, out: Any, tables: Tables, *, poles: Poles, compute: str, threads: int, values: Values = None
) -> None:
    """out = B-spline coefficients of array; the tables take each sample alone."""
    spline(
        *(array, out, tables, None),
        poles=poles,
        compute=compute,
        truncate=False,
        outside=np.dtype(compute).type(0),
        threads=threads,
        values=values,
    )


def _spline_axis(
    source: Any,
    target: Any,
    tables: Tables,
    axis: int,
    shape: list[int],
    poles: Poles,
    compute: str,
    *,
    inside: tuple[Any, ...],
    outside: Any,
    values: Values,
    truncate: bool,
) -> None:
    """One axis of (volumes, z, y, x)."""
    device, real, table = _gpu.backend(), np.dtype(compute).type, (tables.z, tables.y, tables.x)[axis]
    _, first, weights = _prepared(tables, compute)
    ranges = tables.keep((device, "ranges", axis), lambda: device.to_device(table.ranges(_SPLINE_BLOCK)))
    taps, reach = table.weight.shape[0], sum(horizon for _, horizon in poles)
    lines, inner = math.prod(shape) // table.size, math.prod(shape[axis + 2 :])
    room = (min(_SPLINE_BLOCK + taps - 1, table.size) + 2 * reach) * np.dtype(compute).itemsize
    wide = next(lines for lines in (64, 32, 16, 8, 4, 2, 1) if room * (lines + 1) <= _SHARED)
    recursions: list[Any] = []
    for pole, horizon in [*poles, (0.5, 0)][:2]:
        recursions += [real(pole), real(1 / (1 - pole)), real(-pole / (1 - pole)), np.int32(horizon)]
    name = f"spline_{source.dtype.name}_{target.dtype.name}_{compute}" + ("_truncate" if truncate else "")
    blocks = -(-lines // wide) * -(-table.size // _SPLINE_BLOCK)
    _gpu.launch(
        *("spline", name, (min(blocks, 1 << 20),), (_BLOCK,), source, target, np.int64(lines), np.int64(inner)),
        *(
            np.int32(table.size),
            np.int32(table.out),
            np.int32(taps),
            np.int32(wide),
            ranges,
            first[axis],
            weights[axis],
        ),
        *(*recursions, *inside, outside, *_intake(values, compute), *_finish(values, compute)),
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
    inverse = tables.keep((device, inverse.tobytes()), lambda: device.to_device(np.ascontiguousarray(inverse).ravel()))
    reach = np.abs(tables.matrix) @ [*tables.target, 1]
    far = bool(np.any(reach + np.abs(tables.matrix[:, :3]).sum(1) * 16 > 9e8))
    place = (
        *map(np.int32, (*tables.source, *tables.target)),
        *map(np.float64, tables.matrix.ravel()),
        *(inverse, inverse if field is None else field),
        *map(np.int32, (0 if field is None else 1 if field.dtype.itemsize == 4 else 2, tables.edge, far)),
    )
    z, y, x = out.shape[-3:]
    volumes = math.prod(array.shape[:-3])
    columns, rows, planes = _TILE
    blocks = (min(volumes * -(-z // planes) * -(-y // rows) * -(-x // columns), 1 << 20),)
    if degree in (0, LABEL):
        name = "oblique_nearest" if degree == 0 else "oblique_label"
        _moved("oblique", name, array, out, outside, np.int64(volumes), *place, blocks=blocks)
    elif out.size:
        name = f"oblique_{degree}_{array.dtype.name}_{out.dtype.name}_{compute}" + ("_truncate" if truncate else "")
        _gpu.launch(
            *("oblique", name, blocks, (_BLOCK,), array, out, np.int64(volumes)),
            *(*place, outside, *_intake(values, compute), *_finish(values, compute)),
        )
