"""A result as an RO-Crate 1.1 by the profile Process Run Crate 0.5: plain JSON-LD and the files that it describes."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ._codec import dumps
from ._describe import jsonable, prov

__all__ = ["rocrate"]

_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"


def rocrate(result: Any, folder: str | os.PathLike[str], *, license: str | None = None) -> Path:
    """Write a `Result` as a crate: who asked what of whom, under which policies, and the answer.

    Parameters
    ----------
    result : Result
    folder : path
        New, or empty. It gets ro-crate-metadata.json, result.json (the value) and provenance.json (PROV-JSON).
    license : str, optional
        An address (https://...), which the crate's root names.

    Returns
    -------
    Path
        Of ro-crate-metadata.json.

    Raises
    ------
    ArgumentError
        The folder is not empty.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    if any(place.iterdir()):
        raise ArgumentError("folder: it is not empty")
    files = {"result.json": jsonable(result.value), "provenance.json": prov(result)}
    described: list[dict[str, Any]] = []
    for name, value in files.items():
        data = json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode()
        (place / name).write_bytes(data)
        entity: dict[str, Any] = {"@id": name, "@type": "File", "name": name, "encodingFormat": "application/json"}
        entity |= {"contentSize": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}
        described.append(entity)
    described[1]["about"] = {"@id": "#run"}
    when = datetime.now(UTC).isoformat(timespec="seconds")
    graph = [*_about(result, when, license, list(files)), *described, *_run(result, when), *_nodes(result)]
    crate = {"@context": ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]}
    path = place / "ro-crate-metadata.json"
    path.write_text(json.dumps(crate | {"@graph": graph}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def _about(result: Any, when: str, license: str | None, files: list[str]) -> list[dict[str, Any]]:
    p = result.provenance
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{p['computation']} over {len(p['nodes'])} nodes",
        "description": " ".join(result.privacy),
        "datePublished": when,
        "conformsTo": {"@id": _PROFILE},
        "hasPart": [{"@id": name} for name in files],
        "mentions": {"@id": "#run"},
    }
    if license is not None:
        root["license"] = {"@id": license}
    return [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        },
        root,
        {"@id": _PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
    ]


def _run(result: Any, when: str) -> list[dict[str, Any]]:
    p = result.provenance
    stated = {name: p[name] for name in ("nonce", "attempts", "rounds", "secure")}
    stated |= {f"parameter {name}": value for name, value in p["parameters"].items() if value is not None}
    values = [
        {"@id": f"#value-{k}", "@type": "PropertyValue", "name": name, "value": _text(value)}
        for k, (name, value) in enumerate(stated.items())
    ]
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run of {p['computation']}",
        "instrument": {"@id": "#computation"},
        "agent": {"@id": "#requester"},
        "participant": [{"@id": f"#node-{k}"} for k in range(len(p["nodes"]))],
        "object": [{"@id": value["@id"]} for value in values],
        "result": [{"@id": "result.json"}],
        "endTime": when,
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    computation = {
        "@id": "#computation",
        "@type": "SoftwareApplication",
        "name": p["computation"],
        "softwareVersion": str(p["computation_version"]),
        "softwareRequirements": {"@id": "#fastimg"},
    }
    software = {"@id": "#fastimg", "@type": "SoftwareApplication", "name": "fastimg", "softwareVersion": p["fastimg"]}
    return [run, computation, software, {"@id": "#requester", "@type": "Person", "name": p["requester"]}, *values]


def _nodes(result: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for k, (name, about) in enumerate(sorted(result.provenance["nodes"].items())):
        marks = {"policy": about["policy"], "head of the audit log": about["log_head"]}
        values = [
            {"@id": f"#node-{k}-{i}", "@type": "PropertyValue", "name": mark, "value": value}
            for i, (mark, value) in enumerate(marks.items())
        ]
        node = {"@id": f"#node-{k}", "@type": "Organization", "name": name}
        found += [node | {"identifier": [{"@id": value["@id"]} for value in values]}, *values]
    return found


def _text(value: Any) -> str:
    """A parameter as it was asked; arrays by their digest."""
    data = dumps(value)
    if data[:1] == b"\xff":
        return "sha256:" + hashlib.sha256(data).hexdigest()
    return value if isinstance(value, str) else data.decode()
