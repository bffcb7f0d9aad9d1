"""What the core install weighs, as README says: fastimg and everything that it requires without extras, installed."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import fastimg

from ..conftest import ROOT


def closure(name: str) -> set[str]:
    """Distributions that an install of `name` brings, itself included, by the requirements that apply here."""
    found, wanted = set(), [(name, frozenset())]
    while wanted:
        name, extras = wanted.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        found.add(key)
        for text in metadata.requires(name) or ():
            need = Requirement(text)
            applies = any(not need.marker or need.marker.evaluate({"extra": extra}) for extra in extras or {""})
            if applies and re.sub(r"[-_.]+", "-", need.name).lower() not in found:
                wanted.append((need.name, frozenset(need.extras)))
    return found


def megabytes(name: str) -> float:
    """Of a distribution's installed files, byte code aside."""
    if name == "fastimg":  # an editable install's own files lie in src and kernels
        folder = Path(fastimg.__file__).parent
        files = [f for f in folder.rglob("*") if f.is_file() and f.suffix not in (".pyc", ".cpp")]
        return sum(f.stat().st_size for f in files) / 1e6
    files = (metadata.distribution(name).locate_file(f) for f in metadata.files(name) or () if f.suffix != ".pyc")
    return sum(Path(f).stat().st_size for f in files if Path(f).is_file()) / 1e6


def test_readme_says_what_the_core_install_weighs():
    text = (ROOT / "README.md").read_text()
    told = re.search(r"core install is (\d+) packages, (\d+) MB", text)
    names = closure("fastimg")
    assert {"numpy", "pyarrow", "numba", "llvmlite", "fastimg"} <= names
    assert not {"flwr", "matplotlib", "simpleitk", "torch"} & names
    weight = sum(map(megabytes, names))
    assert weight > 300  # pyarrow, SciPy and LLVM alone
    assert abs(len(names) - int(told[1])) <= 3
    assert abs(weight - float(told[2])) <= 0.1 * weight
    assert megabytes("fastimg") < 30
