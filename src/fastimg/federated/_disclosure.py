"""The cell rule: no cell of fewer patients than the minimum leaves a node, and neither does what was left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import RefusedError

__all__ = ["suppress"]


def suppress(
    weights: npt.NDArray[np.int64], holds: npt.NDArray[np.bool_], minimum: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int, int]:
    """Zero the cells of fewer than `minimum` patients and move their mass to one overflow cell, itself checked.

    Parameters
    ----------
    weights : int64, (cells,)
        What is counted (cases, voxels).
    holds : bool, (patients, cells)
        Whether a patient contributes to a cell.
    minimum : int

    Returns
    -------
    weights, patients : int64, (cells,)
        After the rule.
    overflow, overflow_patients : int
        0, or at least `minimum` patients: while the overflow holds fewer, the smallest cell left joins it.

    Raises
    ------
    RefusedError
        The overflow cannot reach the minimum.
    """
    patients = holds.sum(axis=0, dtype=np.int64)
    hidden = (patients < minimum) & (patients > 0)
    while True:
        inside = int(holds[:, hidden].any(axis=1).sum())
        if not hidden.any() or inside >= minimum:
            break
        left = np.flatnonzero(~hidden & (patients > 0))
        if not left.size:
            raise RefusedError(f"rule min_cases: cells of fewer than {minimum} patients cannot be merged to enough")
        hidden[left[np.argmin(patients[left])]] = True
    shown: Any = np.where(hidden, 0, weights)
    return shown, np.where(hidden, 0, patients), int(weights[hidden].sum()), inside
