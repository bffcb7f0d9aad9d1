"""Keys of a round: X25519, HKDF-SHA256, ChaCha20-Poly1305, Ed25519, all of the `cryptography` package."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import ArgumentError, RefusedError
from ._wire import NodeId, id_bytes

__all__ = [
    "agreed",
    "commit",
    "identity_of",
    "open_box",
    "pair_seed",
    "private_key",
    "public_key",
    "roster_of",
    "seal",
    "self_seed",
    "shared",
    "verify",
]


def _derive(secret: bytes, session: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=session, info=info).derive(secret)


def private_key(secret: bytes) -> X25519PrivateKey:
    """The X25519 private key of 32 bytes."""
    return X25519PrivateKey.from_private_bytes(secret)


def public_key(secret: bytes) -> bytes:
    """The X25519 public key of 32 private bytes."""
    return private_key(secret).public_key().public_bytes_raw()


def shared(private: X25519PrivateKey, public: bytes) -> bytes:
    """What two nodes agree on; a key of low order is refused."""
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # a point of low order
        raise RefusedError("secagg: a node's public key is not usable") from None


def pair_seed(private: X25519PrivateKey, public: bytes, session: bytes, one: NodeId, other: NodeId) -> bytes:
    """The seed of the mask that two nodes share; the same for both."""
    low, high = sorted((id_bytes(one), id_bytes(other)))
    return _derive(shared(private, public), session, b"fastimg secagg pair mask\0" + low + high)


def self_seed(secret: bytes, session: bytes) -> bytes:
    """The seed of a node's own mask."""
    return _derive(secret, session, b"fastimg secagg self mask\0")


def commit(secret: bytes, node: NodeId) -> bytes:
    """Binds a node to its self mask; hides it, since it is 256 random bits."""
    return hmac.new(secret, b"fastimg secagg commitment\0" + id_bytes(node), hashlib.sha256).digest()


def _box(secret: bytes, session: bytes, sender: NodeId, receiver: NodeId) -> ChaCha20Poly1305:
    info = b"fastimg secagg share\0" + id_bytes(sender) + id_bytes(receiver)
    return ChaCha20Poly1305(_derive(secret, session, info))


_NONCE = bytes(12)  # a key seals one message: it is new for each session, sender and receiver


def seal(secret: bytes, session: bytes, sender: NodeId, receiver: NodeId, text: bytes) -> bytes:
    """Encrypted and authenticated for one receiver, under what the two agreed on."""
    return _box(secret, session, sender, receiver).encrypt(_NONCE, text, session)


def open_box(secret: bytes, session: bytes, sender: NodeId, receiver: NodeId, text: bytes) -> bytes:
    """The inverse of `seal`."""
    try:
        return _box(secret, session, sender, receiver).decrypt(_NONCE, text, session)
    except InvalidTag:
        raise RefusedError("secagg: a share was changed on its way, or is of another round") from None


def identity_of(identity: Any) -> Ed25519PrivateKey:
    """An Ed25519 private key, or its 32 raw bytes."""
    if isinstance(identity, Ed25519PrivateKey):
        return identity
    if isinstance(identity, bytes) and len(identity) == 32:
        return Ed25519PrivateKey.from_private_bytes(identity)
    raise ArgumentError("identity: an Ed25519PrivateKey or its 32 raw bytes")


def roster_of(roster: Any) -> dict[NodeId, bytes]:
    """node -> 32 raw bytes of its Ed25519 public key."""
    if not isinstance(roster, Mapping):
        raise ArgumentError("roster: a mapping of node names to Ed25519 public keys")
    found = {}
    for node, key in roster.items():
        raw = key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else key
        if not isinstance(raw, bytes) or len(raw) != 32:
            raise ArgumentError("roster: a key is an Ed25519PublicKey or its 32 raw bytes")
        id_bytes(node)
        found[node] = raw
    if len(set(found.values())) != len(found):
        raise ArgumentError("roster: two nodes have the same key")
    return found


def verify(roster: Mapping[NodeId, bytes], node: NodeId, signature: bytes | None, text: bytes) -> None:
    """Refuse a stranger and a wrong signature."""
    key = roster.get(node)
    if key is None or signature is None:
        raise RefusedError("secagg: a node is not in the roster")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except (InvalidSignature, ValueError):
        raise RefusedError("secagg: a signature is wrong") from None


def agreed(session: bytes, survivors: bytes) -> bytes:
    """What a node signs: the survivors that the server named to it."""
    return b"fastimg secagg survivors\0" + session + survivors
