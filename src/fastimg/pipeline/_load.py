"""A case from files to memory on the recipe's grid: captured, de-identified, read, looked at, resampled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FastimgError, FormatError, GeometryError
from ..findings import CODES, Finding, worst
from ..image import Image
from ._names import Names
from ._quality import quality
from ._recipe import Recipe
from ._task import Job, Task

__all__ = ["Loaded", "note", "prepared", "rectified"]


@dataclass
class Loaded:
    """A case in memory."""

    image: Image | None = None
    masks: dict[str, Image] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    identifiers: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)  # names that the reader's messages may hold
    series: Any = None  # dicom.Series
    drawn: tuple[Any, ...] = ()  # those of its masks
    clinical: list[str] = field(default_factory=list)  # names in the metadata that came from the table
    header: dict[str, Any] = field(default_factory=dict)  # de-identified
    deidentified: dict[str, Any] = field(default_factory=dict)  # what was done to headers

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


def prepared(job: Job, task: Task, names: Names, *, masks: bool = True) -> Loaded:
    """Read, look at, resample; stops where a finding sets the case aside."""
    case = Loaded(findings=list(task.findings))
    try:
        if task.uid:
            with case.step("headers"):
                _opened(case, job, task)
        _captured(case, job, task, names)
        if not case.stopped and case.series is not None:
            with case.step("deidentify"):
                _deidentified(case, job)
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
        note(case, Finding(code, str(error)), names)
    except MemoryError:
        note(case, Finding("case-failed", "Not enough memory."), names)
    except OSError as error:
        note(case, Finding("unreadable", error.strerror or type(error).__name__), names)
    except Exception as error:  # one broken case must not stop the batch; the type tells a developer where to look
        note(case, Finding("case-failed", f"{type(error).__name__} while reading."), names)
    return case


def _opened(case: Loaded, job: Job, task: Task) -> None:
    """The series, from its headers: those of a whole plan would take more memory than their reading takes time."""
    from ..dicom._series import reopened

    root = Path(job.root).resolve()
    case.files = [Path(path).name for paths in (task.paths, *(paths for _, paths in task.masks)) for path in paths]
    found = []
    for uid, paths in ((task.uid, task.paths), *task.masks):
        series = reopened(root, paths, {uid}).get(uid)
        if series is None:
            raise FormatError("unreadable: files of the series changed while it was waiting")
        found.append(series)
    case.series, case.drawn = found[0], tuple(found[1:])


def note(case: Loaded, found: Finding, names: Names) -> None:
    case.findings.append(names.finding(found, case.identifiers, case.files))


def _code_of(error: FastimgError) -> str:
    """The finding's code that an error of the reader names, or what its kind means."""
    text = str(error)
    named = next(
        (code for code in CODES if text.startswith(f"{code}:") or f"[{code}]" in text or f" {code}:" in text), None
    )
    if named is not None and CODES[named].severity in ("quarantine", "error"):
        return named
    return "read-refused" if isinstance(error, GeometryError) else "decode-failed"


def _captured(case: Loaded, job: Job, task: Task, names: Names) -> None:
    from .. import dicom

    with case.step("capture"):
        if case.series is not None:
            _captured_series(case, job)
        elif task.pair is not None:
            pair = task.pair
            case.identifiers |= set(pair.identifiers)
            case.metadata |= dict(pair.metadata)
            if pair.subject:
                case.metadata["subject"] = names.code(pair.subject, 32)
            if pair.site:
                case.metadata["site"] = case.metadata["batch"] = names.code(pair.site)
        case.metadata["modality"] = task.modality
        for name, value in list(case.metadata.items()):
            if isinstance(value, str) and dicom.residual([value], case.identifiers):
                del case.metadata[name]
                case.findings.append(Finding("identifier-removed", f"The value of {name} was left out."))
        clinical = job.clinical.get(str(case.metadata.get("subject", "")), {})
        case.clinical = [name for name in clinical if name not in case.metadata]
        case.metadata |= {name: clinical[name] for name in case.clinical}


def _captured_series(case: Loaded, job: Job) -> None:
    from .. import dicom

    kept = job.recipe.deidentify.keep_hashed
    for one in (case.series, *case.drawn):
        case.identifiers |= set(dicom.identifiers_of(one, keep_hashed=kept))
    case.metadata |= {
        name: value
        for name, value in dicom.capture(case.series, key=job.key, keep_hashed=kept).items()
        if isinstance(value, str | int | float | bool) and value != ""
    }
    for found in dicom.pixel_identity(case.series):
        if found.details.get("rule") in job.recipe.input.release:
            found = Finding("tolerated", f"{found.code}: {found.message}; the recipe releases it")
        case.findings.append(found)


def _deidentified(case: Loaded, job: Job) -> None:
    """After the capture, before any voxel is decoded: the header that is kept, and what forbids to keep the case."""
    from .. import dicom

    recipe = job.recipe.deidentify
    profile = dicom.Profile(
        key=job.key,
        dates="remove",
        retain_patient_characteristics=True,
        clean_descriptors=recipe.clean_descriptors,
        keep_hashed=recipe.keep_hashed,
        safe_private=dicom.SAFE_PRIVATE if recipe.safe_private else (),
    )
    report = dicom.Deidentified()
    for one in (case.series, *case.drawn):
        values, findings = dicom.header(one, profile, report=report)
        if one is case.series and recipe.header:
            case.header = values
        case.findings += [Finding(found.code) for found in findings]
    case.deidentified = report.to_dict()


def _read(case: Loaded, job: Job, task: Task, names: Names, *, masks: bool) -> None:
    if case.series is not None:
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


def _read_series(case: Loaded, job: Job, task: Task, names: Names, *, masks: bool) -> None:
    from .. import dicom

    recipe = job.recipe
    exact = recipe.resample.spacing is None and recipe.harmonize_for(task.modality).method == "none"
    options: dict[str, Any] = {"tolerate": recipe.input.tolerate, "threads": job.threads}
    options["dtype"] = "exact" if exact else "float32"
    try:
        image = dicom.read(case.series, suv=recipe.input.suv and task.modality == "PT", **options)
    except FormatError as error:
        if not str(error).startswith("suv-missing:"):
            raise
        note(case, Finding("suv-missing", str(error).partition(": ")[2]), names)
        image = dicom.read(case.series, **options)
    known = {(found.code, found.where) for found in case.series.findings}
    for record in image.metadata.get("findings", ()):
        found = Finding.from_dict(record)
        if (found.code, found.where) not in known and found.code not in recipe.input.tolerate:
            note(case, found, names)
    case.image = image.with_array(image.array, metadata={})
    for series in case.drawn if masks else ():
        read = dicom.read_masks(series, like=image)
        for found in read.findings:
            note(case, found, names)
        for name in list(read):
            if any(fnmatchcase(name, pattern) for pattern in recipe.input.masks):
                try:
                    _take(case, recipe, name, read[name], names)
                except FastimgError as error:
                    note(case, Finding("mask-grid", str(error)), names)


def _take(case: Loaded, recipe: Recipe, name: str, mask: Image, names: Names) -> None:
    """Keep a mask under the recipe's name for it; a second one of that name gets a number."""
    from .. import dicom

    renamed = next((new for pattern, new in recipe.input.rename if fnmatchcase(name.lower(), pattern.lower())), name)
    if dicom.residual([renamed], case.identifiers):
        case.findings.append(Finding("identifier-removed", "The name of a mask was replaced."))
        renamed = "mask"
    unique, number = renamed, 2
    while unique in case.masks:
        unique, number = f"{renamed} {number}", number + 1
    if case.image is not None and not case.image.same_grid(mask):
        note(case, Finding("mask-grid", "A mask lies on another grid than its image."), names)
        return
    if not np.asarray(mask.array).any():
        case.findings.append(Finding("mask-empty", "A mask has no voxel inside the image; it was left out."))
        return
    case.masks[unique] = mask


def _resampled(case: Loaded, recipe: Recipe) -> None:
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
