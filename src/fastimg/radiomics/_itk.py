"""ITK's interpolation at a product of places along z, y, x, as SimpleITK sets it up for PyRadiomics.

Truncation to whole numbers follows, so where a result can be whole (constant surroundings) operations keep ITK's order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ORDERS", "interpolated"]

Array = npt.NDArray[Any]
Table = tuple[Array, Array]  # samples and weights, (places, taps)
_RADIUS = 5
# Windows on [-5, 5] of the sinc interpolators (Meijering, Niessen, Pluim, Viergever 1999).
_WINDOWS: dict[str, Callable[[Array], Array]] = {
    "hamming": lambda x: 0.54 + 0.46 * np.cos(x * (math.pi / _RADIUS)),
    "cosine": lambda x: np.cos(x * (math.pi / (2 * _RADIUS))),
    "welch": lambda x: 1 - x * (1 / _RADIUS**2) * x,
    "lanczos": lambda x: np.sinc(x / _RADIUS),
    "blackman": lambda x: 0.42 + 0.5 * np.cos(x * (math.pi / _RADIUS)) + 0.08 * np.cos(x * (2 * math.pi / _RADIUS)),
}
ORDERS = ("gaussian", "label-gaussian", *_WINDOWS)
_SIGMA = {"gaussian": (0.8, 4.0), "label-gaussian": (1.0, 1.0)}  # in voxels; the kernel is cut at so many of it


def interpolated(values: Array, places: list[Array], order: str, spacing: Array) -> Array:
    """float64 values at the places; samples beyond the border are mirrored (cubic), repeated, or left out (Gaussian)."""
    if order in _SIGMA:
        tables = [
            _gaussian(place, n, _SIGMA[order][0] * step, _SIGMA[order][1], step)
            for place, n, step in zip(places, values.shape, spacing, strict=True)
        ]
        return (_mean if order == "gaussian" else _vote)(values, tables)
    for axis in (2, 1, 0):
        values = _along(values, places[axis], axis, order)
    return values


def _along(values: Array, place: Array, axis: int, order: str) -> Array:
    n = values.shape[axis]
    base = np.floor(place)
    t = place - base
    shape = [-1 if a == axis else 1 for a in range(3)]
    if order == "linear":
        below, above = (np.take(values, (base + step).clip(0, n - 1).astype(int), axis) for step in (0, 1))
        return np.asarray(below + (above - below) * t.reshape(shape))  # ITK's form: keeps what is constant
    if order == "cubic":
        from scipy.ndimage import spline_filter1d

        if n > 1:
            values = spline_filter1d(values, 3, axis, mode="mirror")
        taps = [(1 - t) ** 3 / 6, 2 / 3 - t * t + t**3 / 2, 2 / 3 - (1 - t) ** 2 + (1 - t) ** 3 / 2, t**3 / 6]
        period = max(2 * n - 2, 1)
        index = [(base + step).astype(int) % period for step in (-1, 0, 1, 2)]
        index = [np.where(i < n, i, period - i) for i in index]
    else:
        x = (t + _RADIUS)[:, None] - np.arange(1, 2 * _RADIUS + 1)
        weights = _WINDOWS[order](x) * np.sinc(x)
        weights[t == 0] = np.arange(2 * _RADIUS) == _RADIUS - 1
        taps = list(weights.T)
        index = [(base + step).clip(0, n - 1).astype(int) for step in range(1 - _RADIUS, _RADIUS + 1)]
    total: Any = 0.0
    for tap, where in zip(taps, index, strict=True):
        total = total + tap.reshape(shape) * np.take(values, where, axis)
    return np.asarray(total)


def _gaussian(place: Array, n: int, sigma: float, reach: float, step: float) -> Table:
    """Integrals of the Gaussian over each voxel that it reaches; weight 0 for those behind the last one."""
    scale, cut = 1 / (math.sqrt(2) * sigma / step), sigma * reach / step
    begin = np.floor(place + 0.5 - cut).clip(0, None)
    end = np.ceil(place + 0.5 + cut).clip(None, n)
    taps = math.ceil(2 * cut) + 1
    t = (-0.5 - place + begin) * scale
    error = np.vectorize(math.erf)
    last, weights = error(t), []
    for tap in range(taps):
        t = t + scale
        now = error(t)
        weights.append(np.where(begin + tap < end, now - last, 0))
        last = now
    samples = (begin[:, None] + np.arange(taps)).clip(0, n - 1).astype(int)
    return samples, np.stack(weights, 1)


def _samples(values: Array, tables: list[Table], k: int) -> Iterator[tuple[Array, Array]]:
    """Values and weights of plane k of the result, one after the other, along x first."""
    (z, wz), (y, wy), (x, wx) = tables
    for c, b, a in product(*(range(weights.shape[1]) for _, weights in tables)):
        plane = values[z[k, c]][np.ix_(y[:, b], x[:, a])]
        yield plane, wx[:, a] * wy[:, b, None] * wz[k, c]


def _mean(values: Array, tables: list[Table]) -> Array:
    result = np.empty([len(samples) for samples, _ in tables])
    for k in range(len(result)):
        total, weight = np.zeros(result.shape[1:]), np.zeros(result.shape[1:])
        for seen, w in _samples(values, tables, k):
            total += seen * w
            weight += w
        result[k] = total / weight
    return result


def _vote(values: Array, tables: list[Table]) -> Array:
    """The value that gathers the most weight; of equals the one that had it first."""
    result = np.empty([len(samples) for samples, _ in tables])
    for k in range(len(result)):
        before: list[tuple[Array, Array]] = []
        best, most = np.zeros(result.shape[1:]), np.zeros(result.shape[1:])
        for seen, w in _samples(values, tables, k):
            before.append((seen, w))
            gathered = np.zeros(seen.shape)
            for other, weight in before:
                gathered += np.where(other == seen, weight, 0)
            first = gathered > most
            best[first], most[first] = seen[first], gathered[first]
        result[k] = best
    return result
