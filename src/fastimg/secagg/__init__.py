"""Secure aggregation: a sum over nodes from which nobody can take one node's part."""

from ._client import Client
from ._mask import mask
from ._privacy import Privacy
from ._ranges import Ranges
from ._server import Server
from ._sparse import SparseHistogram

__all__ = ["Client", "Privacy", "Ranges", "Server", "SparseHistogram", "mask"]
