"""One case from files to the cohort; runs in a worker process and never raises for what is wrong with the case.

The order is fixed: capture what later steps need, collect what identifies the patient, decode, look at the voxels,
resample, harmonise, measure, search everything that is about to be stored for those identifiers, store.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np

from .. import config
from ..errors import FastimgError, GeometryError
from ..findings import CODES, Finding, worst
from ..image import Image
from ._names import Names
from ._quality import quality
from ._recipe import Harmonize, Recipe, limits
from ._sketch import foreground, sketch, thinned
from ._task import Job, Outcome, Task

__all__ = ["make", "measure", "remeasure"]


@dataclass
class _Loaded:
    """A case in memory."""

    image: Image | None = None
    masks: dict[str, Image] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    identifiers: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return worst(self.findings)

    @property
    def stopped(self) -> bool:
        return self.state in ("quarantined", "failed")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def make(job: Job, task: Task) -> Outcome:
    """Make and store one case. Running it twice stores it once."""
    with config.use(threads=job.threads):
        names = Names(job.key, job.identifiers)
        case = _prepared(job, task, names)
        features: dict[str, dict[str, float]] = {}
        curves: dict[str, Any] = {}
        if not case.stopped:
            before = _curve(case)
            _harmonized(case, job, task)
            if not case.stopped and case.image is not None:
                curves = {"before": before[1], "after": sketch(thinned(np.asarray(case.image.array))[before[0]])}
                features = _features(case, job.recipe, names)
        return _stored(job, task, case, names, features, curves)


def measure(job: Job, task: Task) -> Outcome:
    """First pass of Nyul: the case's landmarks, on the grid they will be used on."""
    from .. import harmonize

    with config.use(threads=job.threads):
        case = _prepared(job, task, Names(job.key, job.identifiers), masks=False)
        outcome = Outcome(task.case_id, case.state, seconds=case.seconds)
        if case.image is not None and not case.stopped:
            try:
                with case.step("harmonize"):
                    outcome.model = (
                        _nyul(harmonize, job.recipe.harmonize_for(task.modality)).partial_fit(case.image).to_dict()
                    )
            except FastimgError as error:
                outcome.note = str(error)
        return outcome


def remeasure(job: Job, task: Task) -> Outcome:
    """Features of a stored case, after the recipe's radiomics section changed."""
    from ..cohort import Cohort

    with config.use(threads=job.threads):
        cohort = Cohort.open(job.cohort, mode="r+")
        stored = cohort[task.case_id]
        case = _Loaded(image=stored.image(), masks=dict(stored.masks()))
        cohort.set_features(task.case_id, _features(case, job.recipe, Names(job.key)))
        return Outcome(task.case_id, stored.state)


def _nyul(harmonize: Any, own: Harmonize) -> Any:
    low, high = limits(own)
    return harmonize.Nyul(low=low, high=high)


# reading ----------------------------------------------------------------------------------------------------------------


def _prepared(job: Job, task: Task, names: Names, *, masks: bool = True) -> _Loaded:
    """Read, look at, resample; stops where a finding sets the case aside."""
    case = _Loaded(findings=list(task.findings))
    try:
        _captured(case, job, task, names)
        if not case.stopped:
            with case.step("read"):
                _read(case, job, task, names, masks=masks)
        if case.image is not None and not case.stopped:
            with case.step("quality"):
                case.findings += quality(case.image)
        if case.image is not None and not case.stopped:
            with case.step("resample"):
                _resampled(case, job.recipe)
    except FastimgError as error:
        code = "resample-refused" if case.image is not None else _code_of(error)
        _note(case, Finding(code, str(error)), names)
    except MemoryError:
        _note(case, Finding("case-failed", "Not enough memory."), names)
    except OSError as error:
        _note(case, Finding("unreadable", error.strerror or type(error).__name__), names)
    except Exception as error:  # one broken case must not stop the batch; the type tells a developer where to look
        _note(case, Finding("case-failed", f"{type(error).__name__} while reading."), names)
    return case


def _note(case: _Loaded, found: Finding, names: Names) -> None:
    case.findings.append(names.finding(found, case.identifiers))


def _code_of(error: FastimgError) -> str:
    """The finding's code that an error of the reader names, or what its kind means."""
    text = str(error)
    named = next(
        (code for code in CODES if text.startswith(f"{code}:") or f"[{code}]" in text or f" {code}:" in text), None
    )
    if named is not None and CODES[named].severity in ("quarantine", "error"):
        return named
    return "mixed-attributes" if isinstance(error, GeometryError) else "decode-failed"


def _captured(case: _Loaded, job: Job, task: Task, names: Names) -> None:
    with case.step("capture"):
        if task.series is not None:
            _captured_series(case, job, task)
        elif task.pair is not None:
            pair = task.pair
            case.identifiers |= set(pair.identifiers)
            case.metadata |= dict(pair.metadata)
            if pair.subject:
                case.metadata["subject"] = names.code(pair.subject, 32)
            if pair.site:
                case.metadata["site"] = case.metadata["batch"] = names.code(pair.site)
        case.metadata["modality"] = task.modality
        clinical = dict(job.clinical).get(str(case.metadata.get("subject", "")), {})
        for name, value in clinical.items():
            case.metadata.setdefault(name, value)


def _captured_series(case: _Loaded, job: Job, task: Task) -> None:
    from .. import dicom

    for one in (task.series, *task.masks):
        case.identifiers |= set(dicom.identifiers_of(one))
    case.metadata |= {
        name: value
        for name, value in dicom.capture(task.series, key=job.key).items()
        if isinstance(value, str | int | float | bool) and value != ""
    }
    case.findings += dicom.pixel_identity(task.series.attributes, release=job.recipe.input.release)


def _read(case: _Loaded, job: Job, task: Task, names: Names, *, masks: bool) -> None:
    if task.series is not None:
        _read_series(case, job, task, names, masks=masks)
    elif task.pair is not None:
        image = Image.from_nifti(Path(job.root, task.pair.image))
        unit = image.unit or ("HU" if task.modality == "CT" else None)
        case.image = image.with_array(image.array, unit=unit, metadata={})
        for name, path in task.pair.masks if masks else ():
            mask = Image.from_nifti(Path(job.root, path))
            _take(
                case,
                job.recipe,
                name,
                mask.with_array((np.asarray(mask.array) != 0).astype(np.uint8), metadata={}),
                names,
            )


def _read_series(case: _Loaded, job: Job, task: Task, names: Names, *, masks: bool) -> None:
    from .. import dicom

    recipe = job.recipe
    exact = recipe.resample.spacing is None and recipe.harmonize_for(task.modality).method == "none"
    image = dicom.read(
        task.series,
        dtype="exact" if exact else "float32",
        tolerate=recipe.input.tolerate,
        suv=recipe.input.suv and task.modality == "PT",
        threads=job.threads,
    )
    known = {(found.code, found.where) for found in task.series.findings}
    for record in image.metadata.get("findings", ()):
        found = Finding.from_dict(record)
        if (found.code, found.where) not in known and found.code not in recipe.input.tolerate:
            _note(case, found, names)
    case.image = image.with_array(image.array, metadata={})
    for series in task.masks if masks else ():
        read = dicom.read_masks(series, like=image)
        for found in read.findings:
            _note(case, found, names)
        for name in list(read):
            if any(fnmatchcase(name, pattern) for pattern in recipe.input.masks):
                try:
                    _take(case, recipe, name, read[name], names)
                except FastimgError as error:
                    _note(case, Finding("mask-grid", str(error)), names)


def _take(case: _Loaded, recipe: Recipe, name: str, mask: Image, names: Names) -> None:
    """Keep a mask under the recipe's name for it; a second one of that name gets a number."""
    renamed = next((new for pattern, new in recipe.input.rename if fnmatchcase(name.lower(), pattern.lower())), name)
    unique, number = renamed, 2
    while unique in case.masks:
        unique, number = f"{renamed} {number}", number + 1
    if case.image is not None and not case.image.same_grid(mask):
        _note(case, Finding("mask-grid", "A mask lies on another grid than its image."), names)
        return
    if not np.asarray(mask.array).any():
        case.findings.append(Finding("mask-empty", "A mask has no voxel inside the image; it was left out."))
        return
    case.masks[unique] = mask


# voxels -----------------------------------------------------------------------------------------------------------------


def _resampled(case: _Loaded, recipe: Recipe) -> None:
    from .. import resampling

    image, grid = case.image, recipe.resample
    assert image is not None
    spacing = grid.spacing
    target: dict[str, Any] = {"spacing": spacing}
    if image.is_sheared:
        affine, shape = rectified(image, spacing or image.spacing)
        target = {"affine": affine, "shape": shape}
    elif spacing is None or np.allclose(image.spacing, spacing, rtol=1e-6, atol=0):
        return
    options: dict[str, Any] = {"order": grid.order, "cval": "edge"}
    if grid.antialias:
        options["antialias"] = True
    case.image = resampling.resample(image, **target, **options)
    for name, mask in case.masks.items():
        if grid.mask_order == "nearest":
            case.masks[name] = resampling.resample(mask, like=case.image, order="nearest")
        else:
            share = mask.with_array(np.asarray(mask.array, np.float32), unit="arbitrary")
            share = resampling.resample(share, like=case.image, order="linear")
            case.masks[name] = share.with_array((np.asarray(share.array) >= 0.5).astype(np.uint8), unit="label")
    empty = [name for name, mask in case.masks.items() if not np.asarray(mask.array).any()]
    for name in empty:
        del case.masks[name]
        case.findings.append(Finding("mask-empty", "A mask vanished on the common grid; it was left out."))


def rectified(image: Image, spacing: tuple[float, float, float]) -> tuple[Any, tuple[int, int, int]]:
    """A rectangular grid around a sheared volume: rows and columns keep their directions, slices stand on them."""
    affine = image.affine
    x = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    y = affine[:3, 1] - x * (affine[:3, 1] @ x)
    y /= np.linalg.norm(y)
    z = np.cross(x, y)
    z = z if z @ affine[:3, 0] > 0 else -z
    axes = np.stack([z, y, x], 1)
    last = np.array(image.shape[-3:]) - 1
    corners = np.array([[*(index * last), 1] for index in map(np.array, np.ndindex(2, 2, 2))], float)
    inside = corners @ affine.T[:, :3] @ axes
    start = inside.min(0)
    counts = np.floor((inside.max(0) - start) / np.array(spacing) + 1e-6).astype(int) + 1
    grid = np.eye(4)
    grid[:3, :3] = axes * np.array(spacing)
    grid[:3, 3] = axes @ start
    return grid, (int(counts[0]), int(counts[1]), int(counts[2]))


def _curve(case: _Loaded) -> tuple[Any, dict[str, Any] | None]:
    """Which of the thinned voxels are the patient, and the sketch of their values."""
    assert case.image is not None
    values = thinned(np.asarray(case.image.array))
    where = foreground(values)
    return where, sketch(values[where])


def _harmonized(case: _Loaded, job: Job, task: Task) -> None:
    from .. import harmonize

    own = job.recipe.harmonize_for(task.modality)
    if own.method == "none" or case.image is None:
        return
    low, high = limits(own)
    try:
        with case.step("harmonize"):
            if own.method == "zscore":
                case.image = harmonize.zscore(case.image)
            elif own.method == "percentile":
                case.image = harmonize.percentile(case.image, low=low, high=high)
            elif own.method == "window":
                case.image = harmonize.window(case.image, low=low, high=high)
            else:
                model = dict(job.models).get(task.modality)
                if model is None:
                    raise FastimgError("no common scale could be learned for this modality")
                case.image = harmonize.Nyul.from_dict(model).transform(case.image)
    except FastimgError as error:
        case.findings.append(Finding("harmonize-refused", str(error)))


def _features(case: _Loaded, recipe: Recipe, names: Names) -> dict[str, dict[str, float]]:
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
                _note(case, Finding("features-refused", str(error)), names)
            except Exception as error:  # as above: the other masks and cases go on
                _note(case, Finding("features-refused", f"{type(error).__name__} in a feature."), names)
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
    job: Job, task: Task, case: _Loaded, names: Names, features: Mapping[str, Any], curves: Mapping[str, Any]
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
    case.findings = [names.finding(found, case.identifiers) for found in case.findings]
    caught = _residual(case, features, provenance)
    if caught:
        case.findings = [Finding(found.code) for found in case.findings] + [
            Finding(
                "identifier-left", f"{caught} of the texts about to be stored held an identifier; nothing was stored."
            )
        ]
        case.metadata = {name: case.metadata[name] for name in ("modality", "subject", "site") if name in case.metadata}
        provenance.pop("curves")
        if _residual(_Loaded(metadata=case.metadata, findings=case.findings, identifiers=case.identifiers), {}, {}):
            case.metadata = {}
    outcome = Outcome(task.case_id, case.state, [f.code for f in case.findings], case.seconds, bytes_in=task.bytes_in)
    outcome.identifiers_caught = caught
    cohort = Cohort.open(job.cohort, mode="r+")
    with case.step("store"):
        if case.stopped or case.image is None:
            state = case.state if case.stopped else "failed"
            cohort.record(
                task.case_id,
                state,
                findings=case.findings,
                source=task.source,
                metadata=case.metadata,
                provenance=provenance,
                replace=True,
            )
            outcome.state = state
        else:
            outcome.voxels = int(np.prod(case.image.shape))
            cohort.add(
                task.case_id,
                case.image,
                case.masks,
                case.metadata,
                source=task.source,
                findings=case.findings,
                features=features or None,
                provenance=provenance,
                replace=True,
                threads=job.threads,
            )
    return outcome


def _residual(case: _Loaded, features: Mapping[str, Any], provenance: Mapping[str, Any]) -> int:
    """How many of the texts that would be stored hold one of the patient's identifiers."""
    from .. import dicom

    texts = [json.dumps(case.metadata, ensure_ascii=False, default=str), *case.masks, *features]
    texts += [json.dumps(found.to_dict(), ensure_ascii=False, default=str) for found in case.findings]
    texts += [json.dumps({k: v for k, v in provenance.items() if k in ("recipe", "versions")}, ensure_ascii=False)]
    return len(dicom.residual(texts, case.identifiers))
