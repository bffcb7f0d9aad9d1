"""A table of NIfTI files as input: a CSV with the columns image and mask, and others that become metadata."""

from __future__ import annotations

import csv
import gzip
import math
import struct
from pathlib import Path

from ..errors import ArgumentError, FormatError
from ..findings import Finding
from ._clinical import _value
from ._names import Names
from ._plan import Plan, identifying, source_of
from ._recipe import MODALITIES, Recipe
from ._schema import nearest
from ._task import Pair, Task

__all__ = ["plan_pairs"]

PATHS = ("image", "mask")
KNOWN = (*PATHS, "mask_name", "modality", "subject", "site")
LARGEST = 64 << 20


def plan_pairs(table: Path, recipe: Recipe, key: bytes) -> Plan:
    """Read the table. Rows with the same image are one case with several masks; paths start at the table's folder.

    Columns: `image`, `mask` (may be empty), `mask_name` (default "mask"), `modality` (default CT), `subject`, `site`;
    all others must hold numbers or short texts and become metadata of the case.

    Raises
    ------
    ArgumentError, FormatError
        No such file, no column `image`, a row with more or fewer cells, a modality that does not exist: with its line.
    """
    if not table.is_file():
        raise ArgumentError(f"input: no folder and no table {table.name!r}")
    if table.stat().st_size > LARGEST:
        raise FormatError(f"{table.name}: larger than {LARGEST >> 20} MiB")
    with table.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.reader(stream))
    head = [name.strip() for name in rows[0]] if rows else []
    if "image" not in head:
        raise FormatError(f"{table.name}:1: no column 'image'; {nearest('image', head or ['(empty)'])}")
    if len(set(head)) != len(head):
        raise FormatError(f"{table.name}:1: a column name stands twice")
    plan = Plan(str(table.parent), files=0)
    grouped: dict[str, list[dict[str, str]]] = {}
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(head):
            raise FormatError(f"{table.name}:{line}: {len(row)} cells, expected {len(head)}")
        cells = {name: cell.strip() for name, cell in zip(head, row, strict=True)}
        if cells.get("modality", "CT") not in (*MODALITIES, ""):
            raise FormatError(f"{table.name}:{line}: modality: {nearest(cells['modality'], MODALITIES)}")
        if not cells["image"]:
            raise FormatError(f"{table.name}:{line}: image is empty")
        grouped.setdefault(cells["image"], []).append(cells)
    plan.identifiers = set().union(*(_known(rows[0]) for rows in grouped.values()))
    names = Names(key, plan.identifiers)
    for image, cells_of in grouped.items():
        _add(plan, image, cells_of, recipe, names)
    plan.series = len(grouped)
    return plan


def _known(row: dict[str, str]) -> set[str]:
    """What identifies the patient and the place of a row."""
    subject, site = row.get("subject", ""), row.get("site", "")
    return identifying(("PatientID", subject), ("PatientName", subject), ("InstitutionName", site))


def _add(plan: Plan, image: str, rows: list[dict[str, str]], recipe: Recipe, names: Names) -> None:
    first = rows[0]
    modality = first.get("modality") or "CT"
    if modality not in recipe.input.modalities:
        plan.left_out[f"modality {modality}"] += 1
        return
    masks = tuple((row.get("mask_name") or "mask", row["mask"]) for row in rows if row.get("mask"))
    sizes, missing = [], False
    for path in dict.fromkeys([image, *(path for _, path in masks)]):
        try:
            seen = Path(plan.root, path).stat()
        except OSError:
            plan.findings.append(Finding("table-row", "A file of the table is not there.", names.path(path)))
            missing = True
            continue
        sizes.append((path, seen.st_size, seen.st_mtime_ns))
    plan.files += len(sizes)
    plan.bytes_in += sum(size for _, size, _ in sizes)
    subject = first.get("subject", "")
    extra = tuple((name, _value(cell)) for name, cell in first.items() if name not in KNOWN and cell)
    identifiers = tuple(sorted(_known(first)))
    voxels, out = _voxels(Path(plan.root, image), recipe)
    plan.tasks.append(
        Task(
            case_id=f"{modality.lower()}-{names.code(image)}",
            source=source_of([image, repr(first), *map(repr, masks)], sizes, recipe, names),
            modality=modality,
            subject=subject,
            pair=Pair(image, masks, modality, subject, first.get("site", ""), extra, identifiers),
            findings=(Finding("unreadable", "A file of this case is not there."),) if missing else (),
            bytes_in=sum(size for _, size, _ in sizes),
            voxels_in=voxels,
            voxels_out=out,
        )
    )


def _voxels(path: Path, recipe: Recipe) -> tuple[int, int]:
    """From the NIfTI-1 header alone; (0, 0) where it cannot be read: the reader will say what is wrong."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            head = stream.read(348)
        order = "<" if struct.unpack("<i", head[:4])[0] == 348 else ">"
        dims = struct.unpack(f"{order}8h", head[40:56])
        pixdim = struct.unpack(f"{order}8f", head[76:108])
    except (OSError, struct.error, EOFError):
        return 0, 0
    count = math.prod(max(1, n) for n in dims[1 : 1 + min(max(dims[0], 1), 7)])
    if recipe.resample.spacing is None:
        return count, count
    own = [abs(p) or 1.0 for p in pixdim[3:0:-1]]
    return count, int(count * math.prod(o / n for o, n in zip(own, recipe.resample.spacing, strict=True))) + 1
