"""Connected components."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import choice, like, result, thread_count
from . import _native
from ._masks import mask_of

__all__ = ["components", "largest"]


def components(mask: Any, *, connectivity: int = 26, out: Any = None, threads: int | None = None) -> Any:
    """Number the connected components of a mask.

    Parameters
    ----------
    mask : Image or array (z, y, x)
        Any real dtype; voxels that are not 0 belong to it.
    connectivity : 6 | 18 | 26
        Which neighbours touch: by faces, also by edges, also by corners.
    out : Image or array, optional
        int32, same shape.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array, int32
        0 outside the mask, else 1, 2 ... in the order of each component's first voxel (z, then y, then x), as
        scipy.ndimage.label numbers them; the largest number is how many there are.

    Raises
    ------
    ArgumentError
        Not three axes, another connectivity, NaN.
    DeviceError
        The mask lives on the GPU.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> fi.labels.components(np.array([[[1, 0, 1, 1]]])).tolist()
    [[[1, 0, 2, 2]]]
    """
    choice("connectivity", connectivity, (6, 18, 26))
    array = mask_of(mask)
    target = result(out, array.shape, np.int32, array)
    _native.components(array, target, connectivity, thread_count(threads))
    return like(mask, target, unit="label") if target is not out else out


def largest(mask: Any, *, connectivity: int = 26, threads: int | None = None) -> Any:
    """The largest connected component of a mask.

    Parameters
    ----------
    mask, connectivity, threads
        As for `components`.

    Returns
    -------
    Image or array, uint8
        1 in the component with most voxels (the first one of equals), else 0; all 0 for an empty mask.
    """
    array = mask_of(mask)
    numbers = components(array, connectivity=connectivity, threads=threads)
    sizes = np.bincount(numbers.ravel())
    biggest = int(sizes[1:].argmax()) + 1 if sizes.size > 1 else -1
    return like(mask, (numbers == biggest).astype(np.uint8))
