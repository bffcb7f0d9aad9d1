"""A small histogram of one case's intensities, kept with the case, for the report's curves per site.

Each case has its own range; curves of several are put on common edges by their cumulative shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..histogram import Histogram

__all__ = ["density", "foreground", "sketch"]

BINS = 128
SAMPLE = 1 << 21  # voxels looked at: every n-th of a larger volume, always the same ones


def foreground(values: npt.NDArray[Any], inside: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.bool_]:
    """Finite voxels above their mean: the patient rather than the air around, in every modality. Of `inside` only."""
    finite = np.asarray(np.isfinite(values) if inside is None else np.isfinite(values) & inside, bool)
    mean = float(values[finite].mean(dtype=np.float64)) if finite.any() else 0.0
    above: npt.NDArray[np.bool_] = finite & (values > mean)
    return above if above.any() else finite


def thinned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """At most about SAMPLE voxels, evenly taken; the same for arrays of equal shape."""
    flat = array.reshape(-1)
    return flat[:: max(1, -(-flat.size // SAMPLE))]


def sketch(values: npt.NDArray[Any]) -> dict[str, Any] | None:
    """Counts between the 0.1 % and 99.9 % percentiles of some voxels, what lies beyond at the ends; None of none."""
    values = np.asarray(values)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return None
    low, high = (float(end) for end in np.percentile(values, (0.1, 99.9)))
    if high <= low:
        high = low + max(abs(low), 1.0) * 1e-3
    seen = Histogram.of(values, bins=BINS, range=(low, high))
    counts = seen.counts.tolist()
    counts[0] += seen.below
    counts[-1] += seen.above
    return {"low": low, "high": high, "counts": counts}


def density(sketches: Sequence[Mapping[str, Any]], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean share of voxels per unit in each interval of `edges`; every case weighs the same."""
    total = np.zeros(len(edges) - 1)
    for one in sketches:
        counts = np.asarray(one["counts"], np.float64)
        own = np.linspace(one["low"], one["high"], len(counts) + 1)
        shares = np.concatenate([[0.0], np.cumsum(counts)]) / max(counts.sum(), 1.0)
        total += np.diff(np.interp(edges, own, shares)) / np.diff(edges)
    return total / max(len(sketches), 1)
