"""Files grouped into what is really one volume."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ..errors import ArgumentError
from ..findings import Finding
from ._axes import Candidate, arranged
from ._flat import described, is_flat
from ._geometry import normal_of, placed, stack
from ._rows import grouped
from ._scan import describe, scan
from ._units import is_localizer

__all__ = ["Series", "group_rows", "reopened", "series", "volumes_of"]

# Leading axes, in the order in which they are tried: (axis, column, whether the values differ from slice to slice).
_AXES = (
    ("b", "b_value", False),
    ("inversion", "inversion_time", False),
    ("echo", "echo_time", False),
    ("echo", "echo_number", False),
    ("t", "temporal_position", False),
    ("t", "trigger_time", True),
    ("t", "frame_reference_time", True),
    ("t", "acquisition_datetime", True),
    ("t", "acquisition_number", False),
    ("t", "acquisition_time", True),
)


@dataclass
class Series:
    """One volume's files, or the files of one mask or other object.

    Attributes
    ----------
    uid : str
        Series instance UID; ":2", ":3" ... are added where one series holds several volumes.
    kind : str
        "image", "mask" or "other".
    modality, study_uid, subject : str
        `subject` is the patient's identifier as it stands in the file.
    paths : list of str
        Of the files, in slice order: along the normal of the slices, within each leading index.
    files : list of Path
        The same.
    axes : tuple of (str, tuple)
        Leading axes with their values, where slices repeat at each position: "b" (s/mm2), "direction", "inversion" (ms),
        "echo" (ms, or number), "t" (the element's own unit, or an index).
    frames : tuple of int
        Of a file that holds several volumes, the frames (from 0) of this one; empty: all.
    axis, values : str or None, tuple
        The first of them.
    findings : list of Finding
        What is wrong; slices are named by their file's name.
    attributes : dict
        The scan's row of the first file.
    rows : list of dict
        The scan's row of each file.
    """

    uid: str
    kind: Literal["image", "mask", "other"]
    modality: str
    study_uid: str
    subject: str
    paths: list[str]
    findings: list[Finding] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    axes: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    frames: tuple[int, ...] = ()
    rows: list[dict[str, Any]] = field(default_factory=list, repr=False, compare=False)  # of the scan, one a file

    @cached_property
    def files(self) -> list[Path]:
        """The files, in slice order."""
        return [Path(path) for path in self.paths]

    @property
    def axis(self) -> str | None:
        """Name of the first leading axis."""
        return self.axes[0][0] if self.axes else None

    @property
    def values(self) -> tuple[Any, ...]:
        """Values along the first leading axis."""
        return self.axes[0][1] if self.axes else ()

    def __repr__(self) -> str:
        found = ", ".join(sorted({f.code for f in self.findings}))
        return f"<Series {self.kind} {self.modality}, {len(self.paths)} files{f', {found}' if found else ''}>"

    def _repr_html_(self) -> str:
        from .._notebook import series

        return series(self)


def series(root_or_table: Any, *, threads: int | None = None) -> list[Series]:
    """Group scanned files into volumes and order their slices.

    Files of one series are one volume where orientation, frame of reference and image type agree; positions that repeat
    make leading axes (b-value, inversion time, echo, time) where elements tell the repetitions apart. A multi-frame file is a
    volume of its own, or several where it holds stacks of several orientations; so is each projection or ultrasound image.
    Parts of a concatenation are one volume, and so are enhanced files of the same places that elements tell apart (a file a
    time point). A file without a Series Instance UID is in no series (`scan` says "no-series"). Nothing is averaged: gaps, uneven distances, duplicates, tilt and mixed orientations become findings that
    name the slice.

    Parameters
    ----------
    root_or_table : path or pyarrow.Table
        A folder, or the table of `scan`.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    list of Series
        In the order of their first files' paths.
    """
    table = root_or_table if hasattr(root_or_table, "to_pylist") else scan(root_or_table, threads=threads)
    root = Path(os.fsdecode((table.schema.metadata or {}).get(b"root", b"")))
    return group_rows(table, root)


def group_rows(table: Any, root: Path) -> list[Series]:
    """The series of a table whose paths are relative to `root`."""
    return [volume for _, volumes in volumes_of(table, root) for volume in volumes]


def volumes_of(table: Any, root: Path) -> Iterator[tuple[list[str], list[Series]]]:
    """For each series UID of a table whose paths are relative to `root`: the paths, and the volumes among them."""
    import pyarrow.compute as pc

    missing = {"path", "status", "series_uid", "image_position"} - set(table.column_names)
    if missing:
        raise ArgumentError(f"series: expected a folder or the table of dicom.scan; columns missing: {sorted(missing)}")
    known = pc.is_in(table["status"], value_set=_array(["image", "mask", "other"]))
    chosen = pc.and_(known, pc.is_valid(table["series_uid"]))
    wanted = table if pc.all(chosen).as_py() else table.filter(chosen)
    base = "" if root == Path() else str(root)
    for rows in grouped(wanted, "series_uid"):
        yield [row["path"] for row in rows], _volumes(rows, base)


def reopened(root: Path, paths: Sequence[str], uids: Collection[str]) -> dict[str, Series]:
    """Volumes by their UIDs, made again from all files of their series, as `volumes_of` names them."""
    table = describe([root / path for path in paths])
    table = table.set_column(table.column_names.index("path"), "path", _array(paths))
    return {volume.uid: volume for volume in group_rows(table, root) if volume.uid in uids}


def _array(values: Iterable[str]) -> Any:
    import pyarrow as pa

    return pa.array(list(values), pa.string())


def _volumes(rows: list[dict[str, Any]], root: str) -> list[Series]:
    plain: list[Series] = []
    slices: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    keys: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    enhanced = [row for row in rows if _is_enhanced(row)]
    together: dict[int, list[dict[str, Any]]] = {}  # by the first row; the others: nothing
    for group in _joined(enhanced, root) if len(enhanced) > 1 else []:
        together |= {id(row): [] for row in group}
        together[id(min(group, key=lambda row: row["path"]))] = group
    for row in rows:
        if id(row) in together:
            plain += [_files(group, root) for group in [together[id(row)]] if group]
        elif row["status"] == "image" and is_flat(row):
            plain.append(_projection(row, root))
        elif row["status"] == "image" and not _multi_frame(row):
            known = (id(row["image_orientation"]), row["frame_of_reference_uid"], row["image_type"])  # alive in `rows`
            key = keys.get(known)
            if key is None:
                key = keys[known] = _key(row)
            slices[key].append(row)
        else:
            plain += _several(row, root)
    volumes = [_volume(part, root) for group in slices.values() for part in _by_image_type(group)]
    orientations = {key[0] for key in slices if key[0] is not None}
    if len(orientations) > 1:
        text = f"the series holds {len(orientations)} orientations"
        for volume in volumes:
            volume.findings.append(Finding("mixed-orientation", text, os.path.basename(volume.paths[0])))
    volumes += plain
    for number, volume in enumerate(volumes[1:], 2):
        volume.uid = f"{volume.uid}:{number}"
    return volumes


def _multi_frame(row: dict[str, Any]) -> bool:
    return bool(row["multi_frame"]) or (row["frames"] or 1) > 1


def _is_enhanced(row: dict[str, Any]) -> bool:
    return bool(row["status"] == "image" and row["multi_frame"] and row["modality"] != "SM")


def _joined(rows: list[dict[str, Any]], root: str) -> list[list[dict[str, Any]]]:
    from ._joined import joined

    return joined(rows, root)


def _files(rows: list[dict[str, Any]], root: str) -> Series:
    """Enhanced files that are one volume."""
    from ._joined import parts_missing

    result = _base(rows[0], [os.path.join(root, row["path"]) for row in rows])
    result.rows = rows
    _describe(result, rows[0])
    result.findings += parts_missing(rows, result.paths)
    return result


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    orientation = row["image_orientation"]
    rounded = None if orientation is None else tuple(round(float(v), 3) + 0.0 for v in orientation)
    return rounded, row["frame_of_reference_uid"], is_localizer(row)


def _by_image_type(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Image types (magnitude and phase, original and derived) are volumes of their own where they share positions.

    Where they do not, they are parts of one stack: some scanners change the type, and the thickness, half-way.
    """
    types: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        types[row["image_type"]].append(row)
    if len(types) == 1:
        return [rows]
    places = [{tuple(row["image_position"] or ()) for row in group} for group in types.values()]
    if sum(map(len, places)) == len(set().union(*places)):
        return [rows]
    return list(types.values())


def _base(row: dict[str, Any], paths: list[str]) -> Series:
    return Series(
        uid=row["series_uid"],
        kind=row["status"],
        modality=row["modality"] or "",
        study_uid=row["study_uid"] or "",
        subject=row["patient_id"] or "",
        paths=paths,
        attributes=row,
        rows=[row],
    )


def _several(row: dict[str, Any], root: str) -> list[Series]:
    """The volumes of one file: an enhanced object may hold stacks of several orientations."""
    if not _is_enhanced(row):
        return [_one(row, root)]
    from ._joined import parts_missing
    from ._multiframe import stacks_of

    path = os.path.join(root, row["path"])
    missing = parts_missing([row], [path])
    stacks = stacks_of(path, int(row["frames"])) if (row["frames"] or 1) > 1 else [()]
    found = []
    for frames in stacks:
        one = _one(row, root)
        one.frames = frames
        one.findings += missing
        if len(stacks) > 1:
            text = f"the file holds {len(stacks)} stacks; this one has {len(frames)} frames from frame {frames[0] + 1}"
            one.findings.append(
                Finding("mixed-orientation", text, os.path.basename(one.paths[0]), {"stacks": len(stacks)})
            )
        found.append(one)
    return found


def _projection(row: dict[str, Any], root: str) -> Series:
    """A projection or an ultrasound image: each file is an image of its own."""
    row, findings = described(row, os.path.join(root, row["path"]))
    result = _one(row, root)
    result.findings = findings + result.findings
    return result


def _one(row: dict[str, Any], root: str) -> Series:
    result = _base(row, [os.path.join(root, row["path"])])
    if result.kind == "image":
        _describe(result, row)
    elif row["finding"]:
        result.findings.append(Finding(row["finding"], row["detail"] or "", os.path.basename(row["path"])))
    return result


def _describe(result: Series, row: dict[str, Any]) -> None:
    name = os.path.basename(result.paths[0])
    if is_localizer(row):
        result.findings.append(Finding("localizer", "", name))
    if row["lossy"] == "01":
        result.findings.append(Finding("lossy", "", name))


def _volume(rows: list[dict[str, Any]], root: str) -> Series:
    findings: list[Finding] = []
    rows = _without_copies(rows, findings)
    names = [os.path.basename(row["path"]) for row in rows]
    first = rows[0]
    result = _base(first, [])
    for name in ("rows", "columns", "samples", "photometric", "bits_allocated", "pixel_representation"):
        values = {row[name] for row in rows}
        if len(values) > 1:
            odd = next(row for row in rows if row[name] != first[name])
            text = f"{name} differs: {', '.join(sorted(map(str, values)))}"
            findings.append(Finding("mixed-attributes", text, os.path.basename(odd["path"]), {"attribute": name}))
    spacings = {tuple(row["pixel_spacing"] or ()) for row in rows}
    if len(spacings) > 1:
        findings.append(Finding("mixed-attributes", "pixel spacing differs", names[0], {"attribute": "pixel_spacing"}))
    normal = normal_of(first["image_orientation"] or ())
    positions = placed(rows)
    if positions is None or normal is None:
        order = sorted(range(len(rows)), key=lambda i: (rows[i]["instance_number"] or 0, rows[i]["path"]))
        what = [
            word
            for word, value in (
                ("positions", positions is not None and normal is not None),
                ("pixel spacing", first["pixel_spacing"]),
            )
            if not value
        ]
        findings.append(Finding("no-geometry", f"no usable {' and '.join(what)}", names[0]))
        chosen = order
    else:
        if first["pixel_spacing"] is None:
            findings.append(Finding("no-geometry", "no pixel spacing", names[0]))
        found = stack(positions, normal, names)
        findings.extend(found.findings)
        chosen = _with_leading(result, found.repeats, rows, root, findings)
        if len(found.order) == 1:
            findings.append(Finding("single-slice", "", names[0]))
    result.rows = [rows[i] for i in chosen]
    result.paths = [os.path.join(root, row["path"]) for row in result.rows]
    result.attributes = result.rows[0]
    _describe(result, result.attributes)
    result.findings = findings + result.findings
    return result


def _without_copies(rows: list[dict[str, Any]], findings: list[Finding]) -> list[dict[str, Any]]:
    """Rows with each SOP instance once; the first file in order of paths is kept."""
    seen: dict[str, str] = {}
    kept = []
    for row in rows:
        uid = row["sop_instance_uid"]
        if uid is not None and seen.setdefault(uid, row["path"]) != row["path"]:
            text = f"the same SOP instance as {os.path.basename(seen[uid])}; left out"
            findings.append(Finding("duplicate-instance", text, os.path.basename(row["path"])))
        else:
            kept.append(row)
    return kept


def _with_leading(
    result: Series, repeats: list[list[int]], rows: list[dict[str, Any]], root: str, findings: list[Finding]
) -> list[int]:
    """File order, leading index by leading index; sets the leading axes, or reports slices at the same position."""
    if all(len(group) == 1 for group in repeats):
        return [group[0] for group in repeats]
    names = [os.path.basename(row["path"]) for row in rows]
    candidates = [Candidate(axis, [row[column] for row in rows], ranked) for axis, column, ranked in _AXES]
    if result.modality == "MR" and all(row["b_value"] is None for row in rows):
        from ._private_b import b_values

        candidates.insert(0, Candidate("b", b_values([os.path.join(root, row["path"]) for row in rows], rows)))
    found = arranged(repeats, candidates, [row["instance_number"] for row in rows])
    if found is not None:
        order, axes = found
        result.axes = tuple(axes)
        return order
    kept = []
    for group in repeats:
        group = sorted(group, key=lambda i: (rows[i]["instance_number"] or 0, rows[i]["path"]))
        kept.append(group[0])
        for extra in group[1:]:
            text = f"{names[extra]} lies at the position of {names[group[0]]}"
            findings.append(
                Finding("duplicate-position", text, names[extra], {"position": rows[extra]["image_position"]})
            )
    return kept
