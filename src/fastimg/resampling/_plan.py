"""A resampling prepared once for a pair of grids, to run over many volumes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import array_of, choice, empty, native, result, thread_count
from ..errors import ArgumentError, GeometryError
from ..image import Image
from ._grid import Grid, mapping, target_grid
from ._padding import filled
from ._spline import blur_kernel, coefficients
from ._tables import AxisTable, Oblique, Tables, linear_axis, nearest_axis, weighted_axis

__all__ = ["Plan"]

DEGREES: dict[str | int, int] = {"nearest": 0, "linear": 1, "cubic": 3, 2: 2, 3: 3, 4: 4, 5: 5}
ROUNDINGS = ("nearest", "truncate")
_SMALL = ("int8", "uint8", "int16", "uint16", "float32")  # float32 arithmetic holds them exactly
_ENOUGH = 0.5  # of an output's weight must come from voxels that are not padding


class Plan:
    """Weights and indices between two grids, reusable over volumes of any dtype and from several threads.

    With a B-spline it keeps the memory of one volume's coefficients for the next one.

    Parameters
    ----------
    source : Image
        Its shape and affine are the source grid; its voxels are not looked at.
    **options
        Those of `fastimg.resample`.

    Attributes
    ----------
    shape : (z, y, x)
        Of the result.
    affine : (4, 4) array
        Of the result.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> image = fi.Image(np.zeros((4, 4, 4), np.int16), spacing=(2, 1, 1))
    >>> plan = fi.resampling.Plan(image, spacing=1)
    >>> plan.shape, plan(image).spacing
    ((7, 4, 4), (1.0, 1.0, 1.0))
    """

    def __init__(
        self,
        source: Image,
        *,
        spacing: float | Sequence[float] | None = None,
        like: Image | None = None,
        affine: npt.ArrayLike | None = None,
        shape: Sequence[int] | None = None,
        order: str | int = "linear",
        antialias: bool = False,
        rounding: str = "nearest",
        cval: float | str = 0.0,
        half_pixel: bool = False,
    ) -> None:
        if not isinstance(source, Image):
            raise ArgumentError(f"resample: expected an Image (a bare array has no grid), got {type(source).__name__}")
        if 0 in source.shape[-3:]:
            raise GeometryError(f"resample: the image has no voxels: shape {source.shape}")
        self.order = choice("order", order, DEGREES)
        self.rounding: str = choice("rounding", rounding, ROUNDINGS)
        self.cval = _checked_cval(cval)
        if antialias and self.order == "nearest":
            raise ArgumentError("antialias: order='nearest' averages nothing; use 'linear' or 'cubic'")
        self._degree = DEGREES[self.order]
        z, y, x = source.shape[-3:]
        self._source = Grid((z, y, x), source.affine)
        target = target_grid(source, spacing=spacing, like=like, affine=affine, shape=shape, half_pixel=half_pixel)
        self._target = target
        self._mapping = mapping(source.affine, target)
        # how far apart the target's samples are along each source axis, in voxels
        steps = np.sqrt((self._mapping.matrix[:3, :3] ** 2).sum(axis=1))
        self._blurs = [blur_kernel(step) if antialias else None for step in steps]
        self._tables = self._make_tables(self._degree)
        self._spare: list[Any] = []  # memory for the next volume's B-spline coefficients

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) of the result."""
        return self._target.shape

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """Of the result."""
        return self._target.affine

    @property
    def is_aligned(self) -> bool:
        """Whether the axes of both grids are parallel, so that rows are combined instead of points."""
        return self._mapping.order is not None

    def __call__(self, image: Image, *, out: Any = None, threads: int | None = None) -> Image:
        """Resample an image on the plan's source grid; see `fastimg.resample`."""
        count = thread_count(threads)
        if not isinstance(image, Image) or not Image.same_grid(image, _on(self._source)):
            raise GeometryError(f"Plan: the image must lie on the plan's source grid, shape {self._source.shape}")
        if image.unit == "label" and self._degree > 0:
            raise ArgumentError(f"order: labels cannot be averaged ({self.order!r}); use order='nearest'")
        array = array_of(image)
        dtype, boolean, half = array.dtype, array.dtype == np.bool_, array.dtype == np.float16
        outside = _as_voxel(
            self.cval, np.dtype(np.float32 if half else np.uint8 if boolean else dtype.newbyteorder("="))
        )
        shape = (*array.shape[:-3], *self.shape)
        target = result(out, shape, dtype.newbyteorder("="), array)
        array = native(array.astype(np.float32) if half else array)
        made = empty(shape, np.float32, array) if half else target.view(np.uint8) if boolean else target
        padding = None
        if image.padding is None:
            self._run(array, made, outside, count)
        else:
            padding = self._run_padded(array, native(image.padding), made, outside, count)
        if half:
            target[...] = made
        return image.with_array(target, affine=self.affine, padding=padding)

    # the work -----------------------------------------------------------------------------------------------------------

    def _make_tables(self, degree: int) -> Tables | Oblique:
        edge, order = self.cval == "edge", self._mapping.order
        if order is None:
            return Oblique(np.ascontiguousarray(self._mapping.matrix[:3]), self._source.shape, self.shape, edge)

        def table(axis: int) -> AxisTable:
            line, size = self._mapping.positions(axis, self.shape[axis]), self._source.shape[order[axis]]
            blur = self._blurs[order[axis]]
            if degree == 0:
                return nearest_axis(line, size, edge)
            if degree == 1 and blur is None:
                return linear_axis(line, size, edge)
            return weighted_axis(line, size, edge, degree=degree, mirror=degree > 1, blur=blur)

        return Tables(table(0), table(1), table(2))

    def _compute(self, dtype: np.dtype[Any]) -> tuple[str, bool]:
        truncate = self.rounding == "truncate" and dtype.kind in "iu"
        return ("float32" if dtype.name in _SMALL and not truncate else "float64"), truncate

    def _run(self, array: Any, out: Any, outside: Any, threads: int) -> None:
        """out (of the dtype of array) = array on the target grid."""
        leaf = _dispatch.pick(array, leaf="resampling")
        array = _turned(array, self._mapping.order)
        compute, truncate = self._compute(out.dtype)
        spare = None
        if self._degree > 1:
            spare = array = coefficients(leaf, array, partial(self._memory, array), self._degree, compute, threads)
        if isinstance(self._tables, Oblique):
            if any(blur is not None for blur in self._blurs):
                array = self._blurred(leaf, array, compute, threads)
            leaf.oblique(
                *(array, out, self._tables),
                degree=self._degree,
                compute=compute,
                truncate=truncate,
                outside=outside,
                threads=threads,
            )
        elif self._degree == 0:
            leaf.nearest(array, out, self._tables, outside=outside, threads=threads)
        else:
            leaf.separable(
                array, out, self._tables, compute=compute, truncate=truncate, outside=outside, threads=threads
            )
        if spare is not None and not self._spare:
            self._spare.append(spare)

    def _memory(self, beside: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        """Room for coefficients: that of the last volume if it fits, whose pages need not be cleared again."""
        try:
            kept = self._spare.pop()
        except IndexError:
            return empty(shape, dtype, beside)
        fits = kept.shape == tuple(shape) and kept.dtype == dtype and type(kept) is type(beside)
        return kept if fits else empty(shape, dtype, beside)

    def _blurred(self, leaf: Any, array: Any, compute: str, threads: int) -> Any:
        """The source under the antialiasing Gaussian, on its own grid: turned grids cannot fold it into their weights."""
        z, y, x = (
            weighted_axis(np.arange(size, dtype=np.float64), size, True, degree=1, mirror=self._degree > 1, blur=blur)
            for size, blur in zip(self._source.shape, self._blurs, strict=True)
        )
        made = empty(array.shape, np.dtype(compute), array)
        outside = np.dtype(compute).type(0)
        leaf.separable(
            *(array, made, Tables(z, y, x)), compute=compute, truncate=False, outside=outside, threads=threads
        )
        return made

    def _run_padded(self, array: Any, padding: Any, out: Any, outside: Any, threads: int) -> Any:
        """Padded voxels have weight 0; where less than half of the weight is left, the result is padding too."""
        xp = _dispatch.namespace(array)
        plain = Image(padding, self._source.affine)
        nearest = self._twin("nearest", 1.0)
        taken = nearest(plain, threads=threads or None).array.view(bool)
        if self._degree == 0:
            self._run(array, out, outside, threads)
            return taken
        compute, truncate = self._compute(out.dtype)
        if self._degree > 1:
            self._run(filled(array, padding, xp), out, outside, threads)
            value = out.copy()
            self._twin("nearest", self.cval)._run(array, out, outside, threads)
            out[...] = xp.where(taken, out, value)
            return taken
        real = np.dtype(compute)
        zero, hole = real.type(0), padding.astype(bool)
        kept = self._run_real(xp.where(hole, zero, real.type(1)), compute, threads)
        value = self._run_real(xp.where(hole, zero, array).astype(real), compute, threads)
        lost = kept < _ENOUGH
        value = value / xp.where(lost, real.type(1), kept)
        if out.dtype.kind in "iu":
            value = (xp.trunc if truncate else xp.rint)(value)
        self._twin("nearest", self.cval)._run(array, out, outside, threads)
        out[...] = xp.where(lost, out, value.astype(out.dtype))
        return lost

    def _run_real(self, array: Any, compute: str, threads: int) -> Any:
        made = empty((*array.shape[:-3], *self.shape), np.dtype(compute), array)
        leaf = _dispatch.pick(array, leaf="resampling")
        settings = {"compute": compute, "truncate": False, "outside": np.dtype(compute).type(0), "threads": threads}
        if isinstance(self._tables, Oblique):
            if any(blur is not None for blur in self._blurs):
                array = self._blurred(leaf, array, compute, threads)
            leaf.oblique(array, made, self._tables, degree=1, **settings)
        else:
            leaf.separable(_turned(array, self._mapping.order), made, self._tables, **settings)
        return made

    def _twin(self, order: str, cval: float | str) -> Plan:
        """The same pair of grids with another order of interpolation."""
        source = Image(np.broadcast_to(np.uint8(0), self._source.shape), self._source.affine)
        return Plan(source, affine=self.affine, shape=self.shape, order=order, cval=cval)


def _turned(array: Any, order: tuple[int, int, int] | None) -> Any:
    """Source axes in the order of the target's."""
    if order is None or order == (0, 1, 2):
        return array
    lead = array.ndim - 3
    turned = array.transpose(*range(lead), *(lead + axis for axis in order))
    return _dispatch.namespace(array).ascontiguousarray(turned)


def _on(grid: Grid) -> Image:
    return Image(np.broadcast_to(np.uint8(0), grid.shape), grid.affine)


def _checked_cval(cval: float | str) -> float | str:
    if isinstance(cval, str):
        if cval != "edge":
            raise ArgumentError(f"cval: expected a number or 'edge', got {cval!r}")
        return cval
    try:
        return float(cval)
    except (TypeError, ValueError):
        raise ArgumentError(f"cval: expected a number or 'edge', got {cval!r}") from None


def _as_voxel(cval: float | str, dtype: np.dtype[Any]) -> Any:
    """`cval` as one voxel; a value that the dtype cannot hold is refused."""
    number = 0.0 if isinstance(cval, str) else cval
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not limits.min <= number <= limits.max or number != int(number):
            raise ArgumentError(f"cval: {number:g} is not a value of {dtype}")
    return dtype.type(number)
