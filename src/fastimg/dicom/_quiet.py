"""pydicom's warnings quote values of the dataset: in a place that handles patients they must not reach a log."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

_LOG = logging.getLogger("pydicom")


class _Drop(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return False


@contextmanager
def quiet() -> Iterator[None]:
    """No warning and no log record of pydicom leaves the block."""
    drop = _Drop()
    _LOG.addFilter(drop)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _LOG.removeFilter(drop)
