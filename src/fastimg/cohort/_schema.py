"""What the manifest of a case must hold, whoever wrote it: checked each time that one is read."""

from __future__ import annotations

from typing import Any

from ..errors import IntegrityError
from ._shard import DTYPES

__all__ = ["SERIES", "check_manifest"]

_TEXT, _MAYBE = (str, type(None)), (dict, type(None))
_BODY: dict[str, tuple[type, ...]] = {
    "case_id": (str,),
    "state": (str,),
    "source": _TEXT,
    "digest": _TEXT,
    "committed": (str,),
    "metadata": (dict,),
    "findings": (list,),
    "provenance": (dict,),
    "image": _MAYBE,
    "padding": _MAYBE,
    "masks": (dict,),
    "files": (dict,),
}
_ARRAY: dict[str, tuple[type, ...]] = {
    "path": (str,),
    "size": (int,),
    "shape": (list,),
    "dtype": (str,),
    "chunks": (list,),
    "codec": (dict,),
    "index_crc32c": (int,),
    "digest": (str,),
}
_IMAGE: dict[str, tuple[type, ...]] = {
    "unit": _TEXT,
    "affine": (list,),
    "dims": (list,),
    "coords": (dict,),
    "metadata": (dict,),
}
SERIES: dict[str, tuple[type, ...]] = {"series": (str,), "modality": (str,), "kind": (str,), "image": _TEXT}
_STATES = ("ok", "warned", "quarantined", "failed")


def check_manifest(body: dict[str, Any]) -> None:
    """IntegrityError that names what is missing, of another type, or points out of the case's folder."""
    _fields(body, _BODY, "")
    if body["state"] not in _STATES:
        raise _wrong("state")
    files = body["files"]
    for name, entry in files.items():
        if type(entry) is not dict or type(entry.get("size")) is not int or type(entry.get("crc32c")) is not str:
            raise _wrong(f"files.{name}")
        if name[:1] in ("", "/") or ".." in name.split("/"):
            raise _wrong(f"files.{name}")
    for record in body["findings"]:
        if type(record) is not dict or type(record.get("code")) is not str or type(record.get("message")) is not str:
            raise _wrong("findings")
    series = body.get("series", [])  # manifests of before have none
    if type(series) is not list or any(type(one) is not dict for one in series):
        raise _wrong("series")
    for one in series:
        _fields(one, SERIES, "series.")
    image = body["image"]
    if image is not None:
        _array(image, files, "image")
        _fields(image, _IMAGE, "image.")
        if len(image["dims"]) != len(image["shape"]):
            raise _wrong("image.dims")
        if [len(row) if type(row) is list else 0 for row in image["affine"]] != [4, 4, 4, 4]:
            raise _wrong("image.affine")
    if body["padding"] is not None:
        _array(body["padding"], files, "padding")
    for name, entry in body["masks"].items():
        _array(entry, files, f"masks.{name}")


def _array(entry: Any, files: dict[str, Any], where: str) -> None:
    if type(entry) is not dict:
        raise _wrong(where)
    _fields(entry, _ARRAY, f"{where}.")
    if type(entry.get("chunks_crc32c", 0)) is not int:  # manifests of before have none
        raise _wrong(f"{where}.chunks_crc32c")
    if entry["dtype"] not in DTYPES:
        raise _wrong(f"{where}.dtype")
    shape, chunks = entry["shape"], entry["chunks"]
    if len(shape) != len(chunks) or len(shape) < 3 or any(type(n) is not int or n < 1 for n in (*shape, *chunks)):
        raise _wrong(f"{where}.shape")
    if files.get(entry["path"], {}).get("size") != entry["size"]:
        raise _wrong(f"{where}.path")
    levels = entry.get("levels", [])
    if type(levels) is not list:
        raise _wrong(f"{where}.levels")
    for number, level in enumerate(levels, 1):
        _array(level, files, f"{where}.levels.{number}")
        if type(level.get("factors")) is not list or len(level["factors"]) != 3:
            raise _wrong(f"{where}.levels.{number}.factors")


def _fields(values: dict[str, Any], wanted: dict[str, tuple[type, ...]], where: str) -> None:
    for name, kinds in wanted.items():
        if name not in values or type(values[name]) not in kinds:
            raise _wrong(where + name)


def _wrong(what: str) -> IntegrityError:
    return IntegrityError(f"its manifest does not fit its schema: {what} is missing or is not what belongs there")
