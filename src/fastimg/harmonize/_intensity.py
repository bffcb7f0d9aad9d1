"""Intensity scales that one image sets for itself: z-score, robust z-score, percentiles, least and greatest value."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _dispatch
from .._arrays import array_of, choice, empty, in_pieces, like, native, result, thread_count
from ..errors import ArgumentError
from ..histogram import Histogram, Moments, moments, quantile
from ..histogram._select import NAN
from ..image import Image

__all__ = ["borders", "divided", "finished", "minmax", "percentile", "prepared", "robust_zscore", "zscore"]


def prepared(image: Any, out: Any) -> tuple[Any, Any]:
    """(native array of a type the maps take, float32 array to write)."""
    array = native(array_of(image))
    if array.dtype in (np.uint32, np.int64, np.uint64, np.float16):
        array = array.astype(np.float64)
    return array, result(out, array.shape, np.float32, array)


def finished(image: Any, target: Any, unit: str | None = "normalised") -> Any:
    """The result in the form of the input."""
    return like(image, target, unit=unit) if isinstance(image, Image) else target


def _stats(image: Any, mask: Any, nan: str, threads: int | None) -> Moments:
    """In one reading of memory; exact for 8 and 16 bits."""
    seen = moments(image, mask=mask, nan=nan, threads=threads)
    if not seen.count:
        raise ArgumentError("mask: no voxel is left to measure")
    return seen


def _shift_and_scale(name: str, image: Any, shift: float, spread: float, out: Any, threads: int | None) -> Any:
    if not spread > 0:
        raise ArgumentError(f"{name}: the voxels that count have one value ({shift:g}); there is no scale to set")
    array, target = prepared(image, out)
    leaf = _dispatch.pick(array, leaf="harmonize")
    leaf.affine(array, target, np.float32(shift), np.float32(1 / spread), threads=thread_count(threads))
    return finished(image, target)


def divided(name: str, image: Any, by: float, out: Any, threads: int | None) -> Any:
    """image / by, float32."""
    if not abs(by) > 0:
        raise ArgumentError(f"{name}: the tissue's value is {by!r}; an image cannot be divided by it")
    array, target = prepared(image, out)
    leaf = _dispatch.pick(array, leaf="harmonize")
    leaf.affine(array, target, np.float32(0), np.float32(1 / by), threads=thread_count(threads))
    return finished(image, target)


def zscore(
    image: Any, mask: Any = None, *, nan: str = "raise", ddof: int = 0, out: Any = None, threads: int | None = None
) -> Any:
    """Subtract the mean and divide by the standard deviation of the voxels in the mask.

    Parameters
    ----------
    image : Image or array
        Any shape; integers or floating point.
    mask : Image or array, optional
        Non-zero counts; the image's shape, or its last three axes. Default: all but the padding of an Image. Voxels
        outside are transformed too.
    nan : {"raise", "ignore"}
        What NaN and infinite values do: an error, or left out of the measure (they stay what they are).
    ddof : int
        The standard deviation's denominator is n - ddof.
    out : Image or array, optional
        float32, same shape; must not overlap the image.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array, float32
        (x - mean) * (1 / sd): mean and sd in float64 (for 8 and 16 bits from exact counts), applied in float32.

    Raises
    ------
    ArgumentError
        No voxel left, all of one value, NaN with nan="raise", a mask of another shape.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> fi.harmonize.zscore(np.int16([1, 3]))
    array([-1.,  1.], dtype=float32)
    """
    choice("nan", nan, NAN)
    seen = _stats(image, mask, nan, threads)
    return _shift_and_scale("zscore", image, seen.mean, seen.std(ddof), out, threads)


def robust_zscore(
    image: Any, mask: Any = None, *, nan: str = "raise", out: Any = None, threads: int | None = None
) -> Any:
    """Subtract the median and divide by 1.4826 x the median absolute deviation (about the sd of normal data).

    Parameters, result and errors as for `zscore`; exact median and deviation for whole numbers and for floats.
    """
    choice("nan", nan, NAN)
    array = array_of(image)
    if array.dtype.kind in "iub" and array.dtype.itemsize <= 2:
        counts = Histogram.of(image, mask=mask, threads=threads)
        if not counts.count:
            raise ArgumentError("mask: no voxel is left to measure")
        center = counts.quantile(0.5)
        # Twice the distance from a median that may be a half is a whole number: the deviations' exact histogram.
        apart = np.abs(2 * (counts.origin + np.arange(len(counts.counts))) - round(2 * center))
        spread = Histogram("integer", np.bincount(apart, counts.counts).astype(np.int64)).quantile(0.5) / 2
    else:
        center = quantile(image, 0.5, mask=mask, nan=nan, threads=threads)
        xp = _dispatch.namespace(array)
        apart = empty(array.shape, np.float64, array)
        values, distances = xp.ravel(array), apart.reshape(-1)

        def measure(piece: slice) -> None:
            xp.subtract(values[piece], center, out=distances[piece], dtype=np.float64)
            xp.abs(distances[piece], out=distances[piece])

        in_pieces(measure, values, threads)
        far = image.with_array(apart) if isinstance(image, Image) else apart
        spread = quantile(far, 0.5, mask=mask, nan=nan, threads=threads)
    return _shift_and_scale("robust_zscore", image, center, 1.4826022185056018 * spread, out, threads)


def percentile(
    image: Any,
    mask: Any = None,
    *,
    low: float = 1,
    high: float = 99,
    nan: str = "raise",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Clip to two percentiles of the voxels in the mask and scale to [0, 1].

    Parameters
    ----------
    image, mask, nan, out, threads
        As in `zscore`.
    low, high : float
        Percentiles, 0 to 100, by numpy's default definition; exact for whole numbers and for floats.

    Returns
    -------
    Image or array, float32
        (clip(x, a, b) - a) / (b - a) with a, b the percentiles.

    Raises
    ------
    ArgumentError
        Not 0 <= low < high <= 100; both percentiles equal; no voxel left; NaN with nan="raise".

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> fi.harmonize.percentile(np.arange(101, dtype=np.int16), low=10, high=90)[[0, 10, 50, 95]]
    array([0. , 0. , 0.5, 1. ], dtype=float32)
    """
    if not 0 <= low < high <= 100:
        raise ArgumentError(f"percentile: expected 0 <= low < high <= 100, got {low!r} and {high!r}")
    a, b = quantile(image, (low / 100, high / 100), mask=mask, nan=nan, threads=threads)
    return _between("percentile", image, a, b, out, threads)


def minmax(image: Any, mask: Any = None, *, nan: str = "raise", out: Any = None, threads: int | None = None) -> Any:
    """Scale the least value in the mask to 0 and the greatest to 1; what lies beyond them outside the mask is clipped.

    Parameters, result and errors as for `zscore`.
    """
    choice("nan", nan, NAN)
    seen = _stats(image, mask, nan, threads)
    return _between("minmax", image, seen.min, seen.max, out, threads)


def _between(name: str, image: Any, low: float, high: float, out: Any, threads: int | None) -> Any:
    low32, high32, scale = borders(name, low, high)
    array, target = prepared(image, out)
    leaf = _dispatch.pick(array, leaf="harmonize")
    leaf.window(array, target, low32, high32, scale, threads=thread_count(threads))
    return finished(image, target)


def borders(name: str, low: float, high: float) -> tuple[np.float32, np.float32, np.float32]:
    """(low, high, 1 / (high - low)) in float32, where they and what is made of them are finite and apart."""
    with np.errstate(over="ignore"):
        low32, high32 = np.float32(low), np.float32(high)
        apart = high32 - low32
    if not low32 < high32:
        raise ArgumentError(f"{name}: {low:g} and {high:g} are one value in float32; there is no scale to set")
    if not np.isfinite(apart):
        raise ArgumentError(f"{name}: the range from {low:g} to {high:g} does not fit float32")
    return low32, high32, np.float32(1) / apart
