"""xarray: an Image as a DataArray whose coordinates are millimetres along each axis, and back; accessor `.fastimg`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import GeometryError
from ..image import Image
from ._optional import host_array, package

__all__ = ["from_xarray", "to_xarray"]


def to_xarray(image: Image) -> Any:
    """An xarray.DataArray that shares the voxels; the accessor `.fastimg` leads back.

    Parameters
    ----------
    image : Image
        On the CPU.

    Returns
    -------
    xarray.DataArray
        Dimensions are the image's. z, y and x have coordinates in mm: the way along that axis from voxel 0, whatever the
        direction in the patient; leading axes have the image's own. Attributes: affine (16 numbers, by row; index (k, j,
        i, 1) to LPS mm), units.

    Raises
    ------
    MissingError
        xarray is not installed.
    """
    xarray = package("xarray")
    _accessor(xarray)
    array = host_array(image, "to_xarray")
    steps = np.linalg.norm(image.affine[:3, :3], axis=0)
    coords: dict[str, Any] = {name: list(values) for name, values in image.coords.items()}
    for name, step, count in zip("zyx", steps, array.shape[-3:], strict=True):
        coords[name] = (name, step * np.arange(count), {"units": "mm"})
    attributes: dict[str, Any] = {"affine": image.affine.ravel().tolist()}
    if image.unit:
        attributes["units"] = image.unit
    return xarray.DataArray(array, dims=image.dims, coords=coords, attrs=attributes)


def from_xarray(data: Any) -> Image:
    """The Image of a DataArray with dimensions (..., z, y, x) that `to_xarray` made, or one that was cut out of such.

    Parameters
    ----------
    data : xarray.DataArray
        Steps along z, y and x must be whole: `isel` with slices of step 1 keeps a voxel's place in the patient, because
        the coordinates say where the part begins.

    Returns
    -------
    Image
        It shares the array's memory.

    Raises
    ------
    GeometryError
        No affine, axes in another order, or coordinates that do not run in the affine's steps.
    """
    if "affine" not in data.attrs or tuple(data.dims[-3:]) != ("z", "y", "x"):
        raise GeometryError("from_xarray: expected dimensions (..., z, y, x) and the attribute 'affine' of to_xarray")
    affine = np.array(data.attrs["affine"], np.float64).reshape(4, 4)
    start = np.zeros(4)
    start[3] = 1
    for axis, name in enumerate("zyx"):
        step, places = np.linalg.norm(affine[:3, axis]), np.asarray(data[name], np.float64)
        if not np.allclose(np.diff(places), step, rtol=1e-6):
            raise GeometryError(f"from_xarray: the coordinate {name} does not run in steps of {step:g} mm")
        start[axis] = np.rint(places[0] / step)
    moved = affine.copy()
    moved[:, 3] = affine @ start
    lead = [name for name in data.dims[:-3] if name in data.coords]
    return Image(
        data.to_numpy(),
        moved,
        dims=tuple(map(str, data.dims)),
        coords={str(name): data[name].to_numpy().tolist() for name in lead} or None,
        unit=data.attrs.get("units"),
    )


_registered = False


def _accessor(xarray: Any) -> None:
    """`data.fastimg.image()` and `data.fastimg.resample(...)`, once a process."""
    global _registered
    if _registered:
        return
    _registered = True

    @xarray.register_dataarray_accessor("fastimg")
    class Fastimg:
        """What fastimg does with a DataArray that `to_xarray` made."""

        def __init__(self, data: Any) -> None:
            self._data = data

        def image(self) -> Image:
            """The Image."""
            return from_xarray(self._data)

        def resample(self, **options: Any) -> Any:
            """`fi.resample` of it, as a DataArray."""
            from ..resampling import resample

            return to_xarray(resample(self.image(), **options))
