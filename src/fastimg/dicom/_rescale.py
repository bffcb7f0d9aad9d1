"""Stored values to modality units, for arrays that are already decoded."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _dispatch
from .._arrays import array_of, finite, like, native, result, thread_count
from ..errors import ArgumentError

__all__ = ["rescale"]


def rescale(
    stored: Any,
    slope: float = 1.0,
    intercept: float = 0.0,
    *,
    bits_stored: int | None = None,
    high_bit: int | None = None,
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """slope * stored + intercept, in float64, rounded once to float32 (PS3.3 C.11.1.1.2).

    Parameters
    ----------
    stored : Image or array
        int8 to uint32, float32 or float64; NumPy or CuPy.
    slope, intercept : float
        Of the header.
    bits_stored, high_bit : int, optional
        Where fewer bits than the type's hold the value (PS3.5 8.1.1): the others are cut off, the sign is extended.
        `high_bit` is bits_stored - 1 by default. Integers only.
    out : Image or array, optional
        float32, same shape; must not overlap.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array, float32

    Raises
    ------
    ArgumentError
        Slope zero or not finite, bits that the type does not have.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> fi.dicom.rescale(np.array([0, 1024, 4095], np.uint16), 1, -1024)
    array([-1024.,     0.,  3071.], dtype=float32)
    """
    array = native(array_of(stored, "stored"))
    slope, intercept = finite("slope", slope), finite("intercept", intercept)
    if slope == 0:
        raise ArgumentError("slope: must not be zero")
    if array.dtype.kind not in "iuf" or array.dtype.name in ("int64", "uint64", "float16"):
        raise ArgumentError(f"stored: expected int8 to uint32, float32 or float64, got {array.dtype}")
    left, right = _shifts(array.dtype, bits_stored, high_bit)
    target = result(out, array.shape, np.float32, array)
    leaf = _dispatch.pick(array, leaf="dicom")
    leaf.rescale(array, target, left, right, slope, intercept, threads=thread_count(threads))
    return like(stored, target)


def _shifts(dtype: np.dtype[Any], bits_stored: int | None, high_bit: int | None) -> tuple[int, int]:
    if bits_stored is None and high_bit is None:
        return 0, 0
    bits = 8 * dtype.itemsize
    stored = bits if bits_stored is None else int(bits_stored)
    high = stored - 1 if high_bit is None else int(high_bit)
    if dtype.kind == "f" or not 1 <= stored <= bits or not stored - 1 <= high < bits:
        raise ArgumentError(f"bits_stored, high_bit: {bits_stored} and {high_bit} do not fit {dtype}")
    return bits - 1 - high, bits - stored
