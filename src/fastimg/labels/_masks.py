"""What all functions of this room take: a mask in host memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _dispatch
from .._arrays import array_of
from ..errors import ArgumentError, DeviceError

__all__ = ["mask_of"]


def mask_of(mask: Any) -> Any:
    """(z, y, x) uint8, contiguous: 1 where the mask is not 0."""
    array = array_of(mask, "mask")
    if array.ndim != 3:
        raise ArgumentError(f"mask: expected the axes (z, y, x), got shape {tuple(array.shape)}")
    if _dispatch.device(array) != "cpu":
        raise DeviceError("mask: lives on the GPU, and components and distances run on the CPU: use to_device('cpu')")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ArgumentError("mask: holds NaN")
    return np.ascontiguousarray(array != 0).view(np.uint8)
