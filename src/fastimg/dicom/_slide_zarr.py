"""A slide as a read-only zarr store (version 3): chunks are tiles, decoded when they are asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from ..errors import RefusedError

__all__ = ["SlideStore"]


class SlideStore(Store):
    """Keys "zarr.json", "0/zarr.json", "0/c/ROW/COLUMN/0" ...; nothing is kept, nothing can be written."""

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, slide: Any) -> None:
        super().__init__(read_only=True)
        self._slide = slide

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlideStore) and other._slide is self._slide

    def __hash__(self) -> int:
        return id(self._slide)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """The bytes of a document or of a chunk; None where there is none."""
        data = self._document(key) if key.endswith("zarr.json") else self._chunk(key)
        if data is None:
            return None
        if isinstance(byte_range, RangeByteRequest):
            data = data[byte_range.start : byte_range.end]
        elif isinstance(byte_range, OffsetByteRequest):
            data = data[byte_range.offset :]
        elif isinstance(byte_range, SuffixByteRequest):
            data = data[max(0, len(data) - byte_range.suffix) :]
        return prototype.buffer.from_bytes(data)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        """Several of them."""
        return [await self.get(key, prototype, span) for key, span in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether there is such a document or chunk."""
        if key.endswith("zarr.json"):
            return self._document(key) is not None
        place = self._place(key)
        return place is not None and self._has(*place)

    def _document(self, key: str) -> bytes | None:
        levels = self._slide.levels
        if key == "zarr.json":
            return json.dumps(_group(levels)).encode()
        number, _, rest = key.partition("/")
        if rest != "zarr.json" or not number.isdigit() or int(number) >= len(levels):
            return None
        return json.dumps(_array(levels[int(number)])).encode()

    def _place(self, key: str) -> tuple[Any, tuple[int, ...]] | None:
        """Level and chunk's coordinates of a key."""
        parts = key.split("/")
        if len(parts) < 3 or parts[1] != "c" or not all(part.isdigit() for part in (parts[0], *parts[2:])):
            return None
        if int(parts[0]) >= len(self._slide.levels):
            return None
        level = self._slide.levels[int(parts[0])]
        at = tuple(int(part) for part in parts[2:])
        counts = [-(-n // c) for n, c in zip(level.shape, level.chunks, strict=True)]
        return (level, at) if len(at) == level.ndim and all(a < c for a, c in zip(at, counts, strict=True)) else None

    def _has(self, level: Any, at: tuple[int, ...]) -> bool:
        named = dict(zip(level.dims, at, strict=True))
        return bool(
            len(level._loose)
            or level.has_tile(named["y"], named["x"], path=named.get("path", 0), plane=named.get("plane", 0))
        )

    def _chunk(self, key: str) -> bytes | None:
        place = self._place(key)
        if place is None or not self._has(*place):
            return None  # zarr fills it
        level, at = place
        region = tuple(slice(a * c, (a + 1) * c) for a, c in zip(at, level.chunks, strict=True))
        pixels = level[region]
        if pixels.shape != level.chunks:  # zarr's chunks at the edge are whole
            whole = np.full(level.chunks, level.fill, level.dtype)
            whole[tuple(slice(0, n) for n in pixels.shape)] = pixels
            pixels = whole
        return np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()

    async def list(self) -> AsyncIterator[str]:
        """All keys."""
        yield "zarr.json"
        for number, level in enumerate(self._slide.levels):
            yield f"{number}/zarr.json"
            for at in np.ndindex(*(-(-n // c) for n, c in zip(level.shape, level.chunks, strict=True))):
                if self._has(level, at):
                    yield f"{number}/c/{'/'.join(map(str, at))}"

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Keys that begin so."""
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names below a key."""
        start = prefix.rstrip("/") + "/" if prefix else ""
        if not start:
            for name in ("zarr.json", *map(str, range(len(self._slide.levels)))):
                yield name
            return
        seen: set[str] = set()
        async for key in self.list_prefix(start):
            name = key[len(start) :].split("/")[0]
            if name not in seen:
                seen.add(name)
                yield name

    async def set(self, key: str, value: Any) -> None:
        """Refused."""
        raise RefusedError("SlideStore: a slide is read-only")

    async def delete(self, key: str) -> None:
        """Refused."""
        raise RefusedError("SlideStore: a slide is read-only")


def _array(level: Any) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(level.shape),
        "data_type": level.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(level.chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}} if level.dtype.itemsize > 1 else {"name": "bytes"}
        ],
        "fill_value": int(level.fill),
        "dimension_names": list(level.dims),
        "attributes": {},
    }


def _group(levels: Any) -> dict[str, Any]:
    kinds = {"y": "space", "x": "space", "channel": "channel", "path": "channel", "plane": "space"}
    dims = levels[0].dims
    axes = [
        {"name": name, "type": kinds[name], **({"unit": "millimeter"} if name in ("y", "x") else {})} for name in dims
    ]
    sets = []
    for number, level in enumerate(levels):
        scale = [dict(zip(("y", "x"), level.spacing, strict=True)).get(name, 1.0) for name in level.dims]
        sets.append({"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": sets}]}
    return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
