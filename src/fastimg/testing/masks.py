"""Slow twins of the mask readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fill_polygons"]


def fill_polygons(contours: Sequence[npt.NDArray[Any]], rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """One plane of (n, 2) row, column contours: for each pixel centre, count the edges at or left of it (even-odd)."""
    out = np.zeros((rows, columns), np.uint8)
    for row in range(rows):
        for column in range(columns):
            for contour in contours:
                for a, b in zip(contour, np.roll(contour, -1, axis=0), strict=True):
                    lower, upper = (a, b) if a[0] < b[0] else (b, a)
                    if lower[0] <= row < upper[0]:
                        share = (row - lower[0]) / (upper[0] - lower[0])
                        out[row, column] ^= column >= lower[1] + share * (upper[1] - lower[1])
    return out
