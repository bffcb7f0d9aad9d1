"""From a folder to a list of cases to make: which series are cases, which masks belong to them, what it will take."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..findings import CODES, Finding, worst
from ._names import Names
from ._recipe import Recipe
from ._task import Task

__all__ = ["Plan", "identifiers_in", "names_of", "plan_folder"]


@dataclass
class Plan:
    """What a run would do."""

    root: str
    tasks: list[Task] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)  # of files and of series that are no case
    left_out: Counter[str] = field(default_factory=Counter)
    identifiers: set[str] = field(default_factory=set)
    files: int = 0
    series: int = 0
    bytes_in: int = 0
    uids: set[str] = field(default_factory=set)  # of all series with images or masks


def plan_folder(root: Path, recipe: Recipe, key: bytes, *, threads: int | None = None) -> Plan:
    """Scan a folder of DICOM."""
    from .. import dicom

    if not root.is_dir():
        raise ArgumentError(f"input: no folder {str(root)!r}")
    table = dicom.scan(root, threads=threads)
    plan = Plan(str(root), files=table.num_rows, bytes_in=int(sum(filter(None, table.column("size").to_pylist()))))
    plan.identifiers = identifiers_in(table)
    names = Names(key, plan.identifiers)
    for path, code in zip(table.column("path").to_pylist(), table.column("finding").to_pylist(), strict=True):
        if code:
            plan.findings.append(Finding(code, "", names.path(path)))
    found = dicom.series(table, threads=threads)
    plan.series = len(found)
    plan.uids = {base_uid(series) for series in found if series.kind in ("image", "mask")}
    images = [series for series in found if series.kind == "image"]
    masks = _matched(images, [series for series in found if series.kind == "mask"], table, root, plan, names)
    for series in images:
        reason = _left_out(series, recipe)
        if reason:
            plan.left_out[reason] += 1
            plan.findings += [
                names.finding(f, plan.identifiers)
                for f in series.findings
                if CODES[f.code].severity in ("quarantine", "error")
            ]
            continue
        plan.tasks.append(_task(series, masks.get(series.uid, []), root, recipe, names, plan))
    for series in found:
        if series.kind not in ("image", "mask"):
            plan.left_out[f"no image ({series.modality or 'unknown'})"] += 1
    plan.tasks.sort(key=lambda task: task.case_id)
    return plan


def identifiers_in(table: Any) -> set[str]:
    """Names, ids and birth dates of all patients in a table of `dicom.scan`, by the rules of `dicom.identifiers_of`."""
    return identifying(
        *(
            (keyword, str(value))
            for name, keyword in _PATIENT.items()
            if name in table.column_names
            for value in table.column(name).unique().to_pylist()
            if value
        )
    )


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
    """For each file of a table of `dicom.scan` the name that findings and reports use for it."""
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


def _task(series: Any, masks: list[Any], root: Path, recipe: Recipe, names: Names, plan: Plan) -> Task:
    findings = []
    for found in series.findings:
        safe = names.finding(found, plan.identifiers, [Path(path).name for path in series.files])
        if found.code in recipe.input.tolerate and found.severity in ("quarantine", "error"):
            told = f"{found.code}: {safe.message or CODES[found.code].meaning}"
            safe = Finding("tolerated", told, safe.where, safe.details)
        findings.append(safe)
    sizes = [_stat(root, path) for one in (series, *masks) for path in one.files]
    voxels_in, voxels_out = _voxels(series, recipe)
    if worst(findings) in ("quarantined", "failed"):
        voxels_in = voxels_out = 0
    return Task(
        case_id=f"{(series.modality or 'xx').lower()}-{names.code(series.uid)}",
        source=source_of([series.uid, *(m.uid for m in masks)], sizes, recipe, names),
        modality=series.modality,
        series=series,
        masks=tuple(masks),
        findings=tuple(findings),
        bytes_in=sum(size for _, size, _ in sizes),
        voxels_in=voxels_in,
        voxels_out=voxels_out,
    )


def _stat(root: Path, path: Any) -> tuple[str, int, int]:
    full = Path(root, path)
    try:
        seen = full.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), seen.st_size, seen.st_mtime_ns


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


def _matched(
    images: list[Any], masks: list[Any], table: Any, root: Path, plan: Plan, names: Names
) -> dict[str, list[Any]]:
    """Series uid -> its masks: by the series or slices a mask refers to, else by frame of reference if only one fits."""
    by_uid: dict[str, list[Any]] = {}
    for series in images:
        by_uid.setdefault(base_uid(series), []).append(series)
    slices = dict(
        zip(table.column("sop_instance_uid").to_pylist(), table.column("series_uid").to_pylist(), strict=True)
    )
    found: dict[str, list[Any]] = {}
    for mask in masks:
        uids, instances = referenced(mask)
        wanted = dict.fromkeys([*uids, *(slices.get(instance) for instance in instances)])
        targets = [series for uid in wanted if uid for series in by_uid.get(uid, [])]
        if not targets:
            frame = mask.attributes.get("frame_of_reference_uid")
            near = [s for s in images if s.study_uid == mask.study_uid]
            targets = [s for s in near if frame and s.attributes.get("frame_of_reference_uid") == frame]
            targets = targets if len(targets) == 1 else []
        for series in targets:
            found.setdefault(series.uid, []).append(mask)
        if not targets:
            where = names.path(str(inside(mask.files[0], root))) if mask.files else ""
            plan.findings.append(Finding("mask-unmatched", "", where))
    return found


def inside(path: Any, root: Path) -> Path:
    """A path as seen from the root."""
    full = Path(path)
    for folder in (root, root.resolve()):
        if full.is_relative_to(folder):
            return full.relative_to(folder)
    return full


def base_uid(series: Any) -> str:
    """The series' own UID, without the suffix of a split."""
    return str(series.attributes.get("series_uid") or series.uid)


def referenced(mask: Any) -> tuple[list[str], list[str]]:
    """UIDs of the series, and of the slices, that a SEG or RTSTRUCT says it was drawn on."""
    import pydicom

    series: dict[str, None] = {}
    instances: dict[str, None] = {}
    for path in mask.files:
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            _collect(dataset, series, instances, 0)
        except Exception:  # noqa: S112  (whatever is wrong with the file, its reader will say it)
            continue
    return list(series), list(instances)


_MOST = 4096  # slices looked at; one that is known is enough


def _collect(dataset: Any, series: dict[str, None], instances: dict[str, None], depth: int) -> None:
    if depth > 8 or len(instances) > _MOST:
        return
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or ():
                _collect(item, series, instances, depth + 1)
        elif element.keyword == "SeriesInstanceUID" and depth:
            series[str(element.value)] = None
        elif element.keyword == "ReferencedSOPInstanceUID":
            instances[str(element.value)] = None
