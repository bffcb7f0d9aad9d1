"""Shamir against Python's whole numbers."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.secagg import _native, _shamir
from fastimg.testing import secagg as twin

ELEMENT = st.one_of(st.integers(0, twin.P - 1), st.sampled_from([0, 1, 2**64 - 1, 2**64, twin.P - 1, twin.P - 2]))


@settings(max_examples=100, deadline=None)
@given(
    coefficients=st.lists(ELEMENT, min_size=1, max_size=8),
    points=st.lists(st.integers(1, 2**32 - 1), min_size=8, max_size=12, unique=True),
)
def test_shares_are_the_polynomials_values(coefficients, points):
    raw = [c.to_bytes(16, "little") for c in coefficients]
    shares = _native.split(raw[0], b"".join(raw[1:]), len(coefficients), points)
    values = {x: int.from_bytes(shares[16 * i : 16 * i + 16], "little") for i, x in enumerate(points)}
    assert values == {x: twin.evaluate(coefficients, x) for x in points}
    chosen = points[-len(coefficients) :]
    assert twin.combine({x: values[x] for x in chosen}) == coefficients[0]
    seen = _native.combine(b"".join(values[x].to_bytes(16, "little") for x in chosen), chosen)
    assert int.from_bytes(seen, "little") == coefficients[0]


@given(raw=st.integers(0, 2**128 - 1))
def test_any_16_bytes_are_taken_modulo_p(raw):
    seen = _native.split(raw.to_bytes(16, "little"), b"", 1, [7])
    assert int.from_bytes(seen, "little") == raw % twin.P


@settings(max_examples=30, deadline=None)
@given(secret=st.binary(min_size=1, max_size=70), n=st.integers(1, 12), data=st.data())
def test_any_threshold_of_the_shares_gives_the_secret(secret, n, data):
    threshold = data.draw(st.integers(1, n))
    shares = _shamir.split(secret, range(1, n + 1), threshold)
    chosen = data.draw(st.permutations(range(1, n + 1)))[:threshold]
    assert _shamir.combine({x: shares[x] for x in chosen}, len(secret)) == secret


def test_too_few_shares_give_another_secret_or_a_refusal():
    secret = os.urandom(32)
    shares = _shamir.split(secret, range(1, 6), 3)
    try:
        assert _shamir.combine({1: shares[1], 2: shares[2]}, 32) != secret
    except fi.errors.ArgumentError as error:
        assert "do not belong together" in str(error)


@pytest.mark.parametrize(
    "call",
    [
        lambda: _shamir.split(b"", [1, 2], 2),
        lambda: _shamir.split(b"x", [1, 1], 2),
        lambda: _shamir.split(b"x", [0, 1], 2),
        lambda: _shamir.split(b"x", [1, 2], 3),
        lambda: _shamir.combine({}, 3),
        lambda: _shamir.combine({1: b"short"}, 3),
    ],
)
def test_bad_arguments(call):
    with pytest.raises(fi.errors.ArgumentError):
        call()
