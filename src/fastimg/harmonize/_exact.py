"""Sums that do not depend on the order: what streams, merges and federates to the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["ExactSum"]

_BITS = 80  # behind the binary point; a value is rounded there once


class ExactSum:
    """A vector of whole numbers of 2^-80 and how many vectors were added."""

    __slots__ = ("count", "parts")

    def __init__(self, size: int) -> None:
        self.count, self.parts = 0, [0] * size

    def add(self, vector: npt.NDArray[np.float64]) -> None:
        """Add finite numbers."""
        self.parts = [a + round(Fraction(b) * 2**_BITS) for a, b in zip(self.parts, vector.tolist(), strict=True)]
        self.count += 1

    def __add__(self, other: Self) -> Self:
        both = type(self)(len(self.parts))
        both.parts = [a + b for a, b in zip(self.parts, other.parts, strict=True)]
        both.count = self.count + other.count
        return both

    def mean(self) -> npt.NDArray[np.float64]:
        """Correctly rounded."""
        return np.array([float(Fraction(part, self.count << _BITS)) for part in self.parts])

    def to_dict(self) -> dict[str, Any]:
        """As text: JSON's numbers are doubles in many readers."""
        return {"sum": [hex(part) for part in self.parts], "count": self.count}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], size: int) -> Self:
        """From text, or from the floats of an older version."""
        self = cls(size)
        given = record["sum"]
        if len(given) != size or int(record["count"]) < 0:
            raise ValueError("sum and count do not fit")
        if all(isinstance(part, str) and len(part) < 100 for part in given):
            self.parts = [int(part, 16) for part in given]
        else:
            self.parts = [round(Fraction(float(part)) * 2**_BITS) for part in given]
        self.count = int(record["count"])
        return self
