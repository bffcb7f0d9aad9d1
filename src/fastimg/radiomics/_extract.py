"""Features of a region: the families in turn, then their names."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from .._arrays import choice, thread_count
from .._notebook import Features
from ..errors import ArgumentError, DeviceError
from ..image import Image
from . import _firstorder, _shape, _spatial, _texture
from ._images import responses
from ._names import BY_NAME, FAMILIES, FEATURES, PEER
from ._region import Region, levels_of, region_of
from ._settings import Settings
from ._shape2d import ALWAYS, outline

__all__ = ["extract"]


def extract(
    image: Image, mask: Any, settings: Settings | None = None, *, names: str = "pyradiomics", threads: int | None = None
) -> dict[str, float]:
    """Radiomic features of one region.

    Parameters
    ----------
    image : Image
        Axes z, y, x; any real dtype. On a GPU, grey levels and texture matrices are made there; shape, statistics and
        the formulas over the small matrices are the host's.
    mask : Image or array
        On the image's grid; the region is where it equals `settings.label`.
    settings : Settings, optional
        Default: `Settings()`, IBSI definitions with a bin width of 25.
    names : "pyradiomics" or "ibsi"
        "original_glcm_Contrast", or the tags of the IBSI reference tables ("cm_contrast"); on a filtered image
        "log-sigma-1-mm-3D_glcm_Contrast" or "log-sigma-1-mm-3D_cm_contrast".
    threads : int, optional
        Default: `config.threads()`. Results do not depend on it.

    Returns
    -------
    dict
        Shown as a table in notebooks. Name to value, morphology first, then image by image in the order of the families. A feature that is undefined
        for the region is NaN (docs/design/radiomics.md tells which, and the values that constant regions have), and so
        are the features of an image too small for its filter.

    Raises
    ------
    ArgumentError
        Empty mask, several labels and none chosen, NaN inside the region, more than 65535 grey levels, a setting that
        does not fit.
    GeometryError
        Mask and image on different grids, or a sheared grid.
    DeviceError
        Image and mask live on different devices.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> image = fi.Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), spacing=(2, 1, 1))
    >>> features = fi.radiomics.extract(image, np.ones((3, 4, 5), np.uint8), fi.radiomics.Settings(bin_width=10))
    >>> features["original_firstorder_Mean"], features["original_shape_VoxelVolume"]
    (29.5, 120.0)
    """
    choice("names", names, ("pyradiomics", "ibsi"))
    settings = Settings() if settings is None else settings
    if not isinstance(settings, Settings):
        raise ArgumentError(f"settings: expected radiomics.Settings, got {type(settings).__name__}")
    region = region_of(image, mask, settings)
    count = thread_count(threads)
    wanted = _wanted(settings)
    result: dict[str, float] = {}
    if "morphology" in wanted:
        result = _named(_families(region.upright(), settings, {"morphology"}, count), settings, names, "original")
    if settings.outline or (
        settings.outline is None and settings.dimension != "3D" and region.mask_there.shape[0] == 1
    ):
        result.update(_outline(region, settings))
    plane_axis = None if settings.dimension == "3D" else settings.slice_axis
    cut = region.around(_spatial.REACH if "local" in wanted else 0.0)
    for kind, options in (settings.images or {"Original": {}}).items():
        own = settings.for_image(options)
        if kind != "Original" and "filter" not in options and not region.on_host:
            raise DeviceError(
                f"radiomics: the image type {kind} is made on the CPU; move the image with to_device('cpu')"
            )
        if kind != "Original":
            own = dataclasses.replace(own, resegment=None)  # its range is of intensities, not of a response
        for prefix, response in responses(kind, options, region.source, cut, region.whole, plane_axis, threads):
            if response is None:
                keys = [feature.key for family in wanted - {"morphology"} for feature in FEATURES[family]]
                found = dict.fromkeys(keys, math.nan)
            else:
                seen = region if kind == "Original" else region.on(response, cut)
                found = _families(seen, own, wanted - {"morphology"}, count)
            result.update(_named(found, own, names, prefix))
    return Features(result)


def _outline(region: Region, settings: Settings) -> dict[str, float]:
    if region.mask_there.shape[0] != 1:
        raise ArgumentError(
            f"outline: shape2D needs a region in one slice along axis {settings.slice_axis}; it has "
            f"{region.mask_there.shape[0]}"
        )
    found = outline(region.mask[0], (region.spacing[1], region.spacing[2]))
    kept = settings.outline if isinstance(settings.outline, tuple) else ALWAYS
    return {f"original_shape2D_{name}": value for name, value in found.items() if name in kept}


def _wanted(settings: Settings) -> set[str]:
    wanted = set(FAMILIES if settings.families is None else settings.families)
    if settings.compat == "pyradiomics":
        wanted &= {family for family in FAMILIES if any(feature.key in PEER for feature in FEATURES[family])}
    return wanted


def _families(region: Region, settings: Settings, wanted: set[str], threads: int) -> dict[str, float]:
    """The wanted families' features by their key; what two families share is made once."""
    found: dict[str, float] = {}

    def keep(family: str, row: Any) -> None:
        found.update(zip((feature.key for feature in FEATURES[family]), map(float, row), strict=True))

    if "morphology" in wanted:
        found.update(_shape.morphology(region, settings, threads=threads))
    if "local" in wanted:
        found.update(_spatial.local(region, threads=threads))
    if "ivh" in wanted:
        found.update(_firstorder.ivh(region, settings))
    if not wanted - {"morphology", "local", "ivh"}:
        return found
    levels = levels_of(region, settings)
    if "statistics" in wanted:
        found.update(_firstorder.statistics(region, levels, settings))
    if "histogram" in wanted:
        found.update(_firstorder.histogram(levels))
    if "glcm" in wanted:
        keep("glcm", _texture.glcm(region, levels, settings, threads=threads))
    if "glrlm" in wanted:
        keep("glrlm", _texture.glrlm(region, levels, settings, threads=threads))
    if wanted & {"glszm", "gldzm"}:
        sizes, distances = _texture.zones(region, levels, settings, threads=threads)
        keep("glszm", sizes)
        keep("gldzm", distances)
    if wanted & {"ngldm", "ngtdm"}:
        dependences, differences = _texture.ngldm_ngtdm(levels, settings, threads=threads)
        keep("ngldm", dependences)
        keep("ngtdm", differences)
    return found


def _named(found: dict[str, float], settings: Settings, names: str, prefix: str) -> dict[str, float]:
    result = {}
    for family in FAMILIES if settings.families is None else settings.families:
        kept = (settings.features or {}).get(family)
        for feature in FEATURES[family]:
            if feature.key not in found or (kept is not None and feature.name not in kept):
                continue
            if settings.compat == "pyradiomics" and feature.key not in PEER and not (kept and feature.key in BY_NAME):
                continue
            if names == "pyradiomics":
                result[f"{prefix}_{feature.kind}_{feature.name}"] = found[feature.key]
            elif feature.tag is not None:
                result[feature.tag if prefix == "original" else f"{prefix}_{feature.tag}"] = found[feature.key]
        if (
            family == "statistics"
            and "StandardDeviation" in (kept or ())
            and names == "pyradiomics"
            and "stat_var" in found
        ):
            result[f"{prefix}_firstorder_StandardDeviation"] = math.sqrt(found["stat_var"])
    return result
