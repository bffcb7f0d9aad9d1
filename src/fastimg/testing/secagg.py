"""Twins of fastimg.secagg: NumPy, `cryptography` and Python's whole numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = [
    "P",
    "Uniform",
    "combine",
    "decay",
    "discrete_gaussian",
    "evaluate",
    "keystream",
    "mask",
    "quantise",
    "quantise_stochastic",
]

P = 2**127 - 1


def keystream(seed: bytes, count: int, prg: str = "aes128-ctr") -> bytes:
    """`count` bytes of the generator, by OpenSSL."""
    if prg == "chacha20":
        cipher = Cipher(algorithms.ChaCha20(seed, bytes(16)), mode=None)
    else:
        nonce = seed[16:28] if len(seed) == 32 else bytes(12)
        cipher = Cipher(algorithms.AES(seed[:16]), modes.CTR(nonce + bytes(4)))  # type: ignore[arg-type]
    return cipher.encryptor().update(bytes(count))


def quantise(vector: npt.NDArray[Any], bits: int, clip: float) -> npt.NDArray[np.int64]:
    """Whole steps of clip / (2**(bits-1) - 1), halves to even."""
    limit = float(2 ** (bits - 1) - 1)
    steps = vector.astype(np.float64) * (limit / clip)
    return np.rint(np.clip(steps, -limit, limit)).astype(np.int64)


def quantise_stochastic(
    vector: npt.NDArray[Any], bits: int, clip: float, random: npt.NDArray[Any]
) -> npt.NDArray[np.int64]:
    """Down to a whole step, and one up where 32 random bits, as a share of 2**32, are below what was left off."""
    limit = float(2 ** (bits - 1) - 1)
    steps = np.clip(vector.astype(np.float64) * (limit / clip), -limit, limit)
    below = np.floor(steps)
    return (below + ((random & 0xFFFFFFFF).astype(np.float64) / 2**32 < steps - below)).astype(np.int64)


def mask(
    vector: npt.NDArray[Any],
    seeds: Sequence[bytes],
    signs: Sequence[int],
    *,
    bits: int | None = None,
    clip: float | None = None,
    word: Any = np.uint32,
    prg: str = "aes128-ctr",
    offset: int = 0,
    dither: bytes | None = None,
) -> npt.NDArray[Any]:
    """`secagg.mask`, a mask at a time."""
    size = np.dtype(word).itemsize
    values = vector if bits is None or clip is None else quantise(vector, bits, clip)
    if dither is not None and bits is not None and clip is not None:
        stream = keystream(dither, (offset + vector.size) * size, prg)
        random = np.frombuffer(stream, np.dtype(word).newbyteorder("<"))[offset:].astype(word)
        values = quantise_stochastic(vector, bits, clip, random.reshape(vector.shape))
    total = values.astype(word)
    for seed, sign in zip(seeds, signs, strict=True):
        stream = keystream(seed, (offset + vector.size) * size, prg)
        words = np.frombuffer(stream, np.dtype(word).newbyteorder("<"))[offset:].astype(word).reshape(vector.shape)
        total = total + words if sign > 0 else total - words
    return total


class Uniform:
    """Exact uniform whole numbers from the ChaCha20 keystream of a seed."""

    def __init__(self, seed: bytes) -> None:
        self._cipher = Cipher(algorithms.ChaCha20(seed, bytes(16)), mode=None).encryptor()

    def word(self) -> int:
        """64 bits."""
        return int.from_bytes(self._cipher.update(bytes(8)), "little")

    def below(self, bound: int) -> int:
        """Uniform below `bound`."""
        bits = (bound - 1).bit_length()
        while bits:
            value = self.word() << 64 | self.word() if bits > 64 else self.word()
            if (value := value & ((1 << bits) - 1)) < bound:
                return value
        return 0


def decay(source: Uniform, above: int, under: int) -> bool:
    """True with probability exp(-above / under): Canonne, Kamath, Steinke 2020, algorithm 1."""
    while above > under:
        if not decay(source, 1, 1):
            return False
        above -= under
    k = 1
    while source.below(under * k) < above:
        k += 1
    return k % 2 == 1


def discrete_gaussian(seed: bytes, variance: int, count: int) -> list[int]:
    """Algorithms 2 and 3: a discrete Laplace draw, kept with the probability that makes it a discrete Gaussian."""
    source, scale, drawn = Uniform(seed), math.isqrt(variance) + 1, list[int]()
    while len(drawn) < count:
        part = source.below(scale)
        if not decay(source, part, scale):
            continue
        while decay(source, 1, 1):
            part += scale
        minus = source.below(2) == 1
        if minus and part == 0:
            continue
        if decay(source, (part * scale - variance) ** 2, 2 * variance * scale**2):
            drawn.append(-part if minus else part)
    return drawn


def evaluate(coefficients: Sequence[int], point: int) -> int:
    """A polynomial, lowest coefficient first, modulo P."""
    return sum(c * pow(point, k, P) for k, c in enumerate(coefficients)) % P


def combine(shares: Mapping[int, int]) -> int:
    """The polynomial's value at 0, modulo P."""
    total = 0
    for i, y in shares.items():
        above = below = 1
        for j in shares:
            if j != i:
                above, below = above * j % P, below * (j - i) % P
        total += y * above * pow(below, -1, P)
    return total % P
