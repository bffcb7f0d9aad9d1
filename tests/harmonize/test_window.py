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
            seen = fi.harmonize.window(values, low=low, high=low + width, nan="ignore", threads=threads)
            np.testing.assert_array_equal(seen, expected)
            if np.isnan(values).any():
                with pytest.raises(fi.errors.ArgumentError, match="NaN"):
                    fi.harmonize.window(values, low=low, high=low + width, threads=threads)
            else:
                np.testing.assert_array_equal(
                    fi.harmonize.window(values, low=low, high=low + width, threads=threads), expected
                )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("place", [0, 1, 1042])
def test_nan_is_refused_or_stays_where_it_is_and_infinity_is_clipped(put, get, dtype, place):
    values = np.linspace(-300, 300, 1043).astype(dtype)
    values[[5, 6]] = np.inf, -np.inf
    values[place] = np.nan
    with pytest.raises(fi.errors.ArgumentError, match="NaN"):
        fi.harmonize.window(put(values), low=-100, high=200)
    seen = get(fi.harmonize.window(put(values), low=-100, high=200, nan="ignore"))
    np.testing.assert_array_equal(np.isnan(seen), np.isnan(values))
    assert seen[5:7].tolist() == [1, 0]


def past_the_caches(dtype, length, offset):
    """A view so large that results go past the caches, whose memory begins `offset` bytes after a cache line."""
    memory = np.empty(length * np.dtype(dtype).itemsize + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    return memory[start : start + length * np.dtype(dtype).itemsize].view(dtype)


@pytest.mark.parametrize("level", fi.config.supported_isa())
@pytest.mark.parametrize("offset", [0, 4, 16, 60])
def test_large_results_at_any_address_are_whole(level, offset):
    values = past_the_caches(np.float32, (4 << 20) + 77_777, 20)
    values[:] = np.arange(values.size, dtype=np.float32) % 1001 - 500
    values[-1] = np.nan
    out = past_the_caches(np.float32, values.size, offset)
    for threads in (1, 3):
        out[:] = -7
        with fi.config.use(isa=level):
            fi.harmonize.window(values, low=-100, high=200, nan="ignore", out=out, threads=threads)
            with pytest.raises(fi.errors.ArgumentError, match="NaN"):
                fi.harmonize.window(values, low=-100, high=200, threads=threads)
        np.testing.assert_array_equal(out, twin.window(values, -100, 200))


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
        ({"low": 1e8, "high": 1e8 + 1}, "one value in float32"),
        ({"low": -3e38, "high": 3e38}, "does not fit float32"),
        ({"low": 0, "high": 1e300}, "does not fit float32"),
        ({"nan": "drop"}, "nan: must be one of"),
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
