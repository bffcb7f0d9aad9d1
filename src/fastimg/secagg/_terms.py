"""What all parties of a round must agree on, and the adverts in which they say so."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from .._arrays import choice
from ..errors import ArgumentError, FormatError, RefusedError
from . import _graph
from ._mask import PRGS, ROUNDINGS, Prg, Rounding, scale_of, whole
from ._wire import READ, VERSION, Kind, NodeId, Reader, id_bytes, id_from, unpack, version_of

__all__ = ["LARGEST", "LEAST", "Advert", "NumberKind", "Terms", "default_threshold", "read_advert", "transcript"]

LEAST = 3  # survivors: a sum of two gives each party the other's part
LARGEST = 4096  # nodes
NumberKind = Literal["float", "int", "uint", "modular"]
_KINDS: tuple[NumberKind, ...] = ("float", "int", "uint", "modular")
_FIELDS_1 = struct.Struct("<HHHQBBBBd")
_FIELDS = struct.Struct("<HHHHQBBBBBBd")


def default_threshold(n: int) -> tuple[int, int]:
    """(threshold, colluding) of a complete graph: a third of the nodes may collude with the server, 2 t > n + c."""
    colluding = (n - 1) // 3
    return max(2, (n + colluding) // 2 + 1), colluding


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Format of the vector, size of the round, and who is trusted; hashed into every key.

    neighbours: 0 for the complete graph. threshold: shares that open a secret. ranges: digest of the columns' ranges, or
    empty. guard: bits beyond those of the sum, for noise. privacy: what `Privacy` states, or empty.
    """

    request: bytes
    n: int
    threshold: int
    colluding: int
    neighbours: int = 0
    length: int
    kind: NumberKind
    bits: int
    guard: int = 0
    clip: float
    ranges: bytes = b""
    rounding: Rounding = "nearest"
    privacy: bytes = b""
    prg: Prg
    active: bool
    version: int = VERSION

    def __post_init__(self) -> None:
        whole("n", self.n, LEAST, LARGEST)
        whole("threshold", self.threshold, 2, self.n)
        whole("colluding", self.colluding, 0, self.n - 1)
        whole("length", self.length, 1, 1 << 32)
        whole("guard", self.guard, 0, 32)
        choice("kind", self.kind, _KINDS)
        choice("prg", self.prg, PRGS)
        choice("rounding", self.rounding, ROUNDINGS)
        if not isinstance(self.request, bytes) or len(self.request) > 64:
            raise ArgumentError("request: at most 64 bytes")
        if len(self.ranges) not in (0, 32) or len(self.privacy) > 64:
            raise ArgumentError("ranges: a digest of 32 bytes")
        if self.kind == "float":
            scale_of(self.bits, self.clip)
        else:
            whole("bits", self.bits, 1, 64)
            if self.clip != 0 or self.ranges or self.rounding != "nearest" or self.privacy:
                raise ArgumentError("clip, rounding and privacy: only for vectors of floats")
        if self.modulus_bits > 64:
            raise ArgumentError(
                f"bits: a sum of {self.n} values of {self.bits} bits needs {self.modulus_bits} bits; 64 is the most"
            )
        self._check_graph()

    def _check_graph(self) -> None:
        if self.neighbours:
            whole("neighbours", self.neighbours, 4, LARGEST)
            if self.neighbours % 2 or self.threshold > self.neighbours:
                raise ArgumentError("neighbours: an even number, not below the threshold")
            held = _graph.colluders(self.n, self.colluding, self.neighbours, self.active)
            if self.threshold <= held:
                raise ArgumentError(
                    f"threshold: of {self.neighbours} neighbours {held} may collude when {self.colluding} of {self.n} "
                    f"nodes do; got {self.threshold}"
                )
            return
        if self.active and not 2 * self.threshold > self.n + self.colluding:
            raise ArgumentError(
                f"threshold: against a lying server 2 * threshold must be above n + colluding; "
                f"got {self.threshold} for n={self.n}, colluding={self.colluding}"
            )
        if self.threshold <= self.colluding:
            raise ArgumentError(f"threshold: must be above colluding, got {self.threshold} and {self.colluding}")

    @property
    def modulus_bits(self) -> int:
        """bits + log2 n, rounded up, and the guard: no sum of n values wraps."""
        return self.bits if self.kind == "modular" else self.bits + (self.n - 1).bit_length() + self.guard

    @property
    def packed_bits(self) -> int:
        """Bits an element takes on the wire: k; version 1 filled bytes."""
        return -(-self.modulus_bits // 8) * 8 if self.version == 1 else self.modulus_bits

    @property
    def packed_size(self) -> int:
        """Bytes of a masked vector."""
        return -(-self.length * self.packed_bits // 8)

    @property
    def word(self) -> np.dtype[Any]:
        """The words in which masks are added."""
        return np.dtype(np.uint32 if self.packed_bits <= 32 else np.uint64)

    def least(self, count: int) -> int:
        """Survivors of a roster of `count` below which no client opens anything."""
        return _graph.least_survivors(count, self.threshold, self.colluding, self.neighbours, self.active)

    def quorum(self, count: int) -> int:
        """Signatures over the same survivors without which, in the active model, no client opens anything.

        Any two sets of so many share a node that does not collude, and such a node signs once: 2 q > n + c.
        """
        return self.least(count) if self.neighbours and self.neighbours < count - 1 else self.threshold

    def to_bytes(self) -> bytes:
        """The one form in which terms are sent and hashed."""
        kind, prg, request = _KINDS.index(self.kind), PRGS.index(self.prg), bytes([len(self.request)]) + self.request
        if self.version == 1:
            fields = (self.n, self.threshold, self.colluding, self.length, kind, self.bits, prg, self.active, self.clip)
            return _FIELDS_1.pack(*fields) + request
        head = _FIELDS.pack(
            self.n,
            self.threshold,
            self.colluding,
            self.neighbours,
            self.length,
            kind,
            self.bits,
            self.guard,
            ROUNDINGS.index(self.rounding),
            prg,
            self.active,
            self.clip,
        )
        tail = [bytes([len(part)]) + part for part in (self.ranges, self.privacy)]
        return head + b"".join(tail) + request

    @classmethod
    def read(cls, reader: Reader, version: int) -> Terms:
        """The inverse of `to_bytes`."""
        if version == 1:
            n, threshold, colluding, length, kind, bits, prg, active, clip = _FIELDS_1.unpack(
                reader.take(_FIELDS_1.size)
            )
            neighbours, guard, rounding, ranges, privacy = 0, 0, 0, b"", b""
        else:
            n, threshold, colluding, neighbours, length, kind, bits, guard, rounding, prg, active, clip = (
                _FIELDS.unpack(reader.take(_FIELDS.size))
            )
            ranges, privacy = (bytes(reader.take(reader.u8())) for _ in range(2))
        request = bytes(reader.take(reader.u8()))
        try:
            if active > 1 or (version == 1 and kind > 2):
                raise IndexError
            return cls(
                request=request,
                n=n,
                threshold=threshold,
                colluding=colluding,
                neighbours=neighbours,
                length=length,
                kind=_KINDS[kind],
                bits=bits,
                guard=guard,
                clip=clip,
                ranges=ranges,
                rounding=ROUNDINGS[rounding],
                privacy=privacy,
                prg=PRGS[prg],
                active=bool(active),
                version=version,
            )
        except (ArgumentError, IndexError):
            raise FormatError("secagg: the message states impossible terms") from None

    def decode(self, words: Any, ranges: Any = None) -> Any:
        """The sum from its words: float64 in units, int64, or uint64."""
        values = words.astype(np.uint64) & np.uint64((1 << self.packed_bits) - 1)
        if self.kind in ("uint", "modular"):
            return values
        sign = np.uint64(1 << (self.packed_bits - 1))
        signed = ((values ^ sign) - sign).view(np.int64)
        if self.kind == "int":
            return signed
        steps = signed / scale_of(self.bits, self.clip)[0]
        return steps if ranges is None else steps * ranges

    def bound(self) -> int:
        """The largest magnitude that one honest value has."""
        return (1 << self.bits) - 1 if self.kind in ("uint", "modular") else (1 << (self.bits - 1)) - 1

    def with_guard(self, guard: int) -> Terms:
        """The same with so many bits for noise."""
        return replace(self, guard=guard)


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
    versions = READ if terms is None else (terms.version,)
    _, session, reader, signed, signature = unpack(message, (Kind.ADVERTISE,), versions)
    stated = bytes(reader.peek(len(terms.to_bytes()))) if terms is not None else b""
    if terms is not None and stated == terms.to_bytes():
        theirs = terms
        reader.take(len(stated))
    else:
        theirs = Terms.read(reader, version_of(message))
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
    digest = hashlib.sha256(b"fastimg secagg session v%d\0" % terms.version + terms.to_bytes())
    for advert in sorted(adverts, key=lambda a: id_bytes(a.node)):
        digest.update(id_bytes(advert.node) + advert.share_key + advert.mask_key + advert.commitment)
    return digest.digest()
