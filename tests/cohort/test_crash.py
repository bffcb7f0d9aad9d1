"""A case is wholly there or absent: killed writers, several at once, full and read-only disks, flipped bits."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg.cohort import _folder
from fastimg.cohort._manifest import CASE, pack
from fastimg.errors import FastimgError, FormatError, IntegrityError, RefusedError

from .steps import flush_by
from .storm import image_of

STORM = Path(__file__).with_name("storm.py")


def survive(folder: Path, kills: int, writers: int, seed: int) -> int:
    """Run a storm and check the promise; returns how many cases were acknowledged."""
    cohort = fi.Cohort.create(folder / "c")
    acknowledged = folder / "acknowledged"
    arguments = [sys.executable, str(STORM), str(cohort.path), str(kills), str(writers), str(seed), str(acknowledged)]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=3600, check=True)
    assert ran.stdout == ""
    lines = acknowledged.read_text().splitlines()
    added = {line.split()[1] for line in lines if line.startswith("add ")}
    before = fi.Cohort.open(cohort.path)
    there = set(os.listdir(cohort.path / "cases"))
    assert added <= there
    assert set(before) == there  # a reader sees the rows of cases whose writer died before it wrote the row
    report = before.verify(full=True)
    assert report.ok, report.findings
    assert {f.code for f in report.findings} <= {"leftover", "index-stale"}  # stale: half a row, not yet rolled back
    for name in there:
        case = before[name]
        expected = image_of(case.source)
        np.testing.assert_array_equal(case.image().array, expected.array)
        if case.mask_names:
            np.testing.assert_array_equal(case.masks()["m"].array, expected.array > 20)
    for line in lines:
        if line.startswith("features "):
            assert before[line.split()[1]].features["m"]["count"] == before[line.split()[1]].metadata["count"]
    cohort.gc()
    assert not [name for name in os.listdir(cohort.path / ".tmp") if not name.endswith(".part")]
    assert set(cohort) == there
    again = cohort.verify()
    assert again.ok
    assert not again.findings
    return len(added)


def test_killed_writers_leave_whole_cases_only(tmp_path):
    assert survive(tmp_path, 12, 2, seed=1) > 2


@pytest.mark.soak
def test_a_thousand_kills_of_four_writers(tmp_path, soak_minutes):
    kills = min(1000, int(100 * soak_minutes))  # the thousand from ten minutes on
    assert survive(tmp_path, kills, 4, seed=2) > kills // 10


def test_a_kill_between_rename_and_row_is_mended(tmp_path, monkeypatch):
    cohort = fi.Cohort.create(tmp_path / "c")
    cohort.add("a", image_of("a"), source="a")
    script = (
        "import os, sys, fastimg as fi; from fastimg.cohort import _index\n"
        "_index.Index.put = lambda *a, **k: os.kill(os.getpid(), 9)\n"
        f"c = fi.Cohort.open({str(cohort.path)!r}, mode='r+')\n"
        "import numpy as np; c.add('b', fi.Image(np.ones((2, 2, 2), np.int16)), source='b')\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    reader = fi.Cohort.open(cohort.path)
    assert list(reader) == ["a", "b"]
    assert reader.index.num_rows == 2
    assert [p.suffix for p in (cohort.path / ".tmp").iterdir()] == [".note"]
    assert list(cohort) == ["a", "b"]
    assert not list((cohort.path / ".tmp").iterdir())


def test_replacing_without_an_exchange_survives_too(tmp_path, monkeypatch):
    from fastimg.cohort import _folder

    monkeypatch.setattr(_folder, "exchange", lambda *_: False)
    cohort = fi.Cohort.create(tmp_path / "c")
    cohort.add("a", image_of("a"), source="a")
    cohort.add("a", image_of("b"), source="b", replace=True)
    np.testing.assert_array_equal(cohort["a"].image().array, image_of("b").array)
    script = (
        "import os, fastimg as fi; from fastimg.cohort import _folder\n"
        "_folder.exchange = lambda *_: False\n"
        "rename = os.rename\n"
        "def once(a, b):\n"
        "    rename(a, b); os.kill(os.getpid(), 9)\n"
        "os.rename = once\n"
        f"c = fi.Cohort.open({str(cohort.path)!r}, mode='r+')\n"
        "import numpy as np; c.add('a', fi.Image(np.ones((2, 2, 2), np.int16)), source='c', replace=True)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert not (cohort.path / "cases" / "a").exists()
    assert list(cohort) == ["a"]
    np.testing.assert_array_equal(cohort["a"].image().array, image_of("b").array)
    cohort.gc()
    assert not list((cohort.path / ".tmp").iterdir())
    assert cohort.verify(full=True).findings == []


@pytest.mark.parametrize("step", ["rename", "fsync", "put"])
def test_metadata_that_a_kill_cuts_short_is_old_or_new(tmp_path, step):
    cohort = fi.Cohort.create(tmp_path / "c")
    cohort.add("a", image_of("a"), None, {"site": "A", "age": 60}, source="a")
    voxels = cohort["a"].manifest["files"]
    script = (
        "import os, fastimg as fi; from fastimg.cohort import _index\n"
        f"c = fi.Cohort.open({str(cohort.path)!r}, mode='r+')\n"
        "kill = lambda *a, **k: os.kill(os.getpid(), 9)\n"
        + {"rename": "os.rename = kill\n", "fsync": "os.fsync = kill\n", "put": "_index.Index.put = kill\n"}[step]
        + "c.set_metadata('a', {'age': 61, 'stage': 'II'})"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    expected = {"site": "A", "age": 60} if step != "put" else {"site": "A", "age": 61, "stage": "II"}
    for found in (fi.Cohort.open(cohort.path), cohort):
        assert found["a"].metadata == expected
        assert found["a"].manifest["files"] == voxels
        row = found.query("SELECT * FROM cases").to_pylist()[0]
        assert {name: row[name] for name in expected} == expected
    cohort.gc()
    assert cohort.verify(full=True).findings == []


def test_metadata_that_could_not_be_flushed_are_said_to_be_old_or_new(tmp_path, monkeypatch):
    fsync, told = os.fsync, []
    for step in range(20):
        cohort = fi.Cohort.create(tmp_path / f"c{step}")
        cohort.add("a", image_of("a"), None, {"age": 60}, source="a")
        count = iter(range(10**6))

        def failing(fd, step=step, count=count):
            if next(count) == step:
                raise OSError(errno.EIO, "broken")
            fsync(fd)

        flush_by(monkeypatch, failing)
        try:
            cohort.set_metadata("a", {"age": 61})
        except FastimgError as error:
            told.append(str(error))
        monkeypatch.undo()
        new = len(told) == step or "is in its place" in told[-1]
        for found in (fi.Cohort.open(cohort.path), cohort):
            assert found["a"].metadata == {"age": 61 if new else 60}
            assert found.query("SELECT age FROM cases").to_pylist() == [{"age": 61 if new else 60}]
        cohort.gc()
        assert cohort.verify(full=True).findings == []
        if next(count) <= step:
            break
    assert ["nothing of it was kept" in text for text in told] == [True, False]
    assert told[1] == (
        "case a: what is new in it is in its place, but the disk reports an error: it may be lost if the power fails"
    )


def test_metadata_of_a_case_whose_place_is_taken_meanwhile(tmp_path, monkeypatch):
    cohort = fi.Cohort.create(tmp_path / "c")
    cohort.add("a", image_of("a"), None, {"site": "A"}, source="a")
    pack, taken = _folder.pack, []

    def late(kind, body):
        if not taken:
            taken.append(1)
            cohort.add("a", image_of("b"), None, {"site": "B", "age": 7}, source="b", replace=True)
        return pack(kind, body)

    monkeypatch.setattr(_folder, "pack", late)
    cohort.set_metadata("a", {"site": "C"})
    assert cohort["a"].metadata == {"site": "C", "age": 7}  # the new case, changed; never the old one's manifest
    assert cohort.query("SELECT site, age FROM cases").to_pylist() == [{"site": "C", "age": 7}]
    np.testing.assert_array_equal(cohort["a"].image().array, image_of("b").array)
    assert cohort.verify(full=True).findings == []
    with pytest.raises(KeyError):
        cohort.set_metadata("z", {"site": "C"})
    (cohort.path / "cases" / "a" / "manifest.json").unlink()
    with pytest.raises(IntegrityError, match="manifest is missing"):
        cohort.set_metadata("a", {"site": "C"})


def test_living_writers_are_left_alone(tmp_path):
    from fastimg.cohort._files import Slot

    cohort = fi.Cohort.create(tmp_path / "c")
    with Slot(cohort.path / ".tmp", "x") as slot:
        assert cohort.gc() == []
        assert slot.folder.is_dir()
        assert cohort.verify().findings == []
        assert len(cohort) == 0
    (cohort.path / ".tmp" / "0123.note").write_text('{"case_id": "y"}')
    (cohort.path / ".tmp" / "0123").mkdir()
    assert [f.code for f in cohort.verify().findings] == ["leftover"] * 2
    assert len(cohort.gc()) == 2
    assert not list((cohort.path / ".tmp").iterdir())


def test_one_run_at_a_time(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    with cohort.lock():
        with pytest.raises(RefusedError, match=rf"process {os.getpid()} on .* is at work"), cohort.lock():
            pass
        cohort.add("a", image_of("a"))
    with cohort.lock():
        pass


def kinds(cohort):
    """A file of each kind in the cohort."""
    base = cohort.path / "cases" / "a"
    files = [p for p in base.rglob("*") if p.is_file()]
    assert len(files) == 14
    return [*files, cohort.path / "cohort.json"]


def test_a_flipped_bit_is_found_and_never_a_wrong_voxel(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    image = image_of("a")
    padded = fi.Image(image.array, image.affine, unit="HU", padding=image.array < -80)
    mask = image.array > 10
    cohort.add("a", padded, {"m": mask, "n": ~mask}, {"site": "A"}, features={"m": {"f": 1.25}})
    chance = random.Random(0)
    for file in kinds(cohort):
        good = file.read_bytes()
        places = {0, len(good) - 1, len(good) - 5, *(chance.randrange(len(good)) for _ in range(12))}
        for place in places:
            bad = bytearray(good)
            bad[place] ^= 1 << chance.randrange(8)
            file.write_bytes(bad)
            check(cohort.path, padded, mask, file)
        for cut in (0, 1, len(good) // 2, len(good) - 1):
            file.write_bytes(good[:cut])
            check(cohort.path, padded, mask, file)
        file.unlink()
        check(cohort.path, padded, mask, file, gone=True)
        file.write_bytes(good)
        assert fi.Cohort.open(cohort.path).verify(full=True).ok


def check(path, image, mask, file, gone=False):
    try:
        reader = fi.Cohort.open(path)
    except (IntegrityError, FormatError):
        assert file.name == "cohort.json"
        return
    report = reader.verify()
    assert not report.ok or (gone and file.name == "features.json"), file
    assert all(f.where == "a" for f in report.findings if f.code == "case-damaged")
    for read in (
        lambda c: c.image().array.tobytes() == image.array.tobytes(),
        lambda c: c.image().padding.tobytes() == image.padding.tobytes(),
        lambda c: (c.voxels((), mask="m") == mask).all(),
        lambda c: c.features in ({"m": {"f": 1.25}}, {} if gone else None),
        lambda c: c.metadata == {"site": "A"},
    ):
        with suppress(IntegrityError, FormatError):
            assert read(reader["a"])


def test_foreign_files_and_swapped_cases_are_found(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    for name in "abc":
        cohort.add(name, image_of(name))
    cases = cohort.path / "cases"
    (cases / "a" / "more").write_text("x")
    os.rename(cases / "b", cases / "d")
    shutil.rmtree(cases / "c")
    (cases / "e").mkdir()
    report = cohort.verify()
    assert {(f.code, f.where) for f in report.findings} == {
        *(("case-damaged", name) for name in "abcde"),
        ("index-stale", "index"),
    }
    assert list(cohort) == ["a"]
    with pytest.raises(IntegrityError, match="manifest is missing"):
        cohort["e"]


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("profile", ["default", "gpu"])
def test_voxels_of_another_case_are_found(tmp_path, profile, alike):
    """By the lengths of the chunks; where all of them are equal too by the chunks' own CRCs, since the shard's says nothing
    then: each chunk ends with its own."""
    cohort = fi.Cohort.create(tmp_path / "c", profile=profile)
    noise = np.random.default_rng(0).integers(-(2**15), 2**15, (2, 8, 64, 64)).astype(np.int16)
    noise[1, 0] *= alike
    marks = noise.astype(np.uint8)
    for name, array, mask in zip("ab", noise, marks, strict=True):
        cohort.add(name, fi.Image(array), {"m": mask})
    sizes = {name: {f: entry["size"] for f, entry in cohort[name].manifest["files"].items()} for name in "ab"}
    for node in ("image.ome.zarr/0", "image.ome.zarr/labels/m/0"):
        shard = cohort.path / "cases" / "b" / node / "c/0/0/0"
        good = shard.read_bytes()
        shutil.copy(cohort.path / "cases" / "a" / node / "c/0/0/0", shard)
        for full in (False, True):
            assert [(f.code, f.where) for f in cohort.verify(full).findings] == [("case-damaged", "b")]
        if alike:  # else the test would not reach what it is for
            assert sizes["a"] == sizes["b"]
            checks = [cohort[name].manifest["files"][f"{node}/c/0/0/0"]["crc32c"] for name in "ab"]
            assert checks[0] == checks[1]
        elif node.endswith("zarr/0"):
            with pytest.raises(IntegrityError):
                cohort["b"].image()
        # a manifest of before has no checksum over the chunks: it is read, and only the digest tells
        manifest = cohort.path / "cases" / "b" / "manifest.json"
        now, body = manifest.read_bytes(), cohort["b"].manifest
        for entry in (body["image"], *body["masks"].values()):
            del entry["chunks_crc32c"]
        manifest.write_bytes(pack(CASE, body))
        assert cohort.verify().ok or not alike
        assert [f.where for f in cohort.verify(full=True).findings if f.code == "case-damaged"] == ["b"]
        manifest.write_bytes(now)
        shard.write_bytes(good)
        cohort.verify()
        assert cohort.verify(full=True).findings == []


@pytest.mark.parametrize("damage", ["missing", "garbage", "flipped", "old"])
def test_the_index_is_a_cache(tmp_path, damage):
    cohort = fi.Cohort.create(tmp_path / "c")
    for name in "ab":
        cohort.add(name, image_of(name), None, {"site": name}, source=name)
    expected = cohort.index
    file = cohort.path / "index" / "cases.sqlite"
    good = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "garbage":
        file.write_bytes(os.urandom(5000))
    elif damage == "flipped":
        at = good.index(b"A" if b"sha256" not in good else b"sha256")
        file.write_bytes(good[:at] + b"X" + good[at + 1 :])
    else:
        cohort.add("c", image_of("c"), source="c")
        file.write_bytes(good)
    if damage in ("missing", "garbage"):
        assert fi.Cohort.open(cohort.path).index.equals(expected)  # in memory; nothing is touched
        assert not file.exists() or file.read_bytes() != good
    report = cohort.verify()
    assert report.ok
    assert [f.code for f in report.findings] == ["index-stale"]
    assert cohort.sources() == {n: n for n in ("abc" if damage == "old" else "ab")}
    if damage != "old":
        assert cohort.index.equals(expected)
    assert cohort.verify().findings == []


@contextmanager
def small_disk(folder: Path, options: str):
    """A file system in memory, mounted at `folder`; skips where that is not allowed."""
    folder.mkdir(exist_ok=True)
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=False).returncode
    ):
        pytest.skip("mounting a file system is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    with small_disk(tmp_path / "disk", "size=1m"):
        cohort = fi.Cohort.create(tmp_path / "disk" / "c")
        noise = np.random.default_rng(0).integers(-3000, 3000, (16, 64, 64)).astype(np.int16)
        added = []
        with pytest.raises(FastimgError, match="the disk is full"):
            for k in range(30):
                cohort.add(f"c{k}", fi.Image(noise), source=f"c{k}")
                added.append(f"c{k}")
        assert 0 < len(added) < 20
        os.sync()
        reader = fi.Cohort.open(cohort.path)
        assert sorted(os.listdir(cohort.path / "cases")) == sorted(added)
        # voxels of the failed case are gone; a note of a row that found no room may stand
        assert {p.suffix for p in (cohort.path / ".tmp").iterdir()} <= {".note"}
        assert reader.verify(full=True).ok
        assert sorted(reader) == sorted(added)
        assert sorted(cohort) == sorted(added)
        with pytest.raises(FastimgError, match="the disk is full"):
            while True:
                cohort.set_features("c0", {"m": {f"f{k}": 0.1 * k for k in range(20000)}})
                (tmp_path / "disk" / os.urandom(4).hex()).write_bytes(noise.tobytes()[:60000])
        assert reader["c0"].features == {} or len(reader["c0"].features["m"]) == 20000
    assert fi.cohort.free_bytes(tmp_path / "not" / "there") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)


def test_a_limit_on_file_size_is_an_error_and_leaves_nothing(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    noise = np.random.default_rng(0).integers(-3000, 3000, (16, 64, 64)).astype(np.int16)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60000, before[1]))
    try:
        with pytest.raises(FastimgError, match="larger than the system allows"):
            cohort.add("a", fi.Image(noise))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((cohort.path / ".tmp").iterdir())
    assert not list((cohort.path / "cases").iterdir())


def test_a_read_only_file_system(tmp_path):
    with small_disk(tmp_path / "disk", "size=4m"):
        cohort = fi.Cohort.create(tmp_path / "disk" / "c")
        cohort.add("a", image_of("a"), source="a")
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        reader = fi.Cohort.open(cohort.path)
        assert list(reader) == ["a"]
        assert reader.verify(full=True).ok
        np.testing.assert_array_equal(reader["a"].image().array, image_of("a").array)
        for act in (
            lambda: cohort.add("b", image_of("b")),
            lambda: cohort.set_features("a", {}),
            lambda: fi.Cohort.create(tmp_path / "disk" / "d"),
            lambda: cohort.lock().__enter__(),
        ):
            with pytest.raises(FastimgError, match="read-only"):
                act()
