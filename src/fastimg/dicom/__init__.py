"""DICOM: files to columns, series and volumes, and the identity of patients kept out of them.

Names are loaded at first use: a scan needs neither pydicom nor imagecodecs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# public name -> module that holds it
_NAMES = {
    "Series": "_series",
    "pixels": "_pixels",
    "read": "_read",
    "read_masks": "_masks",
    "rescale": "_rescale",
    "scan": "_scan",
    "series": "_series",
}

__all__ = [*_NAMES]

if TYPE_CHECKING:
    from ._masks import read_masks as read_masks
    from ._pixels import pixels as pixels
    from ._read import read as read
    from ._rescale import rescale as rescale
    from ._scan import scan as scan
    from ._series import Series as Series
    from ._series import series as series


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'fastimg.dicom' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
