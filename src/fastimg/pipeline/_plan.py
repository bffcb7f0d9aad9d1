"""From a folder to a list of cases to make: which series are cases, which masks belong to them, what it will take."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from ..dicom._scan import scan_parts
from ..dicom._series import reopened, volumes_of
from ..errors import ArgumentError
from ..findings import CODES, Finding, worst
from ._names import Names
from ._parts import Parts
from ._recipe import Recipe
from ._references import References, base_uid
from ._task import Task
from ._tasks import Tasks

__all__ = ["Plan", "identifiers_in", "names_of", "plan_folder"]


PART = 2048  # files whose headers are looked at together


@dataclass
class Plan:
    """What a run would do."""

    root: str
    tasks: Tasks = field(default_factory=Tasks)
    findings: list[Finding] = field(default_factory=list)  # of files and of series that are no case
    left_out: Counter[str] = field(default_factory=Counter)
    identifiers: set[str] = field(default_factory=set)
    files: int = 0
    series: int = 0
    bytes_in: int = 0
    uids: set[str] = field(default_factory=set)  # of all series with images or masks, where they were asked for


def plan_folder(root: Path, recipe: Recipe, key: bytes, *, threads: int | None = None, with_uids: bool = False) -> Plan:
    """Scan a folder of DICOM.

    A series takes its paths, packed, and some 0.5 kB; its headers are read again by the worker that makes the case.
    Meanwhile the table of headers is held compressed, at 0.1 kB a file.
    """
    if not root.is_dir():
        raise ArgumentError(f"input: no folder {str(root)!r}")
    plan, parts, patients, bad = Plan(str(root)), Parts(), {name: set[str]() for name in _PATIENT}, []
    base = Path()
    for table in scan_parts(root, PART, threads=threads):
        base = Path(os.fsdecode(table.schema.metadata[b"root"]))
        plan.files += table.num_rows
        plan.bytes_in += pc.sum(table.column("size")).as_py() or 0
        for name, seen in patients.items():
            seen.update(filter(None, table.column(name).unique().to_pylist()))
        told = table.select(["path", "finding"]).filter(pc.is_valid(table.column("finding"))).to_pylist()
        bad += [(row["finding"], row["path"]) for row in told]
        parts.add(table)
    plan.identifiers = _identifiers(patients)
    names = Names(key, plan.identifiers)
    plan.findings += [Finding(code, "", names.path(path)) for code, path in bad]
    _Planner(plan, root, base, recipe, names, with_uids).work(parts)
    return plan


@dataclass(frozen=True)
class _Mask:
    uid: str
    group: tuple[str, ...]  # all files of its series, from the root
    paths: tuple[str, ...]  # its own, as the reader takes them
    where: str


class _Planner:
    """Series by series from the parts of a table to tasks."""

    def __init__(self, plan: Plan, root: Path, base: Path, recipe: Recipe, names: Names, with_uids: bool) -> None:
        self.plan, self.root, self.base, self.recipe, self.names = plan, root, base, recipe, names
        self.with_uids = with_uids
        self.references = References()
        self.masks: list[_Mask] = []

    def work(self, parts: Parts) -> None:
        for table in parts:
            drawn = pc.unique(table.filter(pc.equal(table["status"], "mask"))["series_uid"])
            if len(drawn):
                self._masks(table.filter(pc.is_in(table["series_uid"], value_set=drawn)))
        for table in parts:
            self.references.look(table)
            for paths, volumes in volumes_of(table, self.base):
                self._series(tuple(paths), volumes)
        self._masks_left()

    def _masks(self, table: Any) -> None:
        for paths, volumes in volumes_of(table, self.base):
            for series in volumes:
                if series.kind == "mask":
                    self.masks.append(_Mask(series.uid, tuple(paths), tuple(series.paths), series.attributes["path"]))
                    self.references.add(series)

    def _series(self, paths: tuple[str, ...], volumes: list[Any]) -> None:
        plan = self.plan
        plan.series += len(volumes)
        for series in volumes:
            if self.with_uids and series.kind in ("image", "mask"):
                plan.uids.add(base_uid(series))
            if series.kind == "image":
                reason = _left_out(series, self.recipe)
                own = self.references.place(series, None if reason else len(plan.tasks))
                if reason:
                    plan.left_out[reason] += 1
                    plan.findings += [
                        self.names.finding(f, plan.identifiers)
                        for f in series.findings
                        if CODES[f.code].severity in ("quarantine", "error")
                    ]
                else:
                    plan.tasks.append(self._task(series, paths, own))
            elif series.kind != "mask":
                plan.left_out[f"no image ({series.modality or 'unknown'})"] += 1

    def _masks_left(self) -> None:
        """Masks that refer to no series: to the only one of their study and frame of reference, or to none."""
        more: dict[int, list[int]] = {}
        for number, alone, tag in self.references.left():
            if not alone:
                where = self.names.path(self.masks[number].where)
                self.plan.findings.append(Finding("mask-unmatched", "", where))
            elif tag is not None:
                more.setdefault(tag, []).append(number)
        if more:
            self.plan.tasks = Tasks(
                self._with(task, more[number]) if number in more else task
                for number, task in enumerate(self.plan.tasks)
            )

    def _with(self, task: Task, numbers: list[int]) -> Task:
        """The task with further masks."""
        known = {mask.uid: number for number, mask in enumerate(self.masks)}
        numbers = sorted([*numbers, *(known[uid] for uid, _ in task.masks)])
        series = reopened(self.base, task.paths, {task.uid})[task.uid]
        return replace(task, **self._of(series, numbers))

    def _of(self, series: Any, numbers: list[int]) -> dict[str, Any]:
        """What a task has of its files."""
        masks = [self.masks[number] for number in numbers]
        sizes = [_stat(path) for one in (series, *masks) for path in one.paths]
        return {
            "source": source_of([series.uid, *(mask.uid for mask in masks)], sizes, self.recipe, self.names),
            "masks": tuple((mask.uid, mask.group) for mask in masks),
            "bytes_in": sum(size for _, size, _ in sizes),
        }

    def _task(self, series: Any, paths: tuple[str, ...], numbers: list[int]) -> Task:
        findings = []
        for found in series.findings:
            safe = self.names.finding(found, self.plan.identifiers, [Path(path).name for path in series.paths])
            if found.code in self.recipe.input.tolerate and found.severity in ("quarantine", "error"):
                told = f"{found.code}: {safe.message or CODES[found.code].meaning}"
                safe = Finding("tolerated", told, safe.where, safe.details)
            findings.append(safe)
        voxels_in, voxels_out = _voxels(series, self.recipe)
        if worst(findings) in ("quarantined", "failed"):
            voxels_in = voxels_out = 0
        return Task(
            case_id=f"{(series.modality or 'xx').lower()}-{self.names.code(series.uid)}",
            modality=series.modality,
            subject=series.subject,
            uid=series.uid,
            paths=paths,
            findings=tuple(findings),
            voxels_in=voxels_in,
            voxels_out=voxels_out,
            **self._of(series, numbers),
        )


def identifiers_in(table: Any) -> set[str]:
    """Names, ids and birth dates of all patients in a table of `dicom.scan`, by the rules of `dicom.identifiers_of`."""
    return _identifiers(
        {name: table.column(name).unique().to_pylist() for name in _PATIENT if name in table.column_names}
    )


def _identifiers(values: Mapping[str, Iterable[Any]]) -> set[str]:
    return identifying(*((_PATIENT[name], str(value)) for name, seen in values.items() for value in seen if value))


_PATIENT = {"patient_id": "PatientID", "patient_name": "PatientName", "patient_birth_date": "PatientBirthDate"}


def identifying(*values: tuple[str, str]) -> set[str]:
    """What of some (keyword, value) pairs identifies a patient."""
    from pydicom.datadict import dictionary_VR
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

    from .. import dicom

    found: set[str] = set()
    for keyword, value in values:
        dataset = Dataset()
        dataset.add(DataElement(keyword, dictionary_VR(keyword), value, validation_mode=0))
        found |= dicom.identifiers_of(dataset)
    return found


def names_of(table: Any, key: bytes) -> list[str]:
    """For each file of a table of `dicom.scan` the name that findings and reports use for it.

    Parameters
    ----------
    table : pyarrow.Table
        With the column path, and those of `dicom.scan` that name patients.
    key : bytes
        The site's key, 16 bytes or more.

    Returns
    -------
    list of str
        One a row: the path with each part that might name someone replaced by "~" and ten digits of its code.
    """
    names = Names(key, identifiers_in(table))
    return [names.path(path) for path in table.column("path").to_pylist()]


def _left_out(series: Any, recipe: Recipe) -> str:
    """Why the recipe does not take a series; empty if it does."""
    if series.modality not in recipe.input.modalities:
        return f"modality {series.modality or 'unknown'}"
    codes = {found.code for found in series.findings}
    if "localizer" in codes:
        return "localizer"
    if (
        len(series.files) < recipe.input.min_slices
        and int(series.attributes.get("frames") or 1) < recipe.input.min_slices
    ):
        return f"fewer than {recipe.input.min_slices} slices"
    return ""


def _stat(path: str) -> tuple[str, int, int]:
    try:
        seen = os.stat(path)
    except OSError:
        return path, 0, 0
    return path, seen.st_size, seen.st_mtime_ns


def source_of(uids: Iterable[str], sizes: Iterable[tuple[str, int, int]], recipe: Recipe, names: Names) -> str:
    """Keyed hash of what a case is made from: series, files with size and time of change, and the recipe's voxel part.

    Equal hashes mean equal results, so a case whose source is in the cohort is done.
    """
    text = "\n".join([recipe.voxel_digest, *uids, *(f"{path}\t{size}\t{time}" for path, size, time in sorted(sizes))])
    return names.code(hashlib.sha256(text.encode()).hexdigest(), 32)


def _voxels(series: Any, recipe: Recipe) -> tuple[int, int]:
    """Voxels as read and on the recipe's grid, as far as headers tell."""
    row = series.attributes
    rows, columns = int(row.get("rows") or 0), int(row.get("columns") or 0)
    slices = max(len(series.files), int(row.get("frames") or 1))
    count = rows * columns * slices * max(1, int(row.get("samples") or 1))
    if recipe.resample.spacing is None:
        return count, count
    pixel = row.get("pixel_spacing") or (1.0, 1.0)
    try:
        step = float(row.get("spacing") or row.get("spacing_between_slices") or row.get("thickness") or 1.0)
        own = (step or 1.0, float(pixel[0]), float(pixel[1]))
    except (TypeError, ValueError, IndexError):
        own = (1.0, 1.0, 1.0)
    factor = math.prod(abs(old) / new for old, new in zip(own, recipe.resample.spacing, strict=True))
    return count, int(count * factor) + 1
