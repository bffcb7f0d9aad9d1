"""Contrast-limited adaptive histogram equalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _dispatch
from .._arrays import all_finite, choice, empty, finite, in_pieces, thread_count
from ..errors import ArgumentError
from ..histogram import moments
from ..histogram._select import NAN, selected
from ._intensity import finished, prepared

__all__ = ["clahe"]

_GREYS = 16383


def clahe(
    image: Any,
    mask: Any = None,
    *,
    tile: int | Sequence[int] | None = None,
    clip: float = 0.01,
    bins: int = 256,
    nan: str = "raise",
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Equalise contrast locally, in three dimensions (CLAHE; Zuiderveld, Graphics Gems IV, 1994).

    Each tile's histogram, clipped, gives a map of grey levels; a voxel goes through the maps of the (up to eight) tiles
    around it, mixed linearly. As scikit-image's equalize_adapthist, which it equals to 1e-4 (it rounds to 1/16383).

    Parameters
    ----------
    image : Image or array (..., z, y, x) or (y, x)
        Real numbers. Volumes of leading axes are equalised one by one.
    mask : Image or array, optional
        Non-zero voxels set the range and fill the histograms; the others are mapped too. Default: all but the padding
        of an Image. A tile without any keeps its brightness.
    tile : int or (z, y, x), optional
        Voxels of a tile along each axis; default an eighth of the image. A tile that reaches beyond the end sees the
        image mirrored there.
    clip : float
        The most that one bin may hold, as a share of a tile's voxels; 0: no limit. Higher means more contrast.
    bins : int
        Grey levels of the histograms, 2 to 256 (rounded as scikit-image does: 16384 // bins + 1 of 16384 levels each).
    nan : {"raise", "ignore"}
        What NaN and infinite values do: an error, or left out and kept as they are.
    out : Image or array, optional
        float32, same shape; must not overlap the image.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array, float32
        0 to 1; the least result is 0 and the greatest 1.

    Raises
    ------
    ArgumentError
        All of one value, no voxel left, a tile that is not positive, NaN with nan="raise".

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> volume = np.random.default_rng(0).gamma(2, 100, (20, 24, 28)).astype(np.int16)
    >>> seen = fi.harmonize.clahe(volume, clip=0.02)
    >>> float(seen.min()), float(seen.max())
    (0.0, 1.0)
    """
    choice("nan", nan, NAN)
    if not 0 <= finite("clip", clip) <= 1:
        raise ArgumentError(f"clip: a share of a tile's voxels, 0 to 1, got {clip!r}")
    if not 2 <= bins <= 256:
        raise ArgumentError(f"bins: must lie between 2 and 256, got {bins!r}")
    array, target = prepared(image, out)
    if array.ndim < 2:
        raise ArgumentError(f"clahe: expected (..., z, y, x) or (y, x), got shape {array.shape}")
    shape = (1,) * (3 - array.ndim) + array.shape[-3:]
    sizes = _tile(tile, shape, array.ndim)
    step = 1 + (_GREYS + 1) // int(bins)
    grid = (sizes, tuple(-(-n // k) for n, k in zip(shape, sizes, strict=True)), int(bins))
    inside = selected(image, mask)[1]
    volumes, results = array.reshape(-1, *shape), target.reshape(-1, *shape)
    masks = [None] * len(volumes) if inside is None else inside.reshape(len(volumes), -1)
    leaf = _dispatch.pick(array, leaf="harmonize")
    xp = _dispatch.namespace(array)
    team = thread_count(threads)
    for volume, chosen, result in zip(volumes, masks, results, strict=True):
        seen = moments(volume.reshape(-1), mask=chosen, nan=nan, threads=threads)
        if not seen.count:
            raise ArgumentError("mask: no voxel is left to measure")
        if not seen.max > seen.min:
            raise ArgumentError(f"clahe: the voxels that count have one value ({seen.min:g}); there is no contrast")
        holes = None
        if nan == "ignore" and not all_finite(volume, threads):
            holes = ~xp.isfinite(volume)
        where = chosen
        if holes is not None:
            sound = (~holes).reshape(-1).view(np.uint8)
            where = sound if chosen is None else chosen & sound
        grey = empty(shape, np.float32, array)
        leaf.clahe(
            *(volume, where, grey),
            *(seen.min, _GREYS / (seen.max - seen.min), 1 / step),
            grid,
            float(clip),
            threads=team,
        )
        kept = grey if holes is None else grey[~holes]
        ends = moments(kept.reshape(-1), threads=threads)
        span = np.float32(1 / (ends.max - ends.min) if ends.max > ends.min else 0.0)
        leaf.affine(grey, result, np.float32(ends.min), span, threads=team)
        _clip(result.reshape(-1), threads)
        if holes is not None:
            result[holes] = volume[holes]
    return finished(image, target)


def _clip(values: Any, threads: int | None) -> None:
    xp = _dispatch.namespace(values)
    in_pieces(lambda piece: xp.clip(values[piece], 0, 1, out=values[piece]), values, threads)


def _tile(tile: Any, shape: tuple[int, ...], axes: int) -> tuple[int, int, int]:
    if tile is None:
        sizes = [max(1, n // 8) for n in shape]
    elif isinstance(tile, (int, np.integer)):
        sizes = [int(tile)] * 3
    else:
        sizes = [1] * (3 - len(tile)) + [int(size) for size in tile]
        if len(tile) != min(axes, 3):
            raise ArgumentError(f"tile: expected one size or {min(axes, 3)}, got {tile!r}")
    if min(sizes) < 1:
        raise ArgumentError(f"tile: must be positive, got {tile!r}")
    z, y, x = (min(size, n) for size, n in zip(sizes, shape, strict=True))
    return z, y, x
