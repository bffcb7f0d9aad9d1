"""The only place that knows NumPy from CuPy.

A leaf has two modules with equal functions, `_cpu` and `_cuda`; `pick` imports the one where the arrays live. Array-level
mathematics uses the namespace that `namespace` hands out. Nothing is moved from one device to another but by `move`.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from .errors import ArgumentError, DeviceError

__all__ = ["device", "move", "namespace", "pick"]

# A type's device is looked up once; later calls cost one dictionary access.
_DEVICES: dict[type, str] = {np.ndarray: "cpu"}


def device(array: Any) -> str:
    """ "cpu" or "cuda": where an array lives."""
    kind = type(array)
    known = _DEVICES.get(kind)
    if known is None:
        if hasattr(kind, "__cuda_array_interface__"):
            known = "cuda"
        elif hasattr(array, "__array_interface__"):
            known = "cpu"
        else:
            raise ArgumentError(f"expected a NumPy or CuPy array, got {kind.__module__}.{kind.__qualname__}")
        _DEVICES[kind] = known
    return known


def _common(arrays: tuple[Any, ...]) -> str:
    where = device(arrays[0])
    for array in arrays[1:]:
        if array is not None and device(array) != where:
            raise DeviceError("arrays live on different devices: move one with Image.to_device('cpu' or 'cuda')")
    return where


def pick(*arrays: Any, leaf: str) -> ModuleType:
    """The module of `leaf` ("harmonize", ...) for the device of the arrays; the first one may not be None."""
    return import_module(f"fastimg.{leaf}._{_common(arrays)}")


def namespace(*arrays: Any) -> Any:
    """numpy or cupy, for the device of the arrays."""
    if _common(arrays) == "cpu":
        return np
    from . import _gpu

    return _gpu.backend().xp


def move(array: Any, where: str) -> Any:
    """A copy of the array on "cpu" or "cuda", or the array itself if it is there."""
    if device(array) == where:
        return array
    from . import _gpu

    return _gpu.backend().to_host(array) if where == "cpu" else _gpu.backend().to_device(array)
