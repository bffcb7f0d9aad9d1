"""The compiled shards and frames against their twins, c-blosc and zarr-python; bytes that lie."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time

import numpy as np
import pytest
from google_crc32c import value as checksum
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import blosc

import fastimg as fi
from fastimg.cohort import _codecs, _native, _shard
from fastimg.errors import IntegrityError
from fastimg.testing import cohort as twin

CODERS = [("blosc-zstd", "zstd"), ("blosc-lz4", "lz4")]


def data_of(seed, size):
    """Bytes with runs and noise."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 256, size).astype(np.uint8)
    values[random.random(size) < random.random()] = 7
    return values.tobytes()


@pytest.fixture(scope="module", params=["linked", "called"])
def native(request):
    """Through the libraries' own functions, and through Python's where those are out of reach."""
    _codecs.native()
    if request.param == "linked":
        _native.use(_codecs._linked())
    else:
        _native.use(_codecs._called())
    yield _native
    _native.use(_codecs._linked())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(0, 9000), cut=st.floats(0, 1))
def test_crc32c_on_all_levels(seed, size, cut):
    data = data_of(seed, size)
    at = int(cut * size)
    expected = checksum(data)
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            assert _native.crc32c(data) == expected
            assert _native.crc32c(data[at:], _native.crc32c(data[:at])) == expected
    assert _native.crc32c(data, 0, True) == expected
    assert twin.crc32c(data[:200]) == checksum(data[:200])


def test_crc32c_of_the_rfc():
    # RFC 3720, B.4
    assert _native.crc32c(bytes(32)) == 0x8A9136AA
    assert _native.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert _native.crc32c(bytes(range(32))) == 0x46DD794E


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 3000),
    item=st.sampled_from([1, 2, 4, 8]),
    coder=st.sampled_from(CODERS),
    shuffle=st.booleans(),
    level=st.integers(1, 9),
    block=st.sampled_from([0, 64, 256, 1000]),
)
def test_frames_are_cblosc_s(seed, count, item, coder, shuffle, level, block):
    data = data_of(seed, count * item)
    name, cname = coder
    native = _codecs.native()
    frames = set()
    for isa in fi.config.supported_isa():
        with fi.config.use(isa=isa):
            stored = native.encode_chunk(data, name, level, shuffle, item)
            frames.add(stored)
            assert native.decode_chunk(stored, len(data), name, shuffle, item) == data
            theirs = bytes(blosc.compress(data, cname.encode(), level, 2 if shuffle else 0, block * item, item))
            theirs += checksum(theirs).to_bytes(4, "little")
            assert native.decode_chunk(theirs, len(data), name, shuffle, item) == data
    assert len(frames) == 1
    assert bytes(blosc.decompress(stored[:-4])) == data
    assert checksum(stored[:-4]) == int.from_bytes(stored[-4:], "little")


@pytest.mark.parametrize("coder", ["blosc-zstd", "blosc-lz4", "zstd"])
def test_coders_by_either_way(native, coder):
    for size in (2, 100, 5000, 64 * 1024):
        for data in (data_of(size, size), bytes(size), np.random.default_rng(0).bytes(size)):
            stored = native.encode_chunk(data, coder, 1, True, 2)
            assert native.decode_chunk(stored, size, coder, True, 2) == data
            if coder != "zstd":
                assert bytes(blosc.decompress(stored[:-4])) == data
            bad = bytearray(stored)
            bad[len(bad) // 2] ^= 16
            with pytest.raises(IntegrityError):
                native.decode_chunk(bytes(bad), size, coder, True, 2)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), coder=st.sampled_from(["blosc-zstd", "blosc-lz4", "zstd"]))
def test_frames_that_lie_are_errors(data, coder):
    """With a right checksum over wrong bytes, decoding gives an error or some bytes; it never leaves its buffers."""
    native = _codecs.native()
    good = native.encode_chunk(data_of(data.draw(st.integers(0, 99)), 1200), coder, 1, True, 2)[:-4]
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(bad) - 1, 40)))
        bad[at] = data.draw(st.integers(0, 255))
    cut = bytes(bad[: data.draw(st.integers(0, len(bad)))]) if data.draw(st.booleans()) else bytes(bad)
    cut += checksum(cut).to_bytes(4, "little")
    with contextlib.suppress(IntegrityError):
        assert len(native.decode_chunk(cut, 1200, coder, True, 2)) == 1200


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(["uint8", "int16", "float32", "float64"]),
    profile=st.sampled_from(sorted(_shard.PROFILES)),
    threads=st.integers(1, 3),
)
def test_shards_and_their_twins(tmp_path_factory, shape, seed, dtype, profile, threads):
    random = np.random.default_rng(seed)
    codec = _shard.PROFILES[profile]
    chunks = [int(random.integers(1, n + 1)) for n in shape]
    size = np.dtype(dtype).itemsize
    array = np.frombuffer(data_of(seed, math.prod(shape) * size), dtype).reshape(shape)
    path = tmp_path_factory.mktemp("shard") / "s"
    written = _shard.write(path, array, chunks, codec, threads=threads)
    data = path.read_bytes()
    index = data[:-4][-16 * _cells(shape, chunks) :]
    own = b"".join(data[at + n - 4 : at + n] for at, n in np.frombuffer(index, "<u8").reshape(-1, 2).tolist())
    assert written == (len(data), checksum(data), checksum(index), checksum(own))
    assert twin.decode_shard(data, shape, dtype, chunks, codec).tobytes() == array.tobytes()
    theirs = twin.encode_shard(array, chunks, codec)
    other = path.with_name("t")
    other.write_bytes(theirs)
    for file in (path, other):
        content = file.read_bytes()
        check = int.from_bytes(content[-4:], "little")
        entry = {
            "shape": shape,
            "chunks": chunks,
            "dtype": dtype,
            "codec": codec,
            "size": len(content),
            "index_crc32c": check,
        }
        picked, step = _shard.ChunkChecks(entry, lambda a, b, c=content: [c[a[0] : b[0]]]), int(random.integers(1, 200))
        for at in range(0, len(content), step):
            picked.see(content[at : at + step])
        places = np.frombuffer(content[:-4][-len(index) :], "<u8").reshape(-1, 2).tolist()
        assert picked.crc() == checksum(b"".join(content[at + n - 4 : at + n] for at, n in places))
        shard = _shard.open_shard(file, entry)
        low = [int(random.integers(0, n)) for n in shape]
        region = tuple(slice(a, int(random.integers(a + 1, n + 1))) for a, n in zip(low, shape, strict=True))
        assert _shard.read(shard, entry, region, threads=threads).tobytes() == array[region].tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_regions_of_noise_over_structure(tmp_path, isa, dtype):
    """Chunks of many bit planes, of which a region wants some slices and some of their rows."""
    random = np.random.default_rng(3)
    for chunks in ([34, 32, 32], [17, 40, 24], [9, 61, 50]):
        shape = [70, 61, 50]
        array = (random.normal(90, 20, shape) + np.arange(50)).astype(dtype)
        size, _, check, _ = _shard.write(tmp_path / "s", array, chunks, _shard.PROFILES["default"])
        entry = {"shape": shape, "chunks": chunks, "dtype": dtype, "codec": _shard.PROFILES["default"]}
        shard = _shard.open_shard(tmp_path / "s", entry | {"size": size, "index_crc32c": check})
        for _ in range(20):
            low = [int(random.integers(0, n)) for n in shape]
            region = tuple(slice(a, int(random.integers(a + 1, n + 1))) for a, n in zip(low, shape, strict=True))
            np.testing.assert_array_equal(_shard.read(shard, entry, region), array[region])
        (tmp_path / "s").unlink()


def test_noise_planes_are_stored_as_they_are(native):
    """And c-blosc reads the frame all the same."""
    random = np.random.default_rng(4)
    chunk = (random.normal(0, 40, (2, 64, 128)) + 300).astype(np.int16)  # two blocks of 8,192 elements
    stored = native.encode_chunk(chunk.tobytes(), "blosc-zstd", 1, True, 2)
    assert blosc.decompress(stored[:-4]) == chunk.tobytes()
    for block in chunk:
        for bit, kept in ((0, True), (2, True), (14, False)):
            plane = np.packbits(block.reshape(-1) >> bit & 1, bitorder="little").tobytes()
            assert (plane in stored) == kept


def _cells(shape, chunks):
    return math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))


def test_a_missing_chunk_is_an_error_not_fill(tmp_path):
    array = np.arange(64, dtype=np.int16).reshape(4, 4, 4)
    chunks, codec = [2, 4, 4], _shard.PROFILES["default"]
    data = twin.encode_shard(array, chunks, codec)
    index = np.frombuffer(data[-36:-4], "<u8").copy()
    index[2:] = 2**64 - 1
    table = index.tobytes()
    check = checksum(table)
    (tmp_path / "s").write_bytes(data[:-36] + table + check.to_bytes(4, "little"))
    entry = {
        "shape": [4, 4, 4],
        "chunks": chunks,
        "dtype": "int16",
        "codec": codec,
        "size": len(data),
        "index_crc32c": check,
    }
    shard = _shard.open_shard(tmp_path / "s", entry)
    np.testing.assert_array_equal(_shard.read(shard, entry, np.s_[0:2, 0:4, 0:4]), array[:2])
    with pytest.raises(IntegrityError, match="chunk 1 is missing"):
        _shard.read(shard, entry, np.s_[0:4, 0:4, 0:4])
    for wrong in ((2**63, 5), (len(data), 1), (0, len(data) + 1)):
        index[2:] = wrong
        table = index.tobytes()
        check = checksum(table)
        (tmp_path / "s").write_bytes(data[:-36] + table + check.to_bytes(4, "little"))
        with pytest.raises(IntegrityError, match="outside the file"):
            _shard.open_shard(tmp_path / "s", {**entry, "index_crc32c": check})


def test_chunks_are_near_32():
    assert _shard.chunk_shape((100, 512, 512)) == (34, 32, 32)
    assert _shard.chunk_shape((7, 30, 110, 33)) == (1, 30, 37, 33)
    assert _shard.chunk_shape((1, 1, 5000)) == (1, 1, 33)


@pytest.mark.parametrize("work", ["read", "write"])
def test_other_threads_of_python_run_meanwhile(tmp_path, work):
    """With hours between the interpreter's switches, another thread runs within a call only if the call lets go."""
    array = np.random.default_rng(0).normal(0, 40, (100, 256, 256)).astype(np.int16)
    codec, chunks = _shard.PROFILES["default"], list(_shard.chunk_shape(array.shape))
    size, _, check, _ = _shard.write(tmp_path / "s", array, chunks, codec)
    entry = {"shape": array.shape, "chunks": chunks, "dtype": "int16", "codec": codec, "size": size}
    shard = _shard.open_shard(tmp_path / "s", entry | {"index_crc32c": check})
    out, fd = np.empty_like(array), os.open(tmp_path / "t", os.O_WRONLY | os.O_CREAT)
    calls = {
        "read": lambda: shard.read([0, 0, 0], list(array.shape), out, 1),
        "write": lambda: _native.write(fd, array, chunks, "blosc-zstd", 1, True, 1),
    }
    state, seen, ended = ["before"], set(), []

    def watch():
        while not ended:
            seen.add(state[0])
            time.sleep(0.0005)  # lets go, and waits for its turn

    other, interval = threading.Thread(target=watch), sys.getswitchinterval()
    sys.setswitchinterval(3600)
    try:
        other.start()
        for _ in range(50):
            state[0] = "within"
            calls[work]()
            state[0] = "after"
            if "within" in seen:
                break
            time.sleep(0.001)
    finally:
        sys.setswitchinterval(interval)
        ended.append(1)
        other.join()
        os.close(fd)
    assert "within" in seen
