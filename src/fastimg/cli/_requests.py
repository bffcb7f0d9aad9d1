"""fastimg node request | carry: a question signed where the requester's key is, and carried by a hub that has none."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..errors import ArgumentError
from ._node import node, parameters_of, write_json

__all__ = ["carry", "request"]

_FILE = click.Path(dir_okay=False, path_type=Path)
_HERE = click.Path(exists=True, dir_okay=False, path_type=Path)


@node.command()
@click.argument("computation")
@click.option("--key", type=_HERE, required=True, help="The requester's key; it stays on this machine.")
@click.option(
    "--node", "nodes", multiple=True, required=True, help="A node to ask; the hub can ask fewer, never others."
)
@click.option("--params", type=_HERE, help="JSON file of the computation's parameters.")
@click.option("--valid", type=int, default=3600, show_default=True, help="Seconds; at most a day.")
@click.option("--out", type=_FILE, required=True, help="The request to make.")
def request(computation: str, key: Path, nodes: tuple[str, ...], params: Path | None, valid: int, out: Path) -> None:
    """Sign a question, without a network; `fastimg node carry` at the hub asks it."""
    from ..cohort import write_whole
    from ..federated import Identity, signed_request

    identity = Identity.load(key)
    data = signed_request(identity, computation, nodes, valid=valid, **parameters_of(params))
    write_whole(out, data)
    click.echo(f"{out.name}: {computation} by {identity.name} of {len(nodes)} nodes, valid for {valid} s")


@node.command()
@click.argument("request", type=_HERE)
@click.option("--superlink", required=True, help="host:port of this machine's SuperLink.")
@click.option("--root-certificates", type=_HERE, help="PEM file for TLS; without it only loopback is used.")
@click.option("--expect", type=int, default=3, show_default=True, help="Wait until so many nodes are connected.")
@click.option(
    "--timeout", type=float, default=120.0, show_default=True, help="Seconds to wait for a node in each step."
)
@click.option("--out", type=_FILE, required=True, help="The result to write, JSON.")
def carry(
    request: Path, superlink: str, root_certificates: Path | None, expect: int, timeout: float, out: Path
) -> None:
    """Ask a signed REQUEST of the nodes that are connected to this hub, which has no key of a requester."""
    from ..federated import Federation, jsonable

    if request.stat().st_size > 1 << 28:
        raise ArgumentError(f"node carry: {request.name} is larger than 256 MiB")
    with Federation.flower(superlink, root_certificates=root_certificates, expect=expect, timeout=timeout) as hub:
        result = hub.carry(request.read_bytes())
    document = {
        "format": "fastimg-result",
        "version": 1,
        "value": jsonable(result.value),
        "provenance": jsonable(result.provenance),
        "nodes": result.nodes,
        "privacy": result.privacy,
    }
    write_json(out, document)
    click.echo(json.dumps({node["name"]: node["status"] for node in result.nodes}))
