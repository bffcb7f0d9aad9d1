"""Three hospitals' cohorts on disk, small, with several batches a node and batches over several nodes."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi

FEATURES = [f"f{i}" for i in range(8)]
SCALE = 10.0 ** np.array([-6, -3, 0, 0, 1, 3, 6, 9])


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory):
    """([path of a cohort], pooled columns)."""
    rng = np.random.default_rng(7)
    folder = tmp_path_factory.mktemp("hospitals")
    pooled = {"x": [], "scanner": [], "age": [], "sex": [], "voxels": [], "site": []}
    paths = []
    for site in range(3):
        cohort = fi.Cohort.create(folder / f"hospital-{site}")
        for i in range(24):
            scanner = ["A", "B", "C"][(i + site) % (2 if site else 3)]
            age, sex = float(rng.normal(60, 9)), "FM"[(i // 3) % 2]
            x = (rng.normal(size=8) * (1 + (scanner == "B")) + 2 * (scanner == "C") + 0.05 * age) * SCALE
            voxels = rng.normal(0, 300, (3, 7, 9)).astype(np.int16 if site else np.float32)
            metadata = {"site": f"s{site}", "scanner": scanner, "age": age, "sex": sex, "subject": f"p{i}"}
            features = {"lesion": dict(zip(FEATURES, x.tolist(), strict=True))}
            cohort.add(f"case-{i:02}", fi.Image(voxels, unit="HU"), metadata=metadata, features=features)
            for name, value in (("x", x), ("scanner", scanner), ("age", age), ("sex", sex), ("site", f"s{site}")):
                pooled[name].append(value)
            pooled["voxels"].append(voxels.ravel().astype(np.float64))
        paths.append(cohort.path)
    return paths, {name: np.array(value) for name, value in pooled.items()}


@pytest.fixture
def make(hospitals, tmp_path):
    """make(min_cases=..., ...) -> Federation of the three, each with a fresh log."""

    def build(count=3, **rules):
        policies = rules.pop("policies", None) or [fi.federated.Policy(**({"min_cases": 4} | rules))] * count
        nodes = [
            fi.federated.Node(path, policy, log=tmp_path / f"{path.name}.jsonl")
            for path, policy in zip(hospitals[0][:count], policies, strict=True)
        ]
        return fi.federated.Federation.local(nodes)

    return build
