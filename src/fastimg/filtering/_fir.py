"""Filters with finite, separable kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import array_of, choice, finite, like, native, result, thread_count
from ..errors import ArgumentError
from ..image import Image

__all__ = ["gaussian", "gaussian_kernel", "separable"]

_SMALL = ("int8", "uint8", "int16", "uint16", "float32")
MODES = ("nearest", "mirror", "reflect", "wrap", "constant")


def gaussian_kernel(sigma: float, *, truncate: float = 4.0) -> npt.NDArray[np.float64]:
    """A sampled Gaussian of `sigma` voxels, cut at `truncate` sigma and scaled to sum 1, as scipy.ndimage makes it.

    Raises ArgumentError for a negative or unbounded `sigma`.
    """
    sigma, truncate = finite("sigma", sigma), finite("truncate", truncate)
    if sigma < 0 or truncate <= 0 or sigma * truncate > 1 << 20:
        raise ArgumentError(f"sigma: must be 0 or more (and the kernel below 2^20 voxels), got {sigma:g}")
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return np.ones(1)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum())


def gaussian(
    image: Any,
    *,
    sigma_mm: float | Sequence[float] | None = None,
    sigma: float | Sequence[float] | None = None,
    truncate: float = 4.0,
    mode: str = "nearest",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Smooth with a Gaussian.

    Parameters
    ----------
    image : Image or array (..., z, y, x)
        Any real dtype; leading axes are filtered one volume after another.
    sigma_mm : float or (z, y, x), mm
        Standard deviation; needs an Image.
    sigma : float or (z, y, x), voxels
        The same in voxels; one of both must be given. 0 leaves an axis as it is.
    truncate : float
        The kernel ends after this many standard deviations, rounded to whole voxels.
    mode : "nearest" | "mirror" | "reflect" | "wrap" | "constant"
        Samples outside the volume, by SciPy's names; "nearest" repeats the border as ITK does, "constant" takes zeros.
        IBSI's names of them: nearest value, (none), mirror, periodisation, zero padding.
    out : Image or array, optional
        float32 (float64 for input of 32-bit integers and wider); must not overlap the image.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array
        float32 for voxels of 8 and 16 bits and float32, else float64. Equal to scipy.ndimage.gaussian_filter up to
        rounding; the bits are the same on any number of threads, at any instruction-set level and on the GPU.

    Raises
    ------
    ArgumentError
        Both or neither sigma, a negative one, sigma_mm for a bare array.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> point = fi.Image(np.pad(np.ones((1, 1, 1), np.float32), 4), spacing=(2, 1, 1))
    >>> seen = fi.filtering.gaussian(point, sigma_mm=1).array
    >>> round(float(seen.sum()), 5), bool(seen[4, 4, 4] > seen[4, 4, 5] > seen[5, 4, 4])
    (1.0, True)
    """
    if (sigma_mm is None) == (sigma is None):
        raise ArgumentError("gaussian: give one of sigma_mm= (mm) and sigma= (voxels)")
    if sigma_mm is not None:
        if not isinstance(image, Image):
            raise ArgumentError("sigma_mm: a bare array has no spacing; give an Image, or sigma= in voxels")
        sigmas = [s / step for s, step in zip(_three("sigma_mm", sigma_mm), image.spacing, strict=True)]
    else:
        sigmas = _three("sigma", sigma)
    kernels = [gaussian_kernel(s, truncate=truncate) for s in sigmas]
    return separable(image, kernels, mode=mode, out=out, threads=threads)


def separable(
    image: Any,
    kernels: Sequence[npt.ArrayLike],
    *,
    mode: str = "nearest",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Correlate with one kernel along each of z, y and x.

    Parameters
    ----------
    image : Image or array (..., z, y, x)
        Any real dtype.
    kernels : three sequences of float
        Along z, y, x; odd lengths, centred on their middle; not flipped.
    mode, out, threads
        As for `gaussian`.

    Returns
    -------
    Image or array
        float32 for voxels of 8 and 16 bits and float32, else float64.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> ramp = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
    >>> fi.filtering.separable(ramp, ([1], [1], [-0.5, 0, 0.5])).ravel()
    array([0.5, 1. , 1. , 0.5], dtype=float32)
    """
    array = array_of(image)
    choice("mode", mode, MODES)
    if array.ndim < 3:
        raise ArgumentError(f"image: expected the axes (..., z, y, x), got shape {tuple(array.shape)}")
    if len(kernels) != 3:
        raise ArgumentError(f"kernels: expected three, along z, y and x; got {len(kernels)}")
    array = native(array.astype(np.float32) if array.dtype == np.float16 else array)
    real = np.dtype(np.float32 if array.dtype.name in _SMALL else np.float64)
    weights = [_checked_kernel(kernel, real) for kernel in kernels]
    if mode == "constant":
        radii = [0] * (array.ndim - 3) + [kernel.size // 2 for kernel in weights]
        inner = tuple(slice(r, r + n) for r, n in zip(radii, array.shape, strict=True))
        wide = _dispatch.namespace(array).pad(array, [(r, r) for r in radii])
        target = result(out, array.shape, real, array)
        target[...] = separable(wide, weights, threads=threads)[inner]
        return like(image, target)
    target = result(out, array.shape, real, array)
    sources = [_indices(size, kernel.size // 2, mode) for size, kernel in zip(array.shape[-3:], weights, strict=True)]
    if target.size:
        _dispatch.pick(array, leaf="filtering").fir(array, target, weights, sources, threads=thread_count(threads))
    return like(image, target)


def _three(name: str, value: float | Sequence[float] | None) -> list[float]:
    values = [value] * 3 if isinstance(value, (int, float, np.number)) else list(value or ())
    if len(values) != 3:
        raise ArgumentError(f"{name}: expected one or three (z, y, x) values, got {value!r}")
    return [finite(name, v) for v in values]


def _checked_kernel(kernel: npt.ArrayLike, real: np.dtype[Any]) -> npt.NDArray[Any]:
    values = np.asarray(kernel, np.float64)
    if values.ndim != 1 or values.size % 2 == 0 or not np.isfinite(values).all():
        raise ArgumentError("kernels: each must be a sequence of finite numbers of odd length")
    return np.ascontiguousarray(values, real)


def _indices(size: int, radius: int, mode: str) -> npt.NDArray[np.int64]:
    """Sample indices from -radius to size + radius - 1 under the border's rule."""
    places = np.arange(-radius, size + radius)
    if size == 0 or mode == "nearest":
        return np.clip(places, 0, max(size - 1, 0))
    if mode == "wrap":
        return places % size
    period = max(2 * size - 2 if mode == "mirror" else 2 * size, 1)
    places = places % period
    last = period if mode == "mirror" else period - 1
    return np.where(places < size, places, last - places)
