"""Masks: connected components, distance, dilation and erosion."""

from ._components import components, largest
from ._distance import dilate, distance, erode

__all__ = ["components", "dilate", "distance", "erode", "largest"]
