"""One computation over its rounds, as the hub plays it: it sends queries, carries messages, and sees sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import __version__
from ..errors import ArgumentError, FastimgError, FormatError, RefusedError
from ..secagg import Server
from ..secagg._graph import COMPLETE
from ..secagg._terms import default_threshold
from . import _exact
from ._identity import fresh_nonce
from ._node import WITNESSES, safe
from ._query import Query, Request
from ._registry import Computation, Done
from ._reply import Answer
from ._results import check

__all__ = ["Result", "Rounds", "Transport"]

_LEAST = 3
_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Result:
    """An answer.

    Attributes
    ----------
    value : object
        What the computation gives; see its documentation.
    provenance : dict
        Code and computation version, parameters, requester, nonce, policies and log heads of the nodes.
    nodes : list of dict
        name, and status "answered" or why not.
    privacy : list of str
        What this answer discloses to whom.
    """

    value: Any
    provenance: dict[str, Any]
    nodes: list[dict[str, Any]]
    privacy: list[str]


class Transport(Protocol):
    """How a hub reaches nodes."""

    def names(self) -> list[str]:
        """Nodes that can be asked."""

    def exchange(self, kind: str, key: str, messages: Mapping[str, bytes]) -> dict[str, bytes | Exception]:
        """Send each node its message, at once, and wait for what they say; nodes that are late or gone give an error.

        `kind` is "ask" (a query) or "give" (a message of the open round `key`). `messages` by the nodes' names; so are
        the answers.
        """


def _fits(answer: Answer, secure: bool) -> None:
    """A plain sum where a secure one was asked for, or the other way round, is no answer."""
    if answer.labels is None and secure == (answer.words is not None):
        raise FormatError("federated: not an answer to this question")


class Rounds:
    """One computation, asked of these nodes; `request` is the signed request, or the requester's name in one process."""

    def __init__(
        self,
        transport: Transport,
        what: Computation,
        parameters: dict[str, Any],
        asked: list[str],
        secure: bool,
        request: Request | str,
    ) -> None:
        self._transport, self._what, self._parameters, self._secure = transport, what, parameters, secure
        self.asked, self.alive = asked, list(asked)
        self.status: dict[str, str] = {}
        self.about: dict[str, dict[str, Any]] = {}  # what nodes said of their policy and log
        self._requester = request.requester if isinstance(request, Request) else request
        self.nonce = request.nonce if isinstance(request, Request) else fresh_nonce()
        self._request = request.to_bytes() if isinstance(request, Request) else b""
        self.attempt = 1
        self.rounds = 0
        self._labels = False
        self._witnesses: dict[str, Any] = {}  # labels that nodes signed: they do not take a hub's word for them
        self._notes: list[str] = []
        self._opened = False

    def result(self) -> Result:
        """Play it and tell who answered what."""
        value = self._play()
        nodes = [{"name": node, "status": self.status.get(node, "answered")} for node in self.asked]
        provenance = {
            "fastimg": __version__,
            "computation": self._what.name,
            "computation_version": self._what.version,
            "parameters": self._parameters,
            "requester": self._requester,
            "nonce": self.nonce,
            "attempts": self.attempt,
            "rounds": self.rounds,
            "secure": self._secure,
            "survivors": list(self.alive),
            "nodes": {n: {k: self.about[n][k] for k in ("policy", "log_head")} for n in self.alive},
        }
        return Result(value, provenance, nodes, self._privacy())

    def _play(self) -> Any:
        shared: dict[str, Any] = {}
        while True:
            if self.rounds == _ROUNDS:
                raise FastimgError(f"{self._what.name}: more than {_ROUNDS} rounds")
            before = list(self.alive)
            total = self._round(shared)
            if self._opened and self.alive != before:
                shared = self._again(before)
                continue
            self._opened |= not isinstance(total, list)
            if self._what.combine is None:
                return total
            outcome = self._what.combine(total, self._parameters, shared)
            if isinstance(outcome, Done):
                check(self._what.name, self._what.result, outcome.value)
                self._notes = list(outcome.notes)
                return outcome.value
            shared = outcome

    def _again(self, before: list[str]) -> dict[str, Any]:
        """Nodes were lost after a sum was opened: start over, unless the two sums would give away fewer than three."""
        lost = len(before) - len(self.alive)
        if lost < _LEAST:
            raise RefusedError(
                f"rule rerun: {lost} nodes were lost between rounds; a rerun without fewer than {_LEAST} would show theirs"
            )
        self.attempt += 1
        self._opened, self._witnesses = False, {}
        return {}

    def _round(self, shared: dict[str, Any]) -> Any:
        self.rounds += 1
        while True:
            asked = list(self.alive)
            self._enough(asked)
            query = self._query(asked, {**shared, WITNESSES: self._witnesses} if self._witnesses else shared)
            answers = {}
            for name, data in self._exchange("ask", "", dict.fromkeys(asked, query.to_bytes())).items():
                try:
                    answers[name] = answer = Answer.from_bytes(data)
                    _fits(answer, self._secure)
                    self.about[name] = {key: getattr(answer, key) for key in ("policy", "log_head", "min_cases")}
                except FormatError as error:
                    answers.pop(name, None)
                    self._lose(name, error)
            if len(answers) == len(asked):
                break
            if self._opened:  # this round's sum over fewer would be told apart from the last one's
                return None
            self.attempt += 1  # fewer nodes: another roster, another query
        labels = [answer.labels for answer in answers.values()]
        if None not in labels:
            self._labels = True
            self._witnesses = {n: [a.labels, a.signature] for n, a in answers.items() if a.signature}
            return labels
        layout = next(iter(answers.values())).layout
        if any(answer.layout != layout or answer.labels is not None for answer in answers.values()):
            raise RefusedError("rule layout: nodes answered with arrays of different shapes")
        if not self._secure:
            words = np.zeros(_exact.length_of(layout), np.int64)
            for answer in answers.values():
                words += answer.words if answer.words is not None else 0
            return _exact.decode(words, layout)
        return _exact.decode(self._aggregate(query, answers, layout), layout)

    def _exchange(self, kind: str, key: str, messages: Mapping[str, bytes]) -> dict[str, bytes]:
        """What nodes answered; those that did not are lost."""
        found = {}
        for name, answer in self._transport.exchange(kind, key, messages).items():
            if isinstance(answer, (ArgumentError, FormatError)) and kind == "ask":
                raise answer
            if isinstance(answer, Exception):
                self._lose(name, answer)
            else:
                found[name] = answer
        return found

    def _aggregate(self, query: Query, answers: Mapping[str, Answer], layout: Any) -> Any:
        """The secure round over nodes that have all opened their clients."""
        length = _exact.length_of(layout)
        options: dict[str, Any] = {"n": len(query.nodes), "threshold": query.threshold or None, "bits": _exact.BITS}
        server = Server(length=length, **options)
        for name, answer in answers.items():
            self._feed(server, name, answer.message)
        while messages := server.advance():
            waiting = {str(node): message for node, message in messages.items() if str(node) not in self.status}
            for name, reply in self._exchange("give", query.key, waiting).items():
                if reply:
                    self._feed(server, name, reply)
        value, survivors = server.result()
        self.alive = [name for name in self.alive if name in survivors]
        return value

    def _feed(self, server: Server, name: str, message: bytes) -> None:
        """A message that is none costs its node its part, and nobody else's."""
        try:
            server.receive(message)
        except FastimgError as error:
            self._lose(name, error)

    def _query(self, asked: list[str], shared: dict[str, Any]) -> Query:
        return Query(
            computation=self._what.name,
            version=self._what.version,
            parameters=self._parameters,
            shared=shared,
            requester=self._requester,
            nonce=self.nonce,
            attempt=self.attempt,
            round=self.rounds,
            nodes=asked,
            threshold=self._threshold(asked),
            secure=self._secure,
            request=self._request,
        )

    @staticmethod
    def _threshold(asked: list[str]) -> int:
        """0: what secagg takes by itself for so many nodes, a sparse graph and its threshold."""
        if len(asked) > COMPLETE:
            return 0
        return max(default_threshold(len(asked))[0], 2 * len(asked) // 3)

    def _lose(self, name: str, error: Exception) -> None:
        self.status[name] = ("refused: " if isinstance(error, RefusedError) else "failed: ") + safe(error)
        if name in self.alive:
            self.alive.remove(name)

    def _enough(self, asked: list[str]) -> None:
        least = _LEAST if self._secure else 1
        if len(asked) >= least:
            return
        reasons = "; ".join(f"{name} {why}" for name, why in self.status.items())
        raise RefusedError(
            f"rule survivors: {len(asked)} nodes answer; {least} are needed" + (f" ({reasons})" if reasons else "")
        )

    def _privacy(self) -> list[str]:
        """What the answer discloses."""
        says = [f"{self._what.name} discloses {self._what.discloses}."]
        if self._secure:
            says.append("Sums were opened by secure aggregation: no single node's part was seen by the hub or a node.")
            if self._request:
                says.append("Active model: nodes checked each other's signatures and the set of survivors.")
            else:
                says.append("Passive model: the hub was believed to follow the protocol, inside one machine.")
        else:
            says.append("Sums were plain: the hub saw each node's part.")
        if self._labels:
            says.append("Category labels held by enough patients of a node were exchanged in the open.")
        least = min(self.about[name]["min_cases"] for name in self.alive)
        says.append(f"Every node holds at least {least} contributing patients, and every cell it gave.")
        return says + self._notes
