"""Cohorts in an object store: a real S3-compatible server (moto, its own process) on loopback."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

import fastimg as fi
from fastimg.cli import main
from fastimg.cohort import _bucket, _objects
from fastimg.errors import ArgumentError, FastimgError, FormatError, IntegrityError, MissingError, RefusedError

from . import workers
from .storm import image_of

obstore = pytest.importorskip("obstore", reason="obstore is not installed (make peers)")
pytest.importorskip("moto.server", reason="moto's server is not installed (make peers)")

BUCKET = "cohorts"


@pytest.fixture(scope="module")
def options():
    """Those of a server that lives as long as the module's tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.05)
        urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT"), timeout=10).close()
        keys = {"access_key_id": "key", "secret_access_key": "secret", "region": "us-east-1"}
        yield {"endpoint": address, "allow_http": True, **keys}
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def url():
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def cohort(url, options):
    return fi.Cohort.create(url, options=options)


@pytest.fixture
def raw(url, options):
    """The objects themselves, by obstore."""
    settings = {name: value for name, value in options.items() if name != "allow_http"}
    return obstore.store.from_url(url, config=settings, client_options={"allow_http": True})


def fresh_processes():
    """Forks of a process that has imported everything and opened nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([workers.__name__, f"{__package__}.storm", "fastimg.cohort._bucket", "obstore"])
    return context


def names(raw, prefix=None):
    return sorted(entry["path"] for entry in obstore.list(raw, prefix).collect())


def test_written_read_verified_and_asked(cohort, url, options, raw):
    image = image_of("a")
    padded = fi.Image(image.array, image.affine, unit="HU", padding=image.array < -80)
    case = cohort.add(
        "a", padded, {"m": image.array > 20}, {"site": "A", "subject": "s1"}, source="1", features=FEATURES
    )
    cohort.add("b", image_of("b"), None, {"site": "B"}, source="2")
    cohort.record("c", "failed", findings=[fi.Finding("decode-failed", "")], source="3")
    assert case.features == FEATURES
    reader = fi.Cohort.open(url, options=options)
    assert list(reader) == ["a", "b", "c"]
    assert len(reader) == 3
    assert "a" in reader
    assert "d" not in reader
    with pytest.raises(KeyError):
        reader["d"]
    again = reader["a"].image()
    np.testing.assert_array_equal(again.array, image.array)
    np.testing.assert_array_equal(again.padding, padded.padding)
    np.testing.assert_array_equal(again.affine, image.affine)
    region = np.s_[3:7, 20:41, 5:40]
    np.testing.assert_array_equal(reader["a"].voxels(region), image.array[region])
    np.testing.assert_array_equal(reader["a"].masks()["m"].array, image.array > 20)
    assert reader["a"].features == FEATURES
    reader_table = reader.query("select site, count(*) as n from cases where state = 'ok' group by site")
    assert reader_table.to_pylist() == [{"site": "A", "n": 1}, {"site": "B", "n": 1}]
    assert reader.index.column("case_id").to_pylist() == ["a", "b", "c"]
    assert reader.sources() == {"1": "a", "2": "b", "3": "c"}
    cohort.set_features("b", {"w": {"f": 2.5}})
    assert reader["b"].features == {"w": {"f": 2.5}}
    for full in (False, True):
        report = reader.verify(full=full)
        assert report.findings == []
        assert (report.cases, report.ok) == (3, True)
    with pytest.raises(ArgumentError, match="open for reading"):
        reader.add("d", image)


FEATURES = {"m": {"mean": 1.5}}


def test_patches_are_those_of_a_folder(cohort, url, options, tmp_path):
    local = fi.Cohort.create(tmp_path / "c")
    for name in "ab":
        image = image_of(name)
        for c in (cohort, local):
            c.add(name, image, {"m": image.array > 20})
    drawn = fi.Cohort.open(url, options=options).patches((8, 16, 16), 12, seed=3, masked="m")
    for mine, theirs in zip(drawn, local.patches((8, 16, 16), 12, seed=3, masked="m"), strict=True):
        assert (mine.case_id, mine.start) == (theirs.case_id, theirs.start)
        np.testing.assert_array_equal(mine.array, theirs.array)
        np.testing.assert_array_equal(mine.mask, theirs.mask)


def test_zarr_python_reads_what_is_there(cohort, raw, options):
    """By its own store for object stores, and by ours."""
    image = image_of("a")
    case = cohort.add("a", image)
    store = zarr.storage.ObjectStore(raw, read_only=True)
    inside = case.path.removeprefix(cohort.path + "/")
    np.testing.assert_array_equal(zarr.open_group(store, path=inside, mode="r")["0"][...], image.array)
    np.testing.assert_array_equal(zarr.open_group(case.store(), mode="r")["0"][...], image.array)


def test_only_what_is_asked_for_is_fetched(cohort, monkeypatch):
    noise = np.random.default_rng(0).integers(-3000, 3000, (96, 128, 128)).astype(np.int16)
    case = cohort.add("a", fi.Image(noise))
    fetched = []
    ranges = _objects.Objects.ranges

    def counted(self, name, starts, ends):
        fetched.append(sum(ends) - sum(starts))
        return ranges(self, name, starts, ends)

    monkeypatch.setattr(_objects.Objects, "ranges", counted)
    np.testing.assert_array_equal(case.voxels(np.s_[40:60, 40:60, 40:60]), noise[40:60, 40:60, 40:60])
    index, chunk = fetched
    assert index == 16 * 3 * 4 * 4 + 4
    assert chunk < noise.nbytes / 40
    case.voxels(np.s_[40:60, 40:60, 40:60])
    assert len(fetched) == 3  # the index is kept, voxels are not


def test_of_two_writers_of_a_case_one_is_told(cohort, url, options, raw, monkeypatch):
    other = fi.Cohort.open(url, mode="r+", options=options)
    cohort.add("a", image_of("a"), source="1")
    with pytest.raises(ArgumentError, match="exists already"):
        other.add("a", image_of("b"), source="2")
    assert other.add("a", image_of("a"), source="1").digest == cohort["a"].digest
    monkeypatch.setattr(other._place, "has", lambda case_id: False)  # it looked before the first was there
    with pytest.raises(ArgumentError, match="exists already with other content"):
        other.add("a", image_of("b"), source="2")
    assert len({name.split("/")[1] for name in names(raw, "data/")}) == 1
    monkeypatch.undo()
    other.add("a", image_of("b"), source="2", replace=True)
    np.testing.assert_array_equal(fi.Cohort.open(url, options=options)["a"].image().array, image_of("b").array)
    assert len({name.split("/")[1] for name in names(raw, "data/")}) == 1
    assert cohort.query("select source from cases").to_pylist() == [{"source": "2"}]


def test_several_writers_at_once(cohort, url, options):
    context = fresh_processes()
    names_of = [[f"w{4 * k + j}" for j in range(4)] for k in range(2)]
    running = [context.Process(target=workers.write, args=(url, some, (4, 8, 8), options)) for some in names_of]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0
    assert sorted(cohort) == sorted(names_of[0] + names_of[1])
    assert cohort.verify(full=True).findings == []
    for name in cohort:
        assert cohort[name].features == {"m": {"f": int(name[1:])}}


def test_a_killed_writer_leaves_nothing_that_is_seen(cohort, url, options, raw, monkeypatch):
    """Killed in front of each request that changes something."""
    cohort.add("before", image_of("before"), source="0")
    context = fresh_processes()
    for step in range(20):
        process = context.Process(target=workers.write_and_die, args=(url, "new", options, step))
        process.start()
        process.join()
        reader = fi.Cohort.open(url, options=options)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        assert list(reader) == ["before"]
        report = reader.verify(full=True)
        assert report.findings == []  # what is left is younger than a day: its writer may be alive
        assert report.cases == 1
    assert step > 4
    assert list(reader) == ["before", "new"]
    left = {name.split("/")[1] for name in names(raw, "data/")}
    assert len(left) > 4
    assert cohort.gc() == []
    monkeypatch.setattr(_bucket, "_GRACE", timedelta(0))
    assert {f.code for f in reader.verify().findings} == {"leftover"}
    assert len(cohort.gc()) == len(left) - 2
    assert cohort.verify(full=True).findings == []


def test_removal(cohort, url, options, raw):
    for k, subject in enumerate(("s-aaa", "s-bbb", "s-aaa")):
        cohort.add(
            f"case-{k}", image_of(str(k)), {"m": image_of(str(k)).array > 0}, {"subject": subject}, source=str(k)
        )
    assert cohort.remove(subjects=["s-aaa"]) == ["case-0", "case-2"]
    assert list(cohort) == ["case-1"]
    assert len({name.split("/")[1] for name in names(raw, "data/")}) == 1
    everything = b"".join(bytes(obstore.get(raw, name).bytes()) for name in names(raw))
    assert b"s-aaa" not in everything
    assert b"case-0" not in everything
    again = fi.Cohort.open(url, mode="r+", options=options)
    with pytest.raises(RefusedError):
        again.add("new", image_of("n"), None, {"subject": "s-aaa"})
    assert again.verify(full=True).findings == []


def test_a_removal_that_was_killed_is_ended(cohort, url, options, raw):
    context = fresh_processes()
    for k, subject in enumerate(("s-aaa", "s-bbb", "s-aaa")):
        cohort.add(f"case-{k}", image_of(str(k)), None, {"subject": subject}, source=str(k))
    begun = 0
    for step in range(30):
        process = context.Process(target=workers.remove_and_die, args=(url, "s-aaa", options, step))
        process.start()
        process.join()
        again = fi.Cohort.open(url, mode="r+", options=options)
        if again.is_removed(subject="s-aaa"):
            begun += 1
            assert list(again) == ["case-1"]
            assert again.verify(full=True).findings == []
            for k in (0, 2):  # as before, for the next kill
                for name in names(raw, "tombstones/"):
                    if name != "tombstones/key":
                        obstore.delete(raw, name)
                again.add(f"case-{k}", image_of(str(k)), None, {"subject": "s-aaa"}, source=str(k))
        if process.exitcode == 0:
            break
    assert begun > 4


def test_a_flipped_byte_and_a_lost_object(cohort, raw, url, options):
    cohort.add("a", image_of("a"), {"m": image_of("a").array > 0})
    shard = next(name for name in names(raw, "data/") if name.endswith("image.ome.zarr/0/c/0/0/0"))
    good = bytes(obstore.get(raw, shard).bytes())
    for place in (100, len(good) - 10):
        bad = bytearray(good)
        bad[place] ^= 4
        obstore.put(raw, shard, bytes(bad))
        reader = fi.Cohort.open(url, options=options)
        with pytest.raises(IntegrityError):
            reader["a"].image()
        assert [f.code for f in reader.verify().findings] == ["case-damaged"]
    obstore.put(raw, shard, good[: len(good) // 2])
    with pytest.raises((IntegrityError, FastimgError)):
        fi.Cohort.open(url, options=options)["a"].image()
    obstore.delete(raw, shard)
    reader = fi.Cohort.open(url, options=options)
    with pytest.raises(IntegrityError, match="missing"):
        reader["a"].image()
    assert [f.code for f in reader.verify().findings] == ["case-damaged"]
    obstore.put(raw, shard, good)
    assert reader.verify(full=True).findings == []


def test_the_index_is_fetched_once(cohort, url, options, raw, monkeypatch):
    """A second process reads one object in place of all manifests, and what changed since."""
    for k in range(70):
        cohort.record(f"c{k:02d}", "failed", findings=[], source=str(k))
    assert len(cohort) == 70
    assert "index/manifests.parquet" in names(raw)
    cohort.record("d", "failed", findings=[], source="d")
    asked = []
    get = _objects.Objects.get
    monkeypatch.setattr(_objects.Objects, "get", lambda self, name: asked.append(name) or get(self, name))
    reader = fi.Cohort.open(url, options=options)
    assert len(reader) == 71
    assert sorted(asked) == ["cases/d/manifest.json", "cohort.json", "index/manifests.parquet"]
    obstore.put(raw, "index/manifests.parquet", b"damaged")
    assert len(fi.Cohort.open(url, options=options)) == 71


def test_commands_take_urls(cohort, url, options, monkeypatch, tmp_path):
    for name, value in options.items():
        monkeypatch.setenv(f"AWS_{name.upper()}", str(value).lower() if name == "allow_http" else value)
    cohort.add("a", image_of("a"), None, {"site": "A"})
    seen = CliRunner().invoke(main, ["verify", url, "--full"])
    assert (seen.exit_code, seen.output) == (0, "sound\n")
    seen = CliRunner().invoke(main, ["query", url, "select site from cases", "--json"])
    assert json.loads(seen.output) == [{"site": "A"}]
    cohort.set_metadata("a", {"site": "B", "age": 7})
    assert fi.Cohort.open(url, options=options).index.select(["site", "age"]).to_pylist() == [{"site": "B", "age": 7}]
    assert cohort.verify(full=True).findings == []
    with pytest.raises(KeyError):
        cohort.set_metadata("z", {})
    command = [
        sys.executable,
        "-m",
        "fastimg",
        "qc",
        url,
        "--json",
        "--workers",
        "1",
    ]  # its workers have the environment
    seen = subprocess.run(command, capture_output=True, text=True, check=True)
    local = fi.Cohort.create(tmp_path / "c")
    local.add("a", image_of("a"), None, {"site": "B", "age": 7})
    known = fi.pipeline.qc(local, workers=1).to_dict()
    assert {name: json.loads(seen.stdout)[name] for name in ("cases", "findings")} == {
        name: json.loads(json.dumps(known))[name] for name in ("cases", "findings")
    }
    about = Path(__file__).parents[1] / "pipeline" / "about.toml"
    refused = CliRunner().invoke(main, ["catalogue", url, "--about", str(about)])
    assert refused.exit_code == 2
    assert "name a file for the node's log" in refused.output
    seen = CliRunner().invoke(main, ["catalogue", url, "--about", str(about), "--log", str(tmp_path / "log")])
    assert seen.exit_code == 0, seen.output
    assert "dcat:Dataset" in seen.output
    assert (tmp_path / "log").stat().st_size


def test_without_obstore_the_mend_is_told(url, options, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingError, match=r"pip install 'fastimg\[s3\]'"):
        fi.Cohort.open(url, options=options)


def test_wrong_addresses(cohort, url, options, raw, tmp_path):
    with pytest.raises(FormatError, match="not a cohort"):
        fi.Cohort.open(url + "-other", options=options)
    with pytest.raises(ArgumentError, match="not empty"):
        fi.Cohort.create(url, options=options)
    assert fi.Cohort.create(url, exist_ok=True, options=options).writable
    with pytest.raises(FormatError, match="not a cohort"):
        fi.Cohort.open(f"s3://{BUCKET}-none/x", options=options)
    with pytest.raises(FastimgError, match="object store: open failed"):
        fi.Cohort.open(url, options={**options, "not-an-option": "x"})
    with pytest.raises(FastimgError, match="object store"):  # voxels travel without TLS only where that is asked for
        fi.Cohort.open(url, options={**options, "allow_http": False})
    with pytest.raises(ArgumentError, match="no locks"):
        cohort.lock()
    data = bytes(obstore.get(raw, "cohort.json").bytes())
    obstore.put(raw, "cohort.json", data.replace(b'"version": 2', b'"version": 3', 1))
    with pytest.raises(FormatError, match="newer than this fastimg reads"):
        fi.Cohort.open(url, options=options)


def test_a_cohort_and_a_case_travel_to_workers(cohort):
    case = cohort.add("a", image_of("a"))
    again = pickle.loads(pickle.dumps(case))
    np.testing.assert_array_equal(again.image().array, image_of("a").array)
    assert list(pickle.loads(pickle.dumps(cohort))) == ["a"]
    assert os.path.basename(cohort.path) in repr(cohort)
