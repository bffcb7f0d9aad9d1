"""Twins of fastimg.harmonize."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["window"]


def window(array: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float32]:
    """The formula of `harmonize.window`, a step at a time in float32."""
    low32, high32 = np.float32(low), np.float32(high)
    values = array.astype(np.float32)
    values = np.where(values < low32, low32, values)
    values = np.where(values > high32, high32, values)
    return (values - low32) * (np.float32(1) / (high32 - low32))
