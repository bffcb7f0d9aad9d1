"""One element of a file, found natively: for what a scan's row does not hold."""

from __future__ import annotations

import os

from . import _native

__all__ = ["element"]


def element(path: str, tags: list[int], limit: int) -> tuple[bytes, str | None, bool] | None:
    """Bytes, VR and whether big endian, of the first element at a path of tags, of at most `limit` bytes.

    None where there is none, or where the file has gone or is no DICOM any more since it was scanned.
    """
    try:
        return _native.value(os.fsencode(path), tags, limit)
    except (RuntimeError, OSError):
        return None
