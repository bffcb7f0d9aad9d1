"""Stored values to modality units: twin, levels, threads, devices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastimg as fi
from fastimg.testing import dicom as twin

DTYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64]
LINES = [(1, -1024), (2.5, -3), (0.1, 0.3), (1e-7, 1e5), (-3, 7), (300, 0)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("line", LINES)
def test_equals_its_twin_on_every_device(put, get, dtype, line):
    rng = np.random.default_rng(1)
    if np.dtype(dtype).kind == "f":
        values = rng.normal(0, 1000, (5, 17, 33)).astype(dtype)
    else:
        info = np.iinfo(dtype)
        values = rng.integers(info.min, info.max, (5, 17, 33), dtype=dtype, endpoint=True)
    np.testing.assert_array_equal(get(fi.dicom.rescale(put(values), *line)), twin.rescale(values, *line))


@settings(max_examples=60, deadline=None)
@given(
    values=hnp.arrays(st.sampled_from([np.int16, np.uint16, np.int8, np.uint8]), st.integers(0, 3000)),
    slope=st.one_of(st.integers(-300, 300).filter(bool), st.floats(-1e6, 1e6).filter(lambda v: v != 0)),
    intercept=st.one_of(st.integers(-30000, 30000), st.floats(-1e9, 1e9)),
    threads=st.integers(1, 3),
)
def test_same_bits_on_all_levels_and_threads(values, slope, intercept, threads):
    expected = twin.rescale(values, slope, intercept)
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            np.testing.assert_array_equal(fi.dicom.rescale(values, slope, intercept, threads=threads), expected)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (12, 13), (1, 0), (16, 15), (10, 12)])
def test_stored_bits(put, get, signed, stored, high):
    words = np.random.default_rng(2).integers(0, 65536, 500).astype(np.uint16)
    expected = [twin.stored_bits(int(word), 16, stored, high, signed) for word in words]
    seen = fi.dicom.rescale(put(words.view(np.int16) if signed else words), bits_stored=stored, high_bit=high)
    np.testing.assert_array_equal(get(seen), np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("stored", "arguments", "words"),
    [
        (np.zeros(3, np.int64), {}, "stored: expected"),
        (np.zeros(3, np.int16), {"slope": 0}, "slope"),
        (np.zeros(3, np.int16), {"slope": np.inf}, "slope"),
        (np.zeros(3, np.int16), {"bits_stored": 17}, "bits_stored"),
        (np.zeros(3, np.int16), {"bits_stored": 12, "high_bit": 10}, "high_bit"),
        (np.zeros(3, np.float32), {"bits_stored": 12}, "do not fit"),
        (np.zeros(3, np.int16), {"out": np.zeros(4, np.float32)}, "out"),
    ],
)
def test_bad_arguments_are_refused(stored, arguments, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        fi.dicom.rescale(stored, **arguments)


def test_image_keeps_its_grid():
    image = fi.Image(np.ones((2, 3, 4), np.int16), spacing=(3, 2, 1))
    seen = fi.dicom.rescale(image, 2, -1)
    assert seen.spacing == (3, 2, 1)
    assert (seen.array == 1).all()
