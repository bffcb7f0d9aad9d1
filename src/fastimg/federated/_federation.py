"""The hub's side: it sends queries, carries messages, and sees sums."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import __version__
from ..errors import ArgumentError, FastimgError, FormatError, RefusedError
from ..secagg import Server
from . import _exact
from ._codec import loads
from ._node import Node, Query, safe
from ._registry import Computation, Done, find

__all__ = ["Federation", "Result"]

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


class Federation:
    """Nodes that answer together. Make one with `Federation.local`."""

    def __init__(self, nodes: Sequence[Node], *, requester: str) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._requester = requester

    @classmethod
    def local(cls, nodes: Sequence[Node], *, requester: str = "local") -> Federation:
        """Nodes inside this process, by the same messages as anywhere.

        Two nodes of one name are told apart by a number: "site", "site-2".
        """
        found = list(nodes)
        if not found or not all(isinstance(node, Node) for node in found):
            raise ArgumentError("nodes: a list of Node")
        if len({id(node) for node in found}) != len(found):
            raise ArgumentError("nodes: a node stands twice")
        seen: set[str] = set()
        for node in found:
            base, number = node.name, 1
            while node.name in seen:
                number += 1
                node.name = f"{base}-{number}"
            seen.add(node.name)
        return cls(found, requester=requester)

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

        Raises
        ------
        ArgumentError
            Unknown computation, unknown or wrong parameter: before any node is asked.
        RefusedError
            Fewer than 3 nodes answer (1 for a plain sum): the message lists the rules that refused.
        """
        what = find(name)
        plain = what.check(parameters)
        run = _Run(self, what, plain, secure)
        value = run.play()
        nodes = [{"name": node, "status": run.status.get(node, "answered")} for node in self._nodes]
        provenance = {
            "fastimg": __version__,
            "computation": what.name,
            "computation_version": what.version,
            "parameters": plain,
            "requester": self._requester,
            "nonce": run.nonce,
            "rounds": run.rounds,
            "secure": secure,
            "nodes": {
                n: {"policy": self._nodes[n].policy.digest, "log_head": self._nodes[n].log.head} for n in run.alive
            },
        }
        return Result(value, provenance, nodes, run.privacy())


class _Run:
    """One computation over its rounds."""

    def __init__(self, federation: Federation, what: Computation, parameters: dict[str, Any], secure: bool) -> None:
        self._federation, self._what, self._parameters, self._secure = federation, what, parameters, secure
        self.alive = list(federation._nodes)
        self.status: dict[str, str] = {}
        self.nonce = os.urandom(16).hex()
        self.rounds = 0
        self._labels = False
        self._notes: list[str] = []
        self._opened = False

    def play(self) -> Any:
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
        self.nonce = os.urandom(16).hex()
        self._opened = False
        return {}

    def _round(self, shared: dict[str, Any]) -> Any:
        self.rounds += 1
        while True:
            asked = list(self.alive)
            self._enough(asked)
            query = self._query(asked, shared)
            answers = {}
            for name in asked:
                try:
                    answers[name] = loads(self._federation._nodes[name].answer(query))
                except (ArgumentError, FormatError):
                    raise
                except Exception as error:  # a broken node never stops the others
                    self._lose(name, error)
            if len(answers) == len(asked):
                break
            self.nonce = os.urandom(16).hex()  # fewer nodes: another roster, another query
        if all(answer.keys() == {"labels"} for answer in answers.values()):
            self._labels = True
            return [answer["labels"] for answer in answers.values()]
        layouts = [tuple((n, k, tuple(s)) for n, k, s in answer["layout"]) for answer in answers.values()]
        if any(layout != layouts[0] for layout in layouts):
            raise RefusedError("rule layout: nodes answered with arrays of different shapes")
        if not self._secure:
            words = sum((np.asarray(answer["words"]) for answer in answers.values()), np.zeros(1, np.int64))
            return _exact.decode(words, layouts[0])
        return _exact.decode(self._aggregate(asked, answers, layouts[0]), layouts[0])

    def _aggregate(self, asked: list[str], answers: dict[str, Any], layout: Any) -> Any:
        """The secure round over nodes that have all opened their clients."""
        length = _exact.length_of(layout)
        server = Server(n=len(asked), threshold=self._threshold(asked), length=length, bits=_exact.BITS)
        for answer in answers.values():
            server.receive(bytes.fromhex(answer["message"]))
        while messages := server.advance():
            for node, message in messages.items():
                name = str(node)
                if name in self.status:
                    continue
                try:
                    reply = self._federation._nodes[name].receive(message)
                    if reply is not None:
                        server.receive(reply)
                except Exception as error:
                    self._lose(name, error)
        value, survivors = server.result()
        self.alive = [name for name in self.alive if name in survivors]
        return value

    def _query(self, asked: list[str], shared: dict[str, Any]) -> bytes:
        return Query(
            computation=self._what.name,
            version=self._what.version,
            parameters=self._parameters,
            shared=shared,
            requester=self._federation._requester,
            nonce=self.nonce,
            round=self.rounds,
            nodes=asked,
            threshold=self._threshold(asked),
            secure=self._secure,
        ).to_bytes()

    @staticmethod
    def _threshold(asked: list[str]) -> int:
        return max(2, 2 * len(asked) // 3)

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

    def privacy(self) -> list[str]:
        """What the answer discloses."""
        says = [f"{self._what.name} discloses {self._what.discloses}."]
        if self._secure:
            says.append("Sums were opened by secure aggregation: no single node's part was seen by the hub or a node.")
            says.append("Passive model: the hub was believed to follow the protocol, inside one machine.")
        else:
            says.append("Sums were plain: the hub saw each node's part.")
        if self._labels:
            says.append("Category labels held by enough patients of a node were exchanged in the open.")
        nodes = self._federation._nodes
        least = min(nodes[name].policy.min_cases for name in self.alive)
        says.append(f"Every node holds at least {least} contributing patients, and every cell it gave.")
        return says + self._notes
