"""One case from files to the cohort; runs in a worker process and never raises for what is wrong with the case.

The order is fixed: capture what later steps need, collect what identifies the patient, de-identify the header, decode,
look at the voxels, resample, harmonise, measure, search everything that is about to be stored for those identifiers, store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np

from .. import config
from ..errors import FastimgError, GeometryError, RefusedError
from ..findings import Finding
from ..image import Image
from ._load import Loaded, note, prepared
from ._names import Names, telling
from ._recipe import Harmonize, Recipe, limits
from ._references import base_uid
from ._sketch import foreground, sketch, thinned
from ._task import Job, Outcome, Task

__all__ = ["make", "measure", "remeasure"]


def make(job: Job, task: Task) -> Outcome:
    """Make and store one case. Running it twice stores it once: a worker may die after the commit and before it told."""
    there = _made_before(job, task)
    if there is not None:
        return there
    with config.use(threads=job.threads):
        names = _names(job.key, job.identifiers)
        case = prepared(job, task, names)
        features: dict[str, dict[str, float]] = {}
        curves: dict[str, Any] = {}
        if not case.stopped:
            before = _curve(case)
            _harmonized(case, job, task)
            if not case.stopped and case.image is not None:
                curves = {"before": before[1], "after": sketch(thinned(np.asarray(case.image.array))[before[0]])}
                features = _features(case, job.recipe, names)
        return _stored(job, task, case, names, features, curves)


@lru_cache(1)
def _names(key: bytes, identifiers: frozenset[str]) -> Names:
    """Made once a worker: there are as many identifiers as patients."""
    return Names(key, identifiers)


def _made_before(job: Job, task: Task) -> Outcome | None:
    """What became of the task if this run, or another one beside it, has committed it already."""
    from ..cohort import Cohort

    cohort = Cohort.open(job.cohort)
    if task.case_id not in cohort:
        return None
    stored = cohort[task.case_id]
    if stored.source != task.source or stored.state == "failed":
        return None
    voxels = int(np.prod(stored.shape)) if stored.has_voxels else 0
    codes = [found.code for found in stored.findings]
    return Outcome(task.case_id, stored.state, codes, voxels=voxels, bytes_in=task.bytes_in)


def measure(job: Job, task: Task) -> Outcome:
    """First pass of Nyul: the case's landmarks, on the grid they will be used on."""
    from .. import harmonize

    with config.use(threads=job.threads):
        case = prepared(job, task, _names(job.key, job.identifiers), masks=False)
        outcome = Outcome(task.case_id, case.state, seconds=case.seconds)
        if case.image is not None and not case.stopped:
            try:
                own = job.recipe.harmonize_for(task.modality)
                with case.step("harmonize"):
                    model = _nyul(harmonize, own).partial_fit(case.image, mask=_region(case.image, own))
                outcome.model = model.to_dict()
            except FastimgError as error:
                outcome.note = str(error)
        return outcome


def remeasure(job: Job, task: Task) -> Outcome:
    """Features of a stored case, after the recipe's radiomics section changed."""
    from ..cohort import Cohort

    with config.use(threads=job.threads):
        cohort = Cohort.open(job.cohort, mode="r+")
        stored = cohort[task.case_id]
        case = Loaded(image=stored.image(), masks=dict(stored.masks()))
        cohort.set_features(task.case_id, _features(case, job.recipe, Names(job.key)))
        return Outcome(task.case_id, stored.state)


def _nyul(harmonize: Any, own: Harmonize) -> Any:
    low, high = limits(own)
    return harmonize.Nyul(low=low, high=high)


# voxels -----------------------------------------------------------------------------------------------------------------


def _curve(case: Loaded) -> tuple[Any, dict[str, Any] | None]:
    """Which of the thinned voxels are the patient, and the sketch of their values."""
    assert case.image is not None
    values = thinned(np.asarray(case.image.array))
    inside = None
    if case.image.padding is not None:
        inside = thinned(np.ascontiguousarray(np.broadcast_to(~np.asarray(case.image.padding), case.image.shape)))
    where = foreground(values, inside)
    return where, sketch(values[where])


def _harmonized(case: Loaded, job: Job, task: Task) -> None:
    from .. import harmonize

    own = job.recipe.harmonize_for(task.modality)
    if own.method == "none" or case.image is None:
        return
    low, high = limits(own)
    try:
        with case.step("harmonize"):
            if own.method == "zscore":
                case.image = harmonize.zscore(case.image, mask=_region(case.image, own))
            elif own.method == "percentile":
                case.image = harmonize.percentile(case.image, mask=_region(case.image, own), low=low, high=high)
            elif own.method == "window":
                case.image = harmonize.window(case.image, low=low, high=high)
            else:
                model = dict(job.models).get(task.modality)
                if model is None:
                    raise FastimgError("no common scale could be learned for this modality")
                scale = harmonize.Nyul.from_dict(model)
                case.image = scale.transform(case.image, mask=_region(case.image, own))
    except FastimgError as error:
        case.findings.append(Finding("harmonize-refused", str(error)))


def _region(image: Image, own: Harmonize) -> Any:
    """The voxels that are measured: None for all but the padding."""
    if own.region == "all":
        return None
    array = np.asarray(image.array)
    if image.padding is None:
        return foreground(array)
    inside = np.broadcast_to(~np.asarray(image.padding), array.shape)
    return foreground(array, inside)


def _features(case: Loaded, recipe: Recipe, names: Names) -> dict[str, dict[str, float]]:
    from .. import radiomics

    if not recipe.radiomics.enabled or not case.masks or case.image is None:
        return {}
    found: dict[str, dict[str, float]] = {}
    with case.step("features"):
        settings = settings_of(recipe)
        for name, mask in case.masks.items():
            try:
                if len(case.image.shape) > 3:
                    raise GeometryError(f"the image has {len(case.image.shape)} axes; features are of three")
                values = radiomics.extract(case.image, mask, settings, names=recipe.radiomics.names)
                found[name] = {feature: float(value) for feature, value in values.items()}
            except FastimgError as error:
                note(case, Finding("features-refused", str(error)), names)
            except Exception as error:  # as above: the other masks and cases go on
                note(case, Finding("features-refused", f"{type(error).__name__} in a feature."), names)
    return found


def settings_of(recipe: Recipe) -> Any:
    """The radiomics settings that a recipe asks for."""
    from .. import radiomics

    own = recipe.radiomics
    if own.settings is not None:
        with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(recipe.settings_text)
            file.flush()
            return radiomics.Settings.from_yaml(file.name)
    given: dict[str, Any] = {"compat": own.compat}
    if own.bin_width is not None:
        given["bin_width"] = own.bin_width
    if own.bin_count is not None:
        given["bin_number"] = own.bin_count
    if own.classes:
        given["families"] = own.classes
    return radiomics.Settings(**given)


# storing ----------------------------------------------------------------------------------------------------------------


def _stored(
    job: Job, task: Task, case: Loaded, names: Names, features: Mapping[str, Any], curves: Mapping[str, Any]
) -> Outcome:
    from ..cohort import Cohort

    provenance: dict[str, Any] = {
        "recipe": job.recipe.name,
        "voxels": job.recipe.voxel_digest,
        "features": job.recipe.feature_digest,
        "seconds": {name: round(spent, 4) for name, spent in case.seconds.items()},
        "curves": dict(curves),
        "versions": dict(job.versions),
    }
    if case.clinical:
        provenance["clinical"] = case.clinical
    if case.deidentified:
        provenance["deidentified"] = case.deidentified
    if case.header:
        provenance["header"] = case.header
    case.findings = [names.finding(found, case.identifiers, case.files) for found in case.findings]
    caught = _residual(case, provenance)
    if caught:
        case.findings = [Finding(found.code) for found in case.findings] + [
            Finding(
                "identifier-left", f"{caught} of the texts about to be stored held an identifier; nothing was stored."
            )
        ]
        case.metadata = {name: case.metadata[name] for name in ("modality", "subject", "site") if name in case.metadata}
        for name in ("curves", "header"):
            provenance.pop(name, None)
        if _residual(Loaded(metadata=case.metadata, findings=case.findings, identifiers=case.identifiers), {}):
            case.metadata = {}
    outcome = Outcome(task.case_id, case.state, [f.code for f in case.findings], case.seconds, bytes_in=task.bytes_in)
    outcome.identifiers_caught = caught
    cohort = Cohort.open(job.cohort, mode="r+")
    try:
        with case.step("store"):
            _write(cohort, job, task, case, features, provenance, outcome)
    except RefusedError:  # removed from the cohort while it was being made
        outcome.state = "removed"
    return outcome


def _write(
    cohort: Any,
    job: Job,
    task: Task,
    case: Loaded,
    features: Mapping[str, Any],
    provenance: Mapping[str, Any],
    outcome: Outcome,
) -> None:
    shared: dict[str, Any] = {
        "source": task.source,
        "findings": case.findings,
        "provenance": provenance,
        "series": _made_of(case, job.key),
        "replace": True,
        "listed": False,
    }
    if case.stopped or case.image is None:
        outcome.state = case.state if case.stopped else "failed"
        cohort.record(task.case_id, outcome.state, metadata=case.metadata, **shared)
    else:
        outcome.voxels = int(np.prod(case.image.shape))
        cohort.add(
            task.case_id,
            case.image,
            case.masks,
            case.metadata,
            features=features or None,
            levels=job.recipe.store.levels,
            threads=job.threads,
            **shared,
        )


def _made_of(case: Loaded, key: bytes) -> list[dict[str, Any]]:
    """The case's image series and those of its masks, by pseudonyms; none of them where headers could not be read."""
    from .. import dicom

    if case.series is None:
        return []
    image = dicom.pseudonym(base_uid(case.series), key=key)
    found: list[dict[str, Any]] = [
        {"series": image, "modality": case.series.modality or "", "kind": "image", "image": None}
    ]
    for one in case.drawn:
        code = dicom.pseudonym(base_uid(one), key=key)
        found.append({"series": code, "modality": one.modality or "", "kind": "mask", "image": image})
    return found


def _residual(case: Loaded, provenance: Mapping[str, Any]) -> int:
    """How many of the texts that would be stored hold one of the patient's identifiers."""
    from .. import dicom

    data = [str(value) for value in case.metadata.values()] + list(case.masks) + [provenance.get("header", {})]
    own = [json.dumps(found.to_dict(), ensure_ascii=False, default=str) for found in case.findings]
    own += [str(provenance.get("recipe", "")), str(provenance.get("versions", ""))]
    return len(dicom.residual(data, case.identifiers)) + len(dicom.residual(own, telling(case.identifiers)))
