"""Twin of fastimg.harmonize.n4: dense arrays and loops that follow the paper and ITK's source, float64 but where noted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["basis", "change", "log_field", "sharpened"]

Array = npt.NDArray[Any]


def log_field(
    image: Array,
    mask: Array,
    iterations: Sequence[int],
    threshold: float,
    bins: int = 200,
    weights: Array | None = None,
) -> tuple[Array, list[int]]:
    """(log bias field, iterations done at each level) on the grid of `image`, whose voxels in the mask are positive."""
    weights = mask.astype(float) if weights is None else weights * mask
    log = np.log(np.where(mask, image, 1).astype(np.float32))
    field, lattice, done = np.zeros(image.shape, np.float32), np.zeros((4, 4, 4)), []
    for level, most in enumerate(iterations):
        axes = [basis(length, 2**level) for length in image.shape]
        if level:
            lattice = _refined(lattice, image.shape, axes, 2 ** (level - 1))
        squares = np.multiply.outer(np.multiply.outer(*((a * a).sum(1) for a in axes[:2])), (axes[2] ** 2).sum(1))
        share = np.einsum("zyx,za,yb,xc->abc", weights, *(a**2 for a in axes), optimize=True)
        done.append(0)
        while done[-1] < most:
            uncorrected = (log - field)[mask]
            residual = np.zeros(image.shape)
            residual[mask] = uncorrected - sharpened(uncorrected, bins)
            part = np.einsum("zyx,za,yb,xc->abc", weights * residual / squares, *(a**3 for a in axes), optimize=True)
            lattice = lattice + np.where(share > 0, part / np.where(share > 0, share, 1), 0)
            new = np.einsum("abc,za,yb,xc->zyx", lattice, *axes, optimize=True).astype(np.float32)
            moved, field = (field - new)[mask], new
            done[-1] += 1
            if change(moved) <= threshold:
                break
    return field, done


def basis(length: int, spans: int) -> Array:
    """(length, spans + 3): the cubic B-splines at each voxel."""
    out = np.zeros((length, spans + 3))
    for i in range(length):
        u = spans * i / (length - 1)
        if i == length - 1:
            u = spans - 1e-3 * spans / (length - 1)
        k, t = int(u), u - int(u)
        out[i, k : k + 4] = (1 - t) ** 3, 3 * t**3 - 6 * t * t + 4, -3 * t**3 + 3 * t * t + 3 * t + 1, t**3
    return out / 6


def _refined(lattice: Array, shape: tuple[int, ...], axes: list[Array], spans: int) -> Array:
    """The finer lattice of the same spline, found as the one that gives its values everywhere."""
    for axis, length in enumerate(shape):
        dense = max(length, 8 * (spans + 3))
        fit = np.linalg.lstsq(basis(dense, 2 * spans)[:-1], basis(dense, spans)[:-1], rcond=None)[0]
        lattice = np.moveaxis(np.tensordot(fit, lattice, axes=(1, axis)), 0, axis)
    return lattice


def sharpened(log: Array, bins: int, fwhm: float = 0.15, noise: float = 0.01) -> Array:
    """E(u | v) of each value: full Fourier transforms in float64, the rest in float32 as in ITK."""
    low, high = log.min(), log.max()
    slope = np.float32((high - low) / np.float32(bins - 1))
    counts = np.zeros(bins)
    at = ((log - low) / slope).astype(np.float32)
    for value in at:
        k = math.floor(value)
        rest = np.float32(value - np.float32(k))
        if rest == 0:
            counts[k] += 1
        elif k < bins - 1:
            counts[k] += float(np.float32(1) - rest)
            counts[k + 1] += float(rest)
    size = 2 ** (math.ceil(math.log2(bins)) + 1)
    first = (size - bins) // 2
    padded = np.pad(counts, (first, size - bins - first))
    width = fwhm / float(slope)
    n = np.minimum(np.arange(size), size - np.arange(size)).astype(float)
    blur = np.fft.fft(2 * math.sqrt(math.log(2) / math.pi) / width * np.exp(-4 * math.log(2) * (n / width) ** 2))
    wiener = np.conj(blur) / (np.conj(blur) * blur + noise)
    sharp = np.maximum(np.fft.ifft(np.fft.fft(padded) * wiener.real).real, 0)
    value = float(low) + (np.arange(size) - first) * float(slope)
    above, below = (np.fft.ifft(np.fft.fft(part) * blur).real for part in (value * sharp, sharp))
    expected = np.where(below != 0, above / np.where(below != 0, below, 1), 0)[first : first + bins]
    expected32 = expected.astype(np.float32)
    k = np.minimum(at.astype(int), bins - 2)
    between = expected32[k] + (expected32[k + 1] - expected32[k]) * (at - k.astype(np.float32))
    return np.where(at.astype(int) < bins - 1, between, expected32[-1])


def change(moved: Array) -> float:
    """ITK's running mean and sum of squares of exp(moved), kept in float32."""
    mean, total, count = np.float32(0), np.float32(0), np.float32(0)
    for ratio in np.exp(moved.astype(np.float64)).astype(np.float32):
        count += np.float32(1)
        n = float(count)
        apart = ratio - mean
        total = np.float32(float(total) + float(apart * apart) * (n - 1) / n)
        mean = np.float32(float(mean) * (1 - 1 / n) + float(ratio / count))
    return math.sqrt(float(total) / (float(count) - 1)) / float(mean)
