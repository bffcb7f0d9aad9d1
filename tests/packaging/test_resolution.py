"""The lower bounds and extras are met by a resolver on every Python that is promised; wheels alone, nothing is built."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def requirements(extra: str, version: str) -> list[str]:
    """Those that apply on a version of Python: pip itself reads markers for the Python it runs on."""
    found = list(PROJECT["dependencies"])
    names = extra.split(",") if extra else []
    if "all" in names:
        (inner,) = PROJECT["optional-dependencies"]["all"]
        names = [*inner.split("[")[1].rstrip("]").split(","), *(name for name in names if name != "all")]
    for name in names:
        found += PROJECT["optional-dependencies"][name]
    wanted = [Requirement(text) for text in found]
    wanted = [r for r in wanted if r.name != "neuroCombat"]  # has no wheel on the index
    return [str(r).split(";")[0] for r in wanted if r.marker is None or r.marker.evaluate({"python_version": version})]


@pytest.mark.soak
@pytest.mark.parametrize("extra", ["", "cuda12", "cuda13", "all", "all,bench,cuda12,view", "all,bench,cuda13,view"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_resolver_finds_versions(version, extra, tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--dry-run",
        "--ignore-installed",
        "--target",
        str(tmp_path),
    ]
    command += ["--python-version", version, "--only-binary=:all:", *requirements(extra, version)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_extras_of_all_exist_and_leave_cuda_out():
    names = PROJECT["optional-dependencies"]["all"][0].split("[")[1].rstrip("]").split(",")
    assert set(names) <= set(PROJECT["optional-dependencies"])
    assert not any(name.startswith("cuda") for name in names)
