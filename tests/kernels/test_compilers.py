"""Rungs 2 and 3: every .cu by nvcc for three generations of GPUs, and by NVRTC with the flags that CuPy is given.

One generation in `make test`, the others in soak, whose short form runs with every change too.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fastimg import _gpu
from fastimg.testing import _host_device

from .test_sanitizers import template_of

FILES = sorted(path.stem for path in Path(_gpu.include_path()).glob("*.cu"))
NVCC = shutil.which("nvcc")

# (file, entry) -> bytes of spill that are accepted, with the reason
SPILLS: dict[tuple[str, str], tuple[int, str]] = {}


def test_there_are_kernels():
    assert FILES


def some_entries(file: str) -> tuple[str, ...]:
    """() for a file that is compiled whole; else of each template the first and the last entry, the others in soak."""
    text = _gpu.source(file)
    if "FASTIMG_WANTED" not in text:
        return ()
    found: dict[str, list[str]] = {}
    for name, _ in _host_device.kernel_signatures(_host_device.preprocess(text)):
        found.setdefault(template_of(name), []).append(name)
    return tuple(sorted({name for names in found.values() for name in (names[0], names[-1])}))


ALL_OR_SOME = [pytest.param(False, id="some"), pytest.param(True, id="all", marks=pytest.mark.soak)]


@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed (CUDA toolkit)")
@pytest.mark.parametrize("whole", ALL_OR_SOME)
@pytest.mark.parametrize(
    "architecture",
    ["sm_90", pytest.param("sm_80", marks=pytest.mark.soak), pytest.param("sm_100", marks=pytest.mark.soak)],
)
@pytest.mark.parametrize("file", FILES)
def test_nvcc_has_no_warning_and_nothing_spills(file, architecture, whole, tmp_path):
    if whole and not some_entries(file):
        pytest.skip("compiled whole in the short form")
    if whole and architecture != "sm_90":
        pytest.skip("every entry for one generation; the others are compiled in part")
    source = Path(_gpu.include_path()) / f"{file}.cu"
    flags = ["-std=c++17", "--fmad=false", "-Werror", "all-warnings", f"-arch={architecture}", "-Xptxas", "-v"]
    flags += [
        option for option in _gpu.options(*(() if whole else some_entries(file))) if option.startswith("-DFASTIMG")
    ]
    command = [NVCC, *flags, "-I", _gpu.include_path(), "-cubin", "-o", str(tmp_path / "out.cubin"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2400, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    spilled = spills(done.stderr)
    assert spilled, "ptxas must report every entry"
    for entry, size in spilled.items():
        assert size <= SPILLS.get((file, entry), (0, ""))[0], f"{entry} spills {size} bytes on {architecture}"


def spills(report: str) -> dict[str, int]:
    """Bytes of spill stores for each entry in ptxas' report."""
    found = {}
    for entry, size in re.findall(r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores", report, re.S):
        found[entry] = int(size)
    return found


@pytest.fixture(scope="module")
def nvrtc():
    """NVRTC from its wheel: compiles without a driver."""
    pytest.importorskip("nvidia.cuda_nvrtc", reason="the wheel nvidia-cuda-nvrtc-cu12 is not installed")
    import nvidia.cuda_nvrtc

    (library,) = (Path(nvidia.cuda_nvrtc.__path__[0]) / "lib").glob("libnvrtc.so.*")
    return ctypes.CDLL(str(library))


def compile_with(nvrtc, text: str, options: tuple[str, ...]) -> tuple[int, str]:
    """(status, log) of one compilation; status 0 is success."""
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = nvrtc.nvrtcCompileProgram(program, len(options), array)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return status, log.value.decode(errors="replace")


# What CuPy adds to a RawModule's own options (cupy/cuda/compiler.py).
CUPY_ADDS = ("-ftz=true", "--device-as-default-execution-space")


# compute_90: as far as PTX, whose machine code nvcc's tests make too.
@pytest.mark.parametrize(
    "architecture",
    ["compute_90", pytest.param("sm_90", marks=pytest.mark.soak), pytest.param("sm_80", marks=pytest.mark.soak)],
)
@pytest.mark.parametrize("file", FILES)
def test_nvrtc_with_cupys_flags(file, architecture, nvrtc):
    options = (*_gpu.options(*some_entries(file)), *CUPY_ADDS, f"--gpu-architecture={architecture}")
    status, log = compile_with(nvrtc, _gpu.source(file), options)
    assert status == 0, log[:4000]


def test_nvrtc_rung_can_fail(nvrtc):
    status, log = compile_with(nvrtc, "__global__ void broken() { undeclared(); }", _gpu.options())
    assert status != 0
    assert "undeclared" in log
