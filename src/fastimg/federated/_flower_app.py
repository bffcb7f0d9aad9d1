"""The one Flower app of this library: its files, its hash, and the relay that it runs at the hub. Imports Flower only when run.

The app that travels holds three lines that import what is installed here. At the hub it is a relay: frames from the hub's
socket -> Flower messages -> frames. A node compares the app's hash with that of its own copy and runs nothing of it
(`_flower_node.py`).
"""

from __future__ import annotations

import hashlib
import threading
import time
import warnings
from collections.abc import Mapping
from typing import Any

from .. import __version__
from ..errors import MissingError
from . import _sockets

__all__ = ["RELAY", "app_bytes", "app_files", "app_hash", "check_flower", "packed", "relay", "unpacked"]

RELAY = "relay"
_WHOLE = 1 << 16  # bytes that travel in one piece; more are cut by Flower into chunks
_TESTED = (1, 42)  # of Flower: its process layout is not a public interface

_PROJECT = f'''[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "fastimg-federation"
version = "{__version__}"
description = "Carries messages between a fastimg hub and its nodes"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fastimg"

[tool.flwr.app.components]
serverapp = "fastimg_app:server"
clientapp = "fastimg_app:client"

[tool.flwr.app.config]
relay = ""
'''
_CODE = '''"""Runs what is installed: see fastimg.federated."""

from fastimg.federated._flower_app import client, server

__all__ = ["client", "server"]
'''


def app_files() -> dict[str, bytes]:
    """The app's files by name."""
    return {"pyproject.toml": _PROJECT.encode(), "fastimg_app.py": _CODE.encode()}


def check_flower() -> None:
    """Refuse a Flower that was not tested: a node must know that no foreign code runs."""
    try:
        import flwr
    except ImportError as error:
        raise MissingError("the engine needs Flower: pip install 'fastimg[federated]'") from error
    del flwr
    from importlib.metadata import version

    found = tuple(int(part) for part in version("flwr").split(".")[:2])
    if found != _TESTED:
        raise MissingError(
            f"Flower {'.'.join(map(str, found))} was not tested with this fastimg: pip install 'flwr=={_TESTED[0]}.{_TESTED[1]}.*'"
        )


def app_bytes() -> bytes:
    """The app as Flower packs it; the same bytes everywhere."""
    check_flower()
    from flwr.cli.build import build_fab_from_files

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what Flower matches names with
        return bytes(build_fab_from_files(app_files())[0])


def app_hash() -> str:
    """SHA-256 of the packed app, which nodes pin."""
    return hashlib.sha256(app_bytes()).hexdigest()


def packed(body: bytes) -> Any:
    """Bytes as the content of a Flower message: raw, a large one as an array, which Flower streams in chunks."""
    from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

    if len(body) <= _WHOLE:
        return RecordDict({"fastimg": ConfigRecord({"body": body})})
    array = Array(dtype="uint8", shape=(len(body),), stype="fastimg.bytes", data=body)
    return RecordDict({"fastimg": ArrayRecord({"body": array})})


def unpacked(content: Any) -> bytes | None:
    """The inverse; None for anything else."""
    record = content.get("fastimg")
    body = record.get("body") if isinstance(record, Mapping) else None
    body = getattr(body, "data", body)
    return body if isinstance(body, bytes) else None


# -- the hub's side: inside Flower's server process --------------------------------------------------------------------


def relay(grid: Any, path: str) -> None:
    """Carry frames [kind, timeout, name, message, name, message, ...] until "stop" comes, or until the connection over which
    "hold" came is closed, as it is when its process dies; answers have the order of the messages."""
    known: dict[int, str] = {}  # nodes that have said their name
    over = threading.Event()
    turn = threading.Lock()  # one exchange at a time over one grid

    def answer(parts: list[bytes]) -> list[bytes]:
        kind, timeout = parts[0], float(parts[1])
        if kind == b"stop":
            over.set()
            return [b"stopped"]
        if kind == b"hold":
            return [b"held"]
        with turn:
            here = set(grid.get_node_ids())
            if kind == b"names":
                fresh = here - known.keys()
                for node, reply in _carry(grid, dict.fromkeys(fresh, b"N\0"), timeout).items():
                    if reply[:1] == b"R":
                        known[node] = reply[1:].decode("utf-8", "replace")
                return [name.encode() for name in sorted({known[node] for node in here & known.keys()})]
            places = {known[node]: node for node in sorted(here & known.keys())}
            names = [part.decode() for part in parts[2::2]]
            wanted = {places[n]: body for n, body in zip(names, parts[3::2], strict=True) if n in places}
            found = _carry(grid, wanted, timeout)
            return [found.get(places.get(name, -1), b"Fno answer in time") for name in names]

    def gone(first: list[bytes]) -> None:
        if first[:1] == [b"hold"]:
            over.set()

    listener = _sockets.Listener(path, answer, gone)
    try:
        over.wait()
    finally:
        listener.close()


def _carry(grid: Any, messages: Mapping[int, bytes], timeout: float) -> dict[int, bytes]:
    """Flower's `send_and_receive`, which looks every 3 s, with waits in proportion to the time that has passed."""
    from flwr.app import Message, MessageType

    if not messages:
        return {}
    kind = MessageType.QUERY
    made = [Message(packed(body), node, kind, ttl=timeout + 60) for node, body in messages.items()]
    waiting = {str(name) for name in grid.push_messages(made) if name}
    found: dict[int, bytes] = {}
    start = time.monotonic()
    while waiting:
        for reply in grid.pull_messages(waiting):
            waiting.discard(reply.metadata.reply_to_message_id)
            body = None if reply.has_error() else unpacked(reply.content)
            if body is not None:
                found[reply.metadata.src_node_id] = body
        passed = time.monotonic() - start
        if not waiting or passed > timeout:
            break
        time.sleep(min(max(passed / 10, 0.02), 1.0))
    return found


def __getattr__(name: str) -> Any:
    """The app's two components, made where Flower asks for them."""
    if name == "server":
        from flwr.serverapp import ServerApp

        app = ServerApp()

        @app.main()
        def main(grid: Any, context: Any) -> None:
            relay(grid, str(context.run_config[RELAY]))

        return app
    if name == "client":
        from flwr.clientapp import ClientApp

        return ClientApp()  # answers nothing: at a node the node itself does
    raise AttributeError(name)
