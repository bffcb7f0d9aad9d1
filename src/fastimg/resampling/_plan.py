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
from ._spline import blur_kernel, gain, own, recursions
from ._tables import LABEL, AxisTable, Displacement, Oblique, Tables, Values, linear_axis, nearest_axis, weighted_axis
from ._values import checked_values, finished, result_dtype, taken

__all__ = ["Plan"]

DEGREES: dict[str | int, int] = {"nearest": 0, "label": LABEL, "linear": 1, "cubic": 3, 2: 2, 3: 3, 4: 4, 5: 5}
ROUNDINGS = ("nearest", "truncate")
_SMALL = ("int8", "uint8", "int16", "uint16", "float32")  # float32 arithmetic holds them exactly
_ENOUGH = 0.5  # of an output's weight must come from voxels that are not padding


class Plan:
    """Weights and indices between two grids, reusable over volumes of any dtype and from several threads.

    With a B-spline it keeps the memory between two axes, or of the coefficients, for the next volume.

    Parameters
    ----------
    source : Image
        Its shape and affine are the source grid; its voxels are not looked at.
    rescale : (slope, intercept), optional
        Fused: each voxel becomes voxel * slope + intercept before it is interpolated.
    clip : (low, high), optional
        Fused: after `rescale`, values are limited to this range before they are interpolated. NaN stays.
    normalise : (shift, scale), optional
        Fused: each result becomes (value - shift) * scale.
    dtype : "float32" | "float64", optional
        Of the result; default: that of the image. "float32" from images of 8 or 16 bits and float32.
    spacing, like, affine, shape, order, antialias, rounding, cval, half_pixel
        As for `fastimg.resample`.

    With `rescale`, `clip`, `normalise` or `dtype` voxels are read once and results written once, without a volume in
    between (B-splines keep what stands between two axes, or their coefficients): the same values as the steps one after another in the arithmetic's type,
    but for the roundings to an integer between them. Not with "nearest" and "label", which move voxels as they are.

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
        rescale: Sequence[float] | None = None,
        clip: Sequence[float] | None = None,
        normalise: Sequence[float] | None = None,
        dtype: npt.DTypeLike | None = None,
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
        self._values = checked_values(rescale, clip, normalise)
        self._dtype = result_dtype(dtype)
        if self._degree <= 0 and (self._values is not None or self._dtype is not None):
            raise ArgumentError(
                f"order: {self.order!r} moves voxels as they are; rescale, clip, normalise and dtype need another order"
            )
        z, y, x = source.shape[-3:]
        self._source = Grid((z, y, x), source.affine)
        self._here = _on(self._source)
        target = target_grid(source, spacing=spacing, like=like, affine=affine, shape=shape, half_pixel=half_pixel)
        self._target = target
        self._mapping = mapping(source.affine, target)
        # how far apart the target's samples are along each source axis, in voxels
        steps = np.sqrt((self._mapping.matrix[:3, :3] ** 2).sum(axis=1))
        self._blurs = [blur_kernel(step) if antialias else None for step in steps]
        if self._degree == LABEL and self._mapping.order is None and any(blur is not None for blur in self._blurs):
            raise ArgumentError(
                "antialias: votes of labels on a turned grid take the eight samples around a point only"
            )
        self._tables = self._make_tables(self._degree)
        self._spare: list[Any] = []  # memory for the next volume's B-spline

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

    def __call__(self, image: Image, *, displacement: Any = None, out: Any = None, threads: int | None = None) -> Image:
        """Resample an image on the plan's source grid; see `fastimg.resample`."""
        count = thread_count(threads)
        if not isinstance(image, Image) or not Image.same_grid(image, self._here):
            raise GeometryError(f"Plan: the image must lie on the plan's source grid, shape {self._source.shape}")
        if image.unit == "label" and self._degree > 0:
            raise ArgumentError(f"order: labels cannot be averaged ({self.order!r}); use order='label' or 'nearest'")
        array = array_of(image)
        self._check_kind(array.dtype)
        boolean, half = array.dtype == np.bool_, array.dtype == np.float16
        dtype = self._result(array.dtype)
        made_of = np.dtype(np.float32 if half and dtype == np.float16 else np.uint8 if boolean else dtype)
        outside = _as_voxel(self.cval, made_of)
        field = self._checked_displacement(displacement, array)
        shape = (*array.shape[:-3], *self.shape)
        target = result(out, shape, dtype, array)
        array = native(array.astype(np.float32) if half else array)
        half = half and dtype == np.float16
        made = empty(shape, np.float32, array) if half else target.view(np.uint8) if boolean else target
        padding = None
        if image.padding is None:
            self._run(array, made, outside, count, field)
        else:
            padding = self._run_padded(array, native(image.padding), made, outside, count, field)
        if half:
            target[...] = made
        return image.with_array(target, affine=self.affine, padding=padding)

    def stream(self, source: Any, out: Any, *, memory: int | None = None, threads: int | None = None) -> None:
        """Resample a volume that need not fit in memory, piece by piece: `out[...] = plan(source)`, the same bits.

        Parameters
        ----------
        source, out : zarr.Array, numpy.memmap or anything that is read and written by slices, (z, y, x)
            On the plan's source and target grid. `out` has the plan's dtype; its chunks (`out.chunks`) shape the pieces.
        memory : int, optional
            Bytes that one piece may take: what it reads, its coefficients and its result. Default 256 MiB. B-splines
            need whole blocks of 128 samples and those beside them.
        threads : int, optional
            Default: `config.threads()`.

        Raises
        ------
        ArgumentError
            Shapes or dtypes that do not fit.
        FastimgError
            A piece of 16 x 16 x 16 outputs takes more than `memory`.
        """
        from ._stream import stream

        stream(self, source, out, memory=1 << 28 if memory is None else memory, threads=thread_count(threads))

    # the work -----------------------------------------------------------------------------------------------------------

    def _check_kind(self, dtype: np.dtype[Any]) -> None:
        if self._degree == LABEL and dtype.kind == "f":
            raise ArgumentError(f"order: 'label' is for whole numbers, got {dtype}; use 'nearest'")

    def _result(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The result's dtype for images of `dtype`."""
        if self._dtype is None:
            return dtype.newbyteorder("=")
        if self._dtype == np.float32 and dtype.name not in (*_SMALL, "float16"):
            raise ArgumentError(f"dtype: float32 does not hold {dtype}; use dtype='float64'")
        return self._dtype

    def _checked_displacement(self, field: Any, array: Any) -> Displacement:
        if field is None:
            return None
        field = array_of(field, "displacement")
        if tuple(field.shape) != (*self.shape, 3):
            raise ArgumentError(
                f"displacement: expected (x, y, z) mm for each voxel of the result, shape {(*self.shape, 3)}; "
                f"got {tuple(field.shape)}"
            )
        _dispatch.pick(array, field, leaf="resampling")
        if field.dtype.name not in ("float32", "float64"):
            field = field.astype(np.float64)
        return native(field), np.ascontiguousarray(np.linalg.inv(self._source.affine)[:3, :3])

    def _make_tables(self, degree: int) -> Tables | Oblique:
        order = self._mapping.order
        if order is None:
            return self._oblique()
        edge = self.cval == "edge"

        def table(axis: int) -> AxisTable:
            line, size = self._mapping.positions(axis, self.shape[axis]), self._source.shape[order[axis]]
            blur = self._blurs[order[axis]]
            if degree == 0:
                return nearest_axis(line, size, edge)
            if abs(degree) == 1 and blur is None:
                return linear_axis(line, size, edge)
            scale = gain(degree)
            return weighted_axis(line, size, edge, degree=abs(degree), mirror=degree > 1, blur=blur, scale=scale)

        z, y, x = table(0), table(1), table(2)
        # the axis that makes the fewest voxels goes first
        return Tables(z, y, x, z_first=z.out * y.size * x.size < z.size * y.out * x.out)

    def _oblique(self) -> Oblique:
        matrix = np.ascontiguousarray(self._mapping.matrix[:3])
        return Oblique(matrix, self._source.shape, self.shape, self.cval == "edge")

    def _compute(self, source: np.dtype[Any], target: np.dtype[Any]) -> tuple[str, bool]:
        """The type of the arithmetic, and whether results are cut off."""
        truncate = self.rounding == "truncate" and target.kind in "iu"
        small = source.name in _SMALL and target.name in _SMALL and not truncate
        return ("float32" if small else "float64"), truncate

    def _run(self, array: Any, out: Any, outside: Any, threads: int, field: Displacement = None) -> None:
        """out = array on the target grid."""
        tables = self._tables
        if field is not None and isinstance(tables, Tables):
            if self._degree == LABEL and any(blur is not None for blur in self._blurs):
                raise ArgumentError("antialias: not with order='label' and displacement=")
            tables = self._oblique()
        if isinstance(tables, Tables):
            array = _turned(array, self._mapping.order)
        kept = self._interpolate(array, out, tables, outside, threads, field)
        if kept is not None and not self._spare:
            self._spare.append(kept)

    def _interpolate(
        self,
        array: Any,
        out: Any,
        tables: Tables | Oblique,
        outside: Any,
        threads: int,
        field: Displacement = None,
    ) -> Any:
        """out = array by these tables; the memory that a B-spline took, for the next volume."""
        leaf = _dispatch.pick(array, leaf="resampling")
        compute, truncate = self._compute(array.dtype, out.dtype)
        common: dict[str, Any] = {"outside": outside, "threads": threads}
        intake, finish = self._values or (None, None)
        spare = None
        if self._degree > 1:
            memory = partial(self._memory, array)
            settings: dict[str, Any] = {"poles": recursions(self._degree, compute), "compute": compute}
            if isinstance(tables, Tables):
                values = (intake, finish)
                return leaf.spline(array, out, tables, memory, truncate=truncate, values=values, **settings, **common)
            spare = memory(array.shape, compute)
            here = own(array.shape[-3:], self._degree)
            leaf.coefficients(array, spare, here, values=(intake, None), threads=threads, **settings)
            array, intake = spare, None
        if isinstance(tables, Oblique):
            if any(blur is not None for blur in self._blurs):
                array = self._blurred(leaf, array, compute, threads, (intake, None))
                intake = None
            leaf.oblique(
                *(array, out, tables),
                degree=self._degree,
                compute=compute,
                truncate=truncate,
                values=(intake, finish),
                displacement=field,
                **common,
            )
        elif self._degree == 0:
            leaf.nearest(array, out, tables, **common)
        elif self._degree == LABEL:
            leaf.label(array, out, tables, **common)
        else:
            leaf.separable(array, out, tables, compute=compute, truncate=truncate, values=(intake, finish), **common)
        return spare

    def _memory(self, beside: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        """Room for a B-spline: that of the last volume if it fits, whose pages need not be cleared again."""
        try:
            kept = self._spare.pop()
        except IndexError:
            return empty(shape, dtype, beside)
        fits = kept.shape == tuple(shape) and kept.dtype == dtype and type(kept) is type(beside)
        return kept if fits else empty(shape, dtype, beside)

    def _blurred(self, leaf: Any, array: Any, compute: str, threads: int, values: Values) -> Any:
        """The source under the antialiasing Gaussian, on its own grid: turned grids cannot fold it into their weights."""
        z, y, x = (
            weighted_axis(np.arange(size, dtype=np.float64), size, True, degree=1, mirror=self._degree > 1, blur=blur)
            for size, blur in zip(array.shape[-3:], self._blurs, strict=True)
        )
        made = empty(array.shape, np.dtype(compute), array)
        outside = np.dtype(compute).type(0)
        settings: dict[str, Any] = {"compute": compute, "truncate": False, "outside": outside, "threads": threads}
        leaf.separable(array, made, Tables(z, y, x), values=values, **settings)
        return made

    def _run_padded(self, array: Any, padding: Any, out: Any, outside: Any, threads: int, field: Displacement) -> Any:
        """Padded voxels have weight 0; where less than half of the weight is left, the result is padding too."""
        xp = _dispatch.namespace(array)
        mask = xp.ascontiguousarray(padding).view(np.uint8)
        taken_away = empty(self.shape, np.uint8, array)
        self._twin("nearest", 1.0)._run(mask, taken_away, np.uint8(1), threads, field)
        lost = taken_away.view(bool)
        if self._degree <= 0:
            self._run(array, out, outside, threads, field)
            return lost
        compute, truncate = self._compute(array.dtype, out.dtype)
        real = np.dtype(compute)
        if self._degree > 1:
            self._run(filled(array, padding, xp), out, outside, threads, field)
        else:
            hole = padding.astype(bool)
            share = self._run_real(xp.where(hole, real.type(0), real.type(1)), compute, threads, field)
            value = xp.where(hole, real.type(0), taken(array.astype(real), self._values))
            value = self._run_real(value, compute, threads, field)
            lost = share < _ENOUGH
            value = finished(value / xp.where(lost, real.type(1), share), self._values)
            if out.dtype.kind in "iu":
                limits = np.iinfo(out.dtype)
                value = xp.clip((xp.trunc if truncate else xp.rint)(value), limits.min, limits.max)
            out[...] = value.astype(out.dtype)
        near = empty(out.shape, array.dtype, array)
        self._twin("nearest", "edge")._run(array, near, array.dtype.type(0), threads, field)
        near = finished(taken(near.astype(real), self._values), self._values) if self._values else near
        if self._values and out.dtype.kind in "iu":
            near = xp.clip(xp.rint(near), np.iinfo(out.dtype).min, np.iinfo(out.dtype).max)
        out[...] = xp.where(lost, near.astype(out.dtype), out)
        if self.cval != "edge":
            inside = empty(self.shape, np.uint8, array)
            ones = xp.ones(padding.shape, np.uint8)
            self._twin("nearest", 0.0)._run(ones, inside, np.uint8(0), threads, field)
            out[...] = xp.where(inside.view(bool), out, outside)
        return lost

    def _run_real(self, array: Any, compute: str, threads: int, field: Displacement) -> Any:
        made = empty((*array.shape[:-3], *self.shape), np.dtype(compute), array)
        plain = self._twin("linear", 0.0, antialias=any(blur is not None for blur in self._blurs))
        plain._run(array, made, np.dtype(compute).type(0), threads, field)
        return made

    def _twin(self, order: str, cval: float | str, *, antialias: bool = False) -> Plan:
        """The same pair of grids with another order of interpolation."""
        source = Image(np.broadcast_to(np.uint8(0), self._source.shape), self._source.affine)
        return Plan(source, affine=self.affine, shape=self.shape, order=order, cval=cval, antialias=antialias)


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
