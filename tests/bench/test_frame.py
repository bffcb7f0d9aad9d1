"""bench/conftest.py: peak memory is what was held, also where malloc keeps what it got back."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from ..conftest import ROOT


@pytest.fixture(scope="module")
def frame():
    spec = importlib.util.spec_from_file_location("bench_frame", ROOT / "bench" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [1 << 20, 4 << 20, 200 << 20])
def test_peak_memory(frame, size):
    np.ones(size, np.uint8)
    with frame.peak_memory() as peak:
        np.ones(size, np.uint8)
    if peak.bytes is None:
        pytest.skip("this kernel does not let a process reset its peak")
    assert 0.9 * size <= peak.bytes <= 1.1 * size + (4 << 20)
    with frame.peak_memory() as peak:
        pass
    assert peak.bytes <= 1 << 20


def test_a_peak_that_ended_before_does_not_count(frame):
    np.ones(100 << 20, np.uint8)
    with frame.peak_memory() as peak:
        np.ones(10 << 20, np.uint8)
    assert peak.bytes is None or peak.bytes < 20 << 20
