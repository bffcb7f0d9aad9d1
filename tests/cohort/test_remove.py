"""Withdrawal: purged for good, kept out, and ended after a kill."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import ArgumentError, RefusedError


@pytest.fixture
def cohort(tmp_path):
    c = fi.Cohort.create(tmp_path / "c")
    for k, subject in enumerate(("subject-aaa", "subject-bbb", "subject-aaa", "subject-ccc")):
        image = fi.Image(np.full((3, 8, 8), k, np.int16))
        c.add(f"case-{k}", image, {"m": image.array == k}, {"subject": subject}, source=f"source-{k}")
        c.set_features(f"case-{k}", {"m": {"f": k}})
    return c


def files_holding(path, text):
    return [p for p in path.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


def test_a_subject_goes_and_stays_away(cohort):
    assert files_holding(cohort.path, "subject-aaa")
    assert cohort.remove(subjects=["subject-aaa", "subject-zzz"], reason="withdrawal") == ["case-0", "case-2"]
    assert list(cohort) == ["case-1", "case-3"]
    assert "case-0" not in cohort
    assert cohort.features().column("case_id").to_pylist() == ["case-1", "case-3"]
    assert files_holding(cohort.path, "subject-aaa") == []
    assert files_holding(cohort.path, "case-0") == []
    assert cohort.verify(full=True).findings == []
    image = fi.Image(np.ones((2, 2, 2), np.int16))
    for subject in ("subject-aaa", "subject-zzz"):
        assert cohort.is_removed(subject=subject)
        with pytest.raises(RefusedError, match="removed"):
            cohort.add("new", image, None, {"subject": subject})
        with pytest.raises(RefusedError, match="removed"):
            cohort.record("new", "failed", findings=[], metadata={"subject": subject})
    cohort.add("new", image, None, {"subject": "subject-ddd"})
    assert {(r["kind"], r["reason"]) for r in cohort.removals()} == {("subject", "withdrawal")}
    assert len(cohort.removals()) == 2


def test_a_case_goes_with_its_source(cohort):
    assert cohort.remove(["case-1"]) == ["case-1"]
    assert cohort.is_removed(source="source-1")
    assert not cohort.is_removed(source="source-2", subject="subject-bbb")
    image = fi.Image(np.ones((2, 2, 2), np.int16))
    for name, source in (("case-1", "x"), ("y", "source-1")):
        with pytest.raises(RefusedError):
            cohort.add(name, image, source=source)
    with pytest.raises(ArgumentError, match="no case 'case-1'"):
        cohort.remove(["case-1"])
    with pytest.raises(ArgumentError, match="open for reading"):
        fi.Cohort.open(cohort.path).remove(["case-2"])


def test_a_damaged_case_can_be_removed(cohort):
    (cohort.path / "cases" / "case-3" / "manifest.json").write_text("")
    assert cohort.remove(["case-3"]) == ["case-3"]
    assert cohort.verify().findings == []


@pytest.mark.parametrize("step", ["os.rename", "_index.Index.put", "shutil.rmtree", "pathlib.Path.unlink"])
def test_a_kill_on_the_way_is_made_good(cohort, step):
    """Killed in front of a step of the purge, the next writer ends it."""
    script = (
        "import os, shutil, pathlib, fastimg as fi\n"
        "from fastimg.cohort import _index, _remove\n"
        f"c = fi.Cohort.open({str(cohort.path)!r}, mode='r+')\n"
        "finish = _remove.finish\n"
        "def deadly(cohort):\n"
        f"    {step} = lambda *a, **k: os.kill(os.getpid(), 9)\n"
        "    finish(cohort)\n"
        "_remove.finish = deadly\n"
        "c.remove(subjects=['subject-aaa'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    again = fi.Cohort.open(cohort.path, mode="r+")
    assert sorted(os.listdir(again.path / "cases")) == ["case-1", "case-3"]
    assert list(again) == ["case-1", "case-3"]
    again.gc()
    assert files_holding(again.path, "subject-aaa") == []
    assert again.is_removed(subject="subject-aaa")
    assert again.verify(full=True).findings == []
