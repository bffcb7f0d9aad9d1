"""What of an image counts: its mask, and never its padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _dispatch
from .._arrays import array_of, native
from ..errors import ArgumentError
from ..image import Image

__all__ = ["NAN", "selected"]

NAN = ("raise", "ignore", "error")  # "error": an older word for "raise"


def selected(image: Any, mask: Any, name: str = "mask") -> tuple[Any, Any]:
    """(flat native values, flat uint8 mask or None).

    The mask has the image's shape, or its spatial shape (then it holds for all leading axes); non-zero counts. Padding
    of an Image never counts.
    """
    array = native(array_of(image))
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    chosen = None
    if mask is not None:
        chosen = _spread(array_of(mask, name), array.shape, name)
    if isinstance(image, Image) and image.padding is not None:
        inside = _spread(image.padding, array.shape, "padding") ^ np.uint8(1)
        chosen = inside if chosen is None else chosen & inside
    if chosen is not None:
        _dispatch.namespace(array, chosen)
        chosen = chosen.reshape(-1)
    return array.reshape(-1), chosen


def _spread(mask: Any, shape: tuple[int, ...], name: str) -> Any:
    xp = _dispatch.namespace(mask)
    if tuple(mask.shape) != tuple(shape) and (len(shape) < 3 or tuple(mask.shape) != tuple(shape[-3:])):
        raise ArgumentError(
            f"{name}: expected the image's shape {tuple(shape)} or its last three axes, got {tuple(mask.shape)}"
        )
    chosen = mask if mask.dtype == np.bool_ else mask != 0
    return xp.ascontiguousarray(xp.broadcast_to(chosen, shape)).view(np.uint8)
