"""What lies between Flower and a federation: frames, the relay at the hub, the SuperNode's loop at a node; no processes."""

from __future__ import annotations

import hashlib
import threading
import time
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

from fastimg.errors import ArgumentError, RefusedError
from fastimg.federated import Federation, Identity, Node, Policy, Roster, _sockets, serve
from fastimg.federated import _messages as wire
from fastimg.federated._flower_app import packed, relay, unpacked

WITHOUT = "Flower is not installed: pip install 'fastimg[federated]' (make peers)"


def test_frames(tmp_path):
    listener = _sockets.Listener(tmp_path / "s", lambda parts: [b"".join(parts), b""])
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    for parts in ([], [b""], [b"a", b"bc" * 1_000_000]):
        assert _sockets.call(tmp_path / "s", parts) == [b"".join(parts), b""]
    with _sockets.connect(tmp_path / "s") as stream:  # cut short: the listener goes on
        stream.sendall(b"\x02\0\0\0\0\0\0\0\x05")
    with _sockets.connect(tmp_path / "s") as stream:
        stream.sendall(b"\xff" * 8)
    assert _sockets.call(tmp_path / "s", [b"x"]) == [b"x", b""]
    listener.close()
    assert not (tmp_path / "s").exists()


class Grid:
    """Flower's grid as the relay uses it, over nodes of this process; replies come at the second look."""

    def __init__(self, nodes):
        self.nodes, self.replies, self.looks = nodes, {}, 0

    def get_node_ids(self):
        return list(self.nodes)

    def push_messages(self, messages):
        from flwr.app import Message

        for k, message in enumerate(messages):
            name = f"{len(self.replies)}-{k}"
            message.metadata.__dict__["_message_id"] = name
            node = self.nodes[message.metadata.dst_node_id]
            if node is not None:
                body = node.handle(unpacked(message.content))
                self.replies[name] = Message(packed(body), reply_to=message)
            yield name

    def pull_messages(self, names):
        self.looks += 1
        return [self.replies[name] for name in names if name in self.replies] if self.looks % 2 == 0 else []


def test_the_relay_carries_a_federation(hospitals, tmp_path, monkeypatch):
    """Everything of the engine but Flower's own processes; a node that never answers is lost."""
    pytest.importorskip("flwr", reason=WITHOUT)
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("run_id", "node_id", "task_id"):  # what Flower's server process says of itself
        monkeypatch.setattr(TaskIdentity, f"_{name}", 1, raising=False)
    nodes = {
        10 + k: Node(path, Policy(min_cases=4), name=f"n{k}", log=tmp_path / f"{k}.jsonl")
        for k, path in enumerate(hospitals[0])
    }
    path = tmp_path / "relay"
    thread = threading.Thread(target=relay, args=(Grid({**nodes, 99: None}), str(path)), daemon=True)
    thread.start()
    while not path.exists():
        time.sleep(0.01)

    class Transport:
        def names(self):
            return [name.decode() for name in _sockets.call(path, [b"names", b"0.5"])]

        def exchange(self, kind, key, messages):
            parts = [b"exchange", b"0.5"]
            for name, message in messages.items():
                parts += [name.encode(), wire.ask(message) if kind == "ask" else wire.give(key, message)]
            return {n: wire.result(a) for n, a in zip(messages, _sockets.call(path, parts), strict=True)}

    transport = Transport()
    assert transport.names() == ["n0", "n1", "n2"]
    assert Federation(transport, requester="local").run("count").value["cases"] == 72
    assert isinstance(transport.exchange("ask", "", {"nobody": b"x"})["nobody"], Exception)
    assert _sockets.call(path, [b"stop", b"1"]) == [b"stopped"]
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_the_app_is_the_same_bytes_everywhere():
    pytest.importorskip("flwr", reason=WITHOUT)
    from fastimg.federated._flower_app import app_bytes, app_hash

    assert app_bytes() == app_bytes()
    assert app_hash() == hashlib.sha256(app_bytes()).hexdigest()


class Store(dict):
    """Flower's object store and state as the SuperNode's loop has them, for one run and one message."""

    def __init__(self, message, app):
        from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

        self.message, self.app, self.finished, self.told = message, app, [], []
        message.metadata.__dict__["_message_id"] = message.object_id
        self.tree = get_object_tree(message)
        super().__init__({name: part.deflate() for name, part in get_all_nested_objects(message).items()})

    def get_messages_legacy(self, is_reply):
        return [] if is_reply else [self.message]

    def get_run(self, run):
        return SimpleNamespace(fab_hash="x")

    def get_fab(self, name):
        return None if self.app is None else SimpleNamespace(content=self.app)

    def get_object_tree(self, name):
        return self.tree

    def get_tasks(self, run_ids):
        return [SimpleNamespace(task_id=7)]

    def finish_task(self, task, sub_status, details):
        self.finished.append(task)

    def record_message_processing_start(self, name):
        self.told.append(name)

    record_message_processing_end = record_message_processing_start

    def delete(self, name):
        self.clear()

    def _insert_message(self, reply, state, store):
        self.reply = reply


@pytest.fixture
def ask_supernode(monkeypatch):
    """ask(node, body or content, app) -> the Store after one message to the SuperNode's loop."""
    pytest.importorskip("flwr", reason=WITHOUT)
    from flwr.app import Message, MessageType
    from flwr.supercore.task_identity import TaskIdentity

    from fastimg.federated._flower_app import app_bytes, app_hash
    from fastimg.federated._flower_node import answer_with

    for name in ("run_id", "node_id", "task_id"):
        monkeypatch.setattr(TaskIdentity, f"_{name}", 1, raising=False)

    def ask(node, body, app=None):
        content = packed(body) if isinstance(body, bytes) else body
        store = Store(Message(content, 3, MessageType.QUERY), app_bytes() if app is None else app)
        answer_with(node, app_hash(), store, store, store)
        assert store.finished == [7]
        assert len(store.told) == 2
        assert not store
        return store.reply

    return ask


@pytest.mark.parametrize("size", [0, 5, 1 << 20])
def test_the_supernode_carries_bytes_to_the_node_and_back(ask_supernode, size):
    body = np.random.default_rng(size).bytes(size)
    seen = []
    reply = ask_supernode(lambda data: seen.append(data) or data[::-1], body)
    assert seen == [body]
    assert unpacked(reply.content) == body[::-1]


def test_large_messages_are_arrays_to_flower():
    pytest.importorskip("flwr", reason=WITHOUT)
    from flwr.app import ArrayRecord, ConfigRecord, RecordDict

    assert isinstance(packed(b"x" * 100)["fastimg"], ConfigRecord)
    assert isinstance(packed(b"x" * 100_000)["fastimg"], ArrayRecord)
    strange = [
        RecordDict(),
        RecordDict({"fastimg": ConfigRecord({"body": "text"})}),
        RecordDict({"fastimg": ConfigRecord()}),
    ]
    assert [unpacked(content) for content in strange] == [None] * 3


def test_a_foreign_app_is_not_answered(ask_supernode, capsys):
    """The code that a hub sends is compared and never loaded; the node is not even asked."""
    from fastimg.federated._flower_app import app_bytes

    for app in (app_bytes() + b"\0", b"import os"):
        reply = ask_supernode(lambda data: pytest.fail("the node was asked"), b"x", app)
        assert reply.error.reason == "the hub's app is not the one that this node pins"
        assert "not the one that this node pins" in capsys.readouterr().err


def test_whatever_a_hub_sends_the_supernode_goes_on(ask_supernode):
    from flwr.app import RecordDict

    def breaks(data):
        raise OSError("patient name")

    assert ask_supernode(breaks, RecordDict()).error.reason == "federated: not a message of a hub"
    assert ask_supernode(breaks, b"x").error.reason == "failed"


def test_waits_grow_with_the_time_since_the_last_message(monkeypatch):
    from fastimg.federated import _flower_node

    clock, slept = [1000.0], []
    monkeypatch.setattr(_flower_node.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(_flower_node.time, "sleep", slept.append)
    waits = _flower_node.Waits()
    waits.sleep(3)
    waits.last = 1000.0
    for passed in (0, 2, 40):
        clock[0] = 1000.0 + passed
        waits.sleep(3)
    waits.sleep(0.5)
    assert slept == [3, 0.05, 0.5, 3, 0.5]


def test_this_flower_has_what_is_replaced_in_it():
    pytest.importorskip("flwr", reason=WITHOUT)
    from fastimg.federated._flower_node import _REPLACED

    for module, names in _REPLACED.items():
        assert all(hasattr(import_module(module), name) for name in names)


def test_a_relay_ends_with_the_process_that_holds_it(tmp_path):
    pytest.importorskip("flwr", reason=WITHOUT)
    path = tmp_path / "relay"
    thread = threading.Thread(target=relay, args=(Grid({}), str(path)), daemon=True)
    thread.start()
    while not path.exists():
        time.sleep(0.01)
    with _sockets.connect(path) as stream:
        _sockets.send(stream, [b"hold", b"1"])
        assert _sockets.receive(stream) == [b"held"]
        assert _sockets.call(path, [b"names", b"1"]) == []
        assert thread.is_alive()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_without_a_certificate_only_loopback_is_served(hospitals, tmp_path):
    pytest.importorskip("flwr", reason=WITHOUT)
    node = Node(hospitals[0][0], Policy(), log=tmp_path / "log")
    with pytest.raises(ArgumentError, match="identity and a roster"):
        serve(node, "127.0.0.1:1", root_certificates=None, supernode_key=None)
    identity, authority = Identity.new("n"), Identity.new("a")
    roster = Roster().trust("n", "node", identity.public).signed(authority)
    node = Node(hospitals[0][0], Policy(), log=tmp_path / "log2", identity=identity, roster=roster)
    with pytest.raises(RefusedError, match="loopback only"):
        serve(node, "hub.example:9093", root_certificates=None, supernode_key=None)
