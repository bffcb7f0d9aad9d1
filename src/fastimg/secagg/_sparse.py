"""Histograms over a large domain of which few cells are filled: a linear sketch that a secure sum can carry."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import native
from ..errors import ArgumentError, FormatError, RefusedError
from ._mask import whole

__all__ = ["SparseHistogram"]

_TABLES = 5
_KEY_BITS = 52  # times 4,096 nodes: below 2**64


class SparseHistogram:
    """Counts by key without a list of keys: encode at each node, sum with `modular=True`, decode.

    An invertible Bloom lookup table (M. T. Goodrich, M. Mitzenmacher, Allerton 2011): each key adds its count, 1, itself
    and a check to one cell of each of five tables; all is linear modulo 2**64, so tables of nodes add. Decoding takes
    cells that hold a single key until none is left. It gives exact counts or refuses; the sum shows, for each key that
    occurs, its count and how many nodes hold it (apply disclosure rules before encoding), and nothing by node.

    Two keys that share all five cells hide each other: a sum within its capacity is refused with a probability of about
    n^2 / 2 / (2 n / 5 + 32)^5, at most 4e-6 (n = 55). Another seed then places them otherwise.

    Parameters
    ----------
    capacity : int
        Different keys, over all nodes, that the sum can hold, 1 to 2**24. The vector has 8 words a key and 640 more.
    seed : bytes
        Public and the same at all nodes: it places the keys.

    Raises
    ------
    ArgumentError
        `seed` is longer than 64 bytes.

    Examples
    --------
    >>> import fastimg as fi
    >>> h = fi.secagg.SparseHistogram(capacity=10)
    >>> total = h.encode([70000000, 5], [2, 7]) + h.encode([5], [1])  # by Client(..., modular=True) and Server
    >>> [x.tolist() for x in h.decode(total)]
    [[5, 70000000], [8, 2], [2, 1]]
    """

    def __init__(self, capacity: int, seed: bytes = b"") -> None:
        whole("capacity", capacity, 1, 1 << 24)
        if not isinstance(seed, bytes) or len(seed) > 64:
            raise ArgumentError("seed: at most 64 bytes")
        self._seed = seed
        self._cells = -(-2 * capacity // _TABLES) + 32

    @property
    def length(self) -> int:
        """Words of the vector."""
        return _TABLES * self._cells * 4

    def encode(self, keys: Any, counts: Any) -> npt.NDArray[np.uint64]:
        """One node's vector.

        Parameters
        ----------
        keys : sequence of int
            Different, 0 to 2**52 - 1.
        counts : sequence of int
            Above 0, below 2**48.

        Returns
        -------
        (length,) uint64

        Raises
        ------
        ArgumentError
            Keys that are not different, or not one count each.
        """
        names = [whole("keys", key, 0, (1 << _KEY_BITS) - 1) for key in keys]
        sizes = [whole("counts", count, 1, (1 << 48) - 1) for count in counts]
        if len(names) != len(sizes) or len(set(names)) != len(names):
            raise ArgumentError("keys: different ones, with one count each")
        table = np.zeros((_TABLES * self._cells, 4), np.uint64)
        for key, size in zip(names, sizes, strict=True):
            cells, check = self._place(key)
            for cell in cells:
                table[cell] += np.array([size, 1, key, check], np.uint64)
        return table.ravel()

    def decode(self, total: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(keys in rising order, counts, nodes that hold them).

        Raises
        ------
        RefusedError
            More different keys than the capacity, not a sum of such tables, or two keys in the same five cells.
        FormatError
            A vector of another type or length.
        """
        words = native(np.asarray(total))
        if words.dtype != np.uint64 or words.shape != (self.length,):
            raise FormatError(f"sparse histogram: a uint64 vector of length {self.length} is needed")
        table: list[list[int]] = words.reshape(-1, 4).tolist()
        found: dict[int, tuple[int, int]] = {}
        todo = list(range(len(table)))
        while todo:
            cell = todo.pop()
            size, nodes, keys, checks = table[cell]
            if not 1 <= nodes <= 4096 or keys % nodes or (key := keys // nodes) >> _KEY_BITS or key in found:
                continue
            cells, check = self._place(key)
            if cell not in cells or check * nodes % (1 << 64) != checks:
                continue
            found[key] = size, nodes
            for other in cells:
                table[other] = [
                    (a - b) % (1 << 64) for a, b in zip(table[other], (size, nodes, keys, checks), strict=True)
                ]
                todo.append(other)
        if any(any(row) for row in table):
            raise RefusedError(
                "sparse histogram: more different keys than its capacity, or keys that hide each other: another seed helps"
            )
        ordered = sorted(found)
        counts, nodes_of = ([found[key][i] for key in ordered] for i in range(2))
        return np.array(ordered, np.int64), np.array(counts, np.int64), np.array(nodes_of, np.int64)

    def _place(self, key: int) -> tuple[list[int], int]:
        size = 8 * (_TABLES + 1)
        digest = hashlib.blake2b(key.to_bytes(8, "little"), digest_size=size, key=self._seed).digest()
        *parts, check = (int.from_bytes(digest[i : i + 8], "little") for i in range(0, size, 8))
        return [t * self._cells + parts[t] % self._cells for t in range(_TABLES)], check
