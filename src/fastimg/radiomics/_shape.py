"""Morphological features (IBSI reference manual 3.1) from exact integer sums of the mask."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from . import _native, _spatial
from ._region import Region
from ._settings import Settings

__all__ = ["morphology"]


def morphology(region: Region, settings: Settings, *, threads: int) -> dict[str, float]:
    """All features of the family, by their key."""
    spacing = np.array(region.spacing)
    peer = settings.compat == "pyradiomics"
    leaf = _dispatch.pick(region.mask_there, leaf="radiomics")
    moments, cubes, hulls = leaf.shape_sums(region.mask_there, threads=threads)
    volume, area = _native.mesh_measures(cubes, spacing)
    voxels = int(moments[0])
    corners = _native.fewer(hulls[0])
    lengths = 4 * np.sqrt(_eigenvalues(moments, spacing, voxels if peer else max(voxels - 1, 1)))
    least, minor, major = (float(length) for length in lengths)
    sphere = (36 * math.pi * volume**2) ** (1 / 3)
    found = {
        "morph_volume": volume,
        "morph_vol_approx": voxels * float(spacing.prod()),
        "morph_area_mesh": area,
        "morph_av": area / volume,
        "morph_comp_1": volume / (math.sqrt(math.pi) * area**1.5),
        "morph_comp_2": 36 * math.pi * volume**2 / area**3,
        "morph_sph_dispr": area / sphere,
        "morph_sphericity": sphere / area,
        "morph_asphericity": area / sphere - 1,
        "morph_diam": _native.diameter(corners, spacing),
        "morph_pca_maj_axis": major,
        "morph_pca_min_axis": minor,
        "morph_pca_least_axis": least,
        "morph_pca_elongation": minor / major if major > 0 else math.nan,
        "morph_pca_flatness": least / major if major > 0 else math.nan,
        "shape_Maximum2DDiameterSlice": _native.diameter_in_planes(hulls[0], spacing),
        "shape_Maximum2DDiameterColumn": _native.diameter_in_planes(hulls[1], spacing[[1, 0, 2]]),
        "shape_Maximum2DDiameterRow": _native.diameter_in_planes(hulls[2], spacing[::-1].copy()),
    }
    if not peer:
        found.update(_densities(corners, spacing, volume, area, (major / 2, minor / 2, least / 2)))
        found["morph_integ_int"] = float(region.values.mean()) * volume
        found["morph_com"] = _centre_shift(region, moments, spacing)
        kept = (settings.features or {}).get("morphology")
        if kept is None or {"MoranI", "GearyC"} & set(kept):  # by far the dearest
            found.update(_spatial.autocorrelation(region, threads=threads))
    return found


def _eigenvalues(moments: npt.NDArray[np.int64], spacing: npt.NDArray[np.float64], divisor: int) -> Any:
    """Of the covariance of voxel centres in mm, ascending; integers are exact up to the last division."""
    n, *sums = (int(value) for value in moments)
    first, squares, cross = sums[:3], sums[3:6], sums[6:]
    matrix = np.empty((3, 3))
    for a in range(3):
        matrix[a, a] = (n * squares[a] - first[a] ** 2) / n / divisor * spacing[a] ** 2
    for (a, b), product in zip(((0, 1), (0, 2), (1, 2)), cross, strict=True):
        matrix[a, b] = matrix[b, a] = (n * product - first[a] * first[b]) / n / divisor * spacing[a] * spacing[b]
    return np.maximum(np.linalg.eigvalsh(matrix), 0)


def _centre_shift(region: Region, moments: npt.NDArray[np.int64], spacing: npt.NDArray[np.float64]) -> float:
    """Distance between the centre of the mask and the centre of its intensities."""
    total = region.values.sum()
    if total == 0:
        return math.nan
    places = np.nonzero(region.inside)
    weighted = np.array([(place * region.values).sum() for place in places]) / total
    centre = moments[1:4] / moments[0] - 1  # the mask of the sums has a border of one voxel
    return float(np.linalg.norm((weighted - centre) * spacing))


def _densities(
    points: npt.NDArray[np.int32], spacing: npt.NDArray[np.float64], volume: float, area: float, axes: tuple[float, ...]
) -> dict[str, float]:
    """Volume and area against what encloses the mesh: boxes, ellipsoids, its convex hull."""
    from scipy.spatial import ConvexHull

    placed = 0.5 * points * spacing
    z, y, x = placed.max(0) - placed.min(0)
    hull = ConvexHull(placed)
    major, minor, least = axes
    ellipsoid = 4 / 3 * math.pi * major * minor * least
    surface = _ellipsoid_area(major, minor, least)
    a, b, c = _smallest_box(hull)
    within = np.sqrt(np.linalg.eigvalsh(_smallest_ellipsoid(placed[hull.vertices])))[::-1]
    return {
        "morph_vol_dens_aabb": volume / (x * y * z),
        "morph_area_dens_aabb": area / (2 * (x * y + x * z + y * z)),
        "morph_vol_dens_ombb": volume / (a * b * c),
        "morph_area_dens_ombb": area / (2 * (a * b + a * c + b * c)),
        "morph_vol_dens_mvee": volume / (4 / 3 * math.pi * float(within.prod())),
        "morph_area_dens_mvee": area / _ellipsoid_area(*map(float, within)),
        "morph_vol_dens_aee": volume / ellipsoid if ellipsoid > 0 else math.nan,
        "morph_area_dens_aee": area / surface if surface > 0 else math.nan,
        "morph_vol_dens_conv_hull": volume / float(hull.volume),
        "morph_area_dens_conv_hull": area / float(hull.area),
    }


def _smallest_box(hull: Any) -> tuple[float, float, float]:
    """Sides of the smallest box with a face on a face of the hull.

    The manual (3.1.20) leaves the approximation open; the smallest box of all may touch the hull with edges alone.
    """
    count = len(hull.simplices)
    first = np.repeat(np.arange(count), 3)
    second = hull.neighbors.reshape(-1)
    # Neighbour k of a triangle lies opposite to its corner k.
    ends = hull.simplices[:, [[1, 2], [0, 2], [0, 1]]].reshape(-1, 2)
    once = first < second
    edges = np.column_stack([first, second, ends])[once].astype(np.int32)
    normals = np.ascontiguousarray(hull.equations[:, :3])
    directions = normals * np.sign(normals[np.arange(count), np.abs(normals).argmax(1)])[:, None]
    _, kept = np.unique(directions.round(9), axis=0, return_index=True)
    sides = _native.smallest_box(hull.points, normals, edges, np.ascontiguousarray(directions[kept]))
    return float(sides[0]), float(sides[1]), float(sides[2])


def _smallest_ellipsoid(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Its matrix, whose eigenvalues are the squares of the semi-axes."""
    values, axes = np.linalg.eigh(np.cov(points.T))
    widths = axes * np.sqrt(values)
    matrix, _ = _native.smallest_ellipsoid(np.ascontiguousarray((points - points.mean(0)) @ (axes / np.sqrt(values))))
    return np.asarray(widths @ matrix @ widths.T)


def _ellipsoid_area(a: float, b: float, c: float) -> float:
    """Of semi-axes a >= b >= c: the series of the manual (3.1.19) with 20 Legendre polynomials."""
    if c <= 0:
        return math.nan
    alpha, beta = math.sqrt(1 - (b / a) ** 2), math.sqrt(1 - (c / a) ** 2)
    ratio = (alpha**2 + beta**2) / (2 * alpha * beta) if alpha * beta > 0 else math.inf
    if math.isinf(ratio):
        # (alpha beta)^v P_v(ratio) tends to the leading term of P_v: ((alpha^2 + beta^2) / 2)^v (2v)! / (2^v v!^2).
        half = (alpha**2 + beta**2) / 2
        series = sum(half**v * math.comb(2 * v, v) / 2**v / (1 - 4 * v * v) for v in range(21))
    else:
        coefficients = [(alpha * beta) ** v / (1 - 4 * v * v) for v in range(21)]
        series = float(np.polynomial.legendre.legval(ratio, coefficients))
    return float(4 * math.pi * a * b * series)
