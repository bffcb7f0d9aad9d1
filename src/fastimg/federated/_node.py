"""A node: the only one that sees cases. It checks, computes, masks, and logs."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import ArgumentError, FastimgError, FormatError, IntegrityError, RefusedError
from ..secagg import Client
from ..secagg._graph import COMPLETE
from ..secagg._terms import default_threshold
from . import _exact
from . import _messages as wire
from ._audit import Log
from ._codec import digest, dumps
from ._disclosure import blur
from ._identity import Identity, Roster, verify
from ._policy import Policy
from ._query import Query
from ._registry import Computation, Labels, find, registered
from ._rows import Rows
from ._stored import Stored

__all__ = ["Node"]

_LOG = "federation-log.jsonl"
_NOISE_FILE = ".noise"  # appended to the log's name
_ANSWERS = ".answers"
_MOST_LOGGED = 4096  # bytes of parameters that stand in the log as they are
WITNESSES = "witnesses"  # in the shared state: node -> [labels, signature]
_NEEDED = re.compile(r"parameter '([a-z0-9_]+)' is needed$")
_SAID = re.compile(r"(?:Argument|Format|Geometry|Device|Integrity|Missing)Error(?:: ([a-z0-9_]+))?")
_MOST_OPEN = 64  # rounds of secure aggregation at a time; the oldest gives way


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
    identity : Identity, optional
    roster : Roster, optional
        Both or neither. With them the node answers only requests that a requester of the roster signed, and secure sums
        run in the active model: a hub that lies is caught. Without them it is for use inside one machine.

    Raises
    ------
    ArgumentError
        No policy, one of identity and roster without the other, a name that is not 1 to 64 printable bytes, or a cohort
        without a folder and no `log`.

    Examples
    --------
    A node never hands out data; `Federation.run` asks it. What it did stands in `node.log`.
    """

    def __init__(
        self,
        cohort: Any,
        policy: Any,
        *,
        name: str | None = None,
        log: str | os.PathLike[str] | None = None,
        identity: Identity | None = None,
        roster: Roster | None = None,
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
        if log is None and (folder is None or "://" in str(folder)):
            raise ArgumentError("log: this cohort has no folder; name a file for the node's log")
        self.policy.check("cohort", Path(folder).name if folder is not None else "")
        if (identity is None) != (roster is None):
            raise ArgumentError("identity and roster: give both, or neither inside one machine")
        self.identity = identity
        self.name = name or (identity.name if identity else Path(folder).name if folder is not None else "node")
        if not 1 <= len(self.name.encode()) <= 64 or not self.name.isprintable():
            raise ArgumentError("name: 1 to 64 printable bytes")
        self.log = Log(log if log is not None else Path(str(folder)) / _LOG)
        self._stored = Stored(self.log.path.with_name(self.log.path.name + _ANSWERS))
        self.roster: Roster | None = None
        if identity is not None and roster is not None:
            self.renew(roster)
        self._lock = threading.RLock()
        self._clients: OrderedDict[str, Client] = OrderedDict()
        self._secret: bytes | None = None

    def __repr__(self) -> str:
        return f"Node({self.name!r}, min_cases={self.policy.min_cases})"

    def renew(self, roster: Roster) -> None:
        """Take a newer roster; one with a lower serial number than was seen before is refused, also after a restart.

        Raises RefusedError too for a roster of another authority, or without this node's name and key.
        """
        assert self.identity is not None
        if self.roster is not None and roster.authority != self.roster.authority:
            raise RefusedError("rule roster: it is of another authority")
        if roster.serial < self.log.serial:
            raise RefusedError("rule roster: it is older than one that this node has seen")
        if roster.key(self.name, "node") != self.identity.public:
            raise RefusedError("rule roster: it does not hold this node's name and key")
        if roster.serial > self.log.serial:
            digest = hashlib.sha256(roster.to_bytes()).hexdigest()
            self.log.append(event="roster", serial=roster.serial, digest=digest)
        self.roster = roster

    def answer(self, query: bytes) -> bytes:
        """Open a round: the first secure-aggregation message, or the plain answer (labels; sums inside one machine).

        Raises
        ------
        RefusedError
            A rule of this node; the message names the rule.
        FormatError, ArgumentError
            Not a query, or parameters outside their schema.
        """
        try:
            q = Query.from_bytes(query)
        except FormatError:
            self.log.append(sync=False, event="malformed")
            raise
        with self._lock:
            try:
                return self._answer(q)
            except FastimgError as error:
                self.log.append(sync=False, event="refused", rule=_rule(error), **self._who(q))
                raise
            except Exception as error:  # by its kind alone: its words may hold data
                self.log.append(sync=False, event="refused", rule="failed", kind=type(error).__name__, **self._who(q))
                raise

    def receive(self, key: str, message: bytes) -> bytes | None:
        """The secure-aggregation messages that follow `answer`, of the round that `Query.key` names.

        `message` is the hub's; `key` the round's. Raises RefusedError where no such round is open.
        """
        with self._lock:
            try:
                client = self._clients.get(key)
                if client is None:
                    raise RefusedError("rule rounds: no such round is open at this node")
                reply = client.receive(message)
            except FastimgError as error:
                self.log.append(sync=False, event="refused", rule=_rule(error), key=key[:64])
                raise
            except Exception as error:
                self.log.append(sync=False, event="refused", rule="failed", kind=type(error).__name__, key=key[:64])
                raise
            if client.done:
                del self._clients[key]
            return reply

    def handle(self, message: bytes) -> bytes:
        """Any message of a hub, as it comes over a network; errors come back as bytes that tell no more than their rule."""
        try:
            try:
                kind, key, body = wire.opened(message)
            except FormatError:
                self.log.append(sync=False, event="malformed")
                raise
            if kind == wire.NAME:
                return wire.reply(self.name.encode())
            if kind == wire.ASK:
                return wire.reply(self.answer(body))
            return wire.reply(self.receive(key, body) or b"")
        except Exception as error:  # whatever went wrong, the node goes on serving
            return wire.failure(safe(error))

    def _who(self, q: Query) -> dict[str, Any]:
        text = dumps(q.parameters)
        short = len(text) <= _MOST_LOGGED and text[:1] == b"{"  # arrays are bytes, and many
        parameters = text.decode() if short else "sha256:" + hashlib.sha256(text).hexdigest()
        return {
            "requester": q.requester[:64],
            "computation": q.computation[:64],
            "computation_version": q.version,
            "parameters": parameters,
            "attempt": q.attempt,
            "round": q.round,
            "nonce": q.nonce,
            "policy": self.policy.digest,
            "fastimg": __version__,
        }

    def _answer(self, q: Query) -> bytes:
        now = time.time()
        if self.roster is not None:
            q.check(self.roster, now)
        elif q.request:
            raise RefusedError("rule identity: this node has no roster to check a signed request by")
        self.policy.check("requester", q.requester)
        self.policy.check("computation", (q.computation, q.version))
        self.policy.check("minute", int(now // 60) % 1440)
        self.policy.check("queries", self.log.asked(q.requester))
        self.log.follows(q.nonce, q.attempt, q.round)
        if self.name not in q.nodes or len(set(q.nodes)) != len(q.nodes):
            raise RefusedError("rule roster: this node is not among the nodes of the query")
        what = find(q.computation)
        if what.version != q.version:
            raise RefusedError("rule computations: this version is not installed at this node")
        parameters = what.check(q.parameters)
        rows = Rows(self.cohort, self.policy, parameters.get("where"), every_state=what.every_state)
        rows.witnesses, q = self._witnesses(q)
        self.policy.check("patients", rows.n_patients)
        question = digest([q.computation, q.version, parameters, q.shared, q.round, self.policy.digest])
        released, record = self._released(q, what, parameters, rows, question)
        if "labels" in released:
            answer: dict[str, Any] = {"labels": released["labels"]}
            if self.identity is not None:
                answer["signature"] = self.identity.sign(_witnessed(q.nonce, self.name, released["labels"]))
        else:
            if self.roster is not None and not q.secure:
                raise RefusedError("rule secure: sums beyond one machine are opened by secure aggregation only")
            self.policy.check("secure", q.secure)
            answer = self._contribution(q, released["arrays"])
        self.log.append(event="released", question=question, **record, **self._who(q))
        about = {"policy": self.policy.digest, "log_head": self.log.head, "min_cases": self.policy.min_cases}
        return dumps({**answer, "about": about})

    def _released(
        self, q: Query, what: Computation, parameters: dict[str, Any], rows: Rows, question: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """(what leaves, fields of the log). An identical question gets what it got before: as long as the cases are the
        same, and also where too few are new for another answer."""
        cases = hashlib.sha256(rows.contributed[0][0].astype("<u8").tobytes()).hexdigest()
        before = self.log.answers.get(question)
        stored = self._stored.get(question, before)
        if stored is not None and stored["cases"] != cases:
            try:
                self.log.admit(rows.contributed, self.policy.min_cases)
            except RefusedError:
                pass
            else:
                stored = None
        if stored is not None:
            return stored, {"patients": stored["patients"], "cases": stored["count"], "answer": before, "stored": True}
        self.log.admit(rows.contributed, self.policy.min_cases)
        found = what.local(rows, parameters, q.shared)
        rows.in_time()
        release = self.log.admit(rows.contributed, self.policy.min_cases)
        kept: dict[str, Any] = {"cases": cases, "patients": rows.n_patients, "count": len(rows)}
        if isinstance(found, Labels):
            self.policy.check("values", sum(map(len, found.of.values())))
            kept["labels"] = found.of
        else:
            layout = _exact.layout_of(found)
            self.policy.check("values", _exact.length_of(layout))
            found = self._blurred(q, what, found, cases)
            kept["arrays"] = {name: np.asarray(value) for name, value in found.items()}
        fields = {
            "patients": rows.n_patients,
            "cases": len(rows),
            **({"broken": rows.broken} if rows.broken else {}),
            **release,
            "answer": self._stored.put(question, kept),
        }
        return kept, fields

    def _witnesses(self, q: Query) -> tuple[dict[str, Any] | None, Query]:
        """(node -> the labels that it signed in this request, None without a roster; the query without them)."""
        stated = q.shared.get(WITNESSES, {})
        q = replace(q, shared={name: value for name, value in q.shared.items() if name != WITNESSES})
        if self.roster is None:
            return None, q
        found = {}
        for name in q.nodes:
            key = self.roster.key(name, "node")
            if key is None or not isinstance(stated, dict) or name not in stated:
                continue
            match stated[name]:
                case [dict() as labels, str() as signature]:
                    if verify(key, _witnessed(q.nonce, name, labels), signature):
                        found[name] = labels
        return found, q

    def _contribution(self, q: Query, found: dict[str, Any]) -> dict[str, Any]:
        layout = _exact.layout_of(found)
        words = _exact.encode(found)
        if not q.secure:
            return {"layout": layout, "words": words}
        if len(q.nodes) < 3:
            raise RefusedError("rule survivors: a secure sum needs at least 3 nodes")
        # whatever the round: a hub may call a rerun the next round
        question = digest([q.computation, q.version, q.parameters])
        self.log.permit(question, q.nodes)
        request = hashlib.sha256(q.to_bytes() + _exact.digest_of(layout)).digest()
        options: dict[str, Any] = {"n": len(q.nodes), "bits": _exact.BITS}
        least, colluding = default_threshold(len(q.nodes))
        if q.threshold or len(q.nodes) <= COMPLETE:  # else the sparse graph's own
            options |= {"threshold": q.threshold}
        if self.roster is not None and self.identity is not None:
            if "threshold" in options:
                if q.threshold < least:
                    raise RefusedError(f"rule threshold: {least} of {len(q.nodes)} nodes are needed to open a sum")
                options |= {"colluding": colluding}
            keys = self.roster.nodes()
            options |= {"identity": self.identity.private_bytes, "roster": {name: keys[name] for name in q.nodes}}

        def approve(survivors: list[Any]) -> None:
            names = sorted(map(str, survivors))
            self.log.permit(question, names)
            self.log.append(event="opened", question=question, survivors=names, nonce=q.nonce)

        client = Client(self.name, words, request=request, approve=approve, **options)
        self._clients[q.key] = client
        while len(self._clients) > _MOST_OPEN:
            self._clients.popitem(last=False)
        return {"layout": layout, "message": client.start()}

    def _blurred(self, q: Query, what: Computation, found: dict[str, Any], cases: str) -> dict[str, Any]:
        """Counts as the policy lets them leave; an identical question over the same cases gives the same."""
        if self.policy.exact or not what.counts:
            return found
        context = dumps([q.computation, q.version, q.parameters, q.shared, q.round, cases])
        return {
            name: blur(np.asarray(value), self.policy, self._noise_key(), context + name.encode())
            if name in what.counts
            else value
            for name, value in found.items()
        }

    def _noise_key(self) -> bytes:
        """32 bytes of this node alone, kept beside the log."""
        if self._secret is None:
            path = self.log.path.with_name(self.log.path.name + _NOISE_FILE)
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with open(descriptor, "wb") as stream:
                    stream.write(os.urandom(32))
            except FileExistsError:
                pass
            self._secret = path.read_bytes()
            if len(self._secret) != 32:
                raise IntegrityError("node: the secret beside the log is damaged")
        return self._secret


def _witnessed(nonce: str, name: str, labels: Any) -> bytes:
    """What a node signs of its labels."""
    return b"fastimg labels\n" + dumps([nonce, name, labels])


def _rule(error: FastimgError) -> str:
    """As the log names it."""
    text = str(error)
    return text.split(":")[0] if text.startswith("rule ") else type(error).__name__


def _parameter(text: str) -> str:
    """The parameter that an error names, if it is one of an installed computation: a public word."""
    first, _, rest = text.partition(": ")
    needed = _NEEDED.match(rest)
    name = needed[1] if needed else first
    return name if any(name in what.parameters for what in registered().values()) else ""


def safe(error: BaseException) -> str:
    """What the hub may say about a node's error: a refusal's rule, a parameter's name, else the error's kind alone."""
    text = str(error)
    if isinstance(error, RefusedError) and text.startswith("rule "):
        return text
    if isinstance(error, ArgumentError) and (name := _parameter(text)):
        return f"ArgumentError: {name}"
    if type(error) is FastimgError and (said := _SAID.fullmatch(text)) and (not said[1] or _parameter(said[1])):
        return text  # as another node said it
    return type(error).__name__ if isinstance(error, FastimgError) else "failed"
