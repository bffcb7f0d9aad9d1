"""The cell rule: no cell of fewer patients than the minimum leaves a node, and neither does what was left out.

And blurring: rounding and noise on counts, the same for the same question, so that asking again tells nothing new.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import RefusedError

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = ["Cells", "blur", "enough", "suppress"]


def enough(
    keep: Any, columns: Iterable[Iterable[Any]], owners: npt.NDArray[np.int64], minimum: int
) -> npt.NDArray[np.bool_]:
    """`keep` without rows that carry, in one of the columns, a label of fewer than `minimum` patients of this node.

    A column of 0 and 1 for such a label would sum the values of these few. Other nodes, or a hub that makes labels up, may
    name it; and rows that are left out may make other labels rare.
    """
    keep, width = np.array(keep, bool), int(owners.max(initial=0)) + 1
    coded = []
    for labels in columns:
        if isinstance(labels, np.ndarray) and labels.dtype != object:
            coded.append(np.unique(labels, return_inverse=True)[1])
            continue
        known: dict[Any, int] = {}
        coded.append(np.array([known.setdefault(label, len(known)) for label in labels], np.int64))
    before = -1
    while before != (before := int(keep.sum())):
        for codes in coded:
            pairs = np.unique(codes[keep] * width + owners[keep])
            patients = np.bincount(pairs // width, minlength=int(codes.max(initial=0)) + 1)
            keep &= patients[codes] >= minimum
    return keep


def suppress(
    weights: npt.NDArray[np.int64], members: tuple[Any, ...], minimum: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int, int]:
    """Zero the cells of fewer than `minimum` patients and move their mass to one overflow cell, itself checked.

    Parameters
    ----------
    weights : int64, (cells,)
        What is counted (cases, voxels).
    members : (owners, cells), int64 of (n,) each
        A patient's number, and a cell that he contributes to; a pair may stand more than once.
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
    count = len(weights)
    pairs = np.unique(np.asarray(members[0], np.int64) * count + np.asarray(members[1], np.int64))
    owners, cells = np.divmod(pairs, max(count, 1))
    patients = np.bincount(cells, minlength=count).astype(np.int64)

    def inside(hidden: npt.NDArray[np.bool_]) -> int:
        return len(np.unique(owners[hidden[cells]]))

    hidden = _hidden(patients, inside, minimum)
    shown: Any = np.where(hidden, 0, weights)
    return shown, np.where(hidden, 0, patients), int(weights[hidden].sum()), inside(hidden)


def _hidden(patients: npt.NDArray[np.int64], inside: Callable[[Any], int], minimum: int) -> npt.NDArray[np.bool_]:
    """The cells that join the overflow."""
    hidden = (patients < minimum) & (patients > 0)
    while hidden.any() and inside(hidden) < minimum:
        left = np.flatnonzero(~hidden & (patients > 0))
        if not left.size:
            raise RefusedError(f"rule min_cases: cells of fewer than {minimum} patients cannot be merged to enough")
        hidden[left[np.argmin(patients[left])]] = True
    return hidden


class Cells:
    """Cells that are filled patient by patient; the memory is `minimum` numbers a cell, whatever the patients.

    Of a cell that may have to be hidden all patients are known: there are fewer than the minimum.
    """

    def __init__(self, count: int, minimum: int, patients: int) -> None:
        self.weights, self.patients = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._last = np.full(count, -1, np.int64)
        self._minimum, self._few = minimum, min(minimum - 1, patients)
        self._first = np.full((self._few, count), -1, np.int64)

    def add(self, patient: int, counts: npt.NDArray[np.int64]) -> None:
        """One case's counts; the cases of a patient follow one another."""
        self.weights += counts
        self._seen(patient, np.flatnonzero(counts))

    def fall(self, patient: int, cells: npt.NDArray[np.int64]) -> None:
        """One for each of these cells, of a patient whose cells all come now or follow one another."""
        new, times = np.unique(cells, return_counts=True)
        self.weights[new] += times
        self._seen(patient, new)

    def _seen(self, patient: int, new: npt.NDArray[np.int64]) -> None:
        new = new[self._last[new] != patient]
        if self._few:
            slots = self.patients[new]
            few = slots < self._few
            self._first[slots[few], new[few]] = patient
        self.patients[new] += 1
        self._last[new] = patient

    def suppressed(self, cells: slice = slice(None)) -> tuple[npt.NDArray[np.int64], int]:
        """(weights, overflow) by the rule of `suppress`, of these cells, which have an overflow of their own."""
        weights, patients, first = self.weights[cells], self.patients[cells], self._first[:, cells]

        def inside(hidden: npt.NDArray[np.bool_]) -> int:
            if (patients[hidden] >= self._minimum).any():
                return self._minimum
            found = np.unique(first[:, hidden])
            return int((found >= 0).sum())

        hidden = _hidden(patients, inside, self._minimum)
        return np.where(hidden, 0, weights), int(weights[hidden].sum())


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
