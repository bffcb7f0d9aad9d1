"""CUDA side of N4: an iteration is eight launches on arrays that stay on the device (kernels/n4.cu)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _gpu
from .. import _native
from ._spline import refined, turns, weights_along

__all__ = ["MOST_BINS", "Estimate", "finish"]

MOST_BINS = 256
_BLOCK = 256
_BLOCKS = 528

Host = npt.NDArray[Any]


def _launch(entry: str, count: int, *arguments: Any, most: int = 1 << 16) -> int:
    """A thread for each of `count` results; returns the number of blocks."""
    blocks = max(1, min(-(-count // _BLOCK), most))
    _gpu.launch("n4", entry, (blocks,), (_BLOCK,), *arguments)
    return blocks


class _Axis:
    """Weights of an axis' positions on the device; powers of them serve the fit."""

    def __init__(self, length: int, spans: int) -> None:
        put = _gpu.backend().to_device
        start, weight = weights_along(length, spans)
        control = np.arange(spans + 3)
        self.length, self.controls = length, spans + 3
        self.start, self.weight = put(start), put(weight)
        self.square = put(np.square(weight))
        self.cube = put(weight**3 / np.square(weight).sum(1, keepdims=True))
        # the positions that touch a control point are those with start in [c - 3, c]
        self.first = put(np.searchsorted(start, control - 3, side="left").astype(np.int32))
        self.last = put(np.searchsorted(start, control, side="right").astype(np.int32))


def _expanded(lattice: Any, axes: list[_Axis]) -> Any:
    """The spline along x and y: (controls, y, x)."""
    z, y, x = axes
    empty = _gpu.backend().xp.empty
    along_x, along_y = empty((z.controls, y.controls, x.length)), empty((z.controls, y.length, x.length))
    _along(lattice, x, z.controls * y.controls, 1, along_x)
    _along(along_x, y, z.controls, x.length, along_y)
    return along_y


def _along(source: Any, axis: _Axis, outer: int, inner: int, out: Any) -> None:
    sizes = (np.int64(outer), np.int32(axis.length), np.int32(axis.controls), np.int64(inner))
    _launch("expand", out.size, source, axis.start, axis.weight, *sizes, out)


def finish(values: Any, lattice: Host, corrected: Any, field: Any, *, threads: int) -> None:
    """field = exp(spline of the lattice), corrected = values / field."""
    spans = lattice.shape[0] - 3
    axes = [_Axis(length, spans) for length in values.shape]
    z, y, x = axes
    plane = _expanded(_gpu.backend().to_device(lattice), axes)
    inner = np.int64(y.length * x.length)
    _launch("finish", values.size, plane, z.start, z.weight, np.int32(z.length), inner, values, corrected, field)


class Estimate:
    """The iteration: evaluate, sharpen, fit, add."""

    def __init__(
        self, image: Any, inside: Any, weight: Any, bins: int, fwhm: float, noise: float, threads: int
    ) -> None:
        xp = _gpu.backend().xp
        self.shape, self.bins, self.fwhm, self.noise = image.shape, bins, fwhm, noise
        self.inside = xp.ascontiguousarray(inside).view(np.uint8)
        self.log = xp.log(xp.where(inside, image, np.float32(1)))
        self.weight = weight
        self.uncorrected = xp.empty(image.shape, np.float32)
        self.fields = [xp.zeros(image.shape, np.float32), xp.empty(image.shape, np.float32)]
        self.counts, self.expected = xp.zeros(bins, np.uint64), xp.empty(bins, np.float32)
        self.part = xp.empty(2 * _BLOCKS, np.float32)
        table = turns(bins)
        self.size, self.turns = 2 * len(table), _gpu.backend().to_device(table)

    def run(self, levels: list[int], threshold: float, spans: int, measure: str) -> Host:
        """The lattice of control points of the last level, on the host."""
        device = _gpu.backend()
        xp = device.xp
        host: Host = np.zeros((spans + 3,) * 3)
        known = self.inside.astype(np.float32) if self.weight is None else self.inside * self.weight
        for level, most in enumerate(levels):
            if level:
                host, spans = refined(host), 2 * spans
            axes = [_Axis(length, spans) for length in self.shape]
            lattice = device.to_device(host)
            share = xp.empty(host.shape)
            self._gathered("reduce_float32", known, axes, "square", share)
            parts = self._evaluate(lattice, axes)
            for turn in range(most):
                if turn:
                    self.fields.reverse()
                    parts = self._evaluate(lattice, axes)
                    if threshold > 0 and self._change(measure) <= threshold:
                        break
                self._fit(lattice, share, axes, parts)
            host = device.to_host(lattice)
            # The field is evaluated anew at the next level, whose finer lattice is the same spline.
        return host

    def _evaluate(self, lattice: Any, axes: list[_Axis]) -> np.int32:
        """The field into fields[1], log - field, and each block's least and greatest of it; how many blocks."""
        z, y, x = axes
        plane = _expanded(lattice, axes)
        where = (plane, z.start, z.weight, np.int32(z.length), np.int64(y.length * x.length))
        rest = (self.log, self.inside, self.fields[1], self.uncorrected, self.part)
        return np.int32(_launch("subtract", self.log.size, *where, *rest, most=_BLOCKS))

    def _fit(self, lattice: Any, share: Any, axes: list[_Axis], parts: np.int32) -> None:
        z, y, x = axes
        bins, count = np.int32(self.bins), np.int64(self.log.size)
        found = (self.part, parts)
        _launch("histogram", self.log.size, self.uncorrected, self.inside, count, *found, bins, self.counts, most=132)
        bits = np.int32(self.size.bit_length() - 1)
        _gpu.launch(
            "n4",
            "sharpen",
            (1,),
            (_BLOCK,),
            *(self.counts, *found, bins, np.int32(self.size), bits, self.turns),
            *(np.float64(self.fwhm), np.float64(self.noise), self.expected),
        )
        empty = _gpu.backend().xp.empty
        inner = y.length * x.length
        by_z = empty((z.controls, y.length, x.length))
        confidence = (self.inside if self.weight is None else self.weight, np.int32(self.weight is not None))
        _launch(
            "residual",
            by_z.size,
            *(self.uncorrected, self.inside, *confidence, *found, self.expected, bins),
            *(z.start, z.cube, z.first, z.last, np.int32(z.controls), np.int64(inner), by_z),
        )
        by_y = empty((z.controls, y.controls, x.length))
        _reduced("reduce_float64", by_z, y, "cube", z.controls, x.length, by_y)
        outer = z.controls * y.controls
        along = (x.start, x.cube, x.first, x.last, np.int64(outer), np.int32(x.length), np.int32(x.controls))
        _launch("update", lattice.size, by_y, *along, share, lattice)

    def _gathered(self, entry: str, values: Any, axes: list[_Axis], power: str, out: Any) -> None:
        z, y, x = axes
        empty = _gpu.backend().xp.empty
        by_z, by_y = empty((z.controls, y.length, x.length)), empty((z.controls, y.controls, x.length))
        _reduced(entry, values, z, power, 1, y.length * x.length, by_z)
        _reduced("reduce_float64", by_z, y, power, z.controls, x.length, by_y)
        _reduced("reduce_float64", by_y, x, power, z.controls * y.controls, 1, out)

    def _change(self, measure: str) -> float:
        before, after = self.fields
        if measure == "itk":
            to_host = _gpu.backend().to_host
            old, new, inside = (to_host(array).ravel() for array in (before, after, self.inside))
            ratio = np.empty_like(old)
            _native.n4_ratio(old, new, inside, ratio, 0)
            return _native.n4_change(ratio)
        ratio = _gpu.backend().xp.exp((before - after)[self.inside != 0].astype(np.float64))
        return float(ratio.std(ddof=1) / ratio.mean())


def _reduced(entry: str, source: Any, axis: _Axis, power: str, outer: int, inner: int, out: Any) -> None:
    sizes = (np.int64(outer), np.int32(axis.length), np.int32(axis.controls), np.int64(inner))
    _launch(entry, out.size, source, axis.start, getattr(axis, power), axis.first, axis.last, *sizes, out)
