"""Distances from a mask's voxels to what lies outside, and the morphology that follows from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import choice, finite, like, result, thread_count
from ..errors import ArgumentError
from ..image import Image
from . import _native
from ._masks import mask_of

__all__ = ["dilate", "distance", "erode"]

METRICS = ("euclidean", "taxicab")


def distance(
    mask: Any,
    spacing: float | Sequence[float] | None = None,
    *,
    metric: str = "euclidean",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Distance of each voxel of a mask to the nearest voxel outside it.

    Parameters
    ----------
    mask : Image or array (z, y, x)
        Any real dtype; voxels that are not 0 belong to it.
    spacing : float or (z, y, x), optional
        Default: the Image's, in mm; 1 for a bare array.
    metric : "euclidean" | "taxicab"
        Straight, or along the axes.
    out : Image or array, optional
        float32, same shape.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array, float32
        Between voxel centres; 0 outside the mask, infinity everywhere if nothing is outside. The volume's border is not
        outside, as in scipy.ndimage.distance_transform_edt, which it equals (exact, computed in float64, rounded once).

    Raises
    ------
    ArgumentError
        Not three axes, NaN, spacing not positive.
    DeviceError
        The mask lives on the GPU.

    Notes
    -----
    Peak memory beside the result: 9 bytes a voxel.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> fi.labels.distance(np.array([[[0, 1, 1, 1]]]), spacing=(1, 1, 0.5)).tolist()
    [[[0.0, 0.5, 1.0, 1.5]]]
    """
    choice("metric", metric, METRICS)
    steps = _spacing(mask, spacing)
    array = mask_of(mask)
    target = result(out, array.shape, np.float32, array)
    _native.distance(array, target, *steps, metric == "taxicab", thread_count(threads))
    return like(mask, target, unit="mm") if target is not out else out


def dilate(
    mask: Any,
    radius: float,
    spacing: float | Sequence[float] | None = None,
    *,
    metric: str = "euclidean",
    threads: int | None = None,
) -> Any:
    """Grow a mask by all voxels not further from it than a radius.

    Parameters
    ----------
    mask, spacing, metric, threads
        As for `distance`.
    radius : float
        In the unit of the spacing (mm for an Image). With metric="taxicab" and unit spacing, n steps of
        scipy.ndimage.binary_dilation.

    Returns
    -------
    Image or array, uint8
    """
    reach = _radius(radius)
    array = mask_of(mask)
    far = distance(1 - array, _spacing(mask, spacing), metric=metric, threads=threads)
    return like(mask, (far <= reach).astype(np.uint8))


def erode(
    mask: Any,
    radius: float,
    spacing: float | Sequence[float] | None = None,
    *,
    metric: str = "euclidean",
    threads: int | None = None,
) -> Any:
    """Take from a mask all voxels not further from its outside than a radius; the volume's border is not outside.

    Parameters
    ----------
    mask, radius, spacing, metric, threads
        As for `dilate`.

    Returns
    -------
    Image or array, uint8
    """
    reach = _radius(radius)
    array = mask_of(mask)
    far = distance(array, _spacing(mask, spacing), metric=metric, threads=threads)
    return like(mask, ((far > reach) & (array != 0)).astype(np.uint8))


def _radius(radius: float) -> np.float32:
    value = finite("radius", radius)
    if value < 0:
        raise ArgumentError(f"radius: must be 0 or more, got {radius!r}")
    return np.nextafter(np.float32(value), np.float32(math.inf))  # a distance rounded up still counts


def _spacing(mask: Any, spacing: float | Sequence[float] | None) -> tuple[float, float, float]:
    if spacing is None:
        return mask.spacing if isinstance(mask, Image) else (1.0, 1.0, 1.0)
    values = [spacing] * 3 if isinstance(spacing, (int, float, np.number)) else list(spacing)
    steps = [finite("spacing", value) for value in values]
    if len(steps) != 3 or min(steps) <= 0:
        raise ArgumentError(f"spacing: expected one or three (z, y, x) positive values, got {spacing!r}")
    z, y, x = steps
    return z, y, x
