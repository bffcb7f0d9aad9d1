"""Moments in one pass and exact quantiles of any array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _dispatch
from .._arrays import choice, thread_count
from ..errors import ArgumentError
from ._select import NAN, selected

__all__ = ["Moments", "moments", "quantile"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean, sum of squared deviations, least and greatest value.

    Attributes
    ----------
    count : int
        Values counted.
    mean : float
    m2 : float
        Sum of squared deviations from the mean.
    min, max : float
    """

    count: int
    mean: float
    m2: float
    min: float
    max: float

    def var(self, ddof: int = 0) -> float:
        """Variance with `count - ddof` in the denominator; NaN where that is not positive."""
        return self.m2 / (self.count - ddof) if self.count > ddof else math.nan

    def std(self, ddof: int = 0) -> float:
        """Square root of `var`. `ddof` likewise."""
        return math.sqrt(self.var(ddof)) if self.count > ddof else math.nan


def moments(image: Any, *, mask: Any = None, nan: str = "raise", threads: int | None = None) -> Moments:
    """Count, mean, variance, minimum and maximum in one reading of memory.

    Chunks of fixed size are centred on their own mean and combined in order: the same bits on any number of threads
    and at every instruction-set level. On a GPU the sums are grouped differently; expect 1e-12 relative.

    Parameters
    ----------
    image : Image or array
        Integers or floating point. Padding of an Image does not count.
    mask : array or Image, optional
        Non-zero counts; the image's shape, or its last three axes.
    nan : {"raise", "ignore"}
        What NaN and infinite values do.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Moments
        Of nothing: count 0 and NaN.

    Raises
    ------
    ArgumentError
        NaN or infinite values with nan="raise"; a mask of another shape.
    """
    choice("nan", nan, NAN)
    values, inside = selected(image, mask)
    leaf = _dispatch.pick(values, leaf="histogram")
    count, skipped, mean, m2, low, high = leaf.moments(values, inside, threads=thread_count(threads))
    if skipped and nan != "ignore":
        raise not_finite(skipped)
    if not count:
        return Moments(0, math.nan, math.nan, math.nan, math.nan)
    return Moments(count, mean, m2, low, high)


def not_finite(count: int) -> ArgumentError:
    """The refusal of NaN and infinities, in the same words everywhere."""
    return ArgumentError(f"image: {count} voxels are NaN or infinite; pass nan='ignore' or a mask that leaves them out")


def quantile(image: Any, q: Any, *, mask: Any = None, nan: str = "raise", threads: int | None = None) -> Any:
    """Exact quantiles, by numpy's default ("linear") definition, without sorting.

    Integers are counted, a bin a value. Of floats a sample says between which values a quantile lies; one reading of
    memory counts what lies below and keeps what lies between.

    Parameters
    ----------
    image : Image or array
        Real numbers; padding of an Image does not count.
    q : float or sequence of float
        In [0, 1].
    mask, nan, threads
        As in `moments`.

    Returns
    -------
    float, or float64 array for a sequence
        The same as `numpy.quantile(values.astype(float64), q)`.

    Raises
    ------
    ArgumentError
        No value left, NaN with nan="raise", q outside [0, 1].
    """
    choice("nan", nan, NAN)
    wanted = checked_q(q)
    values, inside = selected(image, mask)
    if values.dtype.kind in "iu":
        from ._histogram import Histogram

        found = Histogram.of(values, mask=inside, threads=threads).quantile(wanted)
    else:
        found = _of_floats(values, inside, wanted, nan, thread_count(threads))
    return float(found[0]) if np.ndim(q) == 0 else found


def checked_q(q: Any) -> Any:
    """q as a float64 vector in [0, 1]."""
    wanted = np.atleast_1d(np.asarray(q, np.float64))
    if wanted.ndim != 1 or not ((wanted >= 0) & (wanted <= 1)).all():
        raise ArgumentError(f"q: quantiles lie in [0, 1], got {q!r}")
    return wanted


def _of_floats(values: Any, inside: Any, q: Any, nan: str, threads: int) -> Any:
    leaf = _dispatch.pick(values, leaf="histogram")
    total, skipped, low, high = leaf.order_statistics(values, inside, q, threads=threads)
    if skipped and nan != "ignore":
        raise not_finite(skipped)
    if not total:
        raise ArgumentError("image: no finite value is left to take a quantile of")
    position = q * (total - 1)
    return lerp(low, high, position - np.floor(position))


def lerp(low: Any, high: Any, t: Any) -> Any:
    """As numpy's quantile does it: from the nearer end."""
    apart = high - low
    return np.where(t >= 0.5, high - apart * (1 - t), low + apart * t)
