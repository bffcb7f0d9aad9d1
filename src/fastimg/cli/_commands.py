"""All commands, in the order of work."""

from . import (  # noqa: F401  (they add themselves to `main`)
    _bench,
    _demo,
    _identity,
    _keep,
    _look,
    _measure,
    _node,
    _quality,
    _requests,
    _work,
)
from ._main import main

__all__ = ["main"]

_ORDER = (
    "demo",
    "scan",
    "deidentify",
    "ingest",
    "run",
    "radiomics",
    "verify",
    "qc",
    "report",
    "view",
    "catalogue",
    "query",
    "remove",
    "migrate",
    "node",
    "bench",
    "doctor",
)
main.commands = {name: main.commands[name] for name in _ORDER}
