"""The native readers under AddressSanitizer and UBSan: real files and their mutants through the fuzz targets' driver."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fuzz_corpus import SHIPPED, TARGETS, seeds

ROOT = Path(__file__).resolve().parents[2]
WHOLE = 1 << 30  # files of any size
FLAGS = ["-std=c++17", "-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize=shift-base"]
FLAGS += ["-fno-sanitize-recover=undefined"]  # shift-base: a left shift of negative numbers, defined since C++20


@pytest.fixture(scope="module")
def drivers():
    """All targets, built once for each state of the sources, kept in the same cache as the played device."""
    compiler = os.environ.get("CXX", "g++").split()
    if shutil.which(compiler[-1]) is None:
        pytest.skip("no C++ compiler for the sanitized build")
    names = sorted({*sum(TARGETS.values(), ()), "fuzz/driver", *(f"fuzz/{target}" for target in TARGETS)})
    sources = [ROOT / "csrc" / "dicom" / f"{name}.cpp" for name in names]
    headers = sorted([*(ROOT / "csrc" / "dicom").rglob("*.hpp"), *(ROOT / "csrc" / "cpu").glob("*.hpp")])
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in [*sources, *headers])).hexdigest()[:16]
    cache = Path(os.environ.get("FASTIMG_HOST_DEVICE_CACHE", Path(tempfile.gettempdir()) / f"fastimg-{os.getuid()}"))
    folder = cache / f"dicom-replay-{digest}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=cache) as room:
            build = Path(room)
            objects = {name: build / f"{name.replace('/', '-')}.o" for name in names}

            def compile_one(number):
                command = [*compiler, *FLAGS, "-I", "csrc", "-I", "kernels", "-c", sources[number]]
                return subprocess.run([*command, "-o", objects[names[number]]], cwd=ROOT).returncode

            with ThreadPoolExecutor(2) as pool:
                if any(pool.map(compile_one, range(len(names)))):
                    pytest.fail("the sanitized build failed")
            made = build / "made"
            made.mkdir()
            for target, parts in TARGETS.items():
                linked = [objects[name] for name in (*parts, f"fuzz/{target}", "fuzz/driver")]
                subprocess.run([*compiler, *FLAGS, *linked, "-o", made / target], check=True)
            try:
                made.replace(folder)
            except OSError:  # another process was faster
                if not folder.exists():
                    raise
    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder of seeds for each target."""
    folder = tmp_path_factory.mktemp("seeds")
    for target, found in seeds(SHIPPED, largest=WHOLE).items():
        (folder / target).mkdir()
        for number, data in enumerate(found):
            (folder / target / str(number)).write_bytes(data)
    return folder


def replay(driver, files, mutants):
    done = subprocess.run([driver, *files, "--mutants", str(mutants)], capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) == len(files) * (1 + mutants)


@pytest.mark.soak  # the build takes 40 s of two cores
@pytest.mark.parametrize("target", TARGETS)
def test_real_files_and_a_few_mutants(drivers, inputs, target):
    files = sorted((inputs / target).iterdir())
    assert len(files) >= 3
    replay(drivers / target, files, 10 if target in ("walk", "rewrite", "series") else 60)


@pytest.fixture(scope="module")
def scanned(data, reference):
    """Inputs of each target from real scanners' files, all of them."""
    return seeds(data / "dicom", reference / "ibsi1" / "ct_phantom", largest=WHOLE)


@pytest.mark.soak  # the build takes 40 s of two cores
@pytest.mark.parametrize("target", TARGETS)
def test_files_of_real_scanners(drivers, scanned, target, tmp_path):
    for number, content in enumerate(scanned[target]):
        (tmp_path / str(number)).write_bytes(content)
    files = sorted(tmp_path.iterdir())
    assert len(files) > (250 if target in ("walk", "rewrite") else 0)
    replay(drivers / target, files, 0)


@pytest.mark.soak
@pytest.mark.parametrize("target", TARGETS)
def test_many_mutants(drivers, data, reference, target, tmp_path, soak_minutes):
    found = seeds(SHIPPED, data / "dicom", reference / "ibsi1")[target]
    for number, content in enumerate(found):
        (tmp_path / str(number)).write_bytes(content)
    replay(drivers / target, sorted(tmp_path.iterdir()), max(10, int(50 * soak_minutes)))
