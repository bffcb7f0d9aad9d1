"""The real engine: a SuperLink and SuperNodes as processes on loopback, TLS and keys (soak: each exchange takes seconds)."""

from __future__ import annotations

import hashlib
import threading
import time
from importlib import import_module

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import RefusedError
from fastimg.federated import Federation, Node, Policy, _sockets
from fastimg.federated import _messages as wire
from fastimg.federated._flower_app import relay

from .conftest import FEATURES

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Flower's own

POLICY = """format = "fastimg-policy"
version = 1
min_cases = 4
requesters = ["statistician"]
disclose_batches = true
"""


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
    """Flower's grid as the relay uses it, over nodes of this process."""

    def __init__(self, nodes):
        self.nodes = nodes

    def get_node_ids(self):
        return list(self.nodes)

    def send_and_receive(self, messages, timeout):
        from flwr.app import ConfigRecord, Message, RecordDict

        for message in messages:
            node = self.nodes[message.metadata.dst_node_id]
            if node is not None:
                message.metadata.__dict__["_message_id"] = "1"
                body = node.handle(message.content["fastimg"]["body"])
                yield Message(RecordDict({"fastimg": ConfigRecord({"body": body})}), reply_to=message)


def test_the_relay_carries_a_federation(hospitals, tmp_path, monkeypatch):
    """Everything of the engine but Flower's own processes; a node that never answers is lost."""
    pytest.importorskip("flwr", reason="Flower is not installed (extra federated)")
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
            return [name.decode() for name in _sockets.call(path, [b"names", b"5"])]

        def exchange(self, kind, key, messages):
            parts = [b"exchange", b"5"]
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
    pytest.importorskip("flwr", reason="Flower is not installed (extra federated)")
    from fastimg.federated._flower_app import app_bytes, app_hash

    assert app_bytes() == app_bytes()
    assert app_hash() == hashlib.sha256(app_bytes()).hexdigest()


def test_a_foreign_app_is_not_run(monkeypatch, tmp_path):
    """The code that a hub sends is compared and never loaded."""
    pytest.importorskip("flwr", reason="Flower is not installed (extra federated)")
    cli = import_module("flwr.supernode.cli.flwr_clientapp")  # a function of this name hides it as an attribute
    process = import_module("flwr.supernode.runtime.run_clientapp")

    from fastimg.errors import FastimgError
    from fastimg.federated import _flower_app

    for name in ("install_from_fab", "get_load_client_app_fn", "install_app_dependencies", "get_project_dir"):
        monkeypatch.setattr(process, name, getattr(process, name))
    monkeypatch.setattr(cli, "flwr_clientapp", lambda: None)
    monkeypatch.setattr("sys.argv", ["x"])
    monkeypatch.setenv(_flower_app.PINNED, _flower_app.app_hash())
    _flower_app.clientapp()
    process.install_from_fab(_flower_app.app_bytes(), skip_prompt=True)
    with pytest.raises(FastimgError, match="not the one that this node pins"):
        process.install_from_fab(_flower_app.app_bytes() + b"\0", skip_prompt=True)
    from flwr.clientapp import ClientApp

    assert isinstance(process.get_load_client_app_fn("", None, True)("a", "b", "c"), ClientApp)


@pytest.fixture
def hub(hospitals, tmp_path):
    pytest.importorskip("flwr", reason="Flower is not installed (extra federated)")
    from .flower_hub import Hub

    made = Hub(tmp_path, [*hospitals[0], hospitals[0][0]], POLICY)
    yield made
    made.close()


@pytest.mark.soak
def test_secure_combat_over_flower(hub, hospitals, tmp_path):
    """Four nodes; strangers are kept out; one is killed in the middle; the hub restarts; the bits are those of one process."""
    hub.superlink()
    for k in range(4):
        hub.register(hub.names[k])
        hub.node(k)
    address = f"127.0.0.1:{hub.port}"
    options = {"requester": hub.requester, "root_certificates": hub.ca, "timeout": 180}
    with Federation.flower(address, nodes=hub.names[:3], **options) as fed:
        question = {"features": FEATURES, "batch": "scanner", "covariates": ["age"]}
        result = fed.run("combat", **question)
        assert [node["status"] for node in result.nodes] == ["answered"] * 3
        assert any(text.startswith("Active model") for text in result.privacy)
    nodes = [Node(p, Policy(min_cases=4), name=f"l{k}", log=tmp_path / f"l{k}") for k, p in enumerate(hospitals[0])]
    local = Federation.local(nodes).run("combat", **question)
    for name in ("mean", "beta", "var", "gamma_star", "delta_star"):
        np.testing.assert_array_equal(getattr(result.value.model_, name), getattr(local.value.model_, name))

    with Federation.flower(address, expect=4, **(options | {"timeout": 45})) as fed:
        killer = threading.Timer(20, hub.kill, ["node-3"])
        killer.start()
        try:  # above the threshold it goes on; lost between two opened sums it is refused
            assert fed.run("moments", features=FEATURES[:2]).value["n"].tolist() in ([72, 72], [96, 96])
        except RefusedError as error:
            assert "rule" in str(error)
        killer.join()
        assert fed.run("count", by=["sex"]).value["cases"].sum() in (72, 96)


@pytest.mark.soak
def test_strangers_are_kept_out(hub, tmp_path):
    """A node that the hub does not know, and a hub whose certificate another authority signed: no connection."""
    from .flower_hub import certificates, supernode_keys

    hub.superlink()
    hub.register(hub.names[0])
    stranger, _ = supernode_keys(tmp_path, "stranger")
    hub.node(1, key=stranger)
    other = tmp_path / "other"
    other.mkdir()
    hub.node(0, ca=certificates(other)[0])
    time.sleep(20)
    with pytest.raises(fi.errors.FastimgError, match="nodes are there"):
        import fastimg.federated._flower as module

        module._START, before = 15.0, module._START
        try:
            Federation.flower(
                f"127.0.0.1:{hub.port}", requester=hub.requester, root_certificates=hub.ca, expect=1, timeout=10
            )
        finally:
            module._START = before
