"""Histogram matching."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import array_of
from ..errors import ArgumentError
from ..histogram import Histogram, quantile
from ._piecewise import mapped

__all__ = ["match_histogram"]


def match_histogram(
    image: Any,
    reference: Any,
    *,
    mask: Any = None,
    reference_mask: Any = None,
    points: int | None = None,
    nan: str = "error",
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
        0 and 1 included (SimpleITK's kind); default for floats 257.
    nan : {"error", "ignore"}
        What NaN and infinite values do; they stay what they are.
    out : Image or array, optional
        float32, same shape; must not overlap the image.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array, float32

    Raises
    ------
    ArgumentError
        A constant image, an empty mask or reference, points < 2.
    """
    if points is not None and not 2 <= points <= 4096:
        raise ArgumentError(f"points: must lie between 2 and 4096, got {points!r}")
    whole = array_of(image).dtype.kind in "iub"
    if whole and points is None:
        own = Histogram.of(image, mask=mask, threads=threads)
        if not own.count:
            raise ArgumentError("mask: no voxel is left to measure")
        used = np.flatnonzero(own.counts)
        share = np.cumsum(own.counts[used]) / own.count
        source, target = own.values[used], _at_shares(reference, reference_mask, share, nan, threads)
        # Values that the measured voxels lack lie between two that they have.
        return mapped("match_histogram", image, source, target, out, threads)
    q = np.linspace(0, 1, points or 257)
    source = np.asarray(quantile(image, q, mask=mask, nan=nan, threads=threads))
    if isinstance(reference, Histogram):
        target = np.asarray(reference.quantile(q))
    else:
        target = np.asarray(quantile(reference, q, mask=reference_mask, nan=nan, threads=threads))
    return mapped("match_histogram", image, source, target, out, threads)


def _at_shares(reference: Any, mask: Any, share: Any, nan: str, threads: int | None) -> Any:
    """The reference's value where its cumulative share is `share`, linear between its values."""
    counts = reference
    if not isinstance(reference, Histogram):
        counts = Histogram.of(reference, mask=mask, nan=nan, threads=threads)
    if not counts.count:
        raise ArgumentError("reference: has no voxel to measure")
    used = np.flatnonzero(counts.counts)
    return np.interp(share, np.cumsum(counts.counts[used]) / counts.counts.sum(), counts.values[used])
