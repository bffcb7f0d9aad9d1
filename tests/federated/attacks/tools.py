"""What the attacks share: a message as a hub sends it, and what must come of it."""

from __future__ import annotations

import json
from dataclasses import replace

from fastimg.errors import FastimgError
from fastimg.federated import _messages as wire
from fastimg.federated import registered, verify_log
from fastimg.federated._query import Query

SECRET = "Jane Doe 1948"  # what every patient is called here, with a number
NAMES = ("alpha", "beta", "gamma")
OPEN = ("count", "histogram", "moments", "combat", "linear", "tool", "evaluate", "nyul", "site_effect", "quantiles")


def ask(name="count", **changes):
    """A first round as a hub sends it."""
    parameters = dict(changes.pop("parameters", {}))
    known = registered()[name].check(parameters) if changes.pop("checked", True) else parameters
    first = Query(name, registered()[name].version, known, {}, "local", "0" * 32, 1, 1, list(NAMES), 2, True)
    return replace(first, **changes)


def refused(node, query, *words):
    """The attack comes over a wire: what goes back names a rule or a kind of error, the log has it, the node serves."""
    before = verify_log(node.log.path)[0]
    reply = wire.result(node.handle(wire.ask(query if isinstance(query, bytes) else query.to_bytes())))
    assert isinstance(reply, FastimgError)
    assert str(reply).startswith(words), str(reply)
    assert not any(secret in str(reply) for secret in ("Jane", "case-", "passwd"))
    public = {f"ArgumentError: {name}" for what in registered().values() for name in what.parameters}
    assert "Error:" not in str(reply) or str(reply) in public
    assert verify_log(node.log.path)[0] == before + 1
    record = json.loads(node.log.path.read_text().splitlines()[-1])
    assert record["event"] in ("refused", "malformed")
    whole = {"nonce": f"e{before:031x}", "nodes": [node.name, "other", "third"], "secure": node.policy.secure_only}
    fine = ask(parameters={"by": ["scanner"], "levels": {"scanner": [str(before)]}}, **whole)
    if node.roster is None:
        assert isinstance(wire.result(node.handle(wire.ask(fine.to_bytes()))), bytes)


class Recorder:
    """A transport inside this process that keeps what it carried, or mixes it up."""

    def __init__(self, members, late=False):
        self.nodes, self.late, self.seen = {n.name: n for n in members}, late, {n.name: [] for n in members}

    def names(self):
        return list(self.nodes)

    def exchange(self, kind, key, messages):
        found = {}
        if kind == "give" and self.late:
            messages = dict(zip(messages, [*list(messages.values())[1:], *list(messages.values())[:1]], strict=True))
        for name, message in messages.items():
            if kind == "give":
                self.seen[name].append((key, message))
            found[name] = wire.result(
                self.nodes[name].handle(wire.ask(message) if kind == "ask" else wire.give(key, message))
            )
        return found
