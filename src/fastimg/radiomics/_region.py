"""From image, mask and settings to the region that the families measure: checked, resampled, cropped, binned."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import array_of, native
from ..errors import ArgumentError, DeviceError, GeometryError
from ..image import Image
from . import _native, _peer
from ._label import bounding_box, channel_of, labelled
from ._settings import Settings

__all__ = ["Levels", "Region", "region_of"]

Array = npt.NDArray[Any]
_MOST_LEVELS = 65535
_KINDS = ("uint8", "int16", "uint16", "int32", "float32", "float64")
_WIDEST = 1 << 22  # bins of a histogram of intensities: 32 MB


@dataclass
class Levels:
    """Grey levels 1 to `count` in a box with a border of `pad` zeros; 0 is outside the region."""

    array: Any  # uint8 or uint16, (z, y, x), on the image's device
    pad: int
    count: int
    voxels: npt.NDArray[np.int64]  # of each level


@dataclass
class Region:
    """A region and its surroundings, cropped to `box`, slices first."""

    image: Any  # the whole image, after resampling, on its device
    box: tuple[slice, slice, slice]
    mask_there: Any  # morphological mask in the box, beside the image
    inside_there: Any  # intensity mask in the box, beside the image
    spacing: tuple[float, float, float]
    source: Image  # the whole image, after resampling, axes as they came
    order: tuple[int, int, int] = (0, 1, 2)  # of the source's axes in `image`

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """Of the source."""
        return self.source.affine

    def whole(self) -> npt.NDArray[np.bool_]:
        """The intensity mask in the source's grid."""
        mask = np.zeros(self.image.shape, bool)
        mask[self.box] = self.inside
        return np.asarray(mask.transpose(np.argsort(self.order)))

    def upright(self) -> Region:
        """The same region with its axes z, y, x, as morphology names its planes."""
        if self.order == (0, 1, 2):
            return self
        back = tuple(int(axis) for axis in np.argsort(self.order))
        xp = _dispatch.namespace(self.image)
        mask, inside = (xp.ascontiguousarray(part.transpose(back)) for part in (self.mask_there, self.inside_there))
        box = (self.box[back[0]], self.box[back[1]], self.box[back[2]])
        spacing = (self.spacing[back[0]], self.spacing[back[1]], self.spacing[back[2]])
        return Region(self.source.array, box, mask, inside, spacing, self.source)

    def around(self, margin_mm: float) -> tuple[slice, slice, slice]:
        """The region's box, and so much of the image around it, in the source's grid."""
        cut = [
            slice(max(edge.start - math.ceil(margin_mm / step), 0), min(edge.stop + math.ceil(margin_mm / step), n))
            for edge, step, n in zip(self.box, self.spacing, self.image.shape, strict=True)
        ]
        back = np.argsort(self.order)
        return cut[back[0]], cut[back[1]], cut[back[2]]

    def on(self, response: Array, cut: tuple[slice, slice, slice]) -> Region:
        """The same region in a response in a part of the source's grid."""
        array = native(native(response).transpose(self.order))
        if array.dtype.name not in _KINDS:
            array = array.astype(np.float64)
        starts = [cut[axis].start for axis in self.order]
        z, y, x = (slice(e.start - s, e.stop - s) for e, s in zip(self.box, starts, strict=True))
        region = dataclasses.replace(self, image=array, box=(z, y, x))
        if array.dtype.kind == "f" and not np.isfinite(region.values).all():
            raise ArgumentError(
                "radiomics: a filter's response holds NaN or infinite values in the region; fill those of the image first"
            )
        return region

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The morphological mask on the host."""
        return np.asarray(_dispatch.move(self.mask_there, "cpu"))

    @cached_property
    def inside(self) -> npt.NDArray[np.bool_]:
        """The intensity mask on the host."""
        return (
            self.mask if self.inside_there is self.mask_there else np.asarray(_dispatch.move(self.inside_there, "cpu"))
        )

    @property
    def crop(self) -> Any:
        """The image in the box, on its device."""
        return self.image[self.box]

    @property
    def on_host(self) -> bool:
        """Whether the image lives in the host's memory."""
        return _dispatch.device(self.image) == "cpu"

    @cached_property
    def values(self) -> npt.NDArray[np.float64]:
        """Of the intensity mask, in order of place."""
        if not self.on_host:
            return np.asarray(_dispatch.move(self.crop[self.inside_there].astype(np.float64), "cpu"))
        values = np.empty(int(np.count_nonzero(self.inside)))
        _native.gather(self.crop, self.inside.view(np.uint8), values)
        return values

    @cached_property
    def histogram(self) -> tuple[int, npt.NDArray[np.int64]] | None:
        """Least whole number inside and the counts of it and those after it; None for fractions and wide ranges."""
        if self.image.dtype.kind not in "iu":
            return None
        if not self.on_host:
            there = self.crop[self.inside_there].astype(np.int64)
            low, high = int(there.min()), int(there.max())
            if high - low >= _WIDEST:
                return None
            bins = _dispatch.namespace(there).bincount(there - low)
            return low, np.asarray(_dispatch.move(bins, "cpu")).astype(np.int64)
        crop, inside = self.crop, self.inside.view(np.uint8)
        low, high = _native.range_inside(crop, inside)
        if high - low >= _WIDEST:
            return None
        counts = np.zeros(high - low + 1, np.int64)
        _native.count_inside(crop, inside, low, counts, 0)
        return low, counts

    @cached_property
    def counted(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """The distinct intensities in order, and how often each occurs."""
        if self.histogram is None:
            return _native.counted(np.sort(self.values))
        low, counts = self.histogram
        some = np.flatnonzero(counts)
        return (some + low).astype(np.float64), counts[some]


def region_of(image: Image, mask: Any, settings: Settings) -> Region:
    """Check everything and make the region; errors come before work."""
    image, array, box, selected = _checked(image, mask, settings)
    xp = _dispatch.namespace(array)
    if settings.normalize:
        image, array = _normalised(image, settings)
    if settings.spacing is not None or settings.pre_crop:
        whole = xp.zeros(array.shape, np.bool_)
        whole[box] = selected
        change = _peer.cropped
        if xp is not np and (settings.spacing is None or settings.compat == "pyradiomics"):
            raise DeviceError(
                "radiomics: PyRadiomics' resampling and pre_crop work on the CPU; move with to_device('cpu')"
            )
        if settings.spacing is not None:
            change = _peer.resampled if settings.compat == "pyradiomics" else _resampled
        image, whole = change(image.with_array(array), whole, settings)
        array = image.array
        box = bounding_box(whole)
        selected = xp.ascontiguousarray(whole[box])
    source = image if image.array is array else image.with_array(array)
    spacing = image.spacing
    order = (0, 1, 2)
    if settings.slice_axis and settings.dimension != "3D":
        order = (settings.slice_axis, *(a for a in range(3) if a != settings.slice_axis))  # type: ignore[assignment]
        # Rows of voxels lie together in what follows.
        array, selected = (xp.ascontiguousarray(each.transpose(order)) for each in (array, selected))
        spacing, box = (tuple(each[axis] for axis in order) for each in (spacing, box))  # type: ignore[assignment]
    inside = xp.ascontiguousarray(_resegmented(array[box], selected, settings))
    return Region(array, box, inside if settings.resegment_shape else selected, inside, spacing, source, order)


def _checked(
    image: Any, mask: Any, settings: Settings
) -> tuple[Image, Array, tuple[slice, slice, slice], npt.NDArray[np.bool_]]:
    """The image, its array, the region's box and the mask in it."""
    if not isinstance(image, Image):
        raise ArgumentError("radiomics: image must be an Image, because features need its spacing in mm")
    array = native(array_of(image))
    if array.dtype.name not in _KINDS:
        array = array.astype(np.float64)
    if array.ndim != 3:
        raise ArgumentError(f"radiomics: image must have the axes z, y, x alone; it has {image.dims}")
    _ = image.direction  # refuses a sheared grid
    labels = channel_of(array_of(mask, "mask"), settings)
    if isinstance(mask, Image):
        mask = mask if labels is mask.array else Image(labels, mask.affine)
        if not _same_grid(image, mask, settings.geometry_tolerance):
            if not settings.resample_mask:
                raise GeometryError(f"radiomics: mask and image are on different grids: {_grids(image, mask)}")
            from ..resampling import resample

            labels = resample(mask, like=image, order="nearest").array
    elif tuple(labels.shape) != tuple(array.shape):
        raise GeometryError(f"radiomics: mask has shape {tuple(labels.shape)}, image {tuple(array.shape)}")
    _dispatch.namespace(array, labels)  # raises where the mask lives elsewhere
    count, box, selected = labelled(labels, settings.label)
    if count < settings.minimum_size:
        raise ArgumentError(
            f"radiomics: the region has {count} voxels, fewer than minimum_size={settings.minimum_size}"
        )
    long = sum(edge.stop - edge.start > 1 for edge in box)
    if long < settings.minimum_dimensions:
        raise ArgumentError(
            f"radiomics: the region is longer than one voxel in {long} axes, fewer than "
            f"minimum_dimensions={settings.minimum_dimensions}"
        )
    if array.dtype.kind == "f" and not _dispatch.namespace(array).isfinite(array[box][selected]).all():
        raise ArgumentError(
            "radiomics: the region holds NaN or infinite intensities; fill them or leave them out of the mask"
        )
    if image.padding is not None:
        selected = selected & ~image.padding[box]
        if not selected.any():
            raise ArgumentError("radiomics: all voxels of the region are padding")
        inner = bounding_box(selected)
        selected = _dispatch.namespace(selected).ascontiguousarray(selected[inner])
        box = tuple(  # type: ignore[assignment]
            slice(outer.start + edge.start, outer.start + edge.stop) for outer, edge in zip(box, inner, strict=True)
        )
    return image, array, box, selected


def _same_grid(image: Image, mask: Image, tolerance: float | None) -> bool:
    if tolerance is None or image.shape != mask.shape:
        return image.same_grid(mask)
    # ITK's rule (itk::ImageBase::IsCongruentImageGeometry), which PyRadiomics' tolerance goes to.
    pairs = ((image.origin, mask.origin), (image.spacing, mask.spacing))
    apart = max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs)
    turned = float(np.abs(np.subtract(image.direction, mask.direction)).max())
    return apart <= tolerance * image.spacing[2] and turned <= tolerance


def _grids(image: Image, mask: Image) -> str:
    def told(grid: Image) -> str:
        spacing, origin = ([round(value, 4) for value in values] for values in (grid.spacing, grid.origin))
        return f"shape {tuple(grid.shape)}, spacing (z, y, x) {spacing} mm, origin (x, y, z) {origin} mm"

    return f"image {told(image)}; mask {told(mask)}; resample one, or allow it with resample_mask=True"


def _normalised(image: Image, settings: Settings) -> tuple[Image, Array]:
    """PyRadiomics' normalisation: over the whole image, standard deviation with n - 1 (as sitk.Normalize)."""
    array = image.array.astype(np.float64)
    deviation = array.std(ddof=1)
    if not deviation > 0:
        raise ArgumentError("radiomics: normalize needs an image that is not constant")
    array = (array - array.mean()) / deviation
    if settings.normalize_outliers is not None:
        array = array.clip(-settings.normalize_outliers, settings.normalize_outliers)
    array = array * settings.normalize_scale
    return image.with_array(array), array


def _resampled(
    image: Image, selected: npt.NDArray[np.bool_], settings: Settings
) -> tuple[Image, npt.NDArray[np.bool_]]:
    """Both on a grid of the wanted spacing, centred as the old one (IBSI reference manual 2.4)."""
    from ..resampling import resample

    assert settings.spacing is not None
    old = np.array(image.spacing)
    new = np.where(np.array(settings.spacing) > 0, settings.spacing, old)
    shape = np.ceil(np.array(image.shape) * old / new - 1e-9).astype(int)
    affine = image.affine.copy()
    affine[:3, :3] = affine[:3, :3] / old * new
    first = 0.5 * ((np.array(image.shape) - 1) * old - (shape - 1) * new) / old
    affine[:3, 3] = image.affine[:3, :3] @ first + image.affine[:3, 3]
    grid: dict[str, Any] = {"affine": affine, "shape": tuple(int(n) for n in shape)}
    edge = "edge"
    moved = resample(
        image.with_array(image.array.astype(np.float64), padding=None), order=settings.order, cval=edge, **grid
    )
    partial = resample(image.with_array(selected.astype(np.float64), padding=None), order="linear", cval=edge, **grid)
    array = _dispatch.namespace(moved.array).rint(moved.array) if settings.round_intensities else moved.array
    inside = partial.array >= settings.mask_threshold
    if not inside.any():
        raise ArgumentError("radiomics: no voxel of the region is left after resampling; take a smaller spacing")
    return moved.with_array(array), inside


def _resegmented(crop: Array, selected: npt.NDArray[np.bool_], settings: Settings) -> npt.NDArray[np.bool_]:
    inside = selected
    if settings.resegment is not None:
        values = crop[selected]
        low, high = (None if border is None else _border(values, border, settings) for border in settings.resegment)
        inside = selected & (crop >= low)
        if high is not None:
            inside &= crop <= high
        if not inside.any():
            raise ArgumentError(f"radiomics: no voxel of the region lies within resegment={settings.resegment}")
    if settings.outlier_sigma is not None:
        values = crop[inside].astype(np.float64)
        mean, reach = values.mean(), settings.outlier_sigma * values.std()
        inside = inside & (crop >= mean - reach) & (crop <= mean + reach)
        if not inside.any():
            raise ArgumentError(f"radiomics: no voxel lies within outlier_sigma={settings.outlier_sigma}")
    return inside


def _border(values: Array, border: float, settings: Settings) -> float:
    if settings.resegment_mode == "relative":
        return float(values.max()) * border
    if settings.resegment_mode == "sigma":
        return float(values.mean(dtype=np.float64) + values.std(dtype=np.float64) * border)
    return border


def levels_of(region: Region, settings: Settings) -> Levels:
    """The grey levels of the intensity mask (IBSI reference manual 2.7)."""
    edges = _edges(region, settings)
    _allowed(len(edges))
    pad = max(settings.distances)
    shape = tuple(n + 2 * pad for n in region.inside_there.shape)
    levels = _dispatch.namespace(region.image).zeros(shape, np.uint8 if len(edges) <= 255 else np.uint16)
    fill = _fill if region.on_host else _fill_there
    voxels = fill(region, edges, pad, levels)
    count = len(edges) if settings.bin_number is not None else int(np.flatnonzero(voxels)[-1]) + 1
    return Levels(levels, pad, count, voxels[:count])


def _table(histogram: tuple[int, Array], edges: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The level of each whole number from the histogram's lowest on, and how many voxels each level has."""
    low, counts = histogram
    level = np.searchsorted(edges, np.arange(low, low + len(counts)), "right")
    return level, np.bincount(level, counts, len(edges) + 1)[1:].astype(np.int64)  # exact below 2^53


def _fill(region: Region, edges: Array, pad: int, levels: Array) -> npt.NDArray[np.int64]:
    inside = region.inside.view(np.uint8)
    if region.histogram is None:
        voxels = np.zeros(len(edges), np.int64)
        _native.discretise(region.values, inside, edges, pad, levels, voxels)
        return voxels
    level, voxels = _table(region.histogram, edges)
    _native.look_up_inside(region.crop, inside, region.histogram[0], level.astype(levels.dtype), pad, levels, 0)
    return voxels


def _fill_there(region: Region, edges: Array, pad: int, levels: Any) -> npt.NDArray[np.int64]:
    """On a GPU."""
    xp, inside = _dispatch.namespace(levels), region.inside_there
    box = levels[pad:-pad, pad:-pad, pad:-pad]
    if region.histogram is None:
        level = xp.searchsorted(xp.asarray(edges), region.crop.astype(np.float64).reshape(-1), side="right")
        box[...] = level.reshape(inside.shape) * inside
        counts = np.asarray(_dispatch.move(xp.bincount(box.reshape(-1), minlength=len(edges) + 1), "cpu"))
        return counts[1:].astype(np.int64)
    table, voxels = _table(region.histogram, edges)
    places = xp.where(inside, region.crop.astype(np.int64) - region.histogram[0], 0)
    box[...] = xp.asarray(table.astype(levels.dtype))[places] * inside
    return voxels


def _edges(region: Region, settings: Settings) -> npt.NDArray[np.float64]:
    """The lower edges of the levels."""
    low, high = float(region.counted[0][0]), float(region.counted[0][-1])
    width = 25.0 if settings.bin_width is None else settings.bin_width
    if settings.bin_number is not None:
        _allowed(settings.bin_number)
        if settings.compat == "pyradiomics":
            extremes = np.array([low, high]).astype(region.image.dtype)
            return np.histogram_bin_edges(extremes, settings.bin_number)[:-1].astype(np.float64)
        return np.asarray(
            low + np.arange(settings.bin_number if high > low else 1) * (high - low) / settings.bin_number
        )
    _allowed(int(min((high - low) / width, 2.0**40)))
    if (
        settings.compat == "pyradiomics"
    ):  # its own expression, on its own types, so that rounding at an edge is the same
        least, most = np.array([low, high]).astype(region.image.dtype)
        return np.arange(least - (least % width), most + 2 * width, width).astype(np.float64)
    if settings.resegment is not None and settings.resegment_mode == "absolute":
        low = settings.resegment[0]
        _allowed(int(min((high - low) / width, 2.0**40)))
    return np.asarray(low + np.arange(int((high - low) / width) + 2) * width)


def _allowed(count: int) -> None:
    if count > _MOST_LEVELS:
        raise ArgumentError(
            f"radiomics: about {count} grey levels are more than {_MOST_LEVELS}; take a larger bin_width"
        )
