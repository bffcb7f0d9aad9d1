"""Intensity window."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _dispatch
from .._arrays import array_of, finite, like, native, result, thread_count
from ..errors import ArgumentError
from ..image import Image

__all__ = ["window"]


def window(image: Any, low: float = -160, high: float = 240, *, out: Any = None, threads: int | None = None) -> Any:
    """Clip to [low, high] and scale to [0, 1].

    Parameters
    ----------
    image : Image or array
        Any shape; int8 to int32 or floating point. NaN stays NaN.
    low, high : float
        Borders in the image's unit. The default is a soft-tissue window in HU.
    out : Image or array, optional
        float32, same shape; must not overlap the image.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array, float32
        (clip(x, low, high) - low) / (high - low), in float32: DICOM PS3.3 C.11.2.1.3.2 (LINEAR_EXACT), output 0 to 1.

    Raises
    ------
    ArgumentError
        Borders not finite or not low < high; an Image whose unit is known and is not HU (a window in HU on arbitrary MR
        values would be meaningless).

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> fi.harmonize.window(np.array([-1000, 40, 300], np.int16), low=-160, high=240)
    array([0. , 0.5, 1. ], dtype=float32)
    """
    array = array_of(image)
    low, high = finite("low", low), finite("high", high)
    if not low < high:
        raise ArgumentError(f"window: low must be below high, got {low:g} and {high:g}")
    if isinstance(image, Image) and image.unit not in (None, "HU"):
        raise ArgumentError(
            f"window: the image is in {image.unit}, not HU; use harmonize.percentile or harmonize.zscore"
        )
    array = native(array)
    if array.dtype in (np.uint32, np.int64, np.uint64, np.float16):
        array = array.astype(np.float64)
    target = result(out, array.shape, np.float32, array)
    scale = np.float32(1) / (np.float32(high) - np.float32(low))
    leaf = _dispatch.pick(array, leaf="harmonize")
    leaf.window(array, target, np.float32(low), np.float32(high), scale, threads=thread_count(threads))
    return like(image, target, unit="normalised") if isinstance(image, Image) else target
