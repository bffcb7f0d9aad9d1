"""A server (or a node) that lies in each way of docs/design/threat-model.md is refused, or gains nothing."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.errors import FormatError, RefusedError
from fastimg.secagg import _keys, _wire
from fastimg.secagg._client import places

from .rounds import identities, make, play, resealed, small


@pytest.mark.parametrize("active", [False, True])
def test_no_byte_of_a_servers_message_can_be_changed_to_a_wrong_sum(active):
    """Resealed with a right digest: the client refuses, or the server that lied gets no sum, or the sum is right."""
    for step in range(4 if active else 3):
        probe = small(active)
        lengths = _message_of(step, *probe)
        for place in range(8, len(lengths) - 32, max(1, len(lengths) // 40)):
            clients, server = small(active)
            _run_with_lie(clients, server, step, place)


def _message_of(wanted, clients, server):
    for client in clients.values():
        server.receive(client.start())
    for step in range(wanted + 1):
        messages = server.advance()
        if step == wanted:
            return messages[0]
        for node, message in messages.items():
            server.receive(clients[node].receive(message))
    raise AssertionError


def _run_with_lie(clients, server, lie, place):
    for client in clients.values():
        server.receive(client.start())
    step = 0
    try:
        while messages := server.advance():
            for node, message in messages.items():
                sent = resealed(message, place) if step == lie and node == 0 else message
                try:
                    answer = clients[node].receive(sent)
                except (FormatError, RefusedError):
                    continue
                if answer is not None:
                    server.receive(answer)
            step += 1
        value, survivors = server.result()
    except (FormatError, RefusedError):
        return
    assert value.tolist() == [sum(s + i for s in survivors) for i in range(5)]


EDITS = st.tuples(st.sampled_from(["set", "insert", "delete"]), st.floats(0, 1), st.binary(min_size=1, max_size=8))


@settings(max_examples=200, deadline=None)
@given(step=st.integers(0, 3), to_server=st.booleans(), edits=st.lists(EDITS, min_size=1, max_size=4))
def test_a_mangled_message_of_a_right_digest_is_refused_in_words_or_harmless(step, to_server, edits):
    """Nothing but a refusal comes of it; a server that mangles gets the right sum or none."""

    def sent(message, at, node, this_way):
        if (at, node, this_way) != (step, 1, to_server):
            return message
        body = bytearray(message[:-32])
        for kind, where, data in edits:
            place = int(where * len(body))
            body[place : place + (0 if kind == "insert" else len(data))] = b"" if kind == "delete" else data
        return bytes(body) + hashlib.sha256(body).digest()

    clients, server = small()
    try:
        for node, client in clients.items():
            server.receive(sent(client.start(), 0, node, True))
        at = 1
        while messages := server.advance():
            for node, message in messages.items():
                if node not in clients:  # a name that was mangled
                    continue
                answer = clients[node].receive(sent(message, at, node, False))
                if answer is not None:
                    server.receive(sent(answer, at, node, True))
            at += 1
        value, survivors = server.result()
    except (FormatError, RefusedError):
        return
    if not to_server:
        assert (value.tolist(), survivors) == ([6, 10, 14, 18, 22], [0, 1, 2, 3])


def test_messages_of_another_round_are_refused():
    one, other = small(), small()
    for clients, server in (one, other):
        for client in clients.values():
            server.receive(client.start())
    first, second = one[1].advance(), other[1].advance()
    with pytest.raises(RefusedError, match="own keys"):
        one[0][0].receive(second[0])
    answers = [one[0][0].receive(first[0]), other[0][1].receive(second[1])]
    with pytest.raises(RefusedError, match="another round"):
        one[1].receive(answers[1])


def test_a_node_that_sends_a_wrong_share_is_survived_or_the_round_is_refused():
    for bad_nodes in (1, 3):
        vectors = {i: np.array([i], np.uint32) for i in range(5)}
        clients, server = make(vectors, threshold=3)

        def spoil(step, node, message, bad_nodes=bad_nodes):
            return resealed(message, len(message) - 80 + node) if step == 3 and node < bad_nodes else message

        if bad_nodes == 1:
            assert play(clients, server, change=spoil)[0].tolist() == [10]
        else:
            with pytest.raises(RefusedError, match="shares do not give"):
                play(clients, server, change=spoil)


def test_wrong_terms_and_strangers_are_refused():
    vector = np.ones(4, np.uint32)
    server = fi.secagg.Server(n=3, threshold=2, length=4)
    server.receive(fi.secagg.Client(0, vector, n=3, threshold=2).start())
    with pytest.raises(RefusedError, match="other terms"):
        server.receive(fi.secagg.Client(1, vector, n=3, threshold=2, bits=20).start())
    with pytest.raises(RefusedError, match="other terms"):
        server.receive(fi.secagg.Client(1, vector, n=3, threshold=2, request=b"again").start())
    keys, roster = identities(range(3))
    guarded = fi.secagg.Server(n=3, threshold=2, length=4, roster=roster)
    with pytest.raises(RefusedError, match="model"):
        guarded.receive(fi.secagg.Client(0, vector, n=3, threshold=2).start())
    stranger, wrong = identities(range(3))
    message = fi.secagg.Client(0, vector, n=3, threshold=2, identity=stranger[0], roster=wrong).start()
    with pytest.raises(RefusedError, match="signature is wrong"):
        guarded.receive(message)
    assert keys


def test_a_server_that_puts_in_its_own_node_is_caught_by_the_pinned_roster():
    keys, roster = identities(range(3))
    evil, evil_roster = identities(range(3))
    vector = np.ones(2, np.uint32)
    honest = fi.secagg.Client(0, vector, n=3, threshold=2, identity=keys[0], roster=roster)
    server = fi.secagg.Server(n=3, threshold=2, length=2)
    server.receive(honest.start())
    for i in (1, 2):
        mixed = evil_roster
        server.receive(fi.secagg.Client(i, vector, n=3, threshold=2, identity=evil[i], roster=mixed).start())
    with pytest.raises(RefusedError, match="signature is wrong"):
        honest.receive(server.advance()[0])


def test_a_server_that_tells_nodes_different_survivors_opens_nothing():
    vectors = {i: np.array([i], np.uint32) for i in range(4)}
    clients, server = make(vectors, active=True, threshold=3)
    for client in clients.values():
        server.receive(client.start())
    for _ in range(2):
        for node, message in server.advance().items():
            server.receive(clients[node].receive(message))
    honest = server.advance()[0]
    session = honest[8:40]
    told = {0: [0, 1, 2, 3], 1: [0, 1, 2, 3], 2: [0, 1, 2], 3: [0, 1, 3]}
    signed = {i: clients[i].receive(_wire.pack(_wire.Kind.SURVIVORS, session, places(who))) for i, who in told.items()}
    parts = [i.to_bytes(2, "little") + signed[i][40 + 6 : 40 + 6 + 64] for i in range(4)]
    for i in range(4):
        with pytest.raises(RefusedError):
            clients[i].receive(_wire.pack(_wire.Kind.CONFIRMED, session, (4).to_bytes(2, "little"), *parts))
        two = [parts[0], parts[1]]
        with pytest.raises(RefusedError):
            clients[i].receive(_wire.pack(_wire.Kind.CONFIRMED, session, (2).to_bytes(2, "little"), *two))


def test_a_server_that_shows_nodes_different_rosters_gets_no_shares():
    """Two halves of the nodes are told of different peers: their sessions, and so the keys of their boxes, differ."""
    vectors = {i: np.array([i], np.uint32) for i in range(6)}
    clients, whole = make(vectors, active=True, threshold=4, server={})
    roster = {node: client._signer.public_key() for node, client in clients.items()}
    part = fi.secagg.Server(n=6, threshold=4, length=1, roster=roster)
    for node, client in clients.items():
        message = client.start()
        whole.receive(message)
        if node != 5:
            part.receive(message)
    all_told, some_told = whole.advance(), part.advance()
    shares = {i: clients[i].receive((all_told if i < 3 else some_told)[i]) for i in range(5)}
    for i in range(3):
        whole.receive(shares[i])
        with pytest.raises(RefusedError, match="another round"):
            part.receive(shares[i])
    for i in (3, 4):
        with pytest.raises(RefusedError, match="another round"):
            whole.receive(shares[i])
    with pytest.raises(RefusedError, match="4 are needed"):
        whole.advance()


def test_a_public_key_of_low_order_is_refused():
    with pytest.raises(RefusedError, match="not usable"):
        _keys.shared(_keys.private_key(bytes(range(32))), bytes(32))


def test_a_server_that_doubles_or_swaps_keys_is_refused():
    """A node's advert under another name, and one node's mask key given to two."""
    clients, server = small()
    adverts = {node: client.start() for node, client in clients.items()}
    for message in adverts.values():
        server.receive(message)
    session = server.advance()[0][8:40]
    place = 40 + len(clients[0]._terms.to_bytes())
    copied = adverts[1][: place + 6] + adverts[2][place + 6 : -32]
    copied += hashlib.sha256(copied).digest()
    told = [adverts[0], copied, adverts[2], adverts[3]]
    blobs = [len(m).to_bytes(4, "little") + m for m in told]
    with pytest.raises(RefusedError, match="the same key"):
        clients[0].receive(_wire.pack(_wire.Kind.ROSTER, session, (4).to_bytes(2, "little"), *blobs))


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ([0, 1], "no sum is opened"),
        ([1, 2, 3], "leave out this node"),
        ([0, 1, 7], "not in order"),
        ([0, 2, 1], "order"),
    ],
)
def test_a_server_that_names_too_few_or_wrong_survivors_is_refused(who, words):
    clients, server = small()
    for client in clients.values():
        server.receive(client.start())
    for _ in range(2):
        for node, message in server.advance().items():
            server.receive(clients[node].receive(message))
    session = server.advance()[0][8:40]
    with pytest.raises((RefusedError, FormatError), match=words):
        clients[0].receive(_wire.pack(_wire.Kind.SURVIVORS, session, places(who)))
    answer = clients[0].receive(_wire.pack(_wire.Kind.SURVIVORS, session, places([0, 1, 2])))
    assert answer
    with pytest.raises(RefusedError, match="nothing more"):  # never the other half of a peer's secrets
        clients[0].receive(_wire.pack(_wire.Kind.SURVIVORS, session, places([0, 1, 3])))
