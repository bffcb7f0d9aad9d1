"""Grids and interpolation."""

from ._plan import Plan
from ._resample import resample

__all__ = ["Plan", "resample"]
