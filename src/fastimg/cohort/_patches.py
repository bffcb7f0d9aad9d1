"""Random patches: the same seed draws the same ones, whoever reads them in whatever order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError

if TYPE_CHECKING:
    from ._case import Case
    from ._cohort import Cohort

__all__ = ["Patch", "draw_patches"]

_KEPT_CASES = 64  # manifests and mask positions kept in memory at a time


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch: `array` (..., z, y, x), `mask` (z, y, x) or None, the case and the index of its first voxel in it."""

    array: npt.NDArray[Any]
    mask: npt.NDArray[Any] | None
    case_id: str
    start: tuple[int, int, int]


def draw_patches(
    cohort: Cohort,
    size: Sequence[int],
    n: int,
    *,
    seed: int = 0,
    masked: str | None = None,
    states: Sequence[str] = ("ok", "warned"),
    first: int = 0,
    threads: int | None = None,
) -> Iterator[Patch]:
    """Draw n patches; each case is as likely as any other.

    Parameters
    ----------
    size : (z, y, x)
        Voxels. A case that is smaller along an axis is an ArgumentError.
    n : int
    seed : int
        Patch number k depends on the seed and k alone, so that workers can share the work: give each its `first`.
    masked : str, optional
        Centre each patch on a random voxel of this mask (moved where the border asks for it) and yield the mask too;
        only cases that have it, with a voxel in it, are drawn.
    states : sequence of str
        Which cases.
    first : int
        Number of the first patch.
    threads : int, optional
        Default: `config.threads()`.
    """
    want = tuple(int(s) for s in size)
    if len(want) != 3 or min(want) < 1:
        raise ArgumentError(f"size: must be three positive numbers of voxels (z, y, x), got {tuple(size)}")
    if n < 0 or first < 0:
        raise ArgumentError(f"n and first: must not be negative, got {n} and {first}")
    names = [
        case_id
        for case_id, state in zip(cohort._column("case_id"), cohort._column("state"), strict=True)
        if state in states
    ]
    return _draw(_Cases(cohort, masked), names, want, range(first, first + n), seed, masked, threads)


def _draw(
    cases: _Cases,
    names: list[str],
    size: tuple[int, ...],
    numbers: range,
    seed: int,
    masked: str | None,
    threads: int | None,
) -> Iterator[Patch]:
    for number in numbers:
        random = np.random.Generator(np.random.Philox(key=[seed, number]))
        while True:
            if not names:
                raise ArgumentError(
                    "patches: the cohort has no case to draw from" + (f" with a mask {masked!r}" if masked else "")
                )
            case_id = names[random.integers(len(names))]
            case, places = cases[case_id]
            if case.has_voxels and (masked is None or (places is not None and places.size)):
                break
            names = [name for name in names if name != case_id]
        shape = case.shape[-3:]
        if any(n < s for n, s in zip(shape, size, strict=True)):
            raise ArgumentError(f"size: {size} is larger than case {case_id}, which is {shape}")
        if places is None:
            start = [int(random.integers(n - s + 1)) for n, s in zip(shape, size, strict=True)]
        else:
            centre = np.unravel_index(places[random.integers(places.size)], shape)
            start = [int(min(max(c - s // 2, 0), n - s)) for c, s, n in zip(centre, size, shape, strict=True)]
        region = tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))
        array = case.voxels((..., *region), threads=threads)
        mask = None if masked is None else case.voxels(region, mask=masked, threads=threads)
        yield Patch(array, mask, case_id, (start[0], start[1], start[2]))


class _Cases:
    """Cases and the voxels of their mask, the last few kept."""

    def __init__(self, cohort: Cohort, masked: str | None) -> None:
        self._cohort, self._masked = cohort, masked
        self._kept: OrderedDict[str, tuple[Case, npt.NDArray[np.int64] | None]] = OrderedDict()

    def __getitem__(self, case_id: str) -> tuple[Case, npt.NDArray[np.int64] | None]:
        if case_id in self._kept:
            self._kept.move_to_end(case_id)
            return self._kept[case_id]
        case, places = self._cohort[case_id], None
        if self._masked is not None:
            there = self._masked in case.mask_names
            places = np.flatnonzero(case.voxels((), mask=self._masked)) if there else np.empty(0, np.int64)
        self._kept[case_id] = case, places
        if len(self._kept) > _KEPT_CASES:
            self._kept.popitem(last=False)
        return case, places
