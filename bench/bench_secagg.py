"""secagg against Flower's SecAgg+, the best tiled idiom of `cryptography` + NumPy, and pycryptodome's Shamir."""

from __future__ import annotations

import os
from importlib import import_module

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import fastimg as fi
from fastimg.secagg import _shamir
from fastimg.testing import secagg as twin

N = 10_000_000
BITS, CLIP = 24, 8.0
TILE = 1 << 16  # words: mask and vector of a tile stay in the second-level cache


@pytest.fixture(scope="module")
def vector():
    """10^7 float32."""
    return np.random.default_rng(0).normal(size=N).astype(np.float32)


def seeds_of(count):
    """(seeds of 16 bytes, signs)."""
    return [os.urandom(16) for _ in range(count)], [1 if i % 2 else -1 for i in range(count)]


def idiom(vector, seeds, signs, out):
    """Quantise, then a tile of keystream at a time from OpenSSL into one buffer, added in place."""
    scale = (2 ** (BITS - 1) - 1) / CLIP
    ciphers = [Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor() for seed in seeds]
    zeros = bytes(4 * TILE)
    buffer = bytearray(4 * TILE + 15)
    words = np.frombuffer(buffer, np.uint32, TILE)
    for at in range(0, len(vector), TILE):
        part = out[at : at + TILE]
        steps = np.rint(np.clip(vector[at : at + TILE], -CLIP, CLIP) * scale)
        part[:] = steps.astype(np.int32).view(np.uint32)
        for cipher, sign in zip(ciphers, signs, strict=True):
            cipher.update_into(zeros[: 4 * len(part)], buffer)
            (np.add if sign > 0 else np.subtract)(part, words[: len(part)], out=part)
    return out


@pytest.mark.parametrize("masks", [30, 1])
def bench_mask(case, benchmark, one_thread, vector, masks):
    benchmark.group = f"secagg: {masks} masks on 10^7 float32"
    seeds, signs = seeds_of(masks)
    out = np.empty(N, np.uint32)
    fi.secagg.mask(vector, seeds, signs, bits=BITS, clip=CLIP, out=out)
    few = slice(0, 10_000)
    expected = twin.mask(vector[few], seeds, signs, bits=BITS, clip=CLIP)
    error = np.abs((out[few] - expected).view(np.int32)).max()
    work = lambda: fi.secagg.mask(vector, seeds, signs, bits=BITS, clip=CLIP, out=out)  # noqa: E731
    case(work, nbytes=8 * N, items=4 * N * masks, unit="B of keystream", error=error)


@pytest.mark.parametrize("masks", [30, 1])
def bench_mask_idiom(case, benchmark, vector, masks):
    benchmark.group = f"secagg: {masks} masks on 10^7 float32"
    seeds, signs = seeds_of(masks)
    out = np.empty(N, np.uint32)
    work = lambda: idiom(vector, seeds, signs, out)  # noqa: E731
    case(work, tool="cryptography + numpy, tiled", nbytes=8 * N, items=4 * N * masks, unit="B of keystream", rounds=3)


def bench_mask_chacha(case, benchmark, one_thread, vector):
    benchmark.group = "secagg: 30 ChaCha20 masks on 10^7 float32"
    seeds, signs = [os.urandom(32) for _ in range(30)], [1] * 30
    out = np.empty(N, np.uint32)
    work = lambda: fi.secagg.mask(vector, seeds, signs, bits=BITS, clip=CLIP, out=out, prg="chacha20")  # noqa: E731
    case(work, nbytes=8 * N, items=4 * N * 30, unit="B of keystream", rounds=3)


def bench_mask_chacha_idiom(case, benchmark, vector):
    benchmark.group = "secagg: 30 ChaCha20 masks on 10^7 float32"
    part = vector[: N // 10]
    keys = [os.urandom(32) for _ in range(30)]

    def work():
        out = np.zeros(len(part), np.uint32)
        buffer = bytearray(4 * TILE)
        words = np.frombuffer(buffer, np.uint32)
        ciphers = [Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor() for key in keys]
        zeros = bytes(4 * TILE)
        for _ in range(10):
            for at in range(0, len(part), TILE):
                tile = out[at : at + TILE]
                for cipher in ciphers:
                    cipher.update_into(zeros[: 4 * len(tile)], buffer)
                    np.add(tile, words[: len(tile)], out=tile)

    case(work, tool="cryptography + numpy, tiled", items=4 * N * 30, unit="B of keystream", rounds=2)


def bench_shamir_create(case, benchmark):
    benchmark.group = "secagg: Shamir 16 of 30, a secret of 48 bytes, create"
    secret = os.urandom(48)
    case(lambda: _shamir.split(secret, range(1, 31), 16), items=1, unit="secret", rounds=200)


def bench_shamir_create_pycryptodome(case, benchmark):
    benchmark.group = "secagg: Shamir 16 of 30, a secret of 48 bytes, create"
    shamir = pytest.importorskip("Crypto.Protocol.SecretSharing", reason="peer pycryptodome is not installed").Shamir
    parts = [os.urandom(16) for _ in range(3)]
    work = lambda: [shamir.split(16, 30, part) for part in parts]  # noqa: E731
    case(work, tool="pycryptodome", items=1, unit="secret", rounds=5)


def bench_shamir_combine(case, benchmark):
    benchmark.group = "secagg: Shamir 16 of 30, a secret of 48 bytes, combine"
    secret = os.urandom(48)
    shares = _shamir.split(secret, range(1, 31), 16)
    chosen = {x: shares[x] for x in range(5, 21)}
    assert _shamir.combine(chosen, 48) == secret
    case(lambda: _shamir.combine(chosen, 48), items=1, unit="secret", rounds=200, error=0)


def bench_shamir_combine_pycryptodome(case, benchmark):
    benchmark.group = "secagg: Shamir 16 of 30, a secret of 48 bytes, combine"
    shamir = pytest.importorskip("Crypto.Protocol.SecretSharing", reason="peer pycryptodome is not installed").Shamir
    shares = [shamir.split(16, 30, os.urandom(16))[4:20] for _ in range(3)]
    work = lambda: [shamir.combine(part) for part in shares]  # noqa: E731
    case(work, tool="pycryptodome", items=1, unit="secret", rounds=5)


NODES, DROPPED = 30, 3


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


@pytest.mark.benchmark(group="secagg: unmask 10^6, 3 of 30 dropped (27 + 81 masks)")
def bench_unmask(case, one_thread):
    """Secrets from shares, key agreements and masks: what the server does once the last message is in."""
    clients, server = _open_round(NODES, 1_000_000, range(DROPPED))
    kept = {name: getattr(server, name) for name in ("_opened", "_wants")}
    words = server._sum.copy()

    def rewind():
        for name, value in kept.items():
            setattr(server, name, value)
        server._value, server._sum = None, words.copy()
        return (), {}

    case(server.result, nbytes=8_000_000, items=108 * 4_000_000, unit="B of keystream", rounds=10, setup=rewind)
    assert clients


@pytest.mark.benchmark(group="secagg: unmask 10^6, 3 of 30 dropped (27 + 81 masks)")
def bench_unmask_flower(case, flower):
    words = np.zeros(1_000_000, np.int64)
    case(lambda: flower.unmask(words), tool="flwr SecAgg+", nbytes=8_000_000, items=108 * 4_000_000, rounds=2)


def _open_round(n, length, silent, **options):
    """Clients and a server that has every message but has not opened the sum; `silent` sent no vector."""
    rng = np.random.default_rng(0)
    clients = {i: fi.secagg.Client(i, rng.normal(size=length), n=n, bits=20, clip=4.0, **options) for i in range(n)}
    server = fi.secagg.Server(n=n, length=length)
    for client in clients.values():
        server.receive(client.start())
    for step in range(3):
        for node, message in server.advance().items():
            if step == 0 or node not in silent:
                server.receive(clients[node].receive(message))
    return clients, server


@pytest.mark.benchmark(group="secagg: whole round, 30 nodes x 10^5 float32, 3 dropped")
def bench_round(case, one_thread):
    def work():
        return _open_round(NODES, 100_000, range(DROPPED))[1].result()

    case(work, items=NODES, unit="node", rounds=3)


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


@pytest.mark.gpu
@pytest.mark.parametrize("masks", [1, 30])
def bench_gpu_mask(gpu_case, gpu, benchmark, masks):
    """uint32 + ChaCha20: 8 bytes of traffic and 976 integer operations for 64 bytes of keystream.

    Bound of one mask: 0.7 of the copy rate (machine: GPU copy) or 64 integer operations a clock and multiprocessor,
    whichever is lower; of 30 masks the latter.
    """
    count = gpu.size(1 << 27, 1 << 10)
    benchmark.group = f"secagg: GPU, {masks} ChaCha20 masks on 2^27 uint32"
    vector = gpu(np.arange(count, dtype=np.uint32))
    out = gpu(np.zeros(count, np.uint32))
    seeds, signs = [os.urandom(32) for _ in range(masks)], [1] * masks
    work = lambda: fi.secagg.mask(vector, seeds, signs, out=out, prg="chacha20")  # noqa: E731
    work()
    few = min(count, 4096)
    expected = twin.mask(np.arange(few, dtype=np.uint32), seeds, signs, prg="chacha20")
    seen = fi._gpu.backend().to_host(out[:few])
    case_info(benchmark, gpu, count, masks)
    gpu_case(work, nbytes=8 * count, items=4 * count * masks, unit="B of keystream", error=(seen != expected).sum())


def case_info(benchmark, gpu, count, masks):
    """The integer limit in seconds, from the device's clock and multiprocessors."""
    attributes = gpu.xp.cuda.Device().attributes if hasattr(gpu.xp, "cuda") else {}
    if "ClockRate" not in attributes:
        return
    rate = attributes["MultiProcessorCount"] * attributes["ClockRate"] * 1e3 * 64
    benchmark.extra_info["integer_limit_seconds"] = 976 * masks * (4 * count / 64) / rate


@pytest.mark.gpu
@pytest.mark.benchmark(group="secagg: GPU, quantise 2^25 float32 and add 30 ChaCha20 masks")
def bench_gpu_quantise_and_mask(gpu_case, gpu):
    count = gpu.size(1 << 25, 1 << 10)
    vector = gpu(np.linspace(-9, 9, count, dtype=np.float32))
    out = gpu(np.zeros(count, np.uint32))
    seeds, signs = [os.urandom(32) for _ in range(30)], [1, -1] * 15
    options = {"bits": BITS, "clip": CLIP, "prg": "chacha20"}
    work = lambda: fi.secagg.mask(vector, seeds, signs, out=out, **options)  # noqa: E731
    gpu_case(work, nbytes=8 * count, items=4 * count * 30, unit="B of keystream")


@pytest.mark.gpu
@pytest.mark.benchmark(group="secagg: GPU, 1 ChaCha20 masks on 2^27 uint32")
def bench_gpu_mask_cupy(gpu_case, gpu, benchmark):
    """CuPy's own generator (XORWOW, not cryptographic) and an addition: what users write."""
    if not hasattr(gpu.xp, "random"):
        pytest.skip("needs CuPy")
    count = gpu.size(1 << 27, 1 << 10)
    vector = gpu(np.arange(count, dtype=np.uint32))
    rng = gpu.xp.random.default_rng(0)
    work = lambda: vector + rng.integers(0, (1 << 32) - 1, count, dtype=np.uint32, endpoint=True)  # noqa: E731
    gpu_case(work, tool="cupy.random + add", nbytes=8 * count, items=4 * count, unit="B of keystream")
