"""Volumes with their axes along the patient's: a copy, no interpolation."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

from .. import _dispatch
from .._arrays import native, result, thread_count
from ..errors import ArgumentError
from ..image import Image

__all__ = ["reorient"]

# Letter -> its axis of the world and its sign there (LPS).
_TOWARDS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}


def reorient(image: Image, axes: str = "LPS", *, out: Any = None, threads: int | None = None) -> Image:
    """The same voxels with axes in the order and directions that come nearest to the patient's.

    Parameters
    ----------
    image : Image
        NumPy or CuPy, leading axes too. Its affine may be oblique or sheared: it is kept, no value is interpolated.
    axes : str
        Where the array's axes x, y, z shall point: "LPS" (left, posterior, superior: an axial volume), "RAS" ...
    out : array, optional
        Of the result's shape and dtype; must not overlap.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image
        Each voxel at its old place in the world. Padding goes with it.

    Raises
    ------
    ArgumentError
        `axes` does not name one direction of each of left-right, anterior-posterior and superior-inferior.

    Notes
    -----
    Of the six orders of the axes the one whose cosines with the directions asked for add up to most, as in ITK's
    DICOMOrientImageFilter for axes that are not 45 degrees off.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> sagittal = fi.Image(np.zeros((4, 5, 6)), spacing=(3, 1, 2), direction=[[0, 0, 1], [1, 0, 0], [0, -1, 0]])
    >>> fi.dicom.reorient(sagittal).shape
    (5, 6, 4)
    """
    if not isinstance(image, Image):
        raise ArgumentError(f"reorient: expected an Image, got {type(image).__name__}")
    letters = axes.upper() if isinstance(axes, str) else ""
    if len(letters) != 3 or {_TOWARDS[letter][0] for letter in letters if letter in _TOWARDS} != {0, 1, 2}:
        raise ArgumentError(f"axes: expected three of L or R, P or A, S or I in any order, got {axes!r}")
    order, flipped = _way(image.affine, letters)
    array = native(image.array)
    lead = array.ndim - 3
    shape = (*array.shape[:lead], *(array.shape[lead + axis] for axis in order))
    target = result(out, shape, array.dtype, array)
    leaf = _dispatch.pick(array, leaf="dicom")
    leaf.reorient(array, target, order, flipped, threads=thread_count(threads))
    padding = image.padding
    if padding is not None:
        padding = padding.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)].copy()
    affine = np.eye(4)
    affine[:3, 3] = image.affine[:3, 3]
    for axis, (source, flip) in enumerate(zip(order, flipped, strict=True)):
        step = image.affine[:3, source]
        affine[:3, axis] = -step if flip else step
        if flip:
            affine[:3, 3] += step * (image.array.shape[lead + source] - 1)
    return image.with_array(target, affine=affine, padding=padding)


def _way(affine: Any, letters: str) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """For each axis of the result the axis that it comes from, and whether it runs backwards."""
    units = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    wanted = [_TOWARDS[letter] for letter in reversed(letters)]  # of z, y, x
    cosines = np.array([sign * units[world] for world, sign in wanted])
    best: tuple[float, tuple[int, int, int]] = (-1.0, (0, 1, 2))
    for a, b, c in permutations(range(3)):
        total = float(abs(cosines[0, a]) + abs(cosines[1, b]) + abs(cosines[2, c]))
        if total > best[0] + 1e-9:
            best = (total, (a, b, c))
    z, y, x = best[1]
    return best[1], (bool(cosines[0, z] < 0), bool(cosines[1, y] < 0), bool(cosines[2, x] < 0))
