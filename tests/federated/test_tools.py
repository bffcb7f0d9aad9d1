"""Registered tools over nodes' cases: only aggregates return."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import ArgumentError, IntegrityError, RefusedError
from fastimg.federated import _tools, onnx_tool, registered, tool


@pytest.fixture(autouse=True)
def _own_tools(monkeypatch):
    monkeypatch.setattr(_tools, "_TOOLS", dict(_tools._TOOLS))


@pytest.fixture
def means(make, hospitals):
    """(run, pooled mean intensities of the 72 cases)."""

    @tool(name="mean-intensity", outputs={"mean": (-200, 200), "voxels": (0, 1000)}, options={"gain": 1.0})
    def mean_intensity(case, options):
        array = case.image().array
        return {"mean": float(array.mean(dtype=np.float64)) * options["gain"], "voxels": array.size}

    def run(options=None, tool_name="mean-intensity", bins=8, **rules):
        rules = {"computations": ("tool",), "tools": (tool_name,), "min_cases": 1} | rules
        return make(**rules).run("tool", tool=tool_name, bins=bins, options=options)

    return run, np.array([v.mean() for v in hospitals[1]["voxels"]])


def test_aggregates_equal_the_pooled_ones(means):
    run, expected = means
    value = run().value
    seen = value["outputs"]["mean"]
    assert (value["cases"], value["failed"], seen["n"]) == (72, 0, 72)
    assert seen["mean"] == pytest.approx(expected.mean(), abs=1e-4)  # float32 voxels at one node
    assert seen["standard_deviation"] == pytest.approx(expected.std(ddof=1), rel=1e-6)
    np.testing.assert_array_equal(seen["counts"], np.histogram(expected, 8, (-200, 200))[0])
    assert value["outputs"]["voxels"]["mean"] == pytest.approx(3 * 7 * 9, rel=1e-12)
    assert value["outputs"]["voxels"]["standard_deviation"] == pytest.approx(0, abs=1e-5)


def test_options_are_numbers_that_the_tool_declares(means):
    run, expected = means
    assert run({"gain": 2.0}).value["outputs"]["mean"]["mean"] == pytest.approx(2 * expected.mean(), abs=2e-4)
    with pytest.raises(ArgumentError, match="takes one number for each of: gain"):
        run({"path": 1.0})


def test_few_patients_share_no_bin(means):
    run, _ = means
    seen = run(bins=100, min_cases=4).value["outputs"]["mean"]
    assert ((seen["counts"] == 0) | (seen["counts"] >= 4)).all()
    assert seen["counts"].sum() + seen["overflow"] == 72


def test_a_tool_must_be_allowed_and_installed(means):
    run, _ = means
    with pytest.raises(RefusedError, match="rule tools"):
        run(tools=())
    with pytest.raises(RefusedError, match="rule tools"):
        run(tools=("mean-intensity@2",))
    with pytest.raises(RefusedError, match="rule tools"):
        run(tool_name="../../bin/sh")


def test_broken_cases_are_counted_and_stop_nothing(means):
    run, _ = means

    @tool(name="fragile", outputs={"x": (0, 1)})
    def fragile(case, options):
        number = int(case.case_id[-2:])
        if number == 3:
            raise ValueError("patient name")
        return {"x": float("nan")} if number == 4 else {"y": 0.5} if number == 5 else {"x": 0.5}

    value = run(tool_name="fragile").value
    assert (value["cases"], value["failed"], value["outputs"]["x"]["n"]) == (72, 9, 63)


GUIDE = Path(__file__).parents[2] / "docs/guides/register-a-tool.md"
FIFTY = """

def _register(k):
    @fi.federated.tool(name=f"tool-{k:02}", version=k + 1, outputs={"x": (0, 100)}, options={"add": 0.0})
    def one(case, options):
        return {"x": k + options["add"]}


for _k in range(50):
    _register(_k)


@fi.federated.computation(name="our-hospital.patients")
def patients(rows, parameters, shared):
    return {"patients": np.array([rows.n_patients])}
"""
ASKS = """
import json, sys
import fastimg as fi
from fastimg.federated import Federation, Node, Policy

names = [f"tool-{k:02}" for k in range(50)]
policy = Policy(min_cases=4, computations=("tool", "our-hospital.patients"), tools=(*names[:-1], "tool-49@50", "lesion-volume"))
node = Node(sys.argv[1], policy, log=sys.argv[2])
fed = Federation.local([node])
ask = lambda name, version, **more: fed.run("tool", secure=False, tool=name, tool_version=version, **more).value["outputs"]
means = [ask(name, k + 1)["x"]["mean"] for k, name in enumerate(names)]
added = ask("tool-07", 8, options={"add": 3.0})["x"]["mean"]
volume = ask("lesion-volume", 1)["ml"]
patients = fed.run("our-hospital.patients", secure=False).value["patients"].tolist()
print(json.dumps({"means": means, "added": added, "volume": [volume["n"], volume["mean"]], "patients": patients}))
"""


def installed(folder, module, entry_points):
    """`our-hospital` 1.0 as pip installs it from a wheel, into a folder of its own."""
    info = "our_hospital-1.0.dist-info"
    files = {
        "our_hospital/__init__.py": "",
        "our_hospital/tools.py": module,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: our-hospital\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": entry_points,
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    wheel = folder / "our_hospital-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*command, "--target", str(folder / "site"), str(wheel)], check=True, capture_output=True)
    return folder / "site"


def test_a_site_installs_a_package_that_registers_fifty_tools(tmp_path):
    """The guide's module and entry point, and fifty tools and a computation more, through an installed distribution."""
    blocks = re.findall(r"```(python|toml)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    module = textwrap.dedent(next(text for kind, text in blocks if kind == "python"))
    entry = tomllib.loads(textwrap.dedent(next(text for kind, text in blocks if kind == "toml")))
    ((group, points),) = entry["project"]["entry-points"].items()
    assert group == "fastimg.computations"
    text = f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
    site = installed(tmp_path, module + FIFTY, text)

    cohort = fi.Cohort.create(tmp_path / "cohort")
    for i in range(8):
        image = fi.Image(np.zeros((4, 8, 8), np.int16), spacing=(5, 2, 2))
        mask = np.zeros((4, 8, 8), np.uint8)
        mask[:2, :5, :5] = 1  # 50 voxels of 20 mm3
        cohort.add(f"c{i}", image, {"lesion": mask}, {"subject": f"p{i}"})
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-c", ASKS, str(cohort.path), str(tmp_path / "log")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["means"] == pytest.approx(list(range(50)), abs=1e-9)
    assert seen["added"] == pytest.approx(10, abs=1e-9)
    assert seen["volume"] == [8, pytest.approx(1.0, rel=1e-9)]
    assert seen["patients"] == [8]
    described = subprocess.run(
        [sys.executable, "-m", "fastimg", "node", "exec", "--describe"], env=environment, capture_output=True, text=True
    )
    assert "our-hospital.patients" in {c["name"] for c in json.loads(described.stdout)["computations"]}
    assert "our-hospital.patients" not in registered()  # here it is not installed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "Bad Name", "outputs": {"x": (0, 1)}}, "name must match"),
        ({"name": "a", "outputs": {}}, "at least one output"),
        ({"name": "a", "outputs": {"x": (1, 1)}}, "rising"),
        ({"name": "a", "outputs": {"x": (0, float("inf"))}}, "rising"),
    ],
)
def test_bad_registrations(options, words):
    with pytest.raises(ArgumentError, match=words):
        tool(**options)


def test_an_onnx_model_runs_over_the_cases(make, hospitals, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: no model can be made")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx)")
    helper, proto = onnx.helper, onnx.TensorProto
    node = helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0)
    graph = helper.make_graph(
        [node],
        "mean",
        [helper.make_tensor_value_info("image", proto.FLOAT, [1, 1, 3, 7, 9])],
        [helper.make_tensor_value_info("mean", proto.FLOAT, [])],
    )
    file = tmp_path / "mean.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    file.write_bytes(model.SerializeToString())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(IntegrityError, match="not the file"):
        onnx_tool(file, name="onnx-mean", sha256="0" * 64, outputs={"mean": (0, 1)}, size=(3, 7, 9), window=(-900, 900))
    onnx_tool(file, name="onnx-mean", sha256=digest, outputs={"mean": (0, 1)}, size=(3, 7, 9), window=(-900, 900))
    fed = make(min_cases=1, computations=("tool",), tools=("onnx-mean",))
    expected = np.mean([(np.clip(v, -900, 900) + 900).mean() / 1800 for v in hospitals[1]["voxels"]])
    assert fed.run("tool", tool="onnx-mean").value["outputs"]["mean"]["mean"] == pytest.approx(expected, abs=1e-6)
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises((IntegrityError, RefusedError)):
        fed.run("tool", tool="onnx-mean", bins=7)


def test_an_unreadable_model_is_an_error(tmp_path):
    with pytest.raises(ArgumentError, match="cannot be read"):
        onnx_tool(tmp_path / "no.onnx", name="n", sha256="0" * 64, outputs={"x": (0, 1)}, size=(1, 1, 1), window=(0, 1))
    with pytest.raises(ArgumentError, match="window"):
        onnx_tool(tmp_path / "no.onnx", name="n", sha256="0" * 64, outputs={"x": (0, 1)}, size=(1, 1, 1), window=(1, 0))


def test_images_are_cropped_and_padded_about_their_middle():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    seen = _tools._fitted(array, (4, 3, 2))
    assert seen.shape == (4, 3, 2)
    np.testing.assert_array_equal(seen[1:3], array[:, :, 1:3])
    assert (seen[[0, 3]] == 0).all()
