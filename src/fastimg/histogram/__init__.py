"""Counting: a histogram that merges, exact quantiles, and moments."""

from ._histogram import Histogram
from ._statistics import Moments, moments, quantile

__all__ = ["Histogram", "Moments", "moments", "quantile"]
