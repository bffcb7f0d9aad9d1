"""Intensity window."""

from __future__ import annotations

from typing import Any

from .. import _dispatch
from .._arrays import array_of, choice, finite, thread_count
from ..errors import ArgumentError
from ..histogram._select import NAN
from ..image import Image
from ._intensity import borders, finished, prepared

__all__ = ["window"]


def window(
    image: Any,
    low: float = -160,
    high: float = 240,
    *,
    nan: str = "raise",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Clip to [low, high] and scale to [0, 1].

    Parameters
    ----------
    image : Image or array
        Any shape; int8 to int32 or floating point. Infinite values are clipped like all others.
    low, high : float
        Borders in the image's unit. The default is a soft-tissue window in HU.
    nan : {"raise", "ignore"}
        What NaN does: an error, or it stays NaN. It is seen on the way: after an error `out` holds the result of "ignore".
        On a GPU "raise" makes the host wait for the result.
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
        Borders not finite, not low < high, or not so in float32; NaN with nan="raise"; an Image whose unit is known and is
        not HU (a window in HU on arbitrary MR values would be meaningless).

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> fi.harmonize.window(np.array([-1000, 40, 300], np.int16), low=-160, high=240)
    array([0. , 0.5, 1. ], dtype=float32)
    """
    choice("nan", nan, NAN)
    array_of(image)
    low, high = finite("low", low), finite("high", high)
    if not low < high:
        raise ArgumentError(f"window: low must be below high, got {low:g} and {high:g}")
    low32, high32, scale = borders("window", low, high)
    if isinstance(image, Image) and image.unit not in (None, "HU"):
        raise ArgumentError(
            f"window: the image is in {image.unit}, not HU; use harmonize.percentile or harmonize.zscore"
        )
    array, target = prepared(image, out)
    leaf = _dispatch.pick(array, leaf="harmonize")
    look = nan != "ignore" and array.dtype.kind == "f"
    if leaf.window(array, target, low32, high32, scale, look=look, threads=thread_count(threads)) and look:
        raise ArgumentError("image: holds NaN; pass nan='ignore' to keep it where it is, or fill it first")
    return finished(image, target)
