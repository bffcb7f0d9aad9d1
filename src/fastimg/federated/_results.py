"""What a computation's value looks like: declared beside its parameters, checked at the hub, described as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, FastimgError

__all__ = ["Shape", "check", "declared", "schema"]

Shape = Mapping[str, str] | str  # a name -> its kinds; or the format's name of a fitted model's record

_KINDS: dict[str, tuple[type, ...]] = {
    "integer": (int, np.integer),
    "number": (int, float, np.integer, np.floating),
    "string": (str,),
    "array": (list, tuple, np.ndarray),
    "object": (Mapping,),
}


def _kinds(text: str) -> tuple[list[str], bool]:
    """("integer" or "array", ...; may be left out or None) of "integer|array?"."""
    return text.removesuffix("?").split("|"), text.endswith("?")


def declared(shape: Shape | None) -> Shape | None:
    """The declaration, if it is one."""
    if isinstance(shape, Mapping):
        for name, text in shape.items():
            if not set(_kinds(text)[0]) <= _KINDS.keys():
                raise ArgumentError(f"computation: result {name!r} must be of {', '.join(_KINDS)}, got {text!r}")
    return shape


def check(name: str, shape: Shape | None, value: Any) -> None:
    """Refuse to hand out a value that is not as its computation declares it."""
    if shape is None:
        return
    if isinstance(shape, str):
        good = hasattr(value, "to_dict") and value.to_dict().get("format") == shape
        if not good:
            raise FastimgError(f"{name}: the value is not a {shape}, which the computation declares")
        return
    if not isinstance(value, Mapping):
        raise FastimgError(f"{name}: the value is no mapping, which the computation declares")
    for key in sorted(value.keys() | shape.keys()):
        kinds, optional = _kinds(shape.get(key, ""))
        found = value.get(key)
        if found is None and optional:
            continue
        if isinstance(found, bool) or not any(isinstance(found, _KINDS.get(kind, ())) for kind in kinds):
            raise FastimgError(f"{name}: {key!r} of the value is not as the computation declares it")


def schema(shape: Shape | None) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the value as `jsonable` writes it: NaN and infinities are null."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    if shape is None:
        return head
    if isinstance(shape, str):
        properties: dict[str, Any] = {"format": {"const": shape}, "version": {"type": "integer", "minimum": 1}}
        return {**head, "type": "object", "properties": properties, "required": ["format", "version"]}
    properties, required = {}, []
    for name, text in shape.items():
        kinds, optional = _kinds(text)
        if not optional:
            required.append(name)
        if optional or "number" in kinds:
            kinds = [*kinds, "null"]
        properties[name] = {"type": kinds if len(kinds) > 1 else kinds[0]}
    return {**head, "type": "object", "properties": properties, "required": required, "additionalProperties": False}
