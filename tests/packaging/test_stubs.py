"""The type stubs of the compiled modules say what the modules hold: each public name, each parameter.

`make lint` runs mypy's stubtest as well, which does not see the parameters of pybind11's functions.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import WrapperDescriptorType

import pytest

import fastimg

PACKAGE = Path(fastimg.__file__).parent
MODULES = sorted({path for suffix in EXTENSION_SUFFIXES for path in PACKAGE.rglob(f"*{suffix}")})


def stub_of(module: Path) -> Path:
    return module.with_name(module.name.split(".")[0] + ".pyi")


def declared(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            found[node.target.id] = node
    return found


def parameters(function) -> list[str] | None:
    """Names of a compiled function's parameters without self; pybind11 writes them in the docstring. None: untold, as by the
    slots of a Cython class (its constructor)."""
    if isinstance(function, WrapperDescriptorType):
        return None
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        line = (function.__doc__ or "").split("\n", 1)[0]
        told = re.fullmatch(r"\w+\((.*)\) -> .*", line)
        if not told:
            return None
        flat, deeper = told[1], None
        while flat != deeper:
            flat, deeper = re.sub(r"\[[^][]*\]", "", flat), flat
        names = [part.split(":")[0].strip() for part in flat.split(",") if part.strip(" *")]
    return [name.lstrip("*") for name in names if name != "self"]


def differences(stub: str, module) -> list[str]:
    """What the stub and the module do not have in common, in words."""
    found = []

    def compare(where: str, names: dict[str, ast.stmt], holder, public: set[str]) -> None:
        found.extend(f"{where}{name}: not in the stub" for name in sorted(public - set(names)))
        for name, node in names.items():
            if not hasattr(holder, name):
                found.append(f"{where}{name}: only in the stub")
            elif isinstance(node, ast.FunctionDef):
                if any(isinstance(word, ast.Name) and word.id == "property" for word in node.decorator_list):
                    continue
                arguments = node.args
                own = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
                own += [a.arg for a in (arguments.vararg, arguments.kwarg) if a]
                own = [a for a in own if a != "self"]
                real = parameters(getattr(holder, name))
                # pybind11 names parameters arg0, arg1 ... where its binding does not
                if real is not None and not arguments.vararg and not arguments.kwarg:
                    named = [r if not re.fullmatch(r"arg\d+", r) else o for r, o in zip(real, own, strict=False)]
                    if len(real) != len(own) or named != own:
                        found.append(f"{where}{name}: stub {own}, module {real}")

    top = declared(ast.parse(stub).body)
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value) and getattr(value, "__module__", "") != "typing"
    }
    compare("", top, module, public)
    for name, node in top.items():
        if isinstance(node, ast.ClassDef) and hasattr(module, name):
            held = getattr(module, name)
            shown = {word for word in vars(held) if not word.startswith("_")}
            inherited = {w for base in node.bases for w in declared(top[base.id].body)}
            compare(f"{name}.", declared(node.body), held, shown - inherited)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}.{path.name.split('.')[0]}")
def test_the_stub_says_what_the_module_holds(path):
    name = ".".join((*path.relative_to(PACKAGE.parent).parts[:-1], path.name.split(".")[0]))
    module = importlib.import_module(name)
    assert differences(stub_of(path).read_text(), module) == []


def test_every_compiled_module_was_found():
    assert len(MODULES) == len(list(PACKAGE.rglob("*.pyi"))) > 5


@pytest.mark.parametrize(
    "old, new, told",
    [
        ("def threads() -> int: ...\n", "", "threads: not in the stub"),
        ("def threads()", "def thread()", "thread: only in the stub"),
        ("grain: int, ", "", "run_tiles: stub"),
    ],
)
def test_a_false_stub_is_seen(old, new, told):
    core = importlib.import_module("fastimg._core")
    text = (PACKAGE / "_core.pyi").read_text()
    assert any(line.startswith(told) for line in differences(text.replace(old, new), core))
