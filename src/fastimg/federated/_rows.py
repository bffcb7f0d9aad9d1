"""A node's cases as a computation sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import RefusedError
from ._policy import Policy

__all__ = ["Rows"]


class Rows:
    """The cases of one cohort that take part in a query.

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
        self.table = table.filter(pa.array(keep))
        names = self.table.column("case_id").to_pylist()
        self.by_case = policy.patient not in table.column_names
        if not self.by_case:  # cases without a name of their patient count as one patient together
            names = [str(name) if name is not None else "" for name in self.table.column(policy.patient).to_pylist()]
        self.patient_names, inverse = np.unique(np.array(names, str), return_inverse=True)
        self.patients = np.asarray(inverse, np.int64).reshape(-1)
        self._places = {case: i for i, case in enumerate(self.table.column("case_id").to_pylist())}

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def n_patients(self) -> int:
        """Distinct patients."""
        return len(self.patient_names)

    def column(self, name: str) -> list[Any]:
        """A metadata column's values, None where missing."""
        if name not in self.table.column_names or name == self.policy.patient:
            raise RefusedError("rule columns: a column that was asked for is not in this node's index")
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    def labels(self, name: str) -> list[str]:
        """A column's values as text; "" where missing."""
        return ["" if value is None else str(value) for value in self.column(name)]

    def cases(self) -> Iterator[tuple[int, Any]]:
        """(patient's number, case) of those with voxels, one at a time, patient by patient."""
        ids = self.table.column("case_id").to_pylist()
        for i in np.argsort(self.patients, kind="stable"):
            if time.monotonic() > self._until:
                raise RefusedError("rule max_seconds: the answer takes longer than this node allows")
            yield int(self.patients[i]), self._cohort[ids[i]]

    def features(self, names: Sequence[str], mask: str | None = None) -> tuple[Any, npt.NDArray[np.int64]]:
        """(values float64 (rows, features), case's place of each row); a case has a row a mask. NaN where missing."""
        table = self._cohort.features(mask)
        index = {name: i for i, name in enumerate(table.column_names)}
        if not index.keys() >= set(names):
            raise RefusedError("rule columns: a feature that was asked for is not in this node's table")
        cases = table.column("case_id").to_pylist()
        rows = np.array([i for i, case in enumerate(cases) if case in self._places], np.int64)
        places = np.array([self._places[cases[i]] for i in rows], np.int64)
        values = np.empty((len(rows), len(names)), np.float64)
        for j, name in enumerate(names):
            column = table.column(index[name]).to_numpy(zero_copy_only=False).astype(np.float64)
            values[:, j] = column[rows]
        return values, places
