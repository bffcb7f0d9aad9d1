"""A case's Zarr group: OME-Zarr 0.5 image with labels, written into an empty folder.

https://ngff.openmicroscopy.org/0.5/ ; the 4x4 affine, which 0.5 cannot say, stands in the group's attribute "fastimg".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .._arrays import team_of
from ..errors import ArgumentError
from ..image import Image
from . import _shard
from ._files import Unflushed, crc32c, write_new
from ._levels import factors_of, halved, halved_labels, level_affine
from ._stream import BlockDigest, read_digest, write_blocks

__all__ = ["GROUP", "Frame", "GroupWriter", "voxel_digest"]

GROUP = "image.ome.zarr"
_BESIDE = 1 << 20  # bytes from which the digest is worth a thread beside the writing
_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_TIME, _CHANNEL = ("t", "time"), ("c", "channel", "echo", "b", "b_value")


def voxel_digest(array: npt.NDArray[Any]) -> str:
    """SHA-256 of dtype, shape and the voxels in C order, little-endian."""
    digest = hashlib.sha256(f"{array.dtype.name} {' '.join(map(str, array.shape))}\n".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return f"sha256:{digest.hexdigest()}"


class GroupWriter:
    """Writes files below `folder` and keeps their sizes and checksums in `files`; `flush` brings them to the disk."""

    def __init__(self, folder: Path, codec: dict[str, Any]) -> None:
        self.folder, self._codec = folder, codec
        self.unflushed = Unflushed()
        self._folders: list[Path] = []
        self.files: dict[str, dict[str, Any]] = {}

    def file(self, name: str, *parts: Any) -> None:
        """One new file; its folders are made."""
        self.unlisted(name, *parts)
        check = 0
        for part in parts:
            check = crc32c(part, check)
        self.files[name] = {"size": sum(len(part) for part in parts), "crc32c": f"{check:08x}"}

    def unlisted(self, name: str, *parts: Any) -> None:
        """One that `files` does not name."""
        write_new(self._room(name), *parts, unflushed=self.unflushed)

    def _room(self, name: str) -> Path:
        """The path of a file to be, its folders made."""
        path = self.folder / name
        missing = []
        parent = path.parent
        while not parent.is_dir():
            missing.append(parent)
            parent = parent.parent
        for made in reversed(missing):
            made.mkdir()
            self._folders.append(made)
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unflushed.close()

    def flush(self) -> None:
        """Bring all files to the disk, and the entries of all folders made and of the top one."""
        self.unflushed.flush([self.folder, *self._folders])

    def array(self, node: str, array: npt.NDArray[Any], dims: Sequence[str], threads: int | None) -> dict[str, Any]:
        """One array as one shard; returns its entry in the manifest."""
        chunks = _shard.chunk_shape(array.shape)
        shard = self._shard(node, array.shape, array.dtype.name, chunks, dims)
        path = self._room(shard)
        with ExitStack() as stack:
            if team_of(threads) > 1 and array.nbytes >= _BESIDE:
                digest = stack.enter_context(ThreadPoolExecutor(1)).submit(voxel_digest, array).result
            else:
                digest = partial(voxel_digest, array)
            done = _shard.write(path, array, chunks, self._codec, threads=threads, unflushed=self.unflushed)
            return self._entry(shard, array.shape, array.dtype.name, chunks, done, digest())

    def streamed(
        self,
        node: str,
        shape: Sequence[int],
        chunks: Sequence[int],
        dtype: str,
        dims: Sequence[str],
        parts: Iterable[npt.NDArray[Any]],
        memory: int,
    ) -> dict[str, Any]:
        """As `array`, from the `blocks` of an array that is never there as a whole."""
        shard, digest, whole = self._shard(node, shape, dtype, chunks, dims), BlockDigest(shape, dtype), True

        def seen() -> Iterator[npt.NDArray[Any]]:
            nonlocal whole
            for part in parts:
                if part.dtype.name != dtype:
                    raise ArgumentError(f"parts: expected {dtype}, got {part.dtype}")
                whole = whole and part.shape[-2:] == tuple(shape[-2:])  # else blocks are not in C order
                if whole:
                    digest.update(part)
                yield part

        path = self._room(shard)
        done = write_blocks(path, shape, chunks, self._codec, seen(), unflushed=self.unflushed)
        entry = self._entry(shard, shape, dtype, chunks, done, "")
        entry["digest"] = digest.text() if whole else read_digest(path, entry, memory)
        return entry

    def _shard(self, node: str, shape: Sequence[int], dtype: str, chunks: Sequence[int], dims: Sequence[str]) -> str:
        """The array's metadata is written; the name of its one shard."""
        self.file(f"{node}/zarr.json", _json(_shard.array_metadata(shape, dtype, chunks, self._codec, dims)))
        return "/".join([node, "c", *("0" * len(shape))])

    def _entry(
        self,
        shard: str,
        shape: Sequence[int],
        dtype: str,
        chunks: Sequence[int],
        done: tuple[int, int, int, int],
        digest: str,
    ) -> dict[str, Any]:
        size, check, index_check, chunk_check = done
        self.files[shard] = {"size": size, "crc32c": f"{check:08x}"}
        return {
            "path": shard,
            "size": size,
            "shape": list(shape),
            "dtype": dtype,
            "chunks": list(chunks),
            "codec": self._codec,
            "index_crc32c": index_check,
            "chunks_crc32c": chunk_check,
            "digest": digest,
        }

    def image(
        self,
        image: Image,
        array: npt.NDArray[Any],
        masks: Mapping[str, npt.NDArray[Any]],
        threads: int | None,
        levels: int = 1,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The whole group; returns the entries of the image and of the masks."""
        factors = [factors_of(array.shape, image.spacing, level) for level in range(levels)]
        nodes = self.headers(Frame.of(image), list(masks), factors)
        entry = self.array(f"{GROUP}/0", array, image.dims, threads)
        entries = {name: self.array(f"{nodes[name]}/0", mask, image.dims[-3:], threads) for name, mask in masks.items()}
        if levels > 1:
            entry["levels"] = self._coarser(GROUP, array, image.dims, factors, halved, threads)
            for name, mask in masks.items():
                coarser = self._coarser(nodes[name], mask, image.dims[-3:], factors, halved_labels, threads)
                entries[name]["levels"] = coarser
        return entry, entries

    def _coarser(
        self,
        node: str,
        array: npt.NDArray[Any],
        dims: Sequence[str],
        factors: Sequence[tuple[int, int, int]],
        shrink: Callable[[npt.NDArray[Any], Sequence[int]], npt.NDArray[Any]],
        threads: int | None,
    ) -> list[dict[str, Any]]:
        entries = []
        for level in range(1, len(factors)):
            step = [new // old for new, old in zip(factors[level], factors[level - 1], strict=True)]
            array = np.ascontiguousarray(shrink(array, step))
            entries.append({**self.array(f"{node}/{level}", array, dims, threads), "factors": list(factors[level])})
        return entries

    def headers(self, frame: Frame, masks: Sequence[str], factors: Sequence[tuple[int, int, int]]) -> dict[str, str]:
        """Metadata of all groups; returns the group of each mask."""
        own = {"affine": frame.affine.tolist(), "unit": frame.unit, "dims": list(frame.dims)}
        attributes = {**_multiscales("image", frame, frame.dims, factors), "fastimg": own}
        self.file(f"{GROUP}/zarr.json", _json(_group(attributes)))
        nodes = _nodes(masks)
        if nodes:
            labels = {"ome": {"version": "0.5", "labels": list(nodes.values())}}
            self.file(f"{GROUP}/labels/zarr.json", _json(_group(labels)))
        for name, node in nodes.items():
            attributes = _multiscales(name, frame, frame.dims[-3:], factors)
            attributes["ome"]["image-label"] = {"source": {"image": "../../"}}
            self.file(f"{GROUP}/labels/{node}/zarr.json", _json(_group(attributes)))
        return {name: f"{GROUP}/labels/{node}" for name, node in nodes.items()}


@dataclass(frozen=True)
class Frame:
    """What the groups say of an image."""

    affine: npt.NDArray[np.float64]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    unit: str | None
    dims: tuple[str, ...]

    @classmethod
    def of(cls, image: Image) -> Frame:
        """That of an Image."""
        return cls(image.affine, tuple(image.spacing), tuple(image.origin), image.unit, tuple(image.dims))


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, allow_nan=False).encode()


def _group(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def _nodes(names: Iterable[str]) -> dict[str, str]:
    """A folder for each mask: its name where that can be one, else mask-N."""
    nodes: dict[str, str] = {}
    used: set[str] = set()
    for number, name in enumerate(names):
        plain = bool(_SAFE.fullmatch(name)) and not name.startswith("__") and name != "zarr.json"
        node = name if plain and name.casefold() not in used else f"mask-{number}"
        while node.casefold() in used:
            node += "-"
        used.add(node.casefold())
        nodes[name] = node
    return nodes


def _multiscales(
    name: str, frame: Frame, dims: Sequence[str], factors: Sequence[tuple[int, int, int]] = ((1, 1, 1),)
) -> dict[str, Any]:
    """OME-Zarr's metadata; none where its rules (time, then channel or one other, then space) forbid the axes."""
    leading = list(dims[:-3])
    others = [d for d in leading if d not in _TIME]
    if (
        len(leading) - len(others) > 1
        or len(others) > 1
        or (leading and others and leading[0] in others and len(leading) > 1)
    ):
        return {}
    axes: list[dict[str, str]] = []
    for dim in leading:
        axes.append({"name": dim, "type": "time" if dim in _TIME else "channel" if dim in _CHANNEL else dim})
    axes += [{"name": dim, "type": "space", "unit": "millimeter"} for dim in dims[-3:]]
    datasets = []
    for level, own in enumerate(factors):
        steps = [s * f for s, f in zip(frame.spacing, own, strict=True)]
        place = (level_affine(frame.affine, own)[:3, 3]) if level else np.asarray(frame.origin)
        scale = {"type": "scale", "scale": [*([1.0] * len(leading)), *steps]}
        shift = {"type": "translation", "translation": [*([0.0] * len(leading)), *place[::-1].tolist()]}
        datasets.append({"path": str(level), "coordinateTransformations": [scale, shift]})
    return {"ome": {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": datasets}]}}
