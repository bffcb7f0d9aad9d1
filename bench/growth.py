"""What a growth curve needs of a kernel: its work, a peer's, and what its result is held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastimg as fi

SMALL = 4  # of kernels that take seconds: an edge smaller by that


def apart(ours: Any, theirs: Any) -> float:
    """Largest difference as a share of the reference's range; of whole numbers too, where anything but 0 is wrong."""
    ours, theirs = map(_voxels, (ours, theirs))
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float(np.abs(ours - theirs).max() / max(np.ptp(theirs), 1e-30))


def relative(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """Largest relative difference of numbers that both have."""
    both = ours.keys() & theirs.keys()
    assert both
    return max(abs(ours[name] - theirs[name]) / max(abs(theirs[name]), 1e-12) for name in both)


def _voxels(part: Any) -> np.ndarray:
    """Of an array, an Image or SimpleITK's image, which is copied: a view would outlive it."""
    if hasattr(part, "GetPixelIDValue"):
        return simpleitk().GetArrayFromImage(part).astype(np.float64)
    return np.asarray(getattr(part, "array", part), np.float64)


class Kernel(NamedTuple):
    """make, peer: float32 volume -> work. The error is that of a cube of `checked` voxels an edge against `reference`, a slow
    definition in float64 or a peer; without one, against the peer that is timed."""

    make: Callable[[np.ndarray], Callable[[], Any]]
    peer: Callable[[np.ndarray], Callable[[], Any]] | None = None  # on one thread
    name: str = ""
    moved: float = 8  # bytes a voxel
    shrink: int = 1
    reference: Callable[[np.ndarray], Any] | None = None
    checked: int = 32
    error: Callable[[Any, Any], float] = apart


def smooth_noise(edge: int) -> np.ndarray:
    """A float32 cube that everybody gets."""
    noise = np.random.default_rng(edge).normal(size=(edge,) * 3).astype(np.float32)
    return fi.filtering.gaussian(noise, sigma=1) * 4


def error_of(kernel: Kernel) -> float:
    """How far the kernel's result is from its reference; skips where that is a peer that is absent."""
    volume = smooth_noise(kernel.checked)
    expected = kernel.reference(volume) if kernel.reference else kernel.peer(volume)()
    return kernel.error(kernel.make(volume)(), expected)


def image_of(volume: np.ndarray) -> fi.Image:
    return fi.Image(volume, spacing=(1.5, 0.7, 0.7))


def mask_of(volume: np.ndarray) -> np.ndarray:
    return (fi.filtering.gaussian(volume, sigma=2) > 0).astype(np.uint8)


def levels_of(volume: np.ndarray) -> np.ndarray:
    """8 grey levels."""
    return np.digitize(volume, range(-3, 4)).astype(np.int32) + 1


def simpleitk():
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return sitk
