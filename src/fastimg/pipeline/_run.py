"""The main job: plan, make the cases that are not there yet, then what needs all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import config
from .._workers import Engine, check_executor
from ..cohort import Pace
from ..errors import RefusedError
from ..findings import Finding
from . import _case
from ._after import left_behind, summed
from ._clinical import ClinicalTable, joined_later
from ._names import Names
from ._plan import Plan
from ._pool import run_all
from ._preview import clinical_of, free, key_of, places, plan_of, workers_for
from ._recipe import Recipe
from ._summary import FOLDER, MADE_WITH, Summary, save, write_whole
from ._task import Job, Outcome, Task
from ._tasks import Tasks

__all__ = ["Event", "ingest", "run"]


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
    rate : float
        Items a second over all workers; 0 while nothing is known.
    left : float or None
        Seconds until the step's end, by the size of what is left; None while nothing is known.
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
    rate: float = 0.0
    left: float | None = None
    text: str = ""


Listener = Callable[[Event], None]


def run(
    recipe: Recipe | str | Path,
    input: str | Path,
    output: str | Path,
    *,
    key: bytes | str | Path | None = None,
    clinical: str | Path | None = None,
    workers: int | None = None,
    retry: bool = False,
    executor: Engine | None = None,
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
        A CSV or Parquet table with one row a patient; of a dataset's tree as EUCAIM asks for it the one that stands in it.
    workers : int, optional
        Processes; default: the recipe's, or as many as cores and memory allow. Each has its share of `config.threads()`.
    retry : bool
        Try cases again that failed before.
    executor : concurrent.futures.Executor, or a function that makes one, optional
        Instead of own processes: any of those that `Cohort.map` takes. Its workers must see `input` and `output` under
        the same paths. `workers` then says how many tasks it does at once where it does not tell.
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
    of workers is lowered until that fits `config.memory_limit()`. The process that plans holds 0.1 kB a file and 0.5 kB
    a series; headers and results are looked at some at a time.

    A script that calls this needs `if __name__ == "__main__":`, as whatever starts processes.
    """
    began = time.perf_counter()
    check_executor(executor)
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    source, target = places(input, output)
    clinical_of(source, clinical, recipe)  # wrong tables are told before a key or a cohort is made
    secret = key_of(key, target)
    table = clinical_of(source, clinical, recipe, secret)
    tell = on_event or (lambda event: None)

    from ..cohort import Cohort

    cohort = Cohort.create(target, profile=recipe.store.profile, exist_ok=True)
    with cohort.lock():
        cohort.gc()
        features_known = _same_making(target, recipe, secret)
        log = _Log(target / FOLDER / "log.jsonl", tell)
        log(Event("scan", text="reading headers"))
        plan = plan_of(source, recipe, secret)
        plan.findings += [*table.findings, *table.joined(set(filter(None, plan.tasks.column("subject"))))]
        _leave_out_removed(cohort, plan, secret)
        sources = cohort.sources()
        if retry:
            failed = set(cohort.query("SELECT case_id FROM cases WHERE state = 'failed'").column("case_id").to_pylist())
            sources = {hash_: case_id for hash_, case_id in sources.items() if case_id not in failed}
        pending = plan.tasks.where(lambda source: source not in sources, "source")
        log(
            Event(
                "plan",
                len(plan.tasks) - len(pending),
                len(plan.tasks),
                text=f"{plan.files} files, {plan.series} series",
            )
        )
        count, _ = workers_for(recipe, workers, pending)
        job = _job(recipe, plan, secret, target, table, count)
        _check_disk(target, recipe, pending)
        job = _learned(job, plan, pending, sources, count, executor, target, log)
        stopped = _made(job, pending, count, executor, recipe, target, log)
        if len(pending) < len(plan.tasks):
            plan.findings += joined_later(cohort, job.clinical, plan.identifiers)
        if not features_known:
            _measured_again(job, cohort, count, executor, log)
            _note_making(target, recipe, secret)
        summary = summed(cohort, recipe, plan, lambda: log(Event("features", text="tables and ComBat")))
        summary.done, summary.skipped = len(pending) - stopped.left, len(plan.tasks) - len(pending)
        summary.pending, summary.identifiers_caught = stopped.left, stopped.caught
        if stopped.storing:
            summary.steps["store"] = round(stopped.storing, 3)
        summary.workers, summary.threads, summary.clinical_left_out = count, job.threads, table.left_out
        summary.seconds = time.perf_counter() - began
        summary.identifiers_left = left_behind(target, plan.identifiers)
        save(summary, target)
        log(Event("done", summary.done, len(plan.tasks), text=f"{summary.cases} cases"))
    return summary


def ingest(
    root: str | Path,
    cohort: Any,
    executor: Engine | None = None,
    *,
    key: bytes | str | Path | None = None,
    workers: int | None = None,
    on_event: Listener | None = None,
) -> Summary:
    """Bring a folder of DICOM into a cohort as it is: no resampling, no harmonisation, no features.

    Parameters
    ----------
    root : path
        A folder of DICOM.
    cohort : Cohort or path
        Made if the path does not exist.
    executor, key, workers, on_event
        As in `run`.
    """
    target = getattr(cohort, "path", cohort)
    return run("ingest", root, target, key=key, executor=executor, workers=workers, on_event=on_event)


def _leave_out_removed(cohort: Any, plan: Plan, key: bytes) -> None:
    """Whoever was removed from the cohort is not even read again."""
    if not cohort.removals():
        return
    names = Names(key)

    def stays(subject: str, source: str, case_id: str) -> bool:
        code = names.code(subject, 32) if subject else None
        return not cohort.is_removed(subject=code, source=source, case_id=case_id)

    kept = plan.tasks.where(stays, "subject", "source", "case_id")
    if len(kept) < len(plan.tasks):
        plan.left_out["removed from this cohort"] = len(plan.tasks) - len(kept)
        plan.tasks = kept


def _check_disk(target: Path, recipe: Recipe, pending: Tasks) -> None:
    needed, left = sum(pending.column("bytes_out")), free(target)
    if left - recipe.run.reserve < needed:
        raise RefusedError(
            f"disk: the run may need {needed / 1e9:.2f} GB; {left / 1e9:.2f} GB are free and the recipe keeps "
            f"{recipe.run.reserve / 1e9:.2f} GB in reserve (run.reserve)"
        )


def _same_making(target: Path, recipe: Recipe, key: bytes) -> bool:
    """Refuse a cohort that another recipe or key made; False if only its features are asked for differently."""
    path = target / FOLDER / MADE_WITH
    if not path.exists():
        _note_making(target, recipe, key)
        return True
    made = check_key(target, key)
    if made["voxels"] != recipe.voxel_digest:
        raise RefusedError(
            "recipe: this cohort was made with other input, resample, harmonize, clinical or store settings; "
            "give another output folder, or the recipe that it was made with"
        )
    return bool(made["features"] == recipe.feature_digest)


def check_key(target: Path, key: bytes) -> dict[str, Any]:
    """Refuse a key that is not the one which a run made this cohort with; returns what is noted of its making.

    Parameters
    ----------
    target : Path
        The cohort's folder.
    key : bytes
        The site's key.

    Returns
    -------
    dict
        Empty where no run has noted anything.

    Raises
    ------
    RefusedError
        Another key.
    """
    try:
        made: dict[str, Any] = json.loads((target / FOLDER / MADE_WITH).read_bytes())
    except FileNotFoundError:
        return {}
    if made["key"] != Names(key).code("fastimg cohort"):
        raise RefusedError("key: this cohort was made with another key; its pseudonyms would not fit together")
    return made


def _note_making(target: Path, recipe: Recipe, key: bytes) -> None:
    record = {
        "format": "fastimg-making",
        "version": 1,
        "voxels": recipe.voxel_digest,
        "features": recipe.feature_digest,
        "key": Names(key).code("fastimg cohort"),
    }
    write_whole(target / FOLDER / MADE_WITH, json.dumps(record).encode())


def _job(recipe: Recipe, plan: Plan, key: bytes, target: Path, clinical: ClinicalTable, workers: int) -> Job:
    from ..versions import versions

    found = versions()
    names = Names(key)
    return Job(
        recipe=recipe,
        cohort=str(target.absolute()),
        key=key,
        root=str(Path(plan.root).absolute()),
        threads=max(1, config.threads() // workers),
        clinical=dict(pair for who, values in clinical.rows.items() for pair in _joining(who, values, names)),
        identifiers=frozenset(plan.identifiers),
        versions=tuple((name, str(found[name])) for name in ("fastimg", "python", "isa")),
    )


def _joining(who: str, values: dict[str, Any], names: Names) -> list[tuple[str, dict[str, Any]]]:
    """The codes by which a case may name a patient: the keyed one, and an id that an upstream tool has hashed."""
    from ..dicom._residual import HASHED

    return [(names.code(who, 32), values), *([(who, values)] if HASHED.fullmatch(who) else [])]


# the work ---------------------------------------------------------------------------------------------------------------


class _Log:
    """Events as lines in the cohort, and to the caller."""

    def __init__(self, path: Path, tell: Listener) -> None:
        self._path, self._tell = path, tell
        path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, event: Event) -> None:
        record = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **event.__dict__}
        line = json.dumps({name: value for name, value in record.items() if value not in ("", (), 0, None)})
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
        self._tell(event)


@dataclass
class _Stopped:
    left: int = 0
    caught: int = 0
    storing: float = 0.0


def _learned(
    job: Job,
    plan: Plan,
    pending: Tasks,
    sources: dict[str, str],
    workers: int,
    executor: Engine | None,
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
    for modality in sorted(set(plan.tasks.column("modality"))):
        if job.recipe.harmonize_for(modality).method != "nyul":
            continue
        path = target / FOLDER / f"nyul_{modality}.json"
        if path.exists():
            models[modality] = json.loads(path.read_bytes())
            continue
        tasks = plan.tasks.where(lambda own, voxels: own == modality and voxels > 0, "modality", "voxels_out")  # noqa: B023
        if not any(source not in sources for source in tasks.column("source")):
            continue
        parts: dict[str, dict[str, Any]] = {}
        pace = Pace(len(tasks), sum(tasks.column("peak")))
        for task, outcome in run_all(_case.measure, job, tasks, workers=workers, executor=executor):
            if outcome is not None and outcome.model is not None:
                parts[task.case_id] = outcome.model
            now = pace.step(task.peak)
            text = f"common scale of {modality}"
            log(Event("learn", len(parts), len(tasks), rate=round(now.rate, 3), left=_whole(now.left), text=text))
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
    job: Job, pending: Tasks, workers: int, executor: Engine | None, recipe: Recipe, target: Path, log: _Log
) -> _Stopped:
    """Make the cases; those not begun when the disk runs low stay for the next run."""
    result = _Stopped()
    pace = Pace(len(pending), sum(pending.column("peak")))

    def offered() -> Iterator[Task]:
        for number, task in enumerate(pending):
            if free(target) - task.bytes_out < recipe.run.reserve:
                result.left = len(pending) - number
                log(
                    Event(
                        "cases",
                        pace.now().done,
                        len(pending),
                        text=f"the disk is nearly full: {result.left} cases are left",
                    )
                )
                return
            yield task

    for task, outcome in run_all(_case.make, job, offered(), workers=workers, executor=executor):
        outcome = outcome or _died(job, task)
        now = pace.step(task.peak)
        result.caught += outcome.identifiers_caught
        result.storing += outcome.seconds.get("store", 0.0)
        log(
            Event(
                "cases",
                now.done,
                len(pending),
                outcome.case_id,
                outcome.state,
                tuple(outcome.codes),
                outcome.voxels,
                outcome.bytes_in,
                round(now.rate, 3),
                _whole(now.left),
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


def _measured_again(job: Job, cohort: Any, workers: int, executor: Engine | None, log: _Log) -> None:
    """Features of all stored cases, after the recipe's radiomics section changed."""
    cases = [case.case_id for case in cohort.cases(states=("ok", "warned")) if case.mask_names]
    tasks = [Task(case_id, "", "") for case_id in cases]
    pace = Pace(len(tasks))
    for _ in run_all(_case.remeasure, job, tasks, workers=workers, executor=executor):
        now = pace.step()
        log(Event("features", now.done, len(tasks), rate=round(now.rate, 3), left=_whole(now.left)))


def _whole(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
