"""A case as a store for zarr-python, read by our own decoder.

zarr-python's codecs take most of the time of its reads. Here its arrays look unsharded and uncompressed: what it asks for
as a chunk is decoded and checked by the compiled reader, and zarr-python copies it into place. With `decoded=False` the
store hands out the files as they are, whole or in ranges of bytes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype

from ..errors import ArgumentError, IntegrityError
from ._group import GROUP

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype

    from ._case import Case

__all__ = ["CaseStore"]


class CaseStore(Store):
    """See `Case.store`. Read-only; what is missing or damaged is an IntegrityError, never a fill value."""

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, case: Case, *, decoded: bool = True) -> None:
        super().__init__(read_only=True)
        self._case, self._decoded = case, decoded
        self._arrays = {}  # node -> entry
        for entry in case.entries().values():
            node = entry["path"].removeprefix(f"{GROUP}/").rsplit("/", len(entry["shape"]) + 1)[0]
            self._arrays[node] = entry

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, CaseStore)
            and self._decoded == other._decoded
            and (self._case.root, self._case.digest) == (other._case.root, other._case.digest)
        )

    def __hash__(self) -> int:
        return hash((self._decoded, self._case.root, self._case.digest))

    def __repr__(self) -> str:
        return f"<CaseStore of {self._case.case_id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self._case, self._decoded)

    def with_read_only(self, read_only: bool = False) -> CaseStore:
        """Itself; a store that can be written to is an ArgumentError."""
        if not read_only:
            raise ArgumentError("CaseStore: is read-only; Cohort.add writes cases")
        return self

    # reading ----------------------------------------------------------------------------------------------------------

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The value of a key, or a part of it."""
        if self._case.root.remote:
            return await asyncio.to_thread(self._get, key, prototype, byte_range)
        return self._get(key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of several values."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    def _get(self, key: str, prototype: BufferPrototype | None, byte_range: ByteRequest | None) -> Buffer | None:
        data = self._value(key)
        if data is None:
            return None
        if isinstance(byte_range, RangeByteRequest):
            data = data[byte_range.start : byte_range.end]
        elif isinstance(byte_range, OffsetByteRequest):
            data = data[byte_range.offset :]
        elif isinstance(byte_range, SuffixByteRequest):
            data = data[max(0, len(data) - byte_range.suffix) :]
        return (prototype or default_buffer_prototype()).buffer.from_array_like(np.frombuffer(data, np.uint8))

    def _value(self, key: str) -> Any:
        if self._decoded:
            node, _, rest = key.rpartition("/c/")
            if node in self._arrays:
                return self._chunk(self._arrays[node], rest)
        if f"{GROUP}/{key}" not in self._case.manifest["files"]:
            return None
        try:
            data = self._case.root.read(f"{GROUP}/{key}")
        except FileNotFoundError:
            raise IntegrityError(f"case {self._case.case_id}: {key}: missing") from None
        if self._decoded and key.endswith("/zarr.json") and key.removesuffix("/zarr.json") in self._arrays:
            return _unsharded(data)
        return data

    def _chunk(self, entry: dict[str, Any], place: str) -> Any:
        """A decoded chunk, as large at the borders as everywhere."""
        try:
            cell = [int(part) for part in place.split("/")]
        except ValueError:
            return None
        shape, chunks = entry["shape"], entry["chunks"]
        if "/".join(map(str, cell)) != place or len(cell) != len(shape):
            return None
        region = tuple(
            slice(k * c, min(k * c + c, n)) if k >= 0 else slice(0) for k, c, n in zip(cell, chunks, shape, strict=True)
        )
        if any(s.start >= s.stop for s in region if s.start is not None) or min(cell) < 0:
            return None
        part = self._case.part(entry, region, threads=1)
        if list(part.shape) != list(chunks):
            whole = np.zeros(chunks, part.dtype)
            whole[tuple(slice(0, n) for n in part.shape)] = part
            part = whole
        return part.reshape(-1).view(np.uint8).data

    async def exists(self, key: str) -> bool:
        """Whether the store has such a key."""
        return key in self._keys()

    # listing ----------------------------------------------------------------------------------------------------------

    def _keys(self) -> set[str]:
        head = f"{GROUP}/"
        keys = {name.removeprefix(head) for name in self._case.manifest["files"] if name.startswith(head)}
        if self._decoded:
            for node, entry in self._arrays.items():
                keys = {key for key in keys if not key.startswith(f"{node}/c/")}
                grid = (-(-n // c) for n, c in zip(entry["shape"], entry["chunks"], strict=True))
                keys |= {f"{node}/c/{'/'.join(map(str, cell))}" for cell in np.ndindex(*grid)}
        return keys

    async def list(self) -> AsyncIterator[str]:
        """All keys."""
        for key in sorted(self._keys()):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Keys that begin with a prefix."""
        for key in sorted(self._keys()):
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names right below a prefix."""
        head = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in sorted({key[len(head) :].split("/", 1)[0] for key in self._keys() if key.startswith(head)}):
            yield name

    # not writing ------------------------------------------------------------------------------------------------------

    async def set(self, key: str, value: Buffer) -> None:
        """Refused."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refused."""
        self._check_writable()


def _remade(case: Case, decoded: bool) -> CaseStore:
    return CaseStore(case, decoded=decoded)


def _unsharded(data: bytes) -> bytes:
    """Metadata of an array as if its inner chunks were all it has, uncompressed."""
    meta = json.loads(data)
    (sharding,) = meta["codecs"]
    settings = sharding["configuration"]
    meta["chunk_grid"]["configuration"]["chunk_shape"] = settings["chunk_shape"]
    meta["codecs"] = settings["codecs"][:1]  # "bytes": little-endian
    return json.dumps(meta).encode()
