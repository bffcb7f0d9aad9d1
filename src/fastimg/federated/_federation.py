"""The hub's side: whom it reaches, and what it asks them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import ArgumentError
from ._codec import dumps
from ._identity import Identity
from ._node import Node
from ._query import Request
from ._registry import find
from ._rounds import Result, Rounds, Transport

__all__ = ["Federation", "Result", "Transport"]

_AT_ONCE = 8  # nodes of this process


class _Local:
    """Nodes inside this process."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = {node.name: node for node in nodes}

    def names(self) -> list[str]:
        return list(self.nodes)

    def exchange(self, kind: str, key: str, messages: Mapping[str, bytes]) -> dict[str, bytes | Exception]:
        def one(name: str) -> bytes | Exception:
            node = self.nodes[name]
            try:
                return node.answer(messages[name]) if kind == "ask" else node.receive(key, messages[name]) or b""
            except Exception as error:  # a broken node never stops the others
                return error

        with ThreadPoolExecutor(_AT_ONCE) as pool:  # each waits for its own log to reach the disk
            return dict(zip(messages, pool.map(one, messages), strict=True))


class Federation:
    """Nodes that answer together. Make one with `Federation.local` or `Federation.flower`.

    Parameters
    ----------
    transport : Transport
        How messages reach the nodes.
    requester : str or Identity, optional
        Who asks: a name, or an Identity that signs the requests. Default: nobody; it only carries signed ones (`carry`).
    """

    def __init__(self, transport: Transport, *, requester: str | Identity | None = None) -> None:
        self._transport = transport
        self._identity = requester if isinstance(requester, Identity) else None
        self._requester = requester.name if isinstance(requester, Identity) else requester

    @classmethod
    def local(
        cls,
        nodes: Sequence[Node] | Mapping[str, str | os.PathLike[str]],
        *,
        requester: str | Identity | None = "local",
    ) -> Federation:
        """Nodes inside this process, or in processes of this machine, by the same messages as anywhere.

        `nodes` is a list of Node; or, for nodes that `serve_files` or `fastimg node exec --rounds` serves in processes of
        their own, {node: its sandbox folder}, which `close` tells to end. Those have a roster: `requester` is an Identity.

        Two nodes of one name are told apart by a number: "site", "site-2". `requester`: a name, an Identity that signs
        the requests, which nodes with a roster insist on, or None for a hub that only carries signed ones (`carry`).
        Raises ArgumentError where `nodes` is neither, or one stands twice.
        """
        if isinstance(nodes, Mapping):
            from ._files import FileTransport

            return cls(FileTransport(nodes), requester=requester)
        found = list(nodes)
        if not found or not all(isinstance(node, Node) for node in found):
            raise ArgumentError("nodes: a list of Node, or a mapping of names to sandbox folders")
        if len({id(node) for node in found}) != len(found):
            raise ArgumentError("nodes: a node stands twice")
        seen: set[str] = set()
        for node in found:
            base, number = node.name, 1
            while node.name in seen:
                number += 1
                node.name = f"{base}-{number}"
            seen.add(node.name)
        return cls(_Local(found), requester=requester)

    @classmethod
    def flower(
        cls,
        address: str,
        *,
        requester: Identity | None = None,
        root_certificates: str | os.PathLike[str] | None,
        nodes: Sequence[str] | None = None,
        expect: int = 3,
        timeout: float = 120.0,
        wait: float = 120.0,
    ) -> Federation:
        """Nodes that `fastimg node serve` connects to a Flower SuperLink of this machine (extra "federated").

        Parameters
        ----------
        address : str
            host:port of the SuperLink's Control API.
        requester : Identity, optional
            Signs the requests; nodes answer no others. None: this hub only carries what requesters signed elsewhere (`carry`).
        root_certificates : path or None
            PEM file for TLS; None on loopback only.
        nodes : sequence of str, optional
            Ask these alone; default: all that are connected.
        expect : int
            Wait until so many nodes are connected.
        timeout : float
            Seconds to wait for a node in each step.
        wait : float
            Seconds to wait until `expect` nodes are connected.

        Returns
        -------
        Federation
            Close it, or use it in `with`.

        Raises
        ------
        ArgumentError
            A requester that is no Identity.
        """
        from ._flower import FlowerTransport

        if not isinstance(requester, Identity | None):
            raise ArgumentError("requester: beyond one machine an Identity signs the requests")
        transport = FlowerTransport(
            address, root_certificates=root_certificates, nodes=nodes, expect=expect, timeout=timeout, wait=wait
        )
        return cls(transport, requester=requester)

    def close(self) -> None:
        """End what the engine runs for this federation."""
        close = getattr(self._transport, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, name: str, *, secure: bool = True, **parameters: Any) -> Result:
        """Ask all nodes.

        Parameters
        ----------
        name : str
            A registered computation.
        secure : bool
            Sums by secure aggregation; needs 3 nodes that answer. False: plain sums, which nodes may refuse.
        **parameters
            Of the computation; `where={column: value or values}` picks cases.

        Returns
        -------
        Result

        Raises
        ------
        ArgumentError
            Unknown computation, unknown or wrong parameter: before any node is asked.
        RefusedError
            Fewer than 3 nodes answer (1 for a plain sum): the message lists the rules that refused.
        """
        what = find(name)
        plain = what.check(parameters)
        if self._requester is None:
            raise ArgumentError("requester: this hub has none; it carries signed requests only")
        asked = self._transport.names()
        request = None
        if self._identity is not None:
            request = Request.signed(self._identity, what.name, what.version, plain, asked, secure=secure)
        return Rounds(self._transport, what, plain, asked, secure, request or self._requester).result()

    def carry(self, request: bytes) -> Result:
        """Ask what a requester has signed elsewhere (`signed_request`, `fastimg node request`), of the nodes that it names.

        Whoever runs the hub needs no key: nodes check the requester's signature, and a hub can change nothing of it.

        Raises
        ------
        FormatError
            Not a request.
        ArgumentError
            A computation or version that is not installed here, or parameters that do not fit it.
        RefusedError
            As `run`.
        """
        signed = Request.from_bytes(request)
        what = find(signed.computation)
        if what.version != signed.version or dumps(what.check(signed.parameters)) != dumps(signed.parameters):
            raise ArgumentError(f"request: {what.name} is installed here in version {what.version}, which differs")
        here = set(self._transport.names())
        asked = [name for name in signed.nodes if name in here]
        return Rounds(self._transport, what, signed.parameters, asked, signed.secure, signed).result()
