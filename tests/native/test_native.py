"""The C++ tests: here under sanitizers, and for aarch64 under qemu-user, so that the baseline is portable in fact."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POOL = [*ROOT.glob("csrc/cpu/*.cpp")]
SOURCES = [ROOT / "tests/native/native_test.cpp", *POOL, *ROOT.glob("csrc/harmonize/window*.cpp")]
TURNED = [ROOT / "tests/native/resampling_test.cpp", *POOL]
TURNED += [source for name in ("oblique", "separable", "label") for source in ROOT.glob(f"csrc/resampling/{name}*.cpp")]
N4 = [ROOT / "tests/native/n4_test.cpp", *POOL, *ROOT.glob("csrc/harmonize/n4*.cpp")]
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


def build(compiler: str, folder: Path, *flags: str, sources: list[Path] = SOURCES) -> Path:
    program = folder / "native_test"
    subprocess.run([compiler, *FLAGS, *flags, *INCLUDE, *map(str, sources), "-o", str(program)], check=True)
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


@pytest.mark.soak  # half a minute and a minute to build
@pytest.mark.parametrize("sources", [N4, TURNED], ids=["N4", "turned grids"])
def test_loops_touch_nothing_outside_and_have_the_same_bits_at_every_level(sources, tmp_path):
    program = build("g++", tmp_path, "-O1", "-g", "-fsanitize=address,undefined", sources=sources)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    assert done.stderr == ""  # UBSan goes on after a finding
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
