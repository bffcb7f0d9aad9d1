"""Fixed point and masks, fused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .. import _dispatch
from .._arrays import array_of, choice, finite, native, result, thread_count
from ..errors import ArgumentError

__all__ = ["PRGS", "ROUNDINGS", "Prg", "Rounding", "apply", "mask", "scale_of", "unmask", "upload", "whole"]

Prg = Literal["aes128-ctr", "chacha20"]
PRGS: tuple[Prg, ...] = ("aes128-ctr", "chacha20")
Rounding = Literal["nearest", "stochastic"]
ROUNDINGS: tuple[Rounding, ...] = ("nearest", "stochastic")
_LENGTHS = {"aes128-ctr": (16, 32), "chacha20": (32,)}
_TOGETHER = 64  # seeds whose prepared streams (4 kB each) stay in the second-level cache
_LONGEST = {"aes128-ctr": 1 << 36, "chacha20": 1 << 38}  # bytes of keystream that a counter of 32 bits reaches


def mask(
    vector: Any,
    seeds: Sequence[bytes],
    signs: Sequence[int],
    *,
    bits: int | None = None,
    clip: float | None = None,
    out: Any = None,
    prg: Prg = "aes128-ctr",
    offset: int = 0,
    dither: bytes | None = None,
    threads: int | None = None,
) -> Any:
    """Quantise a vector and add all masks, in one pass.

    Parameters
    ----------
    vector : array
        float32 or float64, quantised to whole steps; or uint32, uint64, taken as they are. Any shape.
    seeds : sequence of bytes
        One a mask: 16 bytes (AES key, nonce 0) or 32 (key, nonce of 12 bytes, 4 unused) for "aes128-ctr"; 32 for
        "chacha20" (key, nonce 0).
    signs : sequence of int
        +1 or -1 a seed: the mask is added or subtracted.
    bits : int
        Floats only: bits of a quantised value with its sign, 2 to 52 (to 32 in a uint32 result).
    clip : float
        Floats only: values are clipped to [-clip, clip]; one step is clip / (2**(bits-1) - 1).
    out : array, optional
        uint32 or uint64, shape of the vector, not overlapping it. Default: uint32 for float32 of at most 32 bits and for
        uint32, else uint64.
    prg : {"aes128-ctr", "chacha20"}
        On a GPU "chacha20".
    offset : int
        Words of the keystream before the vector's first one: parts of a long vector can be masked apart.
    dither : bytes, optional
        Floats only: a secret seed like those of `seeds`, and none of them. Values are then rounded up or down at random, without
        bias (to 2**-32 of a step); default: to the nearest, halves to even. Either way the error of a sum of n values
        is bounded: n / 2 steps nearest, n steps stochastic.
    threads : int, optional
        Default: `config.threads()`. The result does not depend on it.

    Returns
    -------
    array of uint32 or uint64
        round_half_even(clip(x) / step) + sum of sign * mask, modulo 2**32 or 2**64. A mask is the keystream of its seed
        (NIST SP 800-38A with a 32-bit counter from 0; RFC 8439 with counter from 0) as little-endian words.

    Raises
    ------
    ArgumentError
        NaN or infinite values (`out` is then erased), seeds of a wrong length, bits or clip out of range.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> seed = bytes(range(32))
    >>> a = fi.secagg.mask(np.array([1.5], np.float32), [seed], [1], bits=9, clip=255.0)
    >>> b = fi.secagg.mask(np.array([-4.0], np.float32), [seed], [-1], bits=9, clip=255.0)
    >>> int((a + b).view(np.int32)[0])  # in steps of 1: 2 - 4
    -2
    """
    options: dict[str, Any] = {"prg": prg, "offset": offset, "dither": dither, "threads": threads}
    target, _ = apply(vector, seeds, signs, bits=bits, clip=clip, out=out, **options)
    return target


def apply(
    vector: Any,
    seeds: Sequence[bytes],
    signs: Sequence[int],
    *,
    bits: int | None,
    clip: float | None,
    out: Any,
    prg: Prg,
    offset: int = 0,
    dither: bytes | None = None,
    threads: int | None,
) -> tuple[Any, int]:
    """As `mask`; also the number of clipped values."""
    array = native(array_of(vector, "vector"))
    _check_seeds(seeds, signs, prg)
    if dither is not None:
        _check_seeds([dither], [1], prg)
        if dither in seeds:
            raise ArgumentError("dither: must not be one of the seeds")
    if array.dtype in (np.float32, np.float64):
        if bits is None or clip is None:
            raise ArgumentError("mask: a vector of floats needs bits= and clip=")
        scale, limit = scale_of(bits, clip)
        word = np.dtype(np.uint32 if array.dtype == np.float32 and bits <= 32 else np.uint64)
        if out is not None and getattr(out, "dtype", None) == np.uint32 and bits > 32:
            raise ArgumentError(f"out: values of {bits} bits do not fit uint32")
        fixed = (scale, limit, float(clip))
    elif array.dtype in (np.uint32, np.uint64):
        if bits is not None or clip is not None or dither is not None:
            raise ArgumentError("mask: bits and clip are for vectors of floats; whole numbers are taken as they are")
        word, fixed = array.dtype, (0.0, 0.0, 0.0)
    else:
        raise ArgumentError(f"vector: dtype must be float32, float64, uint32 or uint64, got {array.dtype}")
    if out is not None and getattr(out, "dtype", None) in _others(array.dtype):
        word = out.dtype
    whole("offset", offset, 0, 1 << 62)
    if (offset + array.size) * word.itemsize > _LONGEST[prg]:
        raise ArgumentError(f"mask: {prg} reaches {_LONGEST[prg]} bytes of keystream; this vector ends beyond them")
    target = result(out, array.shape, word, array)
    leaf = _dispatch.pick(array, leaf="secagg")
    options: dict[str, Any] = {"prg": prg, "offset": int(offset), "fixed": fixed, "dither": dither}
    options["threads"] = thread_count(threads)
    clipped, bad = leaf.mask(array, target, seeds, signs, **options)
    if bad:
        target[...] = 0
        raise ArgumentError(f"vector: {bad} values are NaN or infinite")
    return target, clipped


def upload(
    values: Any,
    seeds: Sequence[bytes],
    signs: Sequence[int],
    *,
    prg: Prg,
    bits: int,
    fixed: tuple[float, float, float],
    dither: bytes | None,
    threads: int | None,
    head: bytes = b"",
    tail: int = 0,
) -> tuple[bytes, int]:
    """As `apply` with words packed to `bits` bits in the same pass, for checked values: (bytes, number of clipped).

    Before the words stands `head`, after them `tail` bytes of 0.
    """
    from . import _cpu, _native

    _check_seeds(seeds, signs, prg)
    word = 4 if bits <= 32 and values.dtype != np.uint64 else 8
    if values.size * word > _LONGEST[prg]:
        raise ArgumentError(f"mask: {prg} reaches {_LONGEST[prg]} bytes of keystream; this vector ends beyond them")
    stream = _native.MaskStream(list(seeds), [sign < 0 for sign in signs], _cpu._PRG[prg], False)
    packed, clipped, bad = stream.packed(values, bits, word, *fixed, thread_count(threads), dither, head, tail)
    if bad:
        raise ArgumentError(f"vector: {bad} values are NaN or infinite")
    return packed, clipped


def unmask(words: Any, seeds: Sequence[bytes], signs: Sequence[int], *, prg: Prg, threads: int | None = None) -> None:
    """Subtract sum of signs * masks from a contiguous NumPy vector of words, in place."""
    from . import _cpu, _native

    _check_seeds(seeds, signs, prg)
    for at in range(0, len(seeds), _TOGETHER):
        part = slice(at, at + _TOGETHER)
        stream = _native.MaskStream(list(seeds[part]), [sign > 0 for sign in signs[part]], _cpu._PRG[prg], False)
        stream.apply(None, words, 0, 0.0, 0.0, 0.0, thread_count(threads))


def scale_of(bits: int, clip: float) -> tuple[float, float]:
    """(steps a unit, largest step): limit = 2**(bits-1) - 1, scale = limit / clip."""
    whole("bits", bits, 2, 52)
    if finite("clip", clip) <= 0:
        raise ArgumentError(f"clip: must be above 0, got {clip!r}")
    limit = float((1 << (int(bits) - 1)) - 1)
    scale = limit / float(clip)
    if not np.isfinite(scale) or scale == 0:
        raise ArgumentError(f"clip: {clip!r} with {bits} bits has no finite step")
    return scale, limit


def whole(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int within [low, high]."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ArgumentError(f"{name}: must be a whole number from {low} to {high}, got {value!r}")
    return int(value)


def _others(dtype: Any) -> tuple[Any, ...]:
    return (np.uint64,) if dtype == np.uint64 else (np.uint32, np.uint64)


def _check_seeds(seeds: Sequence[bytes], signs: Sequence[int], prg: str) -> None:
    choice("prg", prg, PRGS)
    if len(seeds) != len(signs):
        raise ArgumentError(f"signs: one a seed; got {len(signs)} signs for {len(seeds)} seeds")
    for seed in seeds:  # a seed's value never enters a message
        if not isinstance(seed, bytes) or len(seed) not in _LENGTHS[prg]:
            raise ArgumentError(f"seeds: {prg} takes bytes of length {' or '.join(map(str, _LENGTHS[prg]))}")
    if any(sign not in (1, -1) for sign in signs):
        raise ArgumentError("signs: must be +1 or -1")
