"""CPU side of the resampling room: contiguous arrays of checked shapes to the compiled plans."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _native
from ._tables import LABEL, Displacement, Oblique, Poles, Tables, Values


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


def _spline(tables: Tables, poles: Poles, compute: str) -> Any:
    kind = _native.SplineFloat if compute == "float32" else _native.SplineDouble

    def make() -> Any:
        return kind(tables.z.native(), tables.y.native(), tables.x.native(), poles, tables.z_first)

    return tables.keep((compute, *poles), make)


def spline(
    array: Any,
    out: Any,
    tables: Tables,
    memory: Any,
    *,
    poles: Poles,
    compute: str,
    truncate: bool,
    outside: Any,
    threads: int,
    values: Values = None,
) -> Any:
    """out = B-spline of array, axis by axis; the memory that it took. See csrc/resampling/spline.hpp."""
    plan = _spline(tables, poles, compute)
    between = memory((plan.between,), np.dtype(compute))
    plan.run(array, out, between, truncate, outside.tobytes(), values, threads)
    return between


def coefficients(
    array: Any, out: Any, tables: Tables, *, poles: Poles, compute: str, threads: int, values: Values = None
) -> None:
    """out = B-spline coefficients of array; the tables take each sample alone."""
    _spline(tables, poles, compute).coefficients(array, out, values, threads)


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
