"""Rounds: the sum is exact or the round is refused, whoever falls silent; lying servers are caught at the client."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.errors import ArgumentError, FormatError, RefusedError
from fastimg.secagg._terms import Advert, transcript
from fastimg.testing import secagg as twin

from .rounds import identities, make, play, resealed, small


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(3, 9),
    active=st.booleans(),
    kind=st.sampled_from(["float32", "float64", "int64", "uint32", "uint64"]),
    prg=st.sampled_from(["aes128-ctr", "chacha20"]),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_exact_or_refused_whoever_falls_silent(n, active, kind, prg, seed, data):
    rng = np.random.default_rng(seed)
    threshold = data.draw(st.integers(n // 2 + 1 if active else 2, n))
    silent = data.draw(st.dictionaries(st.integers(0, n - 1), st.integers(0, 4 if active else 3), max_size=n))
    length = data.draw(st.integers(1, 40))
    options = {"prg": prg, "threshold": threshold}
    if kind.startswith("float"):
        options |= {"bits": data.draw(st.integers(2, 52)), "clip": 2.5}
        vectors = {i: rng.normal(0, 2, length).astype(kind) for i in range(n)}
        whole = {i: twin.quantise(v, options["bits"], 2.5) for i, v in vectors.items()}
    else:
        bits = data.draw(st.integers(1, 32 if kind == "uint32" else 60))
        options |= {"bits": bits}
        high = (1 << bits) if kind[0] == "u" else (1 << (bits - 1))
        low = 0 if kind[0] == "u" else 1 - high
        vectors = {i: rng.integers(low, high, length).astype(kind) for i in range(n)}
        whole = {i: [int(x) for x in v] for i, v in vectors.items()}
    clients, server = make(vectors, active=active, **options)
    try:
        value, survivors = play(clients, server, silent)
    except RefusedError:
        masked = sum(silent.get(i, 9) > 2 for i in range(n))
        agreed = sum(silent.get(i, 9) > 3 for i in range(n))
        opened = sum(silent.get(i, 9) > (4 if active else 3) for i in range(n))
        assert masked < max(threshold, 3) or min(agreed, opened) < threshold
        with pytest.raises(RefusedError):
            server.result()
        return
    assert survivors == [i for i in range(n) if silent.get(i, 9) > 2]
    expected = [sum(int(whole[i][j]) for i in survivors) for j in range(length)]
    if kind.startswith("float"):
        scale = (2 ** (options["bits"] - 1) - 1) / 2.5
        np.testing.assert_array_equal(value, np.array(expected, np.float64) / scale)
    else:
        assert [int(x) for x in value] == expected


@pytest.mark.parametrize("active", [False, True])
def test_names_may_be_text_and_order_does_not_matter(active):
    vectors = {name: np.array([1, 2], np.int64) for name in ("Bern", "Aarhus", "Coimbra", "Delft")}
    value, survivors = play(*make(vectors, active=active, threshold=3))
    assert (value.tolist(), survivors) == ([4, 8], ["Bern", "Delft", "Aarhus", "Coimbra"])  # shorter names first


@pytest.mark.parametrize("active", [False, True])
def test_every_flipped_bit_is_refused_and_changes_nothing(active):
    clients, server = small(active)

    def attack(receive, message):
        for place in range(8 * len(message)):
            changed = bytearray(message)
            changed[place // 8] ^= 1 << place % 8
            with pytest.raises((FormatError, RefusedError)):
                receive(bytes(changed))
        for cut in (0, 1, 39, 40, 71, 72, len(message) - 1):
            with pytest.raises((FormatError, RefusedError)):
                receive(message[:cut])
        with pytest.raises((FormatError, RefusedError)):
            receive(message + b"\0")

    for client in clients.values():
        message = client.start()
        attack(server.receive, message)
        server.receive(message)
        with pytest.raises(RefusedError):  # replayed
            server.receive(message)
    while messages := server.advance():
        for node, message in messages.items():
            attack(clients[node].receive, message)
            answer = clients[node].receive(message)
            with pytest.raises(RefusedError):
                clients[node].receive(message)
            if answer is not None:
                attack(server.receive, answer)
                server.receive(answer)
                with pytest.raises(RefusedError):
                    server.receive(answer)
    value, _ = server.result()
    assert value.tolist() == [6, 10, 14, 18, 22]


def test_masks_hide_the_vector():
    """With all other nodes' vectors zero, what a node uploads is as good as uniform, and differs in each round."""
    seen = []
    for _ in range(2):
        vectors = {i: np.zeros(20000, np.uint32) for i in range(3)}
        clients, server = make(vectors, bits=30)
        play(clients, server, change=lambda step, node, m: seen.append(m[46:-32]) or m if step == 2 else m)
    assert len(set(seen)) == 6
    for text in seen:
        counts = np.bincount(np.frombuffer(text, np.uint8), minlength=256)
        expected = len(text) / 256
        assert ((counts - expected) ** 2 / expected).sum() < 400  # chi-square of 255 degrees: 400 is 1e-8


def _secrets(thing, found):
    """All byte strings of 16 bytes or more that an object holds, however deep."""
    if isinstance(thing, bytes):
        if len(thing) >= 16:
            found.add(thing)
    elif isinstance(thing, dict):
        for item in thing.values():
            _secrets(item, found)
    elif isinstance(thing, (list, tuple, set)):
        for item in thing:
            _secrets(item, found)
    elif hasattr(thing, "__dict__"):
        _secrets(vars(thing), found)


@pytest.mark.parametrize("active", [False, True])
def test_no_secret_in_texts_or_logs_and_no_pickle(active, caplog):
    """Everything that a client holds in any step, looked for in all texts that a round of refusals gives."""
    import base64
    import traceback

    caplog.set_level(0)
    clients, server = small(active)
    identity = clients[0]._signer.private_bytes_raw() if active else bytes(32)
    secrets, texts = {identity} if active else set(), []

    def note(*things):
        for client in clients.values():
            _secrets({k: v for k, v in vars(client).items() if k not in ("_session", "_advert", "_adverts")}, secrets)
            _secrets(client._terms.to_bytes() and vars(client._values), secrets)
        for thing in (*clients.values(), server, *things):
            texts.append(repr(thing))
            texts.append(str(thing))

    def refused(receive, message):
        try:
            receive(message)
        except (FormatError, RefusedError) as error:
            texts.append("".join(traceback.format_exception(error)) + repr(error.args))

    for client in clients.values():
        server.receive(client.start())
    while messages := server.advance():
        note(clients[0]._terms, clients[0]._values, clients[0]._adverts)
        for node, message in messages.items():
            for place in range(4, len(message) - 32, 29):
                refused(clients[node].receive, resealed(message, place))
            if (answer := clients[node].receive(message)) is not None:
                for place in (4, 6, 7, 9, 30, 41):
                    refused(server.receive, resealed(answer, place))
                server.receive(answer)
    note()
    public = {key for a in server._order for key in (a.share_key, a.mask_key, a.commitment)}
    public |= set(clients[0]._roster.values()) if active else set()
    secrets -= public
    assert len(secrets) > 10
    text = "\n".join(texts) + caplog.text
    assert "secagg: " in text
    for secret in secrets:
        for shown in (
            secret.hex(),
            repr(secret)[2:-1],
            base64.b64encode(secret)[:20].decode(),
            str(list(secret))[1:-1],
        ):
            assert shown[:40] not in text
    for thing in (clients[0], server):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(thing)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 2}, "n:"),
        ({"threshold": 1}, "threshold"),
        ({"threshold": 5}, "threshold"),
        ({"vector": np.ones((2, 2), np.uint32)}, "one axis"),
        ({"vector": np.ones(2, np.int8)}, "dtype"),
        ({"vector": np.ones(2, np.float32)}, "needs both"),
        ({"vector": np.array([np.nan]), "bits": 8, "clip": 1.0}, "NaN"),
        ({"vector": np.array([256], np.uint32), "bits": 8}, "outside"),
        ({"vector": np.array([-128], np.int64), "bits": 8}, "outside"),
        ({"vector": np.array([1], np.uint64), "bits": 64}, "64 is the most"),
        ({"node_id": "x" * 65}, "node_id"),
        ({"node_id": -1}, "node_id"),
        ({"identity": bytes(32)}, "both"),
        ({"request": b"x" * 65}, "request"),
    ],
)
def test_a_clients_arguments(change, words):
    arguments = {"node_id": 0, "vector": np.ones(2, np.uint32), "n": 4, "threshold": 3} | change
    with pytest.raises(ArgumentError, match=words):
        fi.secagg.Client(arguments.pop("node_id"), arguments.pop("vector"), **arguments)


def test_the_active_model_insists_on_its_threshold():
    keys, roster = identities(range(30))
    with pytest.raises(ArgumentError, match=r"2 \* threshold"):
        fi.secagg.Client(0, np.ones(2, np.uint32), n=30, threshold=19, colluding=9, identity=keys[0], roster=roster)
    client = fi.secagg.Client(0, np.ones(2, np.uint32), n=30, identity=keys[0], roster=roster)
    assert "threshold=20" in repr(client)


def test_the_session_depends_on_every_term_and_every_key():
    start = fi.secagg.Client(0, np.ones(4, np.float32), n=8, threshold=6, colluding=0, bits=20, clip=2.0)._terms
    other = {
        "request": b"again",
        "n": 9,
        "threshold": 5,
        "colluding": 1,
        "neighbours": 6,
        "length": 5,
        "kind": "int",
        "bits": 21,
        "guard": 1,
        "clip": 2.5,
        "ranges": bytes(32),
        "rounding": "stochastic",
        "privacy": b"other",
        "prg": "chacha20",
        "active": True,
        "version": 1,
    }
    assert set(other) == {field.name for field in fields(start)}
    apart = {"kind": {"clip": 0.0}}  # whole numbers have no range
    terms = [start, *(replace(start, **{name: value}, **apart.get(name, {})) for name, value in other.items())]
    advert = Advert("a", bytes(32), bytes(32), bytes(32), b"", b"", None)
    keys = {"node": "b", "share_key": b"1" * 32, "mask_key": b"1" * 32, "commitment": b"1" * 32}
    rosters = [[replace(advert, **{name: value})] for name, value in keys.items()]
    rosters.append([advert, replace(advert, node="b")])
    sessions = {transcript(t, [advert]) for t in terms} | {transcript(start, roster) for roster in rosters}
    assert len(sessions) == len(terms) + len(rosters)


def test_clipped_values_are_counted():
    vectors = {i: np.array([0.5, 2.0, -3.0], np.float32) for i in range(3)}
    clients, server = make(vectors, bits=10, clip=1.0)
    value, _ = play(clients, server)
    np.testing.assert_allclose(value, [1.5, 3, -3], atol=3 / 511)
    assert [client.clipped for client in clients.values()] == [2, 2, 2]
