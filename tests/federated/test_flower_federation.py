"""The real engine: a SuperLink and four SuperNodes as processes on loopback, TLS and keys, over cohorts read from DICOM.

Processes start, nodes are killed and waited for (soak). One hub for the whole file; every test brings it into the state that
it needs (`Hub.alive`), so any order will do, and asks a question of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import FastimgError, RefusedError
from fastimg.federated import Federation, Identity, Node, Policy, signed_request, verify_log

from .flower_hub import LONG, Hub, certificates, patience, supernode_keys

flwr = pytest.importorskip("flwr", reason="Flower is not installed: pip install 'fastimg[federated]' (make peers)")

pytestmark = pytest.mark.soak

RULES = {
    "min_cases": 2,
    "computations": ("count", "histogram", "moments", "combat"),
    "disclose_batches": True,
}
FEATURES = ["10Percentile", "90Percentile", "Entropy", "Mean", "Median", "RootMeanSquared", "Skewness", "Variance"]
FITTED = ("mean", "beta", "var", "gamma_star", "delta_star")
HEAD = 'format = "fastimg-policy"\nversion = 1\nrequesters = ["statistician"]\n'


def policy(**rules):
    return HEAD + "".join(f"{key} = {json.dumps(value)}\n" for key, value in (RULES | rules).items())


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    """Three hospitals' DICOM, damaged series among it, as cohorts with first-order features; and a fourth, alike."""
    folder = tmp_path_factory.mktemp("dicom")
    fi.synth.hospitals(folder / "in", patients=8, size=32)
    paths = []
    settings = fi.radiomics.Settings(bin_width=25, families=["firstorder"])
    for hospital in ("athens", "paris", "vienna"):
        cohort = fi.Cohort.create(folder / hospital)
        fi.ingest(folder / "in" / hospital, cohort)
        for case in cohort.cases(states=("ok", "warned")):
            image = case.image()
            mask = next(iter(case.masks().values()), np.ones(image.shape, np.uint8))
            values = fi.radiomics.extract(image, mask, settings, names="pyradiomics")
            short = {name.rpartition("_")[2]: float(value) for name, value in values.items()}
            cohort.set_features(case.case_id, {"lesion": {name: short[name] for name in FEATURES}})
        paths.append(cohort.path)
    shutil.copytree(paths[1], folder / "athens-2")
    return [*paths, folder / "athens-2"]


@pytest.fixture(scope="module")
def hub(cohorts, tmp_path_factory):
    made = Hub(tmp_path_factory.mktemp("hub"), cohorts, policy())
    (made.folder / "strict.toml").write_text(policy(min_cases=500))
    made.superlink()
    for name in made.names:
        made.register(name)
    yield made
    made.close()


@pytest.fixture
def federation(hub):
    """Of four nodes that answer."""
    return hub.alive(0, 1, 2, 3)


@pytest.fixture
def local(cohorts, tmp_path):
    nodes = [Node(path, Policy(**RULES), name=f"n{k}", log=tmp_path / f"{k}") for k, path in enumerate(cohorts)]
    return lambda *which: Federation.local([nodes[k] for k in which])


@contextmanager
def after_query(federation, number, act):
    """Within it, call `act` when the nodes have answered the query of this number, before they send their sums."""
    transport, before, asked = federation._transport, federation._transport.exchange, []

    def exchange(kind, *arguments):
        found = before(kind, *arguments)
        if kind == "ask":
            asked.append(kind)
            if len(asked) == number:
                act()
        return found

    transport.exchange = exchange
    try:
        yield
    finally:
        del transport.exchange
    assert len(asked) >= number, "it was not called"


def status(result):
    return [node["status"] for node in result.nodes]


def test_secure_combat_over_dicom_has_the_bits_of_one_process(federation, local):
    question = {"features": FEATURES, "batch": "kernel", "covariates": ["age_years"]}
    result = federation.run("combat", **question)
    assert status(result) == ["answered"] * 4
    assert any(text.startswith("Active model") for text in result.privacy)
    expected = local(0, 1, 2, 3).run("combat", **question)
    assert len(expected.value.statistics.subjects) >= 3
    for name in FITTED:
        np.testing.assert_array_equal(getattr(result.value.model_, name), getattr(expected.value.model_, name))


def test_quarantined_and_failed_cases_stop_nothing_and_take_no_part(federation, cohorts):
    states = [row["state"] for path in cohorts for row in fi.Cohort.open(path).index.to_pylist()]
    assert {"quarantined", "failed"} <= set(states)
    seen = federation.run("count")
    assert status(seen) == ["answered"] * 4
    assert seen.value["cases"] == sum(state in ("ok", "warned") for state in states)


def test_a_large_sum_travels_as_an_array(federation, local):
    """16,384 bins: 115 kB a node under the masks, which Flower streams in chunks."""
    question = {"bins": 16_384, "range": (-1024, 3072)}
    seen = federation.run("histogram", **question).value
    expected = local(0, 1, 2, 3).run("histogram", **question).value
    np.testing.assert_array_equal(seen["counts"], expected["counts"])
    assert seen["overflow"] == expected["overflow"] > 0


def test_a_hub_without_a_key_carries_what_was_signed_elsewhere_to_the_nodes_that_it_names(hub, federation, tmp_path):
    """The requester's process has its key, the names of three nodes, and no network; node-3 is not asked."""
    hub.requester.save(tmp_path / "me.key")
    (tmp_path / "params").write_text('{"by": ["sex"]}')
    program = [sys.executable, "-m", "fastimg", "node"]
    command = [*program, "request", "count", "--key", tmp_path / "me.key", "--out", tmp_path / "request"]
    command += ["--params", tmp_path / "params", *(part for k in range(3) for part in ("--node", f"node-{k}"))]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    command = [*program, "carry", tmp_path / "request", "--superlink", f"127.0.0.1:{hub.port}", "--out", tmp_path / "r"]
    command += ["--root-certificates", hub.ca, "--timeout", "120"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env=hub.environment)
    result = json.loads((tmp_path / "r").read_text())
    assert result["provenance"]["survivors"] == ["node-0", "node-1", "node-2"]
    assert result["provenance"]["requester"] == "statistician"
    assert sum(result["value"]["cases"]) > 0
    heard = [result["provenance"]["nonce"] in (hub.folder / f"{name}.jsonl").read_text() for name in hub.names]
    assert heard == [True, True, True, False]


def ports(pid):
    """TCP ports on which this process and its children listen."""
    tables = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    listening = {f"socket:[{row[9]}]": int(row[1].rpartition(":")[2], 16) for row in tables if row[3] == "0A"}
    held, waiting = set(), [str(pid)]
    while waiting:
        folder = Path("/proc") / waiting.pop()
        for task in (folder / "task").iterdir():
            waiting += (task / "children").read_text().split()
        for file in (folder / "fd").iterdir():
            with suppress(FileNotFoundError):
                held.add(os.readlink(file))
    return sorted(listening[name] for name in held & listening.keys())


def test_nothing_listens_at_a_node(hub, federation):
    assert hub.port in ports(hub.processes["superlink"].pid)
    for name in hub.names:
        assert ports(hub.processes[name].pid) == []


def test_nodes_are_chosen_by_name(hub, federation):
    """The fourth answers, and is not asked."""
    chosen = ["node-0", "node-1", "node-2"]
    with hub.open(nodes=[*chosen, "nobody"]) as few:
        assert few._transport.names() == chosen
        result = few.run("histogram", bins=13, range=(-1024, 1024))
    assert [node["name"] for node in result.nodes] == result.provenance["survivors"] == chosen
    heard = [result.provenance["nonce"] in (hub.folder / f"{name}.jsonl").read_text() for name in hub.names]
    assert heard == [True, True, True, False]


def test_a_late_node_is_lost_for_its_round_and_there_again_for_the_next(hub, federation):
    hub.send("node-3", signal.SIGSTOP)
    try:
        with patience(federation, 40.0):
            result = federation.run("moments", features=FEATURES[:2])
    finally:
        hub.send("node-3", signal.SIGCONT)
    assert status(result)[3] == "failed: FastimgError"
    assert result.provenance["survivors"] == ["node-0", "node-1", "node-2"]
    assert status(federation.run("moments", features=FEATURES[2:4])) == ["answered"] * 4


def test_killed_in_the_middle_of_a_round_it_goes_on_above_the_threshold(hub, federation, local):
    question = {"bins": 8, "range": (-1024, 1024)}
    with patience(federation, 40.0), after_query(federation, 1, lambda: hub.kill("node-3")):
        result = federation.run("histogram", **question)
        assert result.provenance["survivors"] == ["node-0", "node-1", "node-2"]
        after = federation.run("count", by=["modality"])
    expected = local(0, 1, 2).run("histogram", **question).value
    np.testing.assert_array_equal(result.value["counts"], expected["counts"])
    assert status(after)[:3] == ["answered"] * 3


def test_a_node_that_died_without_a_word_is_there_again(hub, federation):
    """The SuperLink takes it for connected, and refuses its key, until a minute has passed."""
    before = len(hub.log("node-3"))
    hub.crash("node-3")
    assert "terminated gracefully" not in hub.log("node-3")[before:]
    hub.alive(3)
    assert "it is asked again" in hub.log("node-3")[before:]
    assert status(federation.run("histogram", bins=11, range=(-1024, 1024))) == ["answered"] * 4


def test_below_its_own_minimum_a_node_refuses_and_the_others_answer(hub, federation):
    hub.alive(3, policy="strict.toml")
    result = federation.run("histogram", bins=10, range=(-1024, 1024))
    assert status(result)[3].startswith("refused: rule min_cases")
    assert status(result)[:3] == ["answered"] * 3


def test_killed_between_two_sums_the_run_is_refused_and_the_next_one_works(hub, federation):
    """A sum of four is open; one of three beside it would show the fourth's part."""
    with patience(federation, 40.0), after_query(federation, 2, lambda: hub.kill("node-3")):
        with pytest.raises(RefusedError, match=r"rule rerun|agreed on the survivors"):
            federation.run("moments", features=FEATURES[4:6])
        after = federation.run("count", by=["manufacturer"])
    assert status(after)[:3] == ["answered"] * 3


def test_after_the_hub_restarts_nodes_are_there_again(hub, federation):
    hub.kill("superlink")
    with patience(federation, 20.0), pytest.raises(FastimgError, match="relay is gone"):
        federation.run("count", by=["body_part"])
    hub.leave()
    again = hub.alive(0, 1, 2, 3)
    assert again is not federation
    assert status(again.run("count", by=["body_part"])) == ["answered"] * 4


def test_another_app_than_the_pinned_one_is_not_answered(hub, federation, monkeypatch):
    from fastimg.federated import _flower

    files = dict(_flower.app_files())
    files["fastimg_app.py"] += b"\n# anything else\n"
    monkeypatch.setattr(_flower, "app_files", lambda: files)
    before = len(hub.log("node-0"))
    with pytest.raises(FastimgError, match="fewer than 1 nodes are there"):
        hub.open(expect=1, timeout=40, wait=40)
    assert "not the one that this node pins" in hub.log("node-0")[before:]


def test_a_wrong_certificate_and_a_wrong_key_are_refused(hub, federation, tmp_path):
    stranger, _ = supernode_keys(tmp_path, "stranger")
    for wrong in ({"ca": certificates(tmp_path)[0]}, {"key": stranger}):
        hub.kill("node-3")
        before = len(hub.log("node-3"))
        hub.node(3, **wrong)
        assert hub.processes["node-3"].wait(timeout=LONG) == 2, hub.log("node-3")
        assert "refused the other's certificate or key" in hub.log("node-3")[before:]
    with pytest.raises(FastimgError, match="was not accepted"):
        hub.open(root_certificates=certificates(tmp_path)[0])


def test_a_stranger_asks_in_vain_and_the_logs_are_whole(hub, federation):
    asked = signed_request(Identity.new("statistician"), "count", hub.names)
    with hub.open(requester=None) as again, pytest.raises(RefusedError, match="rule identity"):
        again.carry(asked)
    for name in hub.names:
        lines, _ = verify_log(hub.folder / f"{name}.jsonl")
        assert lines >= 1
