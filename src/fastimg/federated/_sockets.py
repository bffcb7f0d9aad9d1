"""Frames over a Unix socket that only its owner may open: between Flower's short-lived processes and ours.

A frame is a list of byte strings: their number, then each with its length (8 bytes, little endian).
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import FormatError

__all__ = ["Listener", "call", "connect", "receive", "send"]

_LENGTH = struct.Struct("<Q")
_MOST_PARTS, _MOST_BYTES = 4096, 1 << 31


def send(stream: socket.socket, parts: Sequence[bytes]) -> None:
    """One frame."""
    stream.sendall(_LENGTH.pack(len(parts)))
    for part in parts:
        stream.sendall(_LENGTH.pack(len(part)))
        stream.sendall(part)


def receive(stream: socket.socket) -> list[bytes] | None:
    """The next frame; None where the other side has closed."""
    first = _exactly(stream, _LENGTH.size, may_end=True)
    if first is None:
        return None
    count = _LENGTH.unpack(first)[0]
    if count > _MOST_PARTS:
        raise FormatError("federated: a frame of too many parts")
    parts, total = [], 0
    for _ in range(count):
        size = _LENGTH.unpack(_exactly(stream, _LENGTH.size) or b"")[0]
        total += size
        if total > _MOST_BYTES:
            raise FormatError("federated: a frame that is too large")
        parts.append(_exactly(stream, size) or b"")
    return parts


def _exactly(stream: socket.socket, size: int, *, may_end: bool = False) -> bytes | None:
    found = bytearray()
    while len(found) < size:
        piece = stream.recv(min(size - len(found), 1 << 20))
        if not piece:
            if may_end and not found:
                return None
            raise FormatError("federated: a frame was cut short")
        found += piece
    return bytes(found)


def connect(path: str | os.PathLike[str], timeout: float | None = None) -> socket.socket:
    """An open connection."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(timeout)
    try:
        stream.connect(os.fspath(path))
    except BaseException:
        stream.close()
        raise
    return stream


def call(path: str | os.PathLike[str], parts: Sequence[bytes], timeout: float | None = None) -> list[bytes]:
    """One frame there, one back."""
    with connect(path, timeout) as stream:
        send(stream, parts)
        answer = receive(stream)
    if answer is None:
        raise FormatError("federated: no answer")
    return answer


class Listener:
    """Answers frames on a socket of mode 0600, a thread a connection, until `close`.

    `gone`, if given, is called with a connection's first frame when it has ended.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        answer: Callable[[list[bytes]], list[bytes]],
        gone: Callable[[list[bytes]], None] | None = None,
    ) -> None:
        self._path, self._answer, self._gone = Path(path), answer, gone
        self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._stream.bind(os.fspath(path))
        finally:
            os.umask(before)
        self._stream.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self._stream.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._one, args=(stream,), daemon=True).start()

    def _one(self, stream: socket.socket) -> None:
        first: list[bytes] = []
        with stream, suppress(OSError, FormatError):
            while (parts := receive(stream)) is not None:
                first = first or parts
                send(stream, self._answer(parts))
        if self._gone is not None:
            self._gone(first)

    def close(self) -> None:
        """No more connections; the socket's file goes."""
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._thread.join(timeout=5)
        with suppress(FileNotFoundError):
            self._path.unlink()
