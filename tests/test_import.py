"""`import fastimg` is light, and every public name is what it says."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import fastimg as fi

HEAVY = ("cupy", "numba", "zarr", "pyarrow", "scipy", "sklearn", "pydicom", "imagecodecs", "pandas", "click", "rich")


def test_import_loads_nothing_heavy():
    code = f"import sys, fastimg; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def modules():
    skip = ("fastimg._kernels", "fastimg.__main__", "fastimg._voxelwise_cuda")
    for found in pkgutil.walk_packages(fi.__path__, "fastimg."):
        if not found.name.startswith(skip):
            yield found.name


OPTIONAL = (
    "cupy",
    "SimpleITK",
    "nibabel",
    "torch",
    "monai",
    "xarray",
    "distributed",
    "flwr",
    "highdicom",
    "matplotlib",
)


@pytest.mark.parametrize("name", sorted(modules()))
def test_every_module_imports(name):
    try:
        importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").split(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"optional package {error.name} is not installed")


@pytest.mark.parametrize("name", fi._NAMES)
def test_public_names_are_what_they_say(name):
    for module in modules():  # a submodule that bears a public function's name would replace it when imported
        if not module.endswith("_cuda"):
            try:
                importlib.import_module(module)
            except ImportError as error:
                assert (error.name or "").split(".")[0] in OPTIONAL
    assert not isinstance(getattr(fi, name), ModuleType)
    assert not isinstance(getattr(importlib.import_module(f"fastimg.{fi._NAMES[name]}"), name), ModuleType)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'resmaple'"):
        fi.resmaple  # noqa: B018
