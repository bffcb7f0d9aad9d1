"""Brain tissues found in a histogram: fuzzy c-means, and peaks of a kernel density estimate."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import array_of, choice, empty, finite, like, thread_count
from ..errors import ArgumentError
from ..histogram import Histogram
from ..image import Image
from . import _native
from ._intensity import divided

__all__ = ["FCM", "KDE"]

Vector = npt.NDArray[np.float64]

TISSUES = ("CSF", "GM", "WM")
_POINTS = 2048  # of a density estimate


def foreground(image: Any, mask: Any, nan: str, threads: int | None) -> tuple[Vector, Vector]:
    """(values, how often they occur): inside the mask, or without one those above 0. Exact for whole numbers."""
    chosen = mask
    if mask is None and not isinstance(image, Histogram):
        chosen = ~(array_of(image) <= 0)  # NaN stays in, to be refused or ignored by choice
    counts = image if isinstance(image, Histogram) else Histogram.of(image, mask=chosen, nan=nan, threads=threads)
    used = np.flatnonzero(counts.counts)
    values, number = counts.values[used], counts.counts[used].astype(np.float64)
    if mask is None and isinstance(image, Histogram):
        above = counts.edges[used] > 0  # a bin that holds 0 is background
        values, number = values[above], number[above]
    if len(values) < 2:
        raise ArgumentError("mask: the voxels that count have one value, or there are none (without a mask: above 0)")
    return values, number


class FCM:
    """Divide an image by the mean of one tissue, found by fuzzy c-means (Bezdek 1981; Reinhold et al., SPIE 2019).

    The clusters are found in the histogram, not voxel by voxel: the same centres (exactly so for whole numbers; floats
    to 1/32768 of their range) at the cost of one reading of memory. They start from evenly spaced quantiles, so the
    result is the same every time.

    Parameters
    ----------
    tissue : {"CSF", "GM", "WM"}
        The darkest, middle or brightest class: as named on T1 images.
    classes : int
        How many clusters.
    fuzziness : float
        The exponent m > 1 of the memberships.
    iterations : int
        At most so many.
    tolerance : float
        Stop when no centre moves by more than this share of the range.

    Raises
    ------
    ArgumentError
        `classes` outside 2 to 16, `fuzziness` not above 1, no iteration, or a negative tolerance.

    Attributes
    ----------
    centers : (classes,) float64, increasing
        Cluster centres of the last image that was fitted, in its unit.
    means : (classes,) float64
        Means of the voxels weighted by their memberships.
    mean : float
        That of `tissue`: what `transform` divides by (as intensity-normalization 3 does).

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> rng = np.random.default_rng(0)
    >>> brain = np.concatenate([rng.normal(m, 20, 4000) for m in (200, 600, 900)]).astype(np.int16)
    >>> fcm = fi.harmonize.FCM("WM").fit(brain)
    >>> fcm.centers.round(-1).tolist()
    [200.0, 600.0, 900.0]
    """

    def __init__(
        self,
        tissue: str = "WM",
        *,
        classes: int = 3,
        fuzziness: float = 2.0,
        iterations: int = 200,
        tolerance: float = 1e-6,
    ) -> None:
        self.tissue = choice("tissue", tissue, TISSUES)
        if not 2 <= classes <= 16:
            raise ArgumentError(f"classes: must lie between 2 and 16, got {classes!r}")
        if not finite("fuzziness", fuzziness) > 1:
            raise ArgumentError(f"fuzziness: must be above 1, got {fuzziness!r}")
        if iterations < 1 or not finite("tolerance", tolerance) >= 0:
            raise ArgumentError("FCM: iterations must be positive and tolerance not negative")
        self.classes, self.fuzziness = int(classes), float(fuzziness)
        self.iterations, self.tolerance = int(iterations), float(tolerance)
        self.centers: Vector = np.full(self.classes, np.nan)
        self.means: Vector = np.full(self.classes, np.nan)

    @property
    def mean(self) -> float:
        """Mean of the tissue."""
        return float(self.means[{"CSF": 0, "GM": self.classes // 2, "WM": self.classes - 1}[self.tissue]])

    def fit(self, image: Any, *, mask: Any = None, nan: str = "raise", threads: int | None = None) -> Self:
        """Find the tissues of an image (or of its Histogram).

        Parameters
        ----------
        image : Image, array or Histogram
        mask : Image or array, optional
            The brain. Without one, all voxels above 0.
        nan : {"raise", "ignore"}
            What NaN and infinite values do.
        threads : int, optional
            Default: `config.threads()`.

        Raises
        ------
        ArgumentError
            Fewer different values than classes.
        """
        values, number = foreground(image, mask, nan, threads)
        if len(values) < self.classes:
            raise ArgumentError(f"FCM: {self.classes} classes need as many different values, got {len(values)}")
        ends = (self.iterations, self.tolerance)
        self.centers = clusters(values, number, self.classes, self.fuzziness, *ends, threads=threads)
        weights = number * memberships(values, self.centers, self.fuzziness)
        self.means = np.asarray((weights * values).sum(1) / weights.sum(1))
        return self

    def transform(self, image: Any, *, out: Any = None, threads: int | None = None) -> Any:
        """image / mean, float32.

        `out` is an array to write to, `threads` defaults to `config.threads()`. Raises ArgumentError before `fit`.
        """
        if math.isnan(self.mean):
            raise ArgumentError("FCM: not fitted; call fit first")
        return divided("FCM", image, self.mean, out, threads)

    def fit_transform(
        self, image: Any, *, mask: Any = None, nan: str = "raise", out: Any = None, threads: int | None = None
    ) -> Any:
        """`fit` and `transform` of one image.

        `mask` and `nan` as in `FCM.fit`, `out` and `threads` as in `FCM.transform`.
        """
        return self.fit(image, mask=mask, nan=nan, threads=threads).transform(image, out=out, threads=threads)

    def memberships(self, image: Any) -> Any:
        """How far each voxel belongs to each class: float32 (classes, ...), sums of 1; an Image has the axis "tissue".

        Raises ArgumentError before `fit`.
        """
        if math.isnan(self.mean):
            raise ArgumentError("FCM: not fitted; call fit first")
        array = array_of(image)
        out = empty((self.classes, *array.shape), np.float32, array)
        out[...] = memberships(array.astype(np.float64), self.centers, self.fuzziness)
        if not isinstance(image, Image):
            return out
        return like(image, out, dims=("tissue", *image.dims), coords=image.coords, unit="share")


def memberships(values: Any, centers: Vector, fuzziness: float) -> Any:
    """u_k = d_k^(-2 / (m - 1)) / sum over classes; (classes, ...) on the values' device."""
    xp = _dispatch.namespace(values)
    tiny = _least(centers)
    power = -2.0 / (fuzziness - 1.0)
    close = xp.stack([xp.maximum(abs(values - float(center)), tiny) ** power for center in centers])
    return close / close.sum(0)


def _least(centers: Vector) -> float:
    """The distance below which a value counts as a centre's own."""
    return float(np.finfo(np.float64).eps) * max(1e-300, float(np.abs(centers).max()))


def clusters(
    values: Vector,
    number: Vector,
    classes: int,
    fuzziness: float,
    iterations: int,
    tolerance: float,
    *,
    threads: int | None = None,
) -> Vector:
    """Fuzzy c-means of weighted points on a line, from evenly spaced quantiles; increasing centres."""
    share = (np.cumsum(number) - number / 2) / number.sum()
    centers = np.interp((np.arange(classes) + 0.5) / classes, share, values)
    if (np.diff(centers) <= 0).any():  # one value fills several quantiles
        centers = values[0] + (values[-1] - values[0]) * (np.arange(classes) + 0.5) / classes
    span, team = float(values[-1] - values[0]), thread_count(threads)
    values, number = np.ascontiguousarray(values), np.ascontiguousarray(number)
    for _ in range(iterations):
        weight, moment = np.empty(classes), np.empty(classes)
        _native.fuzzy_sums(values, number, centers, _least(centers), fuzziness, weight, moment, team)
        new = moment / weight
        moved = float(np.abs(new - centers).max())
        centers = new
        if moved <= tolerance * span:
            break
    return np.sort(centers)


class KDE:
    """Divide an image by a tissue's peak in a kernel density estimate (Reinhold et al., SPIE 2019).

    The Gaussian kernel's standard deviation is 1/80 of the greatest value, as in the method's first implementation.
    (intensity-normalization 3.0.1 hands the same number to SciPy, which takes it as a multiple of the data's standard
    deviation: the two agree on data whose standard deviation is 1.)

    Parameters
    ----------
    contrast : {"T1", "T2", "FLAIR", "PD"}
        The last peak below the 96th percentile (T1: white matter), the greatest (T2, FLAIR) or the first below the 99th
        percentile (PD).

    Attributes
    ----------
    peak : float
        Of the last image that was fitted, in its unit.
    """

    def __init__(self, contrast: str = "T1") -> None:
        self.contrast = choice("contrast", contrast, ("T1", "T2", "FLAIR", "PD"))
        self.peak = math.nan

    def fit(self, image: Any, *, mask: Any = None, nan: str = "raise", threads: int | None = None) -> Self:
        """Find the peak of an image (or of its Histogram); parameters and errors as in `FCM.fit`."""
        values, number = foreground(image, mask, nan, threads)
        if not values[-1] > 0:
            raise ArgumentError("KDE: the greatest value must be positive; it sets the kernel's width")
        tail = {"T1": 0.96, "PD": 0.99}.get(self.contrast, 1.0)
        within = np.cumsum(number) - number < tail * number.sum()
        values, number = values[within], number[within]
        grid, smooth = density(values, number, values[-1] / 80)
        if self.contrast in ("T2", "FLAIR"):
            self.peak = float(grid[np.argmax(smooth)])
            return self
        inner = smooth[1:-1]
        peaks = 1 + np.flatnonzero((inner > smooth[:-2]) & (inner >= smooth[2:]) & (inner > 1e-3 * smooth.max()))
        at = np.argmax(smooth) if not len(peaks) else peaks[-1 if self.contrast == "T1" else 0]
        self.peak = float(grid[at])
        return self

    def transform(self, image: Any, *, out: Any = None, threads: int | None = None) -> Any:
        """image / peak, float32.

        `out` is an array to write to, `threads` defaults to `config.threads()`. Raises ArgumentError before `fit`.
        """
        if math.isnan(self.peak):
            raise ArgumentError("KDE: not fitted; call fit first")
        return divided("KDE", image, self.peak, out, threads)

    def fit_transform(
        self, image: Any, *, mask: Any = None, nan: str = "raise", out: Any = None, threads: int | None = None
    ) -> Any:
        """`fit` and `transform` of one image.

        `mask` and `nan` as in `KDE.fit`, `out` and `threads` as in `KDE.transform`.
        """
        return self.fit(image, mask=mask, nan=nan, threads=threads).transform(image, out=out, threads=threads)


def density(values: Vector, number: Vector, width: float) -> tuple[Vector, Vector]:
    """(grid, Gaussian kernel density) of weighted points, shared between their two neighbours on an even grid."""
    grid = np.linspace(values[0], values[-1], _POINTS)
    step = grid[1] - grid[0]
    at = np.clip((values - values[0]) / step, 0, _POINTS - 1)
    left = np.minimum(at.astype(np.int64), _POINTS - 2)
    counts = np.bincount(left, number * (left + 1 - at), _POINTS) + np.bincount(left + 1, number * (at - left), _POINTS)
    reach = max(1, math.ceil(6 * width / step))
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) * (step / width)))
    smooth = np.convolve(counts, kernel)[reach : reach + _POINTS]
    return grid, smooth / (number.sum() * width * math.sqrt(2 * math.pi))
