"""Three cohorts of twelve patients, and the nodes that serve them."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi
from fastimg.federated import Identity, Node, Policy, Roster

from .tools import NAMES, OPEN, SECRET


@pytest.fixture(scope="session")
def cohorts(tmp_path_factory):
    """Three of 12 patients: two scanners, a feature that one patient lacks, an age."""
    rng = np.random.default_rng(4)
    folder, made = tmp_path_factory.mktemp("attacked"), []
    for name in NAMES:
        cohort = fi.Cohort.create(folder / name)
        for i in range(12):
            features = {"a": float(rng.normal()), "b": float("nan") if i == 7 else float(rng.normal())}
            metadata = {"subject": f"{SECRET} {i}", "scanner": "XY"[i % 2], "age": 50.0 + i, "first": i < 9}
            metadata["almost"] = i < 11
            image = fi.Image(rng.integers(0, 99, (1, 2, 3)).astype(np.int16))
            cohort.add(f"case-{i}", image, metadata=metadata, features={"lesion": features})
        made.append(cohort)
    return made


@pytest.fixture
def nodes(cohorts, tmp_path):
    def build(**rules):
        policy = Policy(**{"min_cases": 10, "computations": OPEN, "tools": ("t",), **rules})
        return [Node(c, policy, name=n, log=tmp_path / f"{n}.jsonl") for n, c in zip(NAMES, cohorts, strict=True)]

    return build


@pytest.fixture
def signed(cohorts, tmp_path):
    """(requester, [node with a roster])."""
    authority, requester = Identity.new("authority"), Identity.new("local")
    identities = {name: Identity.new(name) for name in NAMES}
    roster = Roster().trust("local", "requester", requester.public)
    for name, identity in identities.items():
        roster = roster.trust(name, "node", identity.public)
    roster = roster.signed(authority)

    def build(**rules):
        policy = Policy(**{"min_cases": 10, "computations": OPEN, **rules})
        return [
            Node(c, policy, identity=identities[n], roster=roster, log=tmp_path / f"{n}.jsonl")
            for n, c in zip(NAMES, cohorts, strict=True)
        ]

    return requester, build
