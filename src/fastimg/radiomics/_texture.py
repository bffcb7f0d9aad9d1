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

__all__ = [
    "direction_weights",
    "flat_correlation",
    "glcm",
    "glrlm",
    "lengths_of",
    "merges",
    "ngldm_ngtdm",
    "offsets_of",
    "zones",
]

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
    filled: list[bool] = levels.array.any(axis=(1, 2)).tolist()
    for z in range(slices):
        if filled[z + levels.pad]:
            yield z, z + 1


def merges(settings: Settings) -> bool:
    """Whether the matrices of all directions are added before features are computed of them."""
    return settings.aggregation in ("2D, slice-merged", "2.5D, merged", "3D, merged")


def lengths_of(offsets: Array, region: Region, weighting: str) -> npt.NDArray[np.float64]:
    """The length of each offset in mm."""
    steps = np.abs(offsets) * np.array(region.spacing)
    if weighting == "infinity":
        return np.asarray(steps.max(1))
    if weighting == "manhattan":
        return np.asarray(steps.sum(1))
    if weighting == "euclidean":
        return np.asarray(np.sqrt((steps**2).sum(1)))
    return np.ones(len(offsets))


def direction_weights(offsets: Array, region: Region, settings: Settings) -> npt.NDArray[np.float64] | None:
    """Of GLCM offsets, as PyRadiomics: exp(-length^2), 1 for "no_weighting"."""
    if settings.weighting is None:
        return None
    lengths = lengths_of(offsets, region, settings.weighting)
    return np.ones(len(offsets)) if settings.weighting == "no_weighting" else np.exp(-(lengths**2))


def glcm(region: Region, levels: Levels, settings: Settings, *, threads: int) -> npt.NDArray[np.float64]:
    """25 IBSI features and the maximal correlation coefficient."""
    leaf = _dispatch.pick(levels.array, leaf="radiomics")
    offsets = offsets_of(settings.distances, settings.dimension)
    flat, rows = flat_correlation(levels, settings), []
    for part in _parts(levels, settings):
        counts = leaf.glcm(levels.array, levels.pad, offsets, part, levels.count, threads=threads)
        counts = _dispatch.move(counts, "cpu")
        if settings.symmetric:
            counts = counts + counts.transpose(0, 2, 1)
        matrices = _aggregated(counts, direction_weights(offsets, region, settings), settings)
        if len(matrices):
            features = _native.glcm_features(matrices, _epsilon(settings), threads)
            rows.append(np.column_stack([features, _maximal_correlation(matrices, flat, threads)]))
    return np.concatenate(rows).mean(0) if rows else np.full(26, np.nan)


def glrlm(region: Region, levels: Levels, settings: Settings, *, threads: int) -> npt.NDArray[np.float64]:
    """16 features of run lengths."""
    leaf = _dispatch.pick(levels.array, leaf="radiomics")
    directions = offsets_of((1,), settings.dimension)
    rows = []
    for part in _parts(levels, settings):
        counts = leaf.glrlm(levels.array, levels.pad, directions, part, levels.count, threads=threads)
        counts = _dispatch.move(counts, "cpu")
        if settings.compat == "pyradiomics":
            kept = [
                row[:, 1:].any() or _has_line(region.inside, step) for step, row in zip(directions, counts, strict=True)
            ]
            counts[~np.array(kept)] = 0
        weights = None if settings.weighting is None else lengths_of(directions, region, settings.weighting)
        matrices = _aggregated(counts, weights, settings)
        if len(matrices):
            rows.append(_native.size_features_of_matrices(matrices, 0, _epsilon(settings))[:, :16])
    return np.concatenate(rows).mean(0) if rows else np.full(16, np.nan)


def _has_line(inside: npt.NDArray[np.bool_], step: Array) -> bool:
    """Whether two voxels lie on one line along a direction: PyRadiomics leaves out the directions without any."""
    places = np.argwhere(inside)
    axis = int(np.flatnonzero(step)[0])
    feet = places - (places[:, axis] * step[axis])[:, None] * step
    return len(np.unique(feet, axis=0)) < len(places)


def zones(
    region: Region, levels: Levels, settings: Settings, *, threads: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """16 features of zone sizes, and 16 of zone distances (IBSI reference manual 3.8 and 3.9)."""
    leaf = _dispatch.pick(levels.array, leaf="radiomics")
    flat = settings.dimension != "3D"
    distances = None
    if settings.compat == "ibsi":
        distances = leaf.taxicab(region.mask_there.view(np.uint8), flat, threads=threads)
    by_size, by_distance = [], []
    for part in _parts(levels, settings):
        (level, size, zones_of), (tone, far, zones_at) = leaf.zone_tallies(
            levels.array, levels.pad, flat, part, distances, levels.count
        )
        by_size.append(_native.size_features_of_entries(level, size, zones_of, 0, _epsilon(settings))[:16])
        if distances is not None:
            voxels = float((size * zones_of).sum())
            by_distance.append(_native.size_features_of_entries(tone, far, zones_at, voxels, 0)[:16])
    return np.mean(by_size, axis=0), np.mean(by_distance, axis=0) if by_distance else np.full(16, np.nan)


def ngldm_ngtdm(
    levels: Levels, settings: Settings, *, threads: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """17 features of dependences and 5 of differences to the neighbours' mean, from one sweep."""
    leaf = _dispatch.pick(levels.array, leaf="radiomics")
    offsets = offsets_of(settings.distances, settings.dimension, both=True)
    dependences, differences = [], []
    for part in _parts(levels, settings):
        tables = leaf.neighbours(levels.array, levels.pad, offsets, part, levels.count, settings.alpha, threads=threads)
        dependent, valid, apart = _dispatch.move(tables, "cpu")
        matrix = np.ascontiguousarray(dependent[None], np.float64)
        dependences.append(_native.size_features_of_matrices(matrix, float(dependent.sum()), _epsilon(settings))[0])
        differences.append(_tone_differences(valid, apart, settings.compat == "pyradiomics"))
    return np.mean(dependences, axis=0), np.mean(differences, axis=0)


def _tone_differences(valid: Array, apart: Array, lonely: bool) -> npt.NDArray[np.float64]:
    """Coarseness, contrast, busyness, complexity, strength (IBSI reference manual 3.10).

    Voxels without a neighbour in the region count only where `lonely` (PyRadiomics: with a difference of 0). A region
    of one level has coarseness 1e6 and 0 elsewhere.
    """
    n = valid[:, 0 if lonely else 1 :].sum(1)
    level = np.flatnonzero(n) + 1.0
    s = (apart[:, 1:] / np.arange(1, apart.shape[1])).sum(1)[n > 0]
    n = n[n > 0]
    voxels = n.sum()
    if voxels == 0:
        return np.array([1e6, 0.0, 0.0, 0.0, 0.0])
    p = n / voxels
    weighted, total, kinds = float((p * s).sum()), float(s.sum()), len(p)
    between = np.abs(level[:, None] - level[None])
    contrast = (p[:, None] * p[None] * between**2).sum() * total / voxels
    spread = np.abs((level * p)[:, None] - (level * p)[None]).sum()
    both = p[:, None] + p[None]
    complexity = (between * ((p * s)[:, None] + (p * s)[None]) / both).sum() / voxels
    return np.array(
        [
            1 / weighted if weighted > 0 else 1e6,
            contrast / (kinds * (kinds - 1)) if kinds > 1 else 0.0,
            weighted / spread if spread > 0 else 0.0,
            complexity,
            (both * between**2).sum() / total if total > 0 else 0.0,
        ]
    )


def _epsilon(settings: Settings) -> float:
    return _EPSILON if settings.compat == "pyradiomics" else 0.0


def _aggregated(counts: Array, weights: Array | None, settings: Settings) -> npt.NDArray[np.float64]:
    """The matrices that features are computed of and averaged over; empty ones are left out."""
    if weights is not None:
        matrices = (counts * weights[:, None, None]).sum(0, keepdims=True)
    elif merges(settings):
        matrices = counts.sum(0, keepdims=True)
    else:
        matrices = counts
    return np.ascontiguousarray(matrices[matrices.any(axis=(1, 2))], np.float64)


def _maximal_correlation(matrices: npt.NDArray[np.float64], flat: float, threads: int) -> npt.NDArray[np.float64]:
    """Second largest singular value of p(i, j) / sqrt(px(i) py(j)); `flat` where only one level occurs."""
    rows, columns = matrices.any(axis=2), matrices.any(axis=1)
    if (matrices == matrices.transpose(0, 2, 1)).all():
        found = _native.maximal_correlation(matrices, threads)
    else:
        present = (rows | columns).any(axis=0)
        p = matrices[:, present][:, :, present]
        p = p / p.sum(axis=(1, 2), keepdims=True)
        scale = np.sqrt(p.sum(2)[:, :, None] * p.sum(1)[:, None, :])
        q = np.divide(p, scale, out=np.zeros_like(p), where=scale > 0)
        found = np.linalg.svd(q, compute_uv=False)[:, 1] if p.shape[1] > 1 else np.ones(len(p))
    found[(rows | columns).sum(1) < 2] = flat
    return found


def flat_correlation(levels: Levels, settings: Settings) -> float:
    """The maximal correlation where only one level occurs: 1; in PyRadiomics 0 if the region has others."""
    return 0.0 if settings.compat == "pyradiomics" and np.count_nonzero(levels.voxels) > 1 else 1.0
