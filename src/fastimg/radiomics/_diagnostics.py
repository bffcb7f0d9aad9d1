"""PyRadiomics' diagnostics columns: what was measured, with what, and where it came from."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

import numpy as np

from .._arrays import array_of
from ..image import Image
from ._label import channel_of
from ._region import _checked, region_of
from ._settings import Settings

__all__ = ["diagnostics"]


def diagnostics(image: Image, mask: Any, settings: Settings | None = None) -> dict[str, Any]:
    """Provenance of `extract` by the names of PyRadiomics' diagnostics columns.

    Parameters
    ----------
    image, mask, settings
        As for `extract`.

    Returns
    -------
    dict
        diagnostics_Versions_fastimg, ..._Numpy, ..._Python; diagnostics_Configuration_Settings, ..._EnabledImageTypes;
        diagnostics_Image-original_Hash, _Dimensionality, _Spacing, _Size, _Mean, _Minimum, _Maximum;
        diagnostics_Mask-original_Hash, _Spacing, _Size, _BoundingBox, _VoxelNum, _VolumeNum, _CenterOfMassIndex,
        _CenterOfMass; the same of Image-interpolated and Mask-interpolated after resampling, of Mask-resegmented after
        resegmentation. Places and sizes are (x, y, z); a hash is the SHA-1 of the voxels (of the mask as uint32).

    Raises
    ------
    ArgumentError, GeometryError, DeviceError
        As for `extract`.
    """
    from .. import __version__

    settings = Settings() if settings is None else settings
    region = region_of(image, mask, settings)
    found: dict[str, Any] = {
        "Versions_fastimg": __version__,
        "Versions_Numpy": np.__version__,
        "Versions_Python": platform.python_version(),
        "Configuration_Settings": repr(settings),
        "Configuration_EnabledImageTypes": dict(settings.images or {"Original": {}}),
    }
    labels = channel_of(array_of(mask, "mask"), settings)
    found["Image-original_Hash"] = hashlib.sha1(np.ascontiguousarray(image.array).tobytes()).hexdigest()  # noqa: S324
    found["Image-original_Dimensionality"] = "3D"
    found |= _of_image("Image-original", image)
    found["Mask-original_Hash"] = hashlib.sha1(labels.astype(np.uint32).tobytes()).hexdigest()  # noqa: S324
    _, _, box, inside = _checked(image, mask, settings)
    selected = np.zeros(image.shape, bool)
    selected[box] = inside
    found |= _of_mask("Mask-original", image, selected, None)
    if settings.spacing is not None:
        found |= _of_image("Image-interpolated", region.source)
        found |= _of_mask("Mask-interpolated", region.source, _before(region), region.source.array)
    if settings.resegment is not None or settings.outlier_sigma is not None:
        found |= _of_mask("Mask-resegmented", region.source, region.whole(), region.source.array)
    return {f"diagnostics_{name}": value for name, value in found.items()}


def _before(region: Any) -> Any:
    mask = np.zeros(region.image.shape, bool)
    mask[region.box] = region.mask
    return mask.transpose(np.argsort(region.order))


def _of_image(prefix: str, image: Image) -> dict[str, Any]:
    values = image.array
    return {
        f"{prefix}_Spacing": image.spacing[::-1],
        f"{prefix}_Size": image.shape[::-1],
        f"{prefix}_Mean": float(values.mean(dtype=np.float64)),
        f"{prefix}_Minimum": float(values.min()),
        f"{prefix}_Maximum": float(values.max()),
    }


def _of_mask(prefix: str, grid: Image, selected: Any, values: Any) -> dict[str, Any]:
    from scipy.ndimage import label

    places = np.nonzero(selected)
    low, high = [int(p.min()) for p in places], [int(p.max()) for p in places]
    box = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
    centre = np.array([float(p.mean()) for p in places])
    world = (grid.affine @ [*centre, 1.0])[:3]
    found: dict[str, Any] = {
        f"{prefix}_Spacing": grid.spacing[::-1],
        f"{prefix}_Size": grid.shape[::-1],
        f"{prefix}_BoundingBox": (*low[::-1], *(b - a + 1 for a, b in zip(low[::-1], high[::-1], strict=True))),
        f"{prefix}_VoxelNum": int(selected.sum()),
        f"{prefix}_VolumeNum": int(label(selected[box], np.ones((3, 3, 3)))[1]),
        f"{prefix}_CenterOfMassIndex": tuple(float(c) for c in centre[::-1]),
        f"{prefix}_CenterOfMass": tuple(float(c) for c in world),
    }
    if values is not None:
        inside = values[selected].astype(np.float64)
        found |= {
            f"{prefix}_Mean": float(inside.mean()),
            f"{prefix}_Minimum": float(inside.min()),
            f"{prefix}_Maximum": float(inside.max()),
        }
    return found
