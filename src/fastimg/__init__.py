"""fastimg: exact, fast compute kernels for cancer-imaging cohorts.

>>> import fastimg as fi

Names are loaded at first use, so that `import fastimg` stays quick; see `help(fi.Image)`, `help(fi.resample)` ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> where it lives
_NAMES = {
    "Image": "image",
    "Finding": "findings",
    "resample": "resampling",
    "map_voxels": "voxelwise",
    "Histogram": "histogram",
    "Cohort": "cohort",
    "ingest": "pipeline",
    "show_versions": "versions",
}
_MODULES = (
    "cohort",
    "config",
    "dicom",
    "errors",
    "federated",
    "filtering",
    "findings",
    "harmonize",
    "histogram",
    "image",
    "interop",
    "labels",
    "pipeline",
    "radiomics",
    "report",
    "resampling",
    "secagg",
    "synth",
    "testing",
    "voxelwise",
)

__all__ = ["__version__", *_NAMES, *_MODULES]

if TYPE_CHECKING:
    from .findings import Finding as Finding
    from .image import Image as Image


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(f"fastimg.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"fastimg.{name}")
    else:
        raise AttributeError(f"module 'fastimg' has no attribute {name!r}")
    globals()[name] = value
    return value


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext fastimg``: pyarrow's tables (a cohort's index, queries, features) show themselves as tables."""
    from ._notebook import load_ipython_extension

    load_ipython_extension(ipython)


def __dir__() -> list[str]:
    return sorted(__all__)
