"""kernels/fastimg/each.cuh on a device: every length, every grid, arrays that begin anywhere; the bits of the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi
from fastimg.dicom import _cuda as dicom_cuda
from fastimg.harmonize import _cuda as harmonize_cuda

# below a four, in the tail of one, around a block of 32 x 16 values, over several blocks and a part of one
SIZES = (1, 5, 511, 514, 9001)
TYPES = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_maps_of_any_length_that_begin_anywhere(put, get, dtype, narrow, monkeypatch):
    if narrow:  # many blocks
        monkeypatch.setattr(harmonize_cuda, "_BLOCK", 32)
    rng = np.random.default_rng(5)
    whole = (
        rng.integers(-128, 128, max(SIZES) + 3) if np.dtype(dtype).kind != "u" else rng.integers(0, 256, 9004)
    ).astype(dtype)
    there, out = put(whole), put(np.empty(whole.size + 3, np.float32))
    for size in SIZES:
        for begin, end in ((0, 0), (1, 0), (0, 1), (2, 3)):
            values, target = whole[begin : begin + size], out[end : end + size]
            target[...] = -5
            fi.harmonize.window(there[begin : begin + size], low=-20, high=90, out=target)
            np.testing.assert_array_equal(get(target), fi.harmonize.window(values, low=-20, high=90))
    fi.harmonize.minmax(there[1:], out=out[: len(whole) - 1])
    np.testing.assert_array_equal(get(out[: len(whole) - 1]), fi.harmonize.minmax(whole[1:]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_stored_values_of_any_length(put, get, dtype, monkeypatch):
    monkeypatch.setattr(dicom_cuda, "_EACH", 512)
    monkeypatch.setattr(dicom_cuda, "_BLOCK", 32)
    whole = np.random.default_rng(6).integers(0, 200, max(SIZES) + 1).astype(dtype)
    there = put(whole)
    for size in SIZES:
        for begin in (0, 1):
            values = whole[begin : begin + size]
            seen = fi.dicom.rescale(there[begin : begin + size], 1.5, -7)
            np.testing.assert_array_equal(get(seen), fi.dicom.rescale(values, 1.5, -7))
            if put is not np.asarray:
                table = np.arange(50.0, 90.0, 0.5).astype(np.float32)
                out = put(np.empty(size, np.float32))
                dicom_cuda.lookup(there[begin : begin + size], out, 17, table)
                np.testing.assert_array_equal(get(out), table[np.clip(values.astype(int) - 17, 0, len(table) - 1)])
