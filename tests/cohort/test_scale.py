"""Many cases: two writers at once, memory that does not grow, listing, counting, verifying, removing."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import fastimg as fi

from . import workers


@pytest.mark.soak
def test_ten_thousand_cases(tmp_path, soak_minutes):
    count = 2 * min(5_000, int(500 * soak_minutes))  # ten thousand from ten minutes on
    cohort = fi.Cohort.create(tmp_path / "c")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as pool:
        halves = [
            pool.submit(workers.write_small, str(cohort.path), *half) for half in ((0, count // 2), (count // 2, count))
        ]
        grown = [half.result() for half in halves]
    assert max(grown) < 16e6
    names = [f"case-{k:05d}" for k in range(count)]
    assert list(cohort) == names
    assert cohort.index.column("case_id").to_pylist() == names
    old = sum(k % 90 > 40 and k % 3 == 0 for k in range(count))
    sql = "select count(*) as n from cases where age_years > 40 and site = 'A'"
    assert cohort.query(sql).to_pylist() == [{"n": old}]
    report = cohort.verify(full=True)
    assert (report.findings, report.cases) == ([], count)
    for k in range(0, count, 97):
        expected = np.random.default_rng(k).integers(-100, 100, (8, 32, 32)).astype(np.int16)
        np.testing.assert_array_equal(cohort[names[k]].voxels(()), expected)
    gone = cohort.remove(subjects=[f"s{k}" for k in range(0, count // 2, 10)])
    assert gone == [name for k, name in enumerate(names) if k // 2 % 10 == 0]
    assert list(fi.Cohort.open(cohort.path)) == sorted(set(names) - set(gone))
    assert cohort.verify().findings == []
