"""The steps of examples/node/Containerfile, run as it says them but for the container: wheel, install, user, entrypoint."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "examples/node/Containerfile"


def instructions():
    lines = [line for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    return {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines}


def test_what_the_file_says_stands_in_the_repository():
    steps = instructions()
    assert list(steps) == ["ARG", "FROM", "COPY", "RUN", "USER", "ENV", "ENTRYPOINT", "CMD"]
    text = FILE.read_text()
    assert "make wheel" in text
    makefile = (ROOT / "Makefile").read_text()
    assert "\nwheel:" in makefile
    assert "-w dist" in makefile
    least = (ROOT / "pyproject.toml").read_text().split('requires-python = ">=')[1].split('"')[0]
    assert steps["ARG"] == f"PYTHON={least}"
    assert f"--build-arg PYTHON={least}" in text


def _runs(command, user):
    try:
        return subprocess.run(command, capture_output=True, cwd="/", **user).returncode == 0
    except OSError:
        return False


@pytest.mark.soak
def test_its_steps(tmp_path):
    """`make wheel` (in a copy, so that nothing is left in the checkout), COPY, RUN, USER, ENV, ENTRYPOINT, CMD."""
    steps = instructions()
    source = tmp_path / "source"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    if not any(listed):
        pytest.skip("not a git checkout")
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "bench/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    (source / ".venv").mkdir()
    (source / ".venv/python").touch()  # make's mark of an environment: this one
    (source / ".venv/bin").symlink_to(Path(sys.executable).parent)
    subprocess.run(["make", "wheel"], cwd=source, check=True, capture_output=True)
    wheels = list(source.glob(steps["COPY"].split()[0]))
    assert len(wheels) == 1
    assert f"-cp{sys.version_info[0]}{sys.version_info[1]}-" in wheels[0].name

    image = tmp_path / "image"  # a root of its own
    subprocess.run([sys.executable, "-m", "venv", image], check=True)
    shutil.copy2(wheels[0], image)
    commands = steps["RUN"].split(" && ")
    assert commands[0] == "pip install --no-cache-dir /tmp/fastimg-*.whl"
    # the dependencies are those of this environment; that the wheel names them is test_distributions'
    (image / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/needs.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n"
    )
    environment = {"PATH": f"{image}/bin:{os.environ['PATH']}", "HOME": str(image)}
    pip = [
        image / "bin/python",
        "-m",
        "pip",
        "install",
        "-q",
        "--no-cache-dir",
        "--no-deps",
        "--no-index",
        image / wheels[0].name,
    ]
    subprocess.run(pip, check=True, env=environment, cwd=image)
    assert commands[1:] == ["rm /tmp/fastimg-*.whl", f"useradd --uid {steps['USER']} node"]

    data, sandbox = tmp_path / "data", tmp_path / "sandbox"
    cohort = fi.Cohort.create(data)
    for i in range(12):
        cohort.add(f"c{i}", fi.Image(np.zeros((1, 2, 2), np.int16)), metadata={"subject": f"p{i}", "sex": "FM"[i % 2]})
    (data / "federation-policy.toml").write_text('format = "fastimg-policy"\nversion = 1\nmin_cases = 4\n')
    sandbox.mkdir()
    (sandbox / "params.json").write_text('{"by": ["sex"]}')
    sandbox.chmod(0o777)
    environment |= dict(pair.split("=", 1) for pair in shlex.split(steps["ENV"]))
    places = {"/data": str(data), "/sandbox": str(sandbox)}
    entry = [places.get(word, word) for word in json.loads(steps["ENTRYPOINT"])]
    user = {}
    for folder in (tmp_path, *tmp_path.parents[:-1]):  # pytest's folders are its own; the user goes through them
        if folder.stat().st_uid == os.getuid() and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o001)
    other = {"user": int(steps["USER"]), "group": int(steps["USER"])}
    if os.getuid() == 0 and _runs([image / "bin/python", "-c", ""], other):  # else an interpreter that is root's alone
        user = other

    def run(*arguments):
        return subprocess.run([*entry, *arguments], env=environment, cwd=image, capture_output=True, text=True, **user)

    seen = run(*json.loads(steps["CMD"]))
    assert seen.returncode == 0, seen.stderr
    assert json.loads(seen.stdout)["ok"] is True
    seen = run("--computation", "count", "--params", str(sandbox / "params.json"))
    assert (seen.returncode, seen.stderr) == (0, "")
    result = json.loads((sandbox / "result.json").read_text())
    assert result["value"]["cases"] == [6, 6]
    assert result["label"].startswith("not securely aggregated")
    where = subprocess.run(
        [image / "bin/python", "-c", "import fastimg; print(fastimg.__file__)"],
        env=environment,
        cwd=image,
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(image))
    assert sysconfig.get_paths()["purelib"] not in where.stdout
