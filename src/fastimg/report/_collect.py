"""From a cohort to what its report shows."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np

from .._notebook import window
from .._png import thumbnail
from ..errors import FastimgError
from ..findings import Finding
from ..pipeline import Summary
from ..pipeline._compliance import load as compliance
from ._data import CaseView, ReportData
from ._html import MOST_PICTURES

__all__ = ["collect"]

STEPS = {
    "headers": "read the headers",
    "deidentify": "de-identify the headers",
    "capture": "capture and collect identifiers",
    "read": "read and decode",
    "quality": "look at the voxels",
    "resample": "resample",
    "harmonize": "harmonise intensities",
    "features": "radiomic features",
    "store": "store",
    "tables": "tables, ComBat, site effect",
}


def collect(cohort: Any, summary: Summary | None, *, pictures: bool) -> ReportData:
    """Everything of `cohort`; `summary` is that of its last run, if it was made by one."""
    data = ReportData(title=cohort.path.name, created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    taken = 0
    index = cohort.index
    units = dict(zip(index.column("case_id").to_pylist(), index.column("unit").to_pylist(), strict=True))
    for case in cohort.cases():
        view = _view(case)
        view.unit = units.get(case.case_id) or ""
        if pictures and case.has_voxels and taken < MOST_PICTURES:
            with suppress(FastimgError):  # a damaged case has no picture; `fastimg verify` tells why
                view.picture = _picture(case)
                taken += 1
        data.cases.append(view)
    if summary is not None:
        _from_summary(data, summary)
        data.identity = compliance(cohort.path) or {}
    return data


def _view(case: Any) -> CaseView:
    metadata, curves = case.metadata, case.provenance.get("curves") or {}
    view = CaseView(
        case.case_id,
        case.state,
        modality=str(metadata.get("modality", "")),
        site=str(metadata.get("site", "")),
        subject=str(metadata.get("subject", "")),
        findings=tuple(case.findings),
        before=curves.get("before"),
        after=curves.get("after"),
    )
    if case.has_voxels:
        view.shape = case.shape
        view.spacing = tuple(float(np.linalg.norm(case.affine[:3, axis])) for axis in range(3))
        view.masks = tuple(case.mask_names)
    return view


def _picture(case: Any) -> bytes:
    """The slice where the masks are largest, else the middle one; of leading axes the first."""
    depth = case.shape[-3]
    masks = {name: np.asarray(case.voxels((), mask=name)) != 0 for name in case.mask_names[:6]}
    area = sum((mask.sum((1, 2)) for mask in masks.values()), np.zeros(depth, np.int64))
    at = int(np.argmax(area)) if area.any() else depth // 2
    leading = tuple(slice(0, 1) for _ in case.shape[:-3])
    image = case.read((*leading, slice(at, at + 1), slice(None), slice(None)))
    plane = np.array(image.array, np.float32).reshape(image.array.shape[-2:])
    if image.padding is not None:
        plane[np.asarray(image.padding)[0]] = np.nan  # drawn dark, and no part of the grey scale
    low, high = window(plane, image.unit)
    stretch = image.spacing[1] / image.spacing[2]
    drawn = [mask[at] for mask in masks.values()]
    if abs(stretch - 1) > 0.02:
        plane, drawn = _square(plane, stretch), [_square(mask, stretch) for mask in drawn]
    return thumbnail(plane, drawn, low=low, high=high)


def _square(plane: Any, stretch: float) -> Any:
    """Rows repeated or dropped until pixels are square."""
    rows = np.minimum((np.arange(round(plane.shape[0] * stretch)) / stretch).astype(int), plane.shape[0] - 1)
    return plane[rows]


def _from_summary(data: ReportData, summary: Summary) -> None:
    data.description = summary.description
    data.counts = {"files read": summary.files, "series": summary.series}
    data.skipped = dict(summary.left_out)
    data.identifiers_left = summary.identifiers_left
    data.file_findings = [Finding.from_dict(record) for record in summary.file_findings]
    data.run_findings = [Finding.from_dict(record) for record in summary.run_findings]
    effect = summary.site_effect
    data.effect_before, data.effect_after = dict(effect.get("before", {})), dict(effect.get("after", {}))
    if effect:
        data.effect_rows = int(effect["rows"])
        data.effect_note = f"{effect['of']}: {effect['rows']} rows of {effect['features']} features."
    data.features = [(str(name), float(before), float(after)) for name, before, after in summary.feature_effects]
    data.steps = list(summary.recipe_steps)
    data.seconds = {STEPS.get(name, name): spent for name, spent in summary.steps.items()}
    if summary.done and summary.seconds:
        data.rates = {"cases a minute": f"{60 * summary.done / summary.seconds:.0f}"}
        data.throughput = {
            "DICOM read": f"{summary.bytes_in / 1e6 / summary.seconds:.3g} MB/s",
            "voxels stored": f"{summary.voxels / 1e6 / summary.seconds:.3g} million/s",
        }
    versions = summary.versions
    data.provenance = {
        "recipe": f"{summary.recipe}, digest {summary.recipe_digest}",
        "last run": f"{summary.started}, {summary.seconds:.1f} s, {summary.done} cases made, {summary.skipped} done before",
        "machine": f"{_some(summary.workers, 'process', 'es')} of {_some(summary.threads, 'thread', 's')}, {versions.get('isa', '')}, {versions.get('system', '')}",
        "fastimg": str(versions.get("fastimg", "")),
        "Python": str(versions.get("python", "")),
        "packages": ", ".join(f"{name} {found}" for name, found in versions.get("packages", {}).items()),
    }


def _some(count: int, name: str, plural: str) -> str:
    return f"{count} {name}{'' if count == 1 else plural}"
