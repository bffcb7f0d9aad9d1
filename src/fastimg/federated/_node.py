"""A node: the only one that sees cases. It checks, computes, masks, and logs."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import ArgumentError, FastimgError, FormatError, RefusedError
from ..secagg import Client
from . import _exact
from ._audit import Log
from ._codec import dumps, loads
from ._policy import Policy
from ._registry import Labels, find
from ._rows import Rows

__all__ = ["Node", "Query"]

_FORMAT = "fastimg-query"
_VERSION = 1
_LOG = "federation-log.jsonl"


@dataclass(frozen=True, slots=True)
class Query:
    """One round of one computation, as it travels."""

    computation: str
    version: int
    parameters: dict[str, Any]
    shared: dict[str, Any]
    requester: str
    nonce: str
    round: int
    nodes: list[str]
    threshold: int
    secure: bool

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return dumps({"format": _FORMAT, "format_version": _VERSION, **fields})

    @classmethod
    def from_bytes(cls, data: bytes) -> Query:
        """The inverse; anything else is a FormatError."""
        body = loads(data)
        if not isinstance(body, dict) or body.pop("format", None) != _FORMAT:
            raise FormatError("query: not a query of fastimg")
        version = body.pop("format_version", None)
        if version != _VERSION:
            raise FormatError(f"query: version {version!r}; this fastimg reads version {_VERSION}")
        kinds = {
            **dict.fromkeys(("computation", "requester", "nonce"), str),
            **dict.fromkeys(("version", "round", "threshold"), int),
            **dict.fromkeys(("parameters", "shared"), dict),
            "nodes": list,
            "secure": bool,
        }
        if body.keys() != kinds.keys() or any(type(body[key]) is not kind for key, kind in kinds.items()):
            raise FormatError("query: fields are missing, unknown or of a wrong type")
        if any(not isinstance(node, str) for node in body["nodes"]) or len(body["nonce"]) != 32:
            raise FormatError("query: fields are missing, unknown or of a wrong type")
        return cls(**body)


class Node:
    """A provider's side.

    Parameters
    ----------
    cohort : Cohort or path
    policy : Policy or path of a TOML file
    name : str, optional
        Default: the cohort's folder name.
    log : path, optional
        The audit log; default: federation-log.jsonl in the cohort's folder.

    Examples
    --------
    A node never hands out data; `Federation.run` asks it. What it did stands in `node.log`.
    """

    def __init__(
        self, cohort: Any, policy: Any, *, name: str | None = None, log: str | os.PathLike[str] | None = None
    ) -> None:
        if isinstance(cohort, (str, os.PathLike)):
            from ..cohort import Cohort

            cohort = Cohort.open(cohort)
        self.cohort = cohort
        if not isinstance(policy, Policy):
            if not isinstance(policy, (str, os.PathLike)):
                raise ArgumentError("policy: a Policy or the path of a TOML file; there is no node without one")
            policy = Policy.load(policy)
        self.policy: Policy = policy
        folder = getattr(cohort, "path", None)
        if log is None and folder is None:
            raise ArgumentError("log: this cohort has no folder; name a file for the node's log")
        self.name = name or (Path(folder).name if folder is not None else "node")
        if not 1 <= len(self.name.encode()) <= 64 or not self.name.isprintable():
            raise ArgumentError("name: 1 to 64 printable bytes")
        self.log = Log(log if log is not None else Path(str(folder)) / _LOG)
        self._client: Client | None = None

    def __repr__(self) -> str:
        return f"Node({self.name!r}, min_cases={self.policy.min_cases})"

    def answer(self, query: bytes) -> bytes:
        """Open a round: the first secure-aggregation message, or the plain answer (labels; sums inside one machine).

        Raises
        ------
        RefusedError
            A rule of this node; the message names the rule.
        FormatError, ArgumentError
            Not a query, or parameters outside their schema.
        """
        self._client = None
        try:
            q = Query.from_bytes(query)
        except FormatError:
            self.log.append(sync=False, event="malformed")
            raise
        try:
            return self._answer(q)
        except FastimgError as error:
            rule = str(error).split(":")[0] if str(error).startswith("rule ") else type(error).__name__
            self.log.append(sync=False, event="refused", rule=rule, **self._who(q))
            raise

    def receive(self, message: bytes) -> bytes | None:
        """The secure-aggregation messages that follow `answer`."""
        if self._client is None:
            raise RefusedError("node: no round is open")
        return self._client.receive(message)

    def _who(self, q: Query) -> dict[str, Any]:
        parameters = hashlib.sha256(dumps(q.parameters)).hexdigest()
        return {
            "requester": q.requester[:64],
            "computation": q.computation[:64],
            "computation_version": q.version,
            "parameters": parameters,
            "round": q.round,
            "nonce": q.nonce,
            "policy": self.policy.digest,
            "fastimg": __version__,
        }

    def _answer(self, q: Query) -> bytes:
        self.policy.check("requester", q.requester)
        self.policy.check("computation", (q.computation, q.version))
        if (q.nonce, q.round) in self.log.answered:
            raise RefusedError("rule replay: this query was answered before")
        if self.name not in q.nodes or len(set(q.nodes)) != len(q.nodes):
            raise RefusedError("rule roster: this node is not among the nodes of the query")
        what = find(q.computation)
        if what.version != q.version:
            raise RefusedError("rule computations: this version is not installed at this node")
        parameters = what.check(q.parameters)
        rows = Rows(self.cohort, self.policy, parameters.get("where"), every_state=what.every_state)
        self.policy.check("patients", rows.n_patients)
        release = self.log.admit(list(rows.patient_names), self.policy.min_cases)
        found = what.local(rows, parameters, q.shared)
        if isinstance(found, Labels):
            answer = dumps({"labels": found.of})
        else:
            self.policy.check("secure", q.secure)
            answer = self._contribution(q, found)
        self.log.append(event="released", patients=rows.n_patients, cases=len(rows), **release, **self._who(q))
        self.log.remember(release)
        return answer

    def _contribution(self, q: Query, found: dict[str, Any]) -> bytes:
        layout = _exact.layout_of(found)
        length = _exact.length_of(layout)
        self.policy.check("values", length)
        words = _exact.encode(found)
        if not q.secure:
            return dumps({"layout": layout, "words": words})
        if len(q.nodes) < 3:
            raise RefusedError("rule survivors: a secure sum needs at least 3 nodes")
        request = hashlib.sha256(q.to_bytes() + _exact.digest_of(layout)).digest()
        options: dict[str, Any] = {"n": len(q.nodes), "threshold": q.threshold, "bits": _exact.BITS}
        self._client = Client(self.name, words, request=request, **options)
        return dumps({"layout": layout, "message": self._client.start().hex()})


def safe(error: BaseException) -> str:
    """What the hub may say about a node's error: a refusal's rule, else the error's kind alone."""
    text = str(error)
    if isinstance(error, RefusedError) and text.startswith("rule "):
        return text
    return type(error).__name__ if isinstance(error, FastimgError) else "failed"
