"""A node's SuperNode: Flower's own program, in which the place of the app's process is taken by a call to the node.

Flower's SuperNode would start a process a message, install the app that the hub sent and run it, and ask the hub for
messages every 3 s. Here the app's hash is compared with the pinned one and a message goes to the node over its socket; the
SuperNode opens no port of its own; and it asks more often while messages come. None of that is a public interface of
Flower, so another version than the tested one is refused (`check_flower`).
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..errors import FastimgError, FormatError, MissingError
from . import _sockets
from ._flower_app import check_flower, packed, unpacked

__all__ = ["CONNECTED", "PINNED", "SOCKET", "UNKNOWN", "Waits", "answer_with", "supernode"]

SOCKET, PINNED = "FASTIMG_NODE_SOCKET", "FASTIMG_NODE_APP"
# files beside the socket: the SuperLink has accepted this node; it has refused to (Flower's code 2004)
CONNECTED, UNKNOWN = "connected", "unknown"
_REFUSED = "[code: 2004]"
_REPLACED = {
    "flwr.supernode.start_client_internal": ("_push_messages", "_insert_message", "time"),
    "flwr.supernode.cli.flower_supernode": ("_start_supernode_http_api", "flower_supernode"),
    "flwr.supernode.fleet_http_connection": ("flwr_exit",),
}


class Waits:
    """How long to wait until asking again: a quarter of the time since the last message, 0.05 to 3 s (Flower: always 3)."""

    def __init__(self) -> None:
        self.last = 0.0

    def sleep(self, seconds: float) -> None:
        """In place of time.sleep in the SuperNode's loop."""
        time.sleep(min(seconds, 3.0, max(0.05, (time.monotonic() - self.last) / 4)))


def answer_with(node: Any, pinned: str, loop: Any, state: Any, store: Any) -> None:
    """Answer what the SuperNode has received: `node(body) -> reply`; a run of another app than the pinned one gets an error."""
    from flwr.app import Error, Message
    from flwr.common.constant import ErrorCode, SubStatus
    from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
    from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

    for message in state.get_messages_legacy(is_reply=False):
        name, run = message.metadata.message_id, message.metadata.run_id
        state.record_message_processing_start(name)
        try:
            fab = state.get_fab(state.get_run(run).fab_hash)
            if fab is None or hashlib.sha256(fab.content).hexdigest() != pinned:
                raise FastimgError("the hub's app is not the one that this node pins")
            tree = store.get_object_tree(name)
            whole: Any = inflate_object_from_contents(
                name, {part.object_id: store.get(part.object_id) for part in iterate_object_tree(tree)}
            )
            body = unpacked(whole.content)
            if body is None:
                raise FormatError("federated: not a message of a hub")
            reply = Message(packed(node(body)), reply_to=message)
        except Exception as error:  # whatever went wrong, the SuperNode goes on
            reason = str(error) if isinstance(error, FastimgError) else "failed"
            print(f"fastimg: a message was not answered: {reason}", file=sys.stderr, flush=True)
            reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)
        store.delete(name)
        for task in state.get_tasks(run_ids=[run]):
            state.finish_task(task.task_id, sub_status=SubStatus.STOPPED, details="")
        state.record_message_processing_end(name)
        loop._insert_message(reply, state, store)


class _NoServer:
    """In place of the SuperNode's own HTTP server, for which there is no client here."""

    should_exit = force_exit = False

    def join(self, timeout: float | None = None) -> None:
        """Nothing to wait for."""

    def is_alive(self) -> bool:
        """Never."""
        return False


def supernode() -> None:
    """`flower-supernode` with these changes; ends when its standard input does, that is with the process that started it."""
    check_flower()
    modules: list[Any] = [
        import_module(name) for name in _REPLACED
    ]  # functions of the same names hide them as attributes
    loop, cli, connection = modules
    for module, names in zip(modules, _REPLACED.values(), strict=True):
        for name in names:
            if not hasattr(module, name):
                raise MissingError(f"this Flower has no {name}: it was not tested with this fastimg")
    path, pinned = os.environ[SOCKET], os.environ[PINNED]
    waits, push, connected = Waits(), loop._push_messages, Path(path).with_name(CONNECTED)

    def sleep(seconds: float) -> None:
        connected.touch()  # the loop runs
        waits.sleep(seconds)

    def ours(state: Any, object_store: Any, **rest: Any) -> None:
        connected.touch()
        waits.last = time.monotonic()
        answer_with(lambda body: _sockets.call(path, [body])[0], pinned, loop, state, object_store)
        push(state=state, object_store=object_store, **rest)
        waits.last = time.monotonic()

    loop._push_messages, loop.time = ours, SimpleNamespace(sleep=sleep)
    cli._start_supernode_http_api = lambda *_: (_NoServer(), _NoServer())

    end = connection.flwr_exit

    def told(code: int, message: str | None = None, *rest: Any, **named: Any) -> None:
        if _REFUSED in (message or ""):
            Path(path).with_name(UNKNOWN).touch()
        end(code, message, *rest, **named)

    connection.flwr_exit = told

    def follow() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock would be held at the end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
    sys.argv[0] = "flower-supernode"
    cli.flower_supernode()


if __name__ == "__main__":
    supernode()
