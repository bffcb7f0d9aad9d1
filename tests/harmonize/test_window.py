"""harmonize.window against its twin, on every device, level and thread count, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastimg as fi
from fastimg.testing import harmonize as twin

DTYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_its_twin_on_every_device(put, get, dtype):
    values = np.random.default_rng(1).normal(40, 300, (7, 13, 31)).clip(*_range(dtype)).astype(dtype)
    seen = fi.harmonize.window(put(values), low=-100, high=215.5)
    np.testing.assert_array_equal(get(seen), twin.window(values, -100, 215.5))


def _range(dtype):
    return (np.iinfo(dtype).min, np.iinfo(dtype).max) if np.dtype(dtype).kind in "iu" else (-1e30, 1e30)


@settings(max_examples=40, deadline=None)
@given(
    values=hnp.arrays(np.float32, st.integers(0, 5000), elements=st.floats(width=32, allow_nan=True)),
    low=st.integers(-500, 0),
    width=st.integers(1, 1000),
    threads=st.integers(1, 3),
)
def test_same_bits_on_all_levels_and_threads(values, low, width, threads):
    expected = twin.window(values, low, low + width)
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            seen = fi.harmonize.window(values, low=low, high=low + width, threads=threads)
        np.testing.assert_array_equal(seen, expected)


def test_strided_read_only_and_big_endian_inputs():
    base = np.arange(240, dtype=np.int16).reshape(4, 6, 10)
    for array in (base[::2, ::-1, 1::3], base.astype(">i2"), base.T):
        view = array.view()
        view.flags.writeable = False
        np.testing.assert_array_equal(fi.harmonize.window(view, low=10, high=90), twin.window(array, 10, 90))


def test_image_keeps_geometry_and_out_is_used():
    image = fi.Image(np.full((2, 3, 4), 40, np.int16), spacing=(3, 1, 1), unit="HU")
    out = np.empty((2, 3, 4), np.float32)
    seen = fi.harmonize.window(image, out=out)
    assert seen.array is out
    assert seen.spacing == (3, 1, 1)
    assert (out == 0.5).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"low": 5, "high": 5}, "low must be below high"),
        ({"low": float("nan")}, "low: must be finite"),
        ({"threads": 0}, "threads"),
        ({"out": np.empty((1, 1, 1), np.float32)}, "out: expected shape"),
    ],
)
def test_bad_arguments_are_refused_before_work(arguments, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        fi.harmonize.window(np.zeros((2, 2, 2), np.int16), **arguments)


def test_overlapping_out_is_refused():
    values = np.zeros((2, 2, 2), np.float32)
    with pytest.raises(fi.errors.ArgumentError, match="overlaps"):
        fi.harmonize.window(values, out=values)


def test_a_ct_window_on_anything_but_ct_is_refused():
    with pytest.raises(fi.errors.ArgumentError, match="not HU"):
        fi.harmonize.window(fi.Image(np.zeros((1, 2, 2), np.float32), unit="arbitrary"))
