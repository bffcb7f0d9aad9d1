"""Settings: everything that decides a feature's value, in one frozen object."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from .._arrays import choice, finite
from ..errors import ArgumentError
from ._itk import ORDERS
from ._names import ALIASES, FAMILIES, FEATURES
from ._shape2d import NAMES as OUTLINE

__all__ = ["AGGREGATIONS", "Settings"]

AGGREGATIONS = (
    "2D, averaged",
    "2D, slice-merged",
    "2.5D, direction-merged",
    "2.5D, merged",
    "3D, averaged",
    "3D, merged",
)
# What may differ from image to image: all that comes after the region is made.
_OF_AN_IMAGE: tuple[str, ...] = ("bin_width", "bin_number", "distances", "alpha", "symmetric", "weighting", "shift")
_OF_AN_IMAGE += ("ivh_bin_width", "ivh_bin_number")
WEIGHTINGS = ("manhattan", "euclidean", "infinity", "no_weighting")


@dataclass(frozen=True)
class Settings:
    """What to compute, and how.

    Parameters
    ----------
    bin_width : float, optional
        Width of a grey level in the image's unit (fixed bin size). Default 25, unless `bin_number` is given.
    bin_number : int, optional
        Number of grey levels between the region's extremes (fixed bin number). Not together with `bin_width`.
    compat : "ibsi" or "pyradiomics"
        "ibsi": definitions of the IBSI reference manual. "pyradiomics": PyRadiomics 3.0.1's features, with its
        deviations (bins aligned at 0, kurtosis not in excess, axes with n for n - 1, small terms in logarithms).
    families : sequence of str, optional
        Some of `FAMILIES`, or PyRadiomics' names shape, firstorder, gldm. Default: all that `compat` has.
    features : mapping, optional
        For a family, the PyRadiomics-style names or IBSI tags to keep: {"glcm": ["Contrast"]}. Default: all.
    label : int, optional
        The region's value in the mask. Default: the only value that is not 0.
    aggregation : str
        One of `AGGREGATIONS`: how texture matrices are made and averaged. 2D and 2.5D take slices along `slice_axis`.
    slice_axis : int
        Axis (0 z, 1 y, 2 x) at a right angle to the slices of 2D and 2.5D.
    spacing : (z, y, x) mm, optional
        Resample image and mask to this grid before anything else; 0 keeps an axis. Default: no resampling.
    order : "nearest", "linear" or "cubic"
        Interpolation of the image for `spacing`; the mask is always interpolated linearly. With compat="pyradiomics" also
        ITK's "gaussian", "label-gaussian", and the windowed sincs "hamming", "cosine", "welch", "lanczos", "blackman";
        the mask by nearest neighbours.
    mask_threshold : float
        A resampled mask voxel belongs to the region from this value on.
    round_intensities : bool
        Round the resampled image to whole numbers (CT).
    resegment : (low, high), optional
        Keep voxels of the region within these intensities (both included) in all but morphological features. None for
        high: no upper border. With a fixed bin size the lower border is the first level's edge.
    resegment_mode : "absolute", "relative" or "sigma"
        What `resegment` means: intensities, fractions of the region's maximum, or standard deviations from its mean.
    resegment_shape : bool
        Let `resegment` change the morphological mask too.
    outlier_sigma : float, optional
        After `resegment`, keep voxels within so many standard deviations of the mean.
    ivh_bin_width, ivh_bin_number : optional
        Levels of the intensity-volume histogram. Default: the values themselves.
    distances : sequence of int
        Chebyshev distances of neighbours, in voxels, for GLCM, NGTDM and NGLDM.
    alpha : int
        Largest difference of level of a dependent neighbour (NGLDM).
    symmetric : bool
        Count each GLCM pair in both orders.
    weighting : str, optional
        Merge directions by weights from their length in mm: "manhattan", "euclidean", "infinity", "no_weighting".
    shift : float
        Added to intensities in energy and root mean square.
    normalize : bool
        Centre the whole image at its mean and divide it by its standard deviation first.
    normalize_scale : float
        Multiplies a normalised image.
    normalize_outliers : float, optional
        Clip the normalised image at so many standard deviations.
    resample_mask : bool
        Bring a mask on another grid to the image's by nearest neighbour; otherwise that is an error.
    geometry_tolerance : float, optional
        Origins and spacings of image and mask may differ by so many voxels (of x), directions by so much (PyRadiomics'
        geometryTolerance). Default: corners of the grids within a thousandth of a voxel.
    label_channel : int, optional
        Which part of a mask that has a leading axis. Default: such a mask is an error.
    additional_info : bool
        Whether `pipeline.measure_features` adds the columns of `diagnostics` to its table.
    images : mapping, optional
        What features are measured on: PyRadiomics' image types (Original, LoG, Wavelet, Square, SquareRoot, Logarithm,
        Exponential, Gradient, LBP2D, LBP3D) with their options, or a name of your own with {"filter": a function of
        `fi.filtering`, and its options}. "settings" in the options overrides settings for that image. Morphological
        features are of the mask, so they come once. Default: {"Original": {}}. See the examples.
    outline : bool, None or sequence of str
        PyRadiomics' shape2D (all or some of its features): the outline in the one slice that the region has along
        `slice_axis`; an error where it has more, with None left out there. Needs a 2D or 2.5D aggregation.
    pre_crop : bool
        Cut image and mask to the region's box before filters (PyRadiomics' preCrop).
    pad_distance : int, voxels
        What `pre_crop`, and resampling in compat="pyradiomics", leave around the region.
    minimum_size : int
        Fewest voxels a region must have.
    minimum_dimensions : int
        In how many axes a region must be longer than one voxel.
    kernel_radius : int
        `maps`: the window reaches so many voxels to each side of its centre.
    masked_kernel : bool
        `maps`: voxels outside the region take no part in a window; otherwise all of the cropped image does.
    initial_value : float
        `maps`: what voxels outside the region hold.

    Raises
    ------
    ArgumentError
        A value that cannot be used, or an unknown name (the message holds the nearest known one).

    Examples
    --------
    >>> import fastimg as fi
    >>> fi.radiomics.Settings(bin_number=32).aggregation
    '3D, averaged'
    >>> images = {
    ...     "Original": {},
    ...     "LoG": {"sigma": [1, 3], "settings": {"bin_width": 5}},
    ...     "laws": {"filter": "laws", "kernels": "L5E5E5", "rotation_invariant": True, "energy": 7},
    ... }
    >>> list(fi.radiomics.Settings(bin_width=25, images=images).images)
    ['Original', 'LoG', 'laws']
    """

    bin_width: float | None = None
    bin_number: int | None = None
    compat: str = "ibsi"
    families: tuple[str, ...] | None = None
    features: Mapping[str, tuple[str, ...]] | None = None
    label: int | None = None
    aggregation: str = "3D, averaged"
    slice_axis: int = 0
    spacing: tuple[float, float, float] | None = None
    order: str = "linear"
    mask_threshold: float = 0.5
    round_intensities: bool = False
    resegment: tuple[float, float | None] | None = None
    resegment_mode: str = "absolute"
    resegment_shape: bool = False
    outlier_sigma: float | None = None
    ivh_bin_width: float | None = None
    ivh_bin_number: int | None = None
    distances: tuple[int, ...] = (1,)
    alpha: int = 0
    symmetric: bool = True
    weighting: str | None = None
    shift: float = 0.0
    normalize: bool = False
    normalize_scale: float = 1.0
    normalize_outliers: float | None = None
    resample_mask: bool = False
    geometry_tolerance: float | None = None
    label_channel: int | None = None
    additional_info: bool = False
    images: Mapping[str, Mapping[str, Any]] | None = None
    outline: bool | tuple[str, ...] | None = False
    pre_crop: bool = False
    pad_distance: int = 5
    minimum_size: int = 1
    minimum_dimensions: int = 0
    kernel_radius: int = 1
    masked_kernel: bool = True
    initial_value: float = 0.0

    def __new__(cls, *arguments: Any, **named: Any) -> Self:
        # Runs before the generated __init__, whose TypeError would not tell the nearest name.
        known = [field.name for field in dataclasses.fields(cls)]
        for name in named:
            if name not in known:
                raise ArgumentError(f"radiomics.Settings: unknown setting {name!r}{nearest(name, known)}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if self.bin_width is not None and self.bin_number is not None:
            raise ArgumentError("radiomics.Settings: give bin_width or bin_number, not both")
        if self.ivh_bin_width is not None and self.ivh_bin_number is not None:
            raise ArgumentError("radiomics.Settings: give ivh_bin_width or ivh_bin_number, not both")
        for name in (
            "bin_width",
            "ivh_bin_width",
            "outlier_sigma",
            "normalize_scale",
            "normalize_outliers",
            "geometry_tolerance",
        ):
            if getattr(self, name) is not None:
                self._set(name, _positive(name, getattr(self, name)))
        for name, least in (
            ("bin_number", 1),
            ("ivh_bin_number", 1),
            ("minimum_size", 1),
            ("alpha", 0),
            ("label", 1),
            ("label_channel", 0),
            ("pad_distance", 0),
        ):
            if getattr(self, name) is not None:
                self._set(name, _whole(name, getattr(self, name), least))
        self._set("minimum_dimensions", _whole("minimum_dimensions", self.minimum_dimensions, 0, 3))
        self._set("slice_axis", _whole("slice_axis", self.slice_axis, 0, 2))
        self._set("shift", finite("shift", self.shift))
        self._set("kernel_radius", _whole("kernel_radius", self.kernel_radius, 1, 16))
        # NaN is a usual choice for "not computed".
        self._set("initial_value", float(self.initial_value))
        self._set("mask_threshold", _positive("mask_threshold", self.mask_threshold))
        choice("compat", self.compat, ("ibsi", "pyradiomics"))
        choice("aggregation", self.aggregation, AGGREGATIONS)
        choice("order", self.order, ("nearest", "linear", "cubic", *(ORDERS if self.compat == "pyradiomics" else ())))
        choice("resegment_mode", self.resegment_mode, ("absolute", "relative", "sigma"))
        if self.weighting is not None:
            choice("weighting", self.weighting, WEIGHTINGS)
        self._set("families", _families(self.families))
        self._set("features", _features(self.features))
        if self.spacing is not None:
            steps = tuple(finite("spacing", step) for step in self.spacing)
            if len(steps) != 3 or min(steps) < 0 or max(steps) == 0:
                raise ArgumentError(
                    f"spacing: must be 3 values in mm (z, y, x), 0 to keep an axis; got {self.spacing!r}"
                )
            self._set("spacing", steps)
        if self.resegment is not None:
            self._set("resegment", _range(self.resegment))
        distances = tuple(_whole("distances", distance, 1) for distance in _many("distances", self.distances))
        if not distances:
            raise ArgumentError("distances: name at least one")
        self._set("distances", tuple(sorted(set(distances))))
        if self.outline is not None and not isinstance(self.outline, bool):
            for name in _many("outline", self.outline):
                if name not in OUTLINE:
                    raise ArgumentError(f"outline: shape2D has no feature {name!r}{nearest(str(name), OUTLINE)}")
            self._set("outline", tuple(self.outline))
        if self.outline and self.dimension == "3D":
            raise ArgumentError("outline: shape2D needs slices; take a 2D or 2.5D aggregation (force2D)")
        from ._images import checked

        self._set("images", checked(self.images))
        for options in (self.images or {}).values():
            self.for_image(options)  # a wrong override is told before any work

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def for_image(self, options: Mapping[str, Any]) -> Self:
        """These settings with an image type's own ones, and without what is of the original image alone."""
        changes = dict(options.get("settings", {}))
        for name in changes:
            if name not in _OF_AN_IMAGE:
                raise ArgumentError(f"images: a setting of one image cannot be {name!r}{nearest(name, _OF_AN_IMAGE)}")
        if "bin_number" in changes and changes["bin_number"] is not None:
            changes.setdefault("bin_width", None)
        elif "bin_width" in changes:
            changes.setdefault("bin_number", None)
        return dataclasses.replace(self, **changes, images=None)

    @property
    def dimension(self) -> str:
        """ "2D", "2.5D" or "3D"."""
        return self.aggregation.split(",")[0]

    @classmethod
    def from_yaml(cls, source: str | os.PathLike[str]) -> Self:
        """From a PyRadiomics parameter file, with `compat="pyradiomics"`.

        Parameters
        ----------
        source : path
            A YAML file with the sections imageType, featureClass, setting, voxelSetting.

        Returns
        -------
        Settings

        Raises
        ------
        ArgumentError
            A section, setting, feature class or feature that PyRadiomics does not know (with the nearest one that it
            does), or a wrong kind of value.
        FormatError
            The file is not YAML.
        MissingError
            PyYAML is not installed.
        """
        from ._yaml import load

        return cls(**load(source))


def nearest(name: str, known: Iterable[str]) -> str:
    """A phrase with the nearest known name."""
    known = list(known)
    close = difflib.get_close_matches(name, known, 1, 0.4)
    if not close:
        lower = {each.lower(): each for each in known}
        close = [lower[each] for each in difflib.get_close_matches(name.lower(), list(lower), 1, 0.4)]
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


def _positive(name: str, value: Any) -> float:
    number = finite(name, value)
    if number <= 0:
        raise ArgumentError(f"{name}: must be above 0, got {value!r}")
    return number


def _whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    number = finite(name, value)
    if (
        isinstance(value, bool)
        or number != math.floor(number)
        or number < least
        or (most is not None and number > most)
    ):
        upper = "" if most is None else f" to {most}"
        raise ArgumentError(f"{name}: must be a whole number from {least}{upper}, got {value!r}")
    return int(number)


def _many(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ArgumentError(f"{name}: must be a sequence, got {value!r}")
    return tuple(value)


def _families(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = []
    for name in _many("families", value):
        name = ALIASES.get(name, name)
        if name not in FAMILIES:
            raise ArgumentError(f"families: unknown family {name!r}{nearest(str(name), [*FAMILIES, *ALIASES])}")
        names.append(name)
    return tuple(family for family in FAMILIES if family in names)


def _features(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ArgumentError(f"features: must be a mapping of family to names, got {value!r}")
    chosen: dict[str, tuple[str, ...]] = {}
    for family, names in value.items():
        (family,) = _families([family]) or ()
        known = [feature.name for feature in FEATURES[family]]
        known += ["StandardDeviation"] if family == "statistics" else []  # only where it is named
        tags = {feature.tag: feature.name for feature in FEATURES[family] if feature.tag}
        kept = []
        for name in _many(f"features[{family!r}]", names):
            name = tags.get(name, name)
            if name not in known:
                raise ArgumentError(f"features: {family} has no feature {name!r}{nearest(str(name), known)}")
            kept.append(name)
        chosen[family] = tuple(kept)
    return chosen


def _range(value: Any) -> tuple[float, float | None]:
    borders = _many("resegment", value)
    if len(borders) != 2:
        raise ArgumentError(f"resegment: must be (low, high), got {value!r}")
    low, high = finite("resegment", borders[0]), None if borders[1] is None else finite("resegment", borders[1])
    if high is not None and high < low:
        raise ArgumentError(f"resegment: low must not be above high, got {value!r}")
    return low, high
