"""N4 bias-field correction, equal to ITK's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import array_of, choice, empty, finite, like, native, thread_count
from ..errors import ArgumentError, DeviceError
from ..histogram._select import NAN, selected
from ..histogram._statistics import not_finite
from ..image import Image
from . import _native

__all__ = ["n4"]

Array = npt.NDArray[Any]


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
        NaN, bad options.
    DeviceError
        An image on a GPU: N4 runs on the CPU.

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
    if _dispatch.device(array) != "cpu":
        raise DeviceError("n4: runs on the CPU; move the image with to_device('cpu')")
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
    choice("nan", nan, NAN)
    threshold = finite("threshold", threshold)
    inside = selected(image, mask)[1]
    weight = None if weights is None else _weights_of(weights, array)
    values = np.ascontiguousarray(array, np.float32)
    holes = None
    if not math.isfinite(float(values.min())) or not math.isfinite(float(values.max())):
        holes = ~np.isfinite(values)
        if nan != "ignore":
            raise not_finite(int(holes.sum()))
        values = np.where(holes, np.float32(0), values)
    team = thread_count(threads)
    steps = tuple(_shrunken(length, shrink) for length in array.shape)
    small = np.ascontiguousarray(values[steps])
    if min(small.shape) < 2:
        raise ArgumentError(f"n4: shrunken by {shrink} the volume is {small.shape}; every axis needs 2 voxels")
    counted = small > 0
    if inside is not None:
        counted &= inside.reshape(array.shape)[steps] != 0
    confidence = None
    if weight is not None:
        confidence = np.ascontiguousarray(weight[steps])
        counted &= confidence > 0
    estimate = _Estimate(small, counted, confidence, int(bins), float(fwhm), float(noise), team)
    lattice = estimate.run(levels, threshold, int(control_points) - 3)
    log_field = _Spline(array.shape, lattice.shape[0] - 3).field(lattice, empty(array.shape, np.float32, array), team)
    corrected = empty(array.shape, np.float32, array)
    _native.n4_correct(values.ravel(), log_field.ravel(), corrected.ravel(), log_field.ravel(), team)
    if holes is not None:
        corrected[holes] = array[holes]
    unit = {"unit": image.unit} if isinstance(image, Image) else {}
    return like(image, corrected, **unit), like(image, log_field, **({"unit": "ratio"} if unit else {}))


def _weights_of(weights: Any, array: Any) -> Array:
    confidence = native(array_of(weights, "weights"))
    if confidence.shape != array.shape:
        raise ArgumentError(f"weights: expected the image's shape {array.shape}, got {confidence.shape}")
    _dispatch.namespace(array, confidence)
    confidence = confidence.astype(np.float32, copy=False)
    if not bool((confidence >= 0).all()) or not bool((confidence < np.inf).all()):
        raise ArgumentError("weights: must be finite and not negative")
    return np.asarray(confidence)


def _shrunken(length: int, factor: int) -> slice:
    """The voxels that ITK's shrink filter picks: the grids' centres coincide, halves are rounded up."""
    count = max(1, length // factor)
    first = math.floor(((length - 1) - (count - 1) * factor) / 2 + 0.5)
    return slice(first, first + (count - 1) * factor + 1, factor)


class _Spline:
    """Cubic B-splines with `spans` spans along each axis of a grid; the last voxel is a thousandth of a voxel inside."""

    def __init__(self, shape: tuple[int, ...], spans: int) -> None:
        self.shape = shape
        self.controls = spans + 3
        self.axes = [_weights(length, spans) for length in shape]

    def field(self, lattice: Array, out: Array, threads: int) -> Array:
        """The spline of a lattice (z, y, x) on the grid, written to `out`."""
        (nz, ny, nx), m = self.shape, self.controls
        along_x = np.empty((m * m, nx, 1))
        _native.n4_expand(np.ascontiguousarray(lattice).reshape(m * m, m, 1), *self.axes[2], along_x, threads)
        along_y = np.empty((m, ny, nx))
        _native.n4_expand(along_x.reshape(m, m, nx), *self.axes[1], along_y, threads)
        _native.n4_expand(along_y.reshape(1, m, ny * nx), *self.axes[0], out.reshape(1, nz, ny * nx), threads)
        return out

    def gathered(self, values: Array, weights: list[Array], threads: int) -> Array:
        """Sums of values x weights at each control point: (controls, controls, controls)."""
        (nz, ny, nx), m = self.shape, self.controls
        starts = [start for start, _ in self.axes]
        by_z, by_y, by_x = np.empty((1, m, ny * nx)), np.empty((m, m, nx)), np.empty((m * m, m, 1))
        _native.n4_reduce(values.reshape(1, nz, ny * nx), starts[0], weights[0], by_z, threads)
        _native.n4_reduce(by_z.reshape(m, ny, nx), starts[1], weights[1], by_y, threads)
        _native.n4_reduce(by_y.reshape(m * m, nx, 1), starts[2], weights[2], by_x, threads)
        return by_x.reshape(m, m, m)


def _weights(length: int, spans: int) -> tuple[Array, Array]:
    """(first control point, four weights) of each voxel."""
    u = np.arange(length) * (spans / (length - 1))
    margin = 1e-3 * spans / (length - 1)
    u = np.where(np.abs(u - spans) <= margin, spans - margin, u)
    start = u.astype(np.int32)
    t = u - start
    parts = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    return start, np.ascontiguousarray(np.stack(parts, 1) / 6)


class _Estimate:
    """The iteration: sharpen, fit, add."""

    def __init__(
        self, image: Array, inside: Array, weight: Array | None, bins: int, fwhm: float, noise: float, threads: int
    ) -> None:
        self.shape = image.shape
        self.inside = np.ascontiguousarray(inside).view(np.uint8).ravel()
        self.weight = None if weight is None else weight.ravel()
        self.bins, self.fwhm, self.noise, self.threads = bins, fwhm, noise, threads
        self.log = np.log(np.where(inside, image, np.float32(1))).ravel()
        self.uncorrected, self.residual = np.empty_like(self.log), np.empty_like(self.log)
        if not inside.any():
            raise ArgumentError("n4: the mask holds no positive voxel")
        chosen = self.log[inside.ravel()]
        if chosen.min() == chosen.max():
            raise ArgumentError("n4: the voxels that count have one value; there is no field to find")

    def run(self, levels: list[int], threshold: float, spans: int) -> Array:
        """The lattice of control points of the last level."""
        field, new = np.zeros_like(self.log), np.empty_like(self.log)
        lattice = np.zeros((spans + 3,) * 3)
        known = self.inside.astype(np.float32) if self.weight is None else self.inside * self.weight
        for level, most in enumerate(levels):
            if level:
                lattice, spans = _refined(lattice), 2 * spans
            spline = _Spline(self.shape, spans)
            squares = [np.square(weight) for _, weight in spline.axes]
            # A voxel's data goes to its 64 control points by the cubes of their weights, over the sum of the squares.
            cubes = [w**3 / np.square(w).sum(1, keepdims=True) for _, w in spline.axes]
            share = spline.gathered(known, squares, self.threads)
            used = share > 0
            for _ in range(most):
                self._sharpen(field)
                if self.weight is not None:
                    self.residual *= self.weight
                part = spline.gathered(self.residual, cubes, self.threads)
                lattice = lattice + np.divide(part, share, out=np.zeros_like(part), where=used)
                spline.field(lattice, new.reshape(self.shape), self.threads)
                done = threshold > 0 and _native.n4_change(field, new, self.inside) <= threshold
                field, new = new, field
                if done:
                    break
        return lattice

    def _sharpen(self, field: Array) -> None:
        """residual = what sharpening the histogram takes from each voxel."""
        low, high = _native.n4_subtract(self.log, field, self.inside, self.uncorrected, self.threads)
        slope = np.float32((np.float32(high) - np.float32(low)) / np.float32(self.bins - 1))
        if not slope > 0:  # the field explains everything
            self.residual[:] = 0
            return
        counts = np.empty(self.bins)
        _native.n4_histogram(self.uncorrected, self.inside, low, slope, counts, self.threads)
        expected = _expected(counts, float(low), float(slope), self.fwhm, self.noise).astype(np.float32)
        _native.n4_residual(self.uncorrected, self.inside, low, slope, expected, self.residual, self.threads)


def _expected(counts: Array, low: float, slope: float, fwhm: float, noise: float) -> Array:
    """E(u | v): the sharpened log intensity of each bin, by Wiener deconvolution with a Gaussian (Sled et al. 1998)."""
    bins = len(counts)
    size = 1 << (math.ceil(math.log2(bins)) + 1)
    first = (size - bins) // 2
    padded = np.zeros(size)
    padded[first : first + bins] = counts
    width = fwhm / slope
    apart = np.minimum(np.arange(size), size - np.arange(size)).astype(np.float64)
    blur = np.exp(-np.square(apart) * (4 * math.log(2) / width**2)) * (2 * math.sqrt(math.log(2) / math.pi) / width)
    blur_f = np.fft.rfft(blur)
    wiener = (np.conj(blur_f) / (np.conj(blur_f) * blur_f + noise)).real
    sharp = np.maximum(np.fft.irfft(np.fft.rfft(padded) * wiener, size), 0.0)
    value = low + (np.arange(size) - first) * slope
    both = np.fft.irfft(np.fft.rfft(np.stack([value * sharp, sharp])) * blur_f, size)
    found = np.divide(both[0], both[1], out=np.zeros(size), where=both[1] != 0)
    return np.asarray(found[first : first + bins])


def _refined(lattice: Array) -> Array:
    """The same spline with twice the spans along each axis."""
    for axis in range(3):
        old = np.moveaxis(lattice, axis, 0)
        new = np.empty((2 * len(old) - 3, *old.shape[1:]))
        new[0::2] = (old[:-1] + old[1:]) / 2
        new[1::2] = (old[:-2] + 6 * old[1:-1] + old[2:]) / 8
        lattice = np.moveaxis(new, 0, axis)
    return np.ascontiguousarray(lattice)
