"""CUDA side of the histogram tools: the same functions as `_cpu`. Counts come back to the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _gpu

KEYS = 1 << 16
_BLOCK = 256
_BLOCKS = 528  # four for each multiprocessor of an H100, eight of them of 256 threads fill one
_SHARED = 48 << 10  # bytes of tables a block: four blocks fit the 227 KiB of a multiprocessor
_BINS = _SHARED // 4
_TILE = 2048
_PARTS = 6


def _grid(length: int, each: int = _BLOCK * 16) -> int:
    return max(1, min(_BLOCKS, -(-length // each)))


def _mask_of(values: Any, mask: Any) -> tuple[Any, Any]:
    """(something to point at, whether it is a mask)."""
    return (values if mask is None else mask), np.int32(mask is not None)


def count(entry: str, values: Any, mask: Any, size: int, *parameters: Any, first: int = 0) -> Any:
    """uint64 counts on the device; the bins from `first` on, as many as fit, are counted in shared memory."""
    device = _gpu.backend()
    counts = device.xp.zeros(size, np.uint64)
    if values.size:
        shared = min(size - first, _BINS)
        copies = 1
        while copies < 32 and 2 * copies * shared <= _BINS:
            copies *= 2
        _gpu.launch(
            "histogram",
            f"{entry}_{values.dtype.name}",
            (_grid(values.size),),
            (_BLOCK,),
            values,
            *_mask_of(values, mask),
            np.int64(values.size),
            *parameters,
            counts,
            np.int32(first),
            np.int32(shared),
            np.int32(copies),
            shared=4 * shared * copies,
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


def keys(values: Any, mask: Any, *, threads: int) -> Any:
    """int64 counts of the top 16 bits of a float's ordered key."""
    return _count("keys", values.view(np.dtype(f"u{values.dtype.itemsize}")), mask, KEYS)


def collect(values: Any, mask: Any, wanted: Any, room: int, *, threads: int) -> Any:
    """Values whose key's top 16 bits are marked in `wanted`."""
    device = _gpu.backend()
    width = 8 * values.dtype.itemsize
    bits = values.view(np.dtype(f"u{values.dtype.itemsize}"))
    top = (bits >> bits.dtype.type(width - 16)).astype(np.int32)
    key = device.xp.where(top >= 0x8000, 0xFFFF - top, top + 0x8000)
    chosen = device.to_device(wanted)[key] != 0
    if mask is not None:
        chosen &= mask != 0
    return values[chosen]


def between(values: Any, mask: Any, borders: Any, toggles: int, room: int, *, threads: int) -> tuple[Any, Any]:
    """Values at or above an odd number of the first `toggles` borders, and how many reach each border: see `_cpu`."""
    device = _gpu.backend()
    xp = device.xp
    edges, inverse = np.unique(borders, return_inverse=True)
    # A segment is wanted that lies above an odd number of toggling borders; segment k begins at edges[k - 1].
    flips = np.bincount(inverse[:toggles], minlength=len(edges))
    wanted = np.concatenate([[0], np.cumsum(flips) % 2]).astype(np.uint8)
    counts, found = xp.zeros(len(edges) + 1, np.uint64), xp.zeros(1, np.uint64)
    out = xp.empty(room, values.dtype)
    _gpu.launch(
        "histogram",
        f"between_{values.dtype.name}",
        (_grid(values.size, _TILE),),
        (_BLOCK,),
        values,
        *_mask_of(values, mask),
        np.int64(values.size),
        device.to_device(edges),
        np.int32(len(edges)),
        device.to_device(wanted),
        counts,
        out,
        found,
        np.uint64(room),
    )
    segments = device.to_host(counts).astype(np.int64)
    reached = segments[::-1].cumsum()[::-1][1:][inverse]
    kept = int(segments[wanted != 0].sum())
    return (None if kept > room else out[:kept]), reached


def moments(values: Any, mask: Any, *, threads: int) -> tuple[int, int, float, float, float, float]:
    """count, skipped, mean, sum of squared deviations, min, max of the finite values; one reading, about a sample's mean."""
    device = _gpu.backend()
    if not values.size:
        return 0, 0, 0.0, 0.0, 0.0, 0.0
    sample = _sample(values, mask, 1024).astype(np.float64)
    sample = sample[np.isfinite(sample)]
    shift = float(sample.mean()) if len(sample) else 0.0
    shift = shift if np.isfinite(shift) else 0.0
    blocks = _grid(values.size)
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
