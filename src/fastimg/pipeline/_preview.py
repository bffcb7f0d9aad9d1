"""Before a run: where things are, what there is to do and what it takes; and the dry run, which only tells it."""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .. import config
from ..errors import ArgumentError
from ._clinical import ClinicalTable
from ._clinical import read as read_clinical
from ._eucaim import dataset_of
from ._pairs import plan_pairs
from ._plan import Plan, plan_folder
from ._recipe import Recipe
from ._summary import FOLDER, MADE_WITH
from ._tasks import Tasks

__all__ = ["Preview", "clinical_of", "free", "key_of", "places", "plan_of", "preview", "workers_for"]


@dataclass
class Preview:
    """What a run would do; nothing was written.

    Attributes
    ----------
    recipe : str
        Its name.
    steps : list of str
        What the recipe does, a sentence a step.
    files, series, cases : int
        Files found, series among them, cases that they would become.
    bytes_in : int
        Size of the files.
    done, to_do : int
        Cases that the cohort has already, and those to be made.
    set_aside : int
        Cases that findings quarantine or fail: their voxels are not kept.
    left_out : dict of str to int
        Series that the recipe does not ask for, by reason.
    findings : dict of str to int
        By code.
    bytes_needed, bytes_free, reserve : int
        Bytes of disk: the most that the cases to be made take, what is free, and what must stay so.
    workers, threads : int
        Processes, and threads of each.
    memory : int
        Bytes that all workers take at most, by estimate.
    """

    recipe: str = ""
    steps: list[str] = field(default_factory=list)
    files: int = 0
    bytes_in: int = 0
    series: int = 0
    cases: int = 0
    done: int = 0
    to_do: int = 0
    set_aside: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)
    bytes_needed: int = 0
    bytes_free: int = 0
    reserve: int = 0
    workers: int = 0
    threads: int = 0
    memory: int = 0

    @property
    def fits(self) -> bool:
        """Whether the disk has room, the reserve kept."""
        return self.bytes_free - self.reserve >= self.bytes_needed


def preview(
    recipe: Recipe | str | Path,
    input: str | Path,
    output: str | Path,
    *,
    key: bytes | None = None,
    clinical: str | Path | None = None,
    workers: int | None = None,
) -> Preview:
    """A dry run: reads headers, writes nothing.

    Parameters
    ----------
    recipe, input, output, clinical, workers
        As for `run`.
    key : bytes, optional
        The key of the cohort; without it no case counts as done, and names of files are coded by a key that is thrown away.

    Returns
    -------
    Preview

    Raises
    ------
    ArgumentError, FormatError
        As for `run`.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    source, target = places(input, output)
    table = clinical_of(source, clinical, recipe, key)
    known = key is not None and is_cohort(target)
    plan = plan_of(source, recipe, key if key is not None else secrets.token_bytes(32))
    plan.findings += [*table.findings, *table.joined(set(filter(None, plan.tasks.column("subject"))))]
    sources: dict[str, str] = {}
    if known:
        from ..cohort import Cohort

        sources = Cohort.open(target).sources()
    pending = plan.tasks.where(lambda source: source not in sources, "source")
    count, peak = workers_for(recipe, workers, pending)
    codes = Counter(f.code for f in plan.findings)
    codes.update(f.code for task in plan.tasks for f in task.findings)
    return Preview(
        recipe=recipe.name,
        steps=recipe.describe(),
        files=plan.files,
        bytes_in=plan.bytes_in,
        series=plan.series,
        cases=len(plan.tasks),
        done=len(plan.tasks) - len(pending),
        to_do=len(pending),
        set_aside=plan.tasks.column("voxels_out").count(0),
        left_out=dict(plan.left_out),
        findings=dict(codes),
        bytes_needed=sum(pending.column("bytes_out")),
        bytes_free=free(target),
        reserve=int(recipe.run.reserve),
        workers=count,
        threads=max(1, config.threads() // count),
        memory=peak * count,
    )


def places(input: str | Path, output: str | Path) -> tuple[Path, Path]:
    source, target = Path(input), Path(output)
    if not source.exists():
        raise ArgumentError(f"input: nothing at {str(source)!r}")
    folder = source if source.is_dir() else source.parent
    inner, outer = target.absolute().resolve(), folder.absolute().resolve()
    if source.is_dir() and (inner == outer or outer in inner.parents):
        raise ArgumentError("output: must not lie inside the input folder: the next run would read it as input")
    if inner in outer.parents:
        raise ArgumentError("input: must not lie inside the output cohort")
    return source, target


def is_cohort(target: Path) -> bool:
    return (target / "cohort.json").is_file()


def key_of(key: bytes | str | Path | None, target: Path) -> bytes:
    from .. import dicom

    if isinstance(key, bytes):
        return key
    made = (target / FOLDER / MADE_WITH).exists()
    if key is None and made and not (own := target.with_name(f"{target.name}.key")).exists():
        raise ArgumentError(f"key: this cohort exists, but not its key file {own.name}; name the file with key=")
    place = Path(key) if key is not None else target.with_name(f"{target.name}.key")
    return dicom.load_key(place, create=True, outside=target)


def plan_of(source: Path, recipe: Recipe, key: bytes) -> Plan:
    """Of a folder of DICOM, of a dataset's tree (see `_eucaim`), or of a table of NIfTI files."""
    if not source.is_dir():
        return plan_pairs(source, recipe, key)
    tree = dataset_of(source)
    if tree is None:
        return plan_folder(source, recipe, key)
    plan = plan_folder(tree.images, recipe, key, with_uids=tree.series is not None)
    plan.findings += tree.compared(plan.uids)
    return plan


def clinical_of(source: Path, clinical: str | Path | None, recipe: Recipe, key: bytes | None = None) -> ClinicalTable:
    """The clinical table that was named, or that stands in a dataset's tree."""
    if clinical is None and source.is_dir() and (tree := dataset_of(source)) is not None:
        clinical = tree.clinical
    return ClinicalTable() if clinical is None else read_clinical(Path(clinical), recipe.clinical, key)


def workers_for(recipe: Recipe, asked: int | None, pending: Tasks) -> tuple[int, int]:
    """(number, memory of the largest case)."""
    if asked is not None and asked < 1:
        raise ArgumentError(f"workers: must be a positive number or None, got {asked!r}")
    peak = max(pending.column("peak"), default=1)
    wanted = asked or recipe.run.workers or config.threads()
    return max(1, min(wanted, max(len(pending), 1), config.memory_limit() // peak)), peak


def free(target: Path) -> int:
    place = target.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
