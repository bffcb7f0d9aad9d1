"""The federation of the demo: each hospital a node with its own policy; what they answer together equals pooled data."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["federation"]

POLICY = """\
# What the node of this hospital allows; what is not said here is refused.
format = "fastimg-policy"
version = 1
min_cases = 10
computations = ["count", "histogram", "combat"]
disclose_batches = true
requesters = ["local"]
"""
BINS, LIMITS = 32, (0.0, 100.0)  # of the common intensity scale


def federation(output: Path, tell: Callable[[str], Any]) -> float:
    """Ask three nodes by secure aggregation, tell what they answer; the largest difference from pooled data."""
    from ..cohort import Cohort
    from ..federated import Federation, Node

    whole = Cohort.open(output / "cohort")
    policy = output / "policy.toml"
    policy.write_text(POLICY, encoding="utf-8")
    sites = whole.query(
        "SELECT site, count(*) AS n FROM cases WHERE masks LIKE '%lesion%' GROUP BY site ORDER BY n DESC, site LIMIT 3"
    )
    nodes = []
    for number, site in enumerate(sites.column("site").to_pylist()):
        part = _part_of(whole, site, output / "nodes" / f"hospital-{chr(65 + number)}")
        nodes.append(Node(part, policy))
    members = [(node.name, case) for node in nodes for case in node.cohort.cases(states=("ok", "warned"))]
    fed = Federation.local(nodes)
    sizes = ", ".join(f"{node.name} {len(node.cohort)} cases" for node in nodes)
    tell(f"federation   {sizes}; each node's policy: at least 10 patients; sums by secure aggregation")
    apart = [_count(fed, members, tell), _histogram(fed, members, tell), _combat(fed, nodes, tell)]
    return max(apart)


def _part_of(whole: Any, site: str, path: Path) -> Any:
    """The cases of one site with their lesion, as the cohort of that hospital."""
    from ..cohort import Cohort

    part = Cohort.create(path, exist_ok=True)
    there = {case.case_id: case.digest for case in part.cases()}
    for case in whole.cases(states=("ok", "warned")):
        wanted = case.metadata.get("site") == site and "lesion" in case.mask_names
        if wanted and there.get(case.case_id) != case.digest:
            part.add(
                case.case_id,
                case.image(),
                dict(case.masks()),
                case.metadata,
                source=case.source,
                findings=case.findings,
                features=case.features,
                provenance=case.provenance,
                replace=True,
            )
    return part


def _count(fed: Any, members: list[Any], tell: Callable[[str], Any]) -> float:
    start = time.perf_counter()
    seen = fed.run("count", secure=True).value
    apart = abs(seen["cases"] - len(members))
    tell(
        f"  count      {seen['cases']} cases of {seen['patients']} patients; pooled {len(members)} cases "
        f"(difference {apart}, {time.perf_counter() - start:.1f} s)"
    )
    return float(apart)


def _histogram(fed: Any, members: list[Any], tell: Callable[[str], Any]) -> float:
    start = time.perf_counter()
    seen = fed.run("histogram", bins=BINS, range=LIMITS, secure=True).value
    spent = time.perf_counter() - start
    pooled = np.zeros(BINS, np.int64)
    for _, case in members:
        pooled += np.histogram(case.image().array, BINS, LIMITS)[0]
    # Cells that fewer than ten patients of a node fill are moved into one overflow cell, by its policy.
    apart = max(int(np.abs(pooled - seen["counts"]).max()) - seen["overflow"], 0)
    tell(
        f"  histogram  {int(seen['counts'].sum()):,} voxels in {BINS} bins of {seen['cases']} cases, {seen['overflow']:,} "
        f"moved by the minimum; pooled {int(pooled.sum()):,} (largest difference of a bin beyond those {apart}, "
        f"{spent:.1f} s)"
    )
    return float(apart)


def _combat(fed: Any, nodes: list[Any], tell: Callable[[str], Any]) -> float:
    from ..harmonize import ComBat

    X, batch, age, features = _pooled(nodes)
    start = time.perf_counter()
    result = fed.run("combat", features=features, batch="site", covariates=["age_years"], secure=True)
    spent = time.perf_counter() - start
    covariates = {"age_years": age}
    pooled = ComBat().fit(X, batch=batch, covariates=covariates).transform(X, batch=batch, covariates=covariates)
    seen = result.value.transform(X, batch=batch, covariates=covariates)
    apart = float((np.abs(np.asarray(seen) - np.asarray(pooled)) / X.std(0)).max())
    tell(
        f"  ComBat     {len(features)} features of {len(X)} lesions over {len(set(batch))} sites: federated against "
        f"pooled, largest difference {apart:.1e} standard deviations ({spent:.1f} s)"
    )
    return apart


def _pooled(nodes: list[Any]) -> tuple[Any, list[str], list[float], list[str]]:
    """All rows together, as no hub of a real federation could see them; features that vary in each site."""
    rows: list[dict[str, Any]] = []
    for node in nodes:
        index = {row["case_id"]: row for row in node.cohort.index.to_pylist()}
        for row in node.cohort.features("lesion").to_pylist():
            rows.append(row | {name: index[row["case_id"]][name] for name in ("site", "age_years")})
    batch = [row["site"] for row in rows]
    names = [name for name in rows[0] if name not in ("case_id", "mask", "site", "age_years")]
    X = np.array([[row.get(name) for name in names] for row in rows], np.float64)
    varies = np.array(np.isfinite(X).all(0), bool)
    for site in set(batch):
        own = X[[label == site for label in batch]]
        varies &= np.ptp(own, axis=0) > 1e-9 * (1 + np.abs(own).max(0))
    return X[:, varies], batch, [row["age_years"] for row in rows], [n for n, v in zip(names, varies, strict=True) if v]
