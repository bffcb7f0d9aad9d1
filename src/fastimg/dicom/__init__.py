"""DICOM: files to columns, series and volumes, and the identity of patients kept out of them.

Names are loaded at first use: a scan needs neither pydicom nor imagecodecs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# public name -> module that holds it
_NAMES = {
    "Deidentified": "_profile",
    "Profile": "_profile",
    "SAFE_PRIVATE": "_profile",
    "Series": "_series",
    "capture": "_capture",
    "deidentify": "_deidentify",
    "Batch": "_batch",
    "deidentify_bytes": "_rewrite",
    "deidentify_folder": "_batch",
    "header": "_header",
    "identifiers_of": "_residual",
    "leftovers": "_leftovers",
    "load_key": "_keys",
    "pixel_identity": "_pixel_identity",
    "pixels": "_pixels",
    "pseudonym": "_keys",
    "read": "_read",
    "read_masks": "_masks",
    "register_pydicom": "_pydicom",
    "reorient": "_reorient",
    "rescale": "_rescale",
    "residual": "_residual",
    "scan": "_scan",
    "scrub": "_residual",
    "series": "_series",
    "slide": "_slide",
    "write_seg": "_write_seg",
}

__all__ = [*_NAMES]

if TYPE_CHECKING:
    from ._batch import Batch as Batch
    from ._batch import deidentify_folder as deidentify_folder
    from ._capture import capture as capture
    from ._deidentify import deidentify as deidentify
    from ._header import header as header
    from ._keys import load_key as load_key
    from ._keys import pseudonym as pseudonym
    from ._leftovers import leftovers as leftovers
    from ._masks import read_masks as read_masks
    from ._pixel_identity import pixel_identity as pixel_identity
    from ._pixels import pixels as pixels
    from ._profile import SAFE_PRIVATE as SAFE_PRIVATE
    from ._profile import Deidentified as Deidentified
    from ._profile import Profile as Profile
    from ._pydicom import register_pydicom as register_pydicom
    from ._read import read as read
    from ._reorient import reorient as reorient
    from ._rescale import rescale as rescale
    from ._residual import identifiers_of as identifiers_of
    from ._residual import residual as residual
    from ._residual import scrub as scrub
    from ._rewrite import deidentify_bytes as deidentify_bytes
    from ._scan import scan as scan
    from ._series import Series as Series
    from ._series import series as series
    from ._slide import slide as slide
    from ._write_seg import write_seg as write_seg


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'fastimg.dicom' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
