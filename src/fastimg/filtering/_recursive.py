"""Deriche's recursive Gaussian as ITK runs it, and the Laplacian made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import array_of, empty, finite, like, native, thread_count
from ..errors import ArgumentError, DeviceError
from ..image import Image

__all__ = ["laplacian_in", "recursive_laplacian"]

# Farneback and Westin, Improving Deriche-style recursive Gaussian filters, J. Math. Imaging Vis. 26, 2006, table 3.
_A1, _B1 = (1.3530, -0.6724, -1.3563), (1.8151, -3.4327, 5.2318)
_A2, _B2 = (-0.3531, 0.6724, 0.3446), (0.0902, 0.6100, -2.2355)
_W1, _L1, _W2, _L2 = 0.6681, -1.3932, 2.0787, -1.3732


def recursive_laplacian(image: Image, *, sigma_mm: float, normalize: bool = True, threads: int | None = None) -> Any:
    """Laplacian of a Gaussian by recursive filters: itk::LaplacianRecursiveGaussianImageFilter, PyRadiomics' LoG.

    Parameters
    ----------
    image : Image (z, y, x)
        Any real dtype, at least 4 voxels along each axis.
    sigma_mm : float, mm
        Scale.
    normalize : bool
        Multiply by sigma_mm squared (ITK's NormalizeAcrossScale).
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image
        float32. Borders extend by their last value.

    Raises
    ------
    ArgumentError
        A non-positive scale, or fewer than 4 voxels along an axis.
    DeviceError
        The image is on a GPU.

    Notes
    -----
    Each of the nine passes is a recursion of fourth order in float64, rounded to float32 between passes as in ITK, so that
    the voxels are ITK's. `laplacian_of_gaussian` is the filter of IBSI: sampled, not recursive.
    """
    return like(image, laplacian_in(image, None, sigma_mm=sigma_mm, normalize=normalize, threads=threads))


def laplacian_in(
    image: Image,
    box: Sequence[slice] | None,
    *,
    sigma_mm: float,
    normalize: bool = True,
    threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """The voxels of `recursive_laplacian` in a box of the image; None: in all of it.

    A recursion runs over whole lines, whatever is wanted of them; but of the three passes of a derivative only the first
    runs over all lines, the others over those that lead into the box.
    """
    if not isinstance(image, Image):
        raise ArgumentError("recursive_laplacian: image must be an Image, because sigma is in mm")
    array = array_of(image)
    if array.ndim != 3 or min(array.shape) < 4:
        raise ArgumentError(f"image: expected z, y, x with 4 voxels or more each, got shape {tuple(array.shape)}")
    if _dispatch.device(array) != "cpu":
        raise DeviceError("recursive_laplacian works on the CPU; move the image with to_device('cpu')")
    sigma = finite("sigma_mm", sigma_mm)
    if sigma <= 0:
        raise ArgumentError(f"sigma_mm: must be above 0, got {sigma_mm!r}")
    wide = array.dtype == np.float64 or array.dtype.name in ("int64", "uint64", "int32", "uint32")
    source = native(array.astype(np.float64 if wide else np.float32, copy=False))
    wanted = [slice(0, n) for n in array.shape] if box is None else list(box)
    count = thread_count(threads)
    total = np.zeros([edge.stop - edge.start for edge in wanted], np.float32)
    for axis in (2, 1, 0):  # x first, as ITK's dimension 0
        part = _pass(source, axis, wanted[axis], _taps(sigma, image.spacing[axis], 2, normalize), count, new=True)
        for other in (2, 1, 0):
            if other != axis:
                part = _pass(part, other, wanted[other], _taps(sigma, image.spacing[other], 0, normalize), count)
        scale = 1.0 / (image.spacing[axis] * image.spacing[axis])
        for plane, more in zip(total, part, strict=True):
            plane[...] = plane + more * np.float64(scale)
    return total


def _pass(
    source: Any, axis: int, wanted: slice, taps: npt.NDArray[np.float64], threads: int, *, new: bool = False
) -> Any:
    """Filtered along an axis, of which the wanted part is kept; in place where all is and nobody needs the source."""
    from . import _native

    shape = source.shape
    kept = wanted.stop - wanted.start
    if new or kept < shape[axis]:
        out = empty((*shape[:axis], kept, *shape[axis + 1 :]), np.float32, source)
    else:
        out = source
    view = (math.prod(shape[:axis]), -1, math.prod(shape[axis + 1 :]))
    _native.recursive(source.reshape(view), out.reshape(view), taps, wanted.start, threads)
    return out


def _taps(sigma: float, spacing: float, order: int, normalize: bool) -> npt.NDArray[np.float64]:
    """Rows n, m, d, bn, bm of csrc/filtering/recursive.hpp, computed as itkRecursiveGaussianImageFilter.hxx does."""
    s = sigma / spacing
    cos1, cos2, exp1, exp2 = math.cos(_W1 / s), math.cos(_W2 / s), math.exp(_L1 / s), math.exp(_L2 / s)
    d4 = exp1 * exp1 * exp2 * exp2
    d3 = -2 * cos1 * exp1 * exp2 * exp2
    d3 += -2 * cos2 * exp2 * exp1 * exp1
    d2 = 4 * cos2 * cos1 * exp1 * exp2
    d2 += exp1 * exp1 + exp2 * exp2
    d1 = -2 * (exp2 * cos2 + exp1 * cos1)
    sd, dd, ed = 1.0 + d1 + d2 + d3 + d4, d1 + 2 * d2 + 3 * d3 + 4 * d4, d1 + 4 * d2 + 9 * d3 + 16 * d4
    n0, sn0, dn0, en0 = _numerator(s, 0)
    if order == 0:
        n = n0 * (1.0 / (2 * sn0 / sd - n0[0]))
    else:
        n2, sn2, dn2, en2 = _numerator(s, 2)
        beta = -(2 * sn2 - sd * n2[0]) / (2 * sn0 - sd * n0[0])
        n = n2 + beta * n0
        sn, dn, en = sn2 + beta * sn0, dn2 + beta * dn0, en2 + beta * en0
        alpha = en * sd * sd - ed * sn * sd - 2 * dn * dd * sd + 2 * dd * dd * sn
        alpha /= sd * sd * sd
        n = n * ((sigma * sigma if normalize else 1.0) / alpha)
    d = np.array([d1, d2, d3, d4])
    m = np.array([n[1] - d1 * n[0], n[2] - d2 * n[0], n[3] - d3 * n[0], -d4 * n[0]])
    sn, sm = n[0] + n[1] + n[2] + n[3], m[0] + m[1] + m[2] + m[3]
    return np.ascontiguousarray([n, m, d, d * sn / sd, d * sm / sd])


def _numerator(s: float, order: int) -> tuple[npt.NDArray[np.float64], float, float, float]:
    a1, b1, a2, b2 = _A1[order], _B1[order], _A2[order], _B2[order]
    sin1, sin2, cos1, cos2 = math.sin(_W1 / s), math.sin(_W2 / s), math.cos(_W1 / s), math.cos(_W2 / s)
    exp1, exp2 = math.exp(_L1 / s), math.exp(_L2 / s)
    n0 = a1 + a2
    n1 = exp2 * (b2 * sin2 - (a2 + 2 * a1) * cos2)
    n1 += exp1 * (b1 * sin1 - (a1 + 2 * a2) * cos1)
    n2 = (a1 + a2) * cos2 * cos1
    n2 -= b1 * cos2 * sin1 + b2 * cos1 * sin2
    n2 *= 2 * exp1 * exp2
    n2 += a2 * exp1 * exp1 + a1 * exp2 * exp2
    n3 = exp2 * exp1 * exp1 * (b2 * sin2 - a2 * cos2)
    n3 += exp1 * exp2 * exp2 * (b1 * sin1 - a1 * cos1)
    return np.array([n0, n1, n2, n3]), n0 + n1 + n2 + n3, n1 + 2 * n2 + 3 * n3, n1 + 4 * n2 + 9 * n3
