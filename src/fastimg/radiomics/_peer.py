"""PyRadiomics' preparation of image and mask (imageoperations.py of 3.0.1): resampling and cropping.

Each function keeps the operations, their order and their types, so that rounding at the edge of a grey level is the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from ..image import Image
from ._itk import interpolated
from ._settings import Settings

__all__ = ["cropped", "resampled"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def _box(selected: Mask) -> tuple[Array, Array]:
    """First index and length along z, y, x of the region's bounding box."""
    places = [np.flatnonzero(selected.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return np.array([p[0] for p in places]), np.array([p[-1] - p[0] + 1 for p in places])


def cropped(image: Image, selected: Mask, settings: Settings) -> tuple[Image, Mask]:
    """Both cut to the region's box with `pad_distance` voxels around it (cropToTumorMask)."""
    start, size = _box(selected)
    low = np.maximum(start - settings.pad_distance, 0)
    high = np.minimum(start + size + settings.pad_distance, selected.shape)
    cut = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    return image.with_array(np.ascontiguousarray(image.array[cut]), affine=affine, padding=None), selected[cut]


def resampled(image: Image, selected: Mask, settings: Settings) -> tuple[Image, Mask]:
    """Both on the wanted spacing around the region (resampleImage): the corner of the first voxel stays.

    The image by any of ITK's interpolators and back to its type by truncation, as ITK does; the mask by nearest neighbours. An axis along which the region has one voxel keeps its spacing.
    """
    assert settings.spacing is not None
    old, shape = np.array(image.spacing), np.array(selected.shape)
    start, size = _box(selected)
    new = np.where(np.array(settings.spacing) == 0, old, settings.spacing)
    new = np.where(size != 1, new, old)
    if np.allclose(old, new):
        return cropped(image, selected, settings)
    ratio = old / new
    low = np.floor((start - 0.5) * ratio - settings.pad_distance)
    high = np.ceil((start + size - 0.5) * ratio + settings.pad_distance)
    low, high = np.maximum(low, 0), np.minimum(high, np.ceil(shape * ratio) - 1)
    first = 0.5 * (new - old) / old + low / ratio
    counts = (high - low + 1).astype(int)
    places = _places(image, first, new, counts)
    inside = [(p >= -0.5) & (p < n - 0.5) for p, n in zip(places, shape, strict=True)]
    nearest = [np.clip(np.floor(p + 0.5), 0, n - 1).astype(int) for p, n in zip(places, shape, strict=True)]
    valid = inside[0][:, None, None] & inside[1][:, None] & inside[2]
    mask = selected[np.ix_(*nearest)] & valid
    if not mask.any():
        raise ArgumentError("radiomics: no voxel of the region is left after resampling; take a smaller spacing")
    if settings.order == "nearest":
        values = image.array[np.ix_(*nearest)].astype(np.float64)
    else:
        values = interpolated(image.array.astype(np.float64), places, settings.order, old)
    values[~valid] = 0
    kind = image.array.dtype
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        values = np.trunc(values).clip(limits.min, limits.max)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ first
    affine[:3, :3] = affine[:3, :3] / old * new
    return image.with_array(values.astype(kind), affine=affine, padding=None), mask


def _places(image: Image, first: Array, new: Array, counts: Array) -> list[Array]:
    """Indices of the new grid's samples in the old one, through points in mm and along x between its ends, as ITK goes.

    A whole number that is missed by one rounding is truncated to the next one, so the detours matter.
    """
    origin, old = image.affine[:3, 3][::-1], np.array(image.spacing)
    begin = origin + old * first
    found = []
    for axis in range(3):
        steps: Array = np.arange(counts[axis], dtype=np.float64)
        if axis == 2:
            ends = ((begin[axis] + new[axis] * np.array([0.0, counts[axis]])) - origin[axis]) * (1.0 / old[axis])
            found.append(ends[0] + (ends[1] - ends[0]) * (steps / counts[axis]))
        else:
            found.append(((begin[axis] + new[axis] * steps) - origin[axis]) * (1.0 / old[axis]))
    return found
