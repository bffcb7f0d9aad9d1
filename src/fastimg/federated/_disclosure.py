"""The cell rule: no cell of fewer patients than the minimum leaves a node, and neither does what was left out.

And blurring: rounding and noise on counts, the same for the same question, so that asking again tells nothing new.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import RefusedError

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = ["blur", "suppress"]


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


def blur(counts: npt.NDArray[np.int64], policy: Policy, secret: bytes, context: bytes) -> npt.NDArray[np.int64]:
    """Noise and rounding as the policy says; what was zero stays zero, and nothing falls below zero.

    The noise is two-sided geometric, P(k) ~ exp(-epsilon |k|), drawn by HMAC-SHA-256 from the node's secret and the
    question: an identical question gets the identical answer, and nobody else can draw it.
    """
    flat = counts.ravel().astype(np.float64)
    if policy.obfuscation_epsilon > 0:
        flat = np.maximum(
            flat + np.where(flat > 0, _noise(flat.size, policy.obfuscation_epsilon, secret, context), 0), 0
        )
    if policy.rounding > 1:
        flat = np.floor(flat / policy.rounding + 0.5) * policy.rounding
    return np.asarray(flat.astype(np.int64).reshape(counts.shape))


def _noise(size: int, epsilon: float, secret: bytes, context: bytes) -> npt.NDArray[np.float64]:
    """The difference of two geometric variates, each by inversion of 53 uniform bits."""
    need, blocks = 16 * size, []
    for number in range(-(-need // 32)):
        blocks.append(hmac.digest(secret, context + number.to_bytes(8, "little"), hashlib.sha256))
    words = np.frombuffer(b"".join(blocks)[:need], "<u8") >> np.uint64(11)
    uniform = (words.astype(np.float64) + 0.5) * 2.0**-53
    geometric = np.floor(np.log(uniform) / -epsilon).reshape(2, size)
    return np.asarray(geometric[0] - geometric[1])
