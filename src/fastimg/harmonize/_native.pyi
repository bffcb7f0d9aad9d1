from typing import Any

def window(values: Any, out: Any, low: Any, high: Any, scale: Any, threads: int) -> None: ...
def affine(values: Any, out: Any, shift: Any, scale: Any, threads: int) -> None: ...
def piecewise(values: Any, out: Any, knot: Any, level: Any, slope: Any, threads: int) -> None: ...
def lookup(values: Any, out: Any, table: Any, threads: int) -> None: ...
def combat_add(
    x: Any,
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
