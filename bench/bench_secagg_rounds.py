"""Secure aggregation's steps and whole rounds, beside Flower's SecAgg+."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from bench_secagg import BITS, CLIP, N
from growth import apart

import fastimg as fi

NODES, DROPPED = 30, 3


@pytest.fixture(scope="module")
def vector():
    return np.random.default_rng(0).normal(size=N).astype(np.float32)


class Flower:
    """Flower's SecAgg+ between 30 clients, by the functions that its own client and server call (legacy mod, flwr 1.41)."""

    def __init__(self):
        pytest.importorskip("flwr", reason="peer flwr is not installed")
        from flwr.app import ConfigRecord
        from flwr.common.secure_aggregation.secaggplus_constants import Key

        mod = import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")
        self.mod, self.key = mod, Key
        plan = {
            Key.SAMPLE_NUMBER: NODES,
            Key.SHARE_NUMBER: NODES,
            Key.THRESHOLD: 20,
            Key.CLIPPING_RANGE: CLIP,
            Key.TARGET_RANGE: 1 << 22,
            Key.MOD_RANGE: 1 << 32,
            Key.MAX_WEIGHT: 1000.0,
        }
        self.states = []
        for nid in range(NODES):
            state = mod.SecAggPlusState()
            state.nid = nid
            mod._setup(state, ConfigRecord(plan))
            self.states.append(state)
        self.keys = {str(s.nid): [s.pk1, s.pk2] for s in self.states}
        sent = {s.nid: mod._share_keys(s, ConfigRecord(self.keys)) for s in self.states}
        self.inbox = {nid: ([], []) for nid in range(NODES)}
        for source, message in sent.items():
            for to, text in zip(message[Key.DESTINATION_LIST], message[Key.CIPHERTEXT_LIST], strict=True):
                self.inbox[to][0].append(source)
                self.inbox[to][1].append(text)
                state = self.states[to]
                plain = mod.decrypt(state.ss2_dict[source], text)
                _, _, own, key = mod.share_keys_plaintext_separate(plain)
                state.rd_seed_share_dict[source], state.sk1_share_dict[source] = own, key

    def masked(self, nid, vector):
        """One client's masked vector: quantise, 30 masks, serialise."""
        from flwr.app import ConfigRecord
        from flwr.common import ndarrays_to_parameters

        sources, texts = self.inbox[nid]
        config = ConfigRecord({self.key.SOURCE_LIST: sources, self.key.CIPHERTEXT_LIST: texts})
        parameters = ndarrays_to_parameters([vector])
        return lambda: self.mod._collect_masked_vectors(self.states[nid], config, 1000, parameters)

    def unmask(self, words):
        """The server's last step as its workflow does it: secrets, masks of survivors, pair masks of the dropped."""
        from flwr.common.secure_aggregation import ndarrays_arithmetic as arithmetic
        from flwr.common.secure_aggregation.crypto.shamir import combine_shares
        from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
        from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
        from flwr.supercore.primitives.asymmetric import bytes_to_private_key, bytes_to_public_key

        states, total = self.states, [words]
        for nid in range(NODES):
            dead = nid < DROPPED
            shares = [(s.sk1_share_dict if dead else s.rd_seed_share_dict)[nid] for s in states[DROPPED:]]
            secret = combine_shares(shares)
            seeds = [secret]
            if dead:
                private = bytes_to_private_key(secret)
                seeds = [generate_shared_key(private, bytes_to_public_key(s.pk1)) for s in states if s.nid != nid]
            for seed in seeds:
                total = arithmetic.parameters_subtraction(total, pseudo_rand_gen(seed, 1 << 32, [words.shape]))
        return arithmetic.parameters_mod(total, 1 << 32)


@pytest.fixture(scope="module")
def flower():
    return Flower()


def bench_client(case, benchmark, one_thread, vector):
    """The whole step: 29 boxes opened, 29 key agreements, 30 masks, packing, digest."""
    benchmark.group = "secagg: a client's masked upload, 30 nodes, 10^7 float32"
    zero = np.zeros(N, np.float32)
    clients = {i: fi.secagg.Client(i, vector if i == 0 else zero, n=NODES, bits=BITS, clip=CLIP) for i in range(NODES)}
    server = fi.secagg.Server(n=NODES, length=N)
    for client in clients.values():
        server.receive(client.start())
    for node, message in server.advance().items():
        server.receive(clients[node].receive(message))
    message = server.advance()[0]
    client = clients[0]
    before = {name: getattr(client, name) for name in ("_kept", "_agreed", "_mask_key", "_wants")}
    words = client._values._words

    def rewind():
        for name, value in before.items():
            setattr(client, name, value)
        client._values._words = words
        return (message,), {}

    upload = client.receive(message)
    benchmark.extra_info["upload_bytes_an_element"] = len(upload) / N
    case(client.receive, nbytes=8 * N, items=4 * N * 30, unit="B of keystream", rounds=4, setup=rewind)


def bench_client_flower(case, benchmark, flower, vector):
    benchmark.group = "secagg: a client's masked upload, 30 nodes, 10^7 float32"
    work = flower.masked(0, vector)
    (upload,) = work()[flower.key.MASKED_PARAMETERS][1:]
    benchmark.extra_info["upload_bytes_an_element"] = len(upload) / N
    case(work, tool="flwr SecAgg+", nbytes=8 * N, items=4 * N * 30, unit="B of keystream", rounds=2)


def summed_apart(server):
    """Of the opened sum from that of the survivors' numbers before they were rounded to 20 bits, as a share of its range."""
    value, survivors = server.result()
    return apart(value, sum(np.clip(drawn(node, len(value)), -4, 4) for node in survivors))


def drawn(node, length):
    return np.random.default_rng(node).normal(size=length)


@pytest.mark.benchmark(group="secagg: unmask 10^6, 3 of 30 dropped (27 + 81 masks)")
def bench_unmask(case, one_thread):
    """Secrets from shares, key agreements and masks: what the server does once the last message is in."""
    server = _open_round(NODES, 1_000_000, range(DROPPED))
    kept = {name: getattr(server, name) for name in ("_opened", "_wants")}
    words = server._sum.copy()

    def rewind():
        for name, value in kept.items():
            setattr(server, name, value)
        server._value, server._sum = None, words.copy()
        return (), {}

    error = summed_apart(server)
    rewind()
    case(
        server.result,
        nbytes=8_000_000,
        items=108 * 4_000_000,
        unit="B of keystream",
        error=error,
        rounds=10,
        setup=rewind,
    )


@pytest.mark.benchmark(group="secagg: unmask 10^6, 3 of 30 dropped (27 + 81 masks)")
def bench_unmask_flower(case, flower):
    words = np.zeros(1_000_000, np.int64)
    case(lambda: flower.unmask(words), tool="flwr SecAgg+", nbytes=8_000_000, items=108 * 4_000_000, rounds=2)


def _open_round(n, length, silent, **options):
    """A server that has every message but has not opened the sum; `silent` sent no vector."""
    clients = {i: fi.secagg.Client(i, drawn(i, length), n=n, bits=20, clip=4.0, **options) for i in range(n)}
    server = fi.secagg.Server(n=n, length=length)
    for client in clients.values():
        server.receive(client.start())
    for step in range(3):
        for node, message in server.advance().items():
            if step == 0 or node not in silent:
                server.receive(clients[node].receive(message))
    return server


@pytest.mark.benchmark(group="secagg: whole round, 30 nodes x 10^5 float32, 3 dropped")
def bench_round(case, one_thread):
    def work():
        return _open_round(NODES, 100_000, range(DROPPED)).result()

    error = summed_apart(_open_round(NODES, 100_000, range(DROPPED)))
    case(work, items=NODES, unit="node", error=error, rounds=3)


@pytest.fixture(scope="module")
def recorded():
    """1,000 clients x 10^5 values of 16 bits: what they sent, and what they answer to 10 % and 30 % silent clients."""
    n, length = 1000, 100_000
    with fi.config.use(threads=1):
        rng = np.random.default_rng(0)
        vectors = [rng.integers(0, 1 << 16, length).astype(np.uint32) for _ in range(10)]
        clients = {i: fi.secagg.Client(i, vectors[i % 10], n=n, bits=16) for i in range(n)}
        server = fi.secagg.Server(n=n, length=length)
        steps = [[client.start() for client in clients.values()]]
        for message in steps[0]:
            server.receive(message)
        for _ in range(2):
            steps.append([clients[node].receive(message) for node, message in server.advance().items()])
            if len(steps) == 2:
                for message in steps[1]:
                    server.receive(message)
        answers = {}
        for share in (10, 30):
            alive = [i for i in range(n) if i % 100 >= share]
            kept = [client._kept for client in clients.values()]
            places = [client._place for client in clients.values()]
            order = sorted(range(n), key=lambda i: places[i])
            survivors = [place for place, i in enumerate(order) if i in set(alive)]
            answers[share] = alive, [clients[i]._unmask(survivors) for i in alive]
            for client, was in zip(clients.values(), kept, strict=True):
                client._kept = was
        return vectors, steps, answers


@pytest.mark.parametrize("share", [10, 30])
def bench_server_of_1000(case, benchmark, one_thread, recorded, share):
    """The server's whole round, replayed: every message read, relayed, summed; secrets recovered, masks taken off."""
    benchmark.group = f"secagg: server, 1,000 clients x 10^5 values, {share} % silent"
    vectors, (adverts, shares, masked), answers = recorded
    alive, opened = answers[share]

    def work():
        server = fi.secagg.Server(n=1000, length=100_000)
        for batch in (adverts, shares, [masked[i] for i in alive], opened):
            for message in batch:
                server.receive(message)
            server.advance()
        return server.result()

    value, survivors = work()
    assert survivors == alive
    expected = sum(vectors[i % 10].astype(np.int64) for i in alive)
    benchmark.extra_info["neighbours"] = fi.secagg._graph.parameters(1000, 100, 0.3, False)[0]
    case(work, items=1000, unit="client", rounds=1, error=np.abs(value.astype(np.int64) - expected).max())
