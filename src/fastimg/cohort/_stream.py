"""Volumes larger than memory: blocks of whole chunks, read, changed and written one at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import thread_count
from ..errors import ArgumentError
from . import _shard
from ._codecs import native
from ._files import Unflushed, crc32c, new_file, write_all

__all__ = ["BlockDigest", "blocks", "read_digest", "write_blocks"]

Region = tuple[slice, ...]


def blocks(shape: Sequence[int], chunks: Sequence[int], voxel_bytes: int, memory: int) -> Iterator[Region]:
    """Regions that cover an array in the order of its chunks, each of whole rows of chunks.

    As many rows as fit into `memory` bytes at `voxel_bytes` a voxel, and one at least.
    """
    (depth, height, width), (step, high, _) = shape[-3:], chunks[-3:]
    layer = step * height * width * voxel_bytes
    if layer <= memory:
        many = step * (memory // layer)
        spans = [(slice(z, min(z + many, depth)), slice(0, height)) for z in range(0, depth, many)]
    else:
        many = high * max(1, memory // (step * high * width * voxel_bytes))
        spans = [
            (slice(z, min(z + step, depth)), slice(y, min(y + many, height)))
            for z in range(0, depth, step)
            for y in range(0, height, many)
        ]
    for lead in product(*map(range, shape[:-3])):
        for rows, columns in spans:
            yield (*(slice(n, n + 1) for n in lead), rows, columns, slice(0, width))


def write_blocks(
    path: Path,
    shape: Sequence[int],
    chunks: Sequence[int],
    codec: dict[str, Any],
    parts: Iterable[npt.NDArray[Any]],
    *,
    threads: int | None = None,
    unflushed: Unflushed | None = None,
) -> tuple[int, int, int, int]:
    """Write a shard from the arrays of its `blocks`, in their order; the bytes are those of `_shard.write`.

    Returns the file's size, its CRC-32C, that of its index and that of its chunks' own CRCs. Held at a time: a block and its coded chunks.
    """
    coder, level, shuffle = _shard.coding(codec)
    tables, offset, check, checks = [], 0, 0, 0
    with new_file(path, unflushed) as out:
        for part in parts:
            if part.ndim != len(shape) or part.shape[-1] != shape[-1]:
                raise ArgumentError(f"parts: expected whole rows of an array of shape {tuple(shape)}, got {part.shape}")
            with TemporaryFile(dir=path.parent) as coded:  # a shard of its own, with an index
                args = (list(chunks[-part.ndim :]), coder, level, shuffle, thread_count(threads))
                size, *_ = native().write(coded.fileno(), np.ascontiguousarray(part), *args)
                data = memoryview(os.pread(coded.fileno(), size, 0))
            inside = prod(-(-n // c) for n, c in zip(part.shape, chunks, strict=True))
            body, table = data[: -16 * inside - 4], data[-16 * inside - 4 : -4]
            places = np.frombuffer(table, "<u8").reshape(-1, 2)
            tables.append(places + np.array([offset, 0], np.uint64))
            ends = places.sum(1).astype(np.int64)
            checks = crc32c(np.frombuffer(body, np.uint8)[ends[:, None] + np.arange(-4, 0)], checks)
            write_all(out, body)
            check = crc32c(body, check)
            offset += len(body)
        if sum(map(len, tables)) != prod(-(-n // c) for n, c in zip(shape, chunks, strict=True)):
            raise ArgumentError("parts: do not cover the array chunk by chunk")
        index = np.concatenate(tables).astype("<u8").tobytes()
        own = crc32c(index)
        tail = index + own.to_bytes(4, "little")
        write_all(out, tail)
    return offset + len(tail), crc32c(tail, check), own, checks


def read_digest(path: Path, entry: dict[str, Any], memory: int) -> str:
    """The digest of a shard's voxels, some planes at a time."""
    shape, digest = entry["shape"], BlockDigest(entry["shape"], entry["dtype"])
    shard = _shard.open_shard(path, entry)
    planes = [1] * (len(shape) - 2) + [shape[-2]]
    for region in blocks(shape, [*planes, shape[-1]], np.dtype(entry["dtype"]).itemsize, memory):
        digest.update(_shard.read(shard, entry, region))
    return digest.text()


class BlockDigest:
    """`voxel_digest` of an array that is seen in C order, piece by piece."""

    def __init__(self, shape: Sequence[int], dtype: str) -> None:
        self._digest = hashlib.sha256(f"{dtype} {' '.join(map(str, shape))}\n".encode())

    def update(self, part: npt.NDArray[Any]) -> None:
        """The next voxels."""
        self._digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)

    def text(self) -> str:
        """As the manifest has it."""
        return f"sha256:{self._digest.hexdigest()}"
