"""A kernel on one and on two threads in turn: `make bench BENCH="-k 'threads and not growth'"` on two idle cores."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastimg as fi

__all__ = ["LIMIT", "on_threads"]

LIMIT = "machine: two threads, copy"


def on_threads(benchmark, case, group, work, nbytes, items):
    """work(threads=) gives the result; its error is how far it is from one thread's, whose bits are promised."""
    benchmark.group = group
    one = numbers(work(threads=1)).copy()
    seen = numbers(work(threads=2))
    error = 0.0 if np.array_equal(seen, one) else np.abs(seen.astype(np.float64) - one).max()
    beside = ("fastimg, 1 thread", lambda: work(threads=1))
    case(lambda: work(threads=2), nbytes=nbytes, items=items, unit="voxel", limit=LIMIT, error=error, beside=beside)


def numbers(result: Any) -> Any:
    """What can be compared of an array, an image, a pair of them, a histogram, moments, or a learnt scale."""
    if isinstance(result, tuple):
        result = result[0]
    if isinstance(result, fi.Histogram):
        result = result.counts
    elif isinstance(result, fi.harmonize.Nyul):
        result = result.standard
    elif isinstance(result, fi.histogram.Moments):
        result = [result.mean, result.m2]
    elif isinstance(result, fi.Image):
        result = result.array
    return np.asarray(result)
