"""Who is who: Ed25519 keys in files of their own, and the roster that an authority signs and every node pins.

A roster names requesters and nodes with their public keys. It is signed as a whole and carries a serial number that only
rises: a node never takes an older one. What was revoked is named, so that it cannot come back under another name.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ..errors import ArgumentError, FormatError, RefusedError
from ._codec import dumps, loads

__all__ = ["Entry", "Identity", "Roster", "verify"]

_KEY, _ROSTER, _VERSION = "fastimg-key", "fastimg-roster", 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HEX = re.compile(r"[0-9a-f]{64}")
ROLES = ("requester", "node")


class Identity:
    """A name and its private key; signs bytes. Neither printed nor pickled.

    Examples
    --------
    >>> import fastimg as fi
    >>> me = fi.federated.Identity.new("statistician")
    >>> me
    Identity('statistician')
    """

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self.name, self._key = _checked_name(name), key

    @classmethod
    def new(cls, name: str) -> Identity:
        """A fresh key."""
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Identity:
        """From a file that nobody else may read (mode 0600).

        Raises ArgumentError where `path` cannot be read, FormatError where it holds no key, RefusedError where others
        may read it.
        """
        file = Path(path)
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            with open(descriptor, "rb") as stream:
                if os.fstat(descriptor).st_mode & 0o077:
                    raise RefusedError(f"key: others may read {file.name}; set its mode to 0600")
                record = json.loads(stream.read(4096))
            if record["format"] != _KEY or record["version"] != _VERSION:
                raise ValueError
            return cls(record["name"], Ed25519PrivateKey.from_private_bytes(bytes.fromhex(record["key"])))
        except OSError as error:
            raise ArgumentError(f"key: {file.name} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise FormatError(f"key: {file.name} is not a {_KEY} file of version {_VERSION}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """To a new file of mode 0600; a file that is there is never written over.

        Raises ArgumentError where `path` cannot be made.
        """
        file = Path(path)
        record = {"format": _KEY, "version": _VERSION, "name": self.name, "key": self._key.private_bytes_raw().hex()}
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ArgumentError(f"key: {file.name} cannot be made: {error.strerror}") from None
        with open(descriptor, "w") as stream:
            json.dump(record, stream)
            stream.flush()
            os.fsync(stream.fileno())

    @property
    def public(self) -> str:
        """The public key, 64 hexadecimal digits."""
        return self._key.public_key().public_bytes_raw().hex()

    @property
    def private_bytes(self) -> bytes:
        """For secagg.Client, which signs with the same key."""
        return self._key.private_bytes_raw()

    def sign(self, data: bytes) -> str:
        """Ed25519 signature (RFC 8032), hexadecimal. Of `data`, as it stands."""
        return self._key.sign(data).hex()

    def __repr__(self) -> str:
        return f"Identity({self.name!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Identity holds a private key: it is not pickled")


def verify(public: str, data: bytes, signature: str) -> bool:
    """Whether the signature is that key's over the data."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Entry:
    """A member: name, role ("requester" or "node"), public key."""

    name: str
    role: str
    key: str


@dataclass(frozen=True, slots=True)
class Roster:
    """Members of a federation, signed by its authority.

    Parameters
    ----------
    entries : tuple of Entry
    revoked : tuple of str
        Public keys that may never stand in a roster again.
    serial : int
    authority, signature : str
        Hexadecimal.
    """

    entries: tuple[Entry, ...] = ()
    revoked: tuple[str, ...] = ()
    serial: int = 0
    authority: str = ""
    signature: str = field(default="", repr=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, authority: str) -> Roster:
        """From a file; the signature must be that of `authority`, a public key pinned beforehand.

        Raises ArgumentError where `path` cannot be read, and as for `Roster.from_bytes`.
        """
        file = Path(path)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ArgumentError(f"roster: {file.name} cannot be read: {error.strerror}") from None
        return cls.from_bytes(data, authority=authority)

    @classmethod
    def from_bytes(cls, data: bytes, *, authority: str) -> Roster:
        """The inverse of `to_bytes`; anything that is not wholly as `authority` signed it is refused.

        Raises FormatError where `data` are no roster, RefusedError where the signature is another's.
        """
        body = loads(data, limit=1 << 22)
        try:
            if body["format"] != _ROSTER or body["format_version"] != _VERSION:
                raise ValueError
            entries = tuple(Entry(*(str(entry[key]) for key in ("name", "role", "key"))) for entry in body["entries"])
            roster = cls(
                entries, tuple(map(str, body["revoked"])), int(body["serial"]), body["authority"], body["signature"]
            )
        except (ValueError, KeyError, TypeError):
            raise FormatError(f"roster: not a {_ROSTER} file of version {_VERSION}") from None
        roster._check()
        if roster.authority != authority or not verify(authority, roster._signed(), roster.signature):
            raise RefusedError("rule roster: it is not signed by the authority that this node trusts")
        return roster

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return dumps({**self._body(), "signature": self.signature})

    def signed(self, authority: Identity) -> Roster:
        """The next roster: serial raised by one, signed."""
        found = replace(self, serial=self.serial + 1, authority=authority.public, signature="")
        found._check()
        return replace(found, signature=authority.sign(found._signed()))

    def trust(self, name: str, role: str, key: str) -> Roster:
        """With one more member; sign it afterwards.

        `name` and `role` ("node", "requester") as rosters have them, `key` its public key. Raises RefusedError where
        that key was revoked.
        """
        if key in self.revoked:
            raise RefusedError("roster: this key was revoked")
        rest = tuple(e for e in self.entries if (e.name, e.role) != (name, role))
        found = replace(self, entries=(*rest, Entry(_checked_name(name), role, key)), signature="")
        found._check()
        return found

    def rotate(self, name: str, role: str, key: str) -> Roster:
        """With another key for a member; the old one is revoked.

        `name` and `role` say whose; ArgumentError where there is none.
        """
        old = self.key(name, role)
        if old is None:
            raise ArgumentError(f"roster: it has no {role} {name!r}")
        return replace(self.trust(name, role, key), revoked=(*self.revoked, old))

    def revoke(self, name: str) -> Roster:
        """Without the members of this name; their keys never come back. Raises ArgumentError where there is none."""
        gone = [e for e in self.entries if e.name == name]
        if not gone:
            raise ArgumentError(f"roster: it has no member {name!r}")
        rest = tuple(e for e in self.entries if e.name != name)
        return replace(self, entries=rest, revoked=(*self.revoked, *(e.key for e in gone)), signature="")

    def key(self, name: str, role: str) -> str | None:
        """A member's public key. None where there is no `name` in this `role`."""
        return next((e.key for e in self.entries if (e.name, e.role) == (name, role)), None)

    def nodes(self) -> dict[str, bytes]:
        """Node -> public key, as secagg.Client takes its roster."""
        return {e.name: bytes.fromhex(e.key) for e in self.entries if e.role == "node"}

    def _body(self) -> dict[str, Any]:
        entries = [{"name": e.name, "role": e.role, "key": e.key} for e in self.entries]
        body = {"entries": entries, "revoked": list(self.revoked), "serial": self.serial, "authority": self.authority}
        return {"format": _ROSTER, "format_version": _VERSION, **body}

    def _signed(self) -> bytes:
        return b"fastimg roster\n" + dumps(self._body())

    def _check(self) -> None:
        for entry in self.entries:
            if entry.role not in ROLES or not _NAME.fullmatch(entry.name) or not _HEX.fullmatch(entry.key):
                raise FormatError("roster: a member's name, role or key is not well formed")
        keys = [e.key for e in self.entries]
        if len({(e.name, e.role) for e in self.entries}) != len(keys) or len(set(keys)) != len(keys):
            raise FormatError("roster: a member or a key stands twice")
        if set(keys) & set(self.revoked):
            raise FormatError("roster: a revoked key stands among the members")
        if not 0 <= self.serial < 1 << 53:
            raise FormatError("roster: its serial number is out of range")


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArgumentError("name: 1 to 64 of A-Z a-z 0-9 . _ @ -, beginning with a letter or digit")
    return name


def fresh_nonce() -> str:
    """128 bits, hexadecimal."""
    return secrets.token_hex(16)
