"""What `import fastimg` costs, as a whole process, beside the import of NumPy and of peers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

GROUP = "import, whole process"


def _import(name):
    return lambda: subprocess.run([sys.executable, "-c", f"import {name}"], check=True)


@pytest.mark.benchmark(group=GROUP)
def bench_import_fastimg(case):
    case(_import("fastimg"))


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("name", ["pydicom", "SimpleITK", "zarr", "sklearn"])
def bench_import_peer(case, name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"peer {name} is not installed")
    case(_import(name), tool=name)
