"""Records the launches of a public call and replays them in a C++ program of their own, built with a sanitizer.

Arrays are given to the kernel in blocks of exactly their size, so that AddressSanitizer sees the first byte outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

from fastimg import _gpu
from fastimg.testing import _host_device


class Recorder:
    """A backend that runs each launch and keeps what it was given."""

    def __init__(self, backend):
        self._backend = backend
        self.xp = backend.xp
        self.shared_limit = backend.shared_limit
        self.launches = []

    def launch(self, file, entry, grid, block, arguments, shared):
        kept = tuple(np.array(a, subok=False) if isinstance(a, np.ndarray) else a for a in arguments)
        self.launches.append((file, entry, grid, block, kept, shared))
        self._backend.launch(file, entry, grid, block, arguments, shared)

    def to_host(self, array):
        return self._backend.to_host(array)

    def to_device(self, array):
        return self._backend.to_device(array)


def record(calls, put, most=6):
    """The launches of calls(put): for each entry, at most `most`, of the smaller ones first."""
    recorder = Recorder(_gpu.backend())
    before = _gpu.use_backend(recorder)
    try:
        calls(put)
    finally:
        _gpu.use_backend(before)
    by_entry = {}
    for launch in recorder.launches:
        by_entry.setdefault((launch[0], launch[1]), []).append(launch)
    return [launch for found in by_entry.values() for launch in sorted(found, key=_size)[:most]]


def _size(launch):
    return sum(a.nbytes for a in launch[4] if isinstance(a, np.ndarray))


def build(text, launches, folder: Path, *flags, threads) -> Path:
    """A program that replays `launches` of the kernels in `text`."""
    signatures = dict(_host_device.kernel_signatures(_host_device.preprocess(text)))
    lines = ["#include <cstdio>", "#include <cstdlib>", '#include "host_cuda.hpp"', text, LOAD, "int main() {"]
    for number, (_, entry, grid, block, arguments, shared) in enumerate(launches):
        types = [" ".join(p.split()[:-1]) + "*" * p.split()[-1].count("*") for p in signatures[entry].split(",")]
        lines.append("  {")
        passed = []
        for position, (kind, argument) in enumerate(zip(types, arguments, strict=True)):
            if isinstance(argument, np.ndarray):
                name = f"launch{number}_{position}.bin"
                (folder / name).write_bytes(np.ascontiguousarray(argument).tobytes())
                lines.append(f'    void* a{position} = load("{folder / name}", {argument.nbytes});')
                passed.append(f"({kind})a{position}")
            elif argument is None:
                passed.append("nullptr")
            else:
                value = float(argument).hex() if argument.dtype.kind == "f" else str(int(argument))
                passed.append(f"({kind})({value})")
        grid3, block3 = (", ".join(map(str, (*shape, 1, 1)[:3])) for shape in (grid, block))
        lines.append(
            f"    host_cuda::run({{{grid3}}}, {{{block3}}}, {shared}, [&] {{ {entry}({', '.join(passed)}); }});"
        )
        lines += [f"    std::free(a{p});" for p, a in enumerate(arguments) if isinstance(a, np.ndarray)]
        lines.append("  }")
    lines.append("}")
    program = folder / "replay"
    defines = ["-DHOST_CUDA_THREADS"] if threads else []
    include = ["-I", _gpu.include_path(), "-I", str(Path(_host_device.__file__).parent)]
    wanted = [f"-DFASTIMG_WANT_{entry}=1" for entry in {launch[1] for launch in launches}]
    command = [
        "g++",
        "-std=c++17",
        "-g",
        "-O0",  # building takes longer than running
        "-ffp-contract=off",
        "-w",
        "-pthread",
        *defines,
        *wanted,
        *flags,
        *include,
    ]
    subprocess.run([*command, "-x", "c++", "-", "-o", str(program)], input="\n".join(lines), text=True, check=True)
    return program


LOAD = """
static void* load(const char* path, std::size_t size) {
  unsigned char* block = (unsigned char*)std::malloc(size ? size : 1);
  std::FILE* file = std::fopen(path, "rb");
  if (!file || std::fread(block, 1, size, file) != size) std::abort();
  std::fclose(file);
  return block;
}
"""


def run(program: Path) -> subprocess.CompletedProcess:
    """Run it; address-space randomisation is off where `setarch` is, as ThreadSanitizer needs on some kernels."""
    environment = {**os.environ, "TSAN_OPTIONS": "exitcode=66", "ASAN_OPTIONS": "detect_leaks=0"}
    plain = ["setarch", "-R"] if shutil.which("setarch") else []
    return subprocess.run(
        [*plain, str(program)], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
