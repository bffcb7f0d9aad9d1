"""Features of a case: one small file beside its manifest, replaced as a whole; and the table over all cases."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa

from ..errors import ArgumentError
from ._manifest import FEATURES, pack, unpack
from ._root import Root

__all__ = ["features_table", "pack_features", "read_features"]

NAME = "features.json"
ROWS = 256
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # what JSON has no numbers for


def pack_features(features: Mapping[str, Mapping[str, Any]], digest: str | None) -> bytes:
    """The file's bytes. It names the voxels that it belongs to, so that features of replaced voxels do not count."""
    body: dict[str, dict[str, Any]] = {}
    for mask, values in features.items():
        if not isinstance(mask, str) or not hasattr(values, "items"):
            raise ArgumentError("features: must be {mask name: {feature name: number}}")
        body[mask] = {str(name): _number(value, f"features[{mask!r}][{name!r}]") for name, value in values.items()}
    return pack(FEATURES, {"digest": digest, "features": body})


def _number(value: Any, name: str) -> float | int | str:
    try:
        number = value.item() if hasattr(value, "item") else value
        if isinstance(number, (int, float)):
            return number if math.isfinite(number) else str(float(number))
    except (TypeError, ValueError):
        pass
    raise ArgumentError(f"{name}: must be a number, got {type(value).__name__}")


def read_features(root: Root, digest: str | None) -> dict[str, dict[str, float]]:
    """{mask: {feature: value}}; empty when there are none, or they belong to other voxels."""
    try:
        data = root.read(NAME)
    except FileNotFoundError:
        return {}
    body = unpack(FEATURES, data, f"features of case {root.name}")
    if body["digest"] != digest:
        return {}
    return {
        mask: {name: _WORDS[value] if isinstance(value, str) else value for name, value in values.items()}
        for mask, values in body["features"].items()
    }


def features_table(rows: Iterable[tuple[str, str, Mapping[str, float]]]) -> pa.Table:
    """(case_id, mask, {feature: value}) rows as a table; a feature that a row lacks is null."""
    parts = [_part(some) for some in _some(rows)] or [_part([])]
    return pa.concat_tables(parts, promote_options="default").combine_chunks()


def _some(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """A number in Python takes four times the memory of one in a table: few rows at a time."""
    source = iter(rows)
    while some := list(islice(source, ROWS)):
        yield some


def _part(rows: list[tuple[str, str, Mapping[str, float]]]) -> pa.Table:
    columns: dict[str, list[float | None]] = {}
    for count, (_, _, values) in enumerate(rows):
        for name, value in values.items():
            column = columns.setdefault(name, [])
            column.extend([None] * (count - len(column)))
            column.append(float(value))
    for column in columns.values():
        column.extend([None] * (len(rows) - len(column)))
    arrays = [pa.array([row[place] for row in rows], pa.string()) for place in (0, 1)]
    arrays += [pa.array(column, pa.float64()) for column in columns.values()]
    return pa.Table.from_arrays(arrays, names=["case_id", "mask", *columns])
