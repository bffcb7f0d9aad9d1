"""The main job: plan, make the cases that are not there yet, then what needs all of them."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import config
from ..errors import ArgumentError, RefusedError
from ..findings import Finding
from . import _case
from ._clinical import read as read_clinical
from ._names import Names
from ._pairs import plan_pairs
from ._plan import Plan, plan_folder
from ._pool import run_all
from ._recipe import Recipe
from ._summary import FOLDER, Summary, load, save, write_whole
from ._table import feature_tables
from ._task import Job, Outcome, Task

__all__ = ["Event", "Preview", "ingest", "preview", "run"]

_MADE_WITH = "made_with.json"


@dataclass(frozen=True)
class Event:
    """Something that happened, for a progress bar or a log. No text of it holds an identifier.

    Attributes
    ----------
    step : "scan", "plan", "learn", "cases", "features" or "done"
    done, total : int
        Of the step's items.
    case_id, state, codes
        The case that came to its end, in "cases".
    voxels, bytes_in : int
        Of that case.
    text : str
        A sentence.
    """

    step: str
    done: int = 0
    total: int = 0
    case_id: str = ""
    state: str = ""
    codes: tuple[str, ...] = ()
    voxels: int = 0
    bytes_in: int = 0
    text: str = ""


@dataclass
class Preview:
    """What a run would do; nothing was written."""

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


Listener = Callable[[Event], None]


def preview(
    recipe: Recipe | str | Path,
    input: str | Path,
    output: str | Path,
    *,
    key: bytes | None = None,
    clinical: str | Path | None = None,
    workers: int | None = None,
) -> Preview:
    """A dry run: reads headers, writes nothing. Parameters as in `run`."""
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    source, target = _places(input, output)
    if clinical is not None:
        read_clinical(Path(clinical), recipe.clinical)
    known = key is not None and _is_cohort(target)
    plan = _plan(source, recipe, key if key is not None else secrets.token_bytes(32))
    sources: dict[str, str] = {}
    if known:
        from ..cohort import Cohort

        sources = Cohort.open(target).sources()
    pending = [task for task in plan.tasks if task.source not in sources]
    count, peak = _workers(recipe, workers, pending)
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
        set_aside=sum(1 for task in plan.tasks if not task.voxels_out),
        left_out=dict(plan.left_out),
        findings=dict(codes),
        bytes_needed=sum(task.bytes_out for task in pending),
        bytes_free=_free(target),
        reserve=int(recipe.run.reserve),
        workers=count,
        threads=max(1, config.threads() // count),
        memory=peak * count,
    )


def run(
    recipe: Recipe | str | Path,
    input: str | Path,
    output: str | Path,
    *,
    key: bytes | str | Path | None = None,
    clinical: str | Path | None = None,
    workers: int | None = None,
    retry: bool = False,
    executor: Executor | None = None,
    on_event: Listener | None = None,
) -> Summary:
    """Make a harmonised cohort of a folder of DICOM, or of a table of NIfTI files.

    It resumes: cases whose files and recipe did not change are left as they are. It may be killed at any moment; run
    again, it ends with the same voxels. One bad file, series or case never stops it: that becomes a finding.

    Parameters
    ----------
    recipe : Recipe, path or name
        Checked before anything else.
    input : path
        A folder of DICOM, or a CSV table with the columns image and mask.
    output : path
        The cohort: made if it is absent, gone on with if it is there.
    key : bytes or path, optional
        The key of all pseudonyms: 32 bytes, or the file that holds them (made, readable by its owner only, if absent).
        Default: the file OUTPUT.key beside the cohort. Who has the key can tell which case is whose: keep it apart.
    clinical : path, optional
        A CSV with one row a patient.
    workers : int, optional
        Processes; default: the recipe's, or as many as cores and memory allow. Each has its share of `config.threads()`.
    retry : bool
        Try cases again that failed before.
    executor : concurrent.futures.Executor, optional
        Instead of own processes. It must share this machine's file system.
    on_event : callable, optional
        Called with an `Event` for each case and step.

    Returns
    -------
    Summary

    Raises
    ------
    FormatError, ArgumentError
        The recipe, a table or an argument is wrong: before any work.
    RefusedError
        Another run is at work on the cohort, the cohort was made by another recipe or key, or the disk is too full.

    Notes
    -----
    Memory: a worker holds one case, about 10 bytes a voxel as read and 14 a voxel as stored, besides 200 MB; the number
    of workers is lowered until that fits `config.memory_limit()`. It does not grow with the number of cases, except for
    the table of headers (about 1 kB a file).

    A script that calls this needs `if __name__ == "__main__":`, as whatever starts processes.
    """
    began = time.perf_counter()
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    source, target = _places(input, output)
    table = read_clinical(Path(clinical), recipe.clinical) if clinical is not None else ({}, [])
    secret = _key(key, target)
    tell = on_event or (lambda event: None)

    from ..cohort import Cohort

    cohort = Cohort.create(target, profile=recipe.store.profile, exist_ok=True)
    with cohort.lock():
        cohort.gc()
        features_known = _same_making(target, recipe, secret)
        log = _Log(target / FOLDER / "log.jsonl", tell)
        log(Event("scan", text="reading headers"))
        plan = _plan(source, recipe, secret)
        sources = cohort.sources()
        if retry:
            failed = set(cohort.query("SELECT case_id FROM cases WHERE state = 'failed'").column("case_id").to_pylist())
            sources = {hash_: case_id for hash_, case_id in sources.items() if case_id not in failed}
        pending = [task for task in plan.tasks if task.source not in sources]
        log(
            Event(
                "plan",
                len(plan.tasks) - len(pending),
                len(plan.tasks),
                text=f"{plan.files} files, {plan.series} series",
            )
        )
        count, _ = _workers(recipe, workers, pending)
        job = _job(recipe, plan, secret, target, table[0], count)
        _check_disk(target, recipe, pending)
        job = _learned(job, plan, pending, sources, count, executor, target, log)
        stopped = _made(job, pending, count, executor, recipe, target, log)
        if not features_known:
            _measured_again(job, cohort, count, executor, log)
            _note_making(target, recipe, secret)
        summary = _summed(cohort, recipe, plan, log)
        summary.done, summary.skipped = len(pending) - stopped.left, len(plan.tasks) - len(pending)
        summary.pending, summary.identifiers_caught = stopped.left, stopped.caught
        summary.workers, summary.threads, summary.clinical_left_out = count, job.threads, table[1]
        summary.seconds = time.perf_counter() - began
        summary.identifiers_left = left_behind(target, plan.identifiers)
        save(summary, target)
        log(Event("done", summary.done, len(plan.tasks), text=f"{summary.cases} cases"))
    return summary


def ingest(
    root: str | Path, cohort: Any, executor: Executor | None = None, *, key: bytes | str | Path | None = None
) -> Summary:
    """Bring a folder of DICOM into a cohort as it is: no resampling, no harmonisation, no features.

    Parameters
    ----------
    root : path
        A folder of DICOM.
    cohort : Cohort or path
        Made if the path does not exist.
    executor : concurrent.futures.Executor, optional
        Default: own processes.
    key : bytes or path, optional
        As in `run`.
    """
    return run("ingest", root, getattr(cohort, "path", cohort), key=key, executor=executor)


# before the work --------------------------------------------------------------------------------------------------------


def _places(input: str | Path, output: str | Path) -> tuple[Path, Path]:
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


def _is_cohort(target: Path) -> bool:
    return (target / "cohort.json").is_file()


def _key(key: bytes | str | Path | None, target: Path) -> bytes:
    from .. import dicom

    if isinstance(key, bytes):
        return key
    if key is None and not (own := target.with_name(f"{target.name}.key")).exists() and _is_cohort(target):
        raise ArgumentError(f"key: this cohort exists, but not its key file {own.name}; name the file with key=")
    return dicom.load_key(Path(key) if key is not None else target.with_name(f"{target.name}.key"), create=True)


def _plan(source: Path, recipe: Recipe, key: bytes) -> Plan:
    if source.is_dir():
        return plan_folder(source, recipe, key)
    return plan_pairs(source, recipe, key)


def _workers(recipe: Recipe, asked: int | None, pending: list[Task]) -> tuple[int, int]:
    """(number, memory of the largest case)."""
    if asked is not None and asked < 1:
        raise ArgumentError(f"workers: must be a positive number or None, got {asked!r}")
    peak = max((task.peak for task in pending), default=1)
    wanted = asked or recipe.run.workers or config.threads()
    return max(1, min(wanted, max(len(pending), 1), config.memory_limit() // peak)), peak


def _free(target: Path) -> int:
    place = target.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _check_disk(target: Path, recipe: Recipe, pending: list[Task]) -> None:
    needed, free = sum(task.bytes_out for task in pending), _free(target)
    if free - recipe.run.reserve < needed:
        raise RefusedError(
            f"disk: the run may need {needed / 1e9:.2f} GB; {free / 1e9:.2f} GB are free and the recipe keeps "
            f"{recipe.run.reserve / 1e9:.2f} GB in reserve (run.reserve)"
        )


def _same_making(target: Path, recipe: Recipe, key: bytes) -> bool:
    """Refuse a cohort that another recipe or key made; False if only its features are asked for differently."""
    path = target / FOLDER / _MADE_WITH
    if not path.exists():
        _note_making(target, recipe, key)
        return True
    made = json.loads(path.read_bytes())
    if made["key"] != Names(key).code("fastimg cohort"):
        raise RefusedError("key: this cohort was made with another key; its pseudonyms would not fit together")
    if made["voxels"] != recipe.voxel_digest:
        raise RefusedError(
            "recipe: this cohort was made with other input, resample, harmonize, clinical or store settings; "
            "give another output folder, or the recipe that it was made with"
        )
    return bool(made["features"] == recipe.feature_digest)


def _note_making(target: Path, recipe: Recipe, key: bytes) -> None:
    record = {
        "format": "fastimg-making",
        "version": 1,
        "voxels": recipe.voxel_digest,
        "features": recipe.feature_digest,
        "key": Names(key).code("fastimg cohort"),
    }
    write_whole(target / FOLDER / _MADE_WITH, json.dumps(record).encode())


def _job(recipe: Recipe, plan: Plan, key: bytes, target: Path, clinical: dict[str, Any], workers: int) -> Job:
    from ..versions import versions

    found = versions()
    names = Names(key)
    return Job(
        recipe=recipe,
        cohort=str(target.absolute()),
        key=key,
        root=str(Path(plan.root).absolute()),
        threads=max(1, config.threads() // workers),
        clinical=tuple((names.code(subject, 32), values) for subject, values in clinical.items()),
        identifiers=frozenset(plan.identifiers),
        versions=tuple((name, str(found[name])) for name in ("fastimg", "python", "isa")),
    )


# the work ---------------------------------------------------------------------------------------------------------------


class _Log:
    """Events as lines in the cohort, and to the caller."""

    def __init__(self, path: Path, tell: Listener) -> None:
        self._path, self._tell = path, tell
        path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, event: Event) -> None:
        record = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **event.__dict__}
        line = json.dumps({name: value for name, value in record.items() if value not in ("", (), 0)})
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
        self._tell(event)


@dataclass
class _Stopped:
    left: int = 0
    caught: int = 0


def _learned(
    job: Job,
    plan: Plan,
    pending: list[Task],
    sources: dict[str, str],
    workers: int,
    executor: Executor | None,
    target: Path,
    log: _Log,
) -> Job:
    """The job with Nyul's scale for each modality that needs one: that of an earlier run, or learned from all cases.

    A scale is learned once and kept, so that cases that come later are brought to it and a resumed run gives the same
    voxels.
    """
    from dataclasses import replace

    from .. import harmonize

    models: dict[str, dict[str, Any]] = {}
    for modality in sorted({task.modality for task in plan.tasks}):
        if job.recipe.harmonize_for(modality).method != "nyul":
            continue
        path = target / FOLDER / f"nyul_{modality}.json"
        if path.exists():
            models[modality] = json.loads(path.read_bytes())
            continue
        tasks = [task for task in plan.tasks if task.modality == modality and task.voxels_out]
        if not any(task.source not in sources for task in tasks):
            continue
        parts: dict[str, dict[str, Any]] = {}
        for task, outcome in run_all(_case.measure, job, tasks, workers=workers, executor=executor):
            if outcome is not None and outcome.model is not None:
                parts[task.case_id] = outcome.model
            log(Event("learn", len(parts), len(tasks), text=f"common scale of {modality}"))
        if parts:
            # In the order of case ids: sums of floats must not depend on which worker was first.
            merged = None
            for case_id in sorted(parts):
                one = harmonize.Nyul.from_dict(parts[case_id])
                merged = one if merged is None else merged.merge(one)
            assert merged is not None
            models[modality] = merged.to_dict()
            write_whole(path, json.dumps(models[modality]).encode())
    return replace(job, models=tuple(models.items()))


def _made(
    job: Job, pending: list[Task], workers: int, executor: Executor | None, recipe: Recipe, target: Path, log: _Log
) -> _Stopped:
    """Make the cases; those not begun when the disk runs low stay for the next run."""
    result = _Stopped()
    done = 0

    def offered() -> Iterator[Task]:
        for number, task in enumerate(pending):
            if _free(target) - task.bytes_out < recipe.run.reserve:
                result.left = len(pending) - number
                log(Event("cases", done, len(pending), text=f"the disk is nearly full: {result.left} cases are left"))
                return
            yield task

    for task, outcome in run_all(_case.make, job, offered(), workers=workers, executor=executor):
        done += 1
        outcome = outcome or _died(job, task)
        result.caught += outcome.identifiers_caught
        log(
            Event(
                "cases",
                done,
                len(pending),
                outcome.case_id,
                outcome.state,
                tuple(outcome.codes),
                outcome.voxels,
                outcome.bytes_in,
            )
        )
    return result


def _died(job: Job, task: Task) -> Outcome:
    """A case that killed its worker twice."""
    from ..cohort import Cohort

    found = Finding("case-failed", "Its worker process died twice: a crash, or not enough memory.")
    Cohort.open(job.cohort, mode="r+").record(
        task.case_id, "failed", findings=[found], source=task.source, metadata={"modality": task.modality}, replace=True
    )
    return Outcome(task.case_id, "failed", [found.code])


def _measured_again(job: Job, cohort: Any, workers: int, executor: Executor | None, log: _Log) -> None:
    """Features of all stored cases, after the recipe's radiomics section changed."""
    cases = [case.case_id for case in cohort.cases(states=("ok", "warned")) if case.mask_names]
    tasks = [Task(case_id, "", "") for case_id in cases]
    for number, _ in enumerate(run_all(_case.remeasure, job, tasks, workers=workers, executor=executor), 1):
        log(Event("features", number, len(tasks)))


# after it ---------------------------------------------------------------------------------------------------------------


def _summed(cohort: Any, recipe: Recipe, plan: Plan, log: _Log) -> Summary:
    from ..versions import versions

    summary = Summary(
        cohort=str(cohort.path),
        recipe=recipe.name,
        description=recipe.description,
        recipe_digest=recipe.digest(),
        recipe_steps=recipe.describe(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        files=plan.files,
        bytes_in=plan.bytes_in,
        series=plan.series,
        left_out=dict(plan.left_out),
        file_findings=[found.to_dict() for found in plan.findings],
        versions=versions(),
    )
    codes = Counter(found.code for found in plan.findings)
    states: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    mark = hashlib.sha256(f"{recipe.digest()}".encode())
    for case in cohort.cases():
        states[case.state] += 1
        codes.update(found.code for found in case.findings)
        steps.update(case.provenance.get("seconds", {}))
        if case.has_voxels:
            summary.voxels += _count(case.shape)
        mark.update(f"{case.case_id} {case.state} {case.digest} {case.source}\n".encode())
    summary.states = {state: states[state] for state in ("ok", "warned", "quarantined", "failed")}
    summary.steps = {name: round(spent, 3) for name, spent in steps.items()}
    with _timed(summary.steps, "tables"):
        _features(cohort, recipe, summary, mark.hexdigest(), log)
    codes.update(found["code"] for found in summary.run_findings)
    summary.findings = dict(codes)
    return summary


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


@contextmanager
def _timed(steps: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    steps[name] = round(time.perf_counter() - start, 3)


_KEPT = ("site_effect", "feature_effects", "feature_rows", "features", "masks", "run_findings")


def _features(cohort: Any, recipe: Recipe, summary: Summary, mark: str, log: _Log) -> None:
    """Tables of the whole cohort; those of the last run where nothing changed."""
    before = load(cohort.path)
    if before is not None and before.tables_of == mark and (cohort.path / "features.parquet").exists():
        for name in _KEPT:
            setattr(summary, name, getattr(before, name))
    else:
        log(Event("features", text="tables and ComBat"))
        result = feature_tables(cohort, recipe)
        summary.run_findings = [Finding(f.code, f.message).to_dict() for f in result.findings]
        summary.site_effect, summary.feature_effects = result.effect, result.per_feature
        summary.feature_rows, summary.features, summary.masks = result.rows, result.features, result.masks
    summary.tables_of = mark


def left_behind(target: Path, identifiers: set[str]) -> int:
    """How many of the tree's identifiers are found in what the run wrote beside the cases.

    Each case was searched for its own patient's before it was stored.
    """
    from .. import dicom

    texts = [path.name for path in target.iterdir()]
    for path in sorted((target / FOLDER).glob("*.json*")):
        texts.append(path.read_text(encoding="utf-8", errors="replace"))
    return len(dicom.residual(texts, identifiers))
