"""A case about to be stored: what was given is checked, brought into form, and written by a GroupWriter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import __version__, _dispatch
from ..errors import ArgumentError, DeviceError, GeometryError
from ..findings import Finding, worst
from ..image import Image
from . import _features, _shard
from ._group import GroupWriter
from ._manifest import check_case_id, plain
from ._schema import SERIES

__all__ = ["body_of", "now", "writing"]


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def body_of(
    case_id: str,
    source: str | None,
    found: Iterable[Finding],
    metadata: Mapping[str, Any] | None,
    provenance: Mapping[str, Any] | None,
    series: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    """The body of a manifest, still without voxels and files."""
    check_case_id(case_id)
    if source is not None and not isinstance(source, str):
        raise ArgumentError(f"source: must be text, got {type(source).__name__}")
    records = [f.to_dict() for f in found]
    body = {
        "case_id": case_id,
        "state": worst(Finding.from_dict(r) for r in records),
        "source": source,
        "digest": None,
        "committed": now(),
        "fastimg": __version__,
        "metadata": plain(metadata or {}, "metadata"),
        "findings": plain(records, "findings"),
        "provenance": plain(provenance or {}, "provenance"),
        "image": None,
        "padding": None,
        "masks": {},
        "files": {},
    }
    made_of = [plain(one, "series") for one in series]
    for one in made_of:
        if type(one) is not dict or one.keys() != SERIES.keys() or any(type(one[k]) not in SERIES[k] for k in SERIES):
            raise ArgumentError(f"series: each must have {', '.join(SERIES)} as text, image may be None")
    if made_of:
        body["series"] = made_of
    return body


def writing(
    body: dict[str, Any],
    image: Image,
    masks: Mapping[str, Any],
    features: Mapping[str, Mapping[str, Any]] | None,
    levels: int,
    threads: int | None,
) -> Callable[[GroupWriter], None]:
    """What writes the voxels and notes them in the body; all arguments are checked before."""
    if not isinstance(image, Image):
        raise ArgumentError(f"add: image must be an Image, got {type(image).__name__}")
    if not 1 <= levels <= 12:
        raise ArgumentError(f"levels: must be from 1 to 12, got {levels!r}")
    array = _storable(image.array, "image")
    extra = {name: _mask(name, mask, image) for name, mask in masks.items()}
    own = {
        "unit": image.unit,
        "affine": image.affine.tolist(),
        "dims": list(image.dims),
        "coords": plain(image.coords, "image.coords"),
        "metadata": plain(image.metadata, "image.metadata"),
    }
    padding = None if image.padding is None else _storable(np.asarray(image.padding, np.bool_), "image.padding")

    def write(writer: GroupWriter) -> None:
        entry, entries = writer.image(image, array, extra, threads, levels)
        body["image"], body["masks"], body["digest"] = {**entry, **own}, entries, entry["digest"]
        if padding is not None:
            body["padding"] = writer.array("image.ome.zarr/padding", padding, image.dims[-3:], threads)
        if features is not None:
            writer.unlisted(_features.NAME, _features.pack_features(features, entry["digest"]))

    return write


def _storable(array: Any, name: str) -> npt.NDArray[Any]:
    """C-contiguous, native, of a type that Zarr has."""
    if _dispatch.device(array) != "cpu":
        raise DeviceError(f"{name}: is on a GPU; bring it to host memory with Image.to_device('cpu')")
    if array.dtype.name not in _shard.DTYPES:
        raise ArgumentError(f"{name}: dtype must be one of {', '.join(_shard.DTYPES)}; got {array.dtype}")
    if not array.size:
        raise ArgumentError(f"{name}: has no voxels, shape {tuple(array.shape)}")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _mask(name: str, mask: Any, image: Image) -> npt.NDArray[Any]:
    if not isinstance(name, str) or not 0 < len(name) <= 256:
        raise ArgumentError("masks: names must be text of 1 to 256 characters")
    array = mask.array if isinstance(mask, Image) else np.asarray(mask)
    if array.dtype.kind not in "biu":
        raise ArgumentError(f"masks[{name!r}]: must be bool or whole numbers, got {array.dtype}")
    if tuple(array.shape) != image.shape[-3:] or (isinstance(mask, Image) and not image.same_grid(mask)):
        raise GeometryError(
            f"masks[{name!r}]: must lie on the image's grid {image.shape[-3:]}; resample it with order='nearest'"
        )
    array = _storable(array, f"masks[{name!r}]")
    return array.view(np.uint8) if array.dtype == np.bool_ else array
