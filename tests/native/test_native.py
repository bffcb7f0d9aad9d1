"""The C++ tests: here under sanitizers, and for aarch64 under qemu-user, so that the baseline is portable in fact."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    ROOT / "tests/native/native_test.cpp",
    *ROOT.glob("csrc/cpu/*.cpp"),
    *ROOT.glob("csrc/harmonize/window*.cpp"),
]
FLAGS = [
    "-std=c++17",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-pthread",
]
INCLUDE = ["-I", str(ROOT / "csrc"), "-I", str(ROOT / "kernels")]

AARCH64, QEMU = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")


def build(compiler: str, folder: Path, *flags: str) -> Path:
    program = folder / "native_test"
    subprocess.run([compiler, *FLAGS, *flags, *INCLUDE, *map(str, SOURCES), "-o", str(program)], check=True)
    return program


@pytest.mark.parametrize("flags", [("-O1", "-g", "-fsanitize=address,undefined"), ("-O1", "-g", "-fsanitize=thread")])
def test_on_this_machine(flags, tmp_path):
    program = build("g++", tmp_path, *flags)
    runner = ["setarch", "-R"] if shutil.which("setarch") else []
    done = subprocess.run([*runner, str(program)], capture_output=True, text=True, timeout=120, check=False)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not start on this kernel's address layout")
    assert done.returncode == 0, done.stderr[:4000]
    assert done.stdout.strip() == "native tests passed"


@pytest.mark.skipif(AARCH64 is None, reason="g++-aarch64-linux-gnu is not installed")
@pytest.mark.skipif(QEMU is None, reason="qemu-user is not installed")
def test_on_aarch64(tmp_path):
    program = build(AARCH64, tmp_path, "-O2", "-static")
    done = subprocess.run([QEMU, str(program)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    assert done.stdout.strip() == "native tests passed"


@pytest.mark.soak
@pytest.mark.skipif(AARCH64 is None, reason="g++-aarch64-linux-gnu is not installed")
def test_all_of_csrc_compiles_for_aarch64(tmp_path):
    for source in sorted(ROOT.glob("csrc/*/*.cpp")):
        if source.parent.name != "bind":
            target = ["-c", str(source), "-o", str(tmp_path / "object.o")]
            subprocess.run([AARCH64, *FLAGS, "-O2", *INCLUDE, *target], check=True)
