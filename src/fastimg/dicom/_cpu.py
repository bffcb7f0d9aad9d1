"""CPU side of the dicom leaf."""

from __future__ import annotations

from typing import Any

from . import _native


def rescale(array: Any, out: Any, left: int, right: int, slope: float, intercept: float, *, threads: int) -> None:
    """out = rescale(array); see kernels/fastimg/rescale.cuh."""
    _native.rescale(array.reshape(-1), out.reshape(-1), left, right, slope, intercept, threads)


def reorient(
    array: Any, out: Any, order: tuple[int, int, int], flipped: tuple[bool, bool, bool], *, threads: int
) -> None:
    """out = array with its last three axes in another order, some backwards; `threads` is of native loops only."""
    lead = array.ndim - 3
    view = array.transpose(*range(lead), *(lead + axis for axis in order))
    view = view[(..., *(slice(None, None, -1 if flip else 1) for flip in flipped))]
    fast = order.index(2)  # the axis along which the input's voxels are neighbours
    if fast == 2:
        out[...] = view
        return
    step = 64  # runs of both sides stay in the caches
    for begin in range(0, out.shape[lead + fast], step):
        part = [slice(None)] * 3
        part[fast] = slice(begin, begin + step)
        for column in range(0, out.shape[-1], step):
            part[2] = slice(column, column + step)
            out[(..., *part)] = view[(..., *part)]
