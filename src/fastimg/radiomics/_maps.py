"""Maps of features: every family that needs no shape, in a window around each voxel of the region."""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import choice, empty, thread_count
from ..errors import ArgumentError, DeviceError
from ..image import Image
from ._names import FEATURES, PEER
from ._region import Levels, Region, levels_of, region_of
from ._settings import Settings
from ._texture import direction_weights, flat_correlation, lengths_of, merges, offsets_of

__all__ = ["maps"]

Array = npt.NDArray[Any]
# In the order of csrc/radiomics/maps.hpp.
MAPPED = ("statistics", "glcm", "glrlm", "glszm", "ngldm", "ngtdm")


def maps(
    image: Image, mask: Any, settings: Settings | None = None, *, names: str = "pyradiomics", threads: int | None = None
) -> dict[str, Image]:
    """Voxel-based features: each feature of a window around every voxel of a region.

    Grey levels are those of the whole region. A window reaches `settings.kernel_radius` voxels to each side (within the
    slice only, for aggregations in 2D and 2.5D) and ends at the image's border; with `settings.masked_kernel` voxels
    outside the region take no part in it. What a window gives is what `extract` gives for it with these levels.

    Parameters
    ----------
    image : Image
        Axes z, y, x; any real dtype. On a GPU the GLCM is mapped: symmetric matrices of single directions (the default),
        of windows with at most 20 pairs a direction (radius 1; radius 2 within slices); the rest is an error there.
    mask : Image or array
        On the image's grid; the region is where it equals `settings.label`.
    settings : Settings, optional
        Default: `Settings()`. Families without maps (morphology, local, histogram, ivh, gldzm) are an error when named,
        except with `compat="pyradiomics"`, where shape is passed over as PyRadiomics does.
    names : "pyradiomics" or "ibsi"
        As for `extract`.
    threads : int, optional
        Default: `config.threads()`. Results do not depend on it.

    Returns
    -------
    dict
        Name to Image, float64, on the grid of the region's box with a margin of `kernel_radius` voxels (cut at the
        image's border). Voxels outside the region hold `settings.initial_value`. Memory: 8 bytes a voxel of that box and
        feature, and 10 bytes a voxel besides, whatever the batch; choose features to keep it small.

    Raises
    ------
    ArgumentError, GeometryError, DeviceError
        As `extract`.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> image = fi.Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    >>> chosen = fi.radiomics.Settings(bin_width=10, families=["glcm"], features={"glcm": ["Contrast"]})
    >>> found = fi.radiomics.maps(image, np.ones((3, 4, 5), np.uint8), chosen)
    >>> found["original_glcm_Contrast"].shape
    (3, 4, 5)
    """
    choice("names", names, ("pyradiomics", "ibsi"))
    settings = Settings() if settings is None else settings
    if not isinstance(settings, Settings):
        raise ArgumentError(f"settings: expected radiomics.Settings, got {type(settings).__name__}")
    families = _families(settings)
    if isinstance(image, Image) and image.device != "cpu" and families != ["glcm"]:
        raise DeviceError(
            f"maps on a GPU makes those of glcm alone, not of {', '.join(families)}: name families=['glcm'], or move image "
            "and mask with to_device('cpu')"
        )
    plain = dataclasses.replace(settings, slice_axis=0)  # windows know their flat axis themselves
    region = region_of(image, mask, plain)
    return _mapped(image, region, families, settings, names, threads=thread_count(threads))


def _families(settings: Settings) -> list[str]:
    wanted = settings.families or MAPPED
    others = [family for family in wanted if family not in MAPPED]
    if others and not (settings.compat == "pyradiomics" and others == ["morphology"]):
        raise ArgumentError(f"maps: {', '.join(others)} cannot be mapped; these can: {', '.join(MAPPED)}")
    return [family for family in MAPPED if family in wanted]


def _mapped(
    image: Image, region: Region, families: list[str], settings: Settings, names: str, *, threads: int
) -> dict[str, Image]:
    radius = settings.kernel_radius
    box = tuple(
        slice(max(edge.start - radius, 0), min(edge.stop + radius, n))
        for edge, n in zip(region.box, region.image.shape, strict=True)
    )
    kernel = region if settings.masked_kernel else _everywhere(region, box)  # type: ignore[arg-type]
    levels = levels_of(kernel, dataclasses.replace(settings, distances=(radius,)))
    boxes = levels.array.astype(np.uint16).reshape(-1)
    window = _window(settings, levels.array.shape)
    places = np.argwhere(region.inside) + np.array([edge.start for edge in region.box])
    centres = _flat(places - [edge.start for edge in kernel.box] + radius, levels.array.shape)
    shape = tuple(edge.stop - edge.start for edge in box)
    targets = _flat(places - [edge.start for edge in box], shape)

    chosen = [(family, _chosen(family, settings, names)) for family in families]
    chosen = [(family, slots) for family, slots in chosen if slots]
    out = empty((sum(len(slots) for _, slots in chosen), int(np.prod(shape))), np.float64, levels.array)
    out[...] = settings.initial_value
    options = _options(region, levels, settings)
    found: dict[str, Image] = {}
    for family, named in chosen:
        rows = out[len(found) : len(found) + len(named)]
        slots = np.full(len(FEATURES[family]), -1, np.int32)
        slots[list(named)] = np.arange(len(named))
        values = _padded_values(kernel, radius) if family == "statistics" else None
        leaf = _dispatch.pick(boxes, leaf="radiomics")
        leaf.map_features(
            MAPPED.index(family), boxes, values, window, options, centres, targets, slots, rows, threads=threads
        )
        found.update(
            {
                name: _placed(image, region, row.reshape(shape), box)
                for name, row in zip(named.values(), rows, strict=True)
            }
        )
    return found


def _everywhere(region: Region, box: tuple[slice, slice, slice]) -> Region:
    xp = _dispatch.namespace(region.image)
    inside = xp.ones(tuple(edge.stop - edge.start for edge in box), np.bool_)
    if region.image.dtype.kind == "f" and not xp.isfinite(region.image[box]).all():
        raise ArgumentError("maps: with masked_kernel=False the surroundings of the region may hold no NaN or infinity")
    return dataclasses.replace(region, box=box, mask_there=inside, inside_there=inside)


def _flat(places: Array, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.ravel_multi_index(tuple(places.T), shape).astype(np.int64)


def _padded_values(kernel: Region, radius: int) -> Array:
    values = np.zeros(tuple(n + 2 * radius for n in kernel.inside.shape))
    values[radius:-radius, radius:-radius, radius:-radius] = kernel.crop
    return values.reshape(-1)


def _chosen(family: str, settings: Settings, names: str) -> dict[int, str]:
    """Index of each wanted feature in its family, and its name."""
    kept = (settings.features or {}).get(family)
    if "StandardDeviation" in (kept or ()):
        raise ArgumentError("maps: StandardDeviation has no map; take the square root of Variance")
    chosen = {}
    for index, feature in enumerate(FEATURES[family]):
        if kept is not None and feature.name not in kept:
            continue
        if settings.compat == "pyradiomics" and feature.key not in PEER:
            continue
        if names == "pyradiomics":
            chosen[index] = f"original_{feature.kind}_{feature.name}"
        elif feature.tag is not None:
            chosen[index] = feature.tag
    return chosen


def _turned(offsets: Array, settings: Settings) -> Array:
    """Offsets within a slice lie at a right angle to `slice_axis`."""
    if settings.dimension != "3D" and settings.slice_axis:
        axes = [axis for axis in range(3) if axis != settings.slice_axis]
        turned = np.zeros_like(offsets)
        turned[:, axes] = offsets[:, 1:]
        return turned
    return offsets


def _window(settings: Settings, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """What csrc/radiomics/maps.hpp calls a Window: places, pairs, their begins, touching pairs, lines, their begins."""
    radius = settings.kernel_radius
    reach = [0 if settings.dimension != "3D" and axis == settings.slice_axis else radius for axis in range(3)]
    cells = list(product(*(range(-r, r + 1) for r in reach)))
    index = {cell: i for i, cell in enumerate(cells)}
    steps = np.array([shape[1] * shape[2], shape[2], 1])
    places = (np.array(cells) * steps).sum(1).astype(np.int64)

    def pairs_of(offset: Array) -> list[int]:
        found = []
        for cell, i in index.items():
            other = index.get((cell[0] + offset[0], cell[1] + offset[1], cell[2] + offset[2]))
            if other is not None:
                found += [i, other]
        return found

    pairs: list[int] = []
    begins, lines, line_begins = [0], [], [0]
    for offset in _turned(offsets_of(settings.distances, settings.dimension), settings).tolist():
        pairs += pairs_of(offset)
        begins.append(len(pairs) // 2)
    touching: list[int] = []
    for direction in _turned(offsets_of((1,), settings.dimension), settings).tolist():
        joined = pairs_of(direction)
        touching += joined
        after = dict(zip(joined[::2], joined[1::2], strict=True))
        for start in set(range(len(cells))) - set(after.values()):
            cell: int | None = start
            while cell is not None:
                lines.append(cell)
                cell = after.get(cell)
            lines.append(-1)
        line_begins.append(len(lines))
    small = [np.array(part, np.int32) for part in (pairs, begins, touching, lines, line_begins)]
    return places, *small


def _options(region: Region, levels: Levels, settings: Settings) -> tuple[Any, ...]:
    peer = settings.compat == "pyradiomics"
    pairs = _turned(offsets_of(settings.distances, settings.dimension), settings)
    lines = _turned(offsets_of((1,), settings.dimension), settings)
    pair_weights = direction_weights(pairs, region, settings)
    line_weights = None if settings.weighting is None else lengths_of(lines, region, settings.weighting)
    volume = float(np.prod(region.spacing))
    return (
        levels.count,
        settings.alpha,
        settings.symmetric,
        merges(settings),
        peer,
        pair_weights,
        line_weights,
        settings.shift,
        volume,
        flat_correlation(levels, settings),
    )


def _placed(image: Image, region: Region, array: Array, box: tuple[slice, ...]) -> Image:
    affine = region.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [edge.start for edge in box]
    return Image(array, affine)
