"""CPU side of the harmonize leaf: contiguous arrays of checked shapes to the compiled loops."""

from __future__ import annotations

from typing import Any

from . import _native


def window(array: Any, out: Any, low: Any, high: Any, scale: Any, *, threads: int) -> None:
    """out = window(array); see kernels/fastimg/window.cuh."""
    _native.window(array.reshape(-1), out.reshape(-1), low, high, scale, threads)
