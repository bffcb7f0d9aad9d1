"""The native readers under AddressSanitizer and UBSan: real files and their mutants through the fuzz target's driver."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pydicom
import pytest

ROOT = Path(__file__).resolve().parents[2]
READERS = ("walk", "source", "part10", "inflate", "fragments", "rle", "groups", "values", "columns", "scan")
TARGETS = {  # fuzz target -> the sources that it runs
    "target": READERS,
    "rewrite": ("rewrite", "rewrite_parse"),
}
FLAGS = ["-std=c++17", "-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


@pytest.fixture(scope="module", params=TARGETS)
def driver(request):
    """Built once for each state of the sources, kept in the same cache as the played device."""
    compiler = os.environ.get("CXX", "g++").split()
    if shutil.which(compiler[-1]) is None:
        pytest.skip("no C++ compiler for the sanitized build")
    names = (*TARGETS[request.param], f"fuzz/{request.param}", "fuzz/driver")
    sources = [ROOT / "csrc" / "dicom" / f"{name}.cpp" for name in names]
    headers = sorted((ROOT / "csrc" / "dicom").glob("*.hpp"))
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in [*sources, *headers])).hexdigest()[:16]
    cache = Path(os.environ.get("FASTIMG_HOST_DEVICE_CACHE", Path(tempfile.gettempdir()) / f"fastimg-{os.getuid()}"))
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    binary = cache / f"dicom-replay-{digest}"
    if not binary.exists():
        with tempfile.TemporaryDirectory() as folder:
            objects = [Path(folder) / f"{number}.o" for number in range(len(sources))]
            jobs = [
                subprocess.Popen(
                    [*compiler, *FLAGS, "-I", "csrc", "-I", "kernels", "-c", source, "-o", target], cwd=ROOT
                )
                for source, target in zip(sources, objects, strict=True)
            ]
            codes = [job.wait() for job in jobs]
            if any(codes):
                pytest.fail("the sanitized build failed")
            made = binary.with_suffix(f".{os.getpid()}")
            subprocess.run([*compiler, *FLAGS, *objects, "-o", made], check=True)
            made.replace(binary)
    return binary


def replay(driver, files, mutants):
    done = subprocess.run([driver, *files, "--mutants", str(mutants)], capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) == len(files) * (1 + mutants)


def corpus(*roots):
    found = [p for root in roots for p in Path(root).rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    return sorted(p for p in found if p.stat().st_size < 200_000)


def test_real_files_and_a_few_mutants(driver):
    replay(driver, corpus(Path(pydicom.__file__).parent / "data"), 10)


@pytest.mark.soak
def test_many_mutants(driver, data, reference, soak_minutes):
    files = corpus(Path(pydicom.__file__).parent / "data", data / "dicom", reference / "ibsi1")
    replay(driver, files, max(10, int(200 * soak_minutes)))
