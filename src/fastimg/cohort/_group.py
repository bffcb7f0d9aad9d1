"""A case's Zarr group: OME-Zarr 0.5 image with labels, written into an empty folder and flushed to the disk.

https://ngff.openmicroscopy.org/0.5/ ; the 4x4 affine, which 0.5 cannot say, stands in the group's attribute "fastimg".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..image import Image
from . import _shard
from ._files import crc32c, sync_folder, write_new

__all__ = ["GROUP", "GroupWriter", "voxel_digest"]

GROUP = "image.ome.zarr"
_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_TIME, _CHANNEL = ("t", "time"), ("c", "channel", "echo", "b", "b_value")


def voxel_digest(array: npt.NDArray[Any]) -> str:
    """SHA-256 of dtype, shape and the voxels in C order, little-endian."""
    digest = hashlib.sha256(f"{array.dtype.name} {' '.join(map(str, array.shape))}\n".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return f"sha256:{digest.hexdigest()}"


class GroupWriter:
    """Writes files below `folder` and keeps their sizes and checksums in `files`."""

    def __init__(self, folder: Path, codec: dict[str, Any]) -> None:
        self.folder, self._codec = folder, codec
        self._folders: list[Path] = []
        self.files: dict[str, dict[str, Any]] = {}

    def file(self, name: str, *parts: Any) -> None:
        """One new file; its folders are made."""
        write_new(self._room(name), *parts)
        check = 0
        for part in parts:
            check = crc32c(part, check)
        self.files[name] = {"size": sum(len(part) for part in parts), "crc32c": f"{check:08x}"}

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

    def sync(self) -> None:
        """Flush the entries of all folders made, and of the top one."""
        for made in reversed(self._folders):
            sync_folder(made)
        sync_folder(self.folder)

    def array(self, node: str, array: npt.NDArray[Any], dims: Sequence[str], threads: int | None) -> dict[str, Any]:
        """One array as one shard; returns its entry in the manifest."""
        chunks = _shard.chunk_shape(array.shape)
        meta = _shard.array_metadata(array.shape, array.dtype.name, chunks, self._codec, dims)
        self.file(f"{node}/zarr.json", _json(meta))
        shard = "/".join([node, "c", *("0" * array.ndim)])
        with ThreadPoolExecutor(1) as beside:  # the digest takes another core where there is one
            digest = beside.submit(voxel_digest, array)
            size, check, index_check = _shard.write(self._room(shard), array, chunks, self._codec, threads=threads)
        self.files[shard] = {"size": size, "crc32c": f"{check:08x}"}
        return {
            "path": shard,
            "size": size,
            "shape": list(array.shape),
            "dtype": array.dtype.name,
            "chunks": list(chunks),
            "codec": self._codec,
            "index_crc32c": index_check,
            "digest": digest.result(),
        }

    def image(
        self, image: Image, array: npt.NDArray[Any], masks: Mapping[str, npt.NDArray[Any]], threads: int | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The whole group; returns the entries of the image and of the masks."""
        own = {"affine": image.affine.tolist(), "unit": image.unit, "dims": list(image.dims)}
        attributes = {**_multiscales("image", image, image.dims), "fastimg": own}
        self.file(f"{GROUP}/zarr.json", _json(_group(attributes)))
        entry = self.array(f"{GROUP}/0", array, image.dims, threads)
        entries: dict[str, Any] = {}
        if masks:
            nodes = _nodes(masks)
            self.file(
                f"{GROUP}/labels/zarr.json", _json(_group({"ome": {"version": "0.5", "labels": list(nodes.values())}}))
            )
            for name, mask in masks.items():
                node = f"{GROUP}/labels/{nodes[name]}"
                attributes = _multiscales(name, image, image.dims[-3:])
                attributes["ome"]["image-label"] = {"source": {"image": "../../"}}
                self.file(f"{node}/zarr.json", _json(_group(attributes)))
                entries[name] = self.array(f"{node}/0", mask, image.dims[-3:], threads)
        return entry, entries


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, allow_nan=False).encode()


def _group(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def _nodes(names: Mapping[str, Any]) -> dict[str, str]:
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


def _multiscales(name: str, image: Image, dims: Sequence[str]) -> dict[str, Any]:
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
    steps = [1.0] * len(leading)
    scale = {"type": "scale", "scale": [*steps, *image.spacing]}
    shift = {"type": "translation", "translation": [*(0.0 for _ in leading), *image.origin[::-1]]}
    datasets = [{"path": "0", "coordinateTransformations": [scale, shift]}]
    return {"ome": {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": datasets}]}}
