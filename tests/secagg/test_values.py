"""What a vector is made of: ranges of columns, rounding at random, packing, sketches, modular sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.errors import ArgumentError, FormatError, RefusedError
from fastimg.secagg import _native
from fastimg.testing import secagg as twin

from .rounds import make, play

SEED = bytes(range(32))


@settings(max_examples=60, deadline=None)
@given(
    count=st.one_of(st.integers(1, 40), st.integers(65_520, 65_560)),
    word=st.sampled_from([np.uint32, np.uint64]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_packed_bits_against_whole_numbers(count, word, threads, seed, data):
    bits = data.draw(st.integers(1, 8 * np.dtype(word).itemsize))
    rng = np.random.default_rng(seed)
    words = rng.integers(0, np.iinfo(word).max, count, word, True)
    packed = _native.pack(words, bits, threads)
    text = sum((int(w) % (1 << bits)) << (bits * i) for i, w in enumerate(words)) if count < 100 else None
    if text is not None:
        assert packed == text.to_bytes(-(-count * bits // 8), "little")
    total = words.copy()
    _native.add_packed(packed, bits, total, threads)
    mask = np.array((1 << bits) - 1, word)
    np.testing.assert_array_equal(total, words + (words & mask))


@settings(max_examples=40, deadline=None)
@given(
    size=st.one_of(st.integers(1, 200), st.integers(4000, 9000)),
    kind=st.sampled_from([np.float32, np.float64, np.uint32, np.uint64]),
    bits=st.integers(2, 26),
    dithered=st.booleans(),
    prg=st.sampled_from(["aes128-ctr", "chacha20"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_upload_in_one_pass_is_mask_then_pack(size, kind, bits, dithered, prg, seed):
    rng = np.random.default_rng(seed)
    real = np.dtype(kind).kind == "f"
    vector = rng.normal(0, 2, size).astype(kind) if real else rng.integers(0, 99, size).astype(kind)
    seeds, signs = [rng.bytes(32) for _ in range(3)], [1, -1, 1]
    k = bits + 5
    word = np.uint32 if k <= 32 and kind != np.uint64 else np.uint64
    dither = SEED if dithered and real else None
    limit = float(2 ** (bits - 1) - 1)
    fixed = (limit / 2.5, limit, 2.5) if real else (0.0, 0.0, 0.0)
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            stream = _native.MaskStream(seeds, [s < 0 for s in signs], int(prg == "chacha20"), False)
            text, _, _ = stream.packed(vector, k, np.dtype(word).itemsize, *fixed, 2, dither, b"head", 3)
            options = {"bits": bits, "clip": 2.5} if real else {}
            out = np.empty(size, word)
            fi.secagg.mask(vector, seeds, signs, out=out, prg=prg, dither=dither, **options)
            assert text == b"head" + _native.pack(out, k, 1) + bytes(3)


@settings(max_examples=30, deadline=None)
@given(
    size=st.one_of(st.integers(0, 100), st.integers(4000, 9000)),
    kind=st.sampled_from([np.float32, np.float64]),
    word=st.sampled_from([np.uint32, np.uint64]),
    prg=st.sampled_from(["aes128-ctr", "chacha20"]),
    offset=st.integers(0, 5000),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_stochastic_rounding_is_its_twin(size, kind, word, prg, offset, threads, seed):
    rng = np.random.default_rng(seed)
    vector = rng.normal(0, 2, size).astype(kind)
    seeds, dither = [rng.bytes(32)], rng.bytes(32)
    options = {"bits": 12, "clip": 3.0, "prg": prg, "offset": offset, "dither": dither}
    wanted = twin.mask(vector, seeds, [1], word=word, **options)
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            out = np.empty(size, word)
            fi.secagg.mask(vector, seeds, [1], out=out, threads=threads, **options)
            np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("word", [np.uint32, np.uint64])
def test_stochastic_rounding_on_every_device(put, get, word):
    vector = np.linspace(-9, 9, 1043).astype(np.float32)
    options = {"bits": 12, "clip": 8.0, "prg": "chacha20", "dither": SEED}
    out = put(np.empty(1043, word))
    fi.secagg.mask(put(vector), [bytes(32)], [1], out=out, **options)
    np.testing.assert_array_equal(get(out), twin.mask(vector, [bytes(32)], [1], word=word, **options))


def test_stochastic_rounding_has_no_bias():
    vector = np.full(200_000, 0.3)
    steps = fi.secagg.mask(vector, [], [], bits=8, clip=127.0, dither=SEED).view(np.int64)
    assert set(steps.tolist()) == {0, 1}
    assert abs(steps.mean() - 0.3) < 5 * (0.21 / 200_000) ** 0.5
    exact = fi.secagg.mask(np.array([2.0, -3.0, 127.0, -127.0]), [], [], bits=8, clip=127.0, dither=SEED)
    assert exact.view(np.int64).tolist() == [2, -3, 127, -127]


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("wide", [False, True])
def test_a_range_for_each_column_and_the_stated_bound(rounding, wide):
    rng = np.random.default_rng(0)
    ranges = np.array([1e-6, 1.0, 3e4, 1e9])
    vectors = {i: rng.uniform(-1, 1, 4) * ranges for i in range(5)}
    if not wide:
        vectors = {i: v.astype(np.float32).clip(-ranges, ranges) for i, v in vectors.items()}
    clients, server = make(vectors, bits=20, clip=ranges, rounding=rounding, server={"clip": ranges})
    value, _ = play(clients, server)
    step = ranges / (2**19 - 1)
    error = np.abs(value - sum(v.astype(np.float64) for v in vectors.values()))
    assert (error <= step * (2.5 if rounding == "nearest" else 5) * (1 + 1e-6)).all()
    assert all(client.clipped == 0 for client in clients.values())


def test_other_ranges_are_refused():
    vectors = {i: np.ones(2) for i in range(3)}
    ranges = np.array([1.0, 2.0])
    clients, server = make(vectors, bits=8, clip=ranges, server={"clip": ranges + 1})
    with pytest.raises(RefusedError, match="another ranges"):
        server.receive(clients[0].start())
    clients, server = make(vectors, bits=8, clip=ranges)  # a server that was not told
    with pytest.raises(RefusedError, match="another ranges"):
        server.receive(clients[0].start())
    for bad in (np.ones(3), np.array([1.0, 0.0]), np.array([1.0, np.nan]), np.ones((2, 1))):
        with pytest.raises(ArgumentError, match="clip"):
            make(vectors, bits=8, clip=bad)


def test_ranges_by_a_secure_first_round():
    rng = np.random.default_rng(1)
    vectors = {i: rng.normal(size=5) * [1e-6, 1, 1e9, 0, 1e-30] for i in range(4)}
    first = {i: fi.secagg.Ranges.encode(v) for i, v in vectors.items()}
    total, _ = play(*make(first, modular=True))
    ranges = fi.secagg.Ranges.decode(total)
    largest = np.max([np.abs(v) for v in vectors.values()], axis=0)
    assert (largest < ranges).all()
    assert (ranges[:3] <= 2 * largest[:3]).all()
    assert ranges[3] == ranges[4] == 2.0**-64
    value, _ = play(*make(vectors, bits=30, clip=ranges, server={"clip": ranges}))
    np.testing.assert_allclose(value, sum(vectors.values()), atol=ranges.max() * 4 / 2**29)


def test_what_a_first_round_shows_does_not_depend_on_who_holds_the_largest():
    """All words of a filled cell are uniform, whether one node filled it or three."""
    for holders in (1, 3):
        top = [5.0] * holders + [0.0] * (3 - holders)
        words = np.concatenate([sum(fi.secagg.Ranges.encode([x]) for x in top)[:60] for _ in range(200)])
        counts = np.bincount(words.view(np.uint8), minlength=256)
        assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 400  # chi-square of 255 degrees: 1e-8


@given(values=st.lists(st.floats(-1e18, 1e18), min_size=1, max_size=6))
def test_ranges_are_above_every_magnitude(values):
    ranges = fi.secagg.Ranges.decode(fi.secagg.Ranges.encode(values))
    for value, limit in zip(values, ranges, strict=True):
        assert abs(value) < limit
        assert value == 0 or limit == 2.0**-64 or limit <= 2 * abs(value) or limit == 2.0**-63


def test_ranges_arguments():
    for bad in ([], [[1.0]], [np.nan], [2.0**63]):
        with pytest.raises(ArgumentError):
            fi.secagg.Ranges.encode(bad)
    with pytest.raises(FormatError):
        fi.secagg.Ranges.decode(np.zeros(127, np.uint64))


@settings(max_examples=30, deadline=None)
@given(
    nodes=st.lists(
        st.dictionaries(st.integers(0, 2**52 - 1), st.integers(1, 2**40), max_size=30), min_size=1, max_size=6
    ),
    common=st.dictionaries(st.integers(0, 50), st.integers(1, 9), max_size=10),
)
def test_sparse_histograms_are_exact(nodes, common):
    nodes = [node | common for node in nodes]
    keys = sorted(set().union(*nodes))
    sketch = fi.secagg.SparseHistogram(max(len(keys), 1), b"round 1")
    total = sum(sketch.encode(list(node), list(node.values())) for node in nodes)
    found, counts, holders = sketch.decode(total)
    assert found.tolist() == keys
    assert counts.tolist() == [sum(node.get(key, 0) for node in nodes) for key in keys]
    assert holders.tolist() == [sum(key in node for node in nodes) for key in keys]


def test_keys_of_a_sparse_histogram_seldom_hide_each_other():
    keys = list(range(60))
    for seed in range(1000):  # with three tables eight of these seeds fail
        sketch = fi.secagg.SparseHistogram(60, seed.to_bytes(2, "little"))
        assert sketch.decode(sketch.encode(keys, [1] * 60))[0].tolist() == keys


def test_a_sparse_histogram_by_a_round_and_beyond_its_capacity():
    sketch = fi.secagg.SparseHistogram(40)
    held = {i: {7: i + 1, 1 << 50: 2} | {1000 * i + j: 1 for j in range(5)} for i in range(4)}
    vectors = {i: sketch.encode(list(node), list(node.values())) for i, node in held.items()}
    total, _ = play(*make(vectors, modular=True))
    keys, counts, holders = sketch.decode(total)
    at = keys.tolist().index(7)
    assert (counts[at], holders[at], len(keys)) == (10, 4, 22)
    with pytest.raises(RefusedError, match="capacity"):
        small = fi.secagg.SparseHistogram(40)
        small.decode(small.encode(range(2000), [1] * 2000))
    with pytest.raises(FormatError):
        sketch.decode(total[:-1])
    for keys, counts in (([1, 1], [1, 1]), ([1 << 52], [1]), ([1], [0]), ([1], [])):
        with pytest.raises(ArgumentError):
            sketch.encode(keys, counts)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_modular_sums_wrap(dtype):
    rng = np.random.default_rng(0)
    vectors = {i: rng.integers(0, np.iinfo(dtype).max, 50, dtype, True) for i in range(3)}
    value, _ = play(*make(vectors, modular=True))
    np.testing.assert_array_equal(value.astype(dtype), vectors[0] + vectors[1] + vectors[2])


def test_the_upload_is_half_of_eight_bytes_and_without_gaps():
    vectors = {i: np.zeros(10_000, np.float32) for i in range(30)}
    clients, server = make(vectors, bits=24, clip=1.0)  # 24 + 5 bits
    sizes = []
    play(clients, server, change=lambda step, node, m: (sizes.append(len(m)) if step == 2 else None) or m)
    assert sizes[0] - 40 - 6 - 32 == 29 * 10_000 // 8
