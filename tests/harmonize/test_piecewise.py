"""The piecewise-linear map against NumPy's search, bit for bit: knots anywhere, values on, beside and far from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastimg as fi
from fastimg.harmonize import _cpu, _piecewise

F = np.float32
FAR = 3e38


def knots(kind: str, count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    some = {
        "even": np.linspace(-7, 900, count),
        "normal": random.normal(100, 3, count),
        "one bucket": np.r_[-1e30, 1 + 1e-6 * np.arange(count - 2), 1e30],
        "tails": random.standard_cauchy(count) * 1e4,
        "powers": np.sign(random.normal(size=count)) * 10.0 ** random.uniform(-37, 38, count),
        "whole float range": np.linspace(-FAR, FAR, count),
        "least steps": np.arange(count) * float(np.finfo(F).smallest_subnormal),
    }[kind]
    return np.sort(some.astype(F))


KINDS = ["even", "normal", "one bucket", "tails", "powers", "whole float range", "least steps"]


@given(st.sampled_from(KINDS), st.integers(18, 700), st.integers(0, 10**6))
def test_the_search_finds_numpys_segment(kind, count, seed):
    source = knots(kind, count, seed)
    with np.errstate(over="ignore", invalid="ignore"):
        knot, level, slope = _piecewise._padded("test", source, np.arange(float(count)))
        finite = source[np.isfinite(source)]
        random = np.random.default_rng(seed + 1)
        between = random.uniform(finite[:-1], finite[1:]).astype(F)
        ends = F([-np.inf, np.inf, np.nan, 0, -0.0, FAR, -FAR])
        x = np.concatenate([finite, np.nextafter(finite, F(-np.inf)), np.nextafter(finite, F(np.inf)), between, ends])
        random.shuffle(x)
        place = np.searchsorted(knot[: np.isfinite(knot).sum()], x, side="right") - 1
        place = np.where(np.isnan(x) | (place < 0), 0, place)
        expected = level[place] + (x - knot[place]) * slope[place]
        expected[x == np.inf] = np.nan  # the last knot is infinity
        for level_name in fi.config.supported_isa():
            with fi.config.use(isa=level_name):
                seen = np.full_like(x, 5)
                _cpu.piecewise(x, seen, knot, level, slope, threads=2)
            np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("dtype", [np.int32, np.float64, np.int16])
def test_types_of_values(dtype):
    source = np.linspace(-3000, 3000, 300)
    knot, level, slope = _piecewise._padded("test", source, np.square(source))
    x = np.random.default_rng(0).integers(-4000, 4000, 5000).astype(dtype)
    place = np.clip(np.searchsorted(knot[:299], x.astype(F), side="right") - 1, 0, None)
    seen = np.empty(x.shape, F)
    _cpu.piecewise(x, seen, knot, level, slope, threads=1)
    np.testing.assert_array_equal(seen, level[place] + (x.astype(F) - knot[place]) * slope[place])
