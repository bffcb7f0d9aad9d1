"""Statistics of intensities (IBSI reference manual 3.3)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _native
from ._names import FEATURES
from ._region import Levels, Region
from ._settings import Settings

__all__ = ["statistics"]

_TAGS = [feature.key for feature in FEATURES["statistics"]][:18]


def level_counts(levels: Levels) -> npt.NDArray[np.int64]:
    """How many voxels each level has: index 0 is level 1."""
    return np.bincount(levels.array.reshape(-1), minlength=levels.count + 1)[1:]


def entropy_of(counts: Any, epsilon: float) -> tuple[float, float]:
    """Shannon entropy in bits and uniformity of a histogram."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p + epsilon)).sum()) + 0.0, float((p * p).sum())


def statistics(region: Region, levels: Levels, settings: Settings) -> dict[str, float]:
    """All features of the family, by their key."""
    row, _, _ = _native.statistics(region.values)
    found = {tag: float(value) for tag, value in zip(_TAGS, row, strict=True)}
    peer = settings.compat == "pyradiomics"
    if peer:
        # PyRadiomics does not subtract 3; its constant region has kurtosis 0.
        found["stat_kurt"] += 3 if found["stat_var"] > 0 else 0
    if settings.shift:
        shifted = region.values + settings.shift
        found["stat_energy"] = float((shifted**2).sum())
        found["stat_rms"] = math.sqrt(found["stat_energy"] / shifted.size)
    found["firstorder_TotalEnergy"] = found["stat_energy"] * float(np.prod(region.spacing))
    entropy, uniformity = entropy_of(level_counts(levels), float(np.spacing(1)) if peer else 0.0)
    found["firstorder_Entropy"], found["firstorder_Uniformity"] = entropy, uniformity
    return found
