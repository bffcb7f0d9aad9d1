"""Padded voxels are left out of interpolation."""

from __future__ import annotations

from typing import Any

__all__ = ["filled"]


def filled(array: Any, padding: Any, xp: Any) -> Any:
    """A copy in which padded voxels hold the value of the nearest voxel of their row, column or stack that is not padded.

    Rows (x) come first, then columns (y), then stacks (z); so a B-spline's prefilter meets no step at the padding's border.
    """
    values, open_ = array.copy(), xp.asarray(padding, bool)
    for axis in (2, 1, 0):
        if not open_.any():
            break
        size = open_.shape[axis]
        place = xp.arange(size).reshape([-1 if a == axis else 1 for a in range(3)])
        before = _running_maximum(xp.where(open_, -1, place), axis, xp)
        after = size - 1 - _running_maximum(xp.flip(xp.where(open_, -1, size - 1 - place), axis), axis, xp)
        after = xp.flip(after, axis)
        back = xp.where(before < 0, 2 * size, place - before)
        ahead = xp.where(after > size - 1, 2 * size, after - place)
        found = xp.minimum(back, ahead) < size
        source = xp.where(found, xp.where(back <= ahead, before, after), place)
        lead = array.ndim - 3
        index = xp.broadcast_to(source.reshape((1,) * lead + source.shape), values.shape)
        values = xp.take_along_axis(values, index, axis + lead)
        open_ = open_ & ~found
    return values


def _running_maximum(values: Any, axis: int, xp: Any) -> Any:
    """Along an axis, by doubling: CuPy has no maximum.accumulate."""
    step, size = 1, values.shape[axis]
    while step < size:
        later = [slice(None)] * 3
        earlier = [slice(None)] * 3
        later[axis], earlier[axis] = slice(step, None), slice(None, -step)
        grown = values.copy()
        grown[tuple(later)] = xp.maximum(values[tuple(later)], values[tuple(earlier)])
        values, step = grown, 2 * step
    return values
