"""secagg against Flower's SecAgg+, the best tiled idiom of `cryptography` + NumPy, and pycryptodome's Shamir."""

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
    work()
    expected = twin.mask(vector[:10_000], seeds, signs, bits=BITS, clip=CLIP, prg="chacha20")
    error = np.abs((out[:10_000] - expected).view(np.int32)).max()
    case(work, nbytes=8 * N, items=4 * N * 30, unit="B of keystream", error=error, rounds=3)


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


def bench_shamir_create(case, benchmark):
    benchmark.group = "secagg: Shamir 16 of 30, a secret of 48 bytes, create"
    secret = os.urandom(48)
    shares = _shamir.split(secret, range(1, 31), 16)
    error = _shamir.combine({x: shares[x] for x in range(15, 31)}, 48) != secret
    case(lambda: _shamir.split(secret, range(1, 31), 16), items=1, unit="secret", error=error, rounds=200)


def bench_shamir_create_pycryptodome(case, benchmark):
    benchmark.group = "secagg: Shamir 16 of 30, a secret of 48 bytes, create"
    shamir = pytest.importorskip("Crypto.Protocol.SecretSharing", reason="peer pycryptodome is not installed").Shamir
    parts = [os.urandom(16) for _ in range(3)]
    work = lambda: [shamir.split(16, 30, part) for part in parts]  # noqa: E731
    case(work, tool="pycryptodome", items=1, unit="secret", rounds=5)


def bench_shamir_combine(case, benchmark):
    benchmark.group = "secagg: Shamir 16 of 30, a secret of 48 bytes, combine"
    secret = os.urandom(48)
    shares = _shamir.split(secret, range(1, 31), 16)
    chosen = {x: shares[x] for x in range(5, 21)}
    assert _shamir.combine(chosen, 48) == secret
    case(lambda: _shamir.combine(chosen, 48), items=1, unit="secret", rounds=200, error=0)


def bench_shamir_combine_pycryptodome(case, benchmark):
    benchmark.group = "secagg: Shamir 16 of 30, a secret of 48 bytes, combine"
    shamir = pytest.importorskip("Crypto.Protocol.SecretSharing", reason="peer pycryptodome is not installed").Shamir
    shares = [shamir.split(16, 30, os.urandom(16))[4:20] for _ in range(3)]
    work = lambda: [shamir.combine(part) for part in shares]  # noqa: E731
    case(work, tool="pycryptodome", items=1, unit="secret", rounds=5)


@pytest.mark.gpu
@pytest.mark.parametrize("masks", [1, 30])
def bench_gpu_mask(gpu_case, gpu, benchmark, masks):
    """uint32 + ChaCha20: 128 bytes of traffic and 640 exclusive-ors and rotations for 64 bytes of keystream.

    Bound of one mask: 0.7 of the copy rate (machine: GPU copy) or 64 such operations a clock and multiprocessor (the
    additions run beside them), whichever is lower; of 30 masks the latter.
    """
    count = gpu.size(1 << 27, 1 << 10)
    benchmark.group = f"secagg: GPU, {masks} ChaCha20 masks on 2^27 uint32"
    vector = gpu(np.arange(count, dtype=np.uint32))
    out = gpu(np.zeros(count, np.uint32))
    seeds, signs = [os.urandom(32) for _ in range(masks)], [1] * masks
    work = lambda: fi.secagg.mask(vector, seeds, signs, out=out, prg="chacha20")  # noqa: E731
    work()
    few = min(count, 4096)
    expected = twin.mask(np.arange(few, dtype=np.uint32), seeds, signs, prg="chacha20")
    seen = fi._gpu.backend().to_host(out[:few])
    case_info(benchmark, gpu, count, masks)
    gpu_case(work, nbytes=8 * count, items=4 * count * masks, unit="B of keystream", error=(seen != expected).sum())


def case_info(benchmark, gpu, count, masks):
    """The integer limit in seconds, from the device's clock and multiprocessors."""
    attributes = gpu.xp.cuda.Device().attributes if hasattr(gpu.xp, "cuda") else {}
    if "ClockRate" not in attributes:
        return
    rate = attributes["MultiProcessorCount"] * attributes["ClockRate"] * 1e3 * 64
    benchmark.extra_info["integer_limit_seconds"] = 640 * masks * (4 * count / 64) / rate


@pytest.mark.gpu
@pytest.mark.benchmark(group="secagg: GPU, quantise 2^25 float32 and add 30 ChaCha20 masks")
def bench_gpu_quantise_and_mask(gpu_case, gpu):
    count = gpu.size(1 << 25, 1 << 10)
    vector = gpu(np.linspace(-9, 9, count, dtype=np.float32))
    out = gpu(np.zeros(count, np.uint32))
    seeds, signs = [os.urandom(32) for _ in range(30)], [1, -1] * 15
    options = {"bits": BITS, "clip": CLIP, "prg": "chacha20"}
    work = lambda: fi.secagg.mask(vector, seeds, signs, out=out, **options)  # noqa: E731
    expected = lambda: fi.secagg.mask(np.asarray(fi._dispatch.move(vector, "cpu")), seeds, signs, **options)  # noqa: E731
    gpu_case(work, nbytes=8 * count, items=4 * count * 30, unit="B of keystream", expected=expected)


@pytest.mark.gpu
@pytest.mark.benchmark(group="secagg: GPU, 1 ChaCha20 masks on 2^27 uint32")
def bench_gpu_mask_cupy(gpu_case, gpu, benchmark):
    """CuPy's own generator (XORWOW, not cryptographic) and an addition: what users write."""
    if not hasattr(gpu.xp, "random"):
        pytest.skip("needs CuPy")
    count = gpu.size(1 << 27, 1 << 10)
    vector = gpu(np.arange(count, dtype=np.uint32))
    rng = gpu.xp.random.default_rng(0)
    work = lambda: vector + rng.integers(0, (1 << 32) - 1, count, dtype=np.uint32, endpoint=True)  # noqa: E731
    gpu_case(work, tool="cupy.random + add", nbytes=8 * count, items=4 * count, unit="B of keystream")
