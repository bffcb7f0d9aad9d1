"""fastimg node: keys, rosters and logs of a provider, and a run without a network for engines that start containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..errors import ArgumentError, FastimgError, FormatError, RefusedError
from ._main import as_json, emit, exit_with, main

__all__ = ["node", "parameters_of", "write_json"]

_FILE = click.Path(dir_okay=False, path_type=Path)
_HERE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@main.group()
def node() -> None:
    """A provider's node of a federation: keys, roster, log, answers."""


@node.group()
def key() -> None:
    """Ed25519 keys, and the roster that an authority signs."""


@key.command("new")
@click.argument("name")
@click.option("--out", type=_FILE, required=True, help="The key file to make; mode 0600, never written over.")
def new_key(name: str, out: Path) -> None:
    """Make a key for NAME and print its public half."""
    from ..federated import Identity

    identity = Identity.new(name)
    identity.save(out)
    click.echo(identity.public)


@key.command("show")
@click.argument("file", type=_HERE)
def show_key(file: Path) -> None:
    """Print the name and the public half of a key file."""
    from ..federated import Identity

    identity = Identity.load(file)
    click.echo(f"{identity.name} {identity.public}")


_authority = click.option("--authority", type=_HERE, required=True, help="Key file of the roster's authority.")


def _open(roster: Path, authority: Any) -> Any:
    from ..federated import Roster

    return Roster.load(roster, authority=authority.public) if roster.exists() else Roster()


def _store(roster: Path, changed: Any, authority: Any) -> None:
    from ..cohort import write_whole

    signed = changed.signed(authority)
    write_whole(roster, signed.to_bytes())
    click.echo(f"roster {roster.name}: serial {signed.serial}, {len(signed.entries)} members")


@key.command()
@click.argument("roster", type=_FILE)
@click.argument("name")
@click.argument("public")
@click.option("--role", type=click.Choice(["node", "requester"]), required=True)
@_authority
def trust(roster: Path, name: str, public: str, role: str, authority: Path) -> None:
    """Add NAME with its PUBLIC key to ROSTER (made if it is not there) and sign it again."""
    from ..federated import Identity

    signer = Identity.load(authority)
    found = _open(roster, signer)
    if found.key(name, role) is not None:
        raise ArgumentError(f"roster: it has a {role} {name!r} already; rotate its key")
    _store(roster, found.trust(name, role, public.lower()), signer)


@key.command()
@click.argument("roster", type=_FILE)
@click.argument("name")
@click.argument("public")
@click.option("--role", type=click.Choice(["node", "requester"]), required=True)
@_authority
def rotate(roster: Path, name: str, public: str, role: str, authority: Path) -> None:
    """Put the new PUBLIC key of NAME in the place of its old one, which is revoked."""
    from ..federated import Identity

    signer = Identity.load(authority)
    found = _open(roster, signer)
    _store(roster, found.rotate(name, role, public.lower()), signer)


@key.command()
@click.argument("roster", type=_FILE)
@click.argument("name")
@_authority
def revoke(roster: Path, name: str, authority: Path) -> None:
    """Take NAME out of ROSTER; its keys never come back."""
    from ..federated import Identity

    signer = Identity.load(authority)
    _store(roster, _open(roster, signer).revoke(name), signer)


@node.group()
def audit() -> None:
    """The node's log of what it answered and refused."""


@audit.command("verify")
@click.argument("log", type=_HERE)
@click.option("--head", help="A log head that a result of this node holds: it must be one of the log's lines.")
@as_json
@exit_with
def verify_audit(log: Path, head: str | None, json_: bool) -> int:
    """Check that no line of LOG was changed, taken out or put in; exit status 1 if one was."""
    from ..federated import verify_log

    lines, last = verify_log(log)
    found = head is None or any(json.loads(line)["hash"] == head for line in log.read_text().splitlines())
    if json_:
        emit({"ok": found, "lines": lines, "head": last})
    else:
        click.echo(f"{lines} lines, head {last}")
        if not found:
            click.echo(
                "the head that was given is not one of its lines: the log was rewritten after that result", err=True
            )
    return 0 if found else 1


@node.command()
@click.argument("cohort", type=_FOLDER)
@click.option("--policy", type=_HERE, required=True, help="The node's rules, TOML.")
@click.option("--key", "key_file", type=_HERE, required=True, help="This node's key.")
@click.option("--roster", type=_HERE, required=True, help="The signed roster.")
@click.option("--authority", required=True, help="Public key of the roster's authority.")
@click.option(
    "--superlink", required=True, help="host:port of the SuperLink; the node dials out, nothing listens here."
)
@click.option("--root-certificates", type=_HERE, help="PEM file for TLS; without it only loopback is served.")
@click.option("--supernode-key", type=_HERE, help="Private key (EC P-384) by which the SuperLink knows this node.")
@click.option("--supernode-option", "options", multiple=True, help="One more option of flower-supernode.")
@click.option("--log", type=_FILE, help="Default: federation-log.jsonl in the cohort's folder.")
@exit_with
def serve(
    cohort: Path,
    policy: Path,
    key_file: Path,
    roster: Path,
    authority: str,
    superlink: str,
    root_certificates: Path | None,
    supernode_key: Path | None,
    options: tuple[str, ...],
    log: Path | None,
) -> int:
    """Answer a federation's questions about COHORT through Flower, until stopped."""
    import signal
    import threading

    from .. import federated

    identity = federated.Identity.load(key_file)
    members = federated.Roster.load(roster, authority=authority)
    here = federated.Node(cohort, policy, identity=identity, roster=members, log=log)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    click.echo(f"node {here.name}: roster serial {members.serial}, policy {here.policy.digest[:19]}")
    return federated.serve(
        here,
        superlink,
        root_certificates=root_certificates,
        supernode_key=supernode_key,
        options=[part for option in options for part in option.split()],
        stop=stop,
    )


@node.command("exec")
@click.option("--data", type=_FOLDER, help="The cohort; it is only read.")
@click.option("--sandbox", type=_FOLDER, help="Where results, messages and the log are written.")
@click.option("--policy", type=_HERE, help="Default: federation-policy.toml in the data folder.")
@click.option("--computation", help="What to run; see --describe.")
@click.option("--params", type=_HERE, help="JSON file of its parameters.")
@click.option("--rounds", is_flag=True, help="Answer message files of SANDBOX/inbox until SANDBOX/inbox/stop.")
@click.option("--key", "key_file", type=_HERE, help="With --rounds: this node's key.")
@click.option("--roster", type=_HERE, help="With --rounds: the signed roster.")
@click.option("--authority", help="With --rounds: public key of the roster's authority.")
@click.option(
    "--timeout", type=float, default=3600.0, show_default=True, help="With --rounds: seconds without a message."
)
@click.option(
    "--describe", is_flag=True, help="Print the installed computations with JSON Schemas of their parameters."
)
@click.option("--selfcheck", is_flag=True, help="Print whether this installation, data and sandbox are usable.")
@exit_with
def run_exec(
    data: Path | None,
    sandbox: Path | None,
    policy: Path | None,
    computation: str | None,
    params: Path | None,
    rounds: bool,
    key_file: Path | None,
    roster: Path | None,
    authority: str | None,
    timeout: float,
    describe: bool,
    selfcheck: bool,
) -> int:
    """Run one computation over this node's cohort, without a network; writes SANDBOX/result.json.

    The result is this node's alone, under its disclosure rules, and labelled as not securely aggregated. With --rounds the
    node takes part in a secure sum by message files.
    """
    from .. import federated

    if describe:
        emit(federated.describe())
        return 0
    if selfcheck:
        return _selfcheck(data, sandbox, policy)
    if data is None or sandbox is None:
        raise ArgumentError("node exec: --data and --sandbox are needed")
    log = sandbox / "federation-log.jsonl"
    rules = policy or data / "federation-policy.toml"
    if rounds:
        if None in (key_file, roster, authority):
            raise ArgumentError("node exec: --rounds needs --key, --roster and --authority")
        assert key_file is not None and roster is not None  # noqa: PT018
        assert authority is not None
        identity = federated.Identity.load(key_file)
        members = federated.Roster.load(roster, authority=authority)
        here = federated.Node(data, rules, identity=identity, roster=members, log=log)
        click.echo(f"{federated.serve_files(here, sandbox, timeout=timeout)} messages answered")
        return 0
    if computation is None:
        raise ArgumentError("node exec: --computation is needed")
    here = federated.Node(data, rules, log=log)
    result = federated.Federation.local([here]).run(computation, secure=False, **parameters_of(params))
    what = federated.registered()[computation]
    document = {
        "format": "fastimg-node-result",
        "version": 1,
        "label": "not securely aggregated: one node's own answer under its disclosure rules",
        "computation": computation,
        "computation_version": what.version,
        "parameters": federated.jsonable(result.provenance["parameters"]),
        "policy": here.policy.digest,
        "value": federated.jsonable(result.value),
        "privacy": result.privacy,
    }
    write_json(sandbox / "result.json", document)
    write_json(sandbox / "provenance.json", federated.prov(result))
    return 0


def parameters_of(file: Path | None) -> dict[str, Any]:
    """Of a JSON file; none without one."""
    if file is None:
        return {}
    try:
        if file.stat().st_size > 1 << 28:
            raise FormatError(f"node exec: {file.name} is larger than 256 MiB")
        found = json.loads(file.read_text("utf-8"))
    except (ValueError, OSError, RecursionError):
        raise FormatError(f"node exec: {file.name} is not a JSON file") from None
    if not isinstance(found, dict) or "secure" in found:
        raise FormatError(f"node exec: {file.name} must hold one object of the computation's parameters")
    return found


def write_json(path: Path, document: Any) -> None:
    """Whole or not at all; the same document gives the same bytes."""
    from ..cohort import write_whole

    write_whole(path, json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n")


def _selfcheck(data: Path | None, sandbox: Path | None, policy: Path | None) -> int:
    """Each check by name: "ok", "not asked for", or why it failed."""
    from .. import __version__, federated
    from ..cohort import Cohort, write_whole

    found: dict[str, str] = {}

    def check(name: str, given: Any, work: Any) -> None:
        if given is None:
            found[name] = "not asked for"
            return
        try:
            work()
            found[name] = "ok"
        except (FastimgError, OSError) as error:
            found[name] = str(error) if isinstance(error, FastimgError) else type(error).__name__

    def kernels() -> None:
        import numpy as np

        from .. import harmonize

        if harmonize.window(np.array([0], np.int16), low=-1, high=1)[0] != 0.5:
            raise RefusedError("a kernel gives a wrong value")

    rules = policy or (data / "federation-policy.toml" if data else None)
    check("kernels", True, kernels)
    check("computations", True, federated.describe)
    check("data", data, lambda: Cohort.open(str(data)).index)
    check("policy", rules, lambda: federated.Policy.load(str(rules)))
    check("sandbox", sandbox, lambda: write_whole(Path(str(sandbox)) / "selfcheck.txt", b"ok\n"))
    good = all(text in ("ok", "not asked for") for text in found.values())
    emit({"ok": good, "fastimg": __version__, "checks": found})
    return 0 if good else 1
