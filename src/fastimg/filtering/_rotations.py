"""Rotations of separable kernels by right angles, and pooling of responses (IBSI 2 reference manual, 2.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations, product
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import choice

__all__ = ["POOLING", "pooled", "rotated"]

POOLING = ("max", "mean", "min")
Kernel = npt.NDArray[np.float64]


def rotated(*sets: Sequence[Kernel | None]) -> list[tuple[tuple[Kernel | None, ...], ...]]:
    """Distinct versions of kernels along (z, y, x) under the 24 rotations, or the 4 in the plane where z has none.

    Several sets of kernels turn together. A rotation is a permutation of axes with flips whose determinant is +1.
    """
    axes = [axis for axis in range(3) if sets[0][axis] is not None]
    versions: dict[bytes, tuple[tuple[Kernel | None, ...], ...]] = {}
    for order in permutations(axes):
        parity = np.linalg.det(np.eye(3)[[order[axes.index(a)] if a in axes else a for a in range(3)]])
        for signs in product((1, -1), repeat=len(axes)):
            if round(parity * np.prod(signs)) != 1:
                continue
            turned = []
            for kernels in sets:
                new: list[Kernel | None] = [None, None, None]
                for target, source, sign in zip(axes, order, signs, strict=True):
                    kernel = kernels[source]
                    assert kernel is not None
                    new[target] = kernel[::sign]
                turned.append(tuple(new))
            key = b"|".join(b"-" if k is None else k.tobytes() for kernels in turned for k in kernels)
            versions.setdefault(key, tuple(turned))
    return list(versions.values())


def pooled(versions: Sequence[Any], respond: Callable[[Any], Any], pooling: str) -> Any:
    """The voxelwise maximum, mean or minimum of the responses to each version."""
    choice("pooling", pooling, POOLING)
    first = respond(versions[0])
    if len(versions) == 1:
        return first
    xp = _dispatch.namespace(first)
    combine = {"max": xp.maximum, "mean": xp.add, "min": xp.minimum}[pooling]
    for version in versions[1:]:
        combine(first, respond(version), out=first)
    if pooling == "mean":
        first /= len(versions)
    return first
