"""Optional packages, and arrays fit to leave."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from ..errors import ArgumentError, DeviceError, MissingError
from ..image import Image

__all__ = ["host_array", "package"]


def package(name: str, install: str = "'fastimg[interop]'") -> Any:
    """The module, or a MissingError with the command that installs it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingError(f"{name} is not installed: pip install {install}") from error


def host_array(image: Any, function: str) -> np.ndarray[Any, Any]:
    """The voxels of an Image in host memory, in this machine's byte order."""
    if not isinstance(image, Image):
        raise ArgumentError(f"{function}: expected an Image, got {type(image).__name__}")
    if image.device != "cpu":
        raise DeviceError(f"{function}: the voxels are on the GPU; call image.to_device('cpu') first")
    array = np.asarray(image.array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
