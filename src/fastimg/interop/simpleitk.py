"""SimpleITK images: the same world (LPS mm), the same array order as GetArrayFromImage."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, GeometryError
from ..image import Image, affine_from
from ._optional import host_array, package

__all__ = ["from_sitk", "to_sitk"]


def to_sitk(image: Image) -> Any:
    """A SimpleITK image with a copy of the voxels.

    Parameters
    ----------
    image : Image
        On the CPU, not sheared. One leading axis becomes the components of a vector image. bool is written as uint8,
        float16 as float32.

    Returns
    -------
    SimpleITK.Image

    Raises
    ------
    GeometryError
        The affine is sheared: SimpleITK has no place for that.
    ArgumentError
        More than one leading axis.
    MissingError
        SimpleITK is not installed.
    """
    sitk = package("SimpleITK")
    array = host_array(image, "to_sitk")
    direction = image.direction
    if array.ndim > 4:
        raise ArgumentError(f"to_sitk: at most one leading axis can become components, got dims {image.dims}")
    if array.dtype.kind == "b" or array.dtype == np.float16:
        array = array.astype(np.uint8 if array.dtype.kind == "b" else np.float32)
    vector = array.ndim == 4
    made = sitk.GetImageFromArray(np.ascontiguousarray(np.moveaxis(array, 0, -1) if vector else array), isVector=vector)
    made.SetSpacing(image.spacing[::-1])
    made.SetOrigin(image.origin)
    made.SetDirection(direction.ravel().tolist())
    return made


def from_sitk(image: Any, *, unit: str | None = None) -> Image:
    """An Image with a copy of a SimpleITK image's voxels.

    Parameters
    ----------
    image : SimpleITK.Image
        Three dimensions; a vector image gets the leading axis "channel", a fourth dimension becomes the axis "t".
    unit : str, optional
        What a voxel value means; SimpleITK does not know it.

    Returns
    -------
    Image

    Raises
    ------
    GeometryError
        Two dimensions, or a fourth one that is not at right angles to the others.
    ArgumentError
        No SimpleITK.Image.
    """
    sitk = package("SimpleITK")
    if not isinstance(image, sitk.Image):
        raise ArgumentError(f"from_sitk: expected a SimpleITK.Image, got {type(image).__name__}")
    count = image.GetDimension()
    array = sitk.GetArrayFromImage(image)
    if count not in (3, 4):
        raise GeometryError(f"from_sitk: expected 3 or 4 dimensions, got {count}")
    full = np.array(image.GetDirection()).reshape(count, count)
    if count == 4 and (full[3, :3].any() or full[:3, 3].any()):
        raise GeometryError("from_sitk: the fourth dimension is not at right angles to the first three")
    affine = affine_from(image.GetSpacing()[2::-1], image.GetOrigin()[:3], full[:3, :3])
    dims = ["z", "y", "x"] if count == 3 else ["t", "z", "y", "x"]
    if image.GetNumberOfComponentsPerPixel() > 1:
        array, dims = np.ascontiguousarray(np.moveaxis(array, -1, 0)), ["channel", *dims]
    return Image(array, affine, dims=dims, unit=unit)
