"""Twin of fastimg.cohort's shards: a chunk at a time, through numcodecs' Blosc and imagecodecs' zstd."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["crc32c", "decode_shard", "encode_shard"]


def crc32c(data: bytes) -> int:
    """CRC-32C, a bit at a time."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def encode_shard(array: npt.NDArray[Any], chunks: Sequence[int], codec: dict[str, Any]) -> bytes:
    """The shard file of an array: chunks in C order, each with its checksum; index and its checksum at the end."""
    from google_crc32c import value as checksum

    grid = [-(-n // c) for n, c in zip(array.shape, chunks, strict=True)]
    parts: list[bytes] = []
    index = np.empty((math.prod(grid), 2), "<u8")
    offset = 0
    for number, place in enumerate(itertools.product(*map(range, grid))):
        part = array[tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunks, strict=True))]
        block = np.zeros(tuple(chunks), array.dtype)
        block[tuple(slice(n) for n in part.shape)] = part
        data = _compress(block, codec)
        data += checksum(data).to_bytes(4, "little")
        parts.append(data)
        index[number] = offset, len(data)
        offset += len(data)
    table = index.tobytes()
    return b"".join([*parts, table, checksum(table).to_bytes(4, "little")])


def _compress(block: npt.NDArray[Any], codec: dict[str, Any]) -> bytes:
    if codec["name"] == "zstd":
        return bytes(import_module("imagecodecs").zstd_encode(block.tobytes(), level=codec["level"]))
    blosc = import_module("numcodecs.blosc")
    shuffle = {"noshuffle": 0, "bitshuffle": 2}[codec["shuffle"]]
    data = blosc.compress(block.tobytes(), codec["cname"].encode(), codec["clevel"], shuffle, 0, block.dtype.itemsize)
    return bytes(data)


def decode_shard(data: bytes, shape: Sequence[int], dtype: Any, chunks: Sequence[int], codec: dict[str, Any]) -> Any:
    """The array of a shard file."""
    grid = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    count = math.prod(grid)
    index = np.frombuffer(data[-16 * count - 4 : -4], "<u8").reshape(count, 2)
    out = np.empty(tuple(shape), dtype)
    for number, place in enumerate(itertools.product(*map(range, grid))):
        offset, size = map(int, index[number])
        stored = data[offset : offset + size - 4]
        name = "imagecodecs" if codec["name"] == "zstd" else "numcodecs.blosc"
        module = import_module(name)
        raw = module.zstd_decode(stored) if codec["name"] == "zstd" else module.decompress(stored)
        region = tuple(slice(p * c, min((p + 1) * c, n)) for p, c, n in zip(place, chunks, shape, strict=True))
        block = np.frombuffer(raw, dtype).reshape(tuple(chunks))
        out[region] = block[tuple(slice(s.stop - s.start) for s in region)]
    return out
