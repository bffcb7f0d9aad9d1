"""One volume as one Zarr v3 shard: inner chunks near 32^3, each compressed and checked by CRC-32C, an index at the end.

https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import empty, thread_count
from ..errors import ArgumentError, FormatError, IntegrityError
from ._codecs import native
from ._files import Unflushed, crc32c, new_file

__all__ = [
    "DTYPES",
    "ChunkChecks",
    "PROFILES",
    "array_metadata",
    "chunk_shape",
    "chunks_of",
    "coding",
    "index_of",
    "open_shard",
    "read",
    "region_of",
    "write",
]

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
_ON_CPU = np.empty(0)
_ABSENT = np.iinfo(np.uint64).max


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


def write(
    path: Path,
    array: npt.NDArray[Any],
    chunks: Sequence[int],
    codec: dict[str, Any],
    *,
    threads: int | None = None,
    unflushed: Unflushed | None = None,
) -> tuple[int, int, int, int]:
    """Write a contiguous array to a new file and flush it to the disk, or leave that for later.

    Returns the file's size, its CRC-32C, that of its index and that of its chunks' own CRCs. The bytes do not depend on the threads; beside the array
    about 16 MB are held.
    """
    coder, level, shuffle = coding(codec)
    with new_file(path, unflushed) as fd:
        return native().write(fd, array, list(chunks), coder, level, shuffle, thread_count(threads))


def open_shard(path: Path, entry: dict[str, Any]) -> Any:
    """The file of a manifest's entry, with its index read and checked."""
    coder, _, shuffle = coding(entry["codec"])
    size = np.dtype(entry["dtype"]).itemsize
    shape, chunks = entry["shape"], entry["chunks"]
    return native().Shard(str(path), shape, chunks, coder, shuffle, size, entry["size"], entry["index_crc32c"])


def index_of(
    entry: dict[str, Any], ranges: Callable[[list[int], list[int]], Sequence[Any]]
) -> tuple[npt.NDArray[np.uint64], bytes]:
    """Offset and size of each chunk of a shard, and the bytes of its index, which stand at its end, by a read of those
    alone; `open_shard` checks them."""
    grid = [-(-n // c) for n, c in zip(entry["shape"], entry["chunks"], strict=True)]
    length = 16 * math.prod(grid) + 4
    if length > entry["size"]:
        raise IntegrityError("the index of its chunks is cut short")
    (tail,) = ranges([entry["size"] - length], [entry["size"]])
    if len(tail) != length:
        raise IntegrityError("the index of its chunks is cut short")
    return np.frombuffer(tail, "<u8", 2 * math.prod(grid)).reshape(*grid, 2), bytes(tail)


class ChunkChecks:
    """The chunks' own CRCs, picked from all bytes of a shard as they pass by. `ranges` as for `index_of`."""

    def __init__(self, entry: dict[str, Any], ranges: Callable[[list[int], list[int]], Sequence[Any]]) -> None:
        places, _ = index_of(entry, ranges)
        places = places.reshape(-1, 2)
        ends = places[places[:, 0] != _ABSENT].sum(1).astype(np.int64)
        wanted = (ends[:, None] + np.arange(-4, 0)).reshape(-1)
        self._order = np.argsort(wanted, kind="stable")
        self._where, self._found, self._at = wanted[self._order], np.zeros(wanted.size, np.uint8), 0

    def see(self, block: bytes) -> None:
        """The next bytes of the file."""
        some = slice(*np.searchsorted(self._where, [self._at, self._at + len(block)]))
        self._found[self._order[some]] = np.frombuffer(block, np.uint8)[self._where[some] - self._at]
        self._at += len(block)

    def crc(self) -> int:
        """That over all of them in the order of the chunks, as the manifest has it."""
        return crc32c(self._found)


def chunks_of(
    entry: dict[str, Any], start: Sequence[int], stop: Sequence[int], places: npt.NDArray[np.uint64]
) -> list[tuple[int, int]]:
    """Where the chunks that a region touches begin and end in the shard."""
    cells = tuple(slice(a // c, -(-b // c)) for a, b, c in zip(start, stop, entry["chunks"], strict=True))
    found = places[cells].reshape(-1, 2)
    return [(int(a), int(a + n)) for a, n in found if a != _ABSENT]


def read(
    shard: Any, entry: dict[str, Any], region: Sequence[slice], *, out: Any = None, threads: int | None = None
) -> npt.NDArray[Any]:
    """The voxels of a region, in `out` where it is given. A missing chunk or a byte that differs is an IntegrityError, never
    a fill value.
    """
    shape, dtype = tuple(s.stop - s.start for s in region), np.dtype(entry["dtype"])
    if out is None:
        out = empty(shape, dtype, _ON_CPU)
    elif out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous or not out.flags.writeable:
        raise ArgumentError(f"out: must be a contiguous, writable {dtype} array of shape {shape}")
    if out.size:
        shard.read([s.start for s in region], [s.stop for s in region], out, thread_count(threads))
    return out


def coding(codec: dict[str, Any]) -> tuple[str, int, bool]:
    """What the compiled code calls it."""
    if codec["name"] == "zstd":
        return "zstd", codec["level"], False
    if (
        codec["name"] == "blosc"
        and codec["cname"] in ("zstd", "lz4")
        and codec["shuffle"] in ("noshuffle", "bitshuffle")
    ):
        return f"blosc-{codec['cname']}", codec["clevel"], codec["shuffle"] == "bitshuffle"
    raise FormatError(f"a volume is stored with a codec that this fastimg does not read: {codec}")


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
