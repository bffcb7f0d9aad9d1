"""The public function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from ..image import Image
from ._plan import Plan

__all__ = ["resample"]


def resample(
    image: Image,
    *,
    spacing: float | Sequence[float] | None = None,
    like: Image | None = None,
    affine: npt.ArrayLike | None = None,
    shape: Sequence[int] | None = None,
    order: str | int = "linear",
    antialias: bool = False,
    rounding: str = "nearest",
    cval: float | str = 0.0,
    half_pixel: bool = False,
    displacement: Any = None,
    out: Any = None,
    threads: int | None = None,
) -> Image:
    """Resample to another grid.

    Parameters
    ----------
    image : Image
        Any real dtype; leading axes are resampled one volume after another.
    spacing : float or (z, y, x), mm, optional
        The target grid: same directions, voxel 0 at the same place, floor((n - 1) * old / new) + 1 voxels an axis, so
        that no voxel's centre leaves the range of the old centres. `shape` replaces the number of voxels.
    like : Image, optional
        The target grid is this image's.
    affine, shape : (4, 4) array_like and (z, y, x), optional
        The target grid itself; (k, j, i, 1) to LPS mm.
    order : "nearest" | "label" | "linear" | "cubic" | 2 | 3 | 4 | 5
        Nearest sample (halves go up, as SimpleITK's), the label with the most linear weight (the argmax of the linearly
        resampled one-hot volumes; ties: the first along z, y, x; with `antialias` all samples under the Gaussian vote),
        linear, or B-spline of that degree ("cubic" is 3) through all samples. B-splines
        take samples outside the volume as mirrored at the outermost centres, as SimpleITK's and SciPy's mode="mirror".
    antialias : bool
        Along source axes where the target's samples are further apart (by the factor f), first smooth with a Gaussian of
        sigma^2 = (f^2 - 1) / (8 ln 2) voxels^2 (Cardoso et al., MICCAI 2015), cut at 4 sigma, the border repeated
        (B-splines: mirrored): scipy.ndimage.gaussian_filter with mode="nearest" ("mirror").
    rounding : "nearest" | "truncate"
        For integer voxels: to the nearest whole number (halves to even), or towards zero as SimpleITK does.
    cval : float or "edge"
        Value outside the volume; "edge": that of the nearest voxel. The volume ends half a voxel outside the outermost
        centres, as in ITK: in that rim "linear" gives the outermost voxel's value, B-splines go on.
    half_pixel : bool
        With spacing= or shape=: keep the volume's outer border instead of voxel 0's centre, floor(n * old / new)
        voxels: torch's interpolate(align_corners=False) with cval="edge", scipy.ndimage.zoom(grid_mode=True).
    displacement : array (z, y, x, 3), mm, optional
        For each voxel of the target a vector (x, y, z) in LPS that is added to its world point before the image is
        looked up there: SimpleITK's DisplacementFieldTransform on the target's grid. NaN is outside.
    out : Image or array, optional
        Of the image's dtype and the target's shape; must not overlap the image.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image
        Of the same dtype and unit, on the target grid. Integers saturate.

        An image with `padding` keeps one: padded voxels are left out. "linear" divides by the weight of the others, and
        where that is below one half the result is padding and has the nearest voxel's value. "nearest" resamples the
        padding itself; B-splines do too, and before it padded voxels take the value of the nearest other one in their
        row, column or stack. What lies outside the volume is padding.

    Raises
    ------
    ArgumentError
        No or more than one target grid, an unknown option, labels that would be averaged, a cval the dtype cannot hold.
    GeometryError
        A singular affine, a volume without voxels, a turned grid whose voxels lie more than 1e6 of the image's apart.
    FastimgError
        A result above `config.memory_limit()`.

    See Also
    --------
    fastimg.resampling.Plan : the same prepared once for many volumes; fused rescaling; volumes larger than memory.

    Notes
    -----
    NaN is a value like others: a result is NaN where a NaN sample has a share, so B-splines, whose coefficients take the
    whole volume, spread it. Give such voxels as the image's `padding` to leave them out.

    Arithmetic is float32 for voxels of 8 or 16 bits and float32, float64 for others and for rounding="truncate"; sums
    run along y, then x, then z (turned grids: z, y, x). The bits are the same on any number of threads, at any instruction-set level and on the
    GPU.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> image = fi.Image(np.arange(4, dtype=np.float32).reshape(4, 1, 1), spacing=(2, 1, 1))
    >>> fi.resample(image, spacing=(1, 1, 1)).array.ravel()
    array([0. , 0.5, 1. , 1.5, 2. , 2.5, 3. ], dtype=float32)
    """
    plan = Plan(
        image,
        spacing=spacing,
        like=like,
        affine=affine,
        shape=shape,
        order=order,
        antialias=antialias,
        rounding=rounding,
        cval=cval,
        half_pixel=half_pixel,
    )
    return plan(image, displacement=displacement, out=out, threads=threads)
