"""Counts for a catalogue, asked of the cohort's own node: its policy decides what is told, and its log keeps it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import RefusedError
from ..federated import Federation, Node, Policy
from ._qc_identity import suspicion

__all__ = ["Counts", "counted"]

AGE, EDGE = "age_band", "voxel_edge_mm"
CANCER = ("cancer_type", "cancer", "topography", "diagnosis")
PLAIN = ("modality", "manufacturer", "sex")
EDGES = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)  # mm: ends of the bands of the largest edge of a voxel
OLDEST = 90


@dataclass
class Counts:
    """What may be told of a cohort.

    Attributes
    ----------
    cases, patients : int or None
        None: refused.
    tables : {column: {label: (cases, patients)}}
    others : {column: (cases, patients)}
        Of categories below the minimum, and of cases without a value.
    refused : {column: rule}
        What was not told and why; "" is the total.
    columns : list of str
        Names of the columns of the cohort's index.
    """

    cases: int | None = None
    patients: int | None = None
    tables: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    others: dict[str, tuple[int, int]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        tables = {
            name: {label: {"cases": c, "patients": p} for label, (c, p) in table.items()}
            for name, table in self.tables.items()
        }
        others = {name: {"cases": c, "patients": p} for name, (c, p) in self.others.items()}
        return {
            "cases": self.cases,
            "patients": self.patients,
            "tables": tables,
            "others": others,
            "refused": self.refused,
        }

    @property
    def ages(self) -> tuple[int, int] | None:
        """(youngest, oldest) by the bands that are told."""
        bands = [label for label in self.tables.get(AGE, {}) if label]
        if not bands:
            return None
        starts = [int(label.rstrip("+").split("-")[0]) for label in bands]
        return min(starts), max(start + 9 if start < OLDEST else start for start in starts)


def counted(cohort: Any, policy: Policy, cancer: str = "", log: Any = None) -> Counts:
    """Ask the node of a cohort for its counts, in all and by each column that there is."""
    described = _Described(cohort)
    names = described.index.column_names
    wanted = [name for name in (cancer, *CANCER) if name and name in names][:1]
    wanted += [name for name in (*PLAIN, AGE, EDGE) if name in names and name not in wanted]
    found = Counts(columns=list(cohort.index.column_names))
    federation = Federation.local([Node(described, policy, log=log)])
    try:
        total = federation.run("count", by=[], secure=False).value
    except RefusedError as error:
        found.refused[""] = _rule(error)
        return found
    found.cases, found.patients = int(total["cases"]), int(total["patients"])
    for name in wanted:
        try:
            seen = federation.run("count", by=[name], secure=False).value
        except RefusedError as error:
            found.refused[name] = _rule(error)
            continue
        rows = zip(seen["levels"][name], seen["cases"].tolist(), seen["patients"].tolist(), strict=True)
        table = {label: (cases, patients) for label, cases, patients in rows if patients and suspicion(label) is None}
        if not table:
            found.refused[name] = f"rule min_cases: no two groups of {policy.min_cases} patients can be told apart"
            continue
        found.tables[name] = table
        found.others[name] = (int(seen["overflow_cases"]), int(seen["overflow_patients"]))
    return found


def _rule(error: RefusedError) -> str:
    """The node's own rule, without what the federation says around it."""
    rules = re.findall(r"rule [a-z_]+: [^();]+", str(error))
    return rules[-1].strip() if rules else str(error)


class _Described:
    """A cohort whose index also has bands of age and of the largest edge of a voxel."""

    def __init__(self, cohort: Any) -> None:
        self._cohort = cohort
        self.path = cohort.path
        self.index: pa.Table = cohort.index
        age = next((name for name in ("age_years", "age") if name in self.index.column_names), None)
        if age is not None:
            self._put(AGE, [_age_band(value) for value in self.index.column(age).to_pylist()])
        self._put(EDGE, [_edge_band(case) for case in cohort.cases()])

    def _put(self, name: str, values: list[str | None]) -> None:
        if name in self.index.column_names:
            self.index = self.index.drop_columns([name])
        self.index = self.index.append_column(name, pa.array(values, pa.string()))

    def __getitem__(self, case_id: str) -> Any:
        return self._cohort[case_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cohort)

    def __len__(self) -> int:
        return len(self._cohort)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cohort, name)


def _age_band(value: Any) -> str | None:
    if not isinstance(value, int | float) or not 0 <= value < 200:
        return None
    start = int(value) // 10 * 10
    return f"{start}-{start + 9}" if start < OLDEST else f"{OLDEST}+"


def _edge_band(case: Any) -> str | None:
    if not case.has_voxels:
        return None
    widest = float(np.linalg.norm(case.affine[:3, :3], axis=0).max())
    place = int(np.searchsorted(EDGES, widest * (1 - 1e-6)))
    low, high = (0.0, *EDGES)[place], (*EDGES, None)[place]
    return f"above {low:g}" if high is None else f"{low:g}-{high:g}"
