"""Statistics of intensities, of grey levels, and the intensity-volume histogram (IBSI reference manual 3.3 to 3.5)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import _native
from ._names import FEATURES
from ._region import Levels, Region
from ._settings import Settings

__all__ = ["histogram", "ivh", "statistics"]

_TAGS = [feature.key for feature in FEATURES["statistics"]][:18]


def entropy_of(counts: Any, epsilon: float) -> tuple[float, float]:
    """Shannon entropy in bits and uniformity of a histogram."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p + epsilon)).sum()) + 0.0, float((p * p).sum())


def statistics(region: Region, levels: Levels, settings: Settings) -> dict[str, float]:
    """All features of the family, by their key."""
    distinct, counts = region.counted
    row = _native.statistics(distinct, counts)
    found = {tag: float(value) for tag, value in zip(_TAGS, row, strict=True)}
    peer = settings.compat == "pyradiomics"
    if peer:
        # PyRadiomics does not subtract 3; its constant region has kurtosis 0.
        found["stat_kurt"] += 3 if found["stat_var"] > 0 else 0
    if settings.shift:
        found["stat_energy"] = float((counts * (distinct + settings.shift) ** 2).sum())
        found["stat_rms"] = math.sqrt(found["stat_energy"] / counts.sum())
    found["firstorder_TotalEnergy"] = found["stat_energy"] * float(np.prod(region.spacing))
    entropy, uniformity = entropy_of(levels.voxels, float(np.spacing(1)) if peer else 0.0)
    found["firstorder_Entropy"], found["firstorder_Uniformity"] = entropy, uniformity
    return found


def histogram(levels: Levels) -> dict[str, float]:
    """Features of the grey levels; the histogram has a bin for every level from 1 to the highest."""
    counts = levels.voxels
    level = np.arange(1.0, len(counts) + 1)
    row = _native.statistics(level[counts > 0], counts[counts > 0])
    found = {tag.replace("stat_", "ih_"): float(value) for tag, value in zip(_TAGS, row, strict=True)}
    mean = found["ih_mean"]
    modes = level[counts == counts.max()]
    found["ih_mode"] = float(modes[np.argmin(np.abs(modes - mean))])
    found["ih_entropy"], found["ih_uniformity"] = entropy_of(counts, 0.0)
    slope = np.gradient(counts.astype(np.float64)) if len(counts) > 1 else np.zeros(1)
    found["ih_max_grad"], found["ih_max_grad_g"] = float(slope.max()), float(level[slope.argmax()])
    found["ih_min_grad"], found["ih_min_grad_g"] = float(slope.min()), float(level[slope.argmin()])
    return found


def ivh(region: Region, settings: Settings) -> dict[str, float]:
    """Features of the share of the region at or above each intensity."""
    values = region.values
    if settings.ivh_bin_number is not None:
        low, high = values.min(), values.max()
        level = (
            np.ones(values.shape) if high == low else np.floor(settings.ivh_bin_number * (values - low) / (high - low))
        )
        values = np.minimum(level + 1, settings.ivh_bin_number)
        grid = np.arange(1.0, settings.ivh_bin_number + 1)
    elif settings.ivh_bin_width is not None:
        width = settings.ivh_bin_width
        low, high = float(values.min()), float(values.max())
        if settings.resegment is not None and settings.resegment_mode == "absolute":
            low, high = settings.resegment[0], high if settings.resegment[1] is None else settings.resegment[1]
        values = low + (np.floor((values - low) / width) + 0.5) * width
        grid = low + (np.arange(max(np.ceil((high - low) / width), 1)) + 0.5) * width
    elif (values == np.rint(values)).all() and np.ptp(values) < 1 << 22:
        grid = np.arange(values.min(), values.max() + 1)
    else:
        grid = np.unique(values)
    share = 1 - np.searchsorted(np.sort(values), grid - 1e-9 * np.abs(grid)) / values.size
    low, high = grid[0], grid[-1]
    fraction = (grid - low) / (high - low) if high > low else np.zeros(len(grid))

    def volume(at: float) -> float:
        above = share[fraction >= at]
        return float(above.max()) if above.size else 0.0

    def intensity(at: float) -> float:
        below = grid[share <= at]
        return float(below.min()) if below.size else float(high)

    found = {"ivh_v10": volume(0.1), "ivh_v90": volume(0.9), "ivh_i10": intensity(0.1), "ivh_i90": intensity(0.9)}
    found["ivh_diff_v10_v90"] = found["ivh_v10"] - found["ivh_v90"]
    found["ivh_diff_i10_i90"] = found["ivh_i10"] - found["ivh_i90"]
    # By the trapezoidal rule; 0 where there is one level.
    found["ivh_auc"] = float(((share[1:] + share[:-1]) / 2 * np.diff(fraction)).sum())
    return found
