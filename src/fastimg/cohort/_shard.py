"""One volume as one Zarr v3 shard: inner chunks near 32^3, each compressed and checked by CRC-32C, an index at the end.

https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, IntegrityError
from ._files import crc32c

__all__ = ["PROFILES", "array_metadata", "chunk_shape", "encode", "read"]

# what each profile compresses with; "gpu" is a plain zstd frame, which nvCOMP reads
PROFILES: dict[str, dict[str, Any]] = {
    "default": {"name": "blosc", "cname": "zstd", "clevel": 1, "shuffle": "bitshuffle"},
    "hot": {"name": "blosc", "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle"},
    "gpu": {"name": "zstd", "level": 3},
}
_SIDE = 32
DTYPES = (
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
)
_ABSENT = 2**64 - 1


def chunk_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Inner chunk: 1 along leading axes, along z, y, x the whole number of chunks nearest to 32 voxels each."""
    sides = [-(-n // max(1, round(n / _SIDE))) for n in shape[-3:]]
    return (1,) * (len(shape) - 3) + tuple(max(1, s) for s in sides)


def array_metadata(
    shape: Sequence[int], dtype: str, chunks: Sequence[int], codec: dict[str, Any], dims: Sequence[str]
) -> dict[str, Any]:
    """zarr.json of the array."""
    size = np.dtype(dtype).itemsize
    order: dict[str, Any] = {"name": "bytes"} if size == 1 else {"name": "bytes", "configuration": {"endian": "little"}}
    if codec["name"] == "blosc":
        settings = {key: codec[key] for key in ("cname", "clevel", "shuffle")}
        packed = {"name": "blosc", "configuration": {"typesize": size, **settings, "blocksize": 0}}
    else:
        packed = {"name": "zstd", "configuration": {"level": codec["level"], "checksum": False}}
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": _padded(shape, chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": False if dtype == "bool" else 0.0 if dtype.startswith("float") else 0,
        "codecs": [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": list(chunks),
                    "codecs": [order, packed, {"name": "crc32c"}],
                    "index_codecs": [little, {"name": "crc32c"}],
                    "index_location": "end",
                },
            }
        ],
        "attributes": {},
        "dimension_names": list(dims),
        "storage_transformers": [],
    }


def _padded(shape: Sequence[int], chunks: Sequence[int]) -> list[int]:
    return [-(-n // c) * c for n, c in zip(shape, chunks, strict=True)]


def _grid(shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-n // c) for n, c in zip(shape, chunks, strict=True))


def encode(
    array: npt.NDArray[Any], chunks: Sequence[int], codec: dict[str, Any], *, threads: int | None = None
) -> tuple[list[bytes], int]:
    """The shard's parts in order, and the CRC-32C of its index."""
    grid = _grid(array.shape, chunks)
    parts: list[bytes] = []
    index = np.empty((math.prod(grid), 2), "<u8")
    offset = 0
    block = np.empty(tuple(chunks), array.dtype)
    for number, place in enumerate(itertools.product(*map(range, grid))):
        part = array[tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunks, strict=True))]
        if part.shape != block.shape:
            block[...] = 0
        block[tuple(slice(n) for n in part.shape)] = part
        data = _compress(block, codec)
        data += crc32c(data).to_bytes(4, "little")
        parts.append(data)
        index[number] = offset, len(data)
        offset += len(data)
    table = index.tobytes()
    check = crc32c(table)
    return [*parts, table, check.to_bytes(4, "little")], check


def _compress(block: npt.NDArray[Any], codec: dict[str, Any]) -> bytes:
    imagecodecs: Any = import_module("imagecodecs")  # its stubs know bytes only
    if codec["name"] == "zstd":
        return bytes(imagecodecs.zstd_encode(block, level=codec["level"]))
    size = block.dtype.itemsize
    shuffle = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}[codec["shuffle"]]
    return bytes(
        imagecodecs.blosc_encode(
            block.reshape(-1).view(np.uint8),
            level=codec["clevel"],
            compressor=codec["cname"],
            shuffle=shuffle,
            typesize=size,
            numthreads=1,
        )
    )


def read(
    path: Path, entry: dict[str, Any], region: Sequence[slice], where: str, *, threads: int | None = None
) -> npt.NDArray[Any]:
    """The voxels of a region. A missing chunk or a byte that differs is an IntegrityError, never a fill value."""
    shape, chunks, dtype = entry["shape"], entry["chunks"], np.dtype(entry["dtype"])
    out = np.empty([s.stop - s.start for s in region], dtype)
    if not out.size:
        return out
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise IntegrityError(f"{where}: its voxels are missing") from None
    try:
        index = _index(fd, entry, where)
        grid = _grid(shape, chunks)
        ranges = [range(s.start // c, -(-s.stop // c)) for s, c in zip(region, chunks, strict=True)]
        nbytes = math.prod(chunks) * dtype.itemsize
        for place in itertools.product(*ranges):
            offset, size = map(int, index[np.ravel_multi_index(place, grid)])
            if offset == _ABSENT and size == _ABSENT:
                raise IntegrityError(f"{where}: chunk {place} is missing")
            block = _decode(os.pread(fd, size, offset), size, nbytes, entry["codec"], where).view(dtype).reshape(chunks)
            source, target = [], []
            for p, c, s in zip(place, chunks, region, strict=True):
                low, high = max(p * c, s.start), min((p + 1) * c, s.stop)
                source.append(slice(low - p * c, high - p * c))
                target.append(slice(low - s.start, high - s.start))
            out[tuple(target)] = block[tuple(source)]
    finally:
        os.close(fd)
    return out


def _index(fd: int, entry: dict[str, Any], where: str) -> npt.NDArray[np.uint64]:
    count = math.prod(_grid(entry["shape"], entry["chunks"]))
    tail = 16 * count + 4
    size = os.fstat(fd).st_size
    if size != entry["size"]:
        raise IntegrityError(f"{where}: its voxels take {size} bytes, the manifest says {entry['size']}")
    data = os.pread(fd, tail, size - tail)
    check = crc32c(data[:-4])
    if check != int.from_bytes(data[-4:], "little") or check != entry["index_crc32c"]:
        raise IntegrityError(f"{where}: the index of its chunks differs from its checksum")
    index = np.frombuffer(data[:-4], "<u8").reshape(count, 2)
    present = index[index[:, 0] != _ABSENT]
    if len(present) and int(present.max()) > size:
        raise IntegrityError(f"{where}: the index of its chunks points outside the file")
    return index


def _decode(data: bytes, size: int, nbytes: int, codec: dict[str, Any], where: str) -> npt.NDArray[np.uint8]:
    imagecodecs: Any = import_module("imagecodecs")
    if size < 4 or len(data) != size or crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise IntegrityError(f"{where}: a chunk differs from its checksum")
    out = np.empty(nbytes, np.uint8)
    if codec["name"] == "zstd":
        decoded = imagecodecs.zstd_decode(data[:-4], out=out)
    else:
        if len(data) < 20 or int.from_bytes(data[4:8], "little") != nbytes:
            raise IntegrityError(f"{where}: a chunk has another size than the manifest says")
        decoded = imagecodecs.blosc_decode(data[:-4], numthreads=1, out=out)
    if len(decoded) != nbytes:
        raise IntegrityError(f"{where}: a chunk has another size than the manifest says")
    return out


def region_of(slices: Any, shape: Sequence[int]) -> tuple[slice, ...]:
    """Slices as NumPy takes them (steps of 1; `...` allowed), one for each axis, within the shape."""
    wanted = slices if isinstance(slices, tuple) else (slices,)
    if sum(s is Ellipsis for s in wanted) > 1 or len(wanted) - (Ellipsis in wanted) > len(shape):
        raise ArgumentError(f"slices: at most one for each of the {len(shape)} axes, got {len(wanted)}")
    if Ellipsis in wanted:
        at = wanted.index(Ellipsis)
        wanted = wanted[:at] + (slice(None),) * (len(shape) - len(wanted) + 1) + wanted[at + 1 :]
    wanted += (slice(None),) * (len(shape) - len(wanted))
    region = []
    for s, n in zip(wanted, shape, strict=True):
        if not isinstance(s, slice) or s.step not in (None, 1):
            raise ArgumentError(f"slices: each must be a slice with step 1, got {s!r}")
        start, stop, _ = s.indices(n)
        region.append(slice(start, max(start, stop)))
    return tuple(region)
