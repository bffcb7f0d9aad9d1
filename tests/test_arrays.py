"""Passes over an array piece by piece, on several threads; whether all of it is finite."""

from __future__ import annotations

import numpy as np
import pytest

from fastimg import _arrays


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 250, 1000])
def test_every_value_is_seen_once(monkeypatch, size, threads):
    monkeypatch.setattr(_arrays, "_PIECE", 100)
    array, longest = np.zeros(size, np.int64), []

    def work(piece):
        array[piece] += 1
        longest.append(piece.stop - piece.start)

    _arrays.in_pieces(work, array, threads)
    assert (array == 1).all()
    assert max(longest, default=0) <= 100


@pytest.mark.parametrize("threads", [1, 3])
def test_what_a_piece_raises_is_raised(monkeypatch, threads):
    monkeypatch.setattr(_arrays, "_PIECE", 10)

    def work(piece):
        if piece.start == 70:
            raise ValueError("seventh")

    with pytest.raises(ValueError, match="seventh"):
        _arrays.in_pieces(work, np.zeros(100), threads)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", ">f4", ">f8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_seen_wherever_it_is(dtype, bad):
    for size in (1, 15, 16, 17, (1 << 18) + 5):
        array = np.full(size, np.finfo(dtype).max, dtype)
        for threads in (1, 2):
            assert _arrays.all_finite(array, threads)
        for place in {0, size // 2, size - 1}:
            array[place] = bad
            assert not _arrays.all_finite(array)
            array[place] = 0
    plane = np.zeros((6, 8), dtype)
    plane[:, 1::2] = bad
    assert _arrays.all_finite(plane[:, ::2])
    assert not _arrays.all_finite(plane[:, 1::2])


def test_whole_numbers_and_nothing_are_finite():
    assert _arrays.all_finite(np.zeros(3, np.int16))
    assert _arrays.all_finite(np.zeros(0, np.float32))


def test_finite_on_every_device(put):
    array = np.ones(70, np.float32)
    assert _arrays.all_finite(put(array))
    array[69] = np.inf
    assert not _arrays.all_finite(put(array))
