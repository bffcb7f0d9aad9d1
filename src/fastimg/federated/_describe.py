"""What is installed here, for programs: computations with JSON Schemas of their parameters; values and provenance as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import __version__
from ._codec import digest, dumps
from ._registry import Parameter, registered
from ._results import schema as result_schema

__all__ = ["describe", "jsonable", "prov", "schema_of"]

_TEXT = {"type": "string", "minLength": 1, "maxLength": 128}
_SCALAR = {"type": ["string", "number", "boolean"]}


def schema_of(parameter: Parameter) -> dict[str, Any]:
    """A parameter as JSON Schema (draft 2020-12)."""
    low, high = parameter.low, parameter.high
    number: dict[str, Any] = {"type": "integer" if parameter.kind == "int" else "number"}
    if low > -1e308:
        number["minimum"] = low
    if high < 1e308:
        number["maximum"] = high
    entries = {"maxItems": int(high)} if high < 1e308 else {}
    kinds: dict[str, dict[str, Any]] = {
        "int": number,
        "float": number,
        "bool": {"type": "boolean"},
        "name": _TEXT,
        "names": {"type": "array", "items": _TEXT, "uniqueItems": True, **entries},
        "names1": {"type": "array", "items": _TEXT, "uniqueItems": True, "minItems": 1, **entries},
        "range": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        "numbers": {"type": "array", "items": {"type": "number"}, "minItems": 1, **entries},
        "choice": {"enum": list(parameter.choices)},
        "arrays": {"type": "object", "additionalProperties": {"type": ["array", "number"]}},
        "levels": {"type": "object", "additionalProperties": {"type": "array", "items": _TEXT, "minItems": 1}},
        "products": {"type": "array", "items": {"type": "array", "items": _TEXT, "minItems": 2}, **entries},
        "splines": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    **{end: {"type": "number"} for end in ("low", "high")},
                    "inner": {"type": "array", "items": {"type": "number"}},
                    "degree": {"type": "integer", "minimum": 1, "maximum": 5},
                    "penalty": {"anyOf": [{"const": "gcv"}, {"type": "number", "minimum": 0}]},
                },
                "required": ["low", "high"],
                "additionalProperties": False,
            },
        },
        "where": {
            "type": "object",
            "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]},
        },
    }
    schema = dict(kinds[parameter.kind])
    if parameter.default is None:
        schema = {"anyOf": [schema, {"type": "null"}], "default": None}
    elif parameter.default is not ...:
        schema["default"] = parameter.default
    return schema


def describe() -> dict[str, Any]:
    """All computations: name, version, what they disclose, documentation, and the schemas of parameters and result."""
    found = []
    for name, what in sorted(registered().items()):
        needed = [key for key, parameter in what.parameters.items() if parameter.default is ...]
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {key: schema_of(parameter) for key, parameter in what.parameters.items()},
            "required": needed,
            "additionalProperties": False,
        }
        found.append(
            {
                "name": name,
                "version": what.version,
                "discloses": what.discloses,
                "description": what.doc,
                "parameters": schema,
                "result": result_schema(what.result),
            }
        )
    return {"format": "fastimg-computations", "version": 1, "fastimg": __version__, "computations": found}


def jsonable(value: Any) -> Any:
    """A computation's value as JSON: arrays as lists, NaN and infinities as null, fitted models as their records."""
    if hasattr(value, "to_dict"):
        return jsonable(value.to_dict())
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return value


def prov(result: Any) -> dict[str, Any]:
    """A `Result`'s provenance as PROV-JSON (W3C member submission of 2013): the answer, the run, who took part.

    The entity holds the digest of the value, not the value.

    Parameters
    ----------
    result : Result
        What `Federation.run` gave.

    Returns
    -------
    dict
        Plain values for JSON.
    """
    p = result.provenance
    value = digest(jsonable(result.value))
    software, run, answer = "fi:fastimg", "fi:run", "fi:result"
    agents: dict[str, Any] = {
        software: {"prov:type": "prov:SoftwareAgent", "fi:version": p["fastimg"]},
        "fi:requester": {"prov:label": p["requester"]},
    }
    associations = {
        "_:by": {"prov:activity": run, "prov:agent": software},
        "_:for": {"prov:activity": run, "prov:agent": "fi:requester", "prov:role": "requester"},
    }
    used, entities = {}, {answer: {"fi:sha256": value, "fi:privacy": list(result.privacy)}}
    for k, (name, about) in enumerate(sorted(p["nodes"].items())):
        node, policy = f"fi:node-{k}", f"fi:policy-{k}"
        agents[node] = {"prov:type": "prov:Organization", "prov:label": name}
        associations[f"_:node-{k}"] = {"prov:activity": run, "prov:agent": node, "prov:plan": policy}
        entities[policy] = {"prov:type": "prov:Plan", "fi:digest": about["policy"]}
        entities[f"fi:log-{k}"] = {"fi:head": about["log_head"]}
        used[f"_:log-{k}"] = {"prov:activity": run, "prov:entity": f"fi:log-{k}"}
    keys = ("computation", "computation_version", "nonce", "attempts", "rounds", "secure")
    activity = {f"fi:{key}": p[key] for key in keys} | {"fi:parameters": dumps(jsonable(p["parameters"])).decode()}
    return {
        "prefix": {"fi": "urn:fastimg:"},
        "entity": entities,
        "activity": {run: activity},
        "agent": agents,
        "wasGeneratedBy": {"_:made": {"prov:entity": answer, "prov:activity": run}},
        "wasAssociatedWith": associations,
        "used": used,
    }
