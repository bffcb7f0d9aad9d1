"""A table of headers that arrives in parts, kept compressed, and given back with all files of a series together.

A file takes about 1 kB in the table of `dicom.scan` and 0.1 kB here, so that a tree of millions of files can be planned.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Parts"]

SHARES = 64


class Parts:
    """The rows that name a series, in shares by a hash of its UID."""

    def __init__(self) -> None:
        self._schema: Any = None
        self._shares: list[list[tuple[bytes, int]]] = [[] for _ in range(SHARES)]

    def add(self, table: Any) -> None:
        """One more part of the table."""
        self._schema = self._schema or table.schema
        uids = table["series_uid"].combine_chunks().dictionary_encode()
        shares = np.array([zlib.crc32(uid.encode()) % SHARES for uid in uids.dictionary.to_pylist()] + [SHARES])
        share = shares[uids.indices.fill_null(len(shares) - 1).to_numpy()]
        order = np.argsort(share, kind="stable")
        rows = table.take(pa.array(order)).combine_chunks().to_batches()
        bounds = np.searchsorted(share[order], np.arange(SHARES + 1)).tolist()
        for number in range(SHARES):
            start, end = bounds[number], bounds[number + 1]
            if end > start:
                message = rows[0].slice(start, end - start).serialize()
                packed = pa.compress(message, codec="zstd", asbytes=True)
                self._shares[number].append((packed, message.size))

    def __iter__(self) -> Iterator[Any]:
        """Tables, each with all rows of its series, in the order in which they came."""
        for share in self._shares:
            if share:
                batches = [
                    pa.ipc.read_record_batch(pa.decompress(packed, size, codec="zstd"), self._schema)
                    for packed, size in share
                ]
                yield pa.Table.from_batches(batches).combine_chunks()
