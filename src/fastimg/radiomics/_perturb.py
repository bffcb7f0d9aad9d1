"""Perturbed regions and images, and how far features agree over them.

Chains of Zwanenburg et al., Assessing robustness of radiomic features by image perturbation, Sci. Rep. 9:614, 2019:
noise, rotation, translation, growth and shrinkage of the volume, randomisation of the contour by supervoxels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import array_of, finite
from ..errors import ArgumentError, GeometryError
from ..image import Image
from ._label import labelled

__all__ = ["add_noise", "grow", "icc", "move", "noise_level", "perturbations", "randomise_contour", "robustness"]

Array = npt.NDArray[Any]


def _pair(image: Any, mask: Any, label: int | None = None) -> npt.NDArray[np.bool_]:
    if not isinstance(image, Image) or image.array.ndim != 3:
        raise ArgumentError("image: expected an Image with the axes z, y, x")
    labels = array_of(mask, "mask")
    if tuple(labels.shape) != image.shape or (isinstance(mask, Image) and not image.same_grid(mask)):
        raise GeometryError(f"mask: expected the image's grid, shape {image.shape}, got {tuple(labels.shape)}")
    _, box, inside = labelled(labels, label)
    selected = np.zeros(image.shape, bool)
    selected[box] = inside
    return selected


def noise_level(image: Image) -> float:
    """Standard deviation of an image's noise, from its finest diagonal wavelet band in each slice.

    Chang, Yu and Vetterli, IEEE Trans. Image Process. 9(9), 2000: median absolute value / 0.6745.
    """
    from ..filtering import stationary_wavelet

    band = stationary_wavelet(image, family="coif1", axes=(2, 1))["HH"].array
    return float(np.median(np.abs(band)) / 0.6745)


def add_noise(image: Image, *, level: float | None = None, seed: int) -> Image:
    """Normal noise of a standard deviation, by default of the image's own `noise_level`; float64.

    Parameters
    ----------
    image : Image
        Real numbers.
    level : float, optional
        The standard deviation in the image's unit, 0 or more. Default: `noise_level(image)`.
    seed : int
        Of NumPy's generator: the same seed, the same noise.

    Returns
    -------
    Image, float64

    Raises
    ------
    ArgumentError
        A level that is negative or not finite.
    """
    deviation = noise_level(image) if level is None else finite("level", level)
    if deviation < 0:
        raise ArgumentError(f"level: must be 0 or more, got {level!r}")
    rng = np.random.default_rng(seed)
    return image.with_array(image.array + rng.normal(0, deviation, image.shape))


def move(
    image: Image, mask: Any, *, degrees: float = 0.0, shift: Sequence[float] = (0, 0, 0), label: int | None = None
) -> tuple[Image, Image]:
    """Image and mask as they would lie on a grid that is rotated in its slices and shifted.

    Parameters
    ----------
    image, mask
        On one grid.
    degrees : float
        Turn about the z axis through the grid's centre; the grid turns, the patient stays.
    shift : (z, y, x), fractions of a voxel
        Of the grid.
    label : int, optional
        The region's value. Default: the only one that is not 0.

    Returns
    -------
    Image, Image
        The image (float64, linear interpolation, border repeated) and the mask (uint8, linear, cut at 0.5).

    Raises
    ------
    ArgumentError
        `shift` is not (z, y, x).
    """
    from ..resampling import resample

    selected = _pair(image, mask, label)
    angle = math.radians(finite("degrees", degrees))
    steps = [finite("shift", part) for part in shift]
    if len(steps) != 3:
        raise ArgumentError(f"shift: expected (z, y, x), got {shift!r}")
    step = np.array(image.spacing)
    unit = image.affine[:3, :3] / step  # columns: directions of z, y, x in the world
    turn = np.eye(3)
    turn[1:, 1:] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    centre = (np.array(image.shape) - 1) / 2
    affine = image.affine.copy()
    affine[:3, :3] = unit @ turn * step
    middle = image.affine[:3, :3] @ (centre + steps) + image.affine[:3, 3]
    affine[:3, 3] = middle - affine[:3, :3] @ centre
    grid: dict[str, Any] = {"affine": affine, "shape": image.shape, "order": "linear"}
    moved = resample(image.with_array(image.array.astype(np.float64), padding=None), cval="edge", **grid)
    share = resample(image.with_array(selected.astype(np.float64), padding=None), cval=0.0, **grid)
    return moved, share.with_array((share.array >= 0.5 - 1e-9).astype(np.uint8))


def grow(image: Image, mask: Any, *, fraction: float, label: int | None = None) -> Image:
    """A mask whose volume is larger (or, below 0, smaller) by a fraction, the nearest voxels to its border first.

    Distances in mm from the border; among voxels equally far the first in the array's order. uint8.

    Parameters
    ----------
    image : Image (z, y, x)
        Gives the grid and its spacing; its voxels are not looked at.
    mask : Image or array (z, y, x)
        On the image's grid.
    fraction : float
        Of the region's voxels that are added, or taken away; above -1. At least one voxel stays.
    label : int, optional
        The region's value. Default: the only one that is not 0.

    Returns
    -------
    Image, uint8
        1 in the region, else 0.

    Raises
    ------
    ArgumentError
        A fraction of -1 or less, or from 1024 on; no voxel of the label, or several labels and none chosen.
    GeometryError
        A mask on another grid.
    """
    from scipy.ndimage import distance_transform_edt

    selected = _pair(image, mask, label)
    change = finite("fraction", fraction)
    if not -1 < change < 1 << 10:
        raise ArgumentError(f"fraction: must be above -1, got {fraction!r}")
    count = round(int(selected.sum()) * abs(change))
    result = selected.copy()
    side = selected if change < 0 else ~selected
    count = min(count, int(side.sum()) - (change < 0))
    if count > 0:
        distance = distance_transform_edt(np.pad(side, 1, constant_values=change > 0), image.spacing)[1:-1, 1:-1, 1:-1]
        places = np.flatnonzero(side)
        nearest = places[np.argsort(distance.reshape(-1)[places], kind="stable")[:count]]
        result.reshape(-1)[nearest] = change > 0
    return image.with_array(result.astype(np.uint8), padding=None)


def randomise_contour(
    image: Image, mask: Any, *, seed: int, size_mm: float = 5.0, label: int | None = None, rounds: int = 5
) -> Image:
    """A mask made of whole supervoxels, each taken with the probability that it overlaps the region.

    Supervoxels: simple linear iterative clustering (SLIC, Achanta et al. 2012) of intensity and place around the region,
    in three dimensions, about `size_mm` wide. One that lies at least 90 % inside is always taken, one at most 20 % never;
    the largest connected part is kept, and the region itself where nothing is. uint8.

    Parameters
    ----------
    image : Image (z, y, x)
        Real numbers.
    mask : Image or array (z, y, x)
        On the image's grid.
    seed : int
        Of NumPy's generator: the same seed, the same mask.
    size_mm : float
        Width of a supervoxel in mm, above 0.
    label : int, optional
        The region's value. Default: the only one that is not 0.
    rounds : int
        How often voxels are given to the nearest supervoxel and its centre is moved.

    Returns
    -------
    Image, uint8
        1 in the region, else 0.

    Raises
    ------
    ArgumentError
        A width that is not above 0; no voxel of the label, or several labels and none chosen.
    GeometryError
        A mask on another grid.
    """
    selected = _pair(image, mask, label)
    width = finite("size_mm", size_mm)
    if width <= 0:
        raise ArgumentError(f"size_mm: must be above 0, got {size_mm!r}")
    step = np.array(image.spacing)
    places = np.nonzero(selected)
    reach = np.ceil(2 * width / step).astype(int)
    box = tuple(slice(max(int(p.min()) - r, 0), int(p.max()) + r + 1) for p, r in zip(places, reach, strict=True))
    values, inside = image.array[box].astype(np.float64), selected[box]
    names = _supervoxels(values, step, width, rounds)
    total = np.bincount(names.reshape(-1))
    share = np.bincount(names.reshape(-1), inside.reshape(-1), len(total)) / np.maximum(total, 1)
    chance = np.where(share >= 0.9, 1.0, np.where(share <= 0.2, 0.0, share))
    taken = np.random.default_rng(seed).random(len(chance)) < chance
    chosen = _largest(taken[names])
    result = np.zeros(image.shape, np.uint8)
    result[box] = chosen if chosen.any() else inside
    return image.with_array(result, padding=None)


def _largest(mask: Array) -> Array:
    from scipy.ndimage import label

    names, count = label(mask)
    return np.asarray(names == 1 + np.bincount(names.reshape(-1))[1:].argmax()) if count else mask


def _supervoxels(values: Array, step: Array, width: float, rounds: int) -> npt.NDArray[np.int64]:
    """SLIC with centres on a grid of `width` mm: intensity over its spread against distance over the width."""
    shape = values.shape
    cells = [max(1, round(n * s / width)) for n, s in zip(shape, step, strict=True)]
    edges = [np.minimum(np.arange(n) * c // n, c - 1) for n, c in zip(shape, cells, strict=True)]
    home = edges[0][:, None, None] * (cells[1] * cells[2]) + edges[1][:, None] * cells[2] + edges[2]
    grid = np.indices(shape).reshape(3, -1).T * step
    flat, names = values.reshape(-1), home.reshape(-1).astype(np.int64)
    spread = max(float(values.std()), 1e-12)
    cell = np.stack([e[i] for e, i in zip(edges, np.indices(shape), strict=True)]).reshape(3, -1)
    count = math.prod(cells)
    for _ in range(rounds):
        size = np.maximum(np.bincount(names, minlength=count), 1)
        mean = np.bincount(names, flat, count) / size
        centre = np.stack([np.bincount(names, grid[:, a], count) / size for a in range(3)], axis=1)
        best = np.full(flat.shape, np.inf)
        for offset in np.ndindex(3, 3, 3):
            near = cell + np.array(offset)[:, None] - 1
            valid = ((near >= 0) & (near < np.array(cells)[:, None])).all(axis=0)
            name = np.where(valid, (near[0] * cells[1] + near[1]) * cells[2] + near[2], 0)
            far = ((flat - mean[name]) / spread) ** 2 + (((grid - centre[name]) / width) ** 2).sum(axis=1)
            far[~valid] = np.inf
            closer = far < best
            best[closer], names[closer] = far[closer], name[closer]
    return names.reshape(shape)


def perturbations(
    image: Image,
    mask: Any,
    *,
    seed: int,
    rotations: Sequence[float] = (0.0,),
    shifts: Sequence[float] = (0.0,),
    fractions: Sequence[float] = (0.0,),
    noise: int = 0,
    contours: int = 0,
    label: int | None = None,
) -> Iterator[tuple[dict[str, Any], Image, Image]]:
    """All combinations of perturbations, each with what was done.

    Parameters
    ----------
    image, mask
        On one grid.
    seed : int
        Of noise and contours: the same seed, the same masks.
    rotations : sequence of float, degrees
    shifts : sequence of float, fractions of a voxel
        All combinations along y and x.
    fractions : sequence of float
        Growth of the volume.
    noise, contours : int
        Repetitions with noise, and with randomised contours; 0 for none.
    label : int, optional
        The region's value.

    Yields
    ------
    dict, Image, Image
        Parameters, image and mask (uint8, label 1).
    """
    selected = image.with_array(_pair(image, mask, label).astype(np.uint8), padding=None)
    deviation = noise_level(image) if noise else 0.0
    streams = np.random.SeedSequence(seed)
    for repeat in range(max(noise, 1)):
        noisy = add_noise(image, level=deviation, seed=_drawn(streams)) if noise else image
        for degrees in rotations:
            for dy in shifts:
                for dx in shifts:
                    turned, share = noisy, selected
                    if degrees or dy or dx:
                        turned, share = move(noisy, selected, degrees=degrees, shift=(0, dy, dx))
                    for fraction in fractions:
                        sized = grow(turned, share, fraction=fraction) if fraction else share
                        for contour in range(max(contours, 1)):
                            drawn = randomise_contour(turned, sized, seed=_drawn(streams)) if contours else sized
                            told = {"noise": repeat, "degrees": degrees, "shift": (dy, dx)}
                            yield {**told, "fraction": fraction, "contour": contour}, turned, drawn


def _drawn(streams: np.random.SeedSequence) -> int:
    return int(streams.spawn(1)[0].generate_state(1, np.uint64)[0])


def robustness(cases: Sequence[tuple[Image, Any]], settings: Any = None, *, seed: int, **chain: Any) -> Any:
    """Intraclass correlation of every feature over the same perturbations of several cases.

    Parameters
    ----------
    cases : sequence of (image, mask)
        At least two.
    settings : Settings, optional
        As for `extract`.
    seed : int
        Of the perturbations.
    **chain
        As for `perturbations`.

    Returns
    -------
    dict
        Feature name to ICC(1,1), `icc`; NaN where a value is not finite in any run.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> rng = np.random.default_rng(0)
    >>> mask = np.zeros((8, 12, 12), np.uint8)
    >>> mask[2:6, 3:9, 3:9] = 1
    >>> cases = [(fi.Image(rng.normal(n, 1 + n, mask.shape)), mask) for n in range(4)]
    >>> chosen = fi.radiomics.Settings(bin_number=8, families=["firstorder"])
    >>> found = fi.radiomics.robustness(cases, chosen, seed=1, rotations=(-4, 4))
    >>> bool(found["original_firstorder_Mean"] > 0.9)
    True
    """
    from ._extract import extract

    if len(cases) < 2:
        raise ArgumentError("cases: an intraclass correlation needs two or more")
    table: list[list[dict[str, float]]] = []
    for image, mask in cases:
        runs = perturbations(image, mask, seed=seed, **chain)
        table.append([extract(seen, drawn, settings) for _, seen, drawn in runs])
    if len(table[0]) < 2:
        raise ArgumentError("robustness: name two or more perturbations, as rotations=(-4, 4)")
    return {name: icc([[run[name] for run in case] for case in table])[0] for name in table[0][0]}


def icc(ratings: npt.ArrayLike, *, form: str = "1,1", confidence: float = 0.95) -> tuple[float, float, float]:
    """Intraclass correlation coefficient with its confidence interval.

    Parameters
    ----------
    ratings : array (subjects, raters)
        No missing values.
    form : "1,1", "2,1", "3,1", "1,k", "2,k" or "3,k"
        One-way random, two-way random, two-way mixed; of one rater or of the mean of all.
    confidence : float
        Of the interval.

    Returns
    -------
    float, float, float
        Coefficient, lower and upper limit; NaN where the ratings are not finite or all alike.

    Raises
    ------
    ArgumentError
        Fewer than two subjects or raters, an unknown form, or a confidence outside 0 to 1.

    Notes
    -----
    Shrout and Fleiss, Intraclass correlations, Psychol. Bull. 86(2), 1979; interval of ICC(2, .) after McGraw and Wong,
    Psychol. Methods 1(1), 1996.

    Examples
    --------
    >>> import fastimg as fi
    >>> table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> round(fi.radiomics.icc(table)[0], 2), round(fi.radiomics.icc(table, form="3,1")[0], 2)
    (0.17, 0.71)
    """
    from scipy.stats import f as fisher

    x = np.asarray(ratings, np.float64)
    if x.ndim != 2 or min(x.shape) < 2:
        raise ArgumentError(f"ratings: expected two or more subjects and raters, got shape {x.shape}")
    if form not in ("1,1", "2,1", "3,1", "1,k", "2,k", "3,k"):
        raise ArgumentError(f"form: one of 1,1 2,1 3,1 1,k 2,k 3,k; got {form!r}")
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence: must lie between 0 and 1, got {confidence!r}")
    n, k = x.shape
    nothing = (math.nan,) * 3
    if not np.isfinite(x).all():
        return nothing
    rows, columns, grand = x.mean(axis=1), x.mean(axis=0), x.mean()
    between = k * ((rows - grand) ** 2).sum() / (n - 1)
    within = ((x - rows[:, None]) ** 2).sum() / (n * (k - 1))
    raters = n * ((columns - grand) ** 2).sum() / (k - 1)
    rest = ((x - rows[:, None] - columns + grand) ** 2).sum() / ((n - 1) * (k - 1))
    if between == 0 and within == 0:
        return nothing
    tail = 1 - (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        if form[0] == "2":
            value = (between - rest) / (between + (k - 1) * rest + k * (raters - rest) / n)
            low, high = _two_way(between, raters, rest, value, n, k, tail)
        else:
            error, freedom = (within, n * (k - 1)) if form[0] == "1" else (rest, (n - 1) * (k - 1))
            value = (between - error) / (between + (k - 1) * error)
            ratio = between / error
            lower, upper = ratio / fisher.ppf(tail, n - 1, freedom), ratio * fisher.ppf(tail, freedom, n - 1)
            low, high = ((part - 1) / (part + k - 1) if np.isfinite(part) else 1.0 for part in (lower, upper))
    if form.endswith("k"):
        value, low, high = (k * part / (1 + (k - 1) * part) for part in (value, low, high))
    return float(value), float(low), float(high)


def _two_way(
    between: float, raters: float, rest: float, value: float, n: int, k: int, tail: float
) -> tuple[float, float]:
    from scipy.stats import f as fisher

    ratio = raters / rest
    numerator = (n - 1) * (k - 1) * (k * value * ratio + n * (1 + (k - 1) * value) - k * value) ** 2
    freedom = numerator / ((n - 1) * k**2 * value**2 * ratio**2 + (n * (1 + (k - 1) * value) - k * value) ** 2)
    lower, upper = fisher.ppf(tail, n - 1, freedom), fisher.ppf(tail, freedom, n - 1)
    spread = k * raters + (k * n - k - n) * rest
    return (
        n * (between - lower * rest) / (lower * spread + n * between),
        n * (upper * between - rest) / (spread + n * upper * between),
    )
