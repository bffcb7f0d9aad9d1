"""How a case is committed: what is flushed before what, and a disk that fails at any step of it."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg.cohort import _files, _folder, _native
from fastimg.cohort._case import MANIFEST
from fastimg.cohort._index import Index
from fastimg.cohort._manifest import CASE, pack
from fastimg.errors import FastimgError

from .steps import flush_by
from .storm import image_of


def add(cohort, name="a", seed="a", **options):
    image = image_of(seed)
    padded = fi.Image(image.array, image.affine, padding=image.array < -80)
    return cohort.add(name, padded, {"m": image.array > 20}, source=seed, features={"m": {"f": 1.0}}, **options)


def content(path):
    """What a flush of this file or folder puts on the disk."""
    return sorted(os.listdir(path)) if path.is_dir() else path.stat().st_size


@pytest.mark.parametrize("replaced", [False, True, "without exchange"])
def test_everything_is_flushed_before_the_case_is_seen_and_its_place_before_its_row(tmp_path, monkeypatch, replaced):
    cohort = fi.Cohort.create(tmp_path / "c")
    if replaced:
        add(cohort, seed="before")
    if replaced == "without exchange":
        monkeypatch.setattr(_folder, "exchange", lambda *_: False)
    flushed, told = {}, []
    fsync, rename, exchange, put = os.fsync, os.rename, _folder.exchange, Index.put

    def flushing(fd):
        fsync(fd)
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        flushed[path] = content(path)
        if path == cohort.path / "cases":
            told.append("flush of cases")

    def seen(folder):
        files = [folder, *folder.rglob("*")]
        assert len(files) > 20
        assert {p: flushed.get(p) for p in files} == {p: content(p) for p in files}
        told.append("seen")

    def renaming(source, target, **options):
        if target == cohort.path / "cases" / "a":
            seen(source)
        rename(source, target, **options)

    def exchanging(first, second):
        done = exchange(first, second)
        if done:  # the new case has the old one's name now: what was flushed under its first
            for path in [p for p in flushed if p.is_relative_to(first)]:
                flushed[second / path.relative_to(first)] = flushed.pop(path)
            seen(second)
        return done

    def putting(self, *arguments):
        told.append("row")
        put(self, *arguments)

    flush_by(monkeypatch, flushing)
    monkeypatch.setattr(os, "rename", renaming)
    monkeypatch.setattr(_folder, "exchange", exchanging)
    monkeypatch.setattr(Index, "put", putting)
    add(cohort, seed="after", replace=bool(replaced))
    assert told == ["seen", "flush of cases", "row"]
    assert cohort.sources() == {"after": "a"}


@pytest.mark.parametrize("code", [errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_flush_that_fails_at_any_step_is_an_error_and_leaves_the_case_that_was(memory, monkeypatch, code, replaced):
    """A quota or a broken disk of a server is often told by fsync, after the writes went well."""
    fsync, failed = os.fsync, 0
    for step in range(100):
        cohort = fi.Cohort.create(memory / f"c{step}")
        add(cohort, "other")
        if replaced:
            add(cohort, seed="before")
        count = iter(range(10**6))

        def failing(fd, step=step, count=count):
            if next(count) == step:
                raise OSError(code, os.strerror(code))
            fsync(fd)

        flush_by(monkeypatch, failing)
        try:
            add(cohort, seed="after", replace=True)
        except FastimgError as error:
            failed += 1
            assert {errno.EDQUOT: "quota is used up", errno.EIO: "disk reports an error"}[code] in str(error)
            after = {"after": "a"} if "it is in its place" in str(error) else {"before": "a"} if replaced else {}
            assert ("nothing of it was kept" in str(error)) == (after != {"after": "a"})
        else:
            after = {"after": "a"}
        monkeypatch.undo()
        for found in (fi.Cohort.open(cohort.path), cohort):
            assert found.sources() == {**after, "a": "other"}
            for source, name in found.sources().items():
                np.testing.assert_array_equal(found[name].image().array, image_of(source).array)
        assert cohort.verify(full=True).ok
        cohort.gc()
        assert cohort.verify(full=True).findings == []
        assert list((cohort.path / ".tmp").iterdir()) == []
        if next(count) <= step:
            break
    assert failed > 20


@pytest.mark.parametrize("lost", [1, 2])
def test_a_case_that_cannot_be_replaced_is_not_lost(tmp_path, monkeypatch, lost):
    """Where two folders cannot be exchanged in one step, the old one is moved away first: it must come back."""
    cohort = fi.Cohort.create(tmp_path / "c")
    add(cohort, seed="before")
    rename, failures = os.rename, []

    def full(source, target, **options):
        if Path(target) == cohort.path / "cases" / "a" and len(failures) < lost:
            failures.append(source)
            raise OSError(errno.EDQUOT, "quota")
        rename(source, target, **options)

    monkeypatch.setattr(_folder, "exchange", lambda *_: False)
    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(FastimgError, match="quota is used up"):
        add(cohort, seed="after", replace=True)
    assert len(failures) == lost  # of two, the second kept the old case from its place: the next writer brings it back
    monkeypatch.undo()
    again = fi.Cohort.open(cohort.path, mode="r+")
    assert again.sources() == {"before": "a"}
    np.testing.assert_array_equal(again["a"].image().array, image_of("before").array)
    again.gc()
    assert again.verify(full=True).findings == []


def test_a_folder_that_may_not_be_written():
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        cohort = fi.Cohort.create(Path(folder) / "c")
        add(cohort)
        if root:  # who may write everywhere tries it as a user who may not
            for path in (Path(folder), *Path(folder).rglob("*")):
                os.chown(path, 65534, 65534)
            os.seteuid(65534)
        try:
            for closed in (".tmp", "index", "cases"):
                (cohort.path / closed).chmod(0o500)
                if closed != "index":  # the row waits there until it may be written
                    with pytest.raises(FastimgError, match="may not be written"):
                        add(cohort, "b", "b")
                (cohort.path / closed).chmod(0o700)
                assert list(fi.Cohort.open(cohort.path)) == ["a"]
            np.testing.assert_array_equal(cohort["a"].image().array, image_of("a").array)
            assert cohort.verify(full=True).findings == []
        finally:
            if root:
                os.seteuid(0)


def test_only_a_full_verification_sees_voxels_of_another_digest(tmp_path):
    """Sizes and checksums all fit, and the voxels are others: a writer that lied, or bytes that changed before it wrote."""
    cohort = fi.Cohort.create(tmp_path / "c")
    for node in ("image", "m", "padding"):
        case = add(cohort, node, node)
        body = dict(case.manifest)
        entry = body["masks"]["m"] if node == "m" else body[node]
        entry["digest"] = "sha256:" + "0" * 64
        (cohort.path / "cases" / node / MANIFEST).write_bytes(pack(CASE, body))
    cohort.verify()
    assert cohort.verify().findings == []
    report = cohort.verify(full=True)
    assert {(f.code, f.where, f.message) for f in report.findings} == {
        ("case-damaged", node, f"{name}: its voxels differ from their digest")
        for node, name in (("image", "image"), ("m", "masks/m"), ("padding", "padding"))
    }
    assert not report.ok


def test_the_index_has_no_write_ahead_log(tmp_path):
    """Bytes 18 and 19 of an SQLite file are 1 where it keeps a rollback journal, 2 for a write-ahead log."""
    cohort = fi.Cohort.create(tmp_path / "c")
    add(cohort)
    for _ in range(2):
        assert (cohort.path / "index" / "cases.sqlite").read_bytes()[18:20] == b"\1\1"
        assert not list((cohort.path / "index").glob("*-wal"))
        cohort.verify()


def test_files_flushed_together_tell_of_one_that_cannot_be(tmp_path):
    """A pipe cannot be flushed (EINVAL); the files beside it are, and all are closed."""
    open_before = sorted(os.listdir("/proc/self/fd"))
    read, write = os.pipe()
    try:
        with closing(_files.Unflushed()) as new:
            for number in range(9):
                _files.write_new(tmp_path / f"{number}", b"x", unflushed=new)
            new.flush([tmp_path])
            for number in range(9, 18):
                _files.write_new(tmp_path / f"{number}", b"x", unflushed=new)
            new.add(os.dup(write))
            with pytest.raises(OSError, match="Invalid argument"):
                new.flush()
    finally:
        os.close(read)
        os.close(write)
    assert sorted(os.listdir("/proc/self/fd")) == open_before


def test_of_many_new_files_some_are_flushed_before_the_end(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(_native, "flush", lambda files: flushed.append(len(files)))
    with closing(_files.Unflushed()) as new:
        for number in range(150):
            _files.write_new(tmp_path / f"{number}", b"x", unflushed=new)
        assert len(flushed) == 2
        new.flush()
    assert sum(flushed) == 150
    assert max(flushed) < 70
