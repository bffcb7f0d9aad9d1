"""Twins of fastimg.radiomics: voxel by voxel, pair by pair."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "cooccurrences",
    "dependences",
    "diameters",
    "glcm_features",
    "moran_geary",
    "offsets",
    "run_lengths",
    "size_features",
    "statistics",
    "taxicab",
    "zones",
]

Levels = npt.NDArray[Any]
Place = tuple[int, ...]


def offsets(distances: tuple[int, ...] = (1,), dimension: str = "3D", *, both: bool = False) -> list[Place]:
    """Neighbours at the Chebyshev distances, in order of (z, y, x)."""
    found = []
    for distance in distances:
        for offset in product(range(-distance, distance + 1), repeat=3):
            if max(map(abs, offset)) != distance or (dimension == "2D" and offset[0] != 0):
                continue
            if both or offset > (0, 0, 0):
                found.append(offset)
    return found


def _at(levels: Levels, place: Place, offset: Place, times: int = 1) -> int:
    """The level there; 0 outside the array."""
    there = tuple(p + times * o for p, o in zip(place, offset, strict=True))
    return int(levels[there]) if all(0 <= t < n for t, n in zip(there, levels.shape, strict=True)) else 0


def cooccurrences(levels: Levels, distances: tuple[int, ...] = (1,), dimension: str = "3D") -> npt.NDArray[np.int64]:
    """The counts of `radiomics.cooccurrences`."""
    steps, n = offsets(distances, dimension), int(levels.max())
    counts = np.zeros((len(steps), n, n), np.int64)
    for k, step in enumerate(steps):
        for place in np.ndindex(levels.shape):
            i, j = int(levels[place]), _at(levels, place, step)
            if i and j:
                counts[k, i - 1, j - 1] += 1
    return counts


def run_lengths(levels: Levels, dimension: str = "3D") -> npt.NDArray[np.int64]:
    """The counts of `radiomics.run_lengths`."""
    steps = offsets((1,), dimension)
    counts = np.zeros((len(steps), int(levels.max()), max(levels.shape[dimension == "2D" :])), np.int64)
    for k, step in enumerate(steps):
        for place in np.ndindex(levels.shape):
            level = int(levels[place])
            if level == 0 or _at(levels, place, step, -1) == level:
                continue
            length = 1
            while _at(levels, place, step, length) == level:
                length += 1
            counts[k, level - 1, length - 1] += 1
    return counts


def dependences(
    levels: Levels, distances: tuple[int, ...] = (1,), dimension: str = "3D", alpha: int = 0
) -> npt.NDArray[np.int64]:
    """The tables of `radiomics.dependences`."""
    steps = offsets(distances, dimension, both=True)
    tables = np.zeros((3, int(levels.max()), len(steps) + 1), np.int64)
    for place in np.ndindex(levels.shape):
        level = int(levels[place])
        if level == 0:
            continue
        around = [other for step in steps if (other := _at(levels, place, step))]
        near = sum(abs(other - level) <= alpha for other in around)
        tables[0, level - 1, near] += 1
        tables[1, level - 1, len(around)] += 1
        tables[2, level - 1, len(around)] += abs(len(around) * level - sum(around))
    return tables


def taxicab(mask: npt.NDArray[Any], dimension: str = "3D") -> npt.NDArray[np.int64]:
    """Peel the mask: a voxel's distance is the round in which it lies at the edge."""
    left, out = mask != 0, np.zeros(mask.shape, np.int64)
    steps = [s for s in offsets(both=True) if sum(map(abs, s)) == 1 and not (dimension == "2D" and s[0])]
    while left.any():
        inner = left.copy()
        for place in np.argwhere(left):
            if any(_at(left, tuple(place), step) == 0 for step in steps):
                inner[tuple(place)] = False
        out[left] += 1
        left = inner
    return out


def zones(levels: Levels, mask: Any = None, dimension: str = "3D") -> list[tuple[int, int, int]]:
    """(level, size, distance) of each zone by flood fill, in the order of their first voxel."""
    far = taxicab(levels if mask is None else mask, dimension)
    steps, seen, found = offsets((1,), dimension, both=True), np.zeros(levels.shape, bool), []
    for start in np.ndindex(levels.shape):
        level = int(levels[start])
        if level == 0 or seen[start]:
            continue
        seen[start], todo, members = True, [start], []
        while todo:
            place = todo.pop()
            members.append(place)
            for step in steps:
                if _at(levels, place, step) == level:
                    there = tuple(p + s for p, s in zip(place, step, strict=True))
                    if not seen[there]:
                        seen[there] = True
                        todo.append(there)
        found.append((level, len(members), min(int(far[member]) for member in members)))
    return found


def glcm_features(counts: npt.NDArray[Any]) -> dict[str, float]:
    """The formulas of the IBSI reference manual 3.6 over one matrix, as they stand."""
    p = counts / counts.sum()
    n = len(p)
    i, j = np.meshgrid(np.arange(1.0, n + 1), np.arange(1.0, n + 1), indexing="ij")
    px, py = p.sum(1), p.sum(0)
    mx, my = (i * p).sum(), (j * p).sum()
    sx, sy = math.sqrt(((i - mx) ** 2 * p).sum()), math.sqrt(((j - my) ** 2 * p).sum())
    minus = np.array([p[np.abs(i - j) == k].sum() for k in range(n)])
    plus = np.array([p[i + j == k].sum() for k in range(2, 2 * n + 1)])
    k, s = np.arange(n), np.arange(2, 2 * n + 1)

    def entropy(q: Any) -> float:
        q = q[q > 0]
        return float(-(q * np.log2(q)).sum())

    both = px[:, None] * py[None]
    some = both > 0
    hx, hxy = max(entropy(px), entropy(py)), entropy(p)
    hxy1 = -(p[some] * np.log2(both[some])).sum()
    hxy2 = -(both[some] * np.log2(both[some])).sum()
    return {
        "cm_joint_max": p.max(),
        "cm_joint_avg": mx,
        "cm_joint_var": ((i - mx) ** 2 * p).sum(),
        "cm_joint_entr": hxy,
        "cm_diff_avg": (k * minus).sum(),
        "cm_diff_var": ((k - (k * minus).sum()) ** 2 * minus).sum(),
        "cm_diff_entr": entropy(minus),
        "cm_sum_avg": (s * plus).sum(),
        "cm_sum_var": ((s - (s * plus).sum()) ** 2 * plus).sum(),
        "cm_sum_entr": entropy(plus),
        "cm_energy": (p**2).sum(),
        "cm_contrast": ((i - j) ** 2 * p).sum(),
        "cm_dissimilarity": (np.abs(i - j) * p).sum(),
        "cm_inv_diff": (p / (1 + np.abs(i - j))).sum(),
        "cm_inv_diff_norm": (p / (1 + np.abs(i - j) / n)).sum(),
        "cm_inv_diff_mom": (p / (1 + (i - j) ** 2)).sum(),
        "cm_inv_diff_mom_norm": (p / (1 + (i - j) ** 2 / n**2)).sum(),
        "cm_inv_var": (p[i != j] / (i - j)[i != j] ** 2).sum(),
        "cm_corr": 1.0 if sx * sy == 0 else ((i - mx) * (j - my) * p).sum() / (sx * sy),
        "cm_auto_corr": (i * j * p).sum(),
        "cm_clust_tend": ((i + j - mx - my) ** 2 * p).sum(),
        "cm_clust_shade": ((i + j - mx - my) ** 3 * p).sum(),
        "cm_clust_prom": ((i + j - mx - my) ** 4 * p).sum(),
        "cm_info_corr1": 0.0 if hx == 0 else (hxy - hxy1) / hx,
        "cm_info_corr2": math.sqrt(max(0.0, 1 - math.exp(-2 * (hxy2 - hxy)))),
    }


def size_features(matrix: npt.NDArray[Any], voxels: float) -> list[float]:
    """The 17 formulas of 3.7 to 3.9 and 3.11 over one (level, size) matrix, as they stand."""
    total = matrix.sum()
    i = np.arange(1.0, matrix.shape[0] + 1)[:, None]
    j = np.arange(1.0, matrix.shape[1] + 1)[None]
    p = matrix / total
    rows, columns = matrix.sum(1), matrix.sum(0)
    some = p[p > 0]
    return [
        float(value)
        for value in (
            (p / j**2).sum(),
            (p * j**2).sum(),
            (p / i**2).sum(),
            (p * i**2).sum(),
            (p / i**2 / j**2).sum(),
            (p * i**2 / j**2).sum(),
            (p * j**2 / i**2).sum(),
            (p * i**2 * j**2).sum(),
            (rows**2).sum() / total,
            (rows**2).sum() / total**2,
            (columns**2).sum() / total,
            (columns**2).sum() / total**2,
            total / voxels,
            (p * (i - (p * i).sum()) ** 2).sum(),
            (p * (j - (p * j).sum()) ** 2).sum(),
            -(some * np.log2(some)).sum(),
            (p**2).sum(),
        )
    ]


def statistics(values: npt.NDArray[Any]) -> list[float]:
    """The 18 formulas of 3.3 over the values, as they stand."""
    x = np.sort(values.astype(np.float64))
    p10, p25, p75, p90 = np.percentile(x, (10, 25, 75, 90))
    mean, deviation, median = x.mean(), x.std(), np.median(x)
    inner = x[(x >= p10) & (x <= p90)]
    flat = x[0] == x[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return [
            float(value)
            for value in (
                mean,
                0 if flat else deviation**2,
                0 if flat else ((x - mean) ** 3).mean() / deviation**3,
                0 if flat else ((x - mean) ** 4).mean() / deviation**4 - 3,
                median,
                x[0],
                p10,
                p90,
                x[-1],
                p75 - p25,
                x[-1] - x[0],
                np.abs(x - mean).mean(),
                np.abs(inner - inner.mean()).mean() if inner.size else math.nan,
                np.abs(x - median).mean(),
                np.float64(0 if flat else deviation) / mean,
                (p75 - p25) / (p75 + p25),
                (x**2).sum(),
                math.sqrt((x**2).mean()),
            )
        ]


def moran_geary(
    values: npt.NDArray[Any], inside: npt.NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[float, float]:
    """Moran's I and Geary's C (3.1.25, 3.1.26), over every pair of voxels."""
    x = values[inside].astype(np.float64)
    places = np.argwhere(inside) * np.array(spacing)
    away = x - x.mean()
    n, total, product_sum, square_sum = len(x), 0.0, 0.0, 0.0
    for a in range(n):
        for b in range(n):
            if a != b:
                weight = 1 / float(np.linalg.norm(places[a] - places[b]))
                total += weight
                product_sum += weight * away[a] * away[b]
                square_sum += weight * (x[a] - x[b]) ** 2
    squares = float((away**2).sum())
    return n / total * product_sum / squares, (n - 1) / (2 * total) * square_sum / squares


def smallest_box(points: Any) -> float:
    """Volume of the smallest box with a face on a face of the convex hull: each face and edge in turn."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    best = np.inf
    for normal in hull.equations[:, :3]:
        axes = np.linalg.svd(normal[None])[2]
        height = np.ptp(points @ normal)
        flat = points @ axes[1:].T
        outline = flat[ConvexHull(flat).vertices]
        for a, b in zip(outline, np.roll(outline, -1, 0), strict=True):
            along = (b - a) / np.linalg.norm(b - a)
            best = min(best, height * np.ptp(flat @ along) * np.ptp(flat @ [-along[1], along[0]]))
    return float(best)


def diameters(mask: npt.NDArray[Any], spacing: tuple[float, float, float]) -> tuple[float, ...]:
    """Largest distance between mesh vertices: anywhere, then in a plane of constant z, y and x."""
    padded = np.pad(mask != 0, 1)
    vertices = []
    for axis in range(3):
        for place in np.argwhere(np.diff(padded.astype(np.int8), axis=axis) != 0):
            vertex = place.astype(np.float64)
            vertex[axis] += 0.5
            vertices.append(vertex)
    found = [0.0] * 4
    for a, b in product(vertices, repeat=2):
        length = float(np.linalg.norm((a - b) * np.array(spacing)))
        found[0] = max(found[0], length)
        for axis in range(3):
            if a[axis] == b[axis]:
                found[axis + 1] = max(found[axis + 1], length)
    return tuple(found)
