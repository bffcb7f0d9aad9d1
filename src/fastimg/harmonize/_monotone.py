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
    """Features whose sample skewness is beyond 3, looked at in up to 2000 evenly spaced rows."""
    if x.shape[0] < 8:
        return []
    some = np.asarray(_dispatch.move(x[:: -(-x.shape[0] // 2000)], "cpu"), np.float64)
    some = np.where(np.isfinite(some), some, np.nan)
    seen = np.isfinite(some)
    count = np.maximum(seen.sum(0), 1)
    apart = np.where(seen, some - np.where(seen, some, 0).sum(0) / count, 0)
    second, third = np.square(apart).sum(0) / count, (apart * apart * apart).sum(0) / count
    with np.errstate(invalid="ignore", divide="ignore"):
        skew = np.abs(third) / second**1.5
    return [name for name, value in zip(names, skew, strict=True) if value > _SKEW]
