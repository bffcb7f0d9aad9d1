"""Exact sums against Python's fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastimg.errors import RefusedError
from fastimg.federated import _exact

REAL = st.one_of(
    st.floats(-1e30, 1e30, allow_subnormal=True),
    st.sampled_from([0.0, -0.0, 2.0**-120, -(2.0**-67), 2.0**118, 1.0, -1.0, 1 / 3, 2.0**48, 2.0**-72]),
)


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.tuples(REAL, REAL, st.integers(-(2**49) + 1, 2**49 - 1)), min_size=1, max_size=8))
def test_sums_are_exact_and_rounded_once(parts):
    arrays = [{"b": np.array([[x, y]]), "a": np.array([n])} for x, y, n in parts]
    layout = _exact.layout_of(arrays[0])
    words = sum(_exact.encode(a).astype(object) for a in arrays)
    assert all(-(2**62) < w < 2**62 for w in words)
    seen = _exact.decode(words.astype(np.int64), layout)
    assert int(seen["a"][0]) == sum(n for _, _, n in parts) or abs(sum(n for _, _, n in parts)) >= 2**62
    unit = Fraction(1, 2**120)
    for column in (0, 1):
        exact = sum((int(Fraction(p[column]) / unit) * unit for p in parts), Fraction(0))
        assert seen["b"][0, column] == float(exact)


def test_limbs_are_49_bits_and_keep_53_bits_of_any_size():
    values = np.ldexp(np.random.default_rng(0).random(2000) + 0.5, np.random.default_rng(1).integers(-67, 119, 2000))
    words = _exact.encode({"v": values})
    assert np.abs(words).max() < 2**48
    np.testing.assert_array_equal(_exact.decode(words, _exact.layout_of({"v": values}))["v"], values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**119])
def test_what_would_spoil_the_sum_is_refused(bad):
    with pytest.raises(RefusedError, match="rule range"):
        _exact.encode({"v": np.array([1.0, bad])})
    with pytest.raises(RefusedError, match="rule range"):
        _exact.encode({"v": np.array([2**49])})
