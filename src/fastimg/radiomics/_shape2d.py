"""PyRadiomics' shape2D: features of a region's outline in one slice (shape2D.py of 3.0.1)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ALWAYS", "NAMES", "outline"]

ALWAYS = (
    "MeshSurface",
    "PixelSurface",
    "Perimeter",
    "PerimeterSurfaceRatio",
    "Sphericity",
    "MaximumDiameter",
    "MajorAxisLength",
    "MinorAxisLength",
    "Elongation",
)
NAMES = (*ALWAYS, "SphericalDisproportion")  # the last one only where it is named


def outline(mask: npt.NDArray[np.bool_], spacing: tuple[float, float]) -> dict[str, float]:
    """Features of a slice's mask; marching squares through the middles between pixels, spacing (y, x) in mm."""
    m = np.pad(mask, 1).astype(np.int64)
    dy, dx = spacing
    a, b, c, d = m[:-1, :-1], m[:-1, 1:], m[1:, 1:], m[1:, :-1]  # around a cell
    corners = a + b + c + d
    opposite = (corners == 2) & (a == c)
    cut = np.count_nonzero((corners == 1) | (corners == 3)) + 2 * np.count_nonzero(opposite)
    along_x = np.count_nonzero((corners == 2) & (a == b) & ~opposite)
    along_y = np.count_nonzero((corners == 2) & (a == d) & ~opposite)
    perimeter = cut * math.hypot(dx, dy) / 2 + along_x * dx + along_y * dy
    # Two pixels that touch at a corner are apart.
    share = np.array([0, 1 / 8, 1 / 2, 7 / 8, 1])[corners]
    surface = float(np.where(opposite, 1 / 4, share).sum()) * dx * dy
    places = np.argwhere(mask) * np.array(spacing)
    centred = (places - places.mean(axis=0)) / math.sqrt(len(places))
    minor, major = np.sqrt(np.maximum(np.linalg.eigvalsh(centred.T @ centred), 0)) * 4
    return {
        "MeshSurface": surface,
        "PixelSurface": len(places) * dx * dy,
        "Perimeter": perimeter,
        "PerimeterSurfaceRatio": perimeter / surface,
        "Sphericity": 2 * math.sqrt(math.pi * surface) / perimeter,
        "SphericalDisproportion": perimeter / (2 * math.sqrt(math.pi * surface)),
        "MaximumDiameter": _diameter(m, spacing),
        "MajorAxisLength": float(major),
        "MinorAxisLength": float(minor),
        "Elongation": float(minor / major) if major > 0 else math.nan,
    }


def _diameter(m: npt.NDArray[np.int64], spacing: tuple[float, float]) -> float:
    """Largest distance between corners of the outline; only the ends of each row of them can have it."""
    down, right = np.argwhere(m[:-1] != m[1:]) + (0.5, 0), np.argwhere(m[:, :-1] != m[:, 1:]) + (0, 0.5)
    points: Any = np.concatenate([down, right])
    kept = []
    for row in np.unique(points[:, 0]):
        x = points[points[:, 0] == row, 1]
        kept += [(row, x.min()), (row, x.max())]
    ends = np.array(kept) * np.array(spacing)
    apart = ends[:, None] - ends[None]
    return float(np.sqrt((apart**2).sum(axis=-1).max()))
