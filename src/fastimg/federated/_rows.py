"""A node's cases as a computation sees them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from sys import intern
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import FastimgError, IntegrityError, RefusedError
from ._policy import Policy

__all__ = ["Distinct", "Rows"]

_BLOCK = 256  # cases whose features are read at a time
_HELD = 64 << 20  # bytes of features that are kept for a second pass
_CHANGED = "cohort: the feature table changed while it was read"


Block = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


class Rows:
    """The cases of one cohort that take part in a query.

    Parameters
    ----------
    cohort : Cohort
    policy : Policy
        Which states take part, the patients' column, and how many patients an answer needs.
    where : mapping, optional
        Column of the index to the value, or a list of the values, of the cases that take part. Default: all.
    every_state : bool
        Take cases of all states, not only of `policy.states`.

    Raises
    ------
    RefusedError
        A column of `where` that is not in the index.

    Attributes
    ----------
    table : pyarrow.Table
        Their rows of the cohort's index.
    patients : int64, (cases,)
        A number a patient, 0 to n_patients - 1.
    patient_names : list of str
    minimum : int
        The policy's min_cases.
    policy : Policy
    witnesses : {node: {column: labels}} or None
        What nodes signed that they hold; None without a roster.
    block : int
        Cases whose features are in memory at a time.
    broken : int
        Cases whose voxels or features could not be read.
    """

    def __init__(
        self, cohort: Any, policy: Policy, where: Mapping[str, Any] | None = None, *, every_state: bool = False
    ) -> None:
        table: pa.Table = cohort.index
        states = np.array(table.column("state").to_pylist(), object).astype(str)
        keep = np.full(len(states), True) if every_state else np.isin(states, policy.states)
        for column, wanted in (where or {}).items():
            values = wanted if isinstance(wanted, (list, tuple)) else [wanted]
            if column not in table.column_names:
                raise RefusedError("rule columns: a column of `where` is not in this node's index")
            keep &= np.array([value in values for value in table.column(column).to_pylist()], bool)
        self._cohort = cohort
        self._until = time.monotonic() + policy.max_seconds if policy.max_seconds else float("inf")
        self.policy, self.minimum = policy, policy.min_cases
        self.broken, self.block = 0, _BLOCK
        self.witnesses: dict[str, Any] | None = None
        self._contributed: dict[bytes, list[str]] = {}
        self._case_codes: npt.NDArray[np.uint64] | None = None
        self._unread: set[str] = set()
        self._held: dict[tuple[str | None, tuple[str, ...]], list[Block]] = {}
        self._seen: dict[str | None, tuple[npt.NDArray[np.int64], list[str]]] = {}
        self._nth: dict[str | None, npt.NDArray[np.int64]] = {}  # which row of its case a row is
        self.table = table.filter(pa.array(keep))
        names = self.table.column("case_id").to_pylist()
        self.by_case = policy.patient not in table.column_names
        if not self.by_case:  # cases without a name of their patient count as one patient together
            names = [str(name) if name is not None else "" for name in self.table.column(policy.patient).to_pylist()]
        self.patient_names, inverse = np.unique(np.array(names, str), return_inverse=True)
        self.patients = np.asarray(inverse, np.int64).reshape(-1)
        self._ids: list[str] = self.table.column("case_id").to_pylist()
        self._places = {case: i for i, case in enumerate(self._ids)}

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def n_patients(self) -> int:
        """Distinct patients."""
        return len(self.patient_names)

    def column(self, name: str) -> list[Any]:
        """A metadata column's values, None where missing. `name` is the column's."""
        if name not in self.table.column_names or name == self.policy.patient:
            raise RefusedError("rule columns: a column that was asked for is not in this node's index")
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    def labels(self, name: str) -> list[str]:
        """A column's values as text; "" where missing. `name` is the column's."""
        return ["" if value is None else str(value) for value in self.column(name)]

    def cases(self) -> Iterator[tuple[int, Any]]:
        """(patient's number, case), one at a time, patient by patient; one that cannot be opened is counted in `broken`."""
        return ((int(self.patients[place]), case) for place, case in self._opened())

    def _opened(self) -> Iterator[tuple[int, Any]]:
        """(place, case), in the order of `cases`."""
        for i in np.argsort(self.patients, kind="stable").tolist():
            self.in_time()
            try:
                case = self._cohort[self._ids[i]]
            except (FastimgError, OSError):
                self.broken += 1
                continue
            yield i, case

    def voxels(self, mask: str | None = None) -> Iterator[tuple[int, Any]]:
        """(place of the case, its voxels, inside `mask` where one is named), as `cases`; those without are passed over."""
        for place, case in self._opened():
            try:
                if not case.has_voxels:
                    continue
                array = case.image().array
                if mask is not None:
                    masks = case.masks()
                    if mask not in masks:
                        continue
                    array = array[..., masks[mask].array != 0]
            except (FastimgError, OSError, ValueError):
                self.broken += 1
                continue
            yield place, array

    def contribute(self, columns: Sequence[str], keep: Any, *, mask: str | EllipsisType | None = ...) -> int:
        """Say which rows are in the sums of these columns; how many patients they are of, never fewer than the minimum.

        `keep` is a mask over the rows of `blocks` with that `mask`; without one, a mask over the cases or their places. A
        node remembers it: sums of one column over rows of which few patients' differ are refused.
        """
        if mask is ...:
            chosen = np.zeros(len(self), bool)
            chosen[np.asarray(keep) if len(keep) else []] = True
            owners, codes = self.patients[chosen], self._codes()[chosen]
        else:
            places, names = self._feature_rows(mask)
            chosen = np.asarray(keep, bool)
            owners = self.patients[places[chosen]]
            codes = self._codes(places, names)[chosen]
        patients = len(np.unique(owners))
        self.policy.check("patients", patients)
        key = np.sort(codes).tobytes()
        self._contributed.setdefault(key, []).extend(columns)
        return patients

    @property
    def contributed(self) -> list[tuple[npt.NDArray[np.uint64], list[str]]]:
        """(codes of rows, columns that were summed over them); the cases of the query come first, as "cases"."""
        own = [(np.sort(self._codes()), ["cases"])]
        return own + [(np.frombuffer(key, np.uint64), names) for key, names in self._contributed.items()]

    def _codes(self, places: Any = None, masks: Any = None) -> npt.NDArray[np.uint64]:
        """A number a row: 40 bits of its patient, 24 of its case and mask."""
        if self._case_codes is None:
            owners = np.array([_hashed(str(name), 40) for name in self.patient_names], np.uint64)
            cases = [_hashed(case, 24) for case in self._ids]
            self._case_codes = (owners[self.patients] << np.uint64(24)) | np.array(cases, np.uint64)
        if places is None:
            return self._case_codes
        known = {name: _hashed(name, 24) for name in set(masks)}
        return self._case_codes[places] ^ np.array([known[name] for name in masks], np.uint64)

    def blocks(self, names: Sequence[str], mask: str | None = None) -> Iterator[Block]:
        """(values float64 (rows, features), case's place of each row), some cases at a time, patient by patient.

        A case has a row a mask; NaN where missing. The memory is a block's, whatever the cases; small tables are kept
        for the next pass. A case whose features cannot be read has no rows and is counted in `broken`. `names` are the
        features, in this order.
        """
        key = (mask, tuple(names))
        if key in self._held:
            yield from self._held[key]
            return
        order = np.argsort(self.patients, kind="stable").tolist()
        missing, kept, size = set(names), [], 0
        places, masks = [np.zeros(0, np.int64)], list[str]()
        for start in range(0, len(order), self.block):
            self.in_time()
            table = self._read([self._ids[i] for i in order[start : start + self.block]], names, mask)
            values, found = self._values(table, names)
            missing.difference_update(table.column_names[2:])
            places.append(found)
            masks += map(intern, table.column("mask").to_pylist())
            size += values.nbytes
            if size <= _HELD:
                kept.append((values, found))
            else:
                kept = []
            yield values, found
        if missing:
            raise RefusedError("rule columns: a feature that was asked for is not in this node's table")
        self._seen[mask] = (np.concatenate(places), masks)
        starts = np.flatnonzero(np.diff(self._seen[mask][0], prepend=-1))
        lengths = np.diff(np.append(starts, len(masks)))
        self._nth[mask] = np.arange(len(masks)) - np.repeat(starts, lengths)
        if size <= _HELD:
            self._held[key] = kept

    def complete(
        self, names: Sequence[str], mask: str | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """(case's place, whether no feature is missing) of each row of `blocks`; `names` and `mask` as for `Rows.blocks`."""
        places, whole = [np.zeros(0, np.int64)], [np.zeros(0, bool)]
        for values, found in self.blocks(names, mask):
            places.append(found)
            whole.append(np.asarray(np.isfinite(values).all(axis=1)))
        return np.concatenate(places), np.concatenate(whole)

    def kept(
        self, names: Sequence[str], mask: str | None, keep: npt.NDArray[np.bool_]
    ) -> Iterator[npt.NDArray[np.float64]]:
        """The values of `blocks`, of the rows that `keep` marks; `names` and `mask` as for `Rows.blocks`.

        Raises IntegrityError where the rows are others than they were.
        """
        at = 0
        for values, _ in self.blocks(names, mask):
            if at + len(values) > len(keep):
                raise IntegrityError(_CHANGED)
            yield values[keep[at : at + len(values)]]
            at += len(values)
        if at != len(keep):
            raise IntegrityError(_CHANGED)

    def pick(self, names: Sequence[str], mask: str | None, wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The values of these rows of `blocks`, by number and in any order; their cases alone are read.

        `names` and `mask` as for `Rows.blocks`, `wanted` the numbers. Raises IntegrityError where the rows are others than
        they were.
        """
        self.in_time()
        places, _ = self._feature_rows(mask)
        held = self._held.get((mask, tuple(names)))
        if held is not None:
            ends = np.cumsum([len(found) for _, found in held])
            block = np.searchsorted(ends, wanted, side="right")
            values = np.empty((len(wanted), len(names)))
            for k in np.unique(block):
                own = block == k
                values[own] = held[k][0][wanted[own] - (ends[k] - len(held[k][1]))]
            return values
        cases = np.unique(places[wanted])
        values, found = self._values(self._read([self._ids[i] for i in cases], names, mask), names)
        at = np.searchsorted(found, places[wanted]) + self._nth[mask][wanted]
        if len(found) <= at.max(initial=-1) or (found[at] != places[wanted]).any():
            raise IntegrityError(_CHANGED)
        return values[at]

    def _values(self, table: pa.Table, names: Sequence[str]) -> Block:
        """A part of the feature table as numbers, and the case's place of each row."""
        found = np.array([self._places[case] for case in table.column("case_id").to_pylist()], np.int64)
        self.reserve(8 * len(found) * len(names))
        values = np.full((len(names), len(found)), np.nan).T  # a column is contiguous
        columns = {name: i for i, name in enumerate(table.column_names) if i > 1}
        for j, name in enumerate(names):
            if name in columns:
                values[:, j] = table.column(columns[name]).to_numpy(zero_copy_only=False)
        return values, found

    def _read(self, ids: list[str], names: Sequence[str], mask: str | None) -> pa.Table:
        """The feature table of these cases; those that cannot be read are left out and counted."""
        try:
            return self._cohort.features(mask, names=names, cases=[case for case in ids if case not in self._unread])
        except (FastimgError, OSError):
            if len(ids) == 1:
                self._unread.update(ids)
                self.broken += 1
                return self._read(ids, names, mask)
            return pa.concat_tables([self._read([case], names, mask) for case in ids], promote_options="default")

    def in_time(self) -> None:
        """Refuse an answer that takes longer than the policy allows."""
        if time.monotonic() > self._until:
            raise RefusedError("rule max_seconds: the answer takes longer than this node allows")

    def reserve(self, size: int) -> None:
        """Refuse an array of so many bytes if the policy does not allow it; before it is made. `size` in bytes."""
        self.policy.check("bytes", size)

    def _feature_rows(self, mask: str | None) -> tuple[npt.NDArray[np.int64], list[str]]:
        """(case's place, name of the mask) of each row of `blocks`."""
        if mask not in self._seen:
            for _ in self.blocks([], mask):
                pass
        return self._seen[mask]


class Distinct:
    """In how many patients something is found, for each of `shape` things; rows come patient by patient."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = np.zeros(shape, np.int64)
        self._last, self._found = -1, np.zeros(shape, bool)

    def add(self, owners: npt.NDArray[np.int64], there: npt.NDArray[np.bool_]) -> None:
        """Rows (rows, *shape) of these patients; the last patient may go on in the next call."""
        if not len(owners):
            return
        found = np.logical_or.reduceat(there, np.flatnonzero(np.diff(owners, prepend=-1)), axis=0)
        if owners[0] == self._last:
            self.count -= self._found
            found[0] |= self._found
        self.count += found.sum(axis=0)
        self._last, self._found = int(owners[-1]), found[-1]


def _hashed(text: str, bits: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> (64 - bits)
