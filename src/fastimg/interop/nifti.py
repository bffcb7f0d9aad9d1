"""NIfTI through nibabel: array axes reversed, LPS turned into RAS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, FormatError, GeometryError
from ..image import Image
from ._optional import host_array, package
from ._ras import other_way

__all__ = ["from_nifti", "read_nifti", "to_nifti", "write_nifti"]

# NIfTI-1 has these voxel types; others are written in the next one that holds them.
_WIDER = {"bool": np.uint8, "float16": np.float32}


def to_nifti(image: Image, path: str | os.PathLike[str] | None = None) -> Any:
    """A nibabel NIfTI-1 image; written to `path` too if one is given.

    Parameters
    ----------
    image : Image
        On the CPU. Leading axes follow x, y, z in reverse: (t, z, y, x) becomes (x, y, z, t). Evenly spaced coords of
        the axis "t" (seconds) become its step. bool is written as uint8, float16 as float32.
    path : path, optional
        Must end in .nii or .nii.gz.

    Returns
    -------
    nibabel.Nifti1Image
        Its array shares memory with the image where the dtype allows. sform and qform carry the affine (a sheared
        one in the sform alone).

    Raises
    ------
    ArgumentError
        Another ending.
    MissingError
        nibabel is not installed.
    """
    nibabel = package("nibabel")
    array = host_array(image, "to_nifti")
    if path is not None and not str(path).endswith((".nii", ".nii.gz")):
        raise ArgumentError("to_nifti: the path must end in .nii or .nii.gz")
    array = array.astype(_WIDER.get(array.dtype.name, array.dtype), copy=False).T
    affine = other_way(image.affine)
    made = nibabel.Nifti1Image(array, affine, dtype=array.dtype)
    made.set_sform(affine, code=1)
    if not image.is_sheared:
        made.set_qform(affine, code=1)
    made.header.set_xyzt_units("mm", "sec")
    if "t" in image.coords and array.ndim > 3:
        times = np.array(image.coords["t"], np.float64)
        if times.size > 1 and image.dims[-4] == "t" and np.allclose(np.diff(times), times[1] - times[0]):
            zooms = list(made.header.get_zooms())
            zooms[3] = abs(times[1] - times[0])
            made.header.set_zooms(zooms)
    if path is not None:
        nibabel.save(made, os.fspath(path))
    return made


def from_nifti(source: Any, *, unit: str | None = None) -> Image:
    """From a NIfTI file or a nibabel image.

    Parameters
    ----------
    source : path or nibabel image
        sform or qform as nibabel chooses; a file with neither has nibabel's default affine.
    unit : str, optional
        What a voxel value means; NIfTI does not say.

    Returns
    -------
    Image
        Voxels as stored; with a slope or intercept in the header: computed in float64, rounded to float32. A fourth
        axis is named "t", further ones "d5", "d6", "d7".

    Raises
    ------
    FormatError
        Not a NIfTI file, or one cut short, or with voxels that are not real numbers.
    GeometryError
        A singular affine.
    ArgumentError
        Neither a path nor a nibabel image.
    """
    nibabel = package("nibabel")
    if isinstance(source, (str, os.PathLike)):
        return read_nifti(source, unit=unit)
    if not hasattr(source, "dataobj") or not hasattr(source, "affine"):
        raise ArgumentError(f"from_nifti: expected a path or a nibabel image, got {type(source).__name__}")
    if source.affine is None:
        raise GeometryError("from_nifti: the image has no affine")
    array = _voxels(nibabel, source)
    if array.ndim < 3:
        raise GeometryError(f"from_nifti: expected at least 3 axes, got shape {array.shape}")
    names = ["z", "y", "x"]
    for axis in range(3, array.ndim):
        names.insert(0, "t" if axis == 3 else f"d{axis + 2}")
    affine = other_way(source.affine)
    coords = {}
    if array.ndim > 3 and hasattr(source.header, "get_xyzt_units"):
        factor = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(source.header.get_xyzt_units()[1])
        step = float(source.header.get_zooms()[3])
        if factor and step > 0:
            coords = {"t": tuple((np.arange(array.shape[3]) * step * factor).tolist())}
    return Image(np.ascontiguousarray(array.T), affine, dims=names, coords=coords, unit=unit)


def _voxels(nibabel: Any, source: Any) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.asanyarray(source.dataobj)
    except (OSError, EOFError, ValueError, nibabel.spatialimages.HeaderDataError) as error:
        raise FormatError(f"from_nifti: the voxels cannot be read: {type(error).__name__}") from error
    if array.dtype.kind not in "biuf":
        raise FormatError(f"from_nifti: expected voxels that are real numbers, got {array.dtype}")
    slope, inter = getattr(source.dataobj, "slope", 1), getattr(source.dataobj, "inter", 0)
    scaled = (slope, inter) not in ((1, 0), (None, None))
    if scaled or array.dtype.itemsize > 8:
        return array.astype(np.float32)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def read_nifti(path: str | os.PathLike[str], *, unit: str | None = None) -> Image:
    """An Image from a NIfTI file (.nii, .nii.gz): see `from_nifti`.

    Parameters
    ----------
    path : path
    unit : str, optional
        As for `from_nifti`.

    Returns
    -------
    Image

    Raises
    ------
    FormatError
        No such file, and as for `from_nifti`.
    """
    nibabel = package("nibabel")
    if not Path(path).is_file():
        raise FormatError("from_nifti: there is no such file")
    try:
        source = nibabel.load(os.fspath(path))
    except (OSError, EOFError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
        raise FormatError(f"from_nifti: not a NIfTI file that nibabel reads ({type(error).__name__})") from error
    return from_nifti(source, unit=unit)


def write_nifti(image: Image, path: str | os.PathLike[str]) -> None:
    """Write an Image as NIfTI-1 (.nii, .nii.gz): see `to_nifti`.

    Parameters
    ----------
    image : Image
        As for `to_nifti`.
    path : path
        Must end in .nii or .nii.gz.

    Raises
    ------
    ArgumentError
        Another ending.
    MissingError
        nibabel is not installed.
    """
    to_nifti(image, path)
