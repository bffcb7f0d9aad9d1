"""What travels to a node: a request that its requester signed, and the rounds of it that a hub asks for."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError, FormatError, RefusedError
from ._codec import dumps, loads
from ._identity import Identity, Roster, fresh_nonce, verify

__all__ = ["Query", "Request", "signed_request"]

_VERSION = 2  # 2: the request inside a query, and arrays, are raw bytes
_LONGEST = 24 * 3600  # seconds that a request may stay valid
_MOST_NODES = 10_000
_NONCE = re.compile(r"[0-9a-f]{32}")
_SKEW = 300  # seconds by which clocks may differ


def _read(data: bytes, name: str, kinds: dict[str, type]) -> dict[str, Any]:
    body = loads(data)
    form = body.pop("format", None) if isinstance(body, dict) else None
    if not isinstance(form, str) or form != f"fastimg-{name}":
        raise FormatError(f"{name}: not a {name} of fastimg")
    version = body.pop("format_version", None)
    if type(version) is not int or version != _VERSION:
        stated = version if type(version) is int else "none"
        raise FormatError(f"{name}: version {stated}; this fastimg reads version {_VERSION}")
    if body.keys() != kinds.keys() or any(type(body[key]) is not kind for key, kind in kinds.items()):
        raise FormatError(f"{name}: fields are missing, unknown or of a wrong type")
    numbers = [body[key] for key, kind in kinds.items() if kind is int]
    good = (
        all(isinstance(node, str) and len(node) <= 64 for node in body["nodes"]) and len(body["nodes"]) <= _MOST_NODES
    )
    good = good and _NONCE.fullmatch(body["nonce"]) is not None and all(0 <= n < 1 << 53 for n in numbers)
    if not good or any(len(body[key]) > 128 for key, kind in kinds.items() if kind is str and key != "signature"):
        raise FormatError(f"{name}: a field is out of its limits")
    return body


@dataclass(frozen=True, slots=True)
class Request:
    """One question of one requester, signed by him: a hub can carry it, not change it."""

    computation: str
    version: int
    parameters: dict[str, Any]
    requester: str
    nonce: str
    expires: int
    nodes: list[str]
    secure: bool
    signature: str = ""

    @classmethod
    def signed(
        cls,
        identity: Identity,
        computation: str,
        version: int,
        parameters: dict[str, Any],
        nodes: list[str],
        *,
        secure: bool,
        valid: int = 3600,
    ) -> Request:
        """Of these parameters to these nodes, valid for so many seconds."""
        draft = cls(
            computation,
            version,
            parameters,
            identity.name,
            fresh_nonce(),
            int(time.time()) + valid,
            sorted(nodes),
            secure,
        )
        fields = draft._fields() | {"signature": identity.sign(draft._signed())}
        return cls(**fields)

    def to_bytes(self) -> bytes:
        """As it travels and is signed."""
        return dumps({"format": "fastimg-request", "format_version": _VERSION, **self._fields()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Request:
        """The inverse; anything else is a FormatError."""
        kinds = {
            **dict.fromkeys(("computation", "requester", "nonce", "signature"), str),
            **dict.fromkeys(("version", "expires"), int),
            "parameters": dict,
            "nodes": list,
            "secure": bool,
        }
        return cls(**_read(data, "request", kinds))

    def check(self, roster: Roster, now: float) -> None:
        """Refuse what the requester of the roster did not sign, and what has expired or stays valid too long."""
        key = roster.key(self.requester, "requester")
        if key is None:
            raise RefusedError("rule identity: the requester is not in this node's roster")
        if not verify(key, self._signed(), self.signature):
            raise RefusedError("rule identity: the requester's signature does not fit")
        if now > self.expires + _SKEW:
            raise RefusedError("rule expiry: the request has expired")
        if self.expires > now + _LONGEST + _SKEW:
            raise RefusedError("rule expiry: the request would stay valid for more than a day")

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def _signed(self) -> bytes:
        fields = self._fields()
        del fields["signature"]
        return b"fastimg request\n" + dumps({"format_version": _VERSION, **fields})


def signed_request(
    identity: Identity,
    computation: str,
    nodes: Sequence[str],
    *,
    secure: bool = True,
    valid: int = 3600,
    **parameters: Any,
) -> bytes:
    """A request as a file for a hub to carry (`Federation.carry`); made where the requester's key is, without a network.

    Parameters
    ----------
    identity : Identity
        Of the requester.
    computation : str
        Installed here in the same version as at the nodes.
    nodes : list of str
        Whom to ask; the hub can ask fewer, never others.
    secure : bool
    valid : int, seconds
        At most a day.
    **parameters
        Of the computation, checked here.

    Returns
    -------
    bytes

    Raises
    ------
    ArgumentError
        No node, one that stands twice, or `valid` beyond a day.
    """
    from ._registry import find

    what = find(computation)
    if not isinstance(nodes, (list, tuple)) or not nodes or len(set(nodes)) != len(nodes):
        raise ArgumentError("nodes: a list of different names, at least one")
    if not 1 <= valid <= _LONGEST:
        raise ArgumentError(f"valid: 1 to {_LONGEST} seconds")
    checked = what.check(parameters)
    return Request.signed(
        identity, what.name, what.version, checked, list(nodes), secure=secure, valid=valid
    ).to_bytes()


@dataclass(frozen=True, slots=True)
class Query:
    """One round of one computation, as it travels; `request` is the signed request, or b"" inside one process."""

    computation: str
    version: int
    parameters: dict[str, Any]
    shared: dict[str, Any]
    requester: str
    nonce: str
    attempt: int
    round: int
    nodes: list[str]
    threshold: int
    secure: bool
    request: bytes = b""

    @property
    def key(self) -> str:
        """Names this round at a node."""
        return f"{self.nonce}-{self.attempt}-{self.round}"

    def to_bytes(self) -> bytes:
        """As it travels."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return dumps({"format": "fastimg-query", "format_version": _VERSION, **fields})

    @classmethod
    def from_bytes(cls, data: bytes) -> Query:
        """The inverse; anything else is a FormatError."""
        kinds = {
            **dict.fromkeys(("computation", "requester", "nonce"), str),
            **dict.fromkeys(("version", "attempt", "round", "threshold"), int),
            "request": bytes,
            **dict.fromkeys(("parameters", "shared"), dict),
            "nodes": list,
            "secure": bool,
        }
        return cls(**_read(data, "query", kinds))

    def check(self, roster: Roster, now: float) -> None:
        """Refuse a round that is not one of its signed request."""
        if not self.request:
            raise RefusedError("rule identity: this node answers signed requests only")
        request = Request.from_bytes(self.request)
        request.check(roster, now)
        same = all(
            getattr(self, name) == getattr(request, name)
            for name in ("computation", "version", "requester", "nonce", "secure")
        )
        if not same or dumps(self.parameters) != dumps(request.parameters):
            raise RefusedError("rule identity: the round is not of the request that was signed")
        if not set(self.nodes) <= set(request.nodes):
            raise RefusedError("rule roster: the round names nodes that the request does not")
        if any(roster.key(node, "node") is None for node in self.nodes):
            raise RefusedError("rule roster: the round names nodes that are not in this node's roster")
