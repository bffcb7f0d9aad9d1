"""The real engine: a SuperLink and four SuperNodes as processes on loopback, TLS and keys, over cohorts read from DICOM.

One federation for the whole file, in the order of the file (soak: processes start, nodes are killed and wait for).
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import FastimgError, RefusedError
from fastimg.federated import Federation, Identity, Node, Policy, signed_request, verify_log

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
    from .flower_hub import Hub

    made = Hub(tmp_path_factory.mktemp("hub"), cohorts, policy())
    (made.folder / "strict.toml").write_text(policy(min_cases=500))
    made.superlink()
    for name in made.names:
        made.register(name)
    for k in range(len(cohorts)):
        made.node(k)
    yield made
    made.close()


@pytest.fixture(scope="module")
def federation(hub):
    with open_federation(hub) as made:
        yield made


def open_federation(hub, **options):
    options = {"requester": hub.requester, "root_certificates": hub.ca, "expect": 4, "timeout": 25} | options
    return Federation.flower(f"127.0.0.1:{hub.port}", **options)


@pytest.fixture
def local(cohorts, tmp_path):
    nodes = [Node(path, Policy(**RULES), name=f"n{k}", log=tmp_path / f"{k}") for k, path in enumerate(cohorts)]
    return lambda *which: Federation.local([nodes[k] for k in which])


def at(federation, number, act):
    """Call `act` when the exchange of this number is over."""
    transport, seen = federation._transport, []
    before = transport.exchange

    def exchange(*arguments):
        found = before(*arguments)
        seen.append(arguments[0])
        if len(seen) == number:
            transport.exchange = before
            act()
        return found

    transport.exchange = exchange


def status(result):
    return [node["status"] for node in result.nodes]


def fourth_says(federation, word, bins):
    """The answer to the first question, of so many bins or more, for which node-3 is there again and says so."""
    for more in range(20):
        result = federation.run("histogram", bins=bins + more, range=(-1024, 1024))
        said = {node["name"]: node["status"] for node in result.nodes}.get("node-3", "")
        if said.startswith(word):
            return result
        time.sleep(1)
    raise AssertionError(f"node-3 says {said!r}")


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


def test_a_hub_without_a_key_carries_what_was_signed_elsewhere_to_the_nodes_that_it_names(hub, tmp_path):
    """The requester's process has its key, the names of three nodes, and no network; node-3 is not asked."""
    hub.requester.save(tmp_path / "me.key")
    (tmp_path / "params").write_text('{"by": ["sex"]}')
    program = [sys.executable, "-m", "fastimg", "node"]
    command = [*program, "request", "count", "--key", tmp_path / "me.key", "--out", tmp_path / "request"]
    command += ["--params", tmp_path / "params", *(part for k in range(3) for part in ("--node", f"node-{k}"))]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    before = (hub.folder / "node-3.jsonl").read_bytes()
    command = [*program, "carry", tmp_path / "request", "--superlink", f"127.0.0.1:{hub.port}", "--out", tmp_path / "r"]
    command += ["--root-certificates", hub.ca, "--timeout", "60"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env=hub.environment)
    result = json.loads((tmp_path / "r").read_text())
    assert result["provenance"]["survivors"] == ["node-0", "node-1", "node-2"]
    assert result["provenance"]["requester"] == "statistician"
    assert sum(result["value"]["cases"]) > 0
    assert (hub.folder / "node-3.jsonl").read_bytes() == before


def test_a_late_node_is_lost_for_its_round_and_there_again_for_the_next(hub, federation):
    transport = federation._transport
    hub.send("node-3", signal.SIGSTOP)
    transport._timeout, before = 8.0, transport._timeout
    try:
        result = federation.run("moments", features=FEATURES[:2])
        assert status(result)[3] == "failed: FastimgError"
        assert result.provenance["survivors"] == ["node-0", "node-1", "node-2"]
    finally:
        transport._timeout = before
        hub.send("node-3", signal.SIGCONT)
    assert status(federation.run("moments", features=FEATURES[2:4])) == ["answered"] * 4


def test_killed_in_the_middle_of_a_round_it_goes_on_above_the_threshold(hub, federation, local):
    at(federation, 1, lambda: hub.kill("node-3"))  # its query is answered, its masked sum never comes
    result = federation.run("histogram", bins=8, range=(-1024, 1024))
    assert result.provenance["survivors"] == ["node-0", "node-1", "node-2"]
    expected = local(0, 1, 2).run("histogram", bins=8, range=(-1024, 1024)).value
    np.testing.assert_array_equal(result.value["counts"], expected["counts"])
    assert status(federation.run("count", by=["modality"]))[:3] == ["answered"] * 3


def test_below_its_own_minimum_a_node_refuses_and_the_others_answer(hub, federation):
    if "node-3" in hub.processes:
        hub.kill("node-3")
    hub.node(3, policy="strict.toml")
    result = fourth_says(federation, "refused", bins=10)
    assert status(result)[3].startswith("refused: rule min_cases")
    assert status(result)[:3] == ["answered"] * 3


def test_killed_between_two_sums_the_run_is_refused_and_the_next_one_works(hub, federation):
    hub.kill("node-3", signal.SIGTERM)
    hub.node(3)
    fourth_says(federation, "answered", bins=50)
    at(federation, 6, lambda: hub.kill("node-3"))  # a sum of four is open; one of three would show the fourth's part
    with pytest.raises(RefusedError, match=r"rule rerun|agreed on the survivors"):
        federation.run("moments", features=FEATURES[4:6])
    assert status(federation.run("count", by=["manufacturer"]))[:3] == ["answered"] * 3


def test_after_the_hub_restarts_nodes_are_there_again(hub, federation):
    hub.kill("superlink")
    with pytest.raises(FastimgError, match="relay is gone"):
        for _ in range(100):  # until the relay has seen that its SuperLink is gone
            federation.run("count")
    hub.superlink()
    with open_federation(hub, expect=3) as again:
        assert again.run("count", by=["body_part"]).provenance["survivors"] == ["node-0", "node-1", "node-2"]


def test_another_app_than_the_pinned_one_is_not_answered(hub, monkeypatch):
    from fastimg.federated import _flower

    files = dict(_flower.app_files())
    files["fastimg_app.py"] += b"\n# anything else\n"
    monkeypatch.setattr(_flower, "app_files", lambda: files)
    with pytest.raises(FastimgError, match="fewer than 1 nodes are there"):
        open_federation(hub, expect=1, timeout=10, wait=12)
    assert "not the one that this node pins" in hub.log("node-0")


def test_a_wrong_certificate_and_a_wrong_key_are_refused(hub, tmp_path):
    from .flower_hub import certificates, supernode_keys

    if "node-3" in hub.processes:
        hub.kill("node-3")
    stranger, _ = supernode_keys(tmp_path, "stranger")
    for wrong in ({"ca": certificates(tmp_path)[0]}, {"key": stranger}):
        (hub.folder / "node-3.log").unlink()
        hub.node(3, **wrong)
        assert hub.processes.pop("node-3").wait(timeout=90) == 2, hub.log("node-3")
        assert "refused the other's certificate or key" in hub.log("node-3")
    with pytest.raises(FastimgError, match="was not accepted"):
        open_federation(hub, root_certificates=certificates(tmp_path)[0])


def test_a_stranger_asks_in_vain_and_the_logs_are_whole(hub, federation):
    with open_federation(hub, requester=None, expect=3) as again:
        names = [f"node-{k}" for k in range(3)]
        with pytest.raises(RefusedError, match="rule identity"):
            again.carry(signed_request(Identity.new("statistician"), "count", names))
    for k in range(4):
        lines, _ = verify_log(hub.folder / f"node-{k}.jsonl")
        assert lines >= 1
