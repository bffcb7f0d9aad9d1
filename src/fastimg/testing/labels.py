"""Twins of fastimg.labels: flood fill, and every pair of voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["components", "distance"]


def components(mask: npt.NDArray[Any], connectivity: int = 26) -> npt.NDArray[np.int32]:
    """Flood fill from each voxel that has no number yet."""
    reach = {6: 1, 18: 2, 26: 3}[connectivity]
    steps = [np.array(s) - 1 for s in np.ndindex(3, 3, 3) if 0 < np.abs(np.array(s) - 1).sum() <= reach]
    numbers, count = np.zeros(mask.shape, np.int32), 0
    for start in np.argwhere(mask):
        if numbers[tuple(start)]:
            continue
        count += 1
        numbers[tuple(start)] = count
        waiting = [start]
        while waiting:
            here = waiting.pop()
            for step in steps:
                there = tuple(here + step)
                within = min(there) >= 0 and all(a < b for a, b in zip(there, mask.shape, strict=True))
                if within and mask[there] and not numbers[there]:
                    numbers[there] = count
                    waiting.append(np.array(there))
    return numbers


def distance(
    mask: npt.NDArray[Any], spacing: tuple[float, float, float] = (1, 1, 1), metric: str = "euclidean"
) -> npt.NDArray[np.float32]:
    """The least of all distances to voxels outside."""
    outside = np.argwhere(mask == 0) * spacing
    made = np.zeros(mask.shape, np.float32)
    for place in np.argwhere(mask):
        apart = np.abs(place * spacing - outside)
        far = np.sqrt((apart**2).sum(1)) if metric == "euclidean" else apart.sum(1)
        made[tuple(place)] = far.min(initial=np.inf)
    return made
