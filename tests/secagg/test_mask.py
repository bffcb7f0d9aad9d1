"""secagg.mask: published vectors, its twin on every device, level and thread count, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.secagg import _native
from fastimg.testing import secagg as twin

SEED = bytes(range(32))


def words_of(seed, count, prg="aes128-ctr", portable=False, offset=0):
    """The bare keystream as bytes."""
    out = np.zeros(count // 4, np.uint32)
    _native.MaskStream([seed], [False], {"aes128-ctr": 0, "chacha20": 1}[prg], portable).apply(
        None, out, offset, 0.0, 0.0, 0.0, 1
    )
    return out.astype("<u4").tobytes()


@pytest.mark.parametrize("portable", [False, True])
def test_aes_against_fips_197_and_sp_800_38a(isa, portable):
    # FIPS 197, appendix C.1 has one block; SP 800-38A F.5.1 counts from f0f1..ff: its blocks are single blocks here.
    # A seed's last four bytes are not used, so counters are reached by seeking: counter 0xfcfdfeff is beyond a test's
    # memory, and the twin (OpenSSL) is held to F.5.1 instead.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    counter = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    plain = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
    wanted = bytes.fromhex("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff")
    assert Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor().update(plain) == wanted
    offset = 0xFCFDFEFF * 4  # words before that block
    stream = words_of(key + counter[:12] + bytes(4), 32, portable=portable, offset=offset)
    assert bytes(a ^ b for a, b in zip(stream, plain, strict=True)) == wanted


@pytest.mark.parametrize("block", [1 << 8, 1 << 16, 1 << 24, 3 << 24])
@pytest.mark.parametrize("size", [1, 700, 5000])
def test_aes_carries_in_every_byte_of_the_counter(isa, block, size):
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    start = block - 100  # blocks of four words; the carry comes after a hundred
    counter = SEED[16:28] + start.to_bytes(4, "big")
    expected = Cipher(algorithms.AES(SEED[:16]), modes.CTR(counter)).encryptor().update(bytes(16 * size))
    assert words_of(SEED, 16 * size, offset=4 * start) == expected


def test_chacha_against_rfc_8439(isa):
    # A.1, test vectors 1 and 2 (key and nonce 0, counters 0 and 1), and 5's neighbour by OpenSSL.
    first = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    second = "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
    assert words_of(bytes(32), 128, "chacha20").hex() == first + second
    key = bytes(31) + b"\1"  # A.1, test vector 3
    third = "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"
    assert words_of(key, 128, "chacha20")[64:].hex() == third


@settings(max_examples=60, deadline=None)
@given(
    size=st.one_of(st.integers(0, 300), st.integers(3000, 30000)),
    masks=st.integers(0, 4),
    prg=st.sampled_from(["aes128-ctr", "chacha20"]),
    dtype=st.sampled_from([np.float32, np.float64, np.uint32, np.uint64]),
    word=st.sampled_from([np.uint32, np.uint64]),
    bits=st.integers(2, 32),
    threads=st.integers(1, 3),
    offset=st.one_of(st.just(0), st.integers(0, 20000)),
    seed=st.integers(0, 2**32 - 1),
)
def test_same_bits_as_the_twin_on_all_levels(size, masks, prg, dtype, word, bits, threads, offset, seed):
    if dtype == np.uint64:
        word = np.uint64
    rng = np.random.default_rng(seed)
    real = np.dtype(dtype).kind == "f"
    vector = rng.normal(0, 2, size).astype(dtype) if real else rng.integers(0, np.iinfo(dtype).max, size, dtype, True)
    options = {"bits": bits, "clip": 3.7} if real else {}
    seeds = [rng.bytes(32) for _ in range(masks)]
    signs = [int(s) for s in rng.choice([1, -1], masks)]
    expected = twin.mask(vector, seeds, signs, word=word, prg=prg, offset=offset, **options)
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            out = np.empty(size, word)
            seen = fi.secagg.mask(vector, seeds, signs, out=out, prg=prg, offset=offset, threads=threads, **options)
            assert seen is out
            np.testing.assert_array_equal(out, expected)
            if prg == "aes128-ctr":
                portable = np.zeros(size, word)
                _native.MaskStream(seeds, [s < 0 for s in signs], 0, True).apply(
                    None, portable, offset, 0.0, 0.0, 0.0, 1
                )
                bare = twin.mask(np.zeros(size, word), seeds, signs, word=word, offset=offset)
                np.testing.assert_array_equal(portable, bare)


@pytest.mark.parametrize("word", [np.uint32, np.uint64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint32, np.uint64])
def test_chacha_on_every_device(put, get, dtype, word):
    if dtype == np.uint64 and word == np.uint32:
        word = np.uint64
    vector = (np.random.default_rng(0).random((7, 61)) * 9).astype(dtype)
    options = {"bits": 20, "clip": 8.0} if np.dtype(dtype).kind == "f" else {}
    seeds, signs = [bytes([i]) * 32 for i in range(5)], [1, -1, 1, 1, -1]
    out = put(np.empty(vector.shape, word))
    fi.secagg.mask(put(vector), seeds, signs, out=out, prg="chacha20", offset=32, **options)
    np.testing.assert_array_equal(
        get(out), twin.mask(vector, seeds, signs, word=word, prg="chacha20", offset=32, **options)
    )


def test_not_finite_values_are_refused_and_out_is_erased(put, get):
    out = put(np.ones(3, np.uint32))
    with pytest.raises(fi.errors.ArgumentError, match="2 values are NaN or infinite"):
        fi.secagg.mask(
            put(np.array([np.nan, 1, np.inf], np.float32)), [SEED], [1], bits=8, clip=1, out=out, prg="chacha20"
        )
    assert not get(out).any()


def test_aes_on_a_device_is_refused(put):
    if put is np.asarray:
        pytest.skip("of devices")
    with pytest.raises(fi.errors.ArgumentError, match="chacha20"):
        fi.secagg.mask(put(np.ones(3, np.float32)), [SEED], [1], bits=8, clip=1)


def test_halves_round_to_even_and_clipping_is_symmetric():
    vector = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30, 127.4], np.float64)
    seen = fi.secagg.mask(vector, [], [], bits=8, clip=127.0)
    assert seen.view(np.int64).tolist() == [0, 2, 2, 0, -2, 127, -127, 127]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bits": 1}, "bits"),
        ({"bits": 53}, "bits"),
        ({"bits": True}, "bits"),
        ({"clip": 0}, "clip"),
        ({"clip": float("inf")}, "clip"),
        ({"clip": None}, "needs bits= and clip="),
        ({"seeds": [b"short"]}, "seeds"),
        ({"seeds": ["0" * 32]}, "seeds"),
        ({"signs": [0]}, "signs"),
        ({"signs": [1, 1]}, "signs"),
        ({"prg": "rc4"}, "prg"),
        ({"offset": -1}, "offset"),
        ({"offset": 1 << 40}, "keystream"),
        ({"out": np.empty(3, np.int32)}, "out"),
        ({"bits": 40, "out": np.empty(3, np.uint32)}, "do not fit"),
        ({"vector": np.ones(3, np.int16)}, "dtype"),
        ({"vector": np.ones(3, np.uint32)}, "bits and clip"),
        ({"threads": 0}, "threads"),
    ],
)
def test_bad_arguments_are_refused_before_work(change, words):
    arguments = {"vector": np.ones(3, np.float32), "seeds": [SEED], "signs": [1], "bits": 16, "clip": 1.0} | change
    with pytest.raises(fi.errors.ArgumentError, match=words) as caught:
        fi.secagg.mask(arguments.pop("vector"), arguments.pop("seeds"), arguments.pop("signs"), **arguments)
    assert SEED.hex() not in str(caught.value)
