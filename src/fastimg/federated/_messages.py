"""The envelope of everything between a hub and a node: one byte of kind, a key, a body of raw bytes.

To a node: NAME, who it is; ASK with a query; GIVE with the key of an open round and a message of secure aggregation. Back: REPLY with the
answer, or FAILURE with a short text: the rule that refused, or the kind of error, never its words.
"""

from __future__ import annotations

from ..errors import FastimgError, FormatError, RefusedError

__all__ = ["ASK", "GIVE", "LIMIT", "NAME", "ask", "failure", "give", "opened", "reply", "result"]

ASK, GIVE, NAME, REPLY, FAILURE = b"Q", b"G", b"N", b"R", b"F"
LIMIT = 1 << 30
_KEY = 255


def ask(query: bytes) -> bytes:
    """A query for a node."""
    return ASK + b"\0" + query


def give(key: str, message: bytes) -> bytes:
    """A message of the open round `key`."""
    name = key.encode()
    return GIVE + bytes([len(name)]) + name + message


def opened(message: bytes) -> tuple[bytes, str, bytes]:
    """(kind, key, body) at a node."""
    if not 2 <= len(message) <= LIMIT or message[:1] not in (ASK, GIVE, NAME) or len(message) < 2 + message[1]:
        raise FormatError("federated: not a message of a hub")
    end = 2 + message[1]
    try:
        return message[:1], message[2:end].decode("ascii"), message[end:]
    except UnicodeDecodeError:
        raise FormatError("federated: not a message of a hub") from None


def reply(body: bytes) -> bytes:
    """An answer."""
    return REPLY + body


def failure(text: str) -> bytes:
    """Why there is none."""
    return FAILURE + text.encode()[:500]


def result(message: bytes) -> bytes | Exception:
    """What a node said: the answer, or its error."""
    if message[:1] == REPLY:
        return message[1:]
    if message[:1] != FAILURE:
        return FormatError("federated: not a message of a node")
    text = message[1:501].decode("utf-8", "replace")
    return RefusedError(text) if text.startswith("rule ") else FastimgError(text)
