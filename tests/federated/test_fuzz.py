"""Malformed requests and messages by the thousand: refused with a reason, logged, the node still serving, nothing leaked.

A mutator that knows the format goes deeper than bytes at random: it changes fields and signs again with the requester's own
key, so that what comes after the signature is reached too. libFuzzer (atheris) covers the parsers (fuzz_wire.py).
There is no HTTP interface to describe, so that schemathesis has nothing to test.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastimg.errors import ArgumentError, FormatError
from fastimg.federated import Federation, Identity, Node, Policy, Roster, registered, verify_log
from fastimg.federated import _messages as wire
from fastimg.federated._codec import dumps, loads
from fastimg.federated._query import Query, Request
from fastimg.federated._reply import Answer

NAMES = ["hospital-0", "hospital-1", "hospital-2"]
STRANGE = [
    None, True, -1, 0, 2**53, 2**64, 1e308, -0.0, "", "x", "\0", "..", "../../etc/passwd", "/etc/passwd", "a" * 5000, "é" * 200,
    "__import__('os').system('id')", "age ~ 1 + I(open('/etc/passwd').read())", "1; DROP TABLE cases; --", "${jndi:x}",
    "\x80\x04\x95cos\nsystem\n.", [], [[]], ["x"] * 300, {}, {"a": {}}, b"", b"\x80\x04.", np.zeros((0, 3)), np.arange(5.0),
]  # fmt: skip
QUESTIONS = {
    "count": {"by": ["sex"]},
    "histogram": {"bins": 4, "range": (-600, 600)},
    "moments": {"features": ["f0", "f1"]},
    "combat": {"features": ["f0", "f1"], "batch": "scanner", "covariates": ["age"]},
    "quantiles": {"features": ["f0"], "range": (-1, 1), "probabilities": [0.5]},
}
KINDS = {"FormatError", "ArgumentError", "RefusedError", "FastimgError", "GeometryError", "failed"}


class Mutator:
    """Messages that a hub, or a requester, should not send; from one seed the same ones."""

    def __init__(self, seed, requester):
        self.random, self.requester = np.random.default_rng(seed), requester
        self.keys = ["0" * 32 + "-1-1"]  # of rounds that may be open

    def pick(self, options):
        return options[int(self.random.integers(len(options)))]

    def message(self):
        make = self.pick(
            [self.bytes_changed, self.field_changed, self.field_changed, self.signed_anew, self.signed_anew]
        )
        return self.pick([make, make, make, make, self.given, self.noise])()

    def query(self, parameters=None, **changes):
        name = self.pick(list(QUESTIONS))
        what = registered()[name]
        checked = what.check(QUESTIONS[name]) if parameters is None else parameters
        request = Request.signed(self.requester, name, what.version, checked, NAMES, secure=True)
        query = Query(
            name, what.version, checked, {}, request.requester, request.nonce, 1, 1, NAMES, 2, True, request.to_bytes()
        )
        self.keys.append(query.key)
        return replace(query, **changes)

    def bytes_changed(self):
        data = bytearray(wire.ask(self.query().to_bytes()))
        for place in self.random.integers(0, len(data), int(self.random.integers(1, 6))):
            data[place] = int(self.random.integers(256))
        if self.random.random() < 0.3:
            del data[int(self.random.integers(len(data))) :]
        return bytes(data)

    def field_changed(self):
        """A query of which one field, or one inside its request, is something else, gone, or new."""
        record = loads(self.query().to_bytes())
        if self.random.random() < 0.3:
            record["request"] = self.changed(loads(record["request"]))
            return wire.ask(encoded(record | {"request": encoded(record["request"])}))
        return wire.ask(encoded(self.changed(record)))

    def changed(self, record):
        key = self.pick(list(record))
        act = self.random.random()
        if act < 0.1:
            del record[key]
        elif act < 0.2:
            record["more"] = self.pick(STRANGE)
        elif act < 0.5 and isinstance(record[key], dict) and record[key]:
            record[key] = self.changed(dict(record[key]))
        else:
            record[key] = self.pick(STRANGE)
        return record

    def signed_anew(self):
        """By the requester: parameters, shared state, nodes and rounds that no honest one would send."""
        name = self.pick(list(QUESTIONS))
        parameters = self.changed(dict(registered()[name].check(QUESTIONS[name])))
        shared = (
            {self.pick(["design", "mean", "n", "levels", "low", "x"]): self.pick(STRANGE)}
            if self.random.random() < 0.5
            else {}
        )
        try:
            request = Request.signed(self.requester, name, 1, parameters, NAMES, secure=True)
            query = Query(
                name, 1, parameters, shared, "statistician", request.nonce, 1, 1, NAMES, 2, True, request.to_bytes()
            )
            query = replace(
                query, round=int(self.random.integers(1, 4)), nodes=self.pick([NAMES, NAMES[:2], NAMES[::-1]])
            )
            return wire.ask(query.to_bytes())
        except ArgumentError:  # it cannot even be written
            return self.bytes_changed()

    def given(self):
        """A message for an open round, or for none."""
        return wire.give(self.pick(self.keys), self.random.bytes(int(self.random.integers(400))))

    def noise(self):
        return self.random.bytes(int(self.random.integers(300)))


def encoded(value):
    """As `dumps`; where a value does not travel, as close as JSON comes."""
    try:
        return dumps(value)
    except ArgumentError:
        return json.dumps(value, default=str).encode()


@pytest.fixture
def served(hospitals, tmp_path):
    """([node], requester): three nodes with a roster, as beyond one machine."""
    requester, authority = Identity.new("statistician"), Identity.new("authority")
    identities = [Identity.new(name) for name in NAMES]
    roster = Roster().trust("statistician", "requester", requester.public)
    for identity in identities:
        roster = roster.trust(identity.name, "node", identity.public)
    roster = roster.signed(authority)
    policy = Policy(min_cases=4, requesters=("statistician",), computations=tuple(QUESTIONS))
    nodes = [
        Node(path, policy, identity=identity, roster=roster, log=tmp_path / f"{identity.name}.jsonl")
        for path, identity in zip(hospitals[0], identities, strict=True)
    ]
    return nodes, requester


@pytest.mark.parametrize("times", [1500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_malformed_messages(served, times):
    nodes, requester = served
    node = nodes[0]
    mutator = Mutator(times, requester)
    secrets = [str(node.cohort.path), *node.cohort, "Traceback", "passwd", "os.system", "scanner"]
    refused, reasons = 0, set()
    for k in range(times):
        reply = node.handle(mutator.message())
        result = wire.result(reply)
        if isinstance(result, bytes):  # the change was to what may be: another round of an honest question
            continue
        refused += 1
        text = str(result)
        assert text.partition(": ")[0] in KINDS or text.startswith("rule "), text
        reasons.add(text.split(":")[0])
        assert not any(secret in text for secret in secrets), text
        if k % 50 == 0:
            assert wire.result(node.handle(wire.NAME + b"\0")) == b"hospital-0"
    assert refused > 0.8 * times
    assert {"FormatError", "ArgumentError", "rule identity", "rule rounds"} <= reasons
    assert "failed" not in reasons  # every one was foreseen
    lines, _ = verify_log(node.log.path)
    assert lines >= refused
    events = [json.loads(line)["event"] for line in node.log.path.read_text().splitlines()]
    assert events.count("refused") + events.count("malformed") == refused
    assert Federation.local(nodes, requester=requester).run("histogram", bins=9, range=(-5, 5)).value["cases"] == 72


@pytest.mark.parametrize("times", [1000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_malformed_answers_at_the_hub(times):
    about = {"policy": "sha256:" + "0" * 64, "log_head": "f" * 64, "min_cases": 4}
    good = [
        {"about": about, "labels": {"sex": ["F", "M"]}},
        {"about": about, "layout": [["a", "whole", [2]], ["b", "real", []]], "words": np.arange(7)},
        {"about": about, "layout": [["a", "whole", [2]]], "message": b"x" * 50},
    ]
    mutator = Mutator(times, Identity.new("r"))
    refused = 0
    for k in range(times):
        data = bytearray(encoded(mutator.changed(dict(good[k % 3]))))
        for place in mutator.random.integers(0, len(data), k % 3):
            data[place] = int(mutator.random.integers(256))
        try:
            Answer.from_bytes(bytes(data))
        except FormatError:
            refused += 1
    assert refused > 0.7 * times


@pytest.mark.soak
def test_the_parsers_under_libfuzzer(tmp_path):
    """Every branch of the parsers that atheris finds raises a FormatError, or gives the value back bit by bit."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed (make peers)")
    program = Path(__file__).with_name("fuzz_wire.py")
    command = [
        sys.executable,
        str(program),
        "-runs=50000",
        "-max_len=4096",
        f"-artifact_prefix={tmp_path}/",
        "-verbosity=0",
    ]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
