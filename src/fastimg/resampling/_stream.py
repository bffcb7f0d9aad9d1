"""Resampling piece by piece, for volumes in stores that are read and written by slices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import native
from ..errors import ArgumentError, FastimgError
from ._spline import recursions
from ._tables import Oblique, Tables

if TYPE_CHECKING:
    from ._plan import Plan

__all__ = ["stream"]

_BLOCK = 128  # the prefilter's: kernels/fastimg/bspline.cuh
_LEAST = 16  # outputs of a piece along an axis; turned grids compute positions in blocks of 16 along x

Box = tuple[tuple[int, int], ...]


def stream(plan: Plan, source: Any, out: Any, *, memory: int, threads: int) -> None:
    """out[...] = plan(source), a piece at a time, with the bits of the whole."""
    dtype, made = np.dtype(source.dtype), np.dtype(out.dtype)
    if tuple(source.shape) != plan._source.shape:
        raise ArgumentError(f"source: expected the plan's shape {plan._source.shape}, got {tuple(source.shape)}")
    if tuple(out.shape) != plan.shape:
        raise ArgumentError(f"out: expected the plan's shape {plan.shape}, got {tuple(out.shape)}")
    if dtype.kind not in "biuf" or dtype == np.float16:
        raise ArgumentError(f"source: expected whole numbers, float32 or float64, got {dtype}")
    if made.newbyteorder("=") != plan._result(dtype):
        raise ArgumentError(f"out: expected dtype {plan._result(dtype)}, got {made}")
    plan._check_kind(dtype)
    from ._plan import _as_voxel

    kind = np.dtype(np.uint8) if dtype == np.bool_ else made.newbyteorder("=")
    outside = _as_voxel(plan.cval, kind)
    for piece in _pieces(plan, dtype, made, getattr(out, "chunks", None), memory):
        target = np.empty([end - begin for begin, end in piece], kind)
        box = _box(plan, piece)
        if box is None:
            target[...] = outside
        else:
            part = native(np.asarray(source[tuple(slice(*edge) for edge in box)]))
            _resample(plan, part, target, box, piece, outside, threads)
        out[tuple(slice(*edge) for edge in piece)] = target.view(made) if dtype == np.bool_ else target


def _resample(plan: Plan, part: Any, target: Any, box: Box, piece: Box, outside: Any, threads: int) -> None:
    from ._plan import _turned

    tables, order = plan._tables, plan._mapping.order
    if isinstance(tables, Oblique):
        first = tuple(begin for begin, _ in box)
        here = Oblique(tables.matrix, part.shape, target.shape, tables.edge, first, tuple(begin for begin, _ in piece))
        plan._interpolate(part, target, here, outside, threads)
        return
    assert order is not None
    z, y, x = (
        table.part(*piece[n], box[order[n]][0], box[order[n]][1] - box[order[n]][0])
        for n, table in enumerate((tables.z, tables.y, tables.x))
    )
    plan._interpolate(_turned(part, order), target, Tables(z, y, x, tables.z_first), outside, threads)


def _box(plan: Plan, piece: Box) -> Box | None:
    """The samples that a piece of the target takes, along each axis of the source; None: it lies outside."""
    reach = _turned_reach(plan, piece) if isinstance(plan._tables, Oblique) else _aligned_reach(plan, piece)
    if reach is None or plan._degree < 2:
        return reach
    grown = []
    for (begin, end), size, rim in zip(reach, plan._source.shape, _rims(plan), strict=True):
        low, high = begin // _BLOCK - 1, -(-(-(-end // _BLOCK) * _BLOCK + rim) // _BLOCK)
        grown.append((max(0, low * _BLOCK), min(size, high * _BLOCK)))
    return tuple(grown)


def _rims(plan: Plan) -> list[int]:
    """Samples behind a block, along each source axis, that a B-spline's recursions of this block read."""
    far = sum(horizon for _, horizon in recursions(plan._degree, "float64"))
    return [far + plan._degree + (0 if blur is None else blur.size) for blur in plan._blurs]


def _aligned_reach(plan: Plan, piece: Box) -> Box | None:
    tables, order = plan._tables, plan._mapping.order
    assert isinstance(tables, Tables)
    assert order is not None
    found = {order[n]: table.reach(*piece[n]) for n, table in enumerate((tables.z, tables.y, tables.x))}
    if any(begin == end for begin, end in found.values()):
        return None
    return tuple(found[axis] for axis in range(3))


def _turned_reach(plan: Plan, piece: Box) -> Box | None:
    corners = np.array([[*corner, 1.0] for corner in itertools.product(*((b, e - 1) for b, e in piece))])
    positions = corners @ plan._mapping.matrix[:3].T
    reach = []
    for axis, size in enumerate(plan._source.shape):
        blur = plan._blurs[axis]
        rim = max(plan._degree, 1) + 2 + (0 if blur is None else blur.size)
        low, high = math.floor(positions[:, axis].min()) - rim, math.floor(positions[:, axis].max()) + rim + 1
        if plan.cval == "edge":  # outside is the border's
            low, high = min(low, size - 1 - 2 * rim), max(high, 1 + 2 * rim)
        begin, end = max(low, 0), min(high, size)
        if begin >= end:
            return None
        reach.append((begin, end))
    return tuple(reach)


def _pieces(
    plan: Plan, source: np.dtype[Any], made: np.dtype[Any], chunks: tuple[int, ...] | None, memory: int
) -> Iterator[Box]:
    sizes = [min(n, max(_LEAST, c)) for n, c in zip(plan.shape, chunks or plan.shape, strict=True)]
    sizes[2] = _whole(sizes[2], plan.shape[2])
    while _cost(plan, sizes, source, made) > memory:
        longest = max(range(3), key=lambda axis: sizes[axis])
        if sizes[longest] <= _LEAST:
            raise FastimgError(
                f"stream: a piece of {sizes} voxels takes {_cost(plan, sizes, source, made) / 2**20:.0f} MiB; "
                f"memory={memory} is too little for it"
            )
        sizes[longest] = max(_LEAST, -(-sizes[longest] // 2))
        sizes[2] = _whole(sizes[2], plan.shape[2])
    starts = (range(0, n, size) for n, size in zip(plan.shape, sizes, strict=True))
    for corner in itertools.product(*starts):
        yield tuple((b, min(b + s, n)) for b, s, n in zip(corner, sizes, plan.shape, strict=True))


def _whole(size: int, axis: int) -> int:
    return axis if size >= axis else -(-size // _LEAST) * _LEAST


def _cost(plan: Plan, sizes: list[int], source: np.dtype[Any], made: np.dtype[Any]) -> int:
    """Bytes of a piece in the middle: what it reads, its coefficients or blurred samples, its result."""
    extents = np.abs(plan._mapping.matrix[:3, :3]) @ (np.array(sizes) - 1)
    voxels = 1
    for axis, (extent, size, blur) in enumerate(zip(extents, plan._source.shape, plan._blurs, strict=True)):
        length = math.ceil(extent) + 2 * (max(plan._degree, 1) + 2 + (0 if blur is None else blur.size))
        if plan._degree > 1:
            length = (-(-length // _BLOCK) + 3 + _rims(plan)[axis] // _BLOCK) * _BLOCK
        voxels *= min(length, size)
    compute = np.dtype(plan._compute(source, made)[0]).itemsize
    between = compute if plan._degree > 1 or any(blur is not None for blur in plan._blurs) else 0
    target = math.prod(sizes)
    return voxels * source.itemsize + max(voxels, target) * between + target * made.itemsize
