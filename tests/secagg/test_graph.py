"""The sparse graph: its shape, its bounds against exact counts and simulation, and rounds on it."""

from __future__ import annotations

from fractions import Fraction
from math import comb, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastimg.errors import ArgumentError, RefusedError
from fastimg.secagg import _graph, _wire
from fastimg.secagg._client import places
from fastimg.secagg._terms import Terms

from .rounds import make, play


@given(count=st.integers(3, 80), half=st.integers(0, 12), session=st.binary(min_size=32, max_size=32))
def test_neighbours_are_mutual_and_of_one_degree(count, half, session):
    graph = _graph.Graph(session, count, 2 * half)
    beside = [graph.neighbours(i) for i in range(count)]
    degree = count - 1 if half == 0 or 2 * half >= count - 1 else 2 * half
    for i, others in enumerate(beside):
        assert len(others) == degree
        assert others == sorted(set(others) - {i})
        assert all(i in beside[j] for j in others)


def test_the_order_is_the_sessions():
    one, again, other = (_graph.Graph(bytes([i]) * 32, 200, 8).order for i in (1, 1, 2))
    assert one == again != other
    first = [_graph.Graph(i.to_bytes(32, "big"), 10, 4).order[0] for i in range(2000)]
    counts = np.bincount(first, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 40  # chi-square of 9 degrees: 40 is 1e-5


@given(population=st.integers(2, 60), data=st.data())
def test_tails_against_exact_fractions(population, data):
    marked, draws = data.draw(st.integers(0, population)), data.draw(st.integers(1, population))
    tail = _graph._tail(population, marked, draws)
    for x in range(draws + 1):
        exact = sum(
            Fraction(comb(marked, y) * comb(population - marked, draws - y), comb(population, draws))
            for y in range(x, min(marked, draws) + 1)
            if draws - y <= population - marked
        )
        if exact == 0:
            assert tail[x] < -1000
        else:
            assert log2(exact) <= tail[x] <= log2(exact) + 1e-5


def test_the_bound_on_falling_apart_holds_in_simulation():
    count, degree, removed, trials = 24, 4, 10, 4000
    rng = np.random.default_rng(0)
    apart = 0
    for trial in range(trials):
        graph = _graph.Graph(trial.to_bytes(32, "big"), count, degree)
        left = set(range(count)) - set(rng.choice(count, removed, replace=False).tolist())
        apart += len(_part(graph, left)) < len(left)
    assert 0 < apart / trials <= 2 ** _graph._disconnected(count, removed, degree)


def _part(graph, left):
    start = min(left)
    seen, todo = {start}, [start]
    while todo:
        for other in graph.neighbours(todo.pop()):
            if other in left and other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


@given(left=st.sets(st.integers(0, 29), min_size=1), seed=st.integers(0, 1000))
def test_a_node_in_every_window_keeps_the_graph_together(left, seed):
    graph = _graph.Graph(seed.to_bytes(32, "big"), 30, 6)
    order = [i in left for i in graph.order]
    windows = [sum(order[(at + s) % 30] for s in range(3)) for at in range(30)]
    assert graph.fewest_in_a_window(left) == min(windows)
    if min(windows) > 0:
        assert _part(graph, left) == left


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("n", [150, 1000, 4096])
def test_parameters_grow_slowly_and_hold(n, active):
    degree, threshold = _graph.parameters(n, n // 10, 0.3, active)
    assert degree < n - 1
    assert degree % 2 == 0
    assert _graph.colluders(n, n // 10, degree, active) < threshold < 0.7 * degree
    assert _graph.least_survivors(n, threshold, n // 10, degree, active) <= n - int(0.3 * n)
    if n == 4096:
        assert degree < 1.4 * _graph.parameters(1000, 100, 0.3, active)[0]  # four times the nodes
    terms = {"length": 1, "kind": "uint", "bits": 8, "clip": 0.0, "prg": "chacha20", "active": active, "request": b""}
    Terms(n=n, threshold=threshold, colluding=n // 10, neighbours=degree, **terms)
    with pytest.raises(ArgumentError, match="may collude"):
        held = _graph.colluders(n, n // 10, degree, active)
        Terms(n=n, threshold=held, colluding=n // 10, neighbours=degree, **terms)


def test_published_parameters():
    """Bell et al. 2020 report about 3 % of 10^4 clients as neighbours for 5 % corrupt, 5 % dropouts against a
    semi-malicious server; ours, which also lets that server choose the dropouts, stays in that range."""
    degree, _ = _graph.parameters(10_000, 500, 0.05, True)
    assert degree < 0.03 * 10_000


def sparse(n=16, active=False, neighbours=6, threshold=3, **options):
    vectors = {i: np.arange(i, i + 4, dtype=np.uint32) for i in range(n)}
    return make(vectors, active=active, threshold=threshold, **({"neighbours": neighbours} | options))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(10, 22), half=st.integers(2, 4), active=st.booleans(), data=st.data())
def test_exact_or_refused_on_the_sparse_graph(n, half, active, data):
    threshold = data.draw(st.integers(2, half + 1))
    last = 4 if active else 3
    silent = data.draw(st.dictionaries(st.integers(0, n - 1), st.integers(1, last), max_size=n // 2))
    clients, server = sparse(n, active, 2 * half, threshold, colluding=0)
    try:
        value, survivors = play(clients, server, silent)
    except RefusedError:
        assert len(silent) >= half  # fewer leave enough in every neighbourhood and every window
        with pytest.raises(RefusedError):
            server.result()
        return
    assert set(survivors) == {i for i in range(n) if silent.get(i, 9) > 2}
    assert value.tolist() == [sum(i + j for i in survivors) for j in range(4)]


def test_above_64_nodes_the_graph_is_sparse_and_work_linear():
    sizes = {}
    for n in (66, 132):
        clients, server = sparse(n, neighbours=None, threshold=None)
        assert 0 < clients[0]._terms.neighbours < n - 1
        total = 0

        def count(step, node, message):
            nonlocal total
            total += len(message) if step == 1 else 0
            return message

        value, _ = play(clients, server, {0: 2, 5: 2}, count)
        assert value.tolist() == [sum(i + j for i in range(n) if i not in (0, 5)) for j in range(4)]
        sizes[n] = total / n
    assert sizes[132] < 1.7 * sizes[66]  # shares a node: grows with log n, not with n


def test_up_to_64_nodes_it_is_complete():
    clients, _ = sparse(64, neighbours=None, threshold=None)
    assert clients[0]._terms.neighbours == 0


def test_a_threshold_alone_is_of_the_complete_graph():
    """Nodes needed to open the sum, as up to 64 nodes."""
    clients, server = sparse(70, neighbours=None, threshold=46)
    assert clients[0]._terms.neighbours == 0
    assert clients[0]._terms.least(70) == 46
    with pytest.raises(RefusedError, match="46 are needed"):
        play(clients, server, dict.fromkeys(range(25), 2))


def _until_survivors(clients, server):
    for client in clients.values():
        server.receive(client.start())
    for _ in range(2):
        for node, message in server.advance().items():
            server.receive(clients[node].receive(message))
    return server.advance()[0][8:40]


def test_a_server_that_cuts_a_node_off_is_refused():
    """It knows the order and names as survivors all but a run of neighbours on each side of its victim."""
    clients, server = sparse(16, active=True, neighbours=4, threshold=2)
    session = _until_survivors(clients, server)
    graph = _graph.Graph(session, 16, 4)
    at = graph.at[0]
    gone = {graph.order[(at + s) % 16] for s in (-2, -1, 1, 2)}
    left = [i for i in range(16) if i not in gone]
    with pytest.raises(RefusedError, match="cut into parts"):
        clients[0].receive(_wire.pack(_wire.Kind.SURVIVORS, session, places(left)))
    with pytest.raises(RefusedError, match="no sum is opened"):  # below the quorum
        clients[0].receive(_wire.pack(_wire.Kind.SURVIVORS, session, places([0, 1, 2, 3])))


def test_signatures_below_the_quorum_open_nothing():
    clients, server = sparse(16, active=True)
    session = _until_survivors(clients, server)
    everybody = places(list(range(16)))
    signed = {i: c.receive(_wire.pack(_wire.Kind.SURVIVORS, session, everybody)) for i, c in clients.items()}
    parts = [i.to_bytes(2, "little") + signed[i][46:110] for i in range(8)]
    with pytest.raises(RefusedError, match="9 are needed"):
        clients[0].receive(_wire.pack(_wire.Kind.CONFIRMED, session, (8).to_bytes(2, "little"), *parts))


def test_shares_go_to_neighbours_alone():
    clients, server = sparse(16)
    for client in clients.values():
        server.receive(client.start())
    messages = server.advance()
    graph = _graph.Graph(messages[0][8:40], 16, 6)
    clients[3].receive(messages[3])
    assert sorted(clients[3]._agreed) == graph.neighbours(3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbours": 5, "threshold": 3}, "even"),
        ({"neighbours": 6, "threshold": 7}, "neighbours"),
        ({"neighbours": 6, "threshold": None}, "goes with neighbours"),
        ({"neighbours": 6, "threshold": 3, "colluding": 4}, "may collude"),
        ({"neighbours": 16, "threshold": 3}, "neighbours"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_arguments(options, words):
    with pytest.raises(ArgumentError, match=words):
        sparse(16, **options)
