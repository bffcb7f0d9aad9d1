"""map over cases; patches by seed; several writers on one cohort."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import ArgumentError

from . import workers


@pytest.fixture
def cohort(tmp_path):
    c = fi.Cohort.create(tmp_path / "c")
    for k, name in enumerate("abcdefg"):
        values = np.random.default_rng(k).integers(-50, 50, (20 + k, 40, 50)).astype(np.int16)
        mask = np.zeros(values.shape, bool)
        mask[k, 30, 45] = name != "d"
        c.add(name, fi.Image(values), {"m": mask} if name != "e" else None, {"k": k})
    c.record("z", "failed", findings=[])
    return c


def test_map_gives_every_case_in_order(cohort):
    seen = list(cohort.map(workers.total, workers=2))
    assert [name for name, _ in seen] == list("abcdefg")
    assert [value[0] for _, value in seen] == [int(cohort[n].image().array.sum()) for n in "abcdefg"]
    assert os.getpid() not in {value[1] for _, value in seen}
    assert {value[2] for _, value in seen} == {max(1, fi.config.threads() // 2)}


def test_map_on_any_executor(cohort):
    with ThreadPoolExecutor(2) as threads:
        assert [n for n, _ in cohort.map(workers.total, threads)] == list("abcdefg")
        assert threads.submit(int).result() == 0  # it was not shut down


def test_an_exception_is_raised_or_becomes_a_finding(cohort):
    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(ValueError, match="no"):
            list(cohort.map(workers.refuse_b, threads))
        seen = dict(cohort.map(workers.refuse_b, threads, on_error="finding"))
    assert seen.pop("b").code == "case-failed"
    assert seen == {n: n for n in "acdefg"}


def test_map_refuses_what_is_no_executor(cohort):
    with pytest.raises(ArgumentError, match="executor"):
        cohort.map(workers.total, 3)
    with pytest.raises(ArgumentError, match="on_error"):
        cohort.map(workers.total, on_error="ignore")


def test_patches_are_the_images_voxels_and_follow_the_seed(cohort):
    first = list(cohort.patches((8, 16, 16), 30, seed=3))
    for patch in first:
        z, y, x = patch.start
        expected = cohort[patch.case_id].image().array[z : z + 8, y : y + 16, x : x + 16]
        np.testing.assert_array_equal(patch.array, expected)
        assert patch.array.shape == (8, 16, 16)
        assert patch.mask is None
    assert len({p.case_id for p in first}) == 7
    tail = list(cohort.patches((8, 16, 16), 10, seed=3, first=20))
    assert [(p.case_id, p.start) for p in tail] == [(p.case_id, p.start) for p in first[20:]]
    other = [(p.case_id, p.start) for p in cohort.patches((8, 16, 16), 30, seed=4)]
    assert other != [(p.case_id, p.start) for p in first]


def test_masked_patches_hold_the_mask(cohort):
    drawn = list(cohort.patches((8, 16, 16), 40, masked="m"))
    assert {p.case_id for p in drawn} == set("abcfg")  # d has an empty mask, e has none
    for patch in drawn:
        assert patch.mask.sum() == 1
        assert patch.mask.shape == patch.array.shape


def test_patches_that_cannot_be_drawn(cohort):
    with pytest.raises(ArgumentError, match="larger than case"):
        list(cohort.patches((64, 64, 64), 1))
    with pytest.raises(ArgumentError, match="no case to draw from with a mask 'x'"):
        list(cohort.patches((2, 2, 2), 1, masked="x"))
    with pytest.raises(ArgumentError, match="size"):
        cohort.patches((2, 2), 1)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_several_writers_at_once(tmp_path):
    c = fi.Cohort.create(tmp_path / "c")
    shape = (3, 4, 5)
    # three writers, each case wanted by two of them
    parts = [[f"c{k}" for k in range(24) if k % 3 != w] for w in range(3)]
    with multiprocessing.get_context("fork").Pool(3) as processes:
        processes.starmap(workers.write, [(str(c.path), part, shape) for part in parts])
    assert len(c) == 24
    assert c.index.column("pid").to_pylist() == [1] * 24
    for name, case_id in c.sources().items():
        assert name == case_id
        assert (c[case_id].image().array == int(name[1:])).all()
        assert c[case_id].features == {"m": {"f": int(name[1:])}}
    assert c.verify(full=True).findings == []
    assert not list((c.path / ".tmp").iterdir())
