from collections.abc import Sequence
from typing import Any

def window(values: Any, out: Any, low: Any, high: Any, scale: Any, threads: int) -> bool: ...
def affine(values: Any, out: Any, shift: Any, scale: Any, threads: int) -> None: ...
def piecewise(values: Any, out: Any, knot: Any, level: Any, slope: Any, threads: int) -> None: ...
def lookup(values: Any, out: Any, table: Any, threads: int) -> None: ...
def combine(arrays: Sequence[Any], weights: Any, out: Any, threads: int) -> None: ...
def unsharp(values: Any, smooth: Any, amount: float, out: Any, threads: int) -> None: ...
def combat_add(
    x: Any,
    order: Any,
    batch: Any,
    covariates: Any,
    center: Any,
    batches: int,
    columns: int,
    y: Any,
    yy: Any,
    cy: Any,
    n: Any,
    c: Any,
    cc: Any,
    threads: int,
) -> None: ...
def combat_apply(
    x: Any,
    out: Any,
    batch: Any,
    covariates: Any,
    mean: Any,
    beta: Any,
    gamma: Any,
    alpha: Any,
    batches: int,
    columns: int,
    threads: int,
) -> None: ...
def fuzzy_sums(
    values: Any, number: Any, centers: Any, tiny: float, m: float, weight: Any, moment: Any, threads: int
) -> None: ...

class N4Grid:
    def __init__(self, axes: Any, controls: int, begin: Any, offset: Any) -> None: ...

def n4_share(confidence: Any, grid: N4Grid, share: Any, threads: int) -> None: ...

class N4Level:
    def __init__(
        self,
        log: Any,
        confidence: Any,
        field: N4Grid,
        fit: N4Grid,
        share: Any,
        turns: Any,
        bins: int,
        fwhm: float,
        noise: float,
    ) -> None: ...
    def evaluate(self, lattice: Any, field: Any, rest: Any, threads: int) -> tuple[float, float]: ...
    def iterate(
        self, ends: tuple[float, float], lattice: Any, field: Any, rest: Any, threads: int
    ) -> tuple[float, float]: ...
    def iterate_beside(
        self, ends: tuple[float, float], lattice: Any, field: Any, rest: Any, ratio: Any
    ) -> tuple[tuple[float, float], float]: ...

def n4_ratio(before: Any, after: Any, mask: Any, out: Any, threads: int) -> None: ...
def n4_change(ratio: Any) -> float: ...
def n4_finish(lattice: Any, grid: N4Grid, image: Any, corrected: Any, field: Any, threads: int) -> None: ...
def clahe_levels(values: Any, out: Any, low: float, scale: float, inverse: float, threads: int) -> None: ...
def clahe_count(levels: Any, mask: Any, shape: Any, tile: Any, counts: Any, threads: int) -> None: ...
def clahe_maps(counts: Any, limit: float, maps: Any, threads: int) -> None: ...
def clahe_apply(levels: Any, maps: Any, shape: Any, tile: Any, out: Any, threads: int) -> None: ...
