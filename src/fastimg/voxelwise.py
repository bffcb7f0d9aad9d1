"""A user's own Python function of voxels, compiled by Numba and run in tiles on our threads, or on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from . import _core, _dispatch
from ._arrays import array_of, like, native, result, thread_count
from .errors import ArgumentError

__all__ = ["map_voxels"]

_GRAIN = 1 << 15


def map_voxels(
    function: Callable[..., Any], *images: Any, dtype: Any = np.float32, out: Any = None, threads: int | None = None
) -> Any:
    """Apply a function of scalars to every voxel.

    Parameters
    ----------
    function : callable
        Takes one scalar for each image and returns one; written in the part of Python that Numba compiles.
    *images : Image or array
        One to four of equal shape, on one device.
    dtype : dtype, optional
        Of the result.
    out : Image or array, optional
        Where to write; must not overlap an input.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array
        In the form of the first input.

    Raises
    ------
    ArgumentError
        No image, different shapes, or a function that Numba cannot compile (its reason is in the message).

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> fi.map_voxels(lambda fat, water: fat / (fat + water), np.float32([1, 0]), np.float32([3, 2]))
    array([0.25, 0.  ], dtype=float32)
    """
    if not 1 <= len(images) <= 4:
        raise ArgumentError(f"map_voxels: expected 1 to 4 images, got {len(images)}")
    arrays = [native(array_of(image, f"image {n}")) for n, image in enumerate(images)]
    if any(array.shape != arrays[0].shape for array in arrays):
        raise ArgumentError(f"map_voxels: shapes differ: {', '.join(str(array.shape) for array in arrays)}")
    where = _dispatch.device(arrays[0])
    _dispatch.namespace(*arrays)
    target = result(out, arrays[0].shape, dtype, *arrays)
    types = tuple(array.dtype.name for array in (*arrays, target))
    if target.size:
        if where == "cpu":
            addresses = [array.ctypes.data for array in (*arrays, target)]
            tile = _compiled_cpu(function, types)
            _core.run_tiles(tile.address, addresses, target.size, _GRAIN, thread_count(threads))
        else:
            from . import _voxelwise_cuda

            try:
                _voxelwise_cuda.run(function, *(array.reshape(-1) for array in (*arrays, target)))
            except Exception as error:  # Numba's compiler for CUDA is a package of its own, with errors of its own
                if type(error).__module__.partition(".")[0] not in ("numba", "numba_cuda"):
                    raise
                raise ArgumentError(f"map_voxels: Numba cannot compile the function: {_reason(error)}") from error
    return like(images[0], target, unit=None) if target is not out else out


@lru_cache(maxsize=128)
def _compiled_cpu(function: Callable[..., Any], types: tuple[str, ...]) -> Any:
    """A C function tile(void** arrays, int64 begin, int64 end), without the GIL."""
    import numba
    from numba import types as nt

    scalar = numba.njit(function, nogil=True, error_model="numpy")
    kinds = tuple(numba.from_dtype(np.dtype(name)) for name in types)
    tile = _TILES[len(types) - 2](scalar, numba.carray, _address_as_pointer(), *kinds)
    try:
        return numba.cfunc(nt.void(nt.CPointer(nt.uintp), nt.int64, nt.int64))(tile)
    except numba.core.errors.NumbaError as error:
        raise ArgumentError(f"map_voxels: Numba cannot compile the function: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The telling line of Numba's long message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines[1:] if not line.startswith("File ")), lines[0])[:200]


# Numba types a tile while it compiles, so the number of arrays stands in the text: one plain function for each.


def _tile1(f: Any, view: Any, at: Any, ta: Any, to: Any) -> Any:
    def tile(arrays: Any, begin: int, end: int) -> None:
        a, o = view(at(arrays[0], ta), end), view(at(arrays[1], to), end)
        for i in range(begin, end):
            o[i] = f(a[i])

    return tile


def _tile2(f: Any, view: Any, at: Any, ta: Any, tb: Any, to: Any) -> Any:
    def tile(arrays: Any, begin: int, end: int) -> None:
        a, b, o = view(at(arrays[0], ta), end), view(at(arrays[1], tb), end), view(at(arrays[2], to), end)
        for i in range(begin, end):
            o[i] = f(a[i], b[i])

    return tile


def _tile3(f: Any, view: Any, at: Any, ta: Any, tb: Any, tc: Any, to: Any) -> Any:
    def tile(arrays: Any, begin: int, end: int) -> None:
        a, b, c = view(at(arrays[0], ta), end), view(at(arrays[1], tb), end), view(at(arrays[2], tc), end)
        o = view(at(arrays[3], to), end)
        for i in range(begin, end):
            o[i] = f(a[i], b[i], c[i])

    return tile


def _tile4(f: Any, view: Any, at: Any, ta: Any, tb: Any, tc: Any, td: Any, to: Any) -> Any:
    def tile(arrays: Any, begin: int, end: int) -> None:
        a, b, c = view(at(arrays[0], ta), end), view(at(arrays[1], tb), end), view(at(arrays[2], tc), end)
        d, o = view(at(arrays[3], td), end), view(at(arrays[4], to), end)
        for i in range(begin, end):
            o[i] = f(a[i], b[i], c[i], d[i])

    return tile


_TILES: tuple[Callable[..., Any], ...] = (_tile1, _tile2, _tile3, _tile4)


@lru_cache(maxsize=1)
def _address_as_pointer() -> Any:
    """An intrinsic: an integer address as a typed pointer."""
    from numba import types as nt
    from numba.extending import intrinsic

    @intrinsic
    def address_as_pointer(typing_context: Any, address: Any, kind: Any) -> Any:
        signature = nt.CPointer(kind.dtype)(address, kind)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return signature, generate

    return address_as_pointer
