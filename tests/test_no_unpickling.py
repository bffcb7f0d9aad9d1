"""Nothing is unpickled that came from elsewhere, and no text is run: read off the syntax of every module.

Two files stand apart: ALLOWED says why. What is handed to an Executor that a user brings (joblib's, dask's) is pickled by that,
between processes that the user started.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import fastimg

SOURCE = Path(fastimg.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    ("pipeline/_tasks.py", "pickle"): "packs a plan's own tasks, small, in this process's memory; they never leave it",
    (
        "_workers.py",
        "multiprocessing",
    ): "the standard library's pool: it pickles between processes that it forked itself",
    ("_workers.py", "concurrent.futures.ProcessPoolExecutor"): "the same pool",
}
MODULES = {
    *("pickle", "_pickle", "cPickle", "pickletools", "marshal", "shelve", "dbm", "dill", "cloudpickle", "jsonpickle"),
    *("joblib", "copyreg", "multiprocessing", "runpy", "code", "codeop", "yaml.unsafe_load", "numpy.lib.format"),
    *("concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process"),
}
CALLS = {"eval", "exec", "compile", "__import__"}
ENDS = {"read_pickle", "unsafe_load", "full_load"}
LOADERS = {"torch", "numpy", "np", "pandas", "pd", "joblib", "yaml"}


def findings(text):
    """What a module's text does that could run what it reads: (name, line)."""
    tree = ast.parse(text)
    alias = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                alias[name.asname or name.name.split(".")[0]] = name.name if name.asname else name.name.split(".")[0]
                yield from ((known, node.lineno) for known in MODULES if _under(name.name, known))
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                alias[name.asname or name.name] = whole
                yield from ((known, node.lineno) for known in MODULES if _under(whole, known))
        elif isinstance(node, ast.Constant) and node.value in MODULES and node.value != "code":
            yield node.value, node.lineno  # a module's name as text, for import_module
        elif isinstance(node, ast.Call):
            yield from ((name, node.lineno) for name in _called(node, alias))


def _under(name, known):
    return name == known or name.startswith(known + ".")


def _called(node, alias):
    allows = next((k.value for k in node.keywords if k.arg == "allow_pickle"), None)
    if allows is not None and not (isinstance(allows, ast.Constant) and allows.value is False):
        yield "allow_pickle"
    function = node.func
    if isinstance(function, ast.Name):
        name = alias.get(function.id, function.id)
        if name in CALLS or name.rsplit(".", 1)[-1] in ENDS or name in ("numpy.load", "torch.load", "yaml.load"):
            yield name
    elif isinstance(function, ast.Attribute):
        owner = alias.get(function.value.id, function.value.id) if isinstance(function.value, ast.Name) else ""
        if function.attr in ENDS or (function.attr == "load" and owner in LOADERS and allows is None):
            yield f"{owner}.{function.attr}"


def names_of(text):
    return {name for name, _ in findings(text)}


def test_no_module_unpickles_or_runs_text():
    found = set()
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        found |= {(name, what) for what in names_of(path.read_text())}
    assert found == ALLOWED.keys()  # no more, and no exception that is not needed any longer


def test_the_compiled_modules_do_not_either():
    for path in [*ROOT.glob("csrc/**/*.pyx"), *ROOT.glob("csrc/bind/**/*.cpp"), *ROOT.glob("csrc/bind/**/*.hpp")]:
        assert not re.search(r"pickle|marshal|PyRun_|PyEval_EvalCode", path.read_text()), path.name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("import dill as json", "dill"),
        ("def f():\n    import marshal", "marshal"),
        ("from importlib import import_module\nimport_module('shelve')", "shelve"),
        ("import numpy as np\nnp.load(path)", "numpy.load"),
        ("from numpy import load\nload(path)", "numpy.load"),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", "allow_pickle"),
        ("import numpy\nnumpy.load(path, allow_pickle=wanted)", "allow_pickle"),
        ("import torch as t\nt.load(path)", "torch.load"),
        ("pandas.read_pickle(path)", "pandas.read_pickle"),
        ("eval(text)", "eval"),
        ("exec(text)", "exec"),
        ("from multiprocessing import connection", "multiprocessing"),
        ("from concurrent.futures import ProcessPoolExecutor", "concurrent.futures.ProcessPoolExecutor"),
    ],
)
def test_the_check_finds_what_it_should(text, name):
    assert name in names_of(text)


@pytest.mark.parametrize(
    "text",
    ["import json\njson.loads(text)", "import numpy as np\nnp.load(path, allow_pickle=False)", "re.compile(pattern)"],
)
def test_the_check_passes_what_it_should(text):
    assert not names_of(text)
