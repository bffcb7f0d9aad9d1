"""Flower as the engine: `serve` at a provider, `FlowerTransport` at the hub. Nodes dial out; TLS; keys for every node."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, FastimgError, FormatError, RefusedError
from . import _messages as wire
from . import _sockets
from ._flower_app import RELAY, app_files, app_hash, check_flower
from ._flower_node import CONNECTED, PINNED, SOCKET, UNKNOWN
from ._node import Node

__all__ = ["FlowerTransport", "serve"]

_NAMED = 15.0  # seconds for a node to say its name
_START = 120.0  # seconds for a run to begin
_PAUSE = 3.0  # seconds until a SuperNode is started again
_FORGOTTEN = (
    65.0  # seconds after which a SuperLink no longer takes a node that died for connected (twice its heartbeat's 30)
)


def _command(name: str) -> str:
    """Flower's program beside this Python's, else on the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ArgumentError(f"{name} was not found; is Flower installed in this environment?")
    return found


def serve(
    node: Node,
    superlink: str,
    *,
    root_certificates: str | os.PathLike[str] | None,
    supernode_key: str | os.PathLike[str] | None,
    options: Sequence[str] = (),
    stop: Any = None,
) -> int:
    """Take part in a federation until a signal ends it: a SuperNode that dials out to `superlink` and asks `node`.

    Parameters
    ----------
    node : Node
        With an identity and a roster: beyond one machine there is no other.
    superlink : str
        host:port of the SuperLink.
    root_certificates : path or None
        PEM file of the authority that signed the SuperLink's certificate. None: no TLS, on this machine's loopback only.
    supernode_key : path or None
        The SuperNode's private key (EC P-384), by which the SuperLink knows it.
    options : sequence of str
        More options of flower-supernode.
    stop : threading.Event, optional
        Ends it too.

    Returns
    -------
    int
        0, when it was stopped.

    Raises
    ------
    FastimgError
        The SuperNode ended before it was connected: one side refused the other's certificate or key. One that ends later is
        started again. A SuperLink refuses a key that it does not know, and one whose node died without a word and counts as
        connected for a minute more, in the same words: so that is tried for as long.
    ArgumentError
        A node without identity or roster.
    RefusedError
        No TLS beyond this machine's loopback.
    """
    check_flower()
    if node.roster is None:
        raise ArgumentError("serve: a node beyond one machine needs an identity and a roster")
    if root_certificates is None and superlink.rpartition(":")[0] not in ("127.0.0.1", "localhost", "[::1]"):
        raise RefusedError("serve: without TLS a node serves this machine's loopback only")
    with tempfile.TemporaryDirectory(prefix="fastimg-node-") as folder:
        socket, connected, unknown = (Path(folder) / name for name in ("node", CONNECTED, UNKNOWN))
        listener = _sockets.Listener(socket, lambda parts: [node.handle(parts[0])])
        command = [sys.executable, "-m", "fastimg.federated._flower_node", "--superlink", superlink, *options]
        command += ["--isolation", "process"]  # starts no process for an app
        command += (
            ["--insecure"] if root_certificates is None else ["--root-certificates", os.fspath(root_certificates)]
        )
        if supernode_key is not None:
            command += ["--auth-supernode-private-key", os.fspath(supernode_key)]
        environment = os.environ | {SOCKET: str(socket), PINNED: app_hash(), "FLWR_TELEMETRY_ENABLED": "0"}
        environment["FLWR_HOME"] = str(Path(folder) / "flower")
        ended = stop or threading.Event()
        refused = None  # since when
        try:
            while True:
                connected.unlink(missing_ok=True)
                unknown.unlink(missing_ok=True)
                began = time.monotonic()
                child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)
                try:
                    while child.poll() is None and not ended.wait(0.2):
                        pass
                finally:
                    _end(child)
                if ended.is_set():
                    return 0
                if connected.exists():
                    refused = None
                elif unknown.exists() and (refused is None or began - refused < _FORGOTTEN):
                    refused = began if refused is None else refused
                    words = "the SuperLink does not know this key, or takes the node for connected; it is asked again"
                    print(f"fastimg: {words}", file=sys.stderr, flush=True)
                else:
                    raise FastimgError(
                        f"serve: the SuperNode ended with status {child.returncode}: the SuperLink or this node refused the "
                        "other's certificate or key; see its lines above"
                    )
                ended.wait(_PAUSE)  # perhaps the hub is restarting
        finally:
            listener.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    """The process and all that it started; told once, since a second signal would keep it from saying goodbye."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(timeout=30)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdin is not None:
        child.stdin.close()


class FlowerTransport:
    """A run of this library's Flower app: a relay inside the SuperLink, reached by a Unix socket of this machine.

    Parameters
    ----------
    address : str
        host:port of the SuperLink's Control API; the SuperLink runs on this machine.
    root_certificates : path or None
        PEM file of the authority that signed its certificate; None: without TLS, loopback only.
    nodes : sequence of str, optional
        Ask these alone.
    expect : int
        Wait until so many nodes are there.
    timeout : float
        Seconds to wait for a node's answer; one that is late is lost for the round.
    wait : float
        Seconds to wait until `expect` nodes are there.
    """

    def __init__(
        self,
        address: str,
        *,
        root_certificates: str | os.PathLike[str] | None,
        nodes: Sequence[str] | None = None,
        expect: int = 3,
        timeout: float = 120.0,
        wait: float = 120.0,
    ) -> None:
        check_flower()
        self._timeout, self._wanted = timeout, None if nodes is None else set(nodes)
        self._hold: Any = None
        self._folder = tempfile.TemporaryDirectory(prefix="fastimg-hub-")
        home = Path(self._folder.name)
        self._socket = home / "relay"
        app = home / "app"
        app.mkdir()
        for name, data in app_files().items():
            (app / name).write_bytes(data)
        tls = (
            "insecure = true"
            if root_certificates is None
            else f'root-certificates = "{Path(root_certificates).resolve()}"'
        )
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "hub"\n\n[superlink.hub]\naddress = "{address}"\n{tls}\n'
        )
        environment = os.environ | {"FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0"}
        command = [_command("flwr"), "run", str(app), "hub", "--run-config", f'{RELAY}="{self._socket}"']
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_START)
        except subprocess.TimeoutExpired:
            self._folder.cleanup()
            raise FastimgError(f"flower: the SuperLink has not taken the run within {_START:g} s") from None
        if done.returncode:
            self._folder.cleanup()
            raise FastimgError(
                f"flower: the run was not accepted: {done.stderr.strip()[-300:] or done.stdout.strip()[-300:]}"
            )
        self._until(_START, self._socket.exists, "the run did not begin")
        self._hold = _sockets.connect(self._socket)  # the relay ends when this connection does
        _sockets.send(self._hold, [b"hold", b"1"])
        self._until(wait, lambda: len(self.names()) >= expect, f"fewer than {expect} nodes are there")

    def _until(self, wait: float, condition: Any, problem: str) -> None:
        until = time.monotonic() + wait
        while not condition():
            if time.monotonic() > until:
                self.close()
                raise FastimgError(f"flower: {problem}")
            time.sleep(0.2)

    def names(self) -> list[str]:
        """The nodes that answer now."""
        found = [name.decode() for name in self._call([b"names", str(min(self._timeout, _NAMED)).encode()])]
        return [name for name in found if self._wanted is None or name in self._wanted]

    def _call(self, parts: list[bytes]) -> list[bytes]:
        try:
            return _sockets.call(self._socket, parts, timeout=3 * self._timeout)
        except (OSError, FormatError) as error:
            raise FastimgError(f"flower: the relay is gone ({type(error).__name__})") from error

    def exchange(self, kind: str, key: str, messages: Mapping[str, bytes]) -> dict[str, bytes | Exception]:
        """As `Transport.exchange`."""
        if not messages:
            return {}
        parts = [b"exchange", str(self._timeout).encode()]
        for name, message in messages.items():
            parts += [name.encode(), wire.ask(message) if kind == "ask" else wire.give(key, message)]
        return {name: wire.result(answer) for name, answer in zip(messages, self._call(parts), strict=True)}

    def close(self) -> None:
        """End the run."""
        with suppress(FastimgError, OSError):
            _sockets.call(self._socket, [b"stop", b"1"], timeout=5)
        if self._hold is not None:
            self._hold.close()
        self._folder.cleanup()
