"""Exact order statistics of floats in little more than one reading of memory.

A sample says between which two values each wanted rank lies, almost surely (Floyd & Rivest, CACM 18:165, 1975). One
reading of memory counts what lies below those borders and keeps what lies between them, a percent or so, of which the
same is asked again. Values that occur very often (air, padding) get borders of their own, so they are counted, not kept.
Where a rank is not between its borders, or too much is, keys are counted instead: the result is the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _cpu

__all__ = ["order_statistics"]

_FEW = 1 << 15  # so many values are partitioned at once
_MANY = 6
_SAMPLE = 1 << 17
_SPREADS = 4.0  # standard deviations of a sample's rank, on either side

Ranks = npt.NDArray[np.int64]


def order_statistics(values: Any, inside: Any, q: Any, *, threads: int) -> tuple[int, int, Any, Any]:
    """(finite values, others, the order statistics below and above q (n - 1)).

    `values` is flat float32 or float64. Without a finite value: zeros and empty arrays. Many ranks of many values are
    found by keys, since a comparison with each border costs more than counting.
    """

    def ranks(total: int) -> Ranks:
        lower = np.floor(q * (total - 1)).astype(np.int64)
        return np.stack([lower, np.minimum(lower + 1, total - 1)])

    found = None
    if len(q) <= _MANY or values.size <= _FEW:
        found = _found(values, inside, q, ranks, threads)
    total, skipped, at = found or _by_keys(values, inside, ranks, threads)
    if not total:
        return 0, skipped, np.zeros(0), np.zeros(0)
    return total, skipped, at[0], at[1]


def _by_keys(values: Any, inside: Any, ranks: Any, threads: int) -> tuple[int, int, npt.NDArray[np.float64]]:
    """The same from counts of the keys' top 16 bits, whatever the distribution."""
    counts = _cpu.keys(values, inside, threads=threads)
    # The bins of NaN and infinity lie at both ends; infinity has a bin of its own up to its NaN neighbours.
    first, last = (0x0080, 0xFF80) if values.dtype.itemsize == 4 else (0x0010, 0xFFF0)
    skipped = int(counts[:first].sum() + counts[last:].sum())
    counts[:first] = 0
    counts[last:] = 0
    total = int(counts.sum())
    if not total:
        return 0, skipped, np.zeros((2, 0))
    wanted = ranks(total)
    ends = np.cumsum(counts)
    place = np.searchsorted(ends, wanted, side="right")
    chosen = np.zeros(len(counts), np.uint8)
    chosen[place] = 1
    bins = np.flatnonzero(chosen)
    kept = np.cumsum(counts[bins])
    some = _cpu.collect(values, inside, chosen, int(kept[-1]), threads=threads)
    # Rank among all values -> rank among the collected ones: what lies in bins that were not wanted is left out.
    missing = (ends[bins] - kept)[np.searchsorted(bins, place)]
    order = np.sort(some)  # with vectors, which a partition about many ranks is not
    return total, skipped, order[wanted - missing].astype(np.float64)


def _found(
    values: Any, inside: Any, q: Any, ranks: Any, threads: int
) -> tuple[int, int, npt.NDArray[np.float64]] | None:
    if values.size <= _FEW:
        return _of_few(values, inside, ranks)
    sample = _sampled(values, inside)
    if len(sample) < 1024:
        return None
    pieces = _pieces(sample, q)
    kept = [piece for piece in pieces if not piece[2]]
    only = [piece for piece in pieces if piece[2]]
    finite = np.finfo(values.dtype)
    borders = [border for low, high, _ in kept for border in (low, high)]
    toggles = len(borders)
    borders += [border for low, high, _ in only for border in (low, high)] + [finite.min, np.inf]
    room = min(values.size, max(1 << 16, values.size // 4))
    some, reached = _cpu.between(values, inside, np.array(borders, values.dtype), toggles, room, threads=threads)
    if some is None:
        return None
    infinite = int(reached[-1])
    total = int(reached[-2]) - infinite
    size = values.size if inside is None else int(np.count_nonzero(inside))
    skipped = size - total
    if not total:
        return 0, skipped, np.zeros((2, 0))
    wanted = ranks(total)
    below = total - (reached - infinite)  # how many finite values lie below each border
    out = np.full(wanted.shape, np.nan)
    local = np.zeros(wanted.shape, np.int64)
    before = 0
    for k, (low, _, _) in enumerate([*kept, *only]):
        first, last = int(below[2 * k]), int(below[2 * k + 1])
        here = (wanted >= first) & (wanted < last)
        if k < len(kept):
            local[here] = wanted[here] - first + before
            before += last - first
            out[here] = 0.0
        else:
            out[here] = low
            local[here] = -1
    if np.isnan(out).any():
        return None  # a rank that the sample placed elsewhere
    asked = local >= 0
    if asked.any():
        places = local[asked]
        if 2 * len(some) > values.size:  # many ranks in few values: it would not get less
            again: Any = _of_few(some, None, lambda _: places)
        else:
            again = _found(some, None, places / max(1, len(some) - 1), lambda _: places, threads)
        if again is None:
            return None
        out[asked] = again[2]
    return total, skipped, out


def _of_few(values: Any, inside: Any, ranks: Any) -> tuple[int, int, npt.NDArray[np.float64]]:
    chosen = values if inside is None else values[inside != 0]
    some = chosen[np.isfinite(chosen)]
    skipped = len(chosen) - len(some)
    if not len(some):
        return 0, skipped, np.zeros((2, 0))
    wanted = ranks(len(some))
    at = np.partition(some, np.unique(wanted))[wanted]
    return len(some), skipped, np.asarray(at, np.float64)


def _sampled(values: Any, inside: Any) -> Any:
    """Sorted finite values from one place in each stratum."""
    strata = min(_SAMPLE, values.size // 32)
    step = values.size / strata
    jitter = (np.arange(strata, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    at = ((np.arange(strata) + jitter / 2.0**24) * step).astype(np.int64)
    at = np.minimum(at, values.size - 1)
    sample = values[at]
    if inside is not None:
        sample = sample[inside[at] != 0]
    return np.sort(sample[np.isfinite(sample)])


def _pieces(sample: Any, q: Any) -> list[tuple[Any, Any, bool]]:
    """Disjoint increasing [low, high) that should hold the wanted ranks; True: a single value, to be counted only."""
    size, kind = len(sample), sample.dtype.type
    center = q * (size - 1)
    margin = np.ceil(_SPREADS * np.sqrt(size * q * (1 - q))) + 8
    first = np.floor(center - margin).astype(np.int64)
    last = np.ceil(center + margin).astype(np.int64)
    spans: list[list[int]] = []
    for begin, end in sorted(zip(first.tolist(), last.tolist(), strict=True)):
        if spans and begin <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([begin, end])
    above = kind(np.inf)
    pieces: list[tuple[Any, Any, bool]] = []
    for begin, end in spans:
        low = sample[begin] if begin > 0 else np.finfo(kind).min
        high = np.nextafter(sample[end], above) if end < size - 1 else above
        low = max(low, pieces[-1][1]) if pieces else low
        part, number = np.unique(sample[max(begin, 0) : end + 1], return_counts=True)
        for value in part[number > max(16, size // 128)]:
            if low < value:
                pieces.append((low, value, False))
            low = np.nextafter(value, above)
            pieces.append((value, low, True))
        if low < high:
            pieces.append((low, high, np.nextafter(low, above) == high))
    return pieces
