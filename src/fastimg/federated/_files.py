"""Messages as files: for engines that run a container over a read-only data folder and a writable sandbox, and no network.

    SANDBOX/inbox/000001.msg, 000002.msg ...   from the hub, in order
    SANDBOX/outbox/000001.msg ...              the node's answers
    SANDBOX/inbox/stop                         no more will come

A file appears under its name only when it is whole. What carries the files between hub and node is not of concern here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import ArgumentError, FastimgError, FormatError
from . import _messages as wire
from ._node import Node

__all__ = ["FileTransport", "serve_files"]

_WAIT = 0.02


def _put(folder: Path, name: str, data: bytes) -> None:
    temporary = folder / f".{name}.part"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, folder / name)


def _take(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        if os.fstat(descriptor).st_size > wire.LIMIT:
            raise FormatError("federated: a message file is too large")
        return stream.read()


def serve_files(node: Node, sandbox: str | os.PathLike[str], *, timeout: float = 3600.0) -> int:
    """Answer the files of the inbox until `stop` appears or none came for `timeout` seconds; how many were answered.

    Parameters
    ----------
    node : Node
        Who answers: with an identity and a roster. Where files are carried is not known here, and sums beyond this machine
        are opened by secure aggregation, for signed questions, only.
    sandbox : path
        A folder that the hub's side can write to and read; `inbox` and `outbox` are made in it if absent.
    timeout : float
        Seconds without a message. Default: one hour.

    Returns
    -------
    int

    Raises
    ------
    ArgumentError
        The node has no roster.
    """
    if node.roster is None:
        raise ArgumentError("serve_files: a node beyond this process needs an identity and a roster")
    inbox, outbox = (Path(sandbox) / name for name in ("inbox", "outbox"))
    for folder in (inbox, outbox):
        folder.mkdir(parents=True, exist_ok=True)
    number, last = 1, time.monotonic()
    while True:
        path = inbox / f"{number:06}.msg"
        if path.is_file():
            try:
                answer = node.handle(_take(path))
            except (OSError, FormatError):
                answer = wire.failure("FormatError")
            _put(outbox, path.name, answer)
            number, last = number + 1, time.monotonic()
        elif (inbox / "stop").exists() or time.monotonic() - last > timeout:
            return number - 1
        else:
            time.sleep(_WAIT)


class FileTransport:
    """The hub's side of `serve_files`: node -> its sandbox, as this machine sees it.

    Parameters
    ----------
    sandboxes : {node: path}
    timeout : float
        Seconds to wait for a node's answer; one that is late is lost for the round.

    Raises
    ------
    ArgumentError
        No node.
    """

    def __init__(self, sandboxes: Mapping[str, str | os.PathLike[str]], *, timeout: float = 600.0) -> None:
        if not sandboxes:
            raise ArgumentError("sandboxes: name at least one node")
        self._boxes = {name: Path(path) for name, path in sandboxes.items()}
        self._next = dict.fromkeys(self._boxes, 1)
        self._timeout = timeout
        for path in self._boxes.values():
            (path / "inbox").mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """The nodes."""
        return list(self._boxes)

    def exchange(self, kind: str, key: str, messages: Mapping[str, bytes]) -> dict[str, bytes | Exception]:
        """As `Transport.exchange`. `kind`, `key` and `messages` likewise."""
        wanted = {}
        for name, message in messages.items():
            file = f"{self._next[name]:06}.msg"
            self._next[name] += 1
            _put(self._boxes[name] / "inbox", file, wire.ask(message) if kind == "ask" else wire.give(key, message))
            wanted[name] = self._boxes[name] / "outbox" / file
        found: dict[str, bytes | Exception] = {}
        until = time.monotonic() + self._timeout
        while len(found) < len(wanted):
            for name, path in wanted.items():
                if name not in found and path.is_file():
                    try:
                        found[name] = wire.result(_take(path))
                    except (OSError, FormatError) as error:
                        found[name] = FastimgError(type(error).__name__)
            if time.monotonic() > until:
                for name in wanted.keys() - found.keys():
                    found[name] = FastimgError("no answer in time")
            time.sleep(_WAIT)
        return found

    def close(self) -> None:
        """Tell the nodes that no more will come."""
        for path in self._boxes.values():
            with suppress(OSError):
                _put(path / "inbox", "stop", b"")
