"""Named computations where the data is; only sums that policies allow travel.

Names are loaded at first use: an engine starts a process a message, which must be quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._audit import verify as verify_log
    from ._crate import rocrate as rocrate
    from ._describe import describe as describe
    from ._describe import jsonable as jsonable
    from ._describe import prov as prov
    from ._federation import Federation as Federation
    from ._federation import Result as Result
    from ._federation import Transport as Transport
    from ._files import FileTransport as FileTransport
    from ._files import serve_files as serve_files
    from ._flower import serve as serve
    from ._identity import Identity as Identity
    from ._identity import Roster as Roster
    from ._learning import Family as Family
    from ._learning import families as families
    from ._learning import family as family
    from ._node import Node as Node
    from ._policy import Policy as Policy
    from ._query import signed_request as signed_request
    from ._registry import Done as Done
    from ._registry import Labels as Labels
    from ._registry import Parameter as Parameter
    from ._registry import computation as computation
    from ._registry import registered as registered
    from ._rows import Rows as Rows
    from ._tools import Tool as Tool
    from ._tools import onnx_tool as onnx_tool
    from ._tools import tool as tool
    from ._tools import tools as tools

_NAMES = {
    "Done": ("_registry", "Done"),
    "Family": ("_learning", "Family"),
    "Federation": ("_federation", "Federation"),
    "FileTransport": ("_files", "FileTransport"),
    "Identity": ("_identity", "Identity"),
    "Labels": ("_registry", "Labels"),
    "Node": ("_node", "Node"),
    "Parameter": ("_registry", "Parameter"),
    "Policy": ("_policy", "Policy"),
    "Result": ("_federation", "Result"),
    "Roster": ("_identity", "Roster"),
    "Rows": ("_rows", "Rows"),
    "Tool": ("_tools", "Tool"),
    "Transport": ("_federation", "Transport"),
    "computation": ("_registry", "computation"),
    "describe": ("_describe", "describe"),
    "families": ("_learning", "families"),
    "family": ("_learning", "family"),
    "jsonable": ("_describe", "jsonable"),
    "onnx_tool": ("_tools", "onnx_tool"),
    "prov": ("_describe", "prov"),
    "registered": ("_registry", "registered"),
    "rocrate": ("_crate", "rocrate"),
    "serve": ("_flower", "serve"),
    "signed_request": ("_query", "signed_request"),
    "serve_files": ("_files", "serve_files"),
    "tool": ("_tools", "tool"),
    "tools": ("_tools", "tools"),
    "verify_log": ("_audit", "verify"),
}

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
    "rocrate",
    "serve",
    "serve_files",
    "signed_request",
    "tool",
    "tools",
    "verify_log",
]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'fastimg.federated' has no attribute {name!r}")
    module, inside = _NAMES[name]
    value = globals()[name] = getattr(import_module(f".{module}", __name__), inside)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
