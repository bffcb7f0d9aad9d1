"""Bodies, lesions and scanners: what stands in the voxels of a synthetic cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

__all__ = ["Lesion", "acquire", "inside", "lesion_of", "tissue"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Lesion:
    """A lobulated ellipsoid; `mean` and `texture` in HU carry the biology."""

    centre: tuple[float, float, float]  # x, y, z mm
    radius: float  # mm
    lobes: tuple[tuple[int, float, float], ...]  # order, amplitude, phase
    mean: float
    texture: float

    def outline(self, z: float, points: int = 72) -> npt.NDArray[np.float64]:
        """The polygon (points, 2) of x, y mm in the plane at height z; empty above and below. Rounded to 0.01 mm."""
        height = 1.0 - ((z - self.centre[2]) / self.radius) ** 2
        if height <= 0.05:
            return np.empty((0, 2))
        angle = np.arange(points) * (2 * np.pi / points)
        radius = self.radius * np.sqrt(height) * self._shape(angle)
        outline = np.stack([self.centre[0] + radius * np.cos(angle), self.centre[1] + radius * np.sin(angle)], axis=1)
        return np.round(outline, 2)

    def _shape(self, angle: Array) -> Array:
        return np.ones_like(angle) + sum(a * np.cos(n * angle + phase) for n, a, phase in self.lobes)

    def depth(self, x: Array, y: Array, z: Array) -> Array:
        """Millimetres under the surface, about; negative outside."""
        dx, dy = x - self.centre[0], y - self.centre[1]
        height = np.clip(1.0 - ((z - self.centre[2]) / self.radius) ** 2, 0.0, None)
        return self.radius * np.sqrt(height) * self._shape(np.arctan2(dy, dx)) - np.hypot(dx, dy)


def lesion_of(age: int, sex: str, rng: np.random.Generator) -> Lesion:
    """A lesion whose density grows with age and sex, and whose heterogeneity grows with age: what must be preserved."""
    lobes = tuple((n, float(rng.uniform(0.02, 0.12)), float(rng.uniform(0, 2 * np.pi))) for n in (2, 3, 5))
    return Lesion(
        centre=(-38.0 + float(rng.uniform(-4, 4)), float(rng.uniform(-8, 8)), float(rng.uniform(-6, 6))),
        radius=float(rng.uniform(13, 19)),
        lobes=lobes,
        mean=95.0 + 0.7 * (age - 65) + 10.0 * (sex == "M") + float(rng.normal(0, 4)),
        texture=float(np.clip(16.0 + 0.35 * (age - 65) + rng.normal(0, 1.5), 4, None)),
    )


def inside(outline: Array, x: Array, y: Array) -> npt.NDArray[np.bool_]:
    """Pixel-centre test by the even-odd rule: x (columns,), y (rows,) mm -> (rows, columns)."""
    result = np.zeros((len(y), len(x)), bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        at = x0 + (y[crosses] - y0) / (y1 - y0) * (x1 - x0) if y1 != y0 else y[:0]
        result[crosses] ^= x[None, :] < at[:, None]
    return result


def tissue(x: Array, y: Array, z: Array, lesion: Lesion, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """HU before the scanner, (z, y, x): body, lung, spine, liver and the lesion with its texture."""
    hu = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), -1000, np.float32)
    hu[(x / 84) ** 2 + (y / 66) ** 2 + 0 * z < 1] = 35
    hu[((x + 32) / 44) ** 2 + (y / 46) ** 2 + (z / 90) ** 2 < 1] = 60  # liver
    hu[((x - 38) / 30) ** 2 + ((y + 6) / 40) ** 2 + 0 * z < 1] = -830  # lung
    hu[(x / 12) ** 2 + ((y - 42) / 12) ** 2 + 0 * z < 1] = 420  # spine
    depth = lesion.depth(x, y, z)
    grain = gaussian_filter(rng.standard_normal(hu.shape, np.float32), (0.8, 1.3, 1.3))
    grain *= np.float32(lesion.texture / grain.std())
    weight = np.clip(depth / 1.5 + 0.5, 0, 1).astype(np.float32)
    hu += weight * (np.float32(lesion.mean) + grain - hu)
    return hu


def acquire(
    hu: npt.NDArray[np.float32], *, gain: float, offset: float, blur: float, noise: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """What a scanner makes of it: its kernel's blur (pixels), correlated noise (HU), gain about water, offset (HU)."""
    seen: npt.NDArray[np.float32] = gaussian_filter(hu, (0, blur, blur))
    grain = gaussian_filter(rng.standard_normal(hu.shape, np.float32), (0, blur, blur))
    seen += grain * np.float32(noise / grain.std())
    seen *= np.float32(gain)
    seen += np.float32(offset)
    return seen
