"""Hands libzstd's and liblz4's functions, which imagecodecs carries, to the compiled code."""

from __future__ import annotations

import ctypes
from importlib import import_module
from typing import Any

from . import _native

__all__ = ["native"]

_ZSTD = (
    "createCCtx",
    "createDCtx",
    "freeCCtx",
    "freeDCtx",
    "compressCCtx",
    "decompressDCtx",
    "isError",
    "compressBound",
    "CCtx_setParameter",
    "compress2",
)
_LZ4 = ("LZ4_compress_fast", "LZ4_decompress_safe")
_kept: list[Any] = []  # what the compiled code holds addresses of


def native() -> Any:
    """The compiled module, ready to code chunks."""
    if not _kept:
        try:
            addresses = _linked()
        except (ImportError, OSError, AttributeError):
            addresses = _called()
        _native.use(addresses)
    return _native


def _linked() -> list[int]:
    """A symbol asked of an extension module is looked for in the libraries that the module is linked with, too."""
    zstd = ctypes.CDLL(str(import_module("imagecodecs._zstd").__file__))
    lz4 = ctypes.CDLL(str(import_module("imagecodecs._lz4").__file__))
    functions = [getattr(zstd, f"ZSTD_{name}") for name in _ZSTD] + [getattr(lz4, name) for name in _LZ4]
    _kept.extend(functions)
    return [_address(function) for function in functions]


def _called() -> list[int]:
    """Where the libraries are built into imagecodecs out of reach: its Python functions, slower and under the GIL."""
    codecs: Any = import_module("imagecodecs")
    size_t, void, number = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
    failed = ctypes.c_size_t(-1).value

    def into(out: int, room: int, data: bytes) -> int:
        if len(data) > room:
            return failed
        ctypes.memmove(out, data, len(data))
        return len(data)

    def guarded(work: Any) -> Any:
        def call(*arguments: Any) -> int:
            try:
                return int(work(*arguments))
            except Exception:  # an exception cannot pass through C
                return failed

        return call

    zstd_in = guarded(
        lambda _, out, room, data, n, level: into(out, room, codecs.zstd_encode(ctypes.string_at(data, n), level))
    )
    zstd_out = guarded(
        lambda _, out, room, data, n: into(out, room, codecs.zstd_decode(ctypes.string_at(data, n), out=room))
    )
    lz4_in = guarded(
        lambda data, out, n, room, fast: into(out, room, codecs.lz4_encode(ctypes.string_at(data, n), fast))
    )
    lz4_out = guarded(
        lambda data, out, n, room: into(out, room, codecs.lz4_decode(ctypes.string_at(data, n), out=room))
    )

    def signed(work: Any) -> Any:
        return lambda *arguments: -1 if (done := work(*arguments)) == failed else done

    functions = [
        ctypes.CFUNCTYPE(void)(lambda: 1),
        ctypes.CFUNCTYPE(void)(lambda: 1),
        None,  # nothing to free: a thread that ends late must not call Python
        None,
        ctypes.CFUNCTYPE(size_t, void, void, size_t, void, size_t, number)(zstd_in),
        ctypes.CFUNCTYPE(size_t, void, void, size_t, void, size_t)(zstd_out),
        ctypes.CFUNCTYPE(ctypes.c_uint, size_t)(lambda code: code == failed),
        ctypes.CFUNCTYPE(size_t, size_t)(lambda n: n + n // 128 + 512),
        None,  # parameters of the coder's own
        None,
        ctypes.CFUNCTYPE(number, void, void, number, number, number)(signed(lz4_in)),
        ctypes.CFUNCTYPE(number, void, void, number, number)(signed(lz4_out)),
    ]
    _kept.extend(functions)
    return [_address(function) for function in functions]


def _address(function: Any) -> int:
    return 0 if function is None else int(ctypes.cast(function, ctypes.c_void_p).value or 0)
