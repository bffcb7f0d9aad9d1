"""Pairs of hashes that differ in a few bits, exactly, without comparing all with all.

Hashes of 256 bits are cut into 16 words: two that differ in at most 15 bits agree in at least one word (multi-index
hashing, M. Norouzi, A. Punjani and D. J. Fleet, IEEE Trans. PAMI 36, 2014, 1107-1119, with a search radius of 0 in each
word), so only hashes that share a word are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError

__all__ = ["MOST_BITS", "near_pairs"]

MOST_BITS = 15
_BLOCK = 1 << 20  # pairs compared at a time: 64 MB


def near_pairs(hashes: Sequence[bytes], bits: int) -> list[tuple[int, int, int]]:
    """(i, j, differing bits) for all i < j whose hashes of 32 bytes differ in at most `bits` (0 to 15)."""
    if not 0 <= bits <= MOST_BITS:
        raise ArgumentError(f"near_pairs: bits must be 0 to {MOST_BITS}, got {bits}")
    if len(hashes) < 2:
        return []
    data = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), 32)
    words, whole = data.view(np.uint16), data.view(np.uint64)
    found: dict[tuple[int, int], int] = {}
    for column in range(bits + 1):
        for i, j in _sharing(words[:, column]):
            apart = np.bitwise_count(whole[i] ^ whole[j]).sum(axis=1)
            for k in np.flatnonzero(apart <= bits):
                found[int(i[k]), int(j[k])] = int(apart[k])
    return sorted((i, j, apart) for (i, j), apart in found.items())


def _sharing(words: npt.NDArray[np.uint16]) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """All pairs i < j of equal words, in blocks."""
    order = np.argsort(words, kind="stable")
    ranked = words[order]
    # The k-th of a run of equal words pairs with the k before it: pairs by distance within the runs.
    start = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    rank = np.arange(len(ranked)) - np.repeat(start, np.diff(np.r_[start, len(ranked)]))
    for distance in range(1, int(rank.max()) + 1):
        later = np.flatnonzero(rank >= distance)
        for at in range(0, len(later), _BLOCK):
            part = later[at : at + _BLOCK]
            yield order[part - distance], order[part]
