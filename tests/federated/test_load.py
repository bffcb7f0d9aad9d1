"""Fifty requesters at once against five nodes, each node a process: no release record is lost or doubled (soak)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import RefusedError
from fastimg.federated import Federation, Identity, Roster, _sockets, verify_log
from fastimg.federated import _messages as wire

REQUESTERS, NODES = 50, 5
POLICY = """format = "fastimg-policy"
version = 1
min_cases = 4
max_queries_per_hour = 100000
computations = ["count", "histogram", "moments"]
"""
NODE = """
import sys
from pathlib import Path
from fastimg.federated import Identity, Node, Roster, _sockets

folder, name, authority = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
identity = Identity.load(folder / f"{name}.key")
roster = Roster.load(folder / "roster", authority=authority)
node = Node(folder / name, folder / "policy.toml", identity=identity, roster=roster, log=folder / f"{name}.jsonl")
listener = _sockets.Listener(folder / f"{name}.socket", lambda parts: [node.handle(parts[0])])
sys.stdin.read()
listener.close()
"""


class Sockets:
    """To the nodes' sockets, as a SuperNode speaks to them; what nodes have answered to queries is counted."""

    def __init__(self, folder, names):
        self._folder, self._names, self.answered = folder, names, []

    def names(self):
        return list(self._names)

    def exchange(self, kind, key, messages):
        found = {}
        for name, message in messages.items():
            body = wire.ask(message) if kind == "ask" else wire.give(key, message)
            found[name] = wire.result(_sockets.call(self._folder / f"{name}.socket", [body], timeout=600)[0])
            if kind == "ask" and isinstance(found[name], bytes):
                self.answered.append(name)
        return found


@pytest.fixture
def place(tmp_path):
    """(folder, node names, [requester]): five nodes as processes; the last requester is in no node's policy."""
    authority = Identity.new("authority")
    requesters = [Identity.new(f"requester-{k:02}") for k in range(REQUESTERS)]
    roster = Roster()
    for one in requesters:
        roster = roster.trust(one.name, "requester", one.public)
    names = [f"node-{k}" for k in range(NODES)]
    rng = np.random.default_rng(3)
    for name in names:
        identity = Identity.new(name)
        identity.save(tmp_path / f"{name}.key")
        roster = roster.trust(name, "node", identity.public)
        cohort = fi.Cohort.create(tmp_path / name)
        for i in range(24):
            metadata = {"subject": f"p{i}", "sex": "FM"[i % 2]}
            image = fi.Image(rng.normal(0, 300, (2, 8, 8)).astype(np.int16), unit="HU")
            cohort.add(f"c{i:02}", image, metadata=metadata, features={"m": {"f0": float(rng.normal())}})
    (tmp_path / "roster").write_bytes(roster.signed(authority).to_bytes())
    allowed = json.dumps([one.name for one in requesters[:-1]])
    (tmp_path / "policy.toml").write_text(POLICY + f"requesters = {allowed}\n")
    environment = os.environ | {"FASTIMG_THREADS": "1"}
    command = [sys.executable, "-c", NODE, str(tmp_path)]
    processes = [
        subprocess.Popen([*command, name, authority.public], stdin=subprocess.PIPE, env=environment) for name in names
    ]
    until = time.monotonic() + 600
    while not all((tmp_path / f"{name}.socket").exists() for name in names):
        assert time.monotonic() < until, "the nodes did not start"
        time.sleep(0.05)
    yield tmp_path, names, requesters
    for process in processes:
        process.communicate(timeout=600)


@pytest.mark.soak
def test_fifty_requesters_at_once(place, soak_minutes):
    folder, names, requesters = place
    until = time.monotonic() + min(300.0, 60 * soak_minutes * 5 / 6)
    wrong, refusals, runs = [], Counter(), Counter()
    transports = [Sockets(folder, names) for _ in requesters]

    def work(k):
        fed, turn = Federation(transports[k], requester=requesters[k]), 0
        while time.monotonic() < until:
            turn += 1
            try:
                if turn % 3 == 0:
                    good = fed.run("count", by=["sex"]).value["cases"].tolist() == [12 * NODES, 12 * NODES]
                elif turn % 3 == 1:
                    value = fed.run("histogram", bins=2 + k, range=(-2000, 2000)).value
                    good = value["counts"].sum() + value["overflow"] == 24 * NODES * 128
                else:
                    good = fed.run("moments", features=["f0"]).value["n"].tolist() == [24 * NODES]
                runs[k] += 1
                if not good:
                    wrong.append((k, turn))
            except RefusedError as error:
                refusals[str(error).split("(")[-1].split(";")[0]] += 1
                if k < REQUESTERS - 1 or "rule requesters" not in str(error):
                    wrong.append((k, str(error)))
                time.sleep(0.5)
            except Exception as error:  # anything else is not a stated refusal
                wrong.append((k, repr(error)))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(REQUESTERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert min(runs[k] for k in range(REQUESTERS - 1)) >= 1
    assert runs[REQUESTERS - 1] == 0
    assert sum(refusals.values()) >= 1
    answered = Counter(name for transport in transports for name in transport.answered)
    for name in names:
        verify_log(folder / f"{name}.jsonl")
        records = list(map(json.loads, (folder / f"{name}.jsonl").read_text().splitlines()))
        released = Counter((r["nonce"], r["attempt"], r["round"]) for r in records if r["event"] == "released")
        assert sum(released.values()) == answered[name]  # none lost
        assert set(released.values()) == {1}  # none doubled
        refused = [r for r in records if r["event"] == "refused"]
        assert {r["rule"] for r in refused} == {"rule requesters"}
        assert {r["requester"] for r in refused} == {requesters[-1].name}
