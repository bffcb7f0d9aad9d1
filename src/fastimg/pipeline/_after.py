"""After all cases: their sum, tables over the cohort, and a last search for identifiers."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..findings import Finding
from ._compliance import Compliance
from ._names import telling
from ._plan import Plan
from ._recipe import Recipe
from ._summary import FOLDER, Summary, load
from ._table import feature_tables

__all__ = ["left_behind", "summed"]

TOGETHER, PIECE = 4096, 1 << 18  # identifiers sought at once, and letters of a text


def summed(cohort: Any, recipe: Recipe, plan: Plan, tell: Callable[[], None]) -> Summary:
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
    compliance = Compliance()
    for case in cohort.cases():
        states[case.state] += 1
        codes.update(found.code for found in case.findings)
        compliance.add(case.state, case.provenance.get("deidentified"), [found.code for found in case.findings])
        steps.update(case.provenance.get("seconds", {}))
        if case.has_voxels:
            summary.voxels += _count(case.shape)
        told = json.dumps(case.metadata, sort_keys=True, default=str)
        mark.update(f"{case.case_id} {case.state} {case.digest} {case.source} {told}\n".encode())
    summary.states = {state: states[state] for state in ("ok", "warned", "quarantined", "failed")}
    summary.steps = {name: round(spent, 3) for name, spent in steps.items()}
    with _timed(summary.steps, "tables"):
        _features(cohort, recipe, summary, mark.hexdigest(), tell)
    codes.update(found["code"] for found in summary.run_findings)
    summary.findings = dict(codes)
    compliance.write(cohort.path / FOLDER, recipe)
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


def _features(cohort: Any, recipe: Recipe, summary: Summary, mark: str, tell: Callable[[], None]) -> None:
    """Tables of the whole cohort; those of the last run where nothing changed."""
    before = load(cohort.path)
    if before is not None and before.tables_of == mark and (cohort.path / "features.parquet").exists():
        for name in _KEPT:
            setattr(summary, name, getattr(before, name))
    else:
        tell()
        result = feature_tables(cohort, recipe)
        summary.run_findings = [Finding(f.code, f.message).to_dict() for f in result.findings]
        summary.site_effect, summary.feature_effects = result.effect, result.per_feature
        summary.feature_rows, summary.features, summary.masks = result.rows, result.features, result.masks
    summary.tables_of = mark


def left_behind(target: Path, identifiers: set[str]) -> int:
    """How many of the tree's identifiers are found in what the run wrote beside the cases.

    Each case was searched for its own patient's before it was stored.
    """
    from ..dicom._residual import finder

    texts = [path.name for path in target.iterdir()]
    files = sorted((target / FOLDER).glob("*.json*"))
    wanted = sorted(telling(identifiers))
    hit: set[Any] = set()
    for start in range(0, len(wanted), TOGETHER):
        found = finder(wanted[start : start + TOGETHER])
        hit.update(filter(found, texts))
        for path in files:
            if path not in hit and any(map(found, _pieces(path))):
                hit.add(path)
    return len(hit)


def _pieces(path: Path) -> Iterator[str]:
    """A text in pieces that end with lines."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        while lines := stream.readlines(PIECE):
            yield "".join(lines)
