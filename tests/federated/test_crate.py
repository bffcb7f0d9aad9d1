"""RO-Crate: read back by ro-crate-py."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import ArgumentError
from fastimg.federated import jsonable, rocrate


@pytest.fixture
def crate(make, tmp_path):
    result = make(min_cases=1).run("histogram", bins=4, range=(-600, 600))
    rocrate(result, tmp_path / "crate", license="https://spdx.org/licenses/CC-BY-4.0")
    return result, tmp_path / "crate"


def test_another_reader_finds_everything(crate):
    peer = pytest.importorskip("rocrate.rocrate", reason="peer ro-crate-py is not installed")
    result, folder = crate
    seen = peer.ROCrate(str(folder))
    root = seen.root_dataset
    assert {part.id for part in root["hasPart"]} == {"result.json", "provenance.json"}
    run = root["mentions"]
    assert (run.type, run["instrument"]["name"], run["agent"]["name"]) == ("CreateAction", "histogram", "local")
    assert [file.id for file in run["result"]] == ["result.json"]
    nodes = {node["name"]: node for node in run["participant"]}
    for name, about in result.provenance["nodes"].items():
        assert [value["value"] for value in nodes[name]["identifier"]] == [about["policy"], about["log_head"]]
    stated = {value["name"]: value["value"] for value in run["object"]}
    assert (stated["parameter bins"], stated["nonce"]) == ("4", result.provenance["nonce"])
    for part in root["hasPart"]:
        data = (folder / part.id).read_bytes()
        assert part["sha256"] == hashlib.sha256(data).hexdigest()
    assert json.loads((folder / "result.json").read_text()) == jsonable(result.value)


def test_whatever_is_pointed_at_is_there(crate):
    record = json.loads((crate[1] / "ro-crate-metadata.json").read_text())
    ids = [entity["@id"] for entity in record["@graph"]]
    assert len(set(ids)) == len(ids)

    def pointed(value):
        if isinstance(value, list):
            return [p for item in value for p in pointed(item)]
        return [value["@id"]] if isinstance(value, dict) else []

    found = {p for entity in record["@graph"] for value in entity.values() for p in pointed(value)}
    outside = {"https://w3id.org/ro/crate/1.1", "https://spdx.org/licenses/CC-BY-4.0"}
    assert found - outside <= set(ids)
    assert {"#run", "#computation", "#requester", "#fastimg", "#node-2", "result.json"} <= found


def test_arrays_stand_by_their_digest_and_folders_are_not_written_over(make, tmp_path, crate):
    result = make(min_cases=1, computations=("evaluate",)).run(
        "evaluate",
        model="logistic",
        weights={"coefficients": np.zeros(1), "intercept": np.zeros(1)},
        outcome="sex",
        positive="F",
        covariates=["age"],
    )
    record = json.loads(rocrate(result, tmp_path / "other").read_text())
    (weights,) = (e for e in record["@graph"] if e.get("name") == "parameter weights")
    assert weights["value"].startswith("sha256:")
    with pytest.raises(ArgumentError, match="not empty"):
        rocrate(crate[0], crate[1])
    assert fi.federated.rocrate is rocrate
