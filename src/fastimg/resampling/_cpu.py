"""CPU side of the resampling room: contiguous arrays of checked shapes to the compiled plans."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _native
from ._tables import LABEL, Displacement, Oblique, Tables, Values


def separable(
    array: Any,
    out: Any,
    tables: Tables,
    *,
    compute: str,
    truncate: bool,
    outside: Any,
    threads: int,
    values: Values = None,
) -> None:
    """out = weighted sums of array along y, x, z; see csrc/resampling/separable.hpp."""
    kind = _native.SeparableFloat if compute == "float32" else _native.SeparableDouble
    plan = tables.keep(compute, lambda: kind(tables.z.native(), tables.y.native(), tables.x.native()))
    plan.run(array, out, truncate, outside.tobytes(), values, threads)


def nearest(array: Any, out: Any, tables: Tables, *, outside: Any, threads: int) -> None:
    """out = the nearest samples of array."""

    def picks(axis: Any) -> tuple[Any, ...]:
        return axis.size, axis.low, axis.high, axis.first

    plan = tables.keep("nearest", lambda: _native.Nearest(picks(tables.z), picks(tables.y), picks(tables.x)))
    plan.run(_raw(array), _raw(out), outside.tobytes(), threads)


def label(array: Any, out: Any, tables: Tables, *, outside: Any, threads: int) -> None:
    """out = the votes of the samples of array; see kernels/fastimg/vote.cuh."""
    plan = tables.keep("label", lambda: _native.Label(tables.z.native(), tables.y.native(), tables.x.native()))
    plan.run(_raw(array), _raw(out), outside.tobytes(), threads)


def prefilter(
    array: Any, out: Any, *, pole: float, horizon: int, gain: float, compute: str, threads: int, values: Values = None
) -> None:
    """out = B-spline coefficients of array for one pole along z, y, x; out may be array."""
    run = _native.prefilter_float if compute == "float32" else _native.prefilter_double
    run(array, out, pole, horizon, gain, values, threads)


def oblique(
    array: Any,
    out: Any,
    tables: Oblique,
    *,
    degree: int,
    compute: str,
    truncate: bool,
    outside: Any,
    threads: int,
    values: Values = None,
    displacement: Displacement = None,
) -> None:
    """out = array interpolated at tables.matrix @ (k, j, i, 1); degrees 2 to 5 take coefficients, LABEL votes."""
    plan = tables.keep(
        "native",
        lambda: _native.Oblique(
            tables.matrix, tables.source, tables.target, tables.edge, tables.first_source, tables.first_target
        ),
    )
    if degree in (0, LABEL):
        array, out = _raw(array), _raw(out)
    plan.run(array, out, compute, degree, truncate, outside.tobytes(), values, displacement, threads)


def _raw(array: Any) -> Any:
    return array.view(np.dtype(f"u{array.dtype.itemsize}"))
