"""For tests of fastimg and of code built on it: slow obvious twins, and a CUDA device played by the CPU.

Nothing in the library imports this package. A twin is the shortest right version of a fast path, in NumPy or Numba,
kept in one module a domain (`fastimg.testing.harmonize`, ...).
"""

from ._host_device import HostArray, host_device

__all__ = ["HostArray", "host_device"]
