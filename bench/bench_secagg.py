"""secagg against the best tiled idiom of `cryptography` + NumPy, and against the peers' ways to share a secret."""

from __future__ import annotations

import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import fastimg as fi
from fastimg.secagg import _shamir
from fastimg.testing import secagg as twin

N = 10_000_000
BITS, CLIP = 24, 8.0
TILE = 1 << 16  # words: mask and vector of a tile stay in the second-level cache


@pytest.fixture(scope="module")
def vector():
    """10^7 float32."""
    return np.random.default_rng(0).normal(size=N).astype(np.float32)


def seeds_of(count):
    """(seeds of 16 bytes, signs)."""
    return [os.urandom(16) for _ in range(count)], [1 if i % 2 else -1 for i in range(count)]


def idiom(vector, seeds, signs, out):
    """Quantise, then a tile of keystream at a time from OpenSSL into one buffer, added in place."""
    scale = (2 ** (BITS - 1) - 1) / CLIP
    ciphers = [Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor() for seed in seeds]
    zeros = bytes(4 * TILE)
    buffer = bytearray(4 * TILE + 15)
    words = np.frombuffer(buffer, np.uint32, TILE)
    for at in range(0, len(vector), TILE):
        part = out[at : at + TILE]
        steps = np.rint(np.clip(vector[at : at + TILE], -CLIP, CLIP) * scale)
        part[:] = steps.astype(np.int32).view(np.uint32)
        for cipher, sign in zip(ciphers, signs, strict=True):
            cipher.update_into(zeros[: 4 * len(part)], buffer)
            (np.add if sign > 0 else np.subtract)(part, words[: len(part)], out=part)
    return out


@pytest.mark.parametrize("masks", [30, 1])
def bench_mask(case, benchmark, one_thread, vector, masks):
    benchmark.group = f"secagg: {masks} masks on 10^7 float32"
    seeds, signs = seeds_of(masks)
    out = np.empty(N, np.uint32)
    fi.secagg.mask(vector, seeds, signs, bits=BITS, clip=CLIP, out=out)
    few = slice(0, 10_000)
    expected = twin.mask(vector[few], seeds, signs, bits=BITS, clip=CLIP)
    error = np.abs((out[few] - expected).view(np.int32)).max()
    work = lambda: fi.secagg.mask(vector, seeds, signs, bits=BITS, clip=CLIP, out=out)  # noqa: E731
    case(work, nbytes=8 * N, items=4 * N * masks, unit="B of keystream", error=error)


@pytest.mark.parametrize("masks", [30, 1])
def bench_mask_idiom(case, benchmark, vector, masks):
    benchmark.group = f"secagg: {masks} masks on 10^7 float32"
    seeds, signs = seeds_of(masks)
    out = np.empty(N, np.uint32)
    work = lambda: idiom(vector, seeds, signs, out)  # noqa: E731
    case(work, tool="cryptography + numpy, tiled", nbytes=8 * N, items=4 * N * masks, unit="B of keystream", rounds=3)


def bench_mask_chacha(case, benchmark, one_thread, vector):
    benchmark.group = "secagg: 30 ChaCha20 masks on 10^7 float32"
    seeds, signs = [os.urandom(32) for _ in range(30)], [1] * 30
    out = np.empty(N, np.uint32)
    work = lambda: fi.secagg.mask(vector, seeds, signs, bits=BITS, clip=CLIP, out=out, prg="chacha20")  # noqa: E731
    case(work, nbytes=8 * N, items=4 * N * 30, unit="B of keystream", rounds=3)


def bench_mask_chacha_idiom(case, benchmark, vector):
    benchmark.group = "secagg: 30 ChaCha20 masks on 10^7 float32"
    part = vector[: N // 10]
    keys = [os.urandom(32) for _ in range(30)]

    def work():
        out = np.zeros(len(part), np.uint32)
        buffer = bytearray(4 * TILE)
        words = np.frombuffer(buffer, np.uint32)
        ciphers = [Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor() for key in keys]
        zeros = bytes(4 * TILE)
        for _ in range(10):
            for at in range(0, len(part), TILE):
                tile = out[at : at + TILE]
                for cipher in ciphers:
                    cipher.update_into(zeros[: 4 * len(tile)], buffer)
                    np.add(tile, words[: len(tile)], out=tile)

    case(work, tool="cryptography + numpy, tiled", items=4 * N * 30, unit="B of keystream", rounds=2)


@pytest.mark.benchmark(group="secagg: Shamir 16 of 30, a secret of 48 bytes, create and combine")
def bench_shamir(case):
    secret = os.urandom(48)

    def work():
        shares = _shamir.split(secret, range(1, 31), 16)
        return _shamir.combine({x: shares[x] for x in range(5, 21)}, 48)

    assert work() == secret
    case(work, items=1, unit="secret", rounds=50, error=0)


@pytest.mark.benchmark(group="secagg: Shamir 16 of 30, a secret of 48 bytes, create and combine")
def bench_shamir_pycryptodome(case):
    shamir = pytest.importorskip("Crypto.Protocol.SecretSharing", reason="peer pycryptodome is not installed").Shamir
    parts = [os.urandom(16) for _ in range(3)]

    def work():
        for part in parts:
            shares = shamir.split(16, 30, part)
            assert shamir.combine(shares[4:20]) == part

    case(work, tool="pycryptodome", items=1, unit="secret", rounds=3)


@pytest.mark.benchmark(group="secagg: unmask 10^6, 3 of 30 dropped (27 + 81 masks)")
def bench_unmask(case, one_thread):
    from fastimg.secagg import _mask

    seeds, words = [os.urandom(32) for _ in range(108)], np.zeros(1_000_000, np.uint32)
    work = lambda: _mask.unmask(words, seeds, [1] * 108, prg="aes128-ctr")  # noqa: E731
    case(work, nbytes=8_000_000, items=108 * 4_000_000, unit="B of keystream")


@pytest.mark.benchmark(group="secagg: whole round, 30 nodes x 10^5 float32, 3 dropped")
def bench_round(case, one_thread):
    rng = np.random.default_rng(0)
    vectors = {i: rng.normal(size=100_000).astype(np.float32) for i in range(30)}

    def work():
        clients = {i: fi.secagg.Client(i, v, n=30, bits=20, clip=4.0) for i, v in vectors.items()}
        server = fi.secagg.Server(n=30, length=100_000)
        for client in clients.values():
            server.receive(client.start())
        step = 0
        while messages := server.advance():
            step += 1
            for node, message in messages.items():
                if (step < 2 or node > 2) and (answer := clients[node].receive(message)) is not None:
                    server.receive(answer)
        return server.result()

    value, survivors = work()
    error = np.abs(value - sum(vectors[i].clip(-4, 4).astype(float) for i in survivors)).max()
    case(work, items=30, unit="node", rounds=3, error=error)
