"""What all parties of a round must agree on, and the adverts in which they say so."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._arrays import choice
from ..errors import ArgumentError, FormatError, RefusedError
from ._mask import PRGS, Prg, scale_of, whole
from ._wire import Kind, NodeId, Reader, id_bytes, id_from, unpack

__all__ = ["LEAST", "Advert", "NumberKind", "Terms", "default_threshold", "read_advert", "transcript"]

LEAST = 3  # survivors: a sum of two gives each party the other's part
_LARGEST = 4096  # nodes on the complete graph
NumberKind = Literal["float", "int", "uint"]
_KINDS: tuple[NumberKind, ...] = ("float", "int", "uint")
_FIELDS = struct.Struct("<HHHQBBBBd")


def default_threshold(n: int) -> tuple[int, int]:
    """(threshold, colluding): a third of the nodes may collude with the server, and 2 t > n + c."""
    colluding = (n - 1) // 3
    return max(2, (n + colluding) // 2 + 1), colluding


@dataclass(frozen=True, slots=True)
class Terms:
    """Format of the vector, size of the round, and who is trusted; hashed into every key."""

    request: bytes
    n: int
    threshold: int
    colluding: int
    length: int
    kind: NumberKind
    bits: int
    clip: float
    prg: Prg
    active: bool

    def __post_init__(self) -> None:
        whole("n", self.n, LEAST, _LARGEST)
        whole("threshold", self.threshold, 2, self.n)
        whole("colluding", self.colluding, 0, self.n - 1)
        whole("length", self.length, 1, 1 << 32)
        choice("kind", self.kind, _KINDS)
        choice("prg", self.prg, PRGS)
        if not isinstance(self.request, bytes) or len(self.request) > 64:
            raise ArgumentError("request: at most 64 bytes")
        if self.kind == "float":
            scale_of(self.bits, self.clip)
        else:
            whole("bits", self.bits, 1, 64)
            if self.clip != 0:
                raise ArgumentError("clip: only for vectors of floats")
        if self.modulus_bits > 64:
            raise ArgumentError(
                f"bits: a sum of {self.n} values of {self.bits} bits needs {self.modulus_bits} bits; 64 is the most"
            )
        if self.active and not 2 * self.threshold > self.n + self.colluding:
            raise ArgumentError(
                f"threshold: against a lying server 2 * threshold must be above n + colluding; "
                f"got {self.threshold} for n={self.n}, colluding={self.colluding}"
            )

    @property
    def modulus_bits(self) -> int:
        """bits + log2 n, rounded up: no sum of n values wraps."""
        return self.bits + (self.n - 1).bit_length()

    @property
    def width(self) -> int:
        """Bytes an element takes on the wire."""
        return -(-self.modulus_bits // 8)

    @property
    def word(self) -> np.dtype[Any]:
        """The words in which masks are added."""
        return np.dtype(np.uint32 if self.width <= 4 else np.uint64)

    def to_bytes(self) -> bytes:
        """The one form in which terms are sent and hashed."""
        fields = _FIELDS.pack(
            self.n,
            self.threshold,
            self.colluding,
            self.length,
            _KINDS.index(self.kind),
            self.bits,
            PRGS.index(self.prg),
            self.active,
            self.clip,
        )
        return fields + bytes([len(self.request)]) + self.request

    @classmethod
    def read(cls, reader: Reader) -> Terms:
        """The inverse of `to_bytes`."""
        n, threshold, colluding, length, kind, bits, prg, active, clip = _FIELDS.unpack(reader.take(_FIELDS.size))
        request = bytes(reader.take(reader.u8()))
        try:
            if active > 1:
                raise IndexError
            return cls(
                request,
                n,
                threshold,
                colluding,
                length,
                _KINDS[kind],
                bits,
                clip,
                PRGS[prg],
                bool(active),
            )
        except (ArgumentError, IndexError):
            raise FormatError("secagg: the message states impossible terms") from None

    def decode(self, words: Any) -> Any:
        """The sum from its words: float64 in units, int64, or uint64."""
        mask = (1 << 8 * self.width) - 1
        values = words.astype(np.uint64) & np.uint64(mask)
        if self.kind == "uint":
            return values
        sign = np.uint64(1 << (8 * self.width - 1))
        signed = ((values ^ sign) - sign).view(np.int64)
        return signed if self.kind == "int" else signed / scale_of(self.bits, self.clip)[0]

    def bound(self) -> int:
        """The largest magnitude that one honest value has."""
        return (1 << self.bits) - 1 if self.kind == "uint" else (1 << (self.bits - 1)) - 1


@dataclass(frozen=True, slots=True)
class Advert:
    """One node's keys for one round: X25519 for shares and for masks, and a commitment to its self mask."""

    node: NodeId
    share_key: bytes
    mask_key: bytes
    commitment: bytes
    message: bytes
    signed: bytes
    signature: bytes | None


def read_advert(message: bytes, terms: Terms | None) -> tuple[Terms, Advert]:
    """Terms and keys; other terms than `terms` are refused."""
    _, session, reader, signed, signature = unpack(message, (Kind.ADVERTISE,))
    theirs = Terms.read(reader)
    node = id_from(reader)
    share_key, mask_key, commitment = (bytes(reader.take(32)) for _ in range(3))
    reader.end()
    if session != hashlib.sha256(theirs.to_bytes()).digest():
        raise FormatError("secagg: the message's session does not fit its terms")
    if terms is not None and theirs != terms:
        raise RefusedError("secagg: a node states other terms (request, n, threshold, length, bits, clip, prg, model)")
    if (signature is None) == theirs.active:
        raise RefusedError("secagg: signatures do not fit the model of the round")
    return theirs, Advert(node, share_key, mask_key, commitment, bytes(message), signed, signature)


def transcript(terms: Terms, adverts: Sequence[Advert]) -> bytes:
    """The session: every key of the round is bound to the terms and to all adverts, in the order of names."""
    digest = hashlib.sha256(b"fastimg secagg session v1\0" + terms.to_bytes())
    for advert in sorted(adverts, key=lambda a: id_bytes(a.node)):
        digest.update(id_bytes(advert.node) + advert.share_key + advert.mask_key + advert.commitment)
    return digest.digest()
