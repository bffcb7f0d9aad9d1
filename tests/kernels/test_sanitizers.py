"""Rung 4: the unmodified .cu files on the CPU, under AddressSanitizer, UBSan and ThreadSanitizer.

The launches are those of public calls (cases.py). That the rung can fail is shown by kernels with a planted fault.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastimg import _gpu, testing

from . import cases, replay

FILES = sorted(cases.CASES)
# These take up to half a minute under a sanitizer: in soak, whose short form runs with every change too.
LONG = ("clahe", "cubic", "histogram", "linear", "map", "n4", "oblique", "resample", "spline", "texture")
LADDER = [pytest.param(file, marks=pytest.mark.soak) if file in LONG else file for file in FILES]


@pytest.fixture(scope="module")
def put(_host_device):
    return _host_device


@pytest.fixture(scope="module")
def thread_sanitizer(tmp_path_factory):
    """Whether ThreadSanitizer runs here: some kernels' address layout refuses it."""
    program = replay.build("", [], tmp_path_factory.mktemp("probe"), "-fsanitize=thread", threads=True)
    if replay.run(program).returncode != 0:
        pytest.skip("ThreadSanitizer does not start on this kernel's address layout")


def preprocessed(file: str) -> str:
    return testing._host_device.preprocess(_gpu.source(file))


def has_barrier(file: str) -> bool:
    return "__syncthreads" in preprocessed(file)


def template_of(entry: str) -> str:
    """The name without its types: oblique_3_int16_int16_float32_truncate -> oblique_3."""
    return re.sub(r"(_(u?int|float)\d+)+(_truncate)?$", "", entry)


def test_every_kernel_file_has_a_case():
    folder = testing._host_device.Path(_gpu.include_path())
    assert sorted(path.stem for path in folder.glob("*.cu")) == FILES


@pytest.mark.parametrize("file", LADDER)
def test_no_byte_outside_and_no_undefined_step(file, put, tmp_path):
    launches = replay.record(cases.CASES[file], put)
    launches = [launch for launch in launches if launch[0] == file]
    entries = {name for name, _ in testing._host_device.kernel_signatures(preprocessed(file))}
    seen = {launch[1] for launch in launches}
    if "FASTIMG_WANTED" in _gpu.source(file):  # one template for many types: a case for each template
        entries, seen = {template_of(name) for name in entries}, {template_of(name) for name in seen}
    assert seen == entries, "a case for every entry"
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = replay.build(_gpu.source(file), launches, tmp_path, *flags, threads=has_barrier(file))
    done = replay.run(program)
    assert done.returncode == 0, done.stderr[:4000]


@pytest.mark.parametrize("file", LADDER)
def test_no_race(file, put, tmp_path, thread_sanitizer):
    launches = [launch for launch in replay.record(cases.CASES[file], put, most=1) if launch[0] == file]
    launches = [(f, e, tuple(min(g, 3) for g in grid), b, a, s) for f, e, grid, b, a, s in launches]
    program = replay.build(_gpu.source(file), launches, tmp_path, "-fsanitize=thread", threads=True)
    done = replay.run(program)
    assert done.returncode == 0, done.stderr[:4000]


REVERSE = """
extern "C" __global__ void reverse(const int* in, int* out) {
  __shared__ int tile[64];
  tile[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = tile[63 - threadIdx.x];
}
"""
LAUNCH = [("", "reverse", (1,), (64,), (np.arange(64, dtype=np.int32), np.zeros(64, np.int32)), 0)]


def test_a_deleted_barrier_is_found(tmp_path, thread_sanitizer):
    flags = ("-fsanitize=thread",)
    whole = replay.run(replay.build(REVERSE, LAUNCH, tmp_path, *flags, threads=True))
    assert whole.returncode == 0, whole.stderr[:2000]
    faulty = replay.run(replay.build(REVERSE.replace("__syncthreads();", ""), LAUNCH, tmp_path, *flags, threads=True))
    assert faulty.returncode == 66
    assert "data race" in faulty.stderr


def test_a_byte_outside_is_found(tmp_path):
    faulty = REVERSE.replace("in[threadIdx.x]", "in[threadIdx.x + 1]")
    done = replay.run(replay.build(faulty, LAUNCH, tmp_path, "-fsanitize=address", threads=True))
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
