"""The forms of atoms that only a GPU takes give what the others give; the played device takes the others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from fastimg import _gpu


def test_what_only_a_gpu_computes_is_right_for_every_value(tmp_path):
    program, source = tmp_path / "atoms", Path(__file__).with_name("device_atoms.cpp")
    compiler = os.environ.get("CXX", "").split() or ["g++"]
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-I", _gpu.include_path(), str(source), "-o", str(program)]
    subprocess.run([*compiler, *flags], check=True)
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout.split() == ["0"] * 5
