"""Measures of one volume for quality control: noise, blur, slices, the body and its field, a perceptual hash.

Noise: the standard deviation by the median absolute response of Immerkaer's mask (J. Immerkaer, Fast noise variance
estimation, Computer Vision and Image Understanding 64, 1996, 300-302), which is blind to constant and linear parts of
the image; the median, not the mean, so that edges do not count (D. L. Donoho and I. M. Johnstone, Ideal spatial
adaptation by wavelet shrinkage, Biometrika 81, 1994, 425-455). Exact for white noise; noise that a kernel or an
interpolation has smoothed is told as less.

Blur: F. Crete, T. Dolmiere, P. Ladret and M. Nicolas, The blur effect: perception and estimation with a new
no-reference perceptual blur metric, Proc. SPIE 6492, 2007: how much of the difference of neighbours remains after a mean
over 9 of them; 0 sharp, 1 blurred. The difference of two neighbouring means is that of two pixels 9 apart, over 9.

Hash: signs of the low frequencies of the volume, a three-dimensional form of the hash by DCT in C. Zauner,
Implementation and benchmarking of perceptual image hash functions, thesis, Hagenberg 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..histogram import Histogram
from ..image import Image

__all__ = [
    "Body",
    "blur_of",
    "body_of",
    "canonical",
    "noise_of",
    "otsu",
    "perceptual_hash",
    "plain",
    "repeated",
    "sampled",
    "thinned",
]

Bools = npt.NDArray[np.bool_]

BODY_HU = -300.0
THIN = 128  # pixels along an edge of a thinned slice, at most
SLICES = 12  # for noise and blur
DEPTH = 64  # slices whose means make the hash, at most
REACH = 9  # neighbours of the mean in the blur metric
_MAD = 6 * 0.6744897501960817  # the mask's gain (its squares sum to 36) times the 3/4 quantile of the normal law
_CELLS = 32  # along each axis
_LOW = (4, 8, 8)  # frequencies kept: 255 without the constant


def thinned(volume: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """Every n-th row and column, and n."""
    step = max(1, -(-max(volume.shape[-2:]) // THIN))
    return np.ascontiguousarray(volume[..., ::step, ::step]), step


def sampled(count: int, among: Bools) -> npt.NDArray[np.int64]:
    """At most `count` positions that are true, evenly spread."""
    places = np.flatnonzero(among)
    if len(places) <= count:
        return places
    return places[np.linspace(0, len(places) - 1, count).round().astype(np.int64)]


def repeated(volume: npt.NDArray[Any], thin: npt.NDArray[Any]) -> tuple[list[int], list[tuple[int, int]]]:
    """Slices of one single value, and pairs of slices with the same voxels.

    Parameters
    ----------
    volume, thin : (z, y, x)
        The volume, and what `thinned` makes of it: only slices that agree there are compared whole.
    """
    flat = thin.reshape(len(thin), -1)
    even = [k for k in np.flatnonzero((flat == flat[:, :1]).all(axis=1)) if _even(volume[k])]
    seen: dict[bytes, int] = {}
    pairs = []
    for k in range(len(thin)):
        if k in even:
            continue
        first = seen.setdefault(thin[k].tobytes(), k)
        if first != k and np.array_equal(volume[first], volume[k]):
            pairs.append((first, k))
    return [int(k) for k in even], pairs


def _even(plane: npt.NDArray[Any]) -> bool:
    return bool((plane == plane.flat[0]).all())


def noise_of(slices: npt.NDArray[np.float32], inside: Bools) -> float:
    """Standard deviation of the noise, in the image's unit; NaN where there is too little to measure.

    Parameters
    ----------
    slices : float32 (n, y, x)
    inside : bool (n, y, x)
        Where it is measured.
    """
    if min(slices.shape[1:]) < 3:
        return float("nan")
    found = []
    for plane, here in zip(slices, inside, strict=True):
        rows = plane[:-2] - 2 * plane[1:-1] + plane[2:]
        response = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
        found.append(np.abs(response[here[1:-1, 1:-1]]))
    values = np.concatenate(found)
    return float(np.median(values)) / _MAD if values.size >= 256 else float("nan")


def blur_of(slices: npt.NDArray[np.float32]) -> float:
    """0 (sharp) to 1 (blurred): the median over slices of the larger of both directions; NaN for tiny or even ones."""
    found = []
    for plane in slices:
        ends = [_blur(plane), _blur(plane.T)]
        if all(np.isfinite(ends)):
            found.append(max(ends))
    return float(np.median(found)) if found else float("nan")


def _blur(plane: npt.NDArray[np.float32]) -> float:
    """Along the first axis, where the mean over 9 lies inside the plane."""
    if len(plane) <= REACH:
        return float("nan")
    half = REACH // 2
    sharp = np.abs(plane[half + 1 : -half] - plane[half : -half - 1])
    blurred = np.abs(plane[REACH:] - plane[:-REACH]) / np.float32(REACH)
    total = float(sharp.sum(dtype=np.float64))
    if total == 0:
        return float("nan")
    return 1.0 - float(np.maximum(sharp - blurred, 0).sum(dtype=np.float64)) / total


@dataclass
class Body:
    """Where the patient is, on thinned slices."""

    threshold: float
    inside: Bools  # voxels above the threshold that hang together
    air: Bools  # around the body: what hangs together with the rim of the field
    edge: float  # largest share of a side of the field that the body touches


def body_of(thin: npt.NDArray[Any], unit: str | None, padding: Bools | None) -> Body:
    """The largest region above -300 HU, or above Otsu's threshold (N. Otsu, IEEE Trans. SMC 9, 1979, 62-66).

    Otsu's is taken of means over 3 x 3, so that noise is no body. The field is the slice without padding, and without
    the corners around a round reconstruction. Its rim is split in four sides; slices without body do not count.
    """
    from scipy import ndimage

    from .. import labels

    field = np.ones(thin.shape, bool) if padding is None else ~padding
    field &= ~_corners(thin)
    threshold = BODY_HU
    if unit != "HU":
        thin = ndimage.uniform_filter(thin.astype(np.float32), (1, 3, 3))
        threshold = otsu(thin[field])
    above = (thin > threshold) & field
    inside = np.asarray(labels.largest(above.astype(np.uint8), connectivity=6)) != 0 if above.any() else above
    rim = _rim(field)
    parts = np.asarray(labels.components((~above).astype(np.uint8), connectivity=6))
    outer = np.zeros(int(parts.max()) + 1, bool)
    outer[parts[rim | ~field]] = True
    outer[0] = False  # the body's own voxels
    air = outer[parts]
    return Body(float(threshold), inside, air, _touched(inside, rim))


def otsu(values: npt.NDArray[Any]) -> float:
    """The threshold between two classes of values that parts their means best, over 256 bins."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size or finite.min() == finite.max():
        return float("inf")
    span = float(finite.min()), float(finite.max())
    counts = Histogram.of(finite, bins=256, range=span).counts
    edges = np.linspace(*span, 257)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = finite.size - below
    sums = np.cumsum(counts * middles)
    apart = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1 + int(np.argmax(below * above * apart**2))])


def _corners(thin: npt.NDArray[Any]) -> Bools:
    """Pixels outside of a round field: the lowest value in every slice, all of them beyond the inscribed circle."""
    low = thin.min()
    even = (thin == low).all(axis=0)
    rows, columns = even.shape
    y, x = np.ogrid[:rows, :columns]
    away = np.hypot((y - (rows - 1) / 2) / (rows / 2), (x - (columns - 1) / 2) / (columns / 2))
    corners = even[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    if not corners or even[away < 0.95].mean() > 0.01 or even[away > 1.05].mean() < 0.95:
        return np.zeros(thin.shape, bool)
    return np.broadcast_to(even, thin.shape)


def _rim(field: Bools) -> Bools:
    """Voxels of the field with a neighbour in their slice that is none."""
    wide = np.pad(field, ((0, 0), (1, 1), (1, 1)))
    core = wide[:, :-2, 1:-1] & wide[:, 2:, 1:-1] & wide[:, 1:-1, :-2] & wide[:, 1:-1, 2:]
    rim: Bools = field & ~core
    return rim


def _touched(inside: Bools, rim: Bools) -> float:
    shown = inside.any(axis=(1, 2))
    if not shown.any():
        return 0.0
    rows, columns = rim.shape[1:]
    y, x = np.ogrid[:rows, :columns]
    down, right = 2 * y - (rows - 1), 2 * x - (columns - 1)
    steep = np.abs(down) * max(columns - 1, 1) >= np.abs(right) * max(rows - 1, 1)
    sides = (steep & (down < 0), steep & (down >= 0), ~steep & (right < 0), ~steep & (right >= 0))
    shares = []
    for side in sides:
        own = rim[shown] & side
        count = np.count_nonzero(own)
        shares.append(np.count_nonzero(own & inside[shown]) / count if count else 0.0)
    return float(max(shares))


def canonical(volume: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Axes in the order foot to head, front to back, right to left (of LPS, each rising), as near as the grid allows."""
    axes = np.abs(affine[:3, :3])
    order, free = [0, 0, 0], {0, 1, 2}
    for world in np.argsort(-axes.max(axis=1)):
        own = max(free, key=lambda axis: axes[world, axis])
        order[2 - world] = own
        free.remove(own)
    turned = volume.transpose(order)
    flips = tuple(slice(None, None, 1 if affine[2 - k, order[k]] >= 0 else -1) for k in range(3))
    return turned[flips]


def perceptual_hash(volume: npt.NDArray[Any], affine: npt.NDArray[np.float64], unit: str | None) -> bytes | None:
    """32 bytes that copies share which were scaled, resampled, turned or compressed; None for an even volume.

    Parameters
    ----------
    volume : (z, y, x)
        Finite.
    affine : 4x4
    unit : str or None
        HU are cut at -1000 and 1000, others at their 1 % and 99 %.
    """
    from scipy.fft import dctn

    low, high = (-1000.0, 1000.0) if unit == "HU" else np.percentile(thinned(volume)[0], (1, 99))
    # Means over cells of a grid of fixed size, slab by slab, whatever the volume's own axes; then its axes are turned.
    chosen = sampled(DEPTH, np.ones(len(volume), bool))
    small = np.stack([_reduced(volume[k], low, high) for k in chosen])
    small = canonical(_along(small, 0, _CELLS), affine)
    small = _along(small, 0, _CELLS // 2)
    waves = dctn(np.asarray(small, np.float64), norm="ortho")[: _LOW[0], : _LOW[1], : _LOW[2]].ravel()[1:]
    if np.abs(waves).max() < 1e-6 * max(1.0, abs(low), abs(high)):
        return None
    return np.packbits(np.append(waves > np.median(waves), False)).tobytes()


def _reduced(plane: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float32]:
    cut = plane.astype(np.float32)
    np.clip(cut, np.float32(low), np.float32(high), out=cut)
    rows, columns = _shares(cut.shape[0], _CELLS), _shares(cut.shape[1], _CELLS)
    return np.asarray(rows @ cut @ columns.T, np.float32)


def _along(volume: npt.NDArray[Any], axis: int, want: int) -> npt.NDArray[Any]:
    return np.moveaxis(np.tensordot(_shares(volume.shape[axis], want), volume, (1, axis)), 0, axis)


@lru_cache(maxsize=64)
def _shares(have: int, want: int) -> npt.NDArray[np.float32]:
    """(want, have): how much of each of `have` cells lies in each of `want`, rows summing to one."""
    edges = np.linspace(0, have, want + 1)
    start, stop = edges[:-1, None], edges[1:, None]
    cells = np.arange(have)
    inside = np.clip(np.minimum(stop, cells + 1) - np.maximum(start, cells), 0, None)
    return np.asarray(inside / inside.sum(axis=1, keepdims=True), np.float32)


def plain(image: Image) -> npt.NDArray[Any]:
    """The first volume (z, y, x) of an image; what is not finite becomes its least finite value."""
    array = np.asarray(image.array)
    volume: npt.NDArray[Any] = array.reshape(-1, *array.shape[-3:])[0]
    if volume.dtype.kind == "f" and not np.isfinite(volume).all():
        finite = np.isfinite(volume)
        volume = np.where(finite, volume, volume[finite].min() if finite.any() else 0)
    return volume
