"""A resampling prepared once for a pair of grids, to run over many volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import array_of, choice, native, result, thread_count
from ..errors import ArgumentError, GeometryError
from ..image import Image
from ._grid import Grid, mapping, target_grid
from ._tables import AxisTable, Tables, linear_axis, nearest_axis

__all__ = ["Plan"]

ORDERS = ("nearest", "linear")
ROUNDINGS = ("nearest", "truncate")
_SMALL = ("int8", "uint8", "int16", "uint16", "float32")  # float32 arithmetic holds them exactly


class Plan:
    """Weights and indices between two grids, reusable over volumes of any dtype.

    Parameters
    ----------
    source : Image
        Its shape and affine are the source grid; its voxels are not looked at.
    **options
        Those of `fastimg.resample`.

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
        order: str = "linear",
        rounding: str = "nearest",
        cval: float | str = 0.0,
        half_pixel: bool = False,
    ) -> None:
        if not isinstance(source, Image):
            raise ArgumentError(f"resample: expected an Image (a bare array has no grid), got {type(source).__name__}")
        if 0 in source.shape[-3:]:
            raise GeometryError(f"resample: the image has no voxels: shape {source.shape}")
        self.order: str = choice("order", order, ORDERS)
        self.rounding: str = choice("rounding", rounding, ROUNDINGS)
        self.cval = _checked_cval(cval)
        self._source = Grid(_triple(source.shape[-3:]), source.affine)
        self._target = target_grid(
            source, spacing=spacing, like=like, affine=affine, shape=shape, half_pixel=half_pixel
        )
        self._mapping = mapping(source.affine, self._target)
        if self._mapping.order is None:
            raise GeometryError("resample: the target grid is oblique to the image's")
        z, y, x = (self._axis(axis) for axis in range(3))
        self._tables = Tables(z, y, x)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) of the result."""
        return self._target.shape

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """Of the result."""
        return self._target.affine

    def _axis(self, axis: int) -> AxisTable:
        assert self._mapping.order is not None
        positions = self._mapping.positions(axis, self._target.shape[axis])
        make = nearest_axis if self.order == "nearest" else linear_axis
        return make(positions, self._source.shape[self._mapping.order[axis]], self.cval == "edge")

    def __call__(self, image: Image, *, out: Any = None, threads: int | None = None) -> Image:
        """Resample an image on the plan's source grid."""
        count = thread_count(threads)
        if not isinstance(image, Image) or not Image.same_grid(image, _on(self._source)):
            raise GeometryError(f"Plan: the image must lie on the plan's source grid, shape {self._source.shape}")
        if image.unit == "label" and self.order != "nearest":
            raise ArgumentError(f"order: labels cannot be averaged ({self.order!r}); use order='nearest'")
        array = array_of(image)
        half, boolean = array.dtype == np.float16, array.dtype == np.bool_
        array = native(array.astype(np.float32) if half else array)
        target_dtype = np.dtype(bool if boolean else np.float16 if half else array.dtype)
        shape = (*array.shape[:-3], *self.shape)
        if half:
            wide = result(None, shape, np.float32, array)
            self._run(array, wide, count)
            target = result(out, shape, target_dtype, array)
            target[...] = wide
        else:
            target = result(out, shape, target_dtype, array)
            self._run(array, target.view(np.uint8) if boolean else target, count)
        return image.with_array(target, affine=self.affine, padding=None)

    def _run(self, array: Any, out: Any, threads: int) -> None:
        leaf = _dispatch.pick(array, leaf="resampling")
        outside = _as_voxel(self.cval, out.dtype)
        array = _turned(array, self._mapping.order)
        if self.order == "nearest":
            leaf.nearest(array, out, self._tables, outside=outside, threads=threads)
            return
        truncate = self.rounding == "truncate" and out.dtype.kind in "iu"
        compute = "float32" if array.dtype.name in _SMALL and not truncate else "float64"
        leaf.separable(array, out, self._tables, compute=compute, truncate=truncate, outside=outside, threads=threads)


def _turned(array: Any, order: tuple[int, int, int] | None) -> Any:
    """Source axes in the order of the target's."""
    if order is None or order == (0, 1, 2):
        return array
    lead = array.ndim - 3
    turned = array.transpose(*range(lead), *(lead + axis for axis in order))
    return _dispatch.namespace(array).ascontiguousarray(turned)


def _on(grid: Grid) -> Image:
    voxel = np.broadcast_to(np.uint8(0), grid.shape)
    return Image(voxel, grid.affine)


def _triple(shape: Sequence[int]) -> tuple[int, int, int]:
    z, y, x = shape
    return z, y, x


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
