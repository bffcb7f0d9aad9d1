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
_BLOCK = 256


def map_voxels(
    function: Callable[..., Any], *images: Any, dtype: Any = np.float32, out: Any = None, threads: int | None = None
) -> Any:
    """Apply a function of scalars to every voxel.

    Parameters
    ----------
    function : callable
        Takes one scalar for each image and returns one; written in the part of Python that Numba compiles.
    *images : Image or array
        One to eight of equal shape, on one device.
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
    if not 1 <= len(images) <= 8:
        raise ArgumentError(f"map_voxels: expected 1 to 8 images, got {len(images)}")
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
            kernel = _compiled_cuda(function, len(arrays))
            blocks = -(-target.size // _BLOCK)
            kernel[blocks, _BLOCK](*(array.reshape(-1) for array in (*arrays, target)))
    return like(images[0], target, unit=None) if target is not out else out


@lru_cache(maxsize=128)
def _compiled_cpu(function: Callable[..., Any], types: tuple[str, ...]) -> Any:
    """A C function tile(void** arrays, int64 begin, int64 end), without the GIL."""
    import numba
    from numba import types as nt

    scalar = numba.njit(function, nogil=True, error_model="numpy")
    numba_types = [numba.from_dtype(np.dtype(name)) for name in types]
    # Numba needs the number of arrays and their types while compiling: one small source text, made of our names alone.
    count = len(types) - 1
    reads = ", ".join(f"a{n}[i]" for n in range(count))
    views = "\n".join(f"    a{n} = carray(address_as_pointer(arrays[{n}], t{n}), end)" for n in range(count + 1))
    text = f"def tile(arrays, begin, end):\n{views}\n    for i in range(begin, end):\n        a{count}[i] = scalar({reads})\n"
    scope: dict[str, Any] = {"carray": numba.carray, "scalar": scalar, "address_as_pointer": _address_as_pointer()}
    scope.update({f"t{n}": kind for n, kind in enumerate(numba_types)})
    exec(compile(text, "<fastimg.map_voxels>", "exec"), scope)  # noqa: S102
    try:
        return numba.cfunc(nt.void(nt.CPointer(nt.uintp), nt.int64, nt.int64))(scope["tile"])
    except numba.core.errors.NumbaError as error:
        raise ArgumentError(f"map_voxels: Numba cannot compile the function: {str(error).splitlines()[0]}") from error


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


@lru_cache(maxsize=128)
def _compiled_cuda(function: Callable[..., Any], count: int) -> Any:
    from numba import cuda

    scalar = cuda.jit(function, device=True)
    reads = ", ".join(f"a{n}[i]" for n in range(count))
    names = ", ".join(f"a{n}" for n in range(count + 1))
    text = f"def each({names}):\n    i = cuda.grid(1)\n    if i < a{count}.size:\n        a{count}[i] = scalar({reads})\n"
    scope: dict[str, Any] = {"cuda": cuda, "scalar": scalar}
    exec(compile(text, "<fastimg.map_voxels>", "exec"), scope)  # noqa: S102
    return cuda.jit(scope["each"])
