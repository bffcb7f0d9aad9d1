"""pydicom's warnings quote values of the dataset: in a place that handles patients they must not reach a log."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydicom.errors import BytesLengthException

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["CORRUPT", "quiet", "value_of"]

# What pydicom raises when an element's bytes are not what its type says; the messages quote the bytes.
CORRUPT = (
    *(ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError),
    *(BytesLengthException, NotImplementedError, struct.error, OSError, EOFError, RecursionError),
)

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


def value_of(dataset: Dataset, keyword: str) -> Any:
    """An element's value; None where it is absent or cannot be decoded."""
    try:
        with quiet():
            return dataset.get(keyword)
    except CORRUPT:
        return None
