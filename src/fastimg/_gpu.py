"""Compiles and launches kernels/*.cu; the only importer of cupy.

`_cuda` modules use `launch(file, entry, grid, block, *arguments)` and `backend().xp`. The backend is CuPy's; the tests
put another one in its place that runs the same .cu files on the CPU (fastimg.testing.host_device).
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from .errors import DeviceError, MissingError

__all__ = ["FLAGS", "Backend", "backend", "digest", "include_path", "launch", "source", "use_backend"]

# --fmad=false: a fused multiply-add stands only where an atom writes one, so that GPU and CPU give the same bits.
FLAGS = ("-std=c++17", "--fmad=false")


class Backend(Protocol):
    """What `_cuda` modules need of a device."""

    xp: Any
    shared_limit: int  # bytes of shared memory that a block may ask for

    def launch(
        self,
        file: str,
        entry: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: tuple[Any, ...],
        shared: int,
    ) -> None:
        """Run `entry` of kernels/`file`.cu."""

    def to_host(self, array: Any) -> Any:
        """A NumPy copy."""

    def to_device(self, array: Any) -> Any:
        """A copy on the device."""

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """A NumPy array in page-locked memory, from which copies run beside the host's own work."""

    def upload(self, host: Any, target: Any) -> Any:
        """Begin to copy a pinned array to one on the device; the returned function waits until it has been read."""


_backend: Backend | None = None


def backend() -> Backend:
    """The backend in use; CuPy's by default, made at first use."""
    global _backend
    if _backend is None:
        _backend = _CupyBackend()
    return _backend


def use_backend(other: Backend | None) -> Backend | None:
    """Put another backend in place (None: CuPy's again) and return the one before."""
    global _backend
    before, _backend = _backend, other
    return before


def launch(
    file: str, entry: str, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any, shared: int = 0
) -> None:
    """Run the `extern "C"` kernel `entry` of kernels/`file`.cu; scalars must be NumPy scalars of the exact type."""
    backend().launch(file, entry, grid, block, arguments, shared)


def include_path() -> str:
    """The folder of kernels/ as installed."""
    return str(files("fastimg._kernels"))


@cache
def source(file: str) -> str:
    """The text of kernels/`file`.cu."""
    return files("fastimg._kernels").joinpath(f"{file}.cu").read_text()


@cache
def digest() -> str:
    """Of all atoms. CuPy's disk cache does not see included headers, so they are part of every kernel's options."""
    folder = files("fastimg._kernels").joinpath("fastimg")
    parts = sorted((entry.name, entry.read_bytes()) for entry in folder.iterdir() if entry.name.endswith(".cuh"))
    return hashlib.sha256(b"".join(name.encode() + b"\0" + text + b"\0" for name, text in parts)).hexdigest()[:16]


def options(*entries: str) -> tuple[str, ...]:
    """The compiler's options for a kernel file, of whose many entries only these are wanted (fastimg/entries.cuh)."""
    wanted = tuple(f"-DFASTIMG_WANT_{entry}=1" for entry in entries) or ("-DFASTIMG_ALL",)
    return (*FLAGS, f"-I{include_path()}", f"-DFASTIMG_KERNELS={digest()}", *wanted)


def _import_cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise MissingError(
            "a GPU array needs CuPy: pip install 'fastimg[cuda13]' (driver 580 or newer) or 'fastimg[cuda12]'"
        ) from error
    return cupy


class _CupyBackend:
    def __init__(self) -> None:
        clash = conflicting_cupy()
        if clash:
            raise DeviceError(f"{clash[0]} and {clash[1]} are installed together: {clash[2]}")
        self.xp = _import_cupy()
        try:
            self.xp.cuda.runtime.getDeviceCount()
        except self.xp.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"no CUDA device can be used: {error}") from error
        self.shared_limit: int = self.xp.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
        self._modules: dict[tuple[str, str], Any] = {}
        self._entries: dict[tuple[str, str], Any] = {}
        self._shared: dict[tuple[str, str], int] = {}

    def launch(
        self,
        file: str,
        entry: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: tuple[Any, ...],
        shared: int,
    ) -> None:
        kernel = self._entries.get((file, entry)) or self._compiled(file, entry)
        if shared > self._shared.get((file, entry), 48 << 10):  # every device gives so much unasked
            kernel.max_dynamic_shared_size_bytes = self._shared[file, entry] = shared
            kernel.preferred_shared_memory_carveout = 100  # percent
        kernel(grid, block, arguments, shared_mem=shared)

    def _compiled(self, file: str, entry: str) -> Any:
        key = (file, entry if "FASTIMG_WANTED" in source(file) else "")
        module = self._modules.get(key)
        if module is None:
            module = self._modules[key] = self.xp.RawModule(code=source(file), options=options(entry))
        kernel = self._entries[file, entry] = module.get_function(entry)
        return kernel

    def to_host(self, array: Any) -> Any:
        return self.xp.asnumpy(array)

    def to_device(self, array: Any) -> Any:
        return self.xp.asarray(array)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        import cupyx

        return cupyx.empty_pinned(shape, dtype)

    def upload(self, host: Any, target: Any) -> Any:
        target.set(host, stream=self.xp.cuda.get_current_stream())
        event = self.xp.cuda.Event()
        event.record()
        return event.synchronize


def conflicting_cupy() -> tuple[str, str, str] | None:
    """Two CuPy builds that overwrite each other, with the command that mends it; None if there are not two."""
    from importlib.metadata import distributions

    found = sorted(
        {name for d in distributions() if (name := str(d.metadata["Name"] or "").lower()).startswith("cupy-cuda")}
    )
    if len(found) < 2:
        return None
    return found[0], found[1], f"pip uninstall -y {' '.join(found)}, then pip install one of them again"
