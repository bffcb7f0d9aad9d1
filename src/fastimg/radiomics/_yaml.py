"""PyRadiomics' parameter files: the sections and names of its schema (paramSchema.yaml of 3.0.1)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, FormatError, MissingError
from ._images import TYPES
from ._names import BY_NAME, FEATURES, PEER, WITHOUT_VALUE
from ._settings import _OF_AN_IMAGE, WEIGHTINGS, nearest
from ._shape2d import NAMES as OUTLINE

__all__ = ["load"]

_CLASSES = {"shape": "morphology", "firstorder": "statistics", "glcm": "glcm", "glrlm": "glrlm", "glszm": "glszm"}
_CLASSES |= {"gldm": "ngldm", "ngtdm": "ngtdm"}
_INTERPOLATORS = {"sitkNearestNeighbor": "nearest", "sitkLinear": "linear", "sitkBSpline": "cubic"}
_INTERPOLATORS |= {"sitkGaussian": "gaussian", "sitkLabelGaussian": "label-gaussian"}
_INTERPOLATORS |= {
    f"sitk{name.capitalize()}WindowedSinc": name for name in ("hamming", "cosine", "welch", "lanczos", "blackman")
}
_NUMBERED = dict(enumerate(_INTERPOLATORS.values(), 1))  # the schema takes SimpleITK's numbers too

# A batch of voxels bounds PyRadiomics' memory; here nothing depends on it.
_WITHOUT_EFFECT = frozenset({"voxelBatch"})
_OF_MAPS = frozenset({"kernelRadius", "maskedKernel", "initValue", "voxelBatch"})
_OF_FILTERS = frozenset(option for options in TYPES.values() for option in options)
_PLAIN = {
    "label": "label",
    "binWidth": "bin_width",
    "binCount": "bin_number",
    "distances": "distances",
    "gldm_a": "alpha",
    "symmetricalGLCM": "symmetric",
    "weightingNorm": "weighting",
    "voxelArrayShift": "shift",
    "normalize": "normalize",
    "normalizeScale": "normalize_scale",
    "removeOutliers": "normalize_outliers",
    "resegmentMode": "resegment_mode",
    "resegmentShape": "resegment_shape",
    "correctMask": "resample_mask",
    "geometryTolerance": "geometry_tolerance",
    "label_channel": "label_channel",
    "additionalInfo": "additional_info",
    "minimumROISize": "minimum_size",
    "preCrop": "pre_crop",
    "padDistance": "pad_distance",
    "minimumROIDimensions": "minimum_dimensions",
    "kernelRadius": "kernel_radius",
    "maskedKernel": "masked_kernel",
    "initValue": "initial_value",
}
_OTHERS = ("resampledPixelSpacing", "interpolator", "resegmentRange", "force2D", "force2Ddimension")


def load(source: str | os.PathLike[str]) -> dict[str, Any]:
    """The arguments of `Settings` that a parameter file means."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingError("reading a YAML parameter file needs PyYAML: pip install pyyaml") from error
    text = Path(source).read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FormatError(f"the parameter file is not YAML: {str(error).splitlines()[0]}") from error
    sections = {} if content is None else content
    if not isinstance(sections, Mapping):
        raise FormatError("the parameter file must hold the sections setting, featureClass, imageType")
    _known("section", sections, ("setting", "voxelSetting", "featureClass", "imageType"))
    _known("voxel setting", _mapping(sections, "voxelSetting"), _OF_MAPS)
    setting = _mapping(sections, "setting")
    arguments = _arguments({**setting, **_mapping(sections, "voxelSetting")})
    classes = _mapping(sections, "featureClass")
    if classes:
        arguments.update(_classes(classes, "aggregation" in arguments))
    elif "aggregation" in arguments:
        arguments["outline"] = None  # all classes: shape2D too, where it can be had
    arguments["images"] = _images(_mapping(sections, "imageType"), setting)
    for name, value in (("minimum_dimensions", 2), ("label_channel", 0), ("additional_info", True)):
        arguments.setdefault(name, value)
    return {"compat": "pyradiomics", "label": arguments.pop("label", 1), **arguments}


def _known(what: str, given: Mapping[str, Any], known: Any) -> None:
    for name in given:
        if name not in known:
            raise ArgumentError(f"parameter file: unknown {what} {name!r}{nearest(str(name), known)}")


def _mapping(sections: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = sections.get(name)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise ArgumentError(f"parameter file: {name} must be a mapping, got {type(section).__name__}")
    return section


def _images(types: Mapping[str, Any], setting: Mapping[str, Any]) -> dict[str, Any] | None:
    """Image types with their options; those of `setting` are defaults, what is left of an image's own overrides."""
    _known("image type", types, TYPES)
    found = {}
    for name, given in types.items() if types else (("Original", {}),):
        own = {**setting, **(given or {})}
        options = {option: own[option] for option in TYPES[name] if own.get(option) is not None}
        rest = {key: value for key, value in (given or {}).items() if key not in _OF_FILTERS}
        # Settings that PyRadiomics reads before it comes to image types are without effect here.
        overrides = {key: value for key, value in _arguments(rest).items() if key in _OF_AN_IMAGE}
        if overrides:
            options["settings"] = overrides
        found[name] = options
    return None if found == {"Original": {}} else found


def _classes(classes: Mapping[str, Any], flat: bool) -> dict[str, Any]:
    _known("feature class", classes, (*_CLASSES, "shape2D"))
    chosen = {}
    for name, features in classes.items():
        if features is None or features == []:
            continue
        if not isinstance(features, list):
            raise ArgumentError(f"parameter file: the features of {name} must be a list, got {type(features).__name__}")
        if name == "shape2D":
            _known("feature of shape2D", dict.fromkeys(features), OUTLINE)
            continue
        known = [feature.name for feature in FEATURES[_CLASSES[name]] if feature.key in PEER | BY_NAME]
        known += ["StandardDeviation"] if name == "firstorder" else []
        without = WITHOUT_VALUE.get(name, {})
        _known(f"feature of {name}", dict.fromkeys(features), (*known, *without))
        for feature in features:
            if feature in without:
                told = (
                    f"parameter file: {name} {feature} has no value in PyRadiomics either: it equals {without[feature]}"
                )
                warnings.warn(told, stacklevel=4)
        chosen[name] = [feature for feature in features if feature not in without]
    families = [_CLASSES[name] for name in classes if name != "shape2D"]
    # PyRadiomics leaves shape2D out, with a line in its log, where slices are not forced.
    outline = flat and "shape2D" in classes and (tuple(classes["shape2D"] or ()) or True)
    return {"families": families, "features": chosen or None, "outline": outline}


def _arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    _known("setting", given, (*_PLAIN, *_OTHERS, *_OF_FILTERS, *_WITHOUT_EFFECT))
    arguments = {_PLAIN[name]: value for name, value in given.items() if name in _PLAIN and value is not None}
    if "bin_number" in arguments:
        arguments.pop("bin_width", None)  # PyRadiomics prefers binCount
    for name in (
        "symmetric",
        "normalize",
        "resegment_shape",
        "resample_mask",
        "pre_crop",
        "masked_kernel",
        "additional_info",
    ):
        if not isinstance(arguments.get(name, False), bool):
            raise ArgumentError(f"parameter file: {name} must be true or false, got {arguments[name]!r}")
    if arguments.get("weighting") is not None and arguments["weighting"] not in WEIGHTINGS:
        raise ArgumentError(f"parameter file: weightingNorm must be one of {', '.join(WEIGHTINGS)} or null")
    spacing = given.get("resampledPixelSpacing")
    if spacing is not None and given.get("interpolator", "") is not None:  # null: PyRadiomics does not resample
        if not isinstance(spacing, list) or len(spacing) != 3:
            raise ArgumentError(
                f"parameter file: resampledPixelSpacing must be 3 values in mm (x, y, z), got {spacing!r}"
            )
        arguments["spacing"] = tuple(spacing[::-1])
        interpolator = given.get("interpolator", "sitkBSpline")
        known: dict[Any, str] = {**_INTERPOLATORS, **_NUMBERED}
        if isinstance(interpolator, bool) or interpolator not in known:
            raise ArgumentError(
                f"parameter file: interpolator must be one of {', '.join(_INTERPOLATORS)} or their numbers 1 to "
                f"{len(_INTERPOLATORS)}; got {interpolator!r}"
            )
        arguments["order"] = known[interpolator]
    borders = given.get("resegmentRange")
    if borders is not None:
        if not isinstance(borders, list) or len(borders) not in (1, 2):
            raise ArgumentError(f"parameter file: resegmentRange must hold 1 or 2 numbers, got {borders!r}")
        arguments["resegment"] = (*sorted(borders), None)[:2]
    if given.get("force2D"):
        arguments["aggregation"] = "2.5D, direction-merged"
        arguments["slice_axis"] = given.get("force2Ddimension", 0)
    return arguments
