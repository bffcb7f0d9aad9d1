"""Features of many cases as one table: a cohort, a CSV of image and mask files, or a folder. Parallel and resumable."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .. import config
from .._workers import Engine, check_executor
from ..errors import ArgumentError, FastimgError, FormatError, MissingError
from ..findings import Finding
from ._measure_table import journal_of, known_rows, write_table

__all__ = ["Measured", "measure_features"]

VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_MASK = re.compile(r"(?i)^(?P<image>.*?)[-_. ]?(?:mask|seg|segmentation|label|labelmap|roi)(?:[-_. ]?(?P<name>\w*))?$")


@dataclass
class Measured:
    """What `measure_features` did.

    Attributes
    ----------
    path : str
        The table.
    rows : int
        Rows of it, one a mask.
    made, skipped : int
        Cases measured now, and cases that an earlier run had measured.
    features : int
        Columns of features.
    findings : dict of str to int
        Rows by the code of their finding.
    """

    path: str
    rows: int = 0
    made: int = 0
    skipped: int = 0
    features: int = 0
    findings: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)


class _Work(NamedTuple):
    """One image with its masks."""

    case_id: str
    kind: str  # "files", "dicom" or "cohort"
    image: Any
    masks: tuple[tuple[str, Any, int | None], ...]  # name, where it is, label
    fingerprint: str
    finding: tuple[str, str] | None = None


class _Job(NamedTuple):
    settings: Any
    names: str
    threads: int


def measure_features(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Any = None,
    *,
    names: str = "pyradiomics",
    key: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    retry: bool = False,
    executor: Engine | None = None,
    on_case: Callable[[int, int, str, list[str]], None] | None = None,
) -> Measured:
    """Radiomic features of many cases, one row a mask, as Parquet or CSV.

    Parameters
    ----------
    source : path
        A cohort; a CSV with the columns image and mask, and perhaps case (or id), mask_name, label (capital letters do
        not matter; paths start at its folder); or a folder. In a folder, files `A.nii.gz` and `A_mask.nii.gz` (or _seg,
        _label, _roi, with a name behind it), or `image.*` and `mask.*` in one subfolder, make a pair; where there are
        none, its DICOM series with the SEG and RTSTRUCT objects that refer to them. Volumes: NIfTI (nibabel), NRRD and
        MetaImage (SimpleITK), a folder of DICOM slices; masks also a SEG or an RTSTRUCT.
    output : path
        Ends with .parquet or .csv.
    settings : radiomics.Settings, optional
        Default: `Settings()`.
    names : "pyradiomics" or "ibsi"
        Of the features.
    key : path, optional
        The site's key, for the codes that name DICOM series. Default: `output` with .key added, made if absent.
    workers : int, optional
        Processes. Default: one a core.
    retry : bool
        Measure rows with a finding again.
    executor : concurrent.futures.Executor, or a function that makes one, optional
        In place of own processes: any of those that `Cohort.map` takes.
    on_case : callable, optional
        Called with (done, total, case, codes of findings) after each case.

    Returns
    -------
    Measured

    Raises
    ------
    ArgumentError, FormatError
        The source or the output cannot be used.

    Notes
    -----
    Columns: case, mask, finding, message, fingerprint, with `settings.additional_info` those of `radiomics.diagnostics`
    as text, then the features. A case that cannot be measured is a row with a
    finding and without values; it stops nothing. After each case its rows go to a journal beside the output, so a run
    that was killed goes on; the table itself is replaced at the end, whole. Rows whose files and settings (by size and
    time of change) are unchanged are not measured again. Memory: `workers` images at a time, and the table.
    """
    from .. import radiomics
    from .._arrays import choice
    from ._pool import run_all

    check_executor(executor)
    settings = radiomics.Settings() if settings is None else settings
    if not isinstance(settings, radiomics.Settings):
        raise ArgumentError(f"settings: expected radiomics.Settings, got {type(settings).__name__}")
    choice("names", names, ("pyradiomics", "ibsi"))
    source, target = Path(source), Path(output)
    if target.suffix not in (".parquet", ".csv"):
        raise ArgumentError(f"output: must end with .parquet or .csv, got {target.name!r}")
    if workers is not None and (isinstance(workers, bool) or workers < 1):
        raise ArgumentError(f"workers: must be a positive whole number, got {workers!r}")
    digest = hashlib.sha256(repr((asdict(settings), names)).encode()).hexdigest()
    work = _planned(source, target, digest, key)
    if not work:
        raise ArgumentError(
            "source: no case found: no cohort, no table, no pairs of files and no DICOM series with masks"
        )
    known = known_rows(target, retry)
    pending = [one for one in work if one.fingerprint not in known]
    count = min(workers or config.threads(), max(1, len(pending)))
    job = _Job(settings, names, max(1, config.threads() // count))
    rows = {one.fingerprint: known.get(one.fingerprint, []) for one in work}
    target.parent.mkdir(parents=True, exist_ok=True)
    with journal_of(target).open("a", encoding="utf-8") as journal:
        outcomes: Iterator[Any] = run_all(_measured, job, pending, workers=count, executor=executor)  # type: ignore[arg-type]
        for done, (one, found) in enumerate(outcomes, 1):
            made = found if found is not None else [_row(one, "", "case-failed", "The process ended unexpectedly.")]
            rows[one.fingerprint] = made
            journal.write(json.dumps([one.fingerprint, made]) + "\n")
            journal.flush()
            if on_case is not None:
                on_case(done, len(pending), one.case_id, [row["finding"] for row in made if row["finding"]])
    table = [row for found in rows.values() for row in found]
    columns = write_table(target, table)
    journal_of(target).unlink()
    told: dict[str, int] = {}
    for row in table:
        if row["finding"]:
            told[row["finding"]] = told.get(row["finding"], 0) + 1
    return Measured(str(target), len(table), len(pending), len(work) - len(pending), columns, told)


def _row(one: Any, mask: str, code: str, message: str, **features: float) -> dict[str, Any]:
    row = {"case": one.case_id, "mask": mask, "finding": code, "message": message, "fingerprint": one.fingerprint}
    return {**row, **features}


def _measured(job: Any, one: Any) -> Any:
    """All rows of one image, in a worker."""
    from .. import radiomics

    if one.finding is not None:
        return [_row(one, "", *one.finding)]
    rows = []
    try:
        image, masks = _loaded(one)
        for name, label, take in masks:
            own = job.settings if label is None else _with_label(job.settings, label)
            try:
                mask = take()
                features = radiomics.extract(image, mask, own, names=job.names, threads=job.threads)
                row = _row(one, name, "", "", **{key: float(value) for key, value in features.items()})
                if own.additional_info:
                    row |= {key: str(value) for key, value in radiomics.diagnostics(image, mask, own).items()}
                rows.append(row)
            except FastimgError as error:
                rows.append(_row(one, name, "features-refused", str(error)))
    except FastimgError as error:
        return [_row(one, "", "read-refused", str(error))]
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        return [_row(one, "", "unreadable", f"The files cannot be read ({type(error).__name__}).")]
    except Exception as error:
        return [_row(one, "", "case-failed", f"An unexpected error ended the case ({type(error).__name__}).")]
    return rows or [_row(one, "", "mask-empty", "No mask belongs to this image.")]


def _with_label(settings: Any, label: int) -> Any:
    import dataclasses

    return dataclasses.replace(settings, label=label)


def _loaded(one: Any) -> tuple[Any, list[tuple[str, int | None, Callable[[], Any]]]]:
    if one.kind == "cohort":
        from ..cohort import Cohort

        case = Cohort.open(one.image)[one.case_id]
        stored = case.masks()
        return case.image(), [(name, None, partial(stored.__getitem__, name)) for name, _, _ in one.masks]
    image = _volume(one.image) if one.kind == "files" else _series(one.image)
    found: list[tuple[str, int | None, Callable[[], Any]]] = []
    for name, place, label in one.masks:
        if _is_dicom(place):
            from .. import dicom

            decoded = dicom.read_masks(place, like=image)
            chosen = [region for region in decoded if not name or name == region]
            if name and not chosen:
                raise ArgumentError("mask_name: the object has no such region")
            found += [(region, None, partial(decoded.__getitem__, region)) for region in chosen]
        else:
            found.append((name or "mask", label, partial(_volume, place)))
    return image, found


def _series(series: Any) -> Any:
    from .. import dicom

    return dicom.read(series)


def _volume(place: Any) -> Any:
    from ..image import Image

    path = Path(place)
    if path.is_dir() or not path.name.lower().endswith(VOLUMES):
        return _series(path)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return Image.from_nifti(path)
    try:
        import SimpleITK
    except ImportError as error:
        raise MissingError("reading NRRD and MetaImage needs SimpleITK: pip install 'fastimg[interop]'") from error
    return Image.from_sitk(SimpleITK.ReadImage(str(path)))


def _is_dicom(place: Any) -> bool:
    return not isinstance(place, (str, Path)) or not str(place).lower().endswith(VOLUMES)


# --- what there is to do ----------------------------------------------------------------------------------------------


def _planned(source: Path, target: Path, digest: str, key: Any) -> list[_Work]:
    if source.is_file():
        return list(_of_table(source, digest))
    if not source.is_dir():
        raise ArgumentError(f"source: no file or folder {source.name!r}")
    from ..cohort import Cohort

    try:
        cohort = Cohort.open(source)
    except FastimgError:
        cohort = None
    if cohort is not None:
        return [_of_case(source, case, digest) for case in cohort.cases()]
    pairs = list(_of_pairs(source, digest))
    return pairs or list(_of_dicom(source, target, digest, key))


def _of_case(source: Path, case: Any, digest: str) -> _Work:
    mark = _digest(digest, str(case.case_id), str(case.digest))
    bad = None if case.has_voxels else ("read-refused", "The case has no voxels in the cohort.")
    return _Work(
        case.case_id,
        "cohort",
        str(source),
        tuple((name, name, None) for name in case.mask_names if bad is None),
        mark,
        bad,
    )


def _of_table(path: Path, digest: str) -> Iterator[_Work]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.reader(stream))
    head = [name.strip().lower() for name in rows[0]] if rows else []
    for column in ("image", "mask"):
        if column not in head:
            raise FormatError(f"{path.name}:1: no column {column!r}; it has {', '.join(head) or 'none'}")
    if len(set(head)) != len(head):
        raise FormatError(f"{path.name}:1: a column name stands twice")
    grouped: dict[tuple[str, str], list[tuple[int, dict[str, str]]]] = {}
    for line, row in enumerate(rows[1:], 2):
        cells = dict(zip(head, (cell.strip() for cell in row), strict=False)) if len(row) == len(head) else {}
        case = cells.get("case") or cells.get("id") or ""
        grouped.setdefault((case or cells.get("image", ""), cells.get("image", str(line))), []).append((line, cells))
    for (case, image), members in grouped.items():
        first = members[0][0]
        name = case if case and case != image else f"row-{first}"
        bad: tuple[str, str] | None = None
        masks = []
        for line, cells in members:
            label: int | None = None
            if not cells or not cells.get("image") or not cells.get("mask"):
                bad = ("table-row", f"Line {line} has no image, no mask, or another number of cells.")
            elif cells.get("label"):
                try:
                    label = int(float(cells["label"]))
                except ValueError:
                    bad = ("table-row", f"Line {line}: label is not a number.")
            if cells:
                masks.append((cells.get("mask_name", ""), str(path.parent / cells.get("mask", "")), label))
        places = [str(path.parent / image), *(place for _, place, _ in masks)]
        if bad is None and not all(Path(place).exists() for place in places):
            bad = ("table-row", f"A file of line {first} is not there.")
        mark = _digest(digest, name, repr(masks), *map(_stamp, places))
        yield _Work(name, "files", places[0], tuple(masks), mark, bad)


def _of_pairs(root: Path, digest: str) -> Iterator[_Work]:
    """Pairs by name in each subfolder; an image without a mask, and a mask without an image, become findings."""
    found: dict[Path, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name.lower().endswith(VOLUMES):
            found.setdefault(path.parent, []).append(path)
    for folder, files in found.items():
        stems = {path: _stem(path) for path in files}
        marks = {path: match for path, stem in stems.items() if (match := _MASK.match(stem))}
        images = {stem: path for path, stem in stems.items() if path not in marks}
        masks: dict[Path, list[tuple[str, str, None]]] = {path: [] for path in images.values()}
        for path, match in marks.items():
            image = images.get(match["image"]) or (next(iter(images.values())) if len(images) == 1 else None)
            name = str((folder / stems[path]).relative_to(root))
            if image is None:
                told = ("mask-unmatched", "No image of this name lies beside the mask.")
                yield _Work(name, "files", str(path), (), _digest(digest, name, _stamp(str(path))), told)
            else:
                masks[image].append((match["name"] or "mask", str(path), None))
        for image, own in masks.items():
            name = str((folder / stems[image]).relative_to(root))
            bad = None if own else ("mask-empty", "No mask lies beside the image.")
            places = [str(image), *(place for _, place, _ in own)]
            yield _Work(name, "files", str(image), tuple(own), _digest(digest, name, *map(_stamp, places)), bad)


def _stem(path: Path) -> str:
    name = path.name
    for ending in sorted(VOLUMES, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _of_dicom(root: Path, target: Path, digest: str, key: Any) -> Iterator[_Work]:
    from .. import dicom
    from ._names import Names
    from ._plan import identifiers_in
    from ._references import References

    table = dicom.scan(root)
    series = dicom.series(table)
    images = [one for one in series if one.kind == "image"]
    if not images:
        return
    secret = dicom.load_key(key or target.with_name(f"{target.name}.key"), create=True)
    names = Names(secret, identifiers_in(table))
    drawn = [one for one in series if one.kind == "mask"]
    references = References()
    for mask in drawn:
        references.add(mask)
    references.look(table)
    owned = {one.uid: references.place(one, one.uid) for one in images}
    unmatched = []
    for number, alone, tag in references.left():
        if alone:
            owned[tag] = sorted([*owned[tag], number])
        else:
            unmatched.append(names.path(drawn[number].attributes["path"]))
    for one in images:
        own = [drawn[number] for number in owned[one.uid]]
        if not own:
            continue
        files = [path for part in (one, *own) for path in part.paths]
        case = f"{(one.modality or 'xx').lower()}-{names.code(one.uid)}"
        places = tuple(("", path, None) for part in own for path in part.paths)
        yield _Work(case, "dicom", one, places, _digest(digest, case, *map(_stamp, files)))
    for where in unmatched:
        finding = ("mask-unmatched", str(Finding("mask-unmatched")))
        yield _Work(where, "dicom", None, (), _digest(digest, where), finding)


def _stamp(place: str) -> str:
    try:
        seen = os.stat(place)
    except OSError:
        return f"{place} absent"
    return f"{place} {seen.st_size} {seen.st_mtime_ns}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
