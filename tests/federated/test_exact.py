"""Exact sums against Python's fractions; queries as bytes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastimg.errors import ArgumentError, FormatError, RefusedError
from fastimg.federated import _codec, _exact

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


PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**62), 2**62),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text().filter(lambda k: k != "__array__"), inner)),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_values_come_back(value):
    assert _codec.loads(_codec.dumps(value)) == value


def test_arrays_come_back_with_dtype_and_shape():
    for array in (np.arange(6).reshape(2, 3), np.array([[0.1], [np.pi]]), np.zeros((0, 4)), np.array([True])):
        seen = _codec.loads(_codec.dumps({"a": array}))["a"]
        np.testing.assert_array_equal(seen, array)
        assert seen.shape == array.shape


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a":1,"a":2}',
        b"NaN",
        b'{"__array__":["<f8",[3],"AAAA"]}',
        b'{"__array__":["|O",[1],"AAAAAAAAAAA="]}',
        b'{"__array__":["<f8",[-1],""]}',
        b'{"__array__":["<f8",[1000000000000],""]}',
        b'{"__array__":["<f8",[0],""],"x":1}',
        b'{"__array__":3}',
        b"[" * 100000,
        "text",
    ],
)
def test_malformed_messages_are_refused(data):
    with pytest.raises(FormatError):
        _codec.loads(data)


@pytest.mark.parametrize("value", [float("nan"), object(), {1: 2}, {"__array__": 1}, np.array(["x"]), {1, 2}, b"x"])
def test_what_does_not_travel(value):
    with pytest.raises(ArgumentError):
        _codec.dumps(value)
