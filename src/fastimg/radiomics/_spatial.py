"""Where intensities lie: local peaks (IBSI reference manual 3.2), Moran's I and Geary's C (3.1.25, 3.1.26)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _dispatch, config
from . import _native
from ._region import Region

__all__ = ["REACH", "autocorrelation", "local"]

REACH = (3 / (4 * math.pi)) ** (1 / 3) * 10  # radius of a sphere of 1 cm3, in mm


def local(region: Region, *, threads: int) -> dict[str, float]:
    """Both peaks; voxels outside the region count, voxels outside the image do not exist."""
    margin = [int(REACH / step) + 1 for step in region.spacing]
    shape = tuple(edge.stop - edge.start + 2 * m for edge, m in zip(region.box, margin, strict=True))
    around, inside = np.full(shape, np.nan), np.zeros(shape, np.uint8)
    source, target = [], []
    for edge, m, n in zip(region.box, margin, region.image.shape, strict=True):
        begin, end = max(edge.start - m, 0), min(edge.stop + m, n)
        source.append(slice(begin, end))
        target.append(slice(begin - edge.start + m, end - edge.start + m))
    around[tuple(target)] = _dispatch.move(region.image[tuple(source)], "cpu")
    inside[tuple(slice(m, -m) for m in margin)] = region.inside
    peak, highest = _native.local_peaks(around, inside, np.array(region.spacing), REACH, threads)
    return {"loc_peak_loc": peak, "loc_peak_glob": highest}


def autocorrelation(region: Region, *, threads: int) -> dict[str, float]:
    """Moran's I and Geary's C with weights 1 / distance over all pairs of voxels, none left out.

    A sum over pairs whose weight depends on their offset alone is a correlation: with the transforms W of the weights, M
    of the mask and X of the centred intensities, sum w x_i x_j = sum W |X|^2 / N, and so on. Undefined for one voxel.
    """
    from scipy import fft

    workers = threads or config.threads()

    voxels = region.values.size
    centred = np.zeros(region.inside.shape)
    centred[region.inside] = region.values - region.values.mean()
    squares = float((centred**2).sum())
    if voxels < 2 or squares == 0:
        return {"morph_moran_i": math.nan, "morph_geary_c": math.nan}
    lengths: tuple[int, ...] = centred.shape
    shape = [int(fft.next_fast_len(2 * length - 1, real=True)) for length in lengths]
    steps: list[Any] = [
        (np.minimum(np.arange(n), n - np.arange(n)) * step) ** 2 for n, step in zip(shape, region.spacing, strict=True)
    ]
    weight = steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None]
    weight[0, 0, 0] = np.inf
    np.divide(1, np.sqrt(weight, out=weight), out=weight)
    transformed = fft.rfftn(weight, overwrite_x=True, workers=workers).real
    # A real transform keeps one of each pair of opposite frequencies: the others count twice.
    transformed[..., 1 : (shape[2] + 1) // 2] *= 2
    size = math.prod(shape)
    mask = fft.rfftn(region.inside.astype(np.float64), shape, workers=workers)
    total = float((transformed * _power(mask)).sum()) / size
    of_squares = fft.rfftn(centred**2, shape, workers=workers)
    cross = float((transformed * (of_squares.real * mask.real + of_squares.imag * mask.imag)).sum()) / size
    del mask, of_squares
    product = float((transformed * _power(fft.rfftn(centred, shape, workers=workers))).sum()) / size
    return {
        "morph_moran_i": voxels / total * product / squares,
        "morph_geary_c": (voxels - 1) / (2 * total) * (2 * cross - 2 * product) / squares,
    }


def _power(transform: np.ndarray) -> np.ndarray:
    return transform.real**2 + transform.imag**2
