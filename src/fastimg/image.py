"""Image: an array with its place in the patient.

`array` is (..., z, y, x); world points are DICOM patient LPS (x, y, z) in millimetres; `affine` maps homogeneous array
indices (k, j, i, 1) to world points and is the only truth: spacing, origin and direction are derived from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import _dispatch
from .errors import ArgumentError, GeometryError

__all__ = ["Image", "affine_from"]

SPATIAL = ("z", "y", "x")


class Image:
    """An array with geometry.

    Parameters
    ----------
    array : array (..., z, y, x)
        NumPy or CuPy. Not copied.
    affine : (4, 4) array_like, optional
        Maps (k, j, i, 1) to LPS millimetres. Default: built from `spacing`, `origin` and `direction`.
    spacing : (z, y, x) mm, optional
        Default 1 mm. Only without `affine`.
    origin : (x, y, z) mm, optional
        World position of voxel (0, 0, 0). Only without `affine`.
    direction : (3, 3) array_like, optional
        Columns are the world directions of the array axes x, y, z (as in SimpleITK). Only without `affine`.
    dims : sequence of str, optional
        Names of all axes; the last three are "z", "y", "x". Needed when the array has leading axes.
    coords : mapping, optional
        Values along leading axes: {"t": (0.0, 2.5)}.
    unit : str, optional
        What a voxel value means: "HU", "SUV", "Bq/mL", "label", "arbitrary" ...
    padding : boolean array (z, y, x), optional
        True where a voxel is padding (outside the scanner's field of view); left out by statistics.
    metadata : mapping, optional
        Anything else worth keeping, as plain values.

    Raises
    ------
    GeometryError
        Singular affine, spacing that is zero or not finite, fewer than three axes.
    ArgumentError
        An affine and a spacing, leading axes without names, or coords that do not fit theirs.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> image = fi.Image(np.zeros((2, 3, 4), np.int16), spacing=(2.5, 0.5, 0.5), unit="HU")
    >>> image.spacing, image.size_mm
    ((2.5, 0.5, 0.5), (5.0, 1.5, 2.0))
    """

    __slots__ = ("_affine", "array", "coords", "dims", "metadata", "padding", "unit")

    def __init__(
        self,
        array: Any,
        affine: npt.ArrayLike | None = None,
        *,
        spacing: Sequence[float] | None = None,
        origin: Sequence[float] | None = None,
        direction: npt.ArrayLike | None = None,
        dims: Sequence[str] | None = None,
        coords: Mapping[str, Sequence[Any]] | None = None,
        unit: str | None = None,
        padding: Any | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        if not hasattr(array, "__array_interface__") and not hasattr(array, "__cuda_array_interface__"):
            array = np.asarray(array)
        if array.ndim < 3:
            raise GeometryError(f"Image: array must have the axes (..., z, y, x), got shape {tuple(array.shape)}")
        if affine is None:
            affine = affine_from(spacing or (1, 1, 1), origin or (0, 0, 0), direction)
        elif spacing is not None or origin is not None or direction is not None:
            raise ArgumentError("Image: give affine=, or spacing=, origin= and direction=, not both")
        if dims is None:
            if array.ndim > 3:
                raise ArgumentError(f"Image: name the leading axes of shape {tuple(array.shape)} with dims=")
            dims = SPATIAL
        dims = tuple(dims)
        if len(dims) != array.ndim or dims[-3:] != SPATIAL or len(set(dims)) != len(dims):
            raise ArgumentError(
                f"Image: dims must name each of the {array.ndim} axes once, the last three 'z', 'y', 'x'; got {dims}"
            )
        coords = {name: tuple(values) for name, values in (coords or {}).items()}
        for name, values in coords.items():
            if name not in dims[:-3] or len(values) != array.shape[dims.index(name)]:
                raise ArgumentError(f"Image: coords[{name!r}] must have one value for each index of a leading axis")
        if padding is not None and tuple(padding.shape) != tuple(array.shape[-3:]):
            raise GeometryError(f"Image: padding must have shape {tuple(array.shape[-3:])}, got {tuple(padding.shape)}")
        self.array = array
        self._affine = _checked_affine(affine)
        self.dims = dims
        self.coords = coords
        self.unit = unit
        self.padding = padding
        self.metadata = dict(metadata or {})

    # geometry ---------------------------------------------------------------------------------------------------------

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """4x4, (k, j, i, 1) to LPS mm. Read-only: use `with_array(..., affine=)` for another one."""
        return self._affine

    @property
    def spacing(self) -> tuple[float, float, float]:
        """(z, y, x) mm: the length of one step along each axis."""
        z, y, x = (float(np.linalg.norm(self._affine[:3, axis])) for axis in range(3))
        return z, y, x

    @property
    def origin(self) -> tuple[float, float, float]:
        """(x, y, z) mm: the centre of voxel (0, 0, 0)."""
        x, y, z = (float(value) for value in self._affine[:3, 3])
        return x, y, z

    @property
    def direction(self) -> npt.NDArray[np.float64]:
        """3x3, columns: the world directions of x, y, z. Refused when the affine is sheared."""
        if self.is_sheared:
            raise GeometryError("Image: the affine is sheared (gantry tilt?); resample it to a rectangular grid first")
        return np.ascontiguousarray((self._affine[:3, :3] / np.array(self.spacing))[:, ::-1])

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are not at right angles (beyond 1e-4, about 0.006 degrees)."""
        axes = self._affine[:3, :3] / np.array(self.spacing)
        return bool(np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, leading axes included."""
        return tuple(self.array.shape)

    @property
    def size_mm(self) -> tuple[float, float, float]:
        """(z, y, x) mm: the volume's extent, voxel borders included."""
        z, y, x = (n * s for n, s in zip(self.shape[-3:], self.spacing, strict=True))
        return z, y, x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel."""
        return np.dtype(self.array.dtype)

    @property
    def device(self) -> str:
        """ "cpu" or "cuda"."""
        return _dispatch.device(self.array)

    def same_grid(self, other: Image, *, tolerance: float = 1e-3) -> bool:
        """Whether both have the same voxels: equal spatial shape, corners no further apart than `tolerance` voxels.

        `other` is an Image.
        """
        if self.shape[-3:] != other.shape[-3:]:
            return False
        if self._affine is other._affine:
            return True
        corners = np.array([[*index, 1.0] for index in np.ndindex(2, 2, 2)])
        corners[:, :3] *= np.array(self.shape[-3:]) - 1
        apart = (corners @ (self._affine - other._affine).T)[:, :3]
        return bool(np.abs(apart).max() <= tolerance * min(self.spacing))

    # copies with changes ----------------------------------------------------------------------------------------------

    def with_array(self, array: Any, **changes: Any) -> Self:
        """The same image around another array; keyword arguments replace other attributes.

        Where the grid changes and no new `affine` comes with it, a GeometryError tells so. Padding is dropped when the
        spatial shape changes; leading axes (`dims`, `coords`) when their number changes.
        """
        same_shape = tuple(array.shape[-3:]) == self.shape[-3:]
        if not same_shape and "affine" not in changes:
            raise GeometryError("Image.with_array: a new spatial shape needs a new affine")
        keep = len(array.shape) == len(self.dims)
        settings: dict[str, Any] = {
            "affine": self._affine,
            "dims": self.dims if keep else None,
            "coords": self.coords if keep else None,
            "unit": self.unit,
            "padding": self.padding if same_shape else None,
            "metadata": self.metadata,
        }
        return type(self)(array, **{**settings, **changes})

    def to_device(self, device: str) -> Self:
        """The same image with its array on "cpu" or "cuda" (copied only if it is elsewhere).

        Raises ArgumentError for any other `device`.
        """
        if device not in ("cpu", "cuda"):
            raise ArgumentError(f"Image.to_device: device must be 'cpu' or 'cuda', got {device!r}")
        padding = None if self.padding is None else _dispatch.move(self.padding, device)
        return self.with_array(_dispatch.move(self.array, device), padding=padding)

    # interchange (thin, in fastimg.interop) -----------------------------------------------------------------------------

    def to_sitk(self) -> Any:
        """A SimpleITK image with a copy of the voxels."""
        from .interop import simpleitk

        return simpleitk.to_sitk(self)

    @classmethod
    def from_sitk(cls, image: Any) -> Image:
        """From a SimpleITK image."""
        from .interop import simpleitk

        return simpleitk.from_sitk(image)

    def to_nifti(self, path: Any = None) -> Any:
        """A nibabel NIfTI image (RAS); written to `path` if one is given."""
        from .interop import nifti

        return nifti.to_nifti(self, path)

    @classmethod
    def from_nifti(cls, source: Any) -> Image:
        """From a NIfTI file or a nibabel image. `source` and errors as in `interop.from_nifti`."""
        from .interop import nifti

        return nifti.from_nifti(source)

    def __dlpack__(self, **options: Any) -> Any:
        """The array for another library, as ``torch.from_dlpack(image)``: shared, without its geometry."""
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return tuple(self.array.__dlpack_device__())

    def __repr__(self) -> str:
        spacing = ", ".join(f"{s:.4g}" for s in self.spacing)
        unit = f", {self.unit}" if self.unit else ""
        return f"<Image {'x'.join(map(str, self.shape))} {self.dtype}{unit}, spacing ({spacing}) mm, {self.device}>"

    def _repr_html_(self) -> str:
        from ._notebook import image

        return image(self)


def affine_from(
    spacing: Sequence[float], origin: Sequence[float] = (0, 0, 0), direction: npt.ArrayLike | None = None
) -> npt.NDArray[np.float64]:
    """The affine of a rectangular grid: `spacing` (z, y, x) mm, `origin` (x, y, z) mm, `direction` columns x, y, z.

    Raises GeometryError where the spacing is not 3 positive numbers.
    """
    steps = np.asarray(spacing, np.float64)
    if steps.shape != (3,) or not np.isfinite(steps).all() or (steps <= 0).any():
        raise GeometryError(f"spacing must be 3 positive values in mm (z, y, x), got {spacing!r}")
    axes = np.eye(3) if direction is None else np.asarray(direction, np.float64).reshape(3, 3)
    affine = np.eye(4)
    affine[:3, :3] = axes[:, ::-1] * steps
    affine[:3, 3] = origin
    return affine


def _checked_affine(affine: npt.ArrayLike) -> npt.NDArray[np.float64]:
    matrix = np.asarray(affine, np.float64)
    if matrix.shape != (4, 4):
        raise GeometryError(f"Image: affine must be 4x4, got shape {matrix.shape}")
    return _affine_of(matrix.tobytes())


@lru_cache(maxsize=1024)
def _affine_of(values: bytes) -> npt.NDArray[np.float64]:
    """The read-only matrix of these bytes, checked once: images on one grid share it."""
    matrix = np.frombuffer(values, np.float64).reshape(4, 4)
    if not np.isfinite(matrix).all() or not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise GeometryError("Image: affine must be finite with the last row (0, 0, 0, 1)")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if (lengths == 0).any() or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
        raise GeometryError("Image: affine is singular: its axes must be independent and have a length")
    return matrix
