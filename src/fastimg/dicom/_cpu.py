"""CPU side of the dicom leaf."""

from __future__ import annotations

from typing import Any

from . import _native


def rescale(array: Any, out: Any, left: int, right: int, slope: float, intercept: float, *, threads: int) -> None:
    """out = rescale(array); see kernels/fastimg/rescale.cuh."""
    _native.rescale(array.reshape(-1), out.reshape(-1), left, right, slope, intercept, threads)
