"""A node's side of a round: bytes in, bytes out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from .._arrays import native
from ..errors import ArgumentError, FormatError, RefusedError
from . import _keys, _native, _shamir
from ._mask import Prg, apply, whole
from ._terms import LEAST, Advert, NumberKind, Terms, default_threshold, read_advert, transcript
from ._wire import Kind, NodeId, Reader, id_bytes, pack, unpack

__all__ = ["Client"]

_SECRET = 32
_SHARE = 48  # bytes of a share of 32


class Client:
    """One node in one round of secure aggregation.

    Parameters
    ----------
    node_id : int or str
        The node's name in this round.
    vector : array
        One axis. float32 or float64: `bits` and `clip` as in `mask`; int64: magnitudes below 2**(bits-1); uint32 or
        uint64: values below 2**bits. NumPy.
    n : int
        Nodes invited, at least 3.
    threshold : int, optional
        Nodes needed to open the sum. Default: for a third of the nodes colluding; 20 of 30.
    bits, clip
        Of the values. Whole numbers take no clip; default bits: 32 for uint32, else what n leaves of 64.
    identity : Ed25519PrivateKey or bytes, optional
    roster : mapping, optional
        node -> Ed25519 public key, pinned beforehand. Both or neither: without them the server is believed to be honest
        (the passive model), which is for rounds inside one machine.
    colluding : int, optional
        Nodes that may collude with a lying server: the active model insists on 2 threshold > n + colluding.
    request : bytes
        What this round is for, at most 64 bytes; the same at all nodes.
    prg : {"aes128-ctr", "chacha20"}
    threads : int, optional

    Notes
    -----
    A client is of one round: it makes new keys, answers each message once, and refuses what is out of order, damaged,
    of another round, or names fewer than max(threshold, 3) survivors. A refused message changes nothing. The protocol is
    Bonawitz et al., CCS 2017 (complete graph); docs/design/threat-model.md says what it hides from whom.
    """

    def __init__(
        self,
        node_id: NodeId,
        vector: Any,
        *,
        n: int,
        threshold: int | None = None,
        bits: int | None = None,
        clip: float | None = None,
        identity: Any = None,
        roster: Any = None,
        colluding: int | None = None,
        request: bytes = b"",
        prg: Prg = "aes128-ctr",
        threads: int | None = None,
    ) -> None:
        if (identity is None) != (roster is None):
            raise ArgumentError("identity and roster: give both (active model) or neither (passive model)")
        self._signer = None if identity is None else _keys.identity_of(identity)
        self._roster = None if roster is None else _keys.roster_of(roster)
        self._terms = terms_of(vector, n, threshold, colluding, bits, clip, request, prg, roster is not None)
        try:
            id_bytes(node_id)
        except FormatError as error:
            raise ArgumentError(f"node_id: {error}") from None
        if (
            self._signer is not None
            and self._roster is not None
            and self._roster.get(node_id) != self._signer.public_key().public_bytes_raw()
        ):
            raise ArgumentError("identity: its public key is not the roster's for this node")
        self._node = node_id
        self._threads = threads
        self._clipped = 0
        self._words = self._prepare(vector)
        self._wants: tuple[Kind, ...] = ()
        self._started = False
        self._share_key, self._mask_key, self._own = (os.urandom(_SECRET) for _ in range(3))
        self._adverts: list[Advert] = []
        self._advert = b""
        self._session = b""
        self._kept: dict[int, tuple[bytes, bytes]] = {}  # sender's place -> shares of its mask key and of its self mask
        self._agreed: dict[int, bytes] = {}  # place -> what was agreed with that node, for shares
        self._survivors: list[int] = []

    def __repr__(self) -> str:
        return f"Client({self._node!r}, n={self._terms.n}, threshold={self._terms.threshold})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Client holds keys of one round: it is not pickled")

    @property
    def clipped(self) -> int:
        """How many values of the vector lay outside [-clip, clip]."""
        return self._clipped

    @property
    def done(self) -> bool:
        """Whether the client has said all it will say."""
        return self._started and not self._wants

    def start(self) -> bytes:
        """The first message: this round's public keys."""
        if self._started:
            raise RefusedError("secagg: this client has started; a new round needs a new client")
        terms = self._terms.to_bytes()
        keys = (
            _keys.public_key(self._share_key) + _keys.public_key(self._mask_key) + _keys.commit(self._own, self._node)
        )
        session = hashlib.sha256(terms).digest()
        self._advert = pack(Kind.ADVERTISE, session, terms, id_bytes(self._node), keys, signer=self._signer)
        self._started, self._wants = True, (Kind.ROSTER,)
        return self._advert

    def receive(self, message: bytes) -> bytes | None:
        """Answer the server's message.

        Raises
        ------
        FormatError
            Damaged, cut short, too long, of another format or version.
        RefusedError
            Out of order, replayed, of another round, of a stranger, or against a rule that protects this node.
        """
        kind, session, reader, _, signature = unpack(message, self._wants)
        if signature is not None:
            raise FormatError("secagg: a server's message carries no signature")
        if kind is Kind.ROSTER:
            return self._on_roster(session, reader)
        if session != self._session:
            raise RefusedError("secagg: the message is of another round")
        if kind is Kind.DELIVERY:
            return self._on_delivery(reader)
        if kind is Kind.SURVIVORS:
            return self._on_survivors(reader)
        return self._on_confirmed(reader)

    # -- the rounds ---------------------------------------------------------------------------------------------------

    def _on_roster(self, session: bytes, reader: Reader) -> bytes:
        """All adverts -> encrypted shares of both secrets for every other node."""
        terms = self._terms
        blobs = [reader.blob() for _ in range(reader.u16())]
        reader.end()
        adverts = [read_advert(blob, terms)[1] for blob in blobs]
        names = [id_bytes(advert.node) for advert in adverts]
        if names != sorted(set(names)):
            raise RefusedError("secagg: the roster names a node twice or is not in order")
        if not max(terms.threshold, LEAST) <= len(adverts) <= terms.n:
            raise RefusedError(
                f"secagg: {len(adverts)} nodes; between {max(terms.threshold, LEAST)} and {terms.n} are needed"
            )
        if self._advert not in blobs:
            raise RefusedError("secagg: the roster does not hold this node's own keys")
        keys = [key for advert in adverts for key in (advert.share_key, advert.mask_key)]
        if len(set(keys)) != len(keys):
            raise RefusedError("secagg: two nodes show the same key")
        if self._roster is not None:
            for advert in adverts:
                _keys.verify(self._roster, advert.node, advert.signature, advert.signed)
        if session != transcript(terms, adverts):
            raise RefusedError("secagg: the message's session is not that of its roster")
        points = range(1, len(adverts) + 1)
        mask_shares = _shamir.split(self._mask_key, points, terms.threshold)
        own_shares = _shamir.split(self._own, points, terms.threshold)
        place = names.index(id_bytes(self._node))
        body = [id_bytes(self._node), len(adverts).to_bytes(2, "little")]
        private, agreed = _keys.private_key(self._share_key), dict[int, bytes]()
        for i, advert in enumerate(adverts):
            text = mask_shares[i + 1] + own_shares[i + 1]
            if i == place:
                body.append(bytes(4))
                continue
            agreed[i] = _keys.shared(private, advert.share_key)
            sealed = _keys.seal(agreed[i], session, self._node, advert.node, text)
            body.append(len(sealed).to_bytes(4, "little") + sealed)
        self._adverts, self._session, self._place = adverts, session, place
        self._kept = {place: (mask_shares[place + 1], own_shares[place + 1])}
        self._agreed, self._share_key, self._wants = agreed, b"", (Kind.DELIVERY,)
        return pack(Kind.SHARES, session, *body, signer=self._signer)

    def _on_delivery(self, reader: Reader) -> bytes:
        """The others' shares -> the masked vector."""
        terms, kept = self._terms, dict(self._kept)
        for _ in range(reader.u16()):
            i, sealed = reader.u16(), reader.blob()
            if i >= len(self._adverts) or i in kept:
                raise RefusedError("secagg: a share of a stranger, or twice of one node")
            other = self._adverts[i]
            text = _keys.open_box(self._agreed[i], self._session, other.node, self._node, sealed)
            if len(text) != 2 * _SHARE:
                raise FormatError("secagg: a share has a wrong length")
            kept[i] = (text[:_SHARE], text[_SHARE:])
        reader.end()
        if len(kept) < max(terms.threshold, LEAST):
            raise RefusedError(f"secagg: only {len(kept)} nodes sent shares; {max(terms.threshold, LEAST)} are needed")
        seeds, signs = [_keys.self_seed(self._own, self._session)], [1]
        private = _keys.private_key(self._mask_key)
        for i in sorted(kept):
            if i == self._place:
                continue
            other = self._adverts[i]
            seeds.append(_keys.pair_seed(private, other.mask_key, self._session, self._node, other.node))
            signs.append(1 if self._place < i else -1)
        words = self._masked(seeds, signs)
        packed = _native.pack(words, terms.width, 0)
        self._kept, self._words, self._agreed, self._mask_key = kept, None, {}, b""
        self._wants = (Kind.SURVIVORS,)
        return pack(Kind.MASKED, self._session, id_bytes(self._node), packed, signer=self._signer)

    def _on_survivors(self, reader: Reader) -> bytes:
        """Who sent a vector -> in the active model a signature over them, else the shares."""
        text = bytes(reader.rest())
        survivors = read_places(Reader(memoryview(text)), len(self._adverts))
        least = max(self._terms.threshold, LEAST)
        if len(survivors) < least:
            raise RefusedError(f"secagg: {len(survivors)} survivors; below {least} no sum is opened")
        if self._place not in survivors or not set(survivors) <= self._kept.keys():
            raise RefusedError("secagg: the survivors leave out this node, or name one that sent no shares")
        if self._signer is None:
            return self._unmask(survivors)
        self._survivors, self._wants = survivors, (Kind.CONFIRMED,)
        signature = self._signer.sign(_keys.agreed(self._session, text))
        return pack(Kind.AGREED, self._session, id_bytes(self._node), signature, signer=self._signer)

    def _on_confirmed(self, reader: Reader) -> bytes:
        """At least threshold signatures over the same survivors -> the shares."""
        assert self._roster is not None
        text = _keys.agreed(self._session, places(self._survivors))
        seen = set()
        for _ in range(reader.u16()):
            i, signature = reader.u16(), bytes(reader.take(64))
            if i not in self._survivors or i in seen:
                raise RefusedError("secagg: a signature of a stranger, or twice of one node")
            _keys.verify(self._roster, self._adverts[i].node, signature, text)
            seen.add(i)
        reader.end()
        if len(seen) < self._terms.threshold:
            raise RefusedError(f"secagg: {len(seen)} nodes agree on the survivors; {self._terms.threshold} are needed")
        return self._unmask(self._survivors)

    def _unmask(self, survivors: list[int]) -> bytes:
        """Of each node one share: of its self mask if it survived, of its mask key if it dropped out. Once."""
        body = [id_bytes(self._node), len(self._kept).to_bytes(2, "little")]
        for i in sorted(self._kept):
            mask_share, own_share = self._kept[i]
            alive = i in survivors
            body.append(i.to_bytes(2, "little") + bytes([alive]) + (own_share if alive else mask_share))
        self._kept, self._own, self._wants = {}, b"", ()
        return pack(Kind.UNMASK, self._session, *body, signer=self._signer)

    # -- the vector ---------------------------------------------------------------------------------------------------

    def _prepare(self, vector: Any) -> Any:
        """Range checks before anything is sent; whole numbers become words."""
        terms = self._terms
        array = native(np.asarray(vector))
        if terms.kind == "float":
            if not np.isfinite(array).all():
                raise ArgumentError("vector: holds NaN or infinite values")
            return array.copy()
        bound = terms.bound()
        low = -bound if terms.kind == "int" else 0
        if int(array.max()) > bound or int(array.min()) < low:
            raise ArgumentError(f"vector: values lie outside [{low}, {bound}], which {terms.bits} bits hold")
        return array.astype(np.int64).view(np.uint64).astype(terms.word) if low else array.astype(terms.word)

    def _masked(self, seeds: list[bytes], signs: list[int]) -> Any:
        terms = self._terms
        out = np.empty(terms.length, terms.word)
        real = terms.kind == "float"
        options: dict[str, Any] = {"bits": terms.bits, "clip": terms.clip} if real else {"bits": None, "clip": None}
        threads = self._threads
        words, self._clipped = apply(self._words, seeds, signs, out=out, prg=terms.prg, threads=threads, **options)
        return words


def terms_of(
    vector: Any,
    n: int,
    threshold: int | None,
    colluding: int | None,
    bits: int | None,
    clip: float | None,
    request: bytes,
    prg: Prg,
    active: bool,
) -> Terms:
    """The terms that a vector and a client's options stand for."""
    array = np.asarray(vector)
    if array.ndim != 1 or not array.size:
        raise ArgumentError(f"vector: one axis with at least one value, got shape {array.shape}")
    kinds: dict[str, NumberKind] = {
        "float32": "float",
        "float64": "float",
        "int64": "int",
        "uint32": "uint",
        "uint64": "uint",
    }
    kind = kinds.get(array.dtype.name)
    if kind is None:
        raise ArgumentError(f"vector: dtype must be float32, float64, int64, uint32 or uint64, got {array.dtype}")
    whole("n", n, LEAST, 4096)
    usual = default_threshold(n)
    if kind == "float":
        if bits is None or clip is None:
            raise ArgumentError("bits and clip: a vector of floats needs both")
        clip = float(clip)
    elif clip is not None:
        raise ArgumentError("clip: only for vectors of floats")
    if bits is None:
        bits = 32 if array.dtype == np.uint32 else 64 - (n - 1).bit_length()
    return Terms(
        request,
        n,
        usual[0] if threshold is None else threshold,
        usual[1] if colluding is None and active and threshold is None else colluding or 0,
        array.size,
        kind,
        whole("bits", bits, 1, 64),
        clip or 0.0,
        prg,
        active,
    )


def places(survivors: list[int]) -> bytes:
    """A list of places as bytes."""
    return b"".join(i.to_bytes(2, "little") for i in (len(survivors), *survivors))


def read_places(reader: Reader, count: int) -> list[int]:
    """The inverse: strictly rising, below `count`."""
    found = [reader.u16() for _ in range(reader.u16())]
    reader.end()
    if any(i >= count for i in found) or found != sorted(set(found)):
        raise FormatError("secagg: a list of nodes that is not in order")
    return found


def roster_message(session: bytes, adverts: Mapping[NodeId, Advert]) -> bytes:
    """ROSTER: all adverts in the order of names."""
    ordered = sorted(adverts.values(), key=lambda a: id_bytes(a.node))
    blobs = [len(a.message).to_bytes(4, "little") + a.message for a in ordered]
    return pack(Kind.ROSTER, session, len(blobs).to_bytes(2, "little"), *blobs)
