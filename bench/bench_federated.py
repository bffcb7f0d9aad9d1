"""Whole questions over local nodes; beside them the same work on pooled arrays, which no federation can do."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest

import fastimg as fi

NODES, CASES, BINS = 30, 100, 4096
HISTOGRAM = f"federated: histogram of {BINS} bins, {NODES} nodes x {CASES} cases of 32^3"
MOMENTS = f"federated: moments of 1,500 features, {NODES} nodes x {CASES} cases"


class Memory:
    """A cohort without a disk: what is timed is the federation."""

    class Case:
        has_voxels = True

        def __init__(self, image):
            self._image = image

        def image(self):
            return self._image

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self._images = {f"c{i}": fi.Image(rng.normal(0, 400, (32, 32, 32)).astype(np.int16)) for i in range(CASES)}
        self.x = rng.normal(size=(CASES, 1500))
        names = list(self._images)
        self.index = pa.table({"case_id": names, "state": ["ok"] * CASES, "subject": names})

    def __getitem__(self, name):
        return self.Case(self._images[name])

    def features(self, mask=None, *, names=None, cases=None):
        rows, columns = [int(case[1:]) for case in cases], [int(name[1:]) for name in names]
        values = [pa.array(column) for column in self.x.T[columns][:, rows]]
        masks = pa.array(["m"] * len(cases))
        return pa.Table.from_arrays([pa.array(cases), masks, *values], names=["case_id", "mask", *names])


@pytest.fixture(scope="module")
def cohorts():
    return [Memory(i) for i in range(NODES)]


@pytest.fixture
def fed(cohorts, tmp_path):
    number = itertools.count()
    policy = fi.federated.Policy(min_cases=1)
    nodes = [
        fi.federated.Node(c, policy, name=f"n{next(number)}", log=tmp_path / f"{i}") for i, c in enumerate(cohorts)
    ]
    return fi.federated.Federation.local(nodes)


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.benchmark(group=HISTOGRAM)
def bench_histogram(case, one_thread, fed, cohorts, secure):
    # another range each time: an identical question would get the stored answer
    width = itertools.count(1024)
    ask = lambda: fed.run("histogram", bins=BINS, range=(-1024, next(width)), secure=secure)  # noqa: E731
    pooled = sum(np.histogram(c[f"c{i}"].image().array, BINS, (-1024, 1024))[0] for c in cohorts for i in range(CASES))
    error = np.abs(ask().value["counts"] - pooled).max()
    case(ask, tool="fastimg" if secure else "fastimg, plain sums", items=NODES, unit="node", rounds=2, error=error)


@pytest.mark.benchmark(group=MOMENTS)
def bench_moments(case, one_thread, fed, cohorts):
    names, turn = [f"f{i}" for i in range(1500)], itertools.count()
    x = np.concatenate([c.x for c in cohorts])
    ask = lambda: fed.run("moments", features=np.roll(names, next(turn)).tolist())  # noqa: E731
    error = np.abs(ask().value["variance"] / x.var(0, ddof=1) - 1).max()
    case(ask, items=NODES, unit="node", rounds=2, error=error)
