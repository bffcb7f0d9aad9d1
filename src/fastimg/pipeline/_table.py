"""Features of the whole cohort: the table, ComBat over sites or batches, and the site effect before and after."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ArgumentError
from ..findings import Finding
from ._recipe import Combat, Recipe

__all__ = ["FeatureResult", "feature_tables"]

FIGURES = ("auc_forest", "auc_linear", "ks_share", "variance_explained", "variance_chance")
FEATURES, HARMONISED = "features.parquet", "features_combat.parquet"


@dataclass
class FeatureResult:
    """What the feature step found."""

    findings: list[Finding] = field(default_factory=list)
    rows: int = 0
    features: int = 0
    masks: list[str] = field(default_factory=list)
    effect: dict[str, Any] = field(default_factory=dict)
    per_feature: list[list[Any]] = field(default_factory=list)


def feature_tables(cohort: Any, recipe: Recipe) -> FeatureResult:
    """Write features.parquet and, where at least two batches allow it, features_combat.parquet into the cohort."""
    table = _joined(cohort, recipe.combat)
    result = FeatureResult(rows=table.num_rows)
    names = [name for name in table.column_names if pa.types.is_float64(table.schema.field(name).type)]
    names = [name for name in names if name not in recipe.combat.covariates]
    result.features = len(names)
    _write(table, cohort.path / FEATURES)
    if not table.num_rows or not recipe.combat.enabled:
        (cohort.path / HARMONISED).unlink(missing_ok=True)
        return result
    parts = []
    keys = list(zip(table.column("modality").to_pylist(), table.column("mask").to_pylist(), strict=True))
    counted = Counter(keys)
    result.masks = sorted({mask for _, mask in counted})
    for group, _ in counted.most_common():
        rows = np.array([key == group for key in keys])
        part = _harmonised(table.filter(pa.array(rows)), names, group, recipe.combat, result)
        if part is not None:
            parts.append(part)
    if parts:
        _write(pa.concat_tables(parts), cohort.path / HARMONISED)
    else:
        (cohort.path / HARMONISED).unlink(missing_ok=True)
    return result


def _joined(cohort: Any, combat: Combat) -> pa.Table:
    """case_id, mask, subject, modality, site, batch, covariates; then the features as float64."""
    features = cohort.features()
    index = cohort.index
    wanted = ["subject", "modality", "site", "batch", *combat.covariates]
    where = {case_id: row for row, case_id in enumerate(index.column("case_id").to_pylist())}
    taken = pa.array([where[case_id] for case_id in features.column("case_id").to_pylist()], pa.int64())
    columns: dict[str, Any] = {name: features.column(name) for name in ("case_id", "mask")}
    for name in dict.fromkeys(wanted):
        known = name in index.column_names
        columns[name] = index.column(name).take(taken) if known else pa.nulls(features.num_rows, pa.string())
    for name in features.column_names[2:]:
        columns.setdefault(name, features.column(name))
    return pa.table(columns)


def _write(table: pa.Table, path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, partial, compression="zstd")
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(partial, path)


def _harmonised(
    table: pa.Table, names: list[str], group: tuple[str, str], combat: Combat, result: FeatureResult
) -> pa.Table | None:
    """The rows of one modality and mask after ComBat; None, with a finding, where it cannot be done."""
    from .. import harmonize

    told = f"{group[0]}, mask {group[1]}"
    batches = table.column(combat.batch).to_pylist()
    complete = np.array([batch is not None for batch in batches])
    for covariate in combat.covariates:
        complete &= np.array([value is not None for value in table.column(covariate).to_pylist()])
    counts = Counter(batch for batch, good in zip(batches, complete, strict=True) if good)
    large = {batch for batch, count in counts.items() if count >= combat.min_cases}
    keep = complete & np.array([batch in large for batch in batches])
    if not keep.all():
        left = int(len(keep) - keep.sum())
        why = f"of batches with fewer than {combat.min_cases} cases, or without batch or covariates"
        result.findings.append(Finding("combat-skipped", f"{told}: {left} of {len(keep)} rows left out: {why}."))
    if len(large) < 2:
        result.findings.append(Finding("combat-skipped", f"{told}: fewer than two {combat.batch} groups are left."))
        return None
    table = table.filter(pa.array(keep))
    values = np.column_stack([table.column(name).to_numpy(zero_copy_only=False) for name in names]).astype(np.float64)
    usable = np.array(np.isfinite(values).all(0), bool)
    usable[usable] = np.ptp(values[:, usable], axis=0) > 0
    if not combat.shape:
        usable &= np.array([not _is_shape(name) for name in names])
    if not usable.any():
        result.findings.append(
            Finding(
                "combat-skipped",
                f"{told}: no feature is finite and varies in every case (shape features stay as they are).",
            )
        )
        return None
    batch = np.array(table.column(combat.batch).to_pylist())
    covariates = {name: table.column(name).to_pylist() for name in combat.covariates} or None
    X = values[:, usable]
    try:
        model = harmonize.ComBat(
            parametric=combat.parametric,
            eb=combat.eb,
            mean_only=combat.mean_only,
            monotone=None if combat.monotone == "none" else combat.monotone,  # type: ignore[arg-type]
        )
        after = np.asarray(
            model.fit(X, batch=batch, covariates=covariates).transform(X, batch=batch, covariates=covariates)
        )
    except ArgumentError as error:
        result.findings.append(Finding("combat-skipped", f"{told}: {error}"))
        return None
    result.findings += list(getattr(model, "findings_", ()))
    if not result.effect:
        _effect(X, model, batch, covariates, table, [n for n, u in zip(names, usable, strict=True) if u], told, result)
    values[:, usable] = after
    for at, name in enumerate(names):
        table = table.set_column(table.column_names.index(name), name, pa.array(values[:, at]))
    return table


def _is_shape(name: str) -> bool:
    """By either way of naming: original_shape_MeshVolume, morph_volume."""
    return "_shape_" in name or "_shape2D_" in name or name.startswith("morph_")


def _effect(
    X: npt.NDArray[np.float64],
    model: Any,
    batch: npt.NDArray[Any],
    covariates: Any,
    table: pa.Table,
    names: list[str],
    told: str,
    result: FeatureResult,
) -> None:
    from .. import harmonize

    subjects = table.column("subject").to_pylist()
    groups = None if any(subject is None for subject in subjects) else np.array(subjects)
    result.effect = {"of": told, "rows": len(X), "features": len(names), "before": {}, "after": {}}
    shares, measured = [], []
    for when, harmonizer in (("before", None), ("after", model)):
        try:
            figures = harmonize.site_effect(
                X, batch, covariates=covariates, groups=groups, harmonizer=harmonizer, trees=100, seed=0
            )
        except ArgumentError as error:
            result.findings.append(Finding("combat-skipped", f"{told}: the site effect cannot be measured: {error}"))
            result.effect = {}
            return
        result.effect[when] = {name: float(figures[name]) for name in FIGURES if np.isfinite(figures.get(name, np.nan))}
        measured.append(figures)
        shares.append(np.asarray(figures["by_feature"]["variance_explained"], np.float64))
    result.findings += harmonize.risen(*measured)
    result.per_feature = [[name, float(a), float(b)] for name, a, b in zip(names, *shares, strict=True)]
