"""sdist and wheel hold what they must; an install from the sdist, in an empty environment, works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tracked(*folders: str) -> set[str]:
    done = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout:
        pytest.skip("not a git checkout")
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """(sdist, wheel): the wheel is built from the sdist, as pip does."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "-o", str(folder), str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.mark.soak
def test_sdist_holds_all_sources(distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    missing = {path for path in tracked("csrc", "kernels", "src", "tests") if path not in names}
    assert not missing


@pytest.mark.soak
def test_wheel_holds_modules_kernels_and_types(distributions):
    with zipfile.ZipFile(distributions[1]) as archive:
        names = set(archive.namelist())
    for path in tracked("kernels"):
        assert path.replace("kernels/", "fastimg/_kernels/", 1) in names
    for path in tracked("src"):
        assert path.removeprefix("src/") in names
    assert "fastimg/py.typed" in names
    assert any(name.startswith("fastimg/_core.") and name.endswith(".so") for name in names)
    assert not [name for name in names if name.endswith((".cpp", ".pyx"))]


@pytest.mark.soak
def test_an_install_from_the_sdist_works(distributions, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(distributions[0])],
        check=True,
        env=environment,
    )
    code = (
        "import numpy as np, fastimg as fi\n"
        "from fastimg import _gpu\n"
        "assert fi.harmonize.window(np.array([240], np.int16)).tolist() == [1.0]\n"
        "assert '__global__' in _gpu.source('window')\n"
        "print(fi.__version__, fi.__file__)"
    )
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout


def test_kernels_are_where_the_loader_looks():
    from fastimg import _gpu

    assert (Path(_gpu.include_path()) / "fastimg" / "atom.cuh").is_file()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_wheels_are_configured_for_every_promised_interpreter(machine):
    """As cibuildwheel itself reads the configuration."""
    pytest.importorskip("cibuildwheel", reason="cibuildwheel is not installed (make peers)")
    promised = ("cp311", "cp312", "cp313", "cp314")
    command = [
        sys.executable,
        "-m",
        "cibuildwheel",
        "--print-build-identifiers",
        "--platform",
        "linux",
        "--archs",
        machine,
    ]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(done.stdout.split()) == {f"{name}-manylinux_{machine}" for name in promised}


def interpreters() -> list[Path]:
    """Other CPythons of this machine that are promised: on the path, or pyenv's."""
    found = []
    for n in (12, 13, 14):
        places = [*(Path.home() / ".pyenv/versions").glob(f"3.{n}.*/bin/python3"), shutil.which(f"python3.{n}")]
        found += [Path(place) for place in places if place][:1]
    return found


@pytest.mark.soak
@pytest.mark.parametrize("python", interpreters() or [None], ids=str)
def test_a_wheel_of_another_interpreter_works(python, tmp_path, soak_minutes):
    if python is None:
        pytest.skip("no other CPython from 3.12 on is on this machine")
    if soak_minutes < 10:
        pytest.skip("a build of minutes each; from SOAK_MINUTES=10 on")
    pip = ["-m", "pip", "--disable-pip-version-check"]
    subprocess.run([python, *pip, "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    own = tmp_path / "venv/bin/python"
    subprocess.run([own, *pip, "install", "-q", wheel], check=True)
    for command in (["doctor"], ["bench", "--size", "32", "--case", "window"]):  # cibuildwheel's own test command
        subprocess.run([own, "-m", "fastimg", *command], check=True, cwd=tmp_path)
