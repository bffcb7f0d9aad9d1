"""A case as a store of zarr-python: equal to zarr-python on the files themselves; damage is an error, never a fill."""

from __future__ import annotations

import asyncio
import json
import os
import pickle

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

import fastimg as fi
from fastimg.errors import ArgumentError, IntegrityError

SHAPE = (2, 40, 70, 33)


@pytest.fixture(scope="module", params=["default", "hot", "gpu"], ids=["blosc-zstd", "blosc-lz4", "plain-zstd"])
def case(request, tmp_path_factory):
    c = fi.Cohort.create(tmp_path_factory.mktemp(request.param) / "c", profile=request.param)
    random = np.random.default_rng(0)
    image = fi.Image(random.normal(0, 40, SHAPE).astype(np.int16), dims=("t", "z", "y", "x"), spacing=(2, 1, 1))
    return c.add("a", image, {"m": image.array[0] > 20, "n": image.array[1] > 30})


def run(coroutine):
    return asyncio.run(coroutine)


async def collected(iterator):
    return sorted([item async for item in iterator])


slices = st.tuples(*(st.tuples(st.integers(0, n), st.integers(0, n)).map(lambda t: slice(*sorted(t))) for n in SHAPE))


@settings(max_examples=60, deadline=None)
@given(region=slices)
def test_regions_equal_those_of_zarr_python(case, region):
    oracle = zarr.open_group(str(case.path), mode="r")
    for decoded in (True, False):
        group = zarr.open_group(case.store(decoded=decoded), mode="r")
        np.testing.assert_array_equal(group["0"][region], oracle["0"][region])
        np.testing.assert_array_equal(group["labels/m/0"][region[1:]], oracle["labels/m/0"][region[1:]])


def test_groups_attributes_and_names_are_those_of_the_files(case):
    oracle = zarr.open_group(str(case.path), mode="r")
    group = zarr.open_group(case.store(), mode="r")
    assert dict(group.attrs) == dict(oracle.attrs)
    assert sorted(group.group_keys()) == sorted(oracle.group_keys()) == ["labels"]
    assert sorted(group["labels"].group_keys()) == ["m", "n"]
    assert group["0"].metadata.dimension_names == oracle["0"].metadata.dimension_names
    assert group["0"].chunks == (1, 40, 35, 33)
    np.testing.assert_array_equal(group["labels/n/0"][...], oracle["labels/n/0"][...])


def test_files_and_ranges_of_bytes_equal_those_of_a_local_store(case):
    store, oracle = case.store(decoded=False), LocalStore(case.path, read_only=True)
    keys = run(collected(oracle.list()))
    assert run(collected(store.list())) == keys
    assert run(collected(store.list_prefix("labels/"))) == run(collected(oracle.list_prefix("labels/")))
    for prefix in ("", "labels", "labels/m", "0"):
        assert run(collected(store.list_dir(prefix))) == run(collected(oracle.list_dir(prefix)))
    prototype = default_buffer_prototype()
    parts = [None, RangeByteRequest(3, 20), OffsetByteRequest(11), SuffixByteRequest(9), SuffixByteRequest(10**9)]
    asked = [(key, part) for key in keys for part in parts]

    async def both():
        mine = await store.get_partial_values(prototype, asked)
        theirs = await oracle.get_partial_values(prototype, asked)
        return mine, theirs, await store.exists(keys[0]), await store.exists("nothing")

    mine, theirs, there, nothing = run(both())
    assert [b.to_bytes() for b in mine] == [b.to_bytes() for b in theirs]
    assert (there, nothing) == (True, False)
    assert run(store.getsize(keys[0])) == os.path.getsize(case.path / keys[0])


def test_decoded_keys(case):
    store = case.store()
    keys = run(collected(store.list()))
    assert "0/c/1/0/1/0" in keys
    for key in keys:
        assert run(store.get(key)) is not None
    for key in ("0/c/2/0/0/0", "0/c/0/0/0", "0/c/00/0/0/0", "0/c/-1/0/0/0", "0/c/a/0/0/0", "1/zarr.json", "0/c"):
        assert run(store.get(key)) is None
    (codec,) = json.loads(run(store.get("0/zarr.json")).to_bytes())["codecs"]
    assert codec["name"] == "bytes"


def test_it_is_read_only_equal_to_itself_and_travels(case):
    store = case.store()
    assert store.read_only
    assert not store.supports_writes
    assert store == case.store() != case.store(decoded=False)
    again = pickle.loads(pickle.dumps(store))
    assert again == store
    assert hash(again) == hash(store)
    np.testing.assert_array_equal(zarr.open_group(again, mode="r")["0"][...], case.image().array)
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_group(store, mode="r+").create_array("x", shape=(1,), dtype="i2")
    with pytest.raises(ArgumentError, match="read-only"):
        store.with_read_only(False)


def test_damage_and_loss_are_errors(tmp_path):
    c = fi.Cohort.create(tmp_path / "c")
    noise = np.random.default_rng(1).integers(-999, 999, (64, 64, 64)).astype(np.int16)
    case = c.add("a", fi.Image(noise), {"m": noise > 0})
    shard = case.path / "0" / "c" / "0" / "0" / "0"
    good = shard.read_bytes()
    shard.write_bytes(good[:1000] + bytes([good[1000] ^ 1]) + good[1001:])
    array = zarr.open_group(c["a"].store(), mode="r")["0"]
    with pytest.raises(IntegrityError, match="differs from its checksum"):
        array[:32, :32, :32]
    np.testing.assert_array_equal(array[32:, 32:, 32:], noise[32:, 32:, 32:])
    shard.unlink()
    (case.path / "labels" / "m" / "zarr.json").unlink()
    for decoded in (True, False):
        group = zarr.open_group(c["a"].store(decoded=decoded), mode="r")
        with pytest.raises((IntegrityError, FileNotFoundError)):
            group["0"][...]
        with pytest.raises(IntegrityError, match="missing"):
            group["labels/m"]
