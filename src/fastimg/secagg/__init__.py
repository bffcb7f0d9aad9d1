"""Secure aggregation: a sum over nodes from which nobody can take one node's part."""

from ._client import Client
from ._mask import mask
from ._privacy import Privacy
from ._server import Server

__all__ = ["Client", "Privacy", "Server", "mask"]
