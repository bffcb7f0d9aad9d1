"""A CUDA device played by the CPU: the unmodified kernels/*.cu behind the library's own `_cuda` modules.

Each file is compiled once with the C++ compiler and host_cuda.hpp; `sanitize` is for the tests of the ladder's rung 4,
which run such a build in a process of its own. Slow, exact, and enough to test every launch and every index.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import _dispatch, _gpu

__all__ = ["HostArray", "build", "host_device", "kernel_signatures"]


class HostArray(np.ndarray[Any, Any]):
    """An array that lives on the played device: dispatch sends it to the `_cuda` modules.

    Parameters are those of `numpy.ndarray`; make one with `array.view(HostArray)`.
    """


class _HostModule:
    """numpy, but new arrays are HostArrays."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(np, name)
        if isinstance(value, type) or not callable(value):
            return value

        def on_device(*arguments: Any, **options: Any) -> Any:
            result = value(*arguments, **options)
            return result.view(HostArray) if type(result) is np.ndarray else result

        return on_device


_ENTRY = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)')
_FLAGS = ("-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared", "-pthread", "-w")


def kernel_signatures(text: str) -> list[tuple[str, str]]:
    """(name, parameters) of each `extern "C" __global__` entry of preprocessed CUDA source."""
    return [(name, " ".join(parameters.split())) for name, parameters in _ENTRY.findall(text)]


def preprocess(text: str) -> str:
    """CUDA source with its macros expanded and its atoms included."""
    command = [*_compiler(), "-I", _gpu.include_path(), "-D__CUDACC__", "-DFASTIMG_ALL", "-x", "c++", "-E", "-P", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def _compiler() -> list[str]:
    compiler = os.environ.get("CXX", "").split() or ["g++"]
    if shutil.which(compiler[0]) is None:
        raise RuntimeError(f"the host device needs a C++ compiler; {compiler[0]} was not found")
    return compiler


def build(file: str, folder: Path, *flags: str, threads: bool | None = None) -> Path:
    """Compile kernels/`file`.cu into a shared library whose `run_<entry>` functions take (grid, block, shared, ...)."""
    text = _gpu.source(file)
    plain = preprocess(text)
    if threads is None:
        threads = "__syncthreads" in plain
    lines = ['#include "host_cuda.hpp"', text]
    for name, parameters in kernel_signatures(plain):
        names = ", ".join(parameter.split()[-1].lstrip("*") for parameter in parameters.split(",") if parameter.strip())
        comma = ", " if parameters else ""
        lines.append(
            f'extern "C" void run_{name}(const unsigned* g, const unsigned* b, unsigned s{comma}{parameters}) '
            f"{{ host_cuda::run({{g[0], g[1], g[2]}}, {{b[0], b[1], b[2]}}, s, [&] {{ {name}({names}); }}); }}"
        )
    library = folder / f"{file}.so"
    include = ["-I", _gpu.include_path(), "-I", str(Path(__file__).parent)]
    command = [
        *_compiler(),
        *_FLAGS,
        "-DFASTIMG_ALL",
        *(["-DHOST_CUDA_THREADS"] if threads else []),
        *(flags or ("-O0",)),  # building takes longer than running
        *include,
    ]
    subprocess.run(
        [*command, "-x", "c++", "-", "-o", str(library)],
        input="\n".join(lines),
        text=True,
        check=True,
        capture_output=True,
    )
    return library


def built(file: str, folder: Path) -> Path:
    """The library of a state of kernels/`file`.cu in a folder that processes share: the first that needs it builds it."""
    library = folder / f"{file}-{hashlib.sha256(_gpu.source(file).encode()).hexdigest()[:12]}.so"
    with open(folder / f"{file}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=folder) as made:
                build(file, Path(made)).rename(library)
    return library


class _HostBackend:
    def __init__(self, folder: Path) -> None:
        self.xp = _HostModule()
        self.shared_limit = 1 << 20
        self._folder = folder
        self._libraries: dict[str, ctypes.CDLL] = {}

    def launch(
        self,
        file: str,
        entry: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: tuple[Any, ...],
        shared: int,
    ) -> None:
        library = self._libraries.get(file)
        if library is None:
            library = self._libraries[file] = ctypes.CDLL(str(built(file, self._folder)))
        triple = ctypes.c_uint * 3
        grid3, block3 = (triple(*(*shape, 1, 1)[:3]) for shape in (grid, block))
        getattr(library, f"run_{entry}")(grid3, block3, ctypes.c_uint(shared), *map(_as_ctypes, arguments))

    def to_host(self, array: Any) -> Any:
        return np.array(array, subok=False)

    def to_device(self, array: Any) -> Any:
        return np.array(array).view(HostArray)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.empty(shape, dtype)

    def upload(self, host: Any, target: Any) -> Any:
        np.copyto(target, host)
        return lambda: None


def _as_ctypes(argument: Any) -> Any:
    if argument is None:
        return ctypes.c_void_p()
    if isinstance(argument, np.ndarray):
        if not isinstance(argument, HostArray):
            raise TypeError("a kernel was given an array that is not on the device")
        if not argument.flags.c_contiguous:
            raise TypeError("a kernel was given an array that is not contiguous")
        return ctypes.c_void_p(argument.ctypes.data)
    if isinstance(argument, np.generic):
        kind: Any = np.ctypeslib.as_ctypes_type(argument.dtype)  # type: ignore[arg-type]
        return kind(argument.item())
    raise TypeError(f"a kernel's scalars are NumPy scalars of the exact type, not {type(argument).__name__}")


@contextmanager
def host_device() -> Iterator[Any]:
    """For the block, "cuda" is the played device; yields a function that puts an array on it.

    >>> import numpy as np, fastimg as fi
    >>> with fi.testing.host_device() as put:
    ...     seen = fi.harmonize.window(put(np.array([-160, 240], np.int16)))
    >>> type(seen).__name__, seen.tolist()
    ('HostArray', [0.0, 1.0])
    """
    with tempfile.TemporaryDirectory(prefix="fastimg-host-device-") as folder:
        backend = _HostBackend(Path(os.environ.get("FASTIMG_HOST_DEVICE_CACHE", folder)) / _key())
        backend._folder.mkdir(parents=True, exist_ok=True)
        before = _gpu.use_backend(backend)
        _dispatch._DEVICES[HostArray] = "cuda"
        try:
            yield backend.to_device
        finally:
            _gpu.use_backend(before)


def _key() -> str:
    return hashlib.sha256(_gpu.digest().encode() + Path(__file__).read_bytes()).hexdigest()[:12]
