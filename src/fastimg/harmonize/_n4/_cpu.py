"""CPU side of N4: the loops over voxels and the sharpening are compiled, the lattice is NumPy's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import config
from ...histogram._cpu import moments
from .. import _native
from ._spline import refined, turns, weights_along

__all__ = ["MOST_BINS", "Estimate", "finish"]

MOST_BINS = 4096

Array = npt.NDArray[Any]


def finish(values: Array, lattice: Array, corrected: Array, field: Array, *, threads: int) -> None:
    """field = exp(spline of the lattice), corrected = values / field."""
    spans = lattice.shape[0] - 3
    axes = _weights(values.shape, spans)
    none = np.zeros(1, np.int32)
    grid = _native.N4Grid(axes, lattice.shape[0], none, none.astype(np.int64))
    _native.n4_finish(lattice, grid, values, corrected, field, threads)


def _weights(shape: tuple[int, ...], spans: int) -> tuple[tuple[Array, Array], ...]:
    """Of each axis; axes are often of one length."""
    found = {length: weights_along(length, spans) for length in set(shape)}
    return tuple(found[length] for length in shape)


class _Rows:
    """Which part of each row (z, y) counts, in whole blocks of 16 voxels: see csrc/harmonize/n4.hpp."""

    BLOCK = 16

    def __init__(self, inside: Array) -> None:
        self.length = inside.shape[2]
        self.blocks = -(-self.length // self.BLOCK)
        halves = self._padded(inside).view(np.uint64).reshape(-1, self.blocks, 2)
        used = np.ascontiguousarray(((halves[..., 0] | halves[..., 1]) != 0).T)
        since = np.logical_or.accumulate(used, axis=0)
        kept = since & np.logical_or.accumulate(used[::-1], axis=0)[::-1]
        count, first = kept.sum(0), self.blocks - since.sum(0)
        self.begin = (self.BLOCK * first).astype(np.int32)
        self.offset = np.concatenate([[0], np.cumsum(self.BLOCK * count, dtype=np.int64)])
        self.kept = np.flatnonzero(kept.T)

    def _padded(self, array: Array) -> Array:
        more = self.BLOCK * self.blocks - self.length
        return np.pad(array, ((0, 0), (0, 0), (0, more))) if more else array

    def of(self, array: Array) -> Array:
        """An array (z, y, x) packed."""
        return self._padded(array).reshape(-1, self.BLOCK).take(self.kept, axis=0).ravel()


class Estimate:
    """The iteration: evaluate, sharpen, fit."""

    def __init__(
        self, image: Array, inside: Array, weight: Array | None, bins: int, fwhm: float, noise: float, threads: int
    ) -> None:
        self.shape = image.shape
        self.sharpening = _by_stage(turns(bins)), bins, fwhm, noise
        self.team = threads or config.threads()
        self.rows = _Rows(inside)
        self.inside = self.rows.of(inside).view(np.uint8)
        self.weight = None if weight is None else self.rows.of(weight)
        self.log = self.rows.of(image)
        np.copyto(self.log, np.nan, where=self.inside == 0)  # of a voxel that does not count
        np.log(self.log, out=self.log)
        self.known = self.inside.astype(np.float32) if self.weight is None else self.inside * self.weight

    def _level(self, spans: int) -> _native.N4Level:
        """Splines of `spans` spans along each axis: of the field, and of the fit, with each control point's share."""
        axes = _weights(self.shape, spans)
        controls = spans + 3

        def grid(weight: Callable[[Array], Array]) -> _native.N4Grid:
            powers = tuple((start, weight(four)) for start, four in axes)
            return _native.N4Grid(powers, controls, self.rows.begin, self.rows.offset)

        share = np.empty((controls,) * 3)
        _native.n4_share(self.known, grid(np.square), share, self.team)
        # A voxel's data goes to its 64 control points by the cubes of their weights, over the sum of the squares.
        fit = grid(lambda w: w**3 / np.square(w).sum(1, keepdims=True))
        return _native.N4Level(self.log, self.weight, grid(lambda w: w), fit, share, *self.sharpening)

    def run(self, levels: list[int], threshold: float, spans: int, measure: str) -> Array:
        """The lattice of control points of the last level.

        ITK's measure of convergence is one voxel after another: with threads, another one makes the next iteration beside
        it (they take about as long), which is forgotten where the measure says that it was not needed.
        """
        ahead = threshold > 0 and measure == "itk" and self.team > 1
        field, new, ratio, rest = (np.empty_like(self.log) for _ in range(4))
        lattice = np.zeros((spans + 3,) * 3)
        for turn, most in enumerate(levels):
            if turn:
                lattice, spans = refined(lattice), 2 * spans
            level = self._level(spans)
            ends = level.evaluate(lattice, field, rest, self.team)
            for done in range(most):
                better = lattice.copy()
                if ahead and done:
                    ends, change = level.iterate_beside(ends, better, new, rest, ratio)
                    if change <= threshold:
                        break
                else:
                    if threshold > 0 and done and self._change(ratio, measure) <= threshold:
                        break
                    ends = level.iterate(ends, better, new, rest, self.team)
                lattice, field, new = better, new, field
                if threshold > 0:
                    _native.n4_ratio(new, field, self.inside, ratio, self.team)
        return lattice

    def _change(self, ratio: Array, measure: str) -> float:
        """The coefficient of variation of the ratio of two fields, as ITK sums it up or in float64."""
        if measure == "itk":
            return _native.n4_change(ratio)
        count, _, mean, m2, _, _ = moments(ratio, None, threads=self.team)
        return math.sqrt(m2 / (count - 1)) / mean


def _by_stage(table: Array) -> Array:
    """Each stage's turns together, first the cosines, then the sines."""
    halves = [1 << stage for stage in range(len(table).bit_length())]
    return np.concatenate([table[:: len(table) // half].T.ravel() for half in halves])
