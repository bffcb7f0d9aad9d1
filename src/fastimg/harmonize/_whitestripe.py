"""WhiteStripe: the scale of normal-appearing white matter."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from .._arrays import choice
from ..errors import ArgumentError
from ..histogram import Histogram
from ._intensity import _shift_and_scale

__all__ = ["WhiteStripe"]

_GRID = 2048  # points of the smoothed histogram


class WhiteStripe:
    """Scale brain MR by a stripe of intensities around the white-matter peak (Shinohara et al., NeuroImage Clin. 6:9, 2014).

    The smoothed histogram's peak of white matter is found; voxels within `width` of it in the cumulative distribution
    are the stripe; the image is shifted and scaled by the stripe's mean and standard deviation.

    Parameters
    ----------
    contrast : {"T1", "T2", "FLAIR"}
        White matter is the last peak of a T1 image, below its 96th percentile, and the greatest peak of the others.
    width : float
        Half the stripe's width, as a share of the voxels.

    Raises
    ------
    ArgumentError
        `width` does not lie between 0 and 0.5.

    Attributes
    ----------
    peak, mean, std : float
        Of the last image that was fitted, in its unit.
    """

    def __init__(self, contrast: str = "T1", *, width: float = 0.05) -> None:
        self.contrast = choice("contrast", contrast, ("T1", "T2", "FLAIR"))
        if not 0 < width < 0.5:
            raise ArgumentError(f"width: must lie between 0 and 0.5, got {width!r}")
        self.width = float(width)
        self.peak = self.mean = self.std = math.nan

    def fit(self, image: Any, *, mask: Any = None, nan: str = "raise", threads: int | None = None) -> Self:
        """Find the stripe of an image (or of its Histogram).

        Parameters
        ----------
        image : Image, array or Histogram
        mask : Image or array, optional
            The brain. Without one, all voxels above the image's mean.
        nan : {"raise", "ignore"}
            What NaN and infinite values do.
        threads : int, optional
            Default: `config.threads()`.

        Raises
        ------
        ArgumentError
            No voxel, or all of one value.
        """
        counts = image if isinstance(image, Histogram) else Histogram.of(image, mask=mask, nan=nan, threads=threads)
        values, number = counts.values, counts.counts.astype(np.float64)
        if mask is None and not isinstance(image, Histogram) and counts.count:
            number = np.where(values > counts.mean(), number, 0.0)
        total = number.sum()
        if total < 2 or np.count_nonzero(number) < 2:
            raise ArgumentError("WhiteStripe: the voxels that count have one value, or there are none")
        self.peak = _peak(values, number, last=self.contrast == "T1")
        share = np.cumsum(number) / total
        middle = float(np.interp(self.peak, values, share))
        low, high = (np.interp(np.clip(middle + d, 0, 1), share, values) for d in (-self.width, self.width))
        used = values[number > 0]  # the stripe ends at values that occur: of whole numbers it may hold few
        low = used[max(0, np.searchsorted(used, low, side="right") - 1)]
        high = used[min(len(used) - 1, np.searchsorted(used, high))]
        inside = np.where((values >= low) & (values <= high), number, 0.0)
        if np.count_nonzero(inside) < 2:
            raise ArgumentError("WhiteStripe: the stripe holds one value; widen it")
        self.mean = float((inside * values).sum() / inside.sum())  # not BLAS: its sums depend on its threads
        self.std = math.sqrt(float((inside * np.square(values - self.mean)).sum() / inside.sum()))
        return self

    def transform(self, image: Any, *, out: Any = None, threads: int | None = None) -> Any:
        """(image - mean) / std of the fitted stripe, float32.

        `out` is an array to write to, `threads` defaults to `config.threads()`. Raises ArgumentError before `fit`.
        """
        if math.isnan(self.mean):
            raise ArgumentError("WhiteStripe: not fitted; call fit first")
        return _shift_and_scale("WhiteStripe", image, self.mean, self.std, out, threads)

    def fit_transform(
        self, image: Any, *, mask: Any = None, nan: str = "raise", out: Any = None, threads: int | None = None
    ) -> Any:
        """`fit` and `transform` of one image.

        `mask` and `nan` as in `WhiteStripe.fit`, `out` and `threads` as in `WhiteStripe.transform`.
        """
        return self.fit(image, mask=mask, nan=nan, threads=threads).transform(image, out=out, threads=threads)


def _peak(values: Any, number: Any, *, last: bool) -> float:
    """A peak of the histogram, smoothed by a Gaussian of Silverman's width on an even grid."""
    total = number.sum()
    share = np.cumsum(number) / total
    low, high = values[np.flatnonzero(number)[0]], float(np.interp(0.96 if last else 1.0, share, values))
    mean = (number * values).sum() / total
    spread = math.sqrt((number * np.square(values - mean)).sum() / total)
    quarters = np.interp((0.25, 0.75), share, values)
    width = 0.9 * min(spread, (quarters[1] - quarters[0]) / 1.349 or spread) * total**-0.2
    edges = np.linspace(low, max(high, low + 1e-12 * abs(low) + 1e-300), _GRID + 1)
    grid = np.histogram(values, edges, weights=number)[0]
    step = edges[1] - edges[0]
    reach = min(_GRID - 1, max(1, math.ceil(4 * max(width, step) / step)))
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) * step / max(width, step)))
    smooth = np.convolve(grid, kernel, "same") if 2 * reach + 1 <= _GRID else np.convolve(grid, kernel)[reach:-reach]
    middle = (edges[:-1] + edges[1:]) / 2
    rising = np.diff(smooth, prepend=-1.0, append=-1.0)
    peaks = np.flatnonzero((rising[:-1] > 0) & (rising[1:] <= 0))
    tall = peaks[smooth[peaks] >= 0.1 * smooth.max()]  # ripples of the tail are no tissue
    return float(middle[tall[-1]] if last else middle[np.argmax(smooth)])
