"""Devices: mixing is refused; CuPy without a device, without a wheel, and doubled is told with its mend."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import fastimg as fi
from fastimg import _dispatch, _gpu
from fastimg.errors import ArgumentError, DeviceError, MissingError


def test_mixed_devices_are_refused(_host_device):
    out = np.empty(5, np.float32)
    with pytest.raises(DeviceError, match="device"):
        fi.harmonize.window(_host_device(np.zeros(5, np.int16)), out=out)
    with pytest.raises(DeviceError, match=r"Image\.to_device"):
        _dispatch.pick(np.zeros(1), _host_device(np.zeros(1)), leaf="harmonize")


def test_output_lives_where_input_lives(_host_device):
    seen = fi.harmonize.window(_host_device(np.zeros(5, np.int16)))
    assert _dispatch.device(seen) == "cuda"


def test_something_that_is_no_array_is_refused():
    with pytest.raises(ArgumentError, match="expected"):
        fi.harmonize.window([1, 2, 3])


def test_cupy_without_a_device_says_so():
    pytest.importorskip("cupy", reason="CuPy is not installed")
    before = _gpu.use_backend(None)
    try:
        try:
            _gpu.backend()
        except DeviceError as error:
            assert "no CUDA device" in str(error)
        else:
            pytest.skip("this machine has a GPU")
    finally:
        _gpu.use_backend(before)


def test_missing_cupy_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(_gpu, "conflicting_cupy", lambda: None)
    before = _gpu.use_backend(None)
    try:
        with pytest.raises(MissingError, match=r"pip install 'fastimg\[cuda13\]'"):
            _gpu.backend()
    finally:
        _gpu.use_backend(before)


def test_two_cupy_builds_are_named_with_the_mend(monkeypatch):
    class Wheel:
        def __init__(self, name):
            self.metadata = {"Name": name}

    monkeypatch.setattr("importlib.metadata.distributions", lambda: [Wheel("cupy-cuda12x"), Wheel("cupy-cuda13x")])
    before = _gpu.use_backend(None)
    try:
        with pytest.raises(DeviceError, match="pip uninstall -y cupy-cuda12x cupy-cuda13x"):
            _gpu.backend()
    finally:
        _gpu.use_backend(before)


def test_raw_module_is_built_with_the_digest_of_the_atoms():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    module = cupy.RawModule(code=_gpu.source("window"), options=_gpu.options())  # lazy: compiles at first use
    assert f"-DFASTIMG_KERNELS={_gpu.digest()}" in module.options
    assert len(_gpu.digest()) == 16
