"""Twins of fastimg.secagg: NumPy, `cryptography` and Python's whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = ["P", "combine", "evaluate", "keystream", "mask", "quantise"]

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
) -> npt.NDArray[Any]:
    """`secagg.mask`, a mask at a time."""
    size = np.dtype(word).itemsize
    values = vector if bits is None or clip is None else quantise(vector, bits, clip)
    total = values.astype(word)
    for seed, sign in zip(seeds, signs, strict=True):
        stream = keystream(seed, (offset + vector.size) * size, prg)
        words = np.frombuffer(stream, np.dtype(word).newbyteorder("<"))[offset:].astype(word).reshape(vector.shape)
        total = total + words if sign > 0 else total - words
    return total


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
