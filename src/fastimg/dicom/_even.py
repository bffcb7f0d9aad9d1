"""A volume whose slices are unevenly placed, onto an even grid; only where the caller tolerates that."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays
from ..image import Image

__all__ = ["even"]


def even(image: Image, depths: Any) -> Image:
    """Linear interpolation between neighbouring slices at multiples of the affine's step.

    Where the grid meets a slice, the slice is copied as it is. Where the gap is wider than 1.5 steps, a value would
    be invented: it is filled with the volume's smallest value and marked as padding.
    """
    step = image.spacing[0]
    offsets = np.asarray(depths, np.float64) - depths[0]
    # The affine's step may be sheared: its share along the normal is the distance.
    normal = np.cross(image.affine[:3, 2], image.affine[:3, 1])
    step = abs(float(image.affine[:3, 0] @ (normal / np.linalg.norm(normal))))
    count = int(np.floor(offsets[-1] / step + 1e-3)) + 1
    source = image.array
    shape = (*source.shape[:-3], count, *source.shape[-2:])
    result = _arrays.empty(shape, source.dtype, source)
    padding = np.zeros(shape[-3:], bool)
    lowest = source.min()
    for k in range(count):
        where = k * step
        above = int(np.clip(np.searchsorted(offsets, where), 1, len(offsets) - 1))
        below = above - 1
        gap = offsets[above] - offsets[below]
        weight = float(np.clip((where - offsets[below]) / gap, 0, 1))
        near = above if weight > 0.5 else below
        if abs(offsets[near] - where) <= 0.02 * step:
            result[..., k, :, :] = source[..., near, :, :]
            if image.padding is not None:
                padding[k] = image.padding[near]
        elif gap > 1.5 * step:
            result[..., k, :, :] = lowest
            padding[k] = True
        else:
            mixed = source[..., below, :, :].astype(np.float64) * (1 - weight) + source[..., above, :, :] * weight
            result[..., k, :, :] = np.rint(mixed) if source.dtype.kind in "iu" else mixed
            if image.padding is not None:
                padding[k] = image.padding[below] | image.padding[above]
    return image.with_array(result, affine=image.affine, padding=padding if padding.any() else None)
