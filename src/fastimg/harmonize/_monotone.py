"""Monotone transforms of features with inverse, and the test that tells when one is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _dispatch

__all__ = ["MONOTONE", "backward", "forward", "skewed"]

MONOTONE = (None, "signed-log")
_SKEW = 3.0  # |skewness|; of an exponential distribution it is 2


def forward(x: Any, name: str | None) -> Any:
    """x on the scale where ComBat works."""
    if name is None:
        return x
    xp = _dispatch.namespace(x)
    return xp.copysign(xp.log1p(xp.abs(x)), x)


def backward(x: Any, name: str | None) -> Any:
    """The inverse of `forward`."""
    if name is None:
        return x
    xp = _dispatch.namespace(x)
    return xp.copysign(xp.expm1(xp.abs(x)), x)


def skewed(x: Any, names: Sequence[str]) -> list[str]:
    """Features whose sample skewness is beyond 3, looked at in up to 400 evenly spaced rows."""
    if x.shape[0] < 8:
        return []
    some = np.array(_dispatch.move(x[:: -(-x.shape[0] // 400)], "cpu"), np.float64)
    count = np.full(some.shape[1], float(some.shape[0]))
    bad = ~np.isfinite(some)
    some[bad] = 0.0
    count -= bad.sum(0)
    some -= some.sum(0) / np.maximum(count, 1)
    some[bad] = 0.0
    square = some * some
    second, third = square.sum(0) / np.maximum(count, 1), np.einsum("ij,ij->j", square, some) / np.maximum(count, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        skew = np.abs(third) / second**1.5
    return [name for name, value in zip(names, skew, strict=True) if value > _SKEW]
