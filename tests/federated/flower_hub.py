"""A real Flower federation on loopback: certificates, keys, a SuperLink and nodes, each a process.

Every wait is for something that is seen to happen; `LONG` only ends a wait for what never does.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fastimg.errors import FastimgError, RefusedError
from fastimg.federated import Federation, Identity, Roster

LONG = 600.0  # seconds


def certificates(folder):
    """(CA, certificate, key) as PEM files, for 127.0.0.1 and localhost."""

    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def built(subject, public, extensions):
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("test authority"))
        builder = builder.public_key(public).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
            now + datetime.timedelta(days=2)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(ca_key, hashes.SHA256())

    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    ca = built(
        "test authority",
        ca_key.public_key(),
        [
            (x509.BasicConstraints(True, None), True),
            (usage, True),
            (x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False),
        ],
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    own = built(
        "hub",
        key.public_key(),
        [
            (names, False),
            (x509.BasicConstraints(False, None), True),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False),
        ],
    )
    paths = [folder / n for n in ("ca.pem", "hub.pem", "hub.key")]
    paths[0].write_bytes(ca.public_bytes(form.Encoding.PEM))
    paths[1].write_bytes(own.public_bytes(form.Encoding.PEM))
    paths[2].write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    return paths


def supernode_keys(folder, name):
    """(private, public) files of a P-384 key in OpenSSH's form."""
    key = ec.generate_private_key(ec.SECP384R1())
    private, public = folder / name, folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH))
    private.chmod(0o600)
    return private, public


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def patience(federation, seconds):
    """Within it, a node that has not answered after so many seconds is lost."""
    transport = federation._transport
    transport._timeout, before = seconds, transport._timeout
    try:
        yield federation
    finally:
        transport._timeout = before


class Hub:
    """A SuperLink with TLS and keys for its nodes; `federation()` and `alive(...)` bring about what a test begins with,
    whatever was before."""

    def __init__(self, folder: Path, cohorts, policy: str) -> None:
        self.folder, self.cohorts = folder, cohorts
        self.ca, self._certificate, self._key = certificates(folder)
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen] = {}
        self._policies: dict[str, str] = {}  # of the running nodes
        self._federation: Federation | None = None
        self.requester = Identity.new("statistician")
        authority = Identity.new("authority")
        self.authority = authority.public
        roster = Roster().trust("statistician", "requester", self.requester.public)
        self.names = [f"node-{k}" for k in range(len(cohorts))]
        for name in self.names:
            identity = Identity.new(name)
            identity.save(folder / f"{name}.key")
            roster = roster.trust(name, "node", identity.public)
        (folder / "roster.json").write_bytes(roster.signed(authority).to_bytes())
        (folder / "policy.toml").write_text(policy)
        self._database = folder / "superlink.db"
        self.bin = Path(sys.executable).parent
        self.environment = os.environ | {
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_HOME": str(folder / "home"),
            "FASTIMG_THREADS": "1",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
            "PATH": os.pathsep.join([str(self.bin), os.environ["PATH"]]),
        }

    def program(self, name):
        found = self.bin / name
        return [str(found)] if found.exists() else [name]

    def start(self, name, command):
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )

    def runs(self, name):
        return name in self.processes and self.processes[name].poll() is None

    def superlink(self):
        """Start it; again after a kill: it has kept its nodes' keys."""
        command = [*self.program("flower-superlink"), "--ssl-ca-certfile", self.ca, "--ssl-certfile", self._certificate]
        command += ["--ssl-keyfile", self._key, "--enable-supernode-auth", "--disable-runtime-dependency-installation"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--database", self._database]
        self.start("superlink", list(map(str, command)))
        self.wait_for_port()

    def wait_for_port(self):
        until = time.monotonic() + LONG
        while time.monotonic() < until and self.runs("superlink"):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.2)
        raise AssertionError("the SuperLink did not start: " + self.log("superlink"))

    def register(self, name):
        private, public = supernode_keys(self.folder, f"{name}.ssh")
        home = Path(self.environment["FLWR_HOME"])
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "hub"\n\n[superlink.hub]\naddress = "127.0.0.1:{self.port}"\nroot-certificates = "{self.ca}"\n'
        )
        command = [*self.program("flwr"), "supernode", "register", str(public), "hub", "--name", name]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=LONG)
        assert done.returncode == 0, done.stdout + done.stderr
        return private

    def node(self, k, *, key=None, ca=None, policy="policy.toml"):
        name = self.names[k]
        private = key or self.folder / f"{name}.ssh"
        files = {"policy": policy, "key": f"{name}.key", "roster": "roster.json", "log": f"{name}.jsonl"}
        options = {option: self.folder / file for option, file in files.items()}
        options |= {"authority": self.authority, "superlink": f"127.0.0.1:{self.port}"}
        options |= {"root-certificates": ca or self.ca, "supernode-key": private}
        command = [sys.executable, "-m", "fastimg", "node", "serve", self.cohorts[k]]
        command += [part for option, value in options.items() for part in (f"--{option}", value)]
        self.start(name, list(map(str, command)))

    def open(self, **options):
        """A federation over this hub; waits until three nodes have connected."""
        options = {"requester": self.requester, "root_certificates": self.ca, "wait": LONG} | options
        return Federation.flower(f"127.0.0.1:{self.port}", **options)

    def federation(self):
        """One that the tests share; another when its relay is gone."""
        if not self.runs("superlink"):
            self.kill("superlink")
            self.superlink()
        if self._federation is not None:
            try:
                self._federation._transport.names()
            except FastimgError:
                self.leave()
        if self._federation is None:
            self._federation = self.open(expect=0)
        return self._federation

    def leave(self):
        """Close the shared federation."""
        if self._federation is not None:
            self._federation.close()
            self._federation = None

    def alive(self, *which, policy="policy.toml"):
        """These nodes run under this policy and answer; gives the shared federation."""
        for k in which:
            name = self.names[k]
            if not self.runs(name) or self._policies.get(name) != policy:
                self.kill(name, signal.SIGTERM)
                self.node(k, policy=policy)
                self._policies[name] = policy
        federation = self.federation()
        until = time.monotonic() + LONG
        waiting = {self.names[k] for k in which}
        with patience(federation, 20.0):
            while waiting:
                here = waiting & set(federation._transport.names())
                said = federation._transport.exchange("give", "none", dict.fromkeys(here, b""))
                waiting -= {name for name, error in said.items() if isinstance(error, RefusedError)}  # no such round
                time.sleep(0.2)
                dead = [name for name in waiting if not self.runs(name)]
                assert not dead, "".join(self.log(name)[-2000:] for name in dead)
                assert time.monotonic() < until, "\n".join(f"{name}: {self.log(name)[-2000:]}" for name in waiting)
        return federation

    def send(self, name, number):
        with suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, number)

    def kill(self, name, number=signal.SIGKILL):
        """End it, if it runs."""
        self._policies.pop(name, None)
        if name in self.processes:
            self.send(name, number)
            self.send(name, signal.SIGCONT)
            self.processes.pop(name).wait(timeout=LONG)

    def crash(self, name):
        """End it and its SuperNode at once, as a machine that loses its power."""
        pid = self.processes[name].pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        self.kill(name)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def close(self):
        self.leave()
        for name in self.processes:
            self.send(name, signal.SIGTERM)
        for name in list(self.processes):
            self.kill(name)  # what was asked to end and has not
