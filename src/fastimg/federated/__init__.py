"""Named computations where the data is; only sums that policies allow travel."""

from . import _combat, _models, _moments, _quantiles, _summaries, _survival, _tables  # noqa: F401  (they register)
from ._audit import verify as verify_log
from ._describe import describe, jsonable, prov
from ._federation import Federation, Result, Transport
from ._files import FileTransport, serve_files
from ._identity import Identity, Roster
from ._learning import Family, families, family
from ._node import Node
from ._policy import Policy
from ._registry import Done, Labels, Parameter, computation, registered
from ._rows import Rows
from ._tools import Tool, onnx_tool, tool, tools

__all__ = [
    "Done",
    "Family",
    "Federation",
    "FileTransport",
    "Identity",
    "Labels",
    "Node",
    "Parameter",
    "Policy",
    "Result",
    "Roster",
    "Rows",
    "Tool",
    "Transport",
    "computation",
    "describe",
    "families",
    "family",
    "jsonable",
    "onnx_tool",
    "prov",
    "registered",
    "serve_files",
    "tool",
    "tools",
    "verify_log",
]
