"""CPU side of N4: the loops over voxels and the sharpening are compiled, the lattice is NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import config
from .. import _native
from ._spline import refined, turns, weights_along

__all__ = ["MOST_BINS", "Estimate", "finish"]

MOST_BINS = 4096

Array = npt.NDArray[Any]


def finish(values: Array, lattice: Array, corrected: Array, field: Array, *, threads: int) -> None:
    """field = exp(spline of the lattice), corrected = values / field."""
    _Spline(values.shape, lattice.shape[0] - 3).field(lattice, field, threads)
    _native.n4_correct(values.ravel(), field.ravel(), corrected.ravel(), field.ravel(), threads)


class _Spline:
    """Cubic B-splines with `spans` spans along each axis of a grid; the last voxel is a thousandth of a voxel inside."""

    def __init__(self, shape: tuple[int, ...], spans: int) -> None:
        self.shape = shape
        self.controls = spans + 3
        self.axes = [weights_along(length, spans) for length in shape]

    def field(self, lattice: Array, out: Array, threads: int) -> Array:
        """The spline of a lattice (z, y, x) on the grid, written to `out`."""
        (nz, ny, nx), m = self.shape, self.controls
        along_x = np.empty((m * m, nx, 1))
        _native.n4_expand(np.ascontiguousarray(lattice).reshape(m * m, m, 1), *self.axes[2], along_x, threads)
        along_y = np.empty((m, ny, nx))
        _native.n4_expand(along_x.reshape(m, m, nx), *self.axes[1], along_y, threads)
        _native.n4_expand(along_y.reshape(1, m, ny * nx), *self.axes[0], out.reshape(1, nz, ny * nx), threads)
        return out

    def gathered(self, values: Array, weights: list[Array], threads: int) -> Array:
        """Sums of values x weights at each control point: (controls, controls, controls)."""
        (nz, ny, nx), m = self.shape, self.controls
        starts = [start for start, _ in self.axes]
        by_z, by_y, by_x = np.empty((1, m, ny * nx)), np.empty((m, m, nx)), np.empty((m * m, m, 1))
        _native.n4_reduce(values.reshape(1, nz, ny * nx), starts[0], weights[0], by_z, threads)
        _native.n4_reduce(by_z.reshape(m, ny, nx), starts[1], weights[1], by_y, threads)
        _native.n4_reduce(by_y.reshape(m * m, nx, 1), starts[2], weights[2], by_x, threads)
        return by_x.reshape(m, m, m)


class Estimate:
    """The iteration: sharpen, fit, add."""

    def __init__(
        self, image: Array, inside: Array, weight: Array | None, bins: int, fwhm: float, noise: float, threads: int
    ) -> None:
        self.shape = image.shape
        self.inside = np.ascontiguousarray(inside).view(np.uint8).ravel()
        self.weight = None if weight is None else weight.ravel()
        self.bins, self.fwhm, self.noise, self.threads = bins, fwhm, noise, threads
        self.turns = turns(bins)
        self.log = np.log(np.where(inside, image, np.float32(1))).ravel()
        self.uncorrected, self.residual = np.empty_like(self.log), np.empty_like(self.log)

    def run(self, levels: list[int], threshold: float, spans: int, measure: str) -> Array:
        """The lattice of control points of the last level.

        ITK's measure of convergence is one voxel after another: with threads, the next iteration begins beside it, and is
        forgotten where the measure says that it was not needed.
        """
        change: Callable[[Array, Array, Array], float] = _native.n4_change if measure == "itk" else _change
        with ThreadPoolExecutor(1) as beside:
            return self._run(levels, threshold, spans, lambda *fields: beside.submit(change, *fields))

    def _run(
        self, levels: list[int], threshold: float, spans: int, measure: Callable[[Array, Array, Array], Future[float]]
    ) -> Array:
        alone = (self.threads or config.threads()) == 1
        before, field, new = np.empty_like(self.log), np.zeros_like(self.log), np.empty_like(self.log)
        lattice = np.zeros((spans + 3,) * 3)
        known = self.inside.astype(np.float32) if self.weight is None else self.inside * self.weight
        for level, most in enumerate(levels):
            if level:
                lattice, spans = refined(lattice), 2 * spans
            spline = _Spline(self.shape, spans)
            squares = [np.square(weight) for _, weight in spline.axes]
            # A voxel's data goes to its 64 control points by the cubes of their weights, over the sum of the squares.
            cubes = [w**3 / np.square(w).sum(1, keepdims=True) for _, w in spline.axes]
            share = spline.gathered(known, squares, self.threads)
            used = share > 0
            measured: Future[float] | None = None
            for left in reversed(range(most)):
                self._sharpen(field)
                if self.weight is not None:
                    self.residual *= self.weight
                part = spline.gathered(self.residual, cubes, self.threads)
                better = lattice + np.divide(part, share, out=np.zeros_like(part), where=used)
                spline.field(better, new.reshape(self.shape), self.threads)
                if measured is not None and measured.result() <= threshold:
                    break
                lattice, before, field, new = better, field, new, before
                if threshold > 0 and left:
                    measured = measure(before, field, self.inside)
                    if alone and measured.result() <= threshold:
                        break
        return lattice

    def _sharpen(self, field: Array) -> None:
        """residual = what sharpening the histogram takes from each voxel."""
        low, high = _native.n4_subtract(self.log, field, self.inside, self.uncorrected, self.threads)
        slope = np.float32((np.float32(high) - np.float32(low)) / np.float32(self.bins - 1))
        if not slope > 0:  # the field explains everything
            self.residual[:] = 0
            return
        counts, expected = np.empty(self.bins), np.empty(self.bins, np.float32)
        _native.n4_histogram(self.uncorrected, self.inside, low, slope, counts, self.threads)
        _native.n4_sharpen(counts, low, slope, self.turns, self.fwhm, self.noise, expected)
        _native.n4_residual(self.uncorrected, self.inside, low, slope, expected, self.residual, self.threads)


def _change(before: Array, after: Array, mask: Array) -> float:
    """The coefficient of variation of exp(before - after) over the mask, in float64."""
    ratio = np.exp((before - after)[mask != 0].astype(np.float64))
    return float(ratio.std(ddof=1) / ratio.mean())
