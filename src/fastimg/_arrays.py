"""Checks that every public function makes first, and the ways an array is made fit for a native loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from . import _core, _dispatch, config
from .errors import ArgumentError, DeviceError, FastimgError
from .image import Image

__all__ = [
    "all_finite",
    "array_of",
    "choice",
    "empty",
    "finite",
    "in_pieces",
    "like",
    "native",
    "result",
    "team_of",
    "thread_count",
]

_PAGES = 4 << 20  # bytes from which memory comes from kept pages: NumPy asks for huge pages from here on
_PIECE = 1 << 17  # values: a second pass over some arrays of them finds them in the cache


def array_of(image: Any, name: str = "image") -> Any:
    """The array of an Image, or the array itself; lists and scalars are refused."""
    array = image.array if isinstance(image, Image) else image
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise ArgumentError(f"{name}: expected an Image or an array, got {type(image).__name__}")
    _dispatch.device(array)
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"{name}: expected real numbers, got dtype {array.dtype}")
    return array


def native(array: Any) -> Any:
    """C-contiguous and in this machine's byte order; copied only if it is not. Read-only is fine: inputs never change."""
    if array.dtype.byteorder not in "=|" and not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    return _dispatch.namespace(array).ascontiguousarray(array)


def like(image: Any, array: Any, **changes: Any) -> Any:
    """`array` in the form of the input: an Image with its geometry, or bare."""
    return image.with_array(array, **changes) if isinstance(image, Image) else array


def empty(shape: tuple[int, ...], dtype: Any, *beside: Any) -> Any:
    """Uninitialised memory on the device of `beside`, within the configured memory limit."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > config.memory_limit():
        raise FastimgError(
            f"a result of {size / 2**30:.1f} GiB is above the memory limit of {config.memory_limit() / 2**30:.1f} GiB; "
            "raise it with fastimg.config.set_memory_limit or FASTIMG_MEMORY"
        )
    xp = _dispatch.namespace(*beside)
    return _core.empty(np.empty, shape, dtype) if xp is np and size >= _PAGES else xp.empty(shape, dtype)


def result(out: Any, shape: tuple[int, ...], dtype: Any, *inputs: Any) -> Any:
    """The array to write into: `out` after its checks, or new memory beside the inputs."""
    if out is None:
        return empty(shape, dtype, *inputs)
    target = out.array if isinstance(out, Image) else out
    if tuple(target.shape) != tuple(shape) or target.dtype != np.dtype(dtype):
        raise ArgumentError(
            f"out: expected shape {tuple(shape)} and dtype {np.dtype(dtype)}, got {target.shape}, {target.dtype}"
        )
    if _dispatch.device(target) != _dispatch.device(inputs[0]):
        raise DeviceError("out: lives on another device than the input")
    flags = target.flags
    if not flags.c_contiguous or not getattr(flags, "writeable", True):
        raise ArgumentError("out: must be writable and C-contiguous")
    share = _dispatch.namespace(target).may_share_memory
    if any(share(target, array) for array in inputs if array is not None):
        raise ArgumentError("out: overlaps an input; inputs are never written")
    return target


def choice(name: str, value: Any, allowed: Collection[Any]) -> Any:
    """`value` if it is one of `allowed`."""
    if value not in allowed:
        raise ArgumentError(f"{name}: must be one of {', '.join(map(repr, allowed))}; got {value!r}")
    return value


def finite(name: str, value: Any) -> float:
    """`value` as a finite float."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}: must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ArgumentError(f"{name}: must be finite, got {value!r}")
    return number


def all_finite(array: Any, threads: int | None = None) -> bool:
    """Whether an array holds no NaN and no infinity; read once."""
    if array.dtype.kind != "f" or not array.size:
        return True
    if _dispatch.device(array) != "cpu":
        return math.isfinite(float(array.min())) and math.isfinite(float(array.max()))
    if array.dtype not in (np.float32, np.float64) or not array.flags.c_contiguous:
        return bool(np.isfinite(array).all())
    return _core.finite(array.ctypes.data, array.size, array.dtype.itemsize, thread_count(threads))


def thread_count(threads: int | None) -> int:
    """For native loops: 0 stands for the configured number."""
    if threads is None:
        return 0
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise ArgumentError(f"threads: must be a positive whole number or None, got {threads!r}")
    return int(threads)


def team_of(threads: int | None) -> int:
    """How many threads there will be, 1 or more."""
    return thread_count(threads) or config.threads()


def in_pieces(work: Callable[[slice], object], array: Any, threads: int | None = None) -> None:
    """work(piece) for slices of 0 to array.size that do not overlap; side by side, as NumPy's loops can be. On a GPU all at
    once."""
    if _dispatch.device(array) != "cpu":
        work(slice(0, array.size))
        return
    team = team_of(threads)

    def share(first: int) -> None:
        for at in range(first * _PIECE, array.size, team * _PIECE):
            work(slice(at, min(at + _PIECE, array.size)))

    if team == 1 or array.size <= _PIECE:
        team = 1
        share(0)
        return
    with ThreadPoolExecutor(team) as pool:
        list(pool.map(share, range(team)))  # the list raises what a piece raised
