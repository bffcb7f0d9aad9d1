"""N4 bias-field correction, equal to ITK's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import _dispatch
from ..._arrays import all_finite, array_of, choice, empty, finite, like, native, thread_count
from ...errors import ArgumentError
from ...histogram._select import NAN, selected
from ...histogram._statistics import not_finite
from ...image import Image

__all__ = ["n4"]


def n4(
    image: Any,
    mask: Any = None,
    *,
    weights: Any = None,
    shrink: int = 4,
    iterations: Sequence[int] = (50, 50, 50, 50),
    threshold: float = 0.001,
    bins: int = 200,
    fwhm: float = 0.15,
    noise: float = 0.01,
    control_points: int = 4,
    measure: str = "itk",
    nan: str = "raise",
    threads: int | None = None,
) -> tuple[Any, Any]:
    """Estimate and remove the smooth multiplicative field that MR coils leave (Tustison et al., IEEE TMI 29:1310, 2010).

    The intensities' logarithms are sharpened by deconvolving their histogram; what that takes away is fitted by cubic
    B-splines, finer at each level; both are repeated. Equal to ITK 5 (and SimpleITK): the log field to about 1e-5, and
    with a threshold the same number of iterations, since ITK's measure of convergence is followed in its own float32
    arithmetic.

    Parameters
    ----------
    image : Image or array (z, y, x)
        Voxels that are not positive have no logarithm and do not count (they are divided by the field like all others).
    mask : Image or array, optional
        Non-zero: where the field is estimated. Default: all but the padding of an Image.
    weights : Image or array (z, y, x), optional
        Confidence in each voxel, not negative: its weight in the fit of the field (ITK's confidence image). Voxels of
        weight 0 do not count at all.
    shrink : int
        Estimate on every shrink-th voxel along each axis, as SimpleITK's Shrink picks them.
    iterations : sequence of int
        The most iterations of each level; each has twice as many spans of the spline along an axis as the one before.
    threshold : float
        A level ends when the coefficient of variation of the ratio of two successive fields falls to it; 0: never.
    bins : int
        Of the histogram of log intensities.
    fwhm : float
        Of the Gaussian by which the field is assumed to blur that histogram.
    noise : float
        Of the Wiener filter.
    control_points : int
        Of the first level along each axis, 4 or more: control_points - 3 spans.
    measure : {"itk", "float64"}
        Of convergence, where threshold > 0: in ITK's float32 sums, which are one voxel after another (on a GPU that
        means a copy to the host each iteration), or the same quantity in float64, 10 to 20 % higher, so that a level
        may end at another iteration.
    nan : {"raise", "ignore"}
        What NaN and infinite voxels do: an error, or left out of the mask and kept as they are.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    corrected, field : Image or array, float32
        image / field, and the field (its logarithm is what ITK calls the log bias field).

    Raises
    ------
    ArgumentError
        Not three axes, an axis of fewer than 2 voxels after shrinking, no positive voxel in the mask or all of one value,
        NaN with nan="raise", bad options; more than 256 bins on a GPU.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> z, y, x = np.ogrid[-1:1:20j, -1:1:20j, -1:1:20j]
    >>> tissue = np.where(z * z + y * y + x * x < 0.5, 100, 60)
    >>> image = tissue * np.exp(0.3 * x)
    >>> corrected, field = fi.harmonize.n4(image, shrink=1, iterations=(30, 30))
    >>> bool(image[tissue == 60].std() > 10 > 1 > corrected[tissue == 60].std())
    True
    """
    array = native(array_of(image))
    if array.ndim != 3:
        raise ArgumentError(f"n4: expected one volume (z, y, x), got shape {array.shape}")
    levels = [int(count) for count in iterations]
    if not levels or min(levels) < 1 or len(levels) > 8:
        raise ArgumentError(f"iterations: expected 1 to 8 positive numbers, got {iterations!r}")
    if not 1 <= shrink <= 64 or not 16 <= bins <= 4096:
        raise ArgumentError(f"n4: shrink must lie in 1 to 64 and bins in 16 to 4096, got {shrink!r} and {bins!r}")
    for name, value in (("fwhm", fwhm), ("noise", noise)):
        if not finite(name, value) > 0:
            raise ArgumentError(f"{name}: must be positive, got {value!r}")
    if not 4 <= control_points <= 64:
        raise ArgumentError(f"control_points: must lie between 4 and 64, got {control_points!r}")
    choice("measure", measure, ("itk", "float64"))
    choice("nan", nan, NAN)
    leaf = _dispatch.pick(array, leaf="harmonize._n4")
    xp = _dispatch.namespace(array)
    if bins > leaf.MOST_BINS:
        raise ArgumentError(f"bins: at most {leaf.MOST_BINS} on a GPU, got {bins!r}")
    threshold = finite("threshold", threshold)
    inside = selected(image, mask)[1]
    weight = None if weights is None else _weights_of(weights, array)
    values = xp.ascontiguousarray(array.astype(np.float32, copy=False))
    holes = None
    team = thread_count(threads)
    if not all_finite(values, threads):
        holes = ~xp.isfinite(values)
        if nan != "ignore":
            raise not_finite(int(holes.sum()))
        values = xp.where(holes, np.float32(0), values)
    steps = tuple(_shrunken(length, shrink) for length in array.shape)
    small = xp.ascontiguousarray(values[steps])
    if min(small.shape) < 2:
        raise ArgumentError(f"n4: shrunken by {shrink} the volume is {small.shape}; every axis needs 2 voxels")
    counted = small > 0
    if inside is not None:
        counted &= inside.reshape(array.shape)[steps] != 0
    confidence = None
    if weight is not None:
        confidence = xp.ascontiguousarray(weight[steps])
        counted &= confidence > 0
    known = small[counted]
    if not known.size:
        raise ArgumentError("n4: the mask holds no positive voxel")
    if float(known.min()) == float(known.max()):
        raise ArgumentError("n4: the voxels that count have one value; there is no field to find")
    estimate = leaf.Estimate(small, counted, confidence, int(bins), float(fwhm), float(noise), team)
    lattice = estimate.run(levels, threshold, int(control_points) - 3, measure)
    corrected, field = (empty(array.shape, np.float32, array) for _ in range(2))
    leaf.finish(values, lattice, corrected, field, threads=team)
    if holes is not None:
        corrected[holes] = array[holes]
    unit = {"unit": image.unit} if isinstance(image, Image) else {}
    return like(image, corrected, **unit), like(image, field, **({"unit": "ratio"} if unit else {}))


def _weights_of(weights: Any, array: Any) -> Any:
    confidence = native(array_of(weights, "weights"))
    if confidence.shape != array.shape:
        raise ArgumentError(f"weights: expected the image's shape {array.shape}, got {confidence.shape}")
    _dispatch.namespace(array, confidence)
    confidence = confidence.astype(np.float32, copy=False)
    if not bool((confidence >= 0).all()) or not bool((confidence < np.inf).all()):
        raise ArgumentError("weights: must be finite and not negative")
    return confidence


def _shrunken(length: int, factor: int) -> slice:
    """The voxels that ITK's shrink filter picks: the grids' centres coincide, halves are rounded up."""
    count = max(1, length // factor)
    first = math.floor(((length - 1) - (count - 1) * factor) / 2 + 0.5)
    return slice(first, first + (count - 1) * factor + 1, factor)
