"""The sparse graph of SecAgg+: a Harary graph over a random order, its degree and threshold by hypergeometric tails.

J. H. Bell, K. A. Bonawitz, A. Gascon, T. Lepoint, M. Raykova, Secure Single-Server Aggregation with (Poly)Logarithmic
Overhead, CCS 2020. Places stand on a ring in an order that the transcript hash fixes; neighbours are those at most k / 2
steps away. Who colluded was decided before the order was known; in the active model a server may try 2**64 sets of keys
of colluding nodes to get an order that it likes, and may choose the dropouts after it has seen the order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from ..errors import ArgumentError, RefusedError
from . import _native

__all__ = ["COMPLETE", "Graph", "check", "least_survivors", "parameters"]

COMPLETE = 64  # nodes up to which everybody is everybody's neighbour
SECURITY = 40  # bits: a round that hides less than it should
CORRECTNESS = 30  # bits: a round that is refused though no more dropped out than planned
_GRINDING = 64  # bits that a lying server can win by trying keys
_NEVER = -math.inf


class Graph:
    """Who is whose neighbour among `count` places; `degree` 0 or too large for them: everybody."""

    def __init__(self, session: bytes, count: int, degree: int) -> None:
        self.count = count
        self.half = degree // 2
        self.complete = degree == 0 or degree >= count - 1
        if not self.complete:
            key = hashlib.sha256(b"fastimg secagg graph\0" + session).digest()
            draws = np.zeros(count, np.uint64)
            _native.MaskStream([key], [False], 1, False).apply(None, draws, 0, 0.0, 0.0, 0.0, 1)
            self.order: list[int] = np.argsort(draws, kind="stable").tolist()
            self.at = [0] * count
            for position, place in enumerate(self.order):
                self.at[place] = position

    def neighbours(self, place: int) -> list[int]:
        """In rising order, without `place`."""
        if self.complete:
            return [i for i in range(self.count) if i != place]
        at, n = self.at[place], self.count
        steps = range(1, self.half + 1)
        return sorted([self.order[(at + s) % n] for s in steps] + [self.order[(at - s) % n] for s in steps])

    def fewest_in_a_window(self, places: Iterable[int]) -> int:
        """The least number of `places` among any k / 2 that follow each other on the ring."""
        present = np.zeros(self.count, np.int64)
        present[[self.at[place] for place in places]] = 1
        total = np.concatenate(([0], np.cumsum(np.concatenate((present, present[: self.half])))))
        return int((total[self.half :] - total[: -self.half]).min())


def _log_choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return _NEVER
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


@lru_cache(maxsize=4096)
def _tail(population: int, marked: int, draws: int) -> tuple[float, ...]:
    """log2 P(at least x marked among the draws), x = 0 to draws + 1: sums from the small end, rounded up."""
    whole = _log_choose(population, draws)
    logs = [
        _log_choose(marked, x) + _log_choose(population - marked, draws - x) - whole if x <= marked else _NEVER
        for x in range(draws + 1)
    ]
    tail, total = [_NEVER], 0.0
    for value in reversed(logs):
        total += math.exp(value) if value > -700 else 0.0
        floor = max(value, -1000.0) if value != _NEVER else _NEVER
        tail.append((math.log(total) if total > 0 else floor) / math.log(2) + 1e-6)
    return tuple(reversed(tail))


def _quantile(population: int, marked: int, draws: int, trials: int, bits: float) -> int:
    """The least x so that more than x marked, in any of `trials` draws, has probability at most 2**-bits."""
    tail = _tail(population, min(marked, population), draws)
    limit = -bits - math.log2(trials)
    return next(x for x in range(draws + 1) if tail[x + 1] <= limit)


def _disconnected(count: int, removed: int, degree: int) -> float:
    """log2 of a bound on P(the graph without `removed` random places falls apart): two runs of k / 2 removed."""
    if removed < degree:
        return _NEVER
    pairs = math.log(count) + math.log(max(count - degree - 1, 1)) - math.log(2)
    runs = sum(math.log(removed - i) - math.log(count - i) for i in range(degree))
    return (pairs + runs) / math.log(2) + 1e-6


def _bits(active: bool) -> float:
    return SECURITY + 1 + (_GRINDING if active else 0)


@lru_cache(maxsize=256)
def least_survivors(count: int, threshold: int, colluding: int, degree: int, active: bool) -> int:
    """Survivors below which a client opens nothing.

    Complete graph: the threshold. Sparse, passive: enough that survivors who do not collude stay connected. Sparse,
    active: the quorum, more than (count + colluding) / 2, of which any two share a node that does not collude.
    """
    if degree == 0 or degree >= count - 1:
        return max(threshold, 3)
    if active:
        return (count + colluding) // 2 + 1
    low, high = max(threshold, 3), count  # the bound falls with the number of survivors
    while low < high:
        middle = (low + high) // 2
        if _disconnected(count, min(count - middle + colluding, count), degree) <= -_bits(active):
            high = middle
        else:
            low = middle + 1
    return low


def check(graph: Graph, threshold: int, colluding: int, active: bool, survivors: list[int]) -> None:
    """What a client insists on before it opens anything, on the sparse graph."""
    if graph.complete:
        return
    held = colluders(graph.count, colluding, 2 * graph.half, active)
    if threshold <= held:
        raise RefusedError(
            f"secagg: {held} of {2 * graph.half} neighbours may collude; a threshold of {threshold} does not hold"
        )
    if not active:
        return
    inside = _quantile(graph.count, colluding, graph.half, graph.count, _bits(True))
    if survivors and graph.fewest_in_a_window(survivors) <= inside:
        raise RefusedError("secagg: the survivors could be cut into parts by colluding nodes")


def colluders(count: int, colluding: int, degree: int, active: bool) -> int:
    """The most neighbours of one node that collude, but for 2**-40."""
    return _quantile(count - 1, colluding, degree, count, _bits(active))


@lru_cache(maxsize=256)
def parameters(n: int, colluding: int, dropout: float, active: bool) -> tuple[int, int]:
    """(neighbours, threshold) for n nodes of which `colluding` collude and a share `dropout` falls silent.

    The fewest neighbours for which, but for 2**-40, no node has `threshold` colluding neighbours and the honest
    survivors stay connected, and, but for 2**-30, every node keeps `threshold` neighbours.
    """
    silent = math.ceil(dropout * n)
    for degree in range(4, n - 1, 2):
        low = colluders(n, colluding, degree, active) + 1
        high = degree - _quantile(n - 1, min(silent, n - 1), degree, n, CORRECTNESS)
        if low > high:
            continue
        if active:
            half = degree // 2
            inside = _quantile(n, colluding, half, n, _bits(True))
            if half - _quantile(n, silent, half, n, CORRECTNESS) <= inside or n - silent <= (n + colluding) // 2:
                continue
        elif _disconnected(n, min(silent + colluding, n), degree) > -_bits(active):
            continue
        return degree, max((low + high) // 2, 2)
    raise ArgumentError(
        f"n={n}, colluding={colluding}, dropout={dropout}: no sparse graph hides enough; use neighbours=n-1 "
        "or expect less of either"
    )
