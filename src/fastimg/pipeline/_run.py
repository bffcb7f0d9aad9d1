"""The main job: plan, make the cases that are not there yet, then what needs all of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from .. import config
from .._workers import Engine, check_executor
from ..errors import RefusedError
from ._after import left_behind, summed
from ._clinical import ClinicalTable, joined_later
from ._making import note_making, same_making
from ._names import Names
from ._plan import Plan
from ._preview import clinical_of, free, key_of, places, plan_of, workers_for
from ._recipe import Recipe
from ._summary import FOLDER, Summary, save
from ._task import Job
from ._tasks import Tasks
from ._work import Event, Listener, Log, learned, made, measured_again

__all__ = ["ingest", "run"]


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
    with cohort.lock(), Log(target / FOLDER / "log.jsonl", tell) as log:
        cohort.gc()
        features_known = same_making(target, recipe, secret)
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
        job = learned(job, plan, pending, sources, count, executor, target, log)
        stopped = made(job, pending, count, executor, recipe, target, log)
        if len(pending) < len(plan.tasks):
            plan.findings += joined_later(cohort, job.clinical, plan.identifiers)
        if not features_known:
            measured_again(job, cohort, count, executor, log)
            note_making(target, recipe, secret)
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

    Returns
    -------
    Summary
        As of `run`.
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
