"""Named computations where the data is; only sums that policies allow travel."""

from . import _combat, _moments, _tables  # noqa: F401  (they register the shipped computations)
from ._audit import verify as verify_log
from ._federation import Federation, Result
from ._node import Node
from ._policy import Policy
from ._registry import Done, Labels, Parameter, computation, registered
from ._rows import Rows

__all__ = [
    "Done",
    "Federation",
    "Labels",
    "Node",
    "Parameter",
    "Policy",
    "Result",
    "Rows",
    "computation",
    "registered",
    "verify_log",
]
