"""A node's side of a round: bytes in, bytes out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ..errors import ArgumentError, FormatError, RefusedError
from . import _graph, _keys, _shamir
from ._mask import Prg, Rounding, whole
from ._privacy import Privacy
from ._terms import LARGEST, LEAST, Advert, read_advert, transcript
from ._values import Values, graph_of, terms_of
from ._wire import Kind, NodeId, Reader, frame, id_bytes, pack, seal_frame, unpack

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
        Nodes invited, 3 to 4,096.
    threshold : int, optional
        Shares needed to open a secret; with the complete graph, nodes needed to open the sum. Default: for a third of the
        nodes colluding (20 of 30); above 64 nodes from the bounds of the sparse graph.
    bits, clip
        Of the values. clip is a number, or an array with a range for each value: public, the same at all nodes, from
        knowledge or from a secure first round (`secagg.Ranges`). Whole numbers take no clip; default bits: 32 for uint32,
        else what n leaves of 64.
    rounding : {"nearest", "stochastic"}
        Of floats. The error of a sum of n values is at most n / 2 steps, stochastic n steps but without bias; a step is
        clip / (2**(bits-1) - 1).
    modular : bool
        uint32 and uint64: sum modulo 2**bits (default 32 or 64); nothing is checked.
    privacy : Privacy, optional
        The vector then has two axes, a row a patient, and the sum is differentially private.
    identity : Ed25519PrivateKey or bytes, optional
    roster : mapping, optional
        node -> Ed25519 public key, pinned beforehand. Both or neither: without them the server is believed to be honest
        (the passive model), which is for rounds inside one machine.
    colluding : int, optional
        Nodes that may collude with the server. On the complete graph the threshold must be above it, in the active model
        2 threshold > n + colluding. Default: a third, above 64 nodes a tenth; 0 where a threshold is given.
    neighbours : int, optional
        Nodes with which this one shares masks and secrets: n - 1 for the complete graph (the default up to 64 nodes),
        else an even number. Default above 64 nodes, where no threshold is given: the fewest that hide enough, but for
        2**-40.
    dropout : float
        Share of the nodes that may fall silent, for the sparse graph's default.
    request : bytes
        What this round is for, at most 64 bytes; the same at all nodes.
    prg : {"aes128-ctr", "chacha20"}
    threads : int, optional
    approve : callable, optional
        Called with the survivors' names before this node helps to open their sum; an error that it raises stops it.

    Notes
    -----
    A client is of one round: it makes new keys, answers each message once, and refuses what is out of order, damaged,
    of another round, or names too few survivors. A refused message changes nothing. The protocol is
    Bonawitz et al., CCS 2017, on the graph of Bell et al., CCS 2020; docs/design/threat-model.md says what it hides from
    whom.
    """

    def __init__(
        self,
        node_id: NodeId,
        vector: Any,
        *,
        n: int,
        threshold: int | None = None,
        bits: int | None = None,
        clip: Any = None,
        rounding: Rounding = "nearest",
        modular: bool = False,
        privacy: Privacy | None = None,
        identity: Any = None,
        roster: Any = None,
        colluding: int | None = None,
        neighbours: int | None = None,
        dropout: float = 0.3,
        request: bytes = b"",
        prg: Prg = "aes128-ctr",
        threads: int | None = None,
        approve: Callable[[list[NodeId]], None] | None = None,
    ) -> None:
        if (identity is None) != (roster is None):
            raise ArgumentError("identity and roster: give both (active model) or neither (passive model)")
        self._signer = None if identity is None else _keys.identity_of(identity)
        self._roster = None if roster is None else _keys.roster_of(roster)
        active = roster is not None
        whole("n", n, LEAST, LARGEST)
        self._terms = terms_of(
            vector,
            n,
            graph=graph_of(n, threshold, colluding, neighbours, dropout, active),
            bits=bits,
            clip=clip,
            rounding=rounding,
            modular=modular,
            privacy=privacy,
            request=request,
            prg=prg,
            active=active,
        )
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
        self._threads, self._approve = threads, approve
        self._values = Values(vector, self._terms, clip, privacy)
        self._wants: tuple[Kind, ...] = ()
        self._started = False
        self._share_key, self._mask_key, self._own = (os.urandom(_SECRET) for _ in range(3))
        self._adverts: list[Advert] = []
        self._advert = b""
        self._session = b""
        self._kept: dict[int, tuple[bytes, bytes]] = {}  # sender's place -> shares of its mask key and of its self mask
        self._agreed: dict[int, bytes] = {}  # place -> what was agreed with that node, for shares
        self._survivors: list[int] = []
        self._least = 0

    def __repr__(self) -> str:
        return f"Client({self._node!r}, n={self._terms.n}, threshold={self._terms.threshold})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Client holds keys of one round: it is not pickled")

    @property
    def clipped(self) -> int:
        """How many values lay outside [-clip, clip] (with `privacy`: rows too long, and sums outside); local knowledge.

        Complete when the masked vector is made.
        """
        return self._values.clipped

    @property
    def done(self) -> bool:
        """Whether the client has said all it will say."""
        return self._started and not self._wants

    def start(self) -> bytes:
        """The first message: this round's public keys. Raises RefusedError the second time."""
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
        count = len(adverts)
        if not max(terms.threshold, LEAST) <= count <= terms.n:
            raise RefusedError(f"secagg: {count} nodes; between {max(terms.threshold, LEAST)} and {terms.n} are needed")
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
        graph, least = _graph.Graph(session, count, terms.neighbours), terms.least(count)
        if least > count:
            raise RefusedError(f"secagg: {count} nodes are too few for {terms.colluding} that collude")
        _graph.check(graph, terms.threshold, terms.colluding, terms.active, [])
        place = names.index(id_bytes(self._node))
        neighbours = graph.neighbours(place)
        points = [i + 1 for i in sorted([place, *neighbours])]
        mask_shares = _shamir.split(self._mask_key, points, terms.threshold)
        own_shares = _shamir.split(self._own, points, terms.threshold)
        body = [id_bytes(self._node), len(neighbours).to_bytes(2, "little")]
        private, agreed = _keys.private_key(self._share_key), dict[int, bytes]()
        for i in neighbours:
            agreed[i] = _keys.shared(private, adverts[i].share_key)
            text = mask_shares[i + 1] + own_shares[i + 1]
            sealed = _keys.seal(agreed[i], session, self._node, adverts[i].node, text)
            body.append(i.to_bytes(2, "little") + len(sealed).to_bytes(4, "little") + sealed)
        self._adverts, self._session, self._place = adverts, session, place
        self._graph, self._least = graph, least
        self._kept = {place: (mask_shares[place + 1], own_shares[place + 1])}
        self._agreed, self._share_key, self._wants = agreed, b"", (Kind.DELIVERY,)
        return pack(Kind.SHARES, session, *body, signer=self._signer)

    def _on_delivery(self, reader: Reader) -> bytes:
        """The neighbours' shares -> the masked vector."""
        terms, kept = self._terms, dict(self._kept)
        for _ in range(reader.u16()):
            i, sealed = reader.u16(), reader.blob()
            if i not in self._agreed or i in kept:
                raise RefusedError("secagg: a share of a stranger, or twice of one node")
            other = self._adverts[i]
            text = _keys.open_box(self._agreed[i], self._session, other.node, self._node, sealed)
            if len(text) != 2 * _SHARE:
                raise FormatError("secagg: a share has a wrong length")
            kept[i] = (text[:_SHARE], text[_SHARE:])
        reader.end()
        least = max(terms.threshold, LEAST)
        if len(kept) < least:
            raise RefusedError(f"secagg: only {len(kept)} nodes sent shares; {least} are needed")
        seeds, signs = [_keys.self_seed(self._own, self._session)], [1]
        private = _keys.private_key(self._mask_key)
        for i in sorted(kept):
            if i == self._place:
                continue
            other = self._adverts[i]
            seeds.append(_keys.pair_seed(private, other.mask_key, self._session, self._node, other.node))
            signs.append(1 if self._place < i else -1)
        head, tail = frame(Kind.MASKED, self._session, id_bytes(self._node), signer=self._signer)
        message = self._values.masked(seeds, signs, len(self._adverts), self._threads, head, tail)
        seal_frame(message, tail, self._signer)
        self._kept, self._agreed, self._mask_key = kept, {}, b""
        self._wants = (Kind.SURVIVORS,)
        return message

    def _on_survivors(self, reader: Reader) -> bytes:
        """Who sent a vector -> in the active model a signature over them, else the shares."""
        text = bytes(reader.rest())
        survivors = read_places(Reader(memoryview(text)), len(self._adverts))
        if len(survivors) < self._least:
            raise RefusedError(f"secagg: {len(survivors)} survivors; below {self._least} no sum is opened")
        beside = set(survivors) & set(self._graph.neighbours(self._place))
        if self._place not in survivors or not beside <= self._kept.keys():
            raise RefusedError("secagg: the survivors leave out this node, or name one that sent no shares")
        _graph.check(self._graph, self._terms.threshold, self._terms.colluding, self._terms.active, survivors)
        if self._approve is not None:
            self._approve([self._adverts[i].node for i in survivors])
        if self._signer is None:
            return self._unmask(survivors)
        self._survivors, self._wants = survivors, (Kind.CONFIRMED,)
        signature = self._signer.sign(_keys.agreed(self._session, text))
        return pack(Kind.AGREED, self._session, id_bytes(self._node), signature, signer=self._signer)

    def _on_confirmed(self, reader: Reader) -> bytes:
        """Signatures of a quorum over the same survivors -> the shares."""
        assert self._roster is not None
        text = _keys.agreed(self._session, places(self._survivors))
        seen, alive = set(), set(self._survivors)
        for _ in range(reader.u16()):
            i, signature = reader.u16(), bytes(reader.take(64))
            if i not in alive or i in seen:
                raise RefusedError("secagg: a signature of a stranger, or twice of one node")
            _keys.verify(self._roster, self._adverts[i].node, signature, text)
            seen.add(i)
        reader.end()
        quorum = self._terms.quorum(len(self._adverts))
        if len(seen) < quorum:
            raise RefusedError(f"secagg: {len(seen)} nodes agree on the survivors; {quorum} are needed")
        return self._unmask(self._survivors)

    def _unmask(self, survivors: list[int]) -> bytes:
        """Of each node one share: of its self mask if it survived, of its mask key if it dropped out. Once."""
        among = set(survivors)
        body = [id_bytes(self._node), len(self._kept).to_bytes(2, "little")]
        for i in sorted(self._kept):
            mask_share, own_share = self._kept[i]
            alive = i in among
            body.append(i.to_bytes(2, "little") + bytes([alive]) + (own_share if alive else mask_share))
        self._kept, self._own, self._wants = {}, b"", ()
        return pack(Kind.UNMASK, self._session, *body, signer=self._signer)


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


def roster_message(session: bytes, adverts: Mapping[NodeId, Advert], version: int) -> bytes:
    """ROSTER: all adverts in the order of names."""
    ordered = sorted(adverts.values(), key=lambda a: id_bytes(a.node))
    blobs = [len(a.message).to_bytes(4, "little") + a.message for a in ordered]
    return pack(Kind.ROSTER, session, len(blobs).to_bytes(2, "little"), *blobs, version=version)
