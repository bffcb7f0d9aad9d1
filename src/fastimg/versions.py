"""What is installed here, what the machine offers, and what is missing with the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, TextIO

__all__ = ["Check", "doctor", "show_versions", "versions"]

_CORE = ("numpy", "scipy", "scikit-learn", "pydicom", "zarr", "imagecodecs", "numba", "pyarrow", "cryptography")
_EXTRAS = {
    "SimpleITK": "interop",
    "nibabel": "interop",
    "highdicom": "interop",
    "xarray": "interop",
    "matplotlib": "report",
    "distributed": "dask",
    "flwr": "federated",
    "rdflib": "catalogue",
}
_CODECS = {  # what a transfer syntax needs of imagecodecs
    "JPEG baseline, extended, lossless": "jpeg8_decode",
    "JPEG-LS": "jpegls_decode",
    "JPEG 2000": "jpeg2k_decode",
    "HTJ2K": "htj2k_decode",
}


@dataclass(frozen=True)
class Check:
    """One line of `fastimg doctor`.

    Attributes
    ----------
    name : str
        What was looked at.
    state : {"ok", "note", "bad"}
    found : str
        What is there.
    mend : str
        What would mend it; empty where nothing needs to be.
    """

    name: str
    state: Literal["ok", "note", "bad"]
    found: str
    mend: str = ""


@dataclass
class _Report:
    checks: list[Check] = field(default_factory=list)

    def add(self, name: str, state: Literal["ok", "note", "bad"], found: str, mend: str = "") -> None:
        self.checks.append(Check(name, state, found, mend))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions() -> dict[str, Any]:
    """Versions and settings as plain values: what provenance and bug reports hold."""
    from . import __version__, config

    return {
        "fastimg": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": config.isa(),
        "threads": config.threads(),
        "packages": {name: found for name in _CORE if (found := _installed(name))},
    }


def show_versions(*, file: TextIO | None = None) -> None:
    """Print versions, instruction-set level, threads, GPU and codecs; paste it into a bug report.

    Parameters
    ----------
    file : text stream, optional
        Default: standard output.
    """
    for check in doctor():
        print(f"{check.name:<34} {check.found}", file=file or sys.stdout)


def doctor() -> list[Check]:
    """Look at the installation and the machine. A check is "ok", "note" (a capability is not there) or "bad"."""
    report = _Report()
    for step in (_program, _machine, _packages, _codecs, _gpu):
        _guarded(step, report)
    return report.checks


def _guarded(step: Callable[[_Report], None], report: _Report) -> None:
    try:
        step(report)
    except Exception as error:  # a broken installation is what a doctor must survive
        report.add(
            step.__name__.strip("_"), "bad", f"{type(error).__name__}: {error}", "pip install --force-reinstall fastimg"
        )


def _program(report: _Report) -> None:
    from . import __version__

    report.add("fastimg", "ok", __version__)
    report.add("Python", "ok", f"{platform.python_version()} ({platform.python_implementation()})")
    report.add("system", "ok", f"{platform.system()} {platform.release()} {platform.machine()}")


def _machine(report: _Report) -> None:
    from . import config

    report.add("instruction-set level", "ok", f"{config.isa()} (runs {', '.join(config.supported_isa())})")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    report.add("threads", "ok", f"{config.threads()} of {cores} allowed cores")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    state: Literal["ok", "note"] = "ok" if memory >= 4e9 else "note"
    report.add("memory", state, f"{memory / 1e9:.1f} GB, limit of one operation {config.memory_limit() / 1e9:.1f} GB")


def _packages(report: _Report) -> None:
    for name in _CORE:
        found = _installed(name)
        if found is None:
            report.add(name, "bad", "missing", f"pip install {name}")
        else:
            report.add(name, "ok", found)
    for name, extra in _EXTRAS.items():
        found = _installed(name)
        if found is None:
            report.add(name, "note", f"not installed (extra {extra})", f"pip install 'fastimg[{extra}]'")
        else:
            report.add(name, "ok", found)


def _codecs(report: _Report) -> None:
    if importlib.util.find_spec("imagecodecs") is None:
        report.add("codecs", "bad", "imagecodecs is missing", "pip install imagecodecs")
        return
    import imagecodecs

    for name, function in _CODECS.items():
        codec = getattr(imagecodecs, function.removesuffix("_decode").upper(), None)
        if getattr(codec, "available", False):
            report.add(f"codec {name}", "ok", str(getattr(imagecodecs, function.replace("decode", "version"), str)()))
        else:
            report.add(f"codec {name}", "bad", "missing", "pip install --upgrade imagecodecs")


def _gpu(report: _Report) -> None:
    from ._gpu import conflicting_cupy

    clash = conflicting_cupy()
    if clash is not None:
        report.add("CuPy", "bad", f"{clash[0]} and {clash[1]} overwrite each other", clash[2])
        return
    from . import _gpu
    from .errors import DeviceError, MissingError

    try:
        xp = _gpu.backend().xp
        count = int(xp.cuda.runtime.getDeviceCount())
        names = [xp.cuda.runtime.getDeviceProperties(index)["name"].decode() for index in range(count)]
    except MissingError:
        mend = "only with an NVIDIA GPU: pip install 'fastimg[cuda13]' (driver 580 or newer) or 'fastimg[cuda12]'"
        report.add("GPU", "note", "CuPy is not installed; everything runs on the CPU", mend)
    except DeviceError as error:
        report.add("GPU", "note", f"none can be used ({error}); everything runs on the CPU")
    else:
        report.add("GPU", "ok" if names else "note", f"{', '.join(names) or 'none'}; CuPy {xp.__version__}")
