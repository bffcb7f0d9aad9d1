"""Passes over an array piece by piece, on several threads."""

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
