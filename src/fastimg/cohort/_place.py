"""What a cohort asks of the place where its files are: a folder of this machine, or a prefix of an object store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ._case import Case
    from ._group import GroupWriter

__all__ = ["COHORT_FILE", "Place"]

COHORT_FILE = "cohort.json"


class Place(Protocol):
    """Files by names such as "tombstones/key", and cases.

    Attributes
    ----------
    version : int
        Format of the cohort.
    settings : dict
        The body of cohort.json.
    """

    version: int
    settings: dict[str, Any]
    writable: bool

    def read(self, name: str) -> bytes:
        """A file; FileNotFoundError where it is not there."""

    def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole; it is kept when this returns."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def listing(self, folder: str) -> list[str]:
        """Names of the files right in a folder; none where it is not there."""

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""

    def case(self, case_id: str) -> Case:
        """A committed case; KeyError where there is none."""

    def has(self, case_id: str) -> bool:
        """Whether there is a committed case of this name."""

    def manifests(self) -> Iterator[dict[str, Any]]:
        """The manifests of all cases that can be read, by case_id."""

    def commit(
        self, case_id: str, body: dict[str, Any], write: Callable[[GroupWriter], None], *, replace: bool
    ) -> Case:
        """Store a case wholly or not at all."""

    def put_features(self, case_id: str, data: bytes) -> None:
        """Replace the features of a case as a whole."""

    def purge(self, case_id: str) -> None:
        """Remove a case with its index row."""

    def forget_tables(self, names: Iterable[str]) -> None:
        """Remove the tables of the index and these files, which hold what was taken from cases."""

    def clear(self) -> None:
        """Remove what dead writers left."""

    def reader(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection to the index, with the rows of dead writers' cases set right first."""
