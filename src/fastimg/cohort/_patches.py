"""Random patches: the same seed draws the same ones, whoever reads them in whatever order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from ._levels import level_affine

if TYPE_CHECKING:
    from ._case import Case
    from ._cohort import Cohort

__all__ = ["Patch", "Place", "Sampler", "draw_patches"]

_KEPT_CASES = 64  # manifests, and bytes of mask positions, kept in memory at a time
_KEPT_BYTES = 256 << 20
_EPOCH = 1 << 40  # numbers of one epoch


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch: `array` (..., z, y, x), `mask` (z, y, x) or None, the case and the index of its first voxel in it.

    With several names of masks `mask` is (mask, z, y, x). `level` counts halvings; `wider` are the patches of the same
    size and middle on coarser levels.

    Attributes
    ----------
    array : array (..., z, y, x)
        Of the image's dtype.
    mask : array (z, y, x) or (mask, z, y, x), or None
    case_id : str
    start : (z, y, x)
        Index of the patch's first voxel in the image of `level`.
    level : int
    wider : tuple of Patch
    """

    array: npt.NDArray[Any]
    mask: npt.NDArray[Any] | None
    case_id: str
    start: tuple[int, int, int]
    level: int = 0
    wider: tuple[Patch, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a patch lies: its case, and the first voxel on each level.

    Attributes
    ----------
    case : Case
    starts : dict of int to (z, y, x)
        Index of the patch's first voxel, by level.
    """

    case: Case
    starts: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def affine(self, level: int) -> npt.NDArray[np.float64]:
        """4x4, (k, j, i, 1) of the patch to LPS mm."""
        affine = level_affine(self.case.affine, self.case.factors(level))
        affine[:3, 3] += affine[:3, :3] @ self.starts[level]
        return affine


class Sampler:
    """Draws the places of patches by number; see `draw_patches`.

    Parameters
    ----------
    cohort : Cohort
        Open; its index is read once.
    size, seed, masked, balance, levels, states
        As for `draw_patches`.

    Raises
    ------
    ArgumentError
        Sizes that are not positive; a seed outside 0 to 2**64 - 1; a balance outside 0 to 1; levels that do not increase.
    """

    def __init__(
        self,
        cohort: Cohort,
        size: Sequence[int],
        *,
        seed: int = 0,
        masked: str | Sequence[str] | None = None,
        balance: float = 1.0,
        levels: Sequence[int] = (0,),
        states: Sequence[str] = ("ok", "warned"),
    ) -> None:
        want = tuple(int(s) for s in size)
        if len(want) != 3 or min(want) < 1:
            raise ArgumentError(f"size: must be three positive numbers of voxels (z, y, x), got {tuple(size)}")
        names = (masked,) if isinstance(masked, str) else tuple(masked or ())
        if not all(isinstance(name, str) for name in names):
            raise ArgumentError(f"masked: must be a name of a mask or several, got {masked!r}")
        if not 0 <= balance <= 1:
            raise ArgumentError(f"balance: must be a share from 0 to 1, got {balance!r}")
        if not levels or sorted(set(levels)) != list(levels) or min(levels) < 0:
            raise ArgumentError(f"levels: must be different, increasing and not negative, got {tuple(levels)}")
        if not 0 <= seed < 1 << 64:
            raise ArgumentError(f"seed: must be from 0 to 2**64 - 1, got {seed!r}")
        self.size, self.seed, self.names, self.balance = (want[0], want[1], want[2]), seed, names, balance
        self.levels, self.several = tuple(levels), masked is not None and not isinstance(masked, str)
        self._cases = _Cases(cohort, names)
        table = cohort.index.select(["case_id", "state"])
        listed = zip(table.column("case_id").to_pylist(), table.column("state").to_pylist(), strict=True)
        self._all = [case_id for case_id, state in listed if state in states]

    def place(self, number: int, epoch: int = 0) -> Place:
        """Of the patch of this number: it depends on seed, epoch and number alone."""
        random = np.random.Generator(np.random.Philox(key=[self.seed, number + epoch * _EPOCH]))
        unfit: set[str] = set()
        while True:
            if len(unfit) == len(self._all):
                told = f" with a mask {' or '.join(map(repr, self.names))}" if self.names else ""
                raise ArgumentError(f"patches: the cohort has no case to draw from{told}")
            case_id = self._all[random.integers(len(self._all))]
            if case_id in unfit:
                continue
            case, places = self._cases[case_id]
            if case.has_voxels and (places or not self.names):
                break
            unfit.add(case_id)
        shape = case.shape[-3:]
        centre = None
        if places and random.random() < self.balance:
            inside = places[random.integers(len(places))] if len(places) > 1 else places[0]
            centre = [float(c) for c in np.unravel_index(inside[random.integers(inside.size)], shape)]
        first = self.levels[0]
        starts: dict[int, tuple[int, int, int]] = {}
        for level in self.levels:
            factors = case.factors(level)
            sides = [n // f for n, f in zip(shape, factors, strict=True)]
            if any(n < s for n, s in zip(sides, self.size, strict=True)):
                at = f" at level {level}" if level else ""
                raise ArgumentError(f"size: {self.size} is larger than case {case_id}{at}, which is {tuple(sides)}")
            spans = [n - s for n, s in zip(sides, self.size, strict=True)]
            if centre is None:  # anywhere; the other levels around its middle
                start = [int(random.integers(span + 1)) for span in spans]
                own = zip(start, self.size, factors, strict=True)
                centre = [(a + s // 2 + 0.5) * f - 0.5 for a, s, f in own]
            else:
                middle = [int((c + 0.5) // f) for c, f in zip(centre, factors, strict=True)]
                around = zip(middle, self.size, spans, strict=True)
                start = [min(max(m - s // 2, 0), span) for m, s, span in around]
            starts[level] = start[0], start[1], start[2]
        assert first in starts
        return Place(case, starts)

    def read(self, place: Place, level: int, *, out: Any = None, threads: int | None = None) -> npt.NDArray[Any]:
        """The image's voxels there, into `out` where it is given.

        `place` says where, `level` how coarse (0: as stored), `threads` defaults to `config.threads()`.
        """
        return place.case.voxels((..., *self.region(place, level)), level=level, out=out, threads=threads)

    def mask(self, place: Place, level: int, *, threads: int | None = None) -> npt.NDArray[Any] | None:
        """The masks' voxels there; zeros for one that the case lacks.

        `place`, `level` and `threads` as for `Sampler.read`.
        """
        if not self.names:
            return None
        region, found = self.region(place, level), []
        for name in self.names:
            if name in place.case.mask_names:
                found.append(place.case.voxels(region, mask=name, level=level, threads=threads))
            else:
                found.append(np.zeros(self.size, np.uint8))
        return np.stack(found) if self.several else found[0]

    def region(self, place: Place, level: int) -> tuple[slice, ...]:
        """(z, y, x) of the patch on a level. `place` and `level` as for `Sampler.read`."""
        return tuple(slice(a, a + s) for a, s in zip(place.starts[level], self.size, strict=True))

    def patch(self, number: int, epoch: int = 0, *, threads: int | None = None) -> Patch:
        """The patch of this number, read.

        `number` counts within the `epoch`; `threads` defaults to `config.threads()`.
        """
        place = self.place(number, epoch)
        patches = [
            Patch(
                self.read(place, level, threads=threads),
                self.mask(place, level, threads=threads),
                place.case.case_id,
                place.starts[level],
                level,
            )
            for level in self.levels[1:]
        ]
        first = self.levels[0]
        array, mask = self.read(place, first, threads=threads), self.mask(place, first, threads=threads)
        return Patch(array, mask, place.case.case_id, place.starts[first], first, tuple(patches))


def draw_patches(
    cohort: Cohort,
    size: Sequence[int],
    n: int,
    *,
    seed: int = 0,
    masked: str | Sequence[str] | None = None,
    balance: float = 1.0,
    levels: Sequence[int] = (0,),
    states: Sequence[str] = ("ok", "warned"),
    first: int = 0,
    epoch: int = 0,
    threads: int | None = None,
) -> Iterator[Patch]:
    """Draw n patches; each case is as likely as any other.

    Parameters
    ----------
    cohort : Cohort
        Where patches are drawn from.
    size : (z, y, x)
        Voxels. A case that is smaller along an axis is an ArgumentError.
    n : int
    seed : int
        Patch number k depends on seed, epoch and k alone, so that workers can share the work: give each its `first`.
    masked : str or sequence of str, optional
        Yield these masks too, and centre patches on their voxels (moved where the border asks for it); only cases that
        have one, with a voxel in it, are drawn, and each of a case's masks is as likely as any other.
    balance : float
        The share of patches that is centred on a mask; the others lie anywhere in those cases.
    levels : sequence of int
        0 is the image as it was added; others (`Cohort.add(levels=)`) come as `Patch.wider`: the same number of voxels
        around the same middle.
    states : sequence of str
        Which cases.
    first : int
        Number of the first patch.
    epoch : int
        Another set of patches of the same seed.
    threads : int, optional
        Default: `config.threads()`.

    Yields
    ------
    Patch
    """
    if n < 0 or first < 0 or epoch < 0:
        raise ArgumentError(f"n, first and epoch: must not be negative, got {n}, {first} and {epoch}")
    sampler = Sampler(cohort, size, seed=seed, masked=masked, balance=balance, levels=levels, states=states)
    return (sampler.patch(number, epoch, threads=threads) for number in range(first, first + n))


class _Cases:
    """Cases and the voxels of their masks, the last few kept."""

    def __init__(self, cohort: Cohort, names: Sequence[str]) -> None:
        self._cohort, self._names, self._bytes = cohort, names, 0
        self._kept: OrderedDict[str, tuple[Case, list[npt.NDArray[np.int64]]]] = OrderedDict()

    def __getitem__(self, case_id: str) -> tuple[Case, list[npt.NDArray[np.int64]]]:
        if case_id in self._kept:
            self._kept.move_to_end(case_id)
            return self._kept[case_id]
        case = self._cohort[case_id]
        there = [name for name in self._names if name in case.mask_names]
        found = [np.flatnonzero(case.voxels((), mask=name)) for name in there]
        self._kept[case_id] = case, [places for places in found if places.size]
        self._bytes += sum(places.nbytes for places in found)
        while len(self._kept) > 1 and (len(self._kept) > _KEPT_CASES or self._bytes > _KEPT_BYTES):
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= sum(places.nbytes for places in gone)
        return self._kept[case_id]
