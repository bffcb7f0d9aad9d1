"""Twins of fastimg.filtering."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["separable"]


def separable(array: npt.NDArray[Any], kernels: Any, mode: str = "nearest") -> npt.NDArray[Any]:
    """One axis after another, one tap after another, in the type of the arithmetic."""
    kind = np.float32 if array.dtype.name in ("int8", "uint8", "int16", "uint16", "float32") else np.float64
    pad = {"nearest": "edge", "mirror": "reflect", "reflect": "symmetric", "wrap": "wrap"}[mode]
    values = array.astype(kind)
    for axis, kernel in zip((-3, -2, -1), kernels, strict=True):
        radius, size = len(kernel) // 2, array.shape[axis]
        widths = [(0, 0)] * array.ndim
        widths[axis] = (radius, radius)
        wide: Any = np.pad(values, widths, mode=pad)  # type: ignore[call-overload]
        wide = np.moveaxis(wide, axis, 0)
        total = kind(kernel[0]) * wide[:size]
        for t in range(1, len(kernel)):
            total = total + kind(kernel[t]) * wide[t : t + size]
        values = np.moveaxis(total, 0, axis)
    return np.ascontiguousarray(values)
