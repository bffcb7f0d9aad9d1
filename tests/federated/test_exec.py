"""fastimg node exec and node key: a plain command line over a read-only folder and a sandbox, rounds by files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from click.testing import CliRunner

import fastimg as fi
from fastimg.cli import main
from fastimg.errors import ArgumentError, RefusedError
from fastimg.federated import Federation, FileTransport, Identity, Roster, describe, prov

POLICY = """format = "fastimg-policy"
version = 1
min_cases = 4
requesters = ["local", "statistician"]
disclose_batches = true
"""


def call(*arguments):
    return CliRunner().invoke(main, ["node", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def place(hospitals, tmp_path):
    """(data, sandbox): a read-only copy of a cohort with a policy, and an empty sandbox."""
    data, sandbox = tmp_path / "data", tmp_path / "sandbox"
    shutil.copytree(hospitals[0][0], data)
    (data / "federation-policy.toml").write_text(POLICY)
    sandbox.mkdir()
    return data, sandbox


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_exec_writes_a_labelled_repeatable_result_and_leaves_the_data_alone(place, tmp_path, hospitals):
    data, sandbox = place
    params = tmp_path / "params.json"
    params.write_text(json.dumps({"by": ["scanner"]}))
    before = files_of(data)
    for path in sorted(data.rglob("*"), reverse=True):
        path.chmod(0o500 if path.is_dir() else 0o400)
    results = []
    for _ in range(2):
        seen = call("exec", "--data", data, "--sandbox", sandbox, "--computation", "count", "--params", params)
        assert (seen.exit_code, seen.output) == (0, "")
        results.append((sandbox / "result.json").read_bytes())
    assert results[0] == results[1]
    assert files_of(data) == before
    result = json.loads(results[0])
    assert result["label"].startswith("not securely aggregated")
    expected = np.unique(hospitals[1]["scanner"][hospitals[1]["site"] == "s0"], return_counts=True)
    assert result["value"]["levels"] == {"scanner": expected[0].tolist()}
    assert result["value"]["cases"] == expected[1].tolist()
    assert call("audit", "verify", sandbox / "federation-log.jsonl").exit_code == 0
    assert json.loads((sandbox / "provenance.json").read_text())["wasGeneratedBy"]


@pytest.mark.parametrize(
    ("computation", "params", "words"),
    [
        ("no-such", "{}", "not installed"),
        ("count", "[]", "must hold one object"),
        ("count", "{", "not a JSON file"),
        ("count", '{"secure": true}', "must hold one object"),
        ("count", '{"by": "x"}', "by: must be"),
        ("count", '{"../../x": 1}', "unknown parameter"),
        ("combat", '{"features": ["f0"], "batch": "site"}', "at least two features"),
        ("histogram", '{"range": [0, 1], "where": {"sex": "none"}}', "rule min_cases"),
    ],
)
def test_exec_refuses_before_it_writes(place, tmp_path, computation, params, words):
    data, sandbox = place
    file = tmp_path / "params.json"
    file.write_text(params)
    seen = call("exec", "--data", data, "--sandbox", sandbox, "--computation", computation, "--params", file)
    assert seen.exit_code == 2

    assert words in seen.stderr
    assert not (sandbox / "result.json").exists()


def test_without_a_policy_nothing_runs(hospitals, tmp_path):
    seen = call("exec", "--data", hospitals[0][0], "--sandbox", tmp_path, "--computation", "count")
    assert seen.exit_code == 2
    assert "policy" in seen.stderr


def test_describe_is_a_json_schema_of_every_computation():
    seen = json.loads(call("exec", "--describe").output)
    assert seen == json.loads(json.dumps(describe()))
    by_name = {c["name"]: c for c in seen["computations"]}
    assert {"count", "histogram", "moments", "combat", "cox", "tool"} <= by_name.keys()
    schema = by_name["histogram"]["parameters"]
    assert schema["required"] == ["range"]
    assert schema["additionalProperties"] is False
    assert (schema["properties"]["bins"]["minimum"], schema["properties"]["bins"]["maximum"]) == (1, 65536)
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    for computation in seen["computations"]:
        jsonschema.Draft202012Validator.check_schema(computation["parameters"])
        jsonschema.Draft202012Validator.check_schema(computation["result"])
        if "." not in computation["name"]:  # those that are shipped say what they give
            assert computation["result"]["required"], computation["name"]


ANSWERED = {
    "count": {"by": ["sex"]},
    "histogram": {"range": [-900, 900], "bins": 4},
    "moments": {"features": ["f0"]},
    "combat": {"features": ["f0", "f1"], "batch": "scanner"},
}


@pytest.mark.parametrize("computation", ANSWERED)
def test_results_have_the_described_schema(place, tmp_path, computation):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = next(c["result"] for c in describe()["computations"] if c["name"] == computation)
    (tmp_path / "params").write_text(json.dumps(ANSWERED[computation]))
    data, sandbox = place
    arguments = ("--data", data, "--sandbox", sandbox, "--computation", computation, "--params", tmp_path / "params")
    assert call("exec", *arguments).exit_code == 0
    value = json.loads((sandbox / "result.json").read_text())["value"]
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(value)
    first = schema["required"][0]
    for wrong in ({k: v for k, v in value.items() if k != first}, {**value, first: True}):
        assert not validator.is_valid(wrong)


def test_selfcheck(place, tmp_path):
    data, sandbox = place
    seen = call("exec", "--selfcheck", "--data", data, "--sandbox", sandbox)
    assert (seen.exit_code, json.loads(seen.output)["ok"]) == (0, True)
    (data / "federation-policy.toml").write_text("min_cases = 1")
    seen = call("exec", "--selfcheck", "--data", data, "--sandbox", sandbox)
    assert seen.exit_code == 1
    assert "must say format" in json.loads(seen.output)["checks"]["policy"]


def test_keys_from_the_command_line(tmp_path):
    a, n = tmp_path / "authority.key", tmp_path / "node.key"
    roster = tmp_path / "roster.json"
    authority = call("key", "new", "authority", "--out", a).output.strip()
    public = call("key", "new", "alpha", "--out", n).output.strip()
    assert call("key", "show", n).output.split() == ["alpha", public]
    assert call("key", "new", "alpha", "--out", n).exit_code == 2
    assert "1 members" in call("key", "trust", roster, "alpha", public, "--role", "node", "--authority", a).output
    assert call("key", "trust", roster, "alpha", public, "--role", "node", "--authority", a).exit_code == 2
    other = Identity.new("alpha").public
    assert "serial 2" in call("key", "rotate", roster, "alpha", other, "--role", "node", "--authority", a).output
    seen = Roster.load(roster, authority=authority)
    assert (seen.key("alpha", "node"), seen.revoked) == (other, (public,))
    assert "0 members" in call("key", "revoke", roster, "alpha", "--authority", a).output
    assert call("key", "trust", roster, "alpha", public, "--role", "node", "--authority", a).exit_code == 2
    assert call("key", "trust", roster, "b", "xyz", "--role", "node", "--authority", a).exit_code == 2
    assert call("key", "trust", roster, "b", public, "--role", "node", "--authority", n).exit_code == 2


def test_a_rewritten_log_does_not_hold_the_head_of_an_earlier_result(make):
    fed = make()
    head = fed.run("count").provenance["nodes"]["hospital-0"]["log_head"]
    path = fed._transport.nodes["hospital-0"].log.path
    assert call("audit", "verify", path, "--head", head).exit_code == 0
    path.unlink()
    fi.federated.Node(fed._transport.nodes["hospital-0"].cohort, fi.federated.Policy(), log=path).log.append(
        event="forged"
    )
    assert call("audit", "verify", path).exit_code == 0  # an unanchored chain cannot show its rewriting
    assert call("audit", "verify", path, "--head", head).exit_code == 1


def test_secure_rounds_by_files_between_processes(hospitals, tmp_path):
    """Three containers' worth of processes; ComBat has the same bits as the nodes in one process."""
    authority, requester = Identity.new("authority"), Identity.new("statistician")
    roster = Roster().trust("statistician", "requester", requester.public)
    boxes, processes = {}, []
    for k in range(3):
        identity, box = Identity.new(f"node-{k}"), tmp_path / f"box-{k}"
        box.mkdir()
        identity.save(box / "key")
        roster = roster.trust(identity.name, "node", identity.public)
        boxes[identity.name] = box
    roster = roster.signed(authority)
    (tmp_path / "roster").write_bytes(roster.to_bytes())
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    for k, box in enumerate(boxes.values()):
        command = [sys.executable, "-m", "fastimg", "node", "exec", "--rounds", "--data", str(hospitals[0][k])]
        command += ["--sandbox", str(box), "--policy", str(policy), "--key", str(box / "key"), "--timeout", "60"]
        command += ["--roster", str(tmp_path / "roster"), "--authority", authority.public]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"FASTIMG_THREADS": "1"}))
    question = {"features": [f"f{i}" for i in range(8)], "batch": "scanner", "covariates": ["age"]}
    with Federation.local(boxes, requester=requester) as federation:
        result = federation.run("combat", **question)
    for process in processes:
        assert b"messages answered" in process.communicate(timeout=60)[0]
        assert process.returncode == 0
    nodes = [
        fi.federated.Node(p, fi.federated.Policy(min_cases=4), name=f"local-{k}", log=tmp_path / f"l{k}")
        for k, p in enumerate(hospitals[0])
    ]
    local = Federation.local(nodes).run("combat", **question)
    for name in ("mean", "beta", "var", "gamma_star", "delta_star"):
        np.testing.assert_array_equal(getattr(result.value.model_, name), getattr(local.value.model_, name))
    assert any(text.startswith("Active model") for text in result.privacy)


@pytest.fixture
def enrolled(hospitals, tmp_path):
    """(statistician, [three nodes of a roster of four])."""
    authority, requester = Identity.new("authority"), Identity.new("statistician")
    identities = [Identity.new(f"n{k}") for k in range(4)]
    roster = Roster().trust("statistician", "requester", requester.public)
    for identity in identities:
        roster = roster.trust(identity.name, "node", identity.public)
    roster = roster.signed(authority)
    policy = fi.federated.Policy(min_cases=4, requesters=("statistician",))
    return requester, [
        fi.federated.Node(path, policy, identity=identity, roster=roster, log=tmp_path / f"{identity.name}.log")
        for path, identity in zip(hospitals[0], identities[:3], strict=True)
    ]


def test_files_may_leave_the_machine_so_that_plain_sums_do_not_travel_in_them(hospitals, tmp_path, enrolled):
    """Without a roster no file is answered; with one no plain sum is, though the requester signs for it."""
    alone = fi.federated.Node(hospitals[0][0], fi.federated.Policy(min_cases=4), name="n", log=tmp_path / "log")
    with pytest.raises(ArgumentError, match="needs an identity and a roster"):
        fi.federated.serve_files(alone, tmp_path / "box")
    requester, nodes = enrolled
    boxes = {node.name: tmp_path / f"box-{node.name}" for node in nodes}
    threads = [threading.Thread(target=fi.federated.serve_files, args=(node, boxes[node.name])) for node in nodes]
    for thread in threads:
        thread.start()
    with Federation(FileTransport(boxes, timeout=30), requester=requester) as federation:
        with pytest.raises(RefusedError, match="rule secure: sums beyond one machine"):
            federation.run("count", secure=False)
        result = federation.run("count")
    for thread in threads:
        thread.join()
    assert result.value["cases"] == 72
    answers = [answer for box in boxes.values() for answer in sorted((box / "outbox").glob("*.msg"))]
    assert len(answers) > 6
    assert not any(b'"words"' in answer.read_bytes() for answer in answers)  # a plain sum's field


def test_hostile_files_do_not_stop_a_node(tmp_path, enrolled):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "000001.msg").write_bytes(b"\xff" * 100)
    (tmp_path / "elsewhere").write_bytes(b"secret")
    (inbox / "000002.msg").symlink_to(tmp_path / "elsewhere")
    (inbox / "000003.msg").write_bytes(b"")
    (inbox / "stop").touch()
    assert fi.federated.serve_files(enrolled[1][0], tmp_path) == 3
    assert all(b"secret" not in p.read_bytes() for p in (tmp_path / "outbox").iterdir())


def test_a_node_that_does_not_answer_is_lost_in_time(tmp_path, enrolled):
    requester, nodes = enrolled
    boxes = {f"n{k}": tmp_path / f"n{k}" for k in range(4)}
    threads = [
        threading.Thread(target=fi.federated.serve_files, args=(node, boxes[node.name]), kwargs={"timeout": 30})
        for node in nodes
    ]
    for thread in threads:
        thread.start()
    transport = FileTransport(boxes, timeout=1.5)
    result = Federation(transport, requester=requester).run("count")
    transport.close()
    for thread in threads:
        thread.join()
    assert result.value["cases"] == 72
    assert result.nodes[3] == {"name": "n3", "status": "failed: FastimgError"}


def test_provenance_as_prov(make):
    result = make().run("count")
    document = prov(result)
    run = document["activity"]["fi:run"]
    assert (run["fi:computation"], run["fi:nonce"]) == ("count", result.provenance["nonce"])
    labels = {a.get("prov:label") for a in document["agent"].values()}
    assert {"hospital-0", "hospital-1", "hospital-2", "local"} <= labels
    ids = {*document["entity"], *document["activity"], *document["agent"]}
    for relation in ("used", "wasGeneratedBy", "wasAssociatedWith"):
        for link in document[relation].values():
            assert {v for k, v in link.items() if k != "prov:role"} <= ids


WATCHED = """
import os, sys
sandbox, found = sys.argv.pop(1), []

def watch(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__",):
        found.append(event)
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path, flags = os.path.realpath(os.fsdecode(arguments[0])), arguments[2] or 0
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not path.startswith((sandbox + os.sep, "/dev/")):
            found.append(f"{event} {path}")
    if event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "subprocess.Popen"):
        if not os.path.realpath(os.fsdecode(arguments[0])).startswith(sandbox + os.sep):
            found.append(f"{event} {arguments[0]}")

import fastimg.cli
import fastimg.federated._registry as registry
registry.registered()
sys.addaudithook(watch)
try:
    fastimg.cli.main()
finally:
    print(found)
"""


def test_exec_opens_no_socket_writes_in_the_sandbox_alone_and_repeats_itself(place, tmp_path):
    """Under an audit hook, which sees every socket and every file that Python opens; hash seeds and threads differ."""
    data, sandbox = place
    computation, params = "histogram", {"bins": 8, "range": [-900, 900]}
    file = tmp_path / "params.json"
    file.write_text(json.dumps(params))
    seen = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-B", "-c", WATCHED, str(sandbox.resolve()), "node", "exec", "--data", str(data)]
        command += ["--sandbox", str(sandbox), "--computation", computation, "--params", str(file)]
        environment = os.environ | {"PYTHONHASHSEED": seed, "FASTIMG_THREADS": seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
        seen.add((sandbox / "result.json").read_bytes())
    assert len(seen) == 1
    result = json.loads(seen.pop())
    assert (result["format"], result["version"], result["computation"]) == ("fastimg-node-result", 1, computation)
    assert result["label"].startswith("not securely aggregated: one node's own answer")


def test_the_watch_sees_what_it_should(tmp_path):
    """The hook of the test above, over a program that does what it must not."""
    bad = WATCHED.replace(
        "fastimg.cli.main()", "import socket; socket.socket().bind(('127.0.0.1', 0)); open('x', 'w').close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", bad, str(tmp_path / "sandbox")], cwd=tmp_path, capture_output=True, text=True
    )
    assert "socket.bind" in done.stdout
    assert f"open {tmp_path.resolve() / 'x'}" in done.stdout


@pytest.mark.parametrize(
    ("computation", "params"),
    [
        ("count", {"by": ["sex"]}),
        ("count", {"by": "sex"}),
        ("count", {"by": ["sex", "sex"]}),
        ("count", {"where": {"sex": ["F", "M"]}}),
        ("count", {"where": {"sex": {"$ne": 1}}}),
        ("count", {"formula": "1"}),
        ("histogram", {}),
        ("histogram", {"range": [0, 1], "bins": 0}),
        ("histogram", {"range": [0, 1], "bins": 2.5}),
        ("histogram", {"range": [-900, 900], "bins": 4}),
        ("moments", {"features": []}),
        ("moments", {"features": ["f0"]}),
        ("moments", {"features": ["x" * 200]}),
    ],
)
def test_the_described_schema_is_what_exec_takes(place, tmp_path, computation, params):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = next(c["parameters"] for c in describe()["computations"] if c["name"] == computation)
    valid = jsonschema.Draft202012Validator(schema).is_valid(params)
    file = tmp_path / "params.json"
    file.write_text(json.dumps(params))
    data, sandbox = place
    seen = call("exec", "--data", data, "--sandbox", sandbox, "--computation", computation, "--params", file)
    assert (seen.exit_code == 0) == valid, seen.output
