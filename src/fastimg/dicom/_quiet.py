"""pydicom's warnings quote values of the dataset: in a place that handles patients they must not reach a log."""

from __future__ import annotations

import logging
import struct
import threading
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


class _Shared:
    """Python's filters of warnings belong to the process: the first block sets them, the last one to end restores them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.drop = _Drop()
        self.filters: Any = None

    def enter(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("ignore")
                _LOG.addFilter(self.drop)
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                _LOG.removeFilter(self.drop)
                self.filters.__exit__(None, None, None)


_SHARED = _Shared()


@contextmanager
def quiet() -> Iterator[None]:
    """No warning and no log record of pydicom leaves the block, in whatever thread."""
    _SHARED.enter()
    try:
        yield
    finally:
        _SHARED.leave()


def value_of(dataset: Dataset, keyword: str) -> Any:
    """An element's value; None where it is absent or cannot be decoded."""
    try:
        with quiet():
            return dataset.get(keyword)
    except CORRUPT:
        return None
