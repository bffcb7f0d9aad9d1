"""A secure first round that agrees on a range for each column and shows nothing but these ranges."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, FormatError

__all__ = ["Ranges"]

_LOW, _CELLS = -64, 128  # a cell for each power of two from 2^-64 to 2^63


class Ranges:
    """Ranges of columns as powers of two, by a secret OR: encode at each node, sum with `modular=True`, decode.

    A cell stands for "some node's magnitude reaches this power of two". A node fills all cells up to its own with uniform
    random words and the others with 0; a sum modulo 2**64 is 0 where nobody filled (or by chance, once in 2**64) and
    uniform elsewhere, so it does not show by how many nodes or by whom.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> columns = [np.array([3.0, 1e-6]), np.array([-9.0, 5e-7])]
    >>> total = sum(fi.secagg.Ranges.encode(c) for c in columns)  # by Client(..., modular=True) and Server
    >>> fi.secagg.Ranges.decode(total).tolist() == [16.0, 2.0**-19]
    True
    """

    @staticmethod
    def encode(columns: Any) -> npt.NDArray[np.uint64]:
        """One node's words: 128 a column.

        Parameters
        ----------
        columns : array
            One axis; the largest magnitude of each column at this node, below 2**63. Its sign does not matter.

        Returns
        -------
        (128 * columns,) uint64

        Raises
        ------
        ArgumentError
            Not one axis of finite values, or a magnitude of 2**63 or more.
        """
        values = np.abs(np.asarray(columns, np.float64))
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise ArgumentError("columns: one axis of finite values")
        top = np.frexp(values)[1]  # magnitude < 2^top
        if int(top.max()) >= _LOW + _CELLS:
            raise ArgumentError("columns: magnitudes must be below 2**63")
        filled = np.arange(_LOW, _LOW + _CELLS) <= np.maximum(top, _LOW)[:, None]
        filled &= (values > 0)[:, None]
        words = np.frombuffer(os.urandom(8 * filled.size), np.uint64).reshape(filled.shape)
        return np.where(filled, np.maximum(words, 1), np.uint64(0)).astype(np.uint64).ravel()

    @staticmethod
    def decode(total: Any) -> npt.NDArray[np.float64]:
        """For each column a power of two above every node's magnitudes: `clip` of the next round.

        Raises FormatError for anything else.
        """
        words = np.asarray(total)
        if words.dtype != np.uint64 or words.ndim != 1 or not words.size or words.size % _CELLS:
            raise FormatError("ranges: not a sum of encoded ranges")
        filled = words.reshape(-1, _CELLS) != 0
        top = _CELLS - 1 - np.argmax(filled[:, ::-1], axis=1)
        return np.ldexp(1.0, np.where(filled.any(axis=1), top, 0) + _LOW)
