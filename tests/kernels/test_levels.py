"""The stubs of an ISA level keep their code to themselves.

An inline function compiled at two levels is one weak symbol, and the linker may keep the AVX-512 one for all: a baseline
machine would die of an illegal instruction. So a level's object file may define no weak function at all. The objects are
those that the build left (setup.py), or are made anew where a source has changed since.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUBS = sorted(ROOT.glob("csrc/*/*_avx2.cpp")) + sorted(ROOT.glob("csrc/*/*_avx512.cpp"))
FLAGS = ["-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]

pytestmark = pytest.mark.skipif(
    not STUBS or shutil.which("g++") is None or shutil.which("nm") is None,
    reason="needs the source tree, g++ and nm",
)


def compiled(source: str, folder: Path) -> Path:
    """The object file of `source`, as the compiler of this machine makes it."""
    target = folder / "stub.o"
    include = ["-I", str(ROOT / "csrc"), "-I", str(ROOT / "kernels")]
    command = ["g++", *FLAGS, *include, "-x", "c++", "-", "-c", "-o", str(target)]
    subprocess.run(command, input=source, text=True, check=True, capture_output=True)
    return target


def built(stub: Path) -> Path | None:
    """The object file of the extension that is installed in place, where no source is newer."""
    folder = ROOT / "build" / f"objects-{sys.implementation.cache_tag}-{platform.machine()}"
    made = folder / stub.relative_to(ROOT).with_suffix(".o")
    sources = [stub, ROOT / "setup.py", *ROOT.glob("csrc/*/*.hpp"), *ROOT.glob("kernels/fastimg/*.cuh")]
    return made if made.exists() and made.stat().st_mtime > max(path.stat().st_mtime for path in sources) else None


def weak_functions(target: Path) -> list[str]:
    listing = subprocess.run(["nm", "-C", "--defined-only", str(target)], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    assert rows, "an object file has symbols"
    return [row[2] for row in rows if len(row) == 3 and row[1] == "W"]


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.stem)
def test_no_weak_function(stub, tmp_path):
    assert weak_functions(built(stub) or compiled(stub.read_text(), tmp_path)) == []


def test_a_weak_function_is_seen(tmp_path):
    source = '#include "cpu/isa.hpp"\n#include "cpu/begin_avx2.hpp"\ninline __attribute__((noinline)) int f(int x) { return x; }\nint g(int x) { return f(x); }\n'
    assert weak_functions(compiled(source, tmp_path)) == ["f(int)"]


def test_every_stub_has_its_three_levels():
    for stub in STUBS:
        base = stub.stem.rsplit("_", 1)[0]
        for level in ("baseline", "avx2", "avx512"):
            assert (stub.parent / f"{base}_{level}.cpp").is_file(), f"{base} lacks {level}"
