"""The one Flower app of this library: its files, its hash, and what its two sides do. Imports Flower only when run.

The app that travels holds three lines that import what is installed here; a node compares its hash with that of its own
copy and runs its own installed side, never the code that came (`clientapp`).

    hub side     a relay: frames from the hub's socket -> Flower messages -> frames
    node side    a message -> the node's socket -> a reply; the node itself is a process of its own that outlives them
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any

from .. import __version__
from ..errors import FastimgError, MissingError
from . import _sockets

__all__ = ["PINNED", "RELAY", "SOCKET", "app_bytes", "app_files", "app_hash", "clientapp", "relay"]

RELAY, SOCKET, PINNED = "relay", "FASTIMG_NODE_SOCKET", "FASTIMG_NODE_APP"
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

    return bytes(build_fab_from_files(app_files())[0])


def app_hash() -> str:
    """SHA-256 of the packed app, which nodes pin."""
    return hashlib.sha256(app_bytes()).hexdigest()


# -- the hub's side: inside Flower's server process --------------------------------------------------------------------


def relay(grid: Any, path: str) -> None:
    """Carry frames [kind, timeout, name, message, name, message, ...] until "stop" comes; answers have the same order."""
    import threading

    nodes: dict[str, int] = {}
    over = threading.Event()
    turn = threading.Lock()  # one exchange at a time over one grid

    def answer(parts: list[bytes]) -> list[bytes]:
        kind, timeout = parts[0], float(parts[1])
        if kind == b"stop":
            over.set()
            return [b"stopped"]
        with turn:
            if kind == b"names":
                nodes.clear()
                for node, reply in _carry(grid, dict.fromkeys(grid.get_node_ids(), b"N\0"), timeout).items():
                    if reply[:1] == b"R":
                        nodes.setdefault(reply[1:].decode("utf-8", "replace"), node)
                return [name.encode() for name in sorted(nodes)]
            wanted = {
                nodes[parts[k].decode()]: parts[k + 1] for k in range(2, len(parts), 2) if parts[k].decode() in nodes
            }
            found = _carry(grid, wanted, timeout)
            return [found.get(nodes.get(parts[k].decode(), -1), b"Fno answer in time") for k in range(2, len(parts), 2)]

    listener = _sockets.Listener(path, answer)
    try:
        over.wait()
    finally:
        listener.close()


def _carry(grid: Any, messages: dict[int, bytes], timeout: float) -> dict[int, bytes]:
    from flwr.app import ConfigRecord, Message, MessageType, RecordDict

    made = [
        Message(
            content=RecordDict({"fastimg": ConfigRecord({"body": body})}),
            dst_node_id=node,
            message_type=MessageType.QUERY,
            ttl=timeout + 60,
        )
        for node, body in messages.items()
    ]
    found: dict[int, bytes] = {}
    for reply in grid.send_and_receive(made, timeout=timeout):
        if reply.has_error():
            continue
        body = reply.content["fastimg"]["body"]
        if isinstance(body, bytes):
            found[reply.metadata.src_node_id] = body
    return found


def _server() -> Any:
    from flwr.serverapp import ServerApp

    app = ServerApp()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        relay(grid, str(context.run_config[RELAY]))

    return app


# -- the node's side: inside Flower's client process -------------------------------------------------------------------


def _client() -> Any:
    from flwr.app import ConfigRecord, Message, RecordDict
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.query()
    def query(message: Any, context: Any) -> Any:
        body = message.content["fastimg"]["body"]
        reply = _sockets.call(os.environ[SOCKET], [body])[0]
        return Message(RecordDict({"fastimg": ConfigRecord({"body": reply})}), reply_to=message)

    return app


def __getattr__(name: str) -> Any:
    if name == "server":
        return _server()
    if name == "client":
        return _client()
    raise AttributeError(name)


def clientapp() -> None:
    """What a node runs in place of `flwr-clientapp`: Flower's own process, but the app that came is only compared, by its
    hash, with the installed one; the installed one runs."""
    check_flower()
    import flwr.supernode.runtime.run_clientapp as process
    from flwr.supernode.cli.flwr_clientapp import flwr_clientapp

    pinned = os.environ[PINNED]  # said by `serve`, which has computed it once

    def compare(content: bytes, *_: Any, **__: Any) -> None:
        if hashlib.sha256(content).hexdigest() != pinned:
            raise FastimgError("the hub's app is not the one that this node pins")

    def load(*_: Any, **__: Any) -> Any:
        return lambda *_: _client()

    for name, ours in (
        ("install_from_fab", compare),
        ("get_load_client_app_fn", load),
        ("install_app_dependencies", None),
    ):
        if not hasattr(process, name):
            raise MissingError(f"this Flower has no {name}: it was not tested with this fastimg")
        setattr(process, name, ours)
    sys.argv[0] = "flwr-clientapp"
    flwr_clientapp()


if __name__ == "__main__":
    clientapp()
