"""Three hospitals' cohorts on disk, small, with several batches a node and batches over several nodes."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi
from fastimg.federated import _rows

FEATURES = [f"f{i}" for i in range(8)]
SCALE = 10.0 ** np.array([-6, -3, 0, 0, 1, 3, 6, 9])


@pytest.fixture(scope="module")
def small_blocks():
    """Features of few cases are read in several blocks too, and again in the next pass; in this process alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows, "_BLOCK", 5)
        patch.setattr(_rows, "_HELD", 1000)
        yield


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


@pytest.fixture(scope="session")
def clinic(tmp_path_factory):
    """([path of a cohort], pooled columns): 3 nodes of 40 patients with outcomes, times and predictors; no value missing."""
    rng = np.random.default_rng(11)
    folder = tmp_path_factory.mktemp("clinic")
    pooled = {name: [] for name in ("x", "age", "sex", "site", "response", "relapse", "months", "died")}
    paths = []
    for site in range(3):
        cohort = fi.Cohort.create(folder / f"clinic-{site}")
        for i in range(40):
            x = rng.normal(size=3) * [1, 10, 1e-3] + [5, -100, 0]
            age, sex = float(rng.normal(60, 9)), "FM"[int(rng.integers(2))]
            signal = x[0] - 5 + 0.1 * (x[1] + 100) + 0.03 * (age - 60) + 0.5 * (sex == "M")
            response = float(2 * signal + rng.normal())
            relapse = bool(rng.random() < 1 / (1 + np.exp(-signal)))
            months = float(np.ceil(rng.exponential(24 * np.exp(-0.5 * signal)) * 4) / 4)
            censored = float(rng.uniform(6, 60))
            died, months = int(months <= censored), min(months, censored)
            metadata = {"site": f"s{site}", "age": age, "sex": sex, "subject": f"p{i}", "response": response}
            metadata |= {"relapse": relapse, "months": months, "died": died}
            features = {"lesion": {f"x{k}": float(v) for k, v in enumerate(x)}}
            cohort.add(f"case-{i:02}", fi.Image(np.zeros((1, 2, 2), np.int16)), metadata=metadata, features=features)
            for name in pooled:
                pooled[name].append(x if name == "x" else metadata[name])
        paths.append(cohort.path)
    return paths, {name: np.array(value) for name, value in pooled.items()}


@pytest.fixture
def ask(clinic, tmp_path):
    """ask(computation, parameters, min_cases=..., ...) -> Result of the three clinics, each with a fresh log."""

    def run(name, parameters, *, secure=True, **rules):
        rules = {"min_cases": 1, "computations": [name]} | rules
        policy = fi.federated.Policy(**rules)
        nodes = [
            fi.federated.Node(path, policy, log=tmp_path / f"{path.name}-{len(list(tmp_path.iterdir()))}.jsonl")
            for path in clinic[0]
        ]
        return fi.federated.Federation.local(nodes).run(name, secure=secure, **parameters)

    return run
