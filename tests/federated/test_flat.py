"""A node's memory does not grow with the cases: voxels are read one case at a time, cells know few patients."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

import fastimg as fi
from fastimg.federated import Federation, Node, Policy

MIB = 1 << 20


class Endless:
    """So many cases, each made when it is read."""

    class Case:
        has_voxels = True

        def __init__(self, shape, seed):
            self._shape, self._seed = shape, seed

        def image(self):
            rng = np.random.default_rng(self._seed)
            return fi.Image(rng.integers(-1000, 1000, self._shape, np.int16))

    def __init__(self, count, shape):
        names = [f"c{i}" for i in range(count)]
        self.index = pa.table({"case_id": names, "state": ["ok"] * count, "subject": names})
        self._shape = shape

    def __getitem__(self, name):
        return self.Case(self._shape, int(name[1:]))


def peak(tmp_path, count, shape, name, **parameters):
    policy = Policy(min_cases=10, computations=(name,))
    fed = Federation.local([Node(Endless(count, shape), policy, log=tmp_path / f"{name}-{count}")])
    tracemalloc.start()
    try:
        fed.run(name, secure=False, **parameters)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("histogram", {"bins": 256, "range": (-1024, 1024)}), ("nyul", {})],
    ids=lambda v: str(v)[:9],
)
def test_voxels_are_held_for_one_case(tmp_path, name, parameters):
    shape = (32, 128, 128)  # 1 MiB a case, 8 as int64
    few, many = (peak(tmp_path, count, shape, name, **parameters) for count in (12, 48))
    assert many - few < MIB


def test_bins_do_not_hold_a_byte_a_patient(tmp_path):
    few, many = (peak(tmp_path, n, (1, 2, 2), "histogram", bins=16384, range=(-1024, 1024)) for n in (100, 4000))
    assert many - few < 8 * MIB  # a mask of patients and bins would be 64
