"""Fixtures: `xp` puts arrays on each device at hand; `isa` runs a test at each instruction-set level."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import fastimg as fi
from fastimg import testing

from .accuracy import Plugin

# No clock in tests: a busy machine is no failure.
settings.register_profile("fastimg", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fastimg")

ROOT = Path(__file__).resolve().parents[1]


def folder_of(variable: str, name: str) -> Path | None:
    """The folder named by an environment variable, or ../shared/NAME beside the project, if it is there."""
    path = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    return path if path.is_dir() else None


def pytest_addoption(parser):
    parser.addoption("--accuracy", metavar="FILE", help="write what the agreement tests measure, as JSON")


def pytest_configure(config):
    config.pluginmanager.register(Plugin(), "accuracy")


def pytest_collection_modifyitems(config, items):
    gpu = _has_gpu() if any("gpu" in item.keywords for item in items) else False
    wanted = config.getoption("markexpr", "")
    for item in items:
        if "gpu" in item.keywords and not gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))
        if "soak" in item.keywords and "soak" not in wanted:
            item.add_marker(pytest.mark.skip(reason="long; run by make soak"))


def _has_gpu() -> bool:
    try:
        from fastimg import _gpu

        _gpu.backend()
    except (fi.errors.DeviceError, fi.errors.MissingError):
        return False
    return True


@pytest.fixture(scope="session")
def accuracy(pytestconfig):
    """Record how far a result is from a peer's: accuracy(work, peer, ours, theirs, of=...)."""
    return pytestconfig.pluginmanager.get_plugin("accuracy").measured


@pytest.fixture(scope="session")
def reference() -> Path:
    """../shared/reference or FASTIMG_REFERENCE: published reference values and phantoms."""
    path = folder_of("FASTIMG_REFERENCE", "reference")
    if path is None:
        pytest.skip("reference values are not here: name their folder in FASTIMG_REFERENCE")
    return path


@pytest.fixture(scope="session")
def data() -> Path:
    """../shared/data or FASTIMG_DATA: real DICOM."""
    path = folder_of("FASTIMG_DATA", "data")
    if path is None:
        pytest.skip("real DICOM is not here: name its folder in FASTIMG_DATA")
    return path


@pytest.fixture(scope="session")
def soak_minutes() -> float:
    """How long one long test may take: FASTIMG_SOAK_MINUTES, set by make soak and make soak-short."""
    return float(os.environ.get("FASTIMG_SOAK_MINUTES", "1"))


@pytest.fixture(params=fi.config.supported_isa())
def isa(request):
    """Each instruction-set level of this processor in turn."""
    with fi.config.use(isa=request.param):
        yield request.param


@pytest.fixture(scope="session", autouse=True)
def _kernels_are_built_once(tmp_path_factory):
    """By the first process of a run that plays a device: pytest's workers, doctests and the programs that tests start."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "host-device"
    os.environ.setdefault("FASTIMG_HOST_DEVICE_CACHE", str(folder))


@pytest.fixture(scope="session")
def _host_device():
    with testing.host_device() as put:
        yield put


@pytest.fixture(params=["cpu", "host", pytest.param("cuda", marks=pytest.mark.gpu)])
def put(request):
    """A function that puts an array on each device in turn: NumPy, the played CUDA device, a real one (-m gpu)."""
    if request.param == "cpu":
        return np.asarray
    if request.param == "host":
        return request.getfixturevalue("_host_device")
    from fastimg import _gpu

    return _gpu.backend().to_device


@pytest.fixture
def get():
    """The opposite of `put`: a plain NumPy copy of whatever device's array."""
    return lambda array: np.array(fi._dispatch.move(array, "cpu"), subok=False)
