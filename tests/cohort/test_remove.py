"""Withdrawal: purged for good, kept out, and ended after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import numpy as np
import pytest

import fastimg as fi
from fastimg.cohort._files import crc32c
from fastimg.errors import ArgumentError, FormatError, IntegrityError, RefusedError

from .steps import kill_before_step
from .test_golden import GOLDEN


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


def test_tombstones_are_keyed(cohort, tmp_path):
    """Who knows the subjects' codes cannot tell from names of tombstones alone which of them was removed."""
    cohort.remove(["case-1"], subjects=["subject-aaa"], reason="opt-out")
    names = [p.stem for p in (cohort.path / "tombstones").glob("*.tombstone")]
    assert len(names) == 3
    for kind, value in (("subject", "subject-aaa"), ("case_id", "case-1"), ("source", "source-1")):
        assert hashlib.sha256(f"{kind}\n{value}".encode()).hexdigest() not in names
    other = fi.Cohort.create(tmp_path / "other")
    other.remove(subjects=["subject-aaa"])
    assert not {p.stem for p in (other.path / "tombstones").glob("*.tombstone")} & set(names)
    key = cohort.path / "tombstones" / "key"
    assert key.stat().st_mode & 0o077 == 0
    key.unlink()
    with pytest.raises(IntegrityError, match="tombstones/key: is missing"):
        cohort.add("x", fi.Image(np.ones((2, 2, 2), np.int16)))
    assert [(f.code, f.where) for f in cohort.verify().findings] == [("removal-key", "tombstones/key")]
    assert not fi.Cohort.open(cohort.path).verify().ok


def test_what_was_made_from_the_cases_goes_too_and_the_log_tells(cohort):
    made = ("features.parquet", "features_combat.parquet", "report.html", "report_shareable.html")
    for name in made:
        (cohort.path / name).write_text("case-0")
    cohort.remove(subjects=["subject-aaa", "subject-zzz"], reason="withdrawal")
    assert not [name for name in made if (cohort.path / name).exists()]
    (line,) = map(json.loads, (cohort.path / "tombstones" / "log.jsonl").read_text().splitlines())
    assert (line["subjects"], line["cases"], line["reason"]) == (2, 2, "withdrawal")
    assert {p.name for p in files_holding(cohort.path, "subject-")} == {"cases.sqlite", "manifest.json"}
    assert files_holding(cohort.path, "subject-aaa") == files_holding(cohort.path, "subject-zzz") == []


def test_a_case_that_is_committed_while_its_subject_is_removed_goes(cohort, monkeypatch):
    """The removal looks for cases after the last look of the writer at the tombstones, before its rename."""
    from fastimg.cohort import _folder

    rename = os.rename

    def late(source, target):
        if os.fspath(target).endswith("late"):
            monkeypatch.setattr(_folder.os, "rename", rename)
            fi.Cohort.open(cohort.path, mode="r+").remove(subjects=["subject-ccc"])
        rename(source, target)

    monkeypatch.setattr(_folder.os, "rename", late)
    with pytest.raises(RefusedError, match="removed"):
        cohort.add("late", fi.Image(np.ones((2, 2, 2), np.int16)), None, {"subject": "subject-ccc"})
    assert list(cohort) == ["case-0", "case-1", "case-2"]
    assert files_holding(cohort.path, "subject-ccc") == []
    assert cohort.verify(full=True).findings == []


def test_a_kill_at_any_step_is_made_good(cohort, memory):
    """Killed in front of each step on the disk: nothing has begun, or the next writer ends it."""
    (cohort.path / "report.html").write_text("subject-aaa")
    step = begun = 0
    while True:
        path = memory / "again"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(cohort.path, path)
        handle = fi.Cohort.open(path, mode="r+")
        killed = kill_before_step(lambda c=handle: c.remove(subjects=["subject-aaa"]), step)
        again = fi.Cohort.open(path, mode="r+")
        if again.is_removed(subject="subject-aaa"):
            begun += 1
            assert sorted(os.listdir(path / "cases")) == ["case-1", "case-3"] == list(again)
            assert files_holding(path, "subject-aaa") == []
            assert len((path / "tombstones" / "log.jsonl").read_text().splitlines()) == 1
            assert os.listdir(path / "tombstones" / "pending") == []
        else:
            assert list(again) == ["case-0", "case-1", "case-2", "case-3"]
        again.gc()
        assert again.verify(full=True).findings == []
        if not killed:
            break
        step += 1
    assert begun > 15
    assert step - begun < 8  # few steps pass before the removal counts


@pytest.fixture
def outdated(tmp_path):
    """A cohort of format 1 with a removal, as an older fastimg left it."""
    path = tmp_path / "old"
    shutil.copytree(GOLDEN / "v1" / "default", path)
    for empty in (".tmp", "index", "tombstones"):
        (path / empty).mkdir()
    name = hashlib.sha256(b"subject\nsubject-aaa").hexdigest()
    body = b'{"kind":"subject","at":"2026-01-01T00:00:00+00:00","reason":"opt-out"}'
    head = f'{{"format": "fastimg-tombstone", "version": 1, "crc32c": "{crc32c(body):08x}", "body":\n'
    (path / "tombstones" / f"{name}.json").write_bytes(head.encode() + body + b"}\n")
    return path


def test_migration_of_an_older_format(outdated):
    reader = fi.Cohort.open(outdated)
    assert reader.is_removed(subject="subject-aaa")
    with pytest.raises(FormatError, match="fastimg migrate"):
        fi.Cohort.open(outdated, mode="r+")
    assert fi.cohort.migrate(outdated) == (1, 2)
    assert fi.cohort.migrate(outdated) == (2, 2)
    c = fi.Cohort.open(outdated, mode="r+")
    assert [p.suffix for p in (outdated / "tombstones").iterdir() if p.is_file()].count(".json") == 0
    assert c.removals() == [{"kind": "subject", "at": "2026-01-01T00:00:00+00:00", "reason": "opt-out"}]
    assert c.is_removed(subject="subject-aaa")
    assert not c.is_removed(subject="p1")
    with pytest.raises(RefusedError):
        c.add("new", fi.Image(np.ones((2, 2, 2), np.int16)), None, {"subject": "subject-aaa"})
    assert c.verify(full=True).ok
    with pytest.raises(FormatError, match="not a cohort"):
        fi.cohort.migrate(outdated / "cases")


def test_a_migration_killed_at_any_step_loses_nothing(outdated, memory):
    cases = contents(outdated / "cases")
    step = turned = 0
    while True:
        path = memory / "again"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(outdated, path)
        killed = kill_before_step(lambda p=path: fi.cohort.migrate(p), step)
        reader = fi.Cohort.open(path)
        assert reader.is_removed(subject="subject-aaa")
        assert reader.verify(full=True).ok
        turned += reader._place.version == 2
        fi.cohort.migrate(path)
        again = fi.Cohort.open(path, mode="r+")
        assert contents(path / "cases") == cases
        assert again.is_removed(subject="subject-aaa")
        assert len(again.removals()) == 1
        if not killed:
            break
        step += 1
    assert step > 8
    assert 0 < turned < step


def test_migration_waits_for_nobody(outdated):
    from fastimg.cohort._files import Slot

    with Slot(outdated / ".tmp", "x"), pytest.raises(RefusedError, match="a writer is at work"):
        fi.cohort.migrate(outdated)
    assert fi.Cohort.open(outdated)._place.version == 1


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_newer_format_is_refused(cohort, mode):
    file = cohort.path / "cohort.json"
    file.write_bytes(file.read_bytes().replace(b'"version": 2', b'"version": 3', 1))
    for act in (lambda: fi.Cohort.open(cohort.path, mode=mode), lambda: fi.cohort.migrate(cohort.path)):
        with pytest.raises(FormatError, match="version 3 is newer than this fastimg reads \\(2\\); update fastimg"):
            act()


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
