"""The server's side of a round: it sees masked words and keys of the dropped, never a node's vector."""

from __future__ import annotations

from itertools import combinations, islice
from typing import Any, NoReturn

import numpy as np

from .._arrays import choice
from ..errors import ArgumentError, FormatError, RefusedError
from . import _graph, _keys, _native, _shamir
from ._client import places, roster_message
from ._mask import unmask, whole
from ._terms import LARGEST, LEAST, Advert, Terms, read_advert, transcript
from ._values import digest_of, ranges_of
from ._wire import Kind, NodeId, Reader, id_bytes, id_from, pack, unpack

__all__ = ["Server"]

_TRIES = 256  # subsets of shares to try when a node sent a wrong one


class Server:
    """The aggregator of one round.

    Parameters
    ----------
    n, threshold, length : int
        As at the clients; adverts with other terms are refused. threshold=None: as the first advert says.
    roster : mapping, optional
        node -> Ed25519 public key: strangers and wrong signatures are refused on arrival (active model).
    request, bits, clip, prg : optional
        Where given, adverts must state the same; where not, all must agree with the first one. Ranges of columns (an
        array as clip) must be given: only their digest travels.
    threads : int, optional

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> clients = {i: fi.secagg.Client(i, np.array([i, 1], np.uint32), n=3, threshold=2) for i in range(3)}
    >>> server = fi.secagg.Server(n=3, threshold=2, length=2)
    >>> for client in clients.values():
    ...     server.receive(client.start())
    >>> while messages := server.advance():
    ...     for node, message in messages.items():
    ...         if (answer := clients[node].receive(message)) is not None:
    ...             server.receive(answer)
    >>> value, survivors = server.result()
    >>> value.tolist(), survivors
    ([3, 3], [0, 1, 2])
    """

    def __init__(
        self,
        *,
        n: int,
        threshold: int | None = None,
        length: int,
        roster: Any = None,
        request: bytes | None = None,
        bits: int | None = None,
        clip: Any = None,
        prg: str | None = None,
        threads: int | None = None,
    ) -> None:
        self._n = whole("n", n, LEAST, LARGEST)
        self._fixed: dict[str, Any] = {"n": n, "threshold": threshold, "length": whole("length", length, 1, 1 << 32)}
        if threshold is not None:
            whole("threshold", threshold, 2, n)
        if prg is not None:
            choice("prg", prg, ("aes128-ctr", "chacha20"))
        self._ranges = ranges_of(clip, length)
        one = 1.0 if self._ranges is not None else clip
        self._fixed |= {"request": request, "bits": bits, "clip": one, "prg": prg}
        self._fixed["ranges"] = digest_of(self._ranges)
        self._roster = None if roster is None else _keys.roster_of(roster)
        self._threads = threads or 0
        self._terms: Terms | None = None
        self._wants: Kind | None = Kind.ADVERTISE
        self._adverts: dict[NodeId, Advert] = {}
        self._order: list[Advert] = []
        self._places: dict[NodeId, int] = {}
        self._beside: list[list[int]] = []  # each place's neighbours
        self._session = b""
        self._shares: dict[int, dict[int, bytes]] = {}  # sender -> receiver -> sealed
        self._sum: Any = None
        self._survivors: list[int] = []
        self._alive: set[int] = set()
        self._arrived: set[int] = set()
        self._agreed: dict[int, bytes] = {}
        self._opened: dict[int, dict[int, bytes]] = {}
        self._value: Any = None

    def __repr__(self) -> str:
        return f"Server(n={self._n}, waiting for {self.waiting_for})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Server is of one round: it is not pickled")

    @property
    def waiting_for(self) -> str | None:
        """The kind of message that `receive` takes now; None when the round is over."""
        return self._wants.name if self._wants else None

    def receive(self, message: bytes) -> None:
        """Take one node's message. What is damaged (FormatError), out of order, twice, of another round or of a
        stranger (RefusedError) is refused and changes nothing."""
        if self._wants is None:
            raise RefusedError("secagg: the round is over")
        if self._wants is Kind.ADVERTISE:
            return self._on_advert(message)
        assert self._terms is not None
        kind, session, reader, signed, signature = unpack(message, (self._wants,), (self._terms.version,))
        if session != self._session:
            raise RefusedError("secagg: the message is of another round")
        node = id_from(reader)
        place = self._places.get(node)
        if place is None:
            raise RefusedError("secagg: the message is of a stranger")
        if self._roster is not None:
            _keys.verify(self._roster, node, signature, signed)
        elif (signature is None) == self._terms.active:
            raise RefusedError("secagg: signatures do not fit the model of the round")
        if place in self._arrived:
            raise RefusedError("secagg: this node has sent its message of this step")
        handlers = {
            Kind.SHARES: self._on_shares,
            Kind.MASKED: self._on_masked,
            Kind.AGREED: self._on_agreed,
            Kind.UNMASK: self._on_unmask,
        }
        handlers[kind](place, reader)
        self._arrived.add(place)
        return None

    def advance(self) -> dict[NodeId, bytes]:
        """End the step with whoever has answered: the messages of the next step, one a node; {} when the sum is open.

        Raises
        ------
        RefusedError
            Too few nodes are left (threshold, 3, or what the sparse graph asks): the round ends without a sum.
        """
        if self._wants is None:
            if self._value is None:
                raise RefusedError("secagg: the round was refused")
            return {}
        if self._wants is Kind.ADVERTISE:
            return self._send_roster()
        if self._wants is Kind.SHARES:
            return self._send_deliveries()
        if self._wants is Kind.MASKED:
            return self._send_survivors()
        if self._wants is Kind.AGREED:
            return self._send_confirmations()
        self._open()
        return {}

    def result(self) -> tuple[Any, list[NodeId]]:
        """(sum, survivors): float64 for floats (in their unit), int64, or uint64; and the nodes whose vectors are in it.

        Raises RefusedError before the sum is open.
        """
        if self._wants is Kind.UNMASK:
            self._open()
        if self._value is None:
            raise RefusedError("secagg: the sum is not open")
        return self._value, [self._order[i].node for i in self._survivors]

    # -- what comes in ------------------------------------------------------------------------------------------------

    def _on_advert(self, message: bytes) -> None:
        terms, advert = read_advert(message, self._terms)
        for name, value in self._fixed.items():
            if value is not None and getattr(terms, name) != value:  # ranges: also where there must be none
                raise RefusedError(f"secagg: a node states another {name}")
        if self._roster is not None:
            if not terms.active:
                raise RefusedError("secagg: signatures do not fit the model of the round")
            _keys.verify(self._roster, advert.node, advert.signature, advert.signed)
        if advert.node in self._adverts:
            raise RefusedError("secagg: this node has sent its message of this step")
        if len(self._adverts) == self._n:
            raise RefusedError(f"secagg: more than {self._n} nodes")
        self._terms = terms
        self._adverts[advert.node] = advert

    def _on_shares(self, place: int, reader: Reader) -> None:
        assert self._terms is not None
        sealed = {}
        if self._terms.version == 1:  # a blob for every place, an empty one for itself
            blobs = [reader.blob() for _ in range(reader.u16())]
            sealed = {i: text for i, text in enumerate(blobs) if text or i != place}
        else:
            for _ in range(reader.u16()):
                i = reader.u16()
                if i in sealed:
                    raise FormatError("secagg: one share for each neighbour is needed")
                sealed[i] = reader.blob()
        reader.end()
        if sorted(sealed) != self._beside[place] or not all(sealed.values()):
            raise FormatError("secagg: one share for each neighbour is needed")
        if any(len(text) > 256 for text in sealed.values()):
            raise FormatError("secagg: a share has a wrong length")
        self._shares[place] = sealed

    def _on_masked(self, place: int, reader: Reader) -> None:
        assert self._terms is not None
        if place not in self._shares:
            raise RefusedError("secagg: this node dropped out")
        packed = reader.rest()
        bits = self._terms.packed_bits
        if len(packed) != self._terms.packed_size or packed[-1] >> (self._terms.length * bits % 8 or 8):
            raise FormatError("secagg: the masked vector has a wrong length")
        _native.add_packed(packed, bits, self._sum, self._threads)

    def _on_agreed(self, place: int, reader: Reader) -> None:
        if place not in self._alive:
            raise RefusedError("secagg: this node dropped out")
        signature = bytes(reader.take(64))
        reader.end()
        if self._roster is not None:
            text = _keys.agreed(self._session, places(self._survivors))
            _keys.verify(self._roster, self._order[place].node, signature, text)
        self._agreed[place] = signature

    def _on_unmask(self, place: int, reader: Reader) -> None:
        if place not in self._alive:
            raise RefusedError("secagg: this node dropped out")
        found = {}
        known = {i for i in (place, *self._beside[place]) if i in self._shares}
        alive_ones = self._alive
        for _ in range(reader.u16()):
            i, alive, share = reader.u16(), reader.u8(), bytes(reader.take(48))
            if i not in known or i in found or alive != (i in alive_ones):
                raise FormatError("secagg: shares of the wrong nodes")
            found[i] = share
        reader.end()
        if found.keys() != known:
            raise FormatError("secagg: shares of the wrong nodes")
        for i, share in found.items():
            self._opened.setdefault(i, {})[place + 1] = share

    # -- what goes out ------------------------------------------------------------------------------------------------

    def _next(self, wants: Kind) -> None:
        self._wants, self._arrived = wants, set()

    def _enough(self, count: int, least: int, what: str) -> None:
        if count < least:
            self._wants = None
            raise RefusedError(f"secagg: {count} nodes {what}; {least} are needed: the round is refused")

    def _send_roster(self) -> dict[NodeId, bytes]:
        least = max(self._terms.threshold if self._terms else LEAST, LEAST)
        self._enough(len(self._adverts), least, "sent keys")
        assert self._terms is not None
        self._order = sorted(self._adverts.values(), key=lambda a: id_bytes(a.node))
        self._session = transcript(self._terms, self._order)
        graph = _graph.Graph(self._session, len(self._order), self._terms.neighbours)
        self._beside = [graph.neighbours(i) for i in range(len(self._order))]
        self._places = {advert.node: i for i, advert in enumerate(self._order)}
        message = roster_message(self._session, self._adverts, self._terms.version)
        self._next(Kind.SHARES)
        return {advert.node: message for advert in self._order}

    def _send_deliveries(self) -> dict[NodeId, bytes]:
        terms = self._terms
        assert terms is not None
        self._enough(len(self._shares), max(terms.threshold, LEAST), "sent shares")
        self._sum = np.zeros(terms.length, terms.word)
        self._next(Kind.MASKED)
        messages = {}
        for to in self._shares:
            senders = [i for i in self._beside[to] if i in self._shares]
            parts = [len(senders).to_bytes(2, "little")]
            for i in senders:
                sealed = self._shares[i][to]
                parts.append(i.to_bytes(2, "little") + len(sealed).to_bytes(4, "little") + sealed)
            messages[self._order[to].node] = self._pack(Kind.DELIVERY, *parts)
        return messages

    def _pack(self, kind: Kind, *parts: bytes) -> bytes:
        assert self._terms is not None
        return pack(kind, self._session, *parts, version=self._terms.version)

    def _send_survivors(self) -> dict[NodeId, bytes]:
        assert self._terms is not None
        self._enough(len(self._arrived), self._terms.least(len(self._order)), "sent a vector")
        self._survivors, self._alive = sorted(self._arrived), set(self._arrived)
        self._next(Kind.AGREED if self._terms.active else Kind.UNMASK)
        message = self._pack(Kind.SURVIVORS, places(self._survivors))
        return {self._order[i].node: message for i in self._survivors}

    def _send_confirmations(self) -> dict[NodeId, bytes]:
        assert self._terms is not None
        quorum = self._terms.quorum(len(self._order))
        self._enough(len(self._agreed), quorum, "agreed on the survivors")
        parts = [quorum.to_bytes(2, "little")]  # more would only have to be verified
        parts += [i.to_bytes(2, "little") + signature for i, signature in sorted(self._agreed.items())[:quorum]]
        agreed = sorted(self._agreed)
        self._next(Kind.UNMASK)
        message = self._pack(Kind.CONFIRMED, *parts)
        return {self._order[i].node: message for i in agreed}

    # -- the sum ------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        terms = self._terms
        assert terms is not None
        self._enough(len(self._arrived), terms.threshold, "sent shares to open the sum")
        self._wants = None
        seeds, signs = [], []
        for i in sorted(self._shares):
            advert = self._order[i]
            if i in self._alive:
                secret = self._recover(i, lambda s, a=advert: _keys.commit(s, a.node) == a.commitment)
                seeds.append(_keys.self_seed(secret, self._session))
                signs.append(1)
                continue
            secret = self._recover(i, lambda s, a=advert: _keys.public_key(s) == a.mask_key)
            private = _keys.private_key(secret)
            for j in self._beside[i]:  # a survivor's mask with the one that dropped out
                if j not in self._alive:
                    continue
                other = self._order[j]
                seeds.append(_keys.pair_seed(private, other.mask_key, self._session, advert.node, other.node))
                signs.append(1 if j < i else -1)
        unmask(self._sum, seeds, signs, prg=terms.prg, threads=self._threads or None)
        self._value = terms.decode(self._sum, self._ranges)
        self._sum = None
        self._opened = {}

    def _recover(self, place: int, right: Any) -> bytes:
        """A secret that fits what the node published; where a share is wrong, other subsets are tried."""
        assert self._terms is not None
        shares = self._opened.get(place, {})
        for chosen in islice(combinations(sorted(shares), self._terms.threshold), _TRIES):
            try:
                secret = _shamir.combine({point: shares[point] for point in chosen}, 32)
            except ArgumentError:
                continue
            if right(secret):
                return secret
        raise RefusedError("secagg: the shares do not give the secret that a node committed to: the round is refused")
