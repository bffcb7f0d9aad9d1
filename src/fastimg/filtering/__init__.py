"""Separable filters."""

from ._fir import gaussian, gaussian_kernel, separable

__all__ = ["gaussian", "gaussian_kernel", "separable"]
