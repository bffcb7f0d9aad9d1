"""Rescaling, clipping and normalising within a resampling plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from ..errors import ArgumentError
from ._tables import Values

__all__ = ["checked_values", "finished", "result_dtype", "taken"]


def checked_values(
    rescale: Sequence[float] | None, clip: Sequence[float] | None, normalise: Sequence[float] | None
) -> Values:
    """The arguments of a fused plan as the leaves take them."""
    slope, intercept = _pair("rescale", rescale, "(slope, intercept)") or (1.0, 0.0)
    low, high = _pair("clip", clip, "(low, high)") or (-math.inf, math.inf)
    if low > high:
        raise ArgumentError(f"clip: low is above high, got ({low:g}, {high:g})")
    finish = _pair("normalise", normalise, "(shift, scale)")
    intake = None if rescale is None and clip is None else (slope, intercept, low, high)
    return None if intake is None and finish is None else (intake, finish)


def _pair(name: str, value: Sequence[float] | None, words: str) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        first, second = (float(part) for part in value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}: expected two numbers {words}, got {value!r}") from None
    if not math.isfinite(first) or not math.isfinite(second):
        raise ArgumentError(f"{name}: expected two finite numbers {words}, got {value!r}")
    return first, second


def result_dtype(dtype: npt.DTypeLike | None) -> np.dtype[Any] | None:
    """The dtype that is asked for."""
    if dtype is None:
        return None
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise ArgumentError(f"dtype: must be 'float32' or 'float64'; got {dtype!r}") from None
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ArgumentError(f"dtype: must be 'float32' or 'float64'; got {dtype!r}")
    return kind


def taken(values: Any, settings: Values) -> Any:
    """kernels/fastimg/interpolate.cuh: taken, for whole arrays."""
    if settings is None or settings[0] is None:
        return values
    slope, intercept, low, high = map(values.dtype.type, settings[0])
    return _dispatch.namespace(values).clip(values * slope + intercept, low, high)


def finished(values: Any, settings: Values) -> Any:
    """kernels/fastimg/interpolate.cuh: finished, for whole arrays."""
    if settings is None or settings[1] is None:
        return values
    shift, scale = map(values.dtype.type, settings[1])
    return (values - shift) * scale
