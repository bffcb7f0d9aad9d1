"""Cohort: what goes in comes out, for zarr-python too; states, sources, features, queries, refusals."""

from __future__ import annotations

import math
import os
import sqlite3
import tempfile

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.cohort import _shard
from fastimg.cohort._features import ROWS, features_table
from fastimg.errors import ArgumentError, FormatError, GeometryError, IntegrityError

E = fi.errors


def ct(shape=(5, 40, 37), seed=0, dtype=np.int16, **settings):
    values = np.random.default_rng(seed).normal(0, 40, shape).astype(dtype)
    return fi.Image(values, **{"spacing": (2.5, 0.7, 0.8), "origin": (-10, 5, 30), "unit": "HU", **settings})


@pytest.fixture
def cohort(tmp_path):
    return fi.Cohort.create(tmp_path / "cohort")


def test_a_case_comes_back_as_it_was(cohort):
    affine = np.array([[0.1, 0.2, 0.69, -5], [0.0, 0.7, -0.2, 8], [2.4, 0.05, 0.1, 70], [0, 0, 0, 1.0]])
    image = fi.Image(
        np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5),
        affine,
        dims=("t", "z", "y", "x"),
        coords={"t": (0.0, 2.5)},
        unit="SUV",
        padding=np.arange(60).reshape(3, 4, 5) % 7 == 0,
        metadata={"b_values": [0, 50]},
    )
    mask = np.arange(60).reshape(3, 4, 5) % 3
    finding = fi.Finding("lossy", "JPEG", "series 1", {"ratio": 10})
    cohort.add(
        "case-1",
        image,
        {"GTV 1/left": mask == 1, "labels": mask.astype(np.uint16)},
        {"site": "A", "age_years": 61, "weight_kg": 70.5, "former": True, "times": [1, 2], "none": None},
        source="0a1b",
        findings=[finding],
        features={"GTV 1/left": {"mean": 1.5, "odd": math.nan, "far": -math.inf}},
        provenance={"recipe": "x", "versions": {"fastimg": "0"}},
    )
    case = fi.Cohort.open(cohort.path)["case-1"]
    back = case.image()
    np.testing.assert_array_equal(back.array, image.array)
    assert back.array.dtype == image.array.dtype
    np.testing.assert_array_equal(back.affine, image.affine)
    np.testing.assert_array_equal(back.padding, image.padding)
    assert (back.dims, back.coords, back.unit, back.metadata) == (image.dims, image.coords, image.unit, image.metadata)
    masks = case.masks()
    assert list(masks) == ["GTV 1/left", "labels"]
    np.testing.assert_array_equal(masks["GTV 1/left"].array, mask == 1)
    assert masks["labels"].array.dtype == np.uint16
    np.testing.assert_array_equal(masks["labels"].array, mask)
    assert masks["labels"].same_grid(image)
    assert case.state == "ok"
    assert case.findings == [finding]
    assert case.metadata["times"] == [1, 2]
    assert case.provenance["versions"] == {"fastimg": "0"}
    assert case.features["GTV 1/left"]["far"] == -math.inf
    assert math.isnan(case.features["GTV 1/left"]["odd"])
    region = case.read(np.s_[:1, 1:, 2:4])
    np.testing.assert_array_equal(region.array, image.array[:1, 1:, 2:4])
    np.testing.assert_allclose(region.affine @ [0, 0, 0, 1], affine @ [1, 2, 0, 1])
    assert region.coords == {"t": (0.0,)}


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(_shard.DTYPES),
    shape=st.tuples(*[st.integers(1, 70)] * 3),
    leading=st.integers(0, 3),
    profile=st.sampled_from(sorted(_shard.PROFILES)),
    seed=st.integers(0, 2**32 - 1),
)
def test_round_trip_and_zarr_python_reads_the_same(dtype, shape, leading, profile, seed):
    random = np.random.default_rng(seed)
    full = (leading, *shape) if leading else shape
    size = np.dtype(dtype).itemsize
    noise = random.integers(0, 256, (math.prod(full), size), dtype=np.uint8)
    noise[random.random(len(noise)) < 0.7] = 1
    array = (noise[:, 0] % 2).astype(bool) if dtype == "bool" else noise.reshape(-1).view(dtype)
    image = fi.Image(array.reshape(full), dims=("t", "z", "y", "x")[-len(full) :])
    low = [int(random.integers(0, n)) for n in full]
    region = tuple(slice(a, int(random.integers(a, n + 1))) for a, n in zip(low, full, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        c = fi.Cohort.create(f"{folder}/c", profile=profile)
        case = c.add("x", image, {"m": image.array[..., :, :, :].reshape(-1, *shape)[0] != 0})
        back = case.image().array
        assert back.dtype == image.array.dtype
        assert back.tobytes() == image.array.tobytes()
        assert case.voxels(region).tobytes() == image.array[region].tobytes()
        group = zarr.open_group(str(case.path), mode="r")
        assert group["0"][...].tobytes() == image.array.tobytes()
        assert group["0"].dtype == image.array.dtype
        np.testing.assert_array_equal(group["labels/m/0"][...], case.masks()["m"].array)
        assert c.verify(full=True).ok


def test_big_endian_and_strided_arrays_are_stored_as_their_values(cohort):
    base = np.arange(240, dtype=">i2").reshape(4, 6, 10)
    cohort.add("a", fi.Image(base[::-1, ::2, 1::3]))
    np.testing.assert_array_equal(cohort["a"].image().array, base[::-1, ::2, 1::3])


def test_ome_metadata_says_where_the_image_is(cohort):
    case = cohort.add("a", ct(), {"tumour": np.ones((5, 40, 37), bool), "GTV 1": np.ones((5, 40, 37), bool)})
    group = zarr.open_group(str(case.path), mode="r")
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5"
    (scales,) = ome["multiscales"]
    assert scales["axes"] == [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    (dataset,) = scales["datasets"]
    assert dataset["path"] == "0"
    scale, translation = dataset["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [2.5, 0.7, 0.8]}
    assert translation == {"type": "translation", "translation": [30.0, 5.0, -10.0]}
    assert group["0"].metadata.dimension_names == ("z", "y", "x")
    np.testing.assert_array_equal(group.attrs["fastimg"]["affine"], ct().affine)
    labels = group["labels"].attrs["ome"]["labels"]
    assert labels == ["tumour", "mask-1"]
    assert "image-label" in group["labels/tumour"].attrs["ome"]
    assert sorted(name for name, _ in group.members(max_depth=None)) == [
        *("0", "labels", "labels/mask-1", "labels/mask-1/0", "labels/tumour", "labels/tumour/0")
    ]


def test_index_query_and_sources(cohort):
    for k, site in enumerate("ABA"):
        cohort.add(f"c{k}", ct((2, 3, 4), k), None, {"site": site, "age_years": 50 + k, "state": "x"}, source=f"s{k}")
    cohort.record(
        "bad", "failed", findings=[fi.Finding("decode-failed", "no")], source="s9", metadata={"age_years": 1.5}
    )
    table = cohort.index
    assert table.column("case_id").to_pylist() == ["bad", "c0", "c1", "c2"]
    assert table.column("state").to_pylist() == ["failed", "ok", "ok", "ok"]
    assert table.column("age_years").to_pylist() == [1.5, 50.0, 51.0, 52.0]
    assert table.column("metadata_state").to_pylist() == [None, "x", "x", "x"]
    assert table.column("shape").to_pylist()[1] == "2x3x4"
    assert cohort.sources() == {"s0": "c0", "s1": "c1", "s2": "c2", "s9": "bad"}
    counted = cohort.query("select site, count(*) as n from cases where site is not null group by site order by site")
    assert counted.to_pylist() == [{"site": "A", "n": 2}, {"site": "B", "n": 1}]
    assert cohort.query("select code from findings where case_id = ?", ["bad"]).to_pylist() == [
        {"code": "decode-failed"}
    ]
    assert len(cohort) == 4
    assert list(cohort) == ["bad", "c0", "c1", "c2"]
    assert "c1" in cohort
    assert "c7" not in cohort
    with pytest.raises(KeyError):
        cohort["c7"]
    with pytest.raises(ArgumentError, match="has no voxels"):
        cohort["bad"].image()


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_opening_looks_at_no_case_and_no_index(cohort, monkeypatch, mode):
    """So it takes as long for 100,000 cases as for one."""
    cohort.add("a", ct((1, 2, 2)))
    with monkeypatch.context() as closed:
        looked, scandir, listdir = [], os.scandir, os.listdir
        closed.setattr(os, "scandir", lambda path=".": looked.append(str(path)) or scandir(path))
        closed.setattr(os, "listdir", lambda path=".": looked.append(str(path)) or listdir(path))
        closed.setattr(sqlite3, "connect", lambda *a, **k: pytest.fail("the index was opened"))
        opened = fi.Cohort.open(cohort.path, mode=mode)
        assert opened["a"].shape == (1, 2, 2)
    assert not [path for path in looked if path.endswith(("cases", "index"))]
    assert list(opened) == ["a"]


@pytest.mark.parametrize(
    "sql",
    [
        "delete from cases",
        "insert into cases (case_id) values ('x')",
        "attach database '/tmp/x' as y",
        "pragma journal_mode = wal",
        "drop table cases",
        "select load_extension('x')",
        "select 1; select 2",
        "create table t (a)",
        "",
        "select nothing from cases",
    ],
)
def test_a_query_only_reads(cohort, sql):
    cohort.add("a", ct((1, 2, 2)))
    with pytest.raises(ArgumentError, match="query"):
        cohort.query(sql)
    assert len(cohort) == 1


def test_the_state_is_that_of_the_worst_finding(cohort):
    case = cohort.add("a", ct((2, 2, 2)), findings=[fi.Finding("lossy"), fi.Finding("saturated")])
    assert case.state == "warned"
    assert cohort.add("b", ct((2, 2, 2)), findings=[fi.Finding("empty-image")]).state == "quarantined"


def test_adding_again(cohort):
    image = ct((3, 4, 5))
    first = cohort.add("a", image, source="s")
    assert cohort.add("a", image, source="s").digest == first.digest
    with pytest.raises(ArgumentError, match="exists already"):
        cohort.add("a", ct((3, 4, 5), 1), source="s")
    with pytest.raises(ArgumentError, match="exists already"):
        cohort.add("a", image, source="other")
    other = ct((3, 4, 6), 2)
    cohort.set_features("a", {"m": {"f": 1}})
    cohort.add("a", other, source="t", replace=True)
    np.testing.assert_array_equal(cohort["a"].image().array, other.array)
    assert cohort["a"].features == {}
    assert cohort.sources() == {"t": "a"}
    assert cohort.verify(full=True).findings == []


def test_features_table(cohort):
    for name in ("a", "b"):
        cohort.add(name, ct((2, 2, 2)))
    cohort.set_features("a", {"m": {"f": 1, "g": 2.5}, "n": {"f": 0.1}})
    cohort.set_features("b", {"m": {"h": np.float32(0.5), "f": math.nan}})
    cohort.set_features("b", {"m": {"h": np.float32(0.5), "f": math.inf}})
    table = cohort.features()
    assert table.column_names == ["case_id", "mask", "f", "g", "h"]
    assert table.select(["case_id", "mask", "f", "h"]).to_pylist() == [
        {"case_id": "a", "mask": "m", "f": 1.0, "h": None},
        {"case_id": "a", "mask": "n", "f": 0.1, "h": None},
        {"case_id": "b", "mask": "m", "f": math.inf, "h": 0.5},
    ]
    assert cohort.features("n").num_rows == 1
    with pytest.raises(KeyError):
        cohort.set_features("z", {})
    with pytest.raises(ArgumentError, match="must be a number"):
        cohort.set_features("a", {"m": {"f": "x"}})


def test_features_of_more_cases_than_are_taken_at_once():
    rows = [(f"c{n}", "m", {"f": float(n), "g" if n % 2 else "h": n / 3}) for n in range(3 * ROWS - 1)]
    table = features_table(iter(rows))
    assert table.column_names == ["case_id", "mask", "f", "h", "g"]
    names = table.column_names[2:]
    assert table.to_pylist() == [
        {"case_id": case_id, "mask": mask, **{name: values.get(name) for name in names}}
        for case_id, mask, values in rows
    ]
    assert features_table(iter([])).to_pydict() == {"case_id": [], "mask": []}


@pytest.mark.parametrize("case_id", ["", ".", "..", "a/b", "a" * 65, "é", ".a", "__a", "a b", 7])
def test_bad_case_ids_are_refused(cohort, case_id):
    with pytest.raises(ArgumentError, match="case_id"):
        cohort.add(case_id, ct((1, 2, 2)))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"image": np.zeros((2, 2, 2))}, ArgumentError, "must be an Image"),
        ({"image": fi.Image(np.zeros((2, 2, 2), np.complex64))}, ArgumentError, "dtype"),
        ({"image": fi.Image(np.zeros((0, 2, 2)))}, ArgumentError, "no voxels"),
        ({"masks": {"m": np.zeros((2, 2, 3), bool)}}, GeometryError, "grid"),
        ({"masks": {"m": fi.Image(np.zeros((2, 2, 2), bool), spacing=(9, 9, 9))}}, GeometryError, "grid"),
        ({"masks": {"m": np.zeros((2, 2, 2))}}, ArgumentError, "whole numbers"),
        ({"metadata": {"a": math.nan}}, ArgumentError, r"metadata\['a'\]: nan"),
        ({"metadata": {"a": object()}}, ArgumentError, "plain values"),
        ({"metadata": {"a": 2**70}}, ArgumentError, "64 bits"),
        ({"metadata": {1: 2}}, ArgumentError, "keys must be text"),
        ({"source": 7}, ArgumentError, "source"),
        ({"features": {"m": {"f": "x"}}}, ArgumentError, "must be a number"),
    ],
)
def test_bad_arguments_leave_nothing_behind(cohort, arguments, error, words):
    arguments = {"image": fi.Image(np.zeros((2, 2, 2), np.int16)), **arguments}
    with pytest.raises(error, match=words):
        cohort.add("a", **arguments)
    assert len(cohort) == 0
    assert not list((cohort.path / ".tmp").iterdir())


def test_what_is_not_a_cohort_or_is_newer_is_refused(tmp_path, cohort):
    with pytest.raises(FormatError, match="not a cohort"):
        fi.Cohort.open(tmp_path)
    with pytest.raises(ArgumentError, match="not empty"):
        fi.Cohort.create(cohort.path)
    assert fi.Cohort.create(cohort.path, exist_ok=True).writable
    with pytest.raises(ArgumentError, match="mode"):
        fi.Cohort.open(cohort.path, mode="w")
    with pytest.raises(ArgumentError, match="profile"):
        fi.Cohort.create(tmp_path / "x", profile="fast")
    cohort.add("a", ct((1, 2, 2)))
    for name, newest in (("cohort.json", 2), ("cases/a/manifest.json", 1)):
        file = cohort.path / name
        text = file.read_text()
        assert f'"version": {newest},' in text
        file.write_text(text.replace(f'"version": {newest},', f'"version": {newest + 1},', 1))
        with pytest.raises(FormatError, match=f"version {newest + 1} is newer than this fastimg reads"):
            fi.Cohort.open(cohort.path)["a"]
        file.write_text(text)
    with pytest.raises(ArgumentError, match="open for reading"):
        fi.Cohort.open(cohort.path).add("b", ct((1, 2, 2)))


def test_slices_are_checked(cohort):
    case = cohort.add("a", ct((4, 5, 6)))
    for bad in (np.s_[::2], 3, np.s_[:, :, :, :], np.s_[..., :, ...]):
        with pytest.raises(ArgumentError, match="slices"):
            case.voxels(bad)
    assert case.voxels(np.s_[9:]).shape == (0, 5, 6)
    assert case.voxels(np.s_[..., -2:]).shape == (4, 5, 2)
    with pytest.raises(ArgumentError, match="no mask 'm'; it has none"):
        case.voxels((), mask="m")
    assert issubclass(IntegrityError, E.FastimgError)
