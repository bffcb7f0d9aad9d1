"""Texture families: matrices of levels, aggregated over directions and slices as the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from . import _native
from ._region import Levels, Region
from ._settings import Settings

__all__ = ["glcm", "offsets_of"]

Array = npt.NDArray[Any]
# What PyRadiomics adds inside logarithms: numpy.spacing(1).
_EPSILON = float(np.spacing(1))


def offsets_of(distances: tuple[int, ...], dimension: str, *, both: bool = False) -> npt.NDArray[np.int32]:
    """Offsets (z, y, x) of the neighbours at the Chebyshev distances; one of each opposite pair, unless `both`."""
    found = []
    for distance in distances:
        steps = range(-distance, distance + 1)
        for offset in ((z, y, x) for z in steps for y in steps for x in steps):
            if (
                max(map(abs, offset)) == distance
                and (dimension == "3D" or offset[0] == 0)
                and (both or offset > (0, 0, 0))
            ):
                found.append(offset)
    return np.array(found, np.int32).reshape(-1, 3)


def _parts(levels: Levels, settings: Settings) -> Iterator[tuple[int, int]]:
    """The ranges of slices that have a matrix of their own."""
    slices = levels.array.shape[0] - 2 * levels.pad
    if settings.dimension != "2D":
        yield 0, slices
        return
    filled = np.any(levels.array, axis=(1, 2)).tolist()
    for z in range(slices):
        if filled[z + levels.pad]:
            yield z, z + 1


def _weights(offsets: Array, region: Region, weighting: str) -> npt.NDArray[np.float64]:
    """The length of each offset in mm."""
    steps = np.abs(offsets) * np.array(region.spacing)
    if weighting == "infinity":
        return np.asarray(steps.max(1))
    if weighting == "manhattan":
        return np.asarray(steps.sum(1))
    if weighting == "euclidean":
        return np.asarray(np.sqrt((steps**2).sum(1)))
    return np.ones(len(offsets))


def _merged(counts: Array, settings: Settings) -> bool:
    return settings.aggregation in ("2D, slice-merged", "2.5D, merged", "3D, merged")


def glcm(region: Region, levels: Levels, settings: Settings, *, threads: int) -> npt.NDArray[np.float64]:
    """25 IBSI features and the maximal correlation coefficient."""
    leaf = _dispatch.pick(levels.array, leaf="radiomics")
    offsets = offsets_of(settings.distances, settings.dimension)
    epsilon = _EPSILON if settings.compat == "pyradiomics" else 0.0
    rows = []
    for part in _parts(levels, settings):
        counts = leaf.glcm(levels.array, levels.pad, offsets, part, levels.count, threads=threads)
        counts = _dispatch.move(counts, "cpu")
        if settings.symmetric:
            counts = counts + counts.transpose(0, 2, 1)
        if settings.weighting is not None:
            # PyRadiomics: exp(-length^2) for each norm.
            weights = np.exp(-(_weights(offsets, region, settings.weighting) ** 2))
            if settings.weighting == "no_weighting":
                weights = np.ones(len(offsets))
            matrices = (counts * weights[:, None, None]).sum(0, keepdims=True)
        elif _merged(counts, settings):
            matrices = counts.sum(0, keepdims=True).astype(np.float64)
        else:
            matrices = counts.astype(np.float64)
        matrices = np.ascontiguousarray(matrices[matrices.any(axis=(1, 2))])
        if len(matrices):
            rows.append(np.column_stack([_native.glcm_features(matrices, epsilon), _maximal_correlation(matrices)]))
    return np.concatenate(rows).mean(0) if rows else np.full(26, np.nan)


def _maximal_correlation(matrices: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Second largest singular value of p(i, j) / sqrt(px(i) py(j)); 1 where only one level occurs."""
    present = matrices.any(axis=(0, 2)) | matrices.any(axis=(0, 1))
    p = matrices[:, present][:, :, present]
    p = p / p.sum(axis=(1, 2), keepdims=True)
    if p.shape[1] < 2:
        return np.ones(len(p))
    px, py = p.sum(2), p.sum(1)
    scale = np.sqrt(px[:, :, None] * py[:, None, :])
    q = np.divide(p, scale, out=np.zeros_like(p), where=scale > 0)
    return np.linalg.svd(q, compute_uv=False)[:, 1]
