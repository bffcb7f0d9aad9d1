"""CUDA side of the histogram tools: the same functions as `_cpu`. Counts come back to the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _gpu

KEYS = 1 << 16
_BLOCK = 128
_BLOCKS = 264  # two for each multiprocessor of an H100
_IN_SHARED = 12288  # bins of 4 bytes in 48 KiB


def _grid(length: int) -> int:
    return max(1, min(_BLOCKS, -(-length // (_BLOCK * 16))))


def _mask_of(values: Any, mask: Any) -> tuple[Any, Any]:
    """(something to point at, whether it is a mask)."""
    return (values if mask is None else mask), np.int32(mask is not None)


def _count(entry: str, values: Any, mask: Any, size: int, *parameters: Any) -> Any:
    device = _gpu.backend()
    counts = device.xp.zeros(size, np.uint64)
    if values.size:
        shared = size <= _IN_SHARED
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
            np.int32(size),
            np.int32(shared),
            shared=4 * size if shared else 0,
        )
    return device.to_host(counts).astype(np.int64)


def direct(values: Any, mask: Any, origin: int, size: int, *, threads: int) -> Any:
    """int64 counts of whole numbers; index = value - origin. A narrow range is counted in shared memory."""
    if size > _IN_SHARED and values.size:
        low, high = int(values.min()), int(values.max())
        if high - low < _IN_SHARED:
            counts = np.zeros(size, np.int64)
            part = _count("direct", values, mask, high - low + 1, np.int64(low))
            counts[low - origin : high - origin + 1] = part
            return counts
    return _count("direct", values, mask, size, np.int64(origin))


def fixed(values: Any, mask: Any, low: float, high: float, scale: float, bins: int, *, threads: int) -> Any:
    """int64 counts of below, bins, above, not finite."""
    return _count("fixed", values, mask, bins + 3, np.float64(low), np.float64(high), np.float64(scale), np.int32(bins))


def power(values: Any, mask: Any, inverse: float, base: float, bins: int, *, threads: int) -> Any:
    """int64 counts of floor(value * inverse) - base; the last one counts what is not finite."""
    return _count("power", values, mask, bins + 1, np.float64(inverse), np.float64(base), np.int32(bins))


def keys(values: Any, mask: Any, *, threads: int) -> Any:
    """int64 counts of the top 16 bits of a float's ordered key."""
    return _count("keys", values.view(np.dtype(f"u{values.dtype.itemsize}")), mask, KEYS)


def collect(values: Any, mask: Any, wanted: Any, room: int) -> Any:
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


def moments(values: Any, mask: Any, *, threads: int) -> tuple[int, int, float, float, float, float]:
    """count, skipped, mean, sum of squared deviations, min, max of the finite values; two passes."""
    xp = _gpu.backend().xp
    blocks = _grid(values.size)
    part = xp.zeros((5, blocks * _BLOCK), np.float64)
    where = _mask_of(values, mask)
    name, length = values.dtype.name, np.int64(values.size)
    _gpu.launch("histogram", f"sums_{name}", (blocks,), (_BLOCK,), values, *where, length, *(row for row in part))
    count, skipped = int(part[0].sum()), int(part[1].sum())
    if not count:
        return 0, skipped, 0.0, 0.0, 0.0, 0.0
    mean = float(part[2].sum()) / count
    square = xp.zeros(blocks * _BLOCK, np.float64)
    _gpu.launch("histogram", f"squares_{name}", (blocks,), (_BLOCK,), values, *where, length, np.float64(mean), square)
    return count, skipped, mean, float(square.sum()), float(part[3].min()), float(part[4].max())
