"""Cases whose index rows are written with others' (`listed=False`): as safe, and as soon seen, as with a row at once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg.cohort import _folder
from fastimg.cohort._index import Index

from .steps import flush_by, kill_before_step
from .storm import image_of


def rows(cohort):
    return [{name: row[name] for name in ("case_id", "source", "site")} for row in cohort.index.to_pylist()]


def expected(names):
    return [{"case_id": name, "source": name, "site": name.upper()} for name in names]


def add(cohort, name, **options):
    return cohort.add(name, image_of(name), None, {"site": name.upper()}, source=name, listed=False, **options)


def waiting(cohort):
    return [path for path in (cohort.path / ".tmp").iterdir() if path.suffix == ".note"]


def test_whoever_reads_next_sees_the_case_and_writes_its_row(tmp_path, monkeypatch):
    cohort = fi.Cohort.create(tmp_path / "c")
    cohort.add("a", image_of("a"), None, {"site": "A"}, source="a")
    before = (cohort.path / "index" / "cases.sqlite").read_bytes()
    puts, put = [], Index.put
    monkeypatch.setattr(Index, "put", lambda self, names: puts.append(sorted(names)) or put(self, names))
    add(cohort, "b")
    cohort.record("c", "failed", findings=[], source="c", metadata={"site": "C"}, listed=False)
    assert puts == []
    assert len(waiting(cohort)) == 2
    for _ in range(2):
        reader = fi.Cohort.open(cohort.path)
        assert rows(reader) == expected("abc")
        assert reader.verify(full=True).ok
    assert (cohort.path / "index" / "cases.sqlite").read_bytes() == before  # who may not write sets it right in memory
    assert rows(cohort) == expected("abc")
    assert puts == [["b", "c"]]
    assert waiting(cohort) == []
    assert cohort.verify().findings == []


def test_rows_are_written_some_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(_folder, "_TOGETHER", 4)
    cohort = fi.Cohort.create(tmp_path / "c")
    puts, put = [], Index.put
    monkeypatch.setattr(Index, "put", lambda self, names: puts.append(sorted(names)) or put(self, names))
    for name in "abcdefghij":
        add(cohort, name)
        assert len(waiting(cohort)) < 4
    assert puts == [list("abcd"), list("efgh")]
    add(cohort, "a", replace=True)
    cohort.remove(["b"])
    assert rows(cohort) == expected("acdefghij")
    assert cohort.verify().findings == []


def test_the_note_is_flushed_before_the_case_is_seen(tmp_path, monkeypatch):
    """A power failure after that must not lose the row: the note says what to look at."""
    cohort = fi.Cohort.create(tmp_path / "c")
    flushed, fsync, rename = [], os.fsync, os.rename

    def flushing(fd):
        fsync(fd)
        flushed.append(Path(os.readlink(f"/proc/self/fd/{fd}")))

    def renaming(source, target, **options):
        if target == cohort.path / "cases" / "a":
            (note,) = waiting(cohort)
            assert b'"case_id": "a"' in note.read_bytes()
            assert note in flushed
        rename(source, target, **options)

    flush_by(monkeypatch, flushing)
    monkeypatch.setattr(os, "rename", renaming)
    add(cohort, "a")
    assert flushed[-1] == cohort.path / "cases"  # and no flush of the index
    monkeypatch.undo()
    assert rows(cohort) == expected("a")


def test_killed_in_front_of_any_step_the_case_is_whole_or_absent(memory, monkeypatch):
    monkeypatch.setattr(_folder, "_TOGETHER", 2)  # the second writes both rows
    outcomes = []
    for step in range(200):
        cohort = fi.Cohort.create(memory / f"c{step}")

        def work(cohort=cohort):
            writer = fi.Cohort.open(cohort.path, mode="r+")
            add(writer, "a")
            add(writer, "b")

        killed = kill_before_step(work, step)
        there = sorted(os.listdir(cohort.path / "cases"))
        outcomes.append("".join(there))
        for found in (fi.Cohort.open(cohort.path), cohort):
            assert rows(found) == expected(there)
            for name in there:
                np.testing.assert_array_equal(found[name].image().array, image_of(name).array)
        cohort.gc()
        assert list((cohort.path / ".tmp").glob("*.note")) == []
        assert cohort.verify(full=True).findings == []
        if not killed:
            break
    assert not killed
    assert [*dict.fromkeys(outcomes)] == ["", "a", "ab"]
    assert outcomes.count("ab") > 5  # steps of the rows


@pytest.mark.parametrize("listed", [True, False])
def test_of_two_writers_of_a_case_the_later_ones_row_stays(tmp_path, monkeypatch, listed):
    """The first is held up between its rename and its row while the second takes its place."""
    cohort = fi.Cohort.create(tmp_path / "c")
    put, held = Index.put, []

    def late(self, names):
        names = list(names)
        if not held:
            held.append(names)
            cohort.add("a", image_of("b"), None, {"site": "B"}, source="b", replace=True)
        put(self, names)

    monkeypatch.setattr(Index, "put", late)
    cohort.add("a", image_of("a"), None, {"site": "A"}, source="a", listed=listed)
    assert rows(cohort) == [{"case_id": "a", "source": "b", "site": "B"}]
    assert held == [["a"]]
    assert cohort.verify(full=True).findings == []
