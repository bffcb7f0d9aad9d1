"""A question through Flower beside Flower alone: the same exchanges of the same bytes, over the same processes, unanswered.

SuperLink, relay and SuperNodes are processes on loopback with TLS and keys; the nodes are threads of this process, so that
what they take is known. `own_share` is what is ours of a question's time by the clock: the hub outside of its exchanges, and
in each exchange the slowest node's answer, its computation included. `own_cpu_share` is the same in CPU seconds, all nodes'
together, beside those of SuperLink, relay and SuperNodes: what a busy machine does not change.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi

pytest.importorskip("flwr", reason="Flower is not installed (make peers)")
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.federated.flower_hub import Hub

NODES, CASES, FEATURES = 4, 100, 300
GROUP = f"federated: ComBat of {FEATURES} features through Flower, {NODES} nodes x {CASES} cases"
POLICY = 'format = "fastimg-policy"\nversion = 1\nrequesters = ["statistician"]\ndisclose_batches = true\n'
QUESTION = {"features": [f"f{i}" for i in range(FEATURES)], "batch": "scanner", "covariates": ["age"]}


class Timed(fi.federated.Node):
    """Notes what it was sent, how much it answered and how long that took; told to, it answers as many bytes of nothing."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.seen, self.answers = [], None

    def handle(self, message):
        if self.answers is not None and message[:1] != b"N":
            return b"R" + bytes(next(self.answers) - 1)
        start = time.perf_counter()
        reply = super().handle(message)
        if message[:1] != b"N":
            self.seen.append((message, len(reply), time.perf_counter() - start))
        return reply


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """(federation, nodes by name)."""
    folder = tmp_path_factory.mktemp("flower")
    rng = np.random.default_rng(0)
    hub = Hub(folder, [folder / f"cohort-{k}" for k in range(NODES)], POLICY)
    os.environ["FASTIMG_THREADS"] = "1"
    nodes, threads, stop = {}, [], threading.Event()
    hub.superlink()
    for k, name in enumerate(hub.names):
        cohort = fi.Cohort.create(hub.cohorts[k])
        for i in range(CASES):
            features = {"lesion": dict(zip(QUESTION["features"], rng.normal(size=FEATURES).tolist(), strict=True))}
            metadata = {"subject": f"p{i}", "scanner": "ABC"[i % 3], "age": float(rng.normal(60, 9))}
            cohort.add(f"c{i:03}", fi.Image(np.zeros((1, 2, 2), np.int16)), None, metadata, features=features)
        roster = fi.federated.Roster.load(folder / "roster.json", authority=hub.authority)
        identity = fi.federated.Identity.load(folder / f"{name}.key")
        nodes[name] = Timed(
            cohort, folder / "policy.toml", identity=identity, roster=roster, log=folder / f"{name}.log"
        )
        options = {"root_certificates": hub.ca, "supernode_key": hub.register(name), "stop": stop}
        threads.append(
            threading.Thread(target=fi.federated.serve, args=(nodes[name], f"127.0.0.1:{hub.port}"), kwargs=options)
        )
        threads[-1].start()
    options = {"requester": hub.requester, "root_certificates": hub.ca, "expect": NODES}
    with fi.federated.Federation.flower(f"127.0.0.1:{hub.port}", **options) as federation:
        yield federation, nodes
    stop.set()
    for thread in threads:
        thread.join()
    hub.close()


def cpu_of_flower():
    """CPU seconds of the processes that this one has started, and theirs."""
    tick, parents, spent = os.sysconf("SC_CLK_TCK"), {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        spent[int(folder.name)] = (int(fields[11]) + int(fields[12])) / tick

    def ours(pid):
        while pid > 1:
            pid = parents.get(pid, 0)
            if pid == os.getpid():
                return True
        return False

    return sum(seconds for pid, seconds in spent.items() if ours(pid))


@pytest.mark.benchmark(group=GROUP)
def bench_question(case, engine, benchmark):
    federation, nodes = engine
    transport, waits, shares, cpu = federation._transport, [], [], []
    before = transport.exchange

    def exchange(*arguments):
        start = time.perf_counter()
        found = before(*arguments)
        waits.append(time.perf_counter() - start)
        return found

    def ask():
        waits.clear()
        for node in nodes.values():
            node.seen.clear()
        start, before_us, before_flower = time.perf_counter(), time.process_time(), cpu_of_flower()
        result = federation.run(
            "combat", **(QUESTION | {"features": QUESTION["features"][len(cpu) :]})
        )  # never asked yet
        whole = time.perf_counter() - start
        cpu.append((time.process_time() - before_us) / (cpu_of_flower() - before_flower))
        assert len(result.provenance["survivors"]) == NODES
        answers = sum(max(node.seen[k][2] for node in nodes.values()) for k in range(len(waits)))
        own = whole - sum(waits) + answers
        shares.append(own / (whole - own))
        return result

    transport.exchange = exchange
    try:
        case(ask, items=NODES, unit="node", rounds=2, setup=lambda: ((), {}))
    finally:
        transport.exchange = before
    benchmark.extra_info.update(own_share=min(shares), own_cpu_share=min(cpu), exchanges=len(waits))


@pytest.mark.benchmark(group=GROUP)
def bench_flower_alone(case, engine):
    """What the question before has sent and got, without a node that works."""
    federation, nodes = engine
    transport = federation._transport
    sent = [
        [(name, node.seen[k][0]) for name, node in nodes.items()] for k in range(len(next(iter(nodes.values())).seen))
    ]

    def carry():
        transport.names()
        for node in nodes.values():
            node.answers = iter([size for _, size, _ in node.seen])
        for messages in sent:
            parts = [part for name, message in messages for part in (name.encode(), message)]
            transport._call([b"exchange", b"120", *parts])

    try:
        case(carry, tool="Flower alone", items=NODES, unit="node", rounds=2, setup=lambda: ((), {}))
    finally:
        for node in nodes.values():
            node.answers = None
