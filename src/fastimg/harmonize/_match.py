"""Histogram matching."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import array_of, choice
from ..errors import ArgumentError
from ..histogram import Histogram, moments, quantile
from ..histogram._select import NAN, selected
from ._piecewise import mapped

__all__ = ["match_histogram"]

_EXACT = 16  # so many quantiles of floats are always exact
_FEW = 1 << 17  # so are those of an array of fewer values


def match_histogram(
    image: Any,
    reference: Any,
    *,
    mask: Any = None,
    reference_mask: Any = None,
    points: int | None = None,
    above_mean: bool = False,
    nan: str = "raise",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Give an image the intensity distribution of a reference.

    Parameters
    ----------
    image : Image or array
        All of its voxels are mapped.
    reference : Image, array or Histogram
        Whose distribution to take.
    mask, reference_mask : Image or array, optional
        Where the distributions are measured.
    points : int, optional
        None and a whole-number image: exact, every value v goes to the reference's quantile at the share of voxels <= v
        (scikit-image's definition). Otherwise a piecewise-linear map between this many evenly spaced quantiles of both,
        0 and 1 included; default for floats 257. More than 16 quantiles of more than 131072 floats are off by at most
        1/65536 of the range between the second and the last but one.
    above_mean : bool
        Take the quantiles of the voxels at or above each image's mean alone, and map those below it linearly, so that a
        large background does not count: SimpleITK's HistogramMatching with its threshold on, where `points` - 2 is its
        number of match points (it measures the quantiles in a histogram of a few hundred bins, here they are exact).
    nan : {"raise", "ignore"}
        What NaN and infinite values do; they stay what they are.
    out : Image or array, optional
        float32, same shape; must not overlap the image.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array, float32
        An Image has the reference's unit.

    Raises
    ------
    ArgumentError
        A constant image, an empty mask or reference, points < 2.
    """
    if points is not None and not 2 <= points <= 4096:
        raise ArgumentError(f"points: must lie between 2 and 4096, got {points!r}")
    whole = array_of(image).dtype.kind in "iub"
    unit = getattr(reference, "unit", None)  # the values are the reference's from now on
    choice("nan", nan, NAN)
    if whole and points is None and not above_mean:
        own = Histogram.of(image, mask=mask, threads=threads)
        if not own.count:
            raise ArgumentError("mask: no voxel is left to measure")
        used = np.flatnonzero(own.counts)
        share = np.cumsum(own.counts[used]) / own.count
        source, target = own.values[used], _at_shares(reference, reference_mask, share, nan, threads)
        # Values that the measured voxels lack lie between two that they have.
        return mapped("match_histogram", image, source, target, out, threads, unit=unit)
    if above_mean:
        source = _above_mean(image, mask, points or 257, nan, threads)
        target = _above_mean(reference, reference_mask, points or 257, nan, threads)
        return mapped("match_histogram", image, source, target, out, threads, unit=unit)
    source = _spaced(image, mask, points or 257, nan, threads)
    target = _spaced(reference, reference_mask, points or 257, nan, threads)
    return mapped("match_histogram", image, source, target, out, threads, unit=unit)


def _spaced(image: Any, mask: Any, points: int, nan: str, threads: int | None) -> Any:
    """Evenly spaced quantiles, 0 and 1 included.

    Of many floats the outermost are exact, and those between come from 65536 bins between exact quantiles half a step
    inside the ends (so that an outlier does not widen the bins): off by 1/65536 of that range at most.
    """
    q = np.linspace(0, 1, points)
    if isinstance(image, Histogram):
        return np.asarray(image.quantile(q))
    array = array_of(image)
    if array.dtype.kind in "iub" or points <= _EXACT or array.size < _FEW:
        return np.asarray(quantile(image, q, mask=mask, nan=nan, threads=threads))
    half = 0.5 / (points - 1)
    least, low, high, most = quantile(image, (0, half, 1 - half, 1), mask=mask, nan=nan, threads=threads)
    if not low < high:
        return np.asarray(quantile(image, q, mask=mask, nan=nan, threads=threads))
    counts = Histogram.of(image, mask=mask, bins=1 << 16, range=(low, high), nan=nan, threads=threads)
    return np.concatenate([[least], counts.quantile(q[1:-1]), [most]])


def _above_mean(image: Any, mask: Any, points: int, nan: str, threads: int | None) -> Any:
    """The least value, the mean, and evenly spaced quantiles of what is not below it, up to the greatest value."""
    if isinstance(image, Histogram):
        raise ArgumentError(
            "match_histogram: above_mean needs images; a histogram does not tell what lies above a mean"
        )
    seen = moments(image, mask=mask, nan=nan, threads=threads)
    if not seen.count:
        raise ArgumentError("mask: no voxel is left to measure")
    values, inside = selected(image, mask)
    above = (values >= seen.mean).view(np.uint8)
    above = above if inside is None else above & inside
    q = np.linspace(0, 1, points)
    found = np.asarray(quantile(values, q[1:], mask=above, nan=nan, threads=threads))
    return np.concatenate([[seen.min, seen.mean], found])


def _at_shares(reference: Any, mask: Any, share: Any, nan: str, threads: int | None) -> Any:
    """The reference's value where its cumulative share is `share`, linear between its values."""
    counts = reference
    if not isinstance(reference, Histogram):
        counts = Histogram.of(reference, mask=mask, nan=nan, threads=threads)
    if not counts.count:
        raise ArgumentError("reference: has no voxel to measure")
    used = np.flatnonzero(counts.counts)
    return np.interp(share, np.cumsum(counts.counts[used]) / counts.counts.sum(), counts.values[used])
