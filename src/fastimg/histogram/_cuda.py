"""CUDA side of the histogram tools: the same functions as `_cpu`. Counts come back to the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _gpu

_BLOCK = 512  # kThreads of kernels/histogram.cu
_PROCESSORS = 132  # of an H100
_BINS = (48 << 10) // 4 - 1  # counted in a block's shared memory, beside one place for what lies elsewhere
_DIGIT, _RANKS = 12, 128  # as in kernels/histogram.cu
_HELD = 11 << 10  # counts of digits in a block's shared memory, beside the prefixes
_PARTS = 6


def _grid(values: Any) -> int:
    """As many blocks as run at once (kBlocks of kernels/histogram.cu), fewer where a block would read too little."""
    resident = _PROCESSORS * (3 if values.dtype.itemsize == 4 else 2)
    return max(1, min(resident, -(-values.size // (_BLOCK * 16))))


def _mask_of(values: Any, mask: Any) -> tuple[Any, Any]:
    """(something to point at, whether it is a mask)."""
    return (values if mask is None else mask), np.int32(mask is not None)


def count(entry: str, values: Any, mask: Any, size: int, *parameters: Any, first: int = 0) -> Any:
    """uint64 counts on the device; the bins from `first` on, as many as fit, are counted in shared memory."""
    device = _gpu.backend()
    counts = device.xp.zeros(size, np.uint64)
    if values.size:
        shared = min(size - first, _BINS)
        _gpu.launch(
            "histogram",
            f"{entry}_{values.dtype.name}",
            (_grid(values),),
            (_BLOCK,),
            values,
            *_mask_of(values, mask),
            np.int64(values.size),
            *parameters,
            counts,
            np.int32(first),
            np.int32(shared),
            shared=4 * (shared + 1),
        )
    return counts


def _count(*arguments: Any, first: int = 0) -> Any:
    return _gpu.backend().to_host(count(*arguments, first=first)).astype(np.int64)


def direct(values: Any, mask: Any, origin: int, size: int, *, threads: int) -> Any:
    """int64 counts of whole numbers; index = value - origin."""
    first = _busiest(values, mask, origin, size) if size > _BINS and values.size else 0
    return _count("direct", values, mask, size, np.int64(origin), first=first)


def _sample(values: Any, mask: Any, number: int) -> Any:
    """Some values inside the mask, on the host."""
    to_host, step = _gpu.backend().to_host, max(1, values.size // number)
    some = to_host(values[::step])
    return some if mask is None else some[to_host(mask[::step]) != 0]


def _busiest(values: Any, mask: Any, origin: int, size: int) -> int:
    """Where the window of `_BINS` bins begins that holds most of a sample."""
    bins = np.sort(_sample(values, mask, 4096).astype(np.int64)) - origin
    if not len(bins):
        return 0
    starts = np.clip(bins - 64, 0, size - _BINS)
    held = np.searchsorted(bins, starts + _BINS) - np.searchsorted(bins, starts)
    return int(starts[np.argmax(held)])


def fixed(values: Any, mask: Any, low: float, high: float, scale: float, bins: int, *, threads: int) -> Any:
    """int64 counts of below, bins, above, not finite."""
    return _count("fixed", values, mask, bins + 3, np.float64(low), np.float64(high), np.float64(scale), np.int32(bins))


def power(values: Any, mask: Any, inverse: float, base: float, bins: int, *, threads: int) -> Any:
    """int64 counts of floor(value * inverse) - base; the last one counts what is not finite."""
    return _count("power", values, mask, bins + 1, np.float64(inverse), np.float64(base), np.int32(bins))


def order_statistics(values: Any, mask: Any, q: Any, *, threads: int) -> tuple[int, int, Any, Any]:
    """(finite values, others, the order statistics below and above q (n - 1)); one wait, for the result.

    The keys' digits are counted, one a reading; a kernel looks the ranks up between them, 64 quantiles at a time.
    """
    if len(q) > _RANKS // 2:
        parts = [order_statistics(values, mask, q[n : n + _RANKS // 2], threads=threads) for n in range(0, len(q), 64)]
        total, skipped = parts[0][:2]
        return total, skipped, np.concatenate([p[2] for p in parts]), np.concatenate([p[3] for p in parts])
    device = _gpu.backend()
    xp, width = device.xp, 8 * values.dtype.itemsize
    word = np.dtype(f"u{width // 8}")
    if not values.size or not len(q):
        return 0, 0, np.zeros(0), np.zeros(0)
    ranks = 2 * len(q)
    first_low, first_high = (0x008, 0xFF8) if width == 32 else (0x001, 0xFFF)  # digits of what is finite
    widths = (12, 10, 10) if width == 32 else (12, 11, 11, 10, 10, 10)
    counts = xp.zeros((len(widths), ranks, 1 << _DIGIT), np.uint64)
    found = xp.zeros(ranks + 2, np.int64)  # the keys, then both totals
    rank, wanted = xp.zeros(ranks, np.int64), device.to_device(q)
    before = xp.zeros(ranks, word)
    flat = values.view(word)
    for level, bits in enumerate(widths):
        shift, first = np.int32(width - sum(widths[: level + 1])), np.int32(level == 0)
        held = 1 << _DIGIT if level == 0 else _HELD
        after = xp.zeros(ranks, word)
        _gpu.launch(
            *("histogram", f"digits_{word.name}", (_grid(values),), (_BLOCK,), flat, *_mask_of(flat, mask)),
            *(np.int64(values.size), shift, np.int32(bits), first, before, np.int32(ranks), counts[level]),
            np.int32(held),
            shared=4 * held,
        )
        _gpu.launch(
            *("histogram", f"place_{word.name}", (ranks,), (min(_BLOCK, 256),), counts[level], np.int32(bits), first),
            *(np.int32(first_low), np.int32(first_high), wanted, np.int32(len(q)), found[ranks:], before, after, rank),
        )
        before = after
    found[:ranks] = before.view(np.int64) if width == 64 else before
    seen = device.to_host(found)
    total, skipped = int(seen[ranks]), int(seen[ranks + 1])
    if not total:
        return 0, skipped, np.zeros(0), np.zeros(0)
    keys = seen[:ranks].astype(word)
    top = word.type(1 << (width - 1))
    bits_of = np.where(keys & top, keys ^ top, ~keys)  # the inverse of kernels/fastimg/histogram.cuh: ordered
    at = bits_of.astype(word).view(values.dtype).astype(np.float64).reshape(2, -1)
    return total, skipped, at[0], at[1]


def moments(values: Any, mask: Any, *, threads: int) -> tuple[int, int, float, float, float, float]:
    """count, skipped, mean, sum of squared deviations, min, max of the finite values; one reading, about a sample's mean."""
    device = _gpu.backend()
    if not values.size:
        return 0, 0, 0.0, 0.0, 0.0, 0.0
    sample = _sample(values, mask, 1024).astype(np.float64)
    sample = sample[np.isfinite(sample)]
    shift = float(sample.mean()) if len(sample) else 0.0
    shift = shift if np.isfinite(shift) else 0.0
    if values.dtype.kind in "iu":
        shift = float(round(shift))  # deviations of 8 and 16 bits are whole
    blocks = _grid(values)
    part = device.xp.zeros((blocks, _PARTS), np.float64)
    where = _mask_of(values, mask)
    length = np.int64(values.size)
    entry = f"sums_{values.dtype.name}"
    _gpu.launch("histogram", entry, (blocks,), (_BLOCK,), values, *where, length, np.float64(shift), part)
    seen = device.to_host(part)
    count, skipped = int(seen[:, 0].sum()), int(seen[:, 1].sum())
    if not count:
        return 0, skipped, 0.0, 0.0, 0.0, 0.0
    apart = float(seen[:, 2].sum()) / count
    m2 = max(0.0, float(seen[:, 3].sum()) - count * apart * apart)
    return count, skipped, shift + apart, m2, float(seen[:, 4].min()), float(seen[:, 5].max())
