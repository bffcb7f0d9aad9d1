"""Making images and features of different scanners comparable."""

from ._window import window

__all__ = ["window"]
