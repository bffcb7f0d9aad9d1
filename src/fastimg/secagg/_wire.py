"""Messages as bytes: a fixed head, strict fields, a digest, in the active model a signature. Nothing is guessed.

    "FISA" | version u16 | kind u8 | flags u8 | session 32 | body | SHA-256 of all before | Ed25519 signature (flag 1)

Numbers are little-endian. The digest finds damage on the way; only the signature says who spoke.
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum
from typing import Any

from ..errors import FormatError, RefusedError
from . import _native

__all__ = [
    "DIGEST",
    "READ",
    "VERSION",
    "Kind",
    "NodeId",
    "Reader",
    "id_bytes",
    "id_from",
    "pack",
    "unpack",
    "version_of",
]

MAGIC = b"FISA"
VERSION = 2
READ = (1, 2)  # a server still plays rounds of version 1; a client speaks its own version
DIGEST = 32
SIGNATURE = 64
_HEAD = struct.Struct("<4sHBB32s")
_SIGNED = 1

NodeId = int | str


class Kind(IntEnum):
    """What a message is; odd ones go to the server, even ones to a client."""

    ADVERTISE = 1
    ROSTER = 2
    SHARES = 3
    DELIVERY = 4
    MASKED = 5
    SURVIVORS = 6
    AGREED = 7
    CONFIRMED = 8
    UNMASK = 9


def pack(kind: Kind, session: bytes, *body: bytes, signer: Any = None, version: int = VERSION) -> bytes:
    """A message; `signer` is an Ed25519 private key."""
    head, _ = frame(kind, session, signer=signer, version=version)
    digest = hashlib.sha256(head)
    for part in body:
        digest.update(part)
    return b"".join([head, *body, _end(digest.digest(), signer)])


def frame(kind: Kind, session: bytes, *body: bytes, signer: Any = None, version: int = VERSION) -> tuple[bytes, int]:
    """(head and the body's beginning, bytes that must be left at the end) of a message that is made in one piece."""
    head = _HEAD.pack(MAGIC, version, kind, _SIGNED if signer is not None else 0, session)
    return head + b"".join(body), DIGEST + (SIGNATURE if signer is not None else 0)


def seal_frame(message: bytes, tail: int, signer: Any = None) -> None:
    """Put the digest, and the signature, into the end of a new message."""
    digest = hashlib.sha256(memoryview(message)[: len(message) - tail]).digest()
    _native.finish(message, _end(digest, signer))


def _end(digest: bytes, signer: Any) -> bytes:
    return digest if signer is None else digest + bytes(signer.sign(_signed_text(digest)))


def unpack(
    message: object, wanted: tuple[Kind, ...], versions: tuple[int, ...] = (VERSION,)
) -> tuple[Kind, bytes, Reader, bytes, bytes | None]:
    """(kind, session, body, text that the signature covers, signature or None) of a whole, undamaged message."""
    if not isinstance(message, (bytes, bytearray, memoryview)):
        raise FormatError(f"secagg: a message is bytes, got {type(message).__name__}")
    view = memoryview(message).cast("B")
    if len(view) < _HEAD.size + DIGEST:
        raise FormatError("secagg: the message is cut short")
    magic, version, kind, flags, session = _HEAD.unpack_from(view)
    if magic != MAGIC:
        raise FormatError("secagg: not a message of secure aggregation")
    if version not in READ:
        raise FormatError(f"secagg: the message has version {version}; this fastimg reads version 1 to {VERSION}")
    if version not in versions:
        raise FormatError(f"secagg: the message has version {version}; this round has another")
    if flags not in (0, _SIGNED):
        raise FormatError("secagg: unknown flags")
    end = len(view) - (SIGNATURE if flags else 0) - DIGEST
    if end < _HEAD.size:
        raise FormatError("secagg: the message is cut short")
    digest = hashlib.sha256(view[:end]).digest()
    if digest != view[end : end + DIGEST]:
        raise FormatError("secagg: the message was damaged on its way")
    if kind not in Kind.__members__.values():
        raise FormatError("secagg: unknown kind of message")
    if kind not in wanted:
        expected = " or ".join(k.name for k in wanted) or "nothing more"
        raise RefusedError(f"secagg: out of order: expected {expected}, got {Kind(kind).name}")
    signature = bytes(view[end + DIGEST :]) if flags else None
    return Kind(kind), session, Reader(view[_HEAD.size : end]), _signed_text(digest), signature


def version_of(message: bytes) -> int:
    """The version that a checked message states."""
    return int.from_bytes(memoryview(message)[4:6], "little")


def _signed_text(digest: bytes) -> bytes:
    return b"fastimg secagg message\0" + digest


class Reader:
    """Takes fields off the front of a body; `end` insists that nothing is left."""

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def take(self, count: int) -> memoryview:
        """The next `count` bytes."""
        if count > len(self._view):
            raise FormatError("secagg: the message is cut short")
        taken, self._view = self._view[:count], self._view[count:]
        return taken

    def peek(self, count: int) -> memoryview:
        """The next bytes, at most `count`, which stay."""
        return self._view[:count]

    def u8(self) -> int:
        """A byte."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Two bytes."""
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        """Four bytes."""
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        """Eight bytes."""
        return int.from_bytes(self.take(8), "little")

    def f64(self) -> float:
        """A double."""
        return float(struct.unpack("<d", self.take(8))[0])

    def blob(self) -> bytes:
        """A length of 4 bytes and so many bytes."""
        return bytes(self.take(self.u32()))

    def rest(self) -> memoryview:
        """Everything left."""
        taken, self._view = self._view, self._view[:0]
        return taken

    def end(self) -> None:
        """Refuse what is left over."""
        if len(self._view):
            raise FormatError("secagg: the message is longer than its fields")


def id_bytes(node: NodeId) -> bytes:
    """A node's name as bytes: a kind, a length, the name."""
    if isinstance(node, bool) or not isinstance(node, (int, str)):
        raise FormatError("secagg: a node's name is a whole number or a string")
    if isinstance(node, int):
        if not 0 <= node < 1 << 32:
            raise FormatError("secagg: a node's number lies between 0 and 2**32 - 1")
        return b"\0\4" + node.to_bytes(4, "big")
    text = node.encode()
    if not 1 <= len(text) <= 64 or not node.isprintable():
        raise FormatError("secagg: a node's name has 1 to 64 printable bytes")
    return bytes([1, len(text)]) + text


def id_from(reader: Reader) -> NodeId:
    """The inverse of `id_bytes`; another way to write the same name is refused."""
    kind, size = reader.u8(), reader.u8()
    raw = bytes(reader.take(size))
    try:
        node: NodeId = int.from_bytes(raw, "big") if kind == 0 else raw.decode()
    except UnicodeDecodeError:
        raise FormatError("secagg: a node's name is not UTF-8") from None
    if id_bytes(node) != bytes([kind, size]) + raw:
        raise FormatError("secagg: a node's name is not in its one form")
    return node
