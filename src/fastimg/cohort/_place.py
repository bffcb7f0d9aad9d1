"""What a cohort asks of the place where its files are: a folder of this machine, or a prefix of an object store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import FormatError
from ..findings import Finding
from ._manifest import COHORT, newest, unpack, version_of

if TYPE_CHECKING:
    import pyarrow as pa

    from ._case import Case
    from ._group import GroupWriter

__all__ = ["COHORT_FILE", "Place", "settings_of"]

COHORT_FILE = "cohort.json"


def settings_of(data: bytes, where: Any, *, writable: bool) -> tuple[dict[str, Any], int]:
    """Body and version of cohort.json; a FormatError where it is newer, or older and to be written to."""
    settings, version = unpack(COHORT, data, COHORT_FILE), version_of(data)
    if writable and version < newest(COHORT):
        raise FormatError(
            f"Cohort.open: {where} has format {version}, which is read but not written any more; "
            "`fastimg migrate` brings it up to date"
        )
    return settings, version


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

    def case_ids(self) -> list[str]:
        """Of all cases that are there, whatever the index says."""

    def commit(
        self,
        case_id: str,
        body: dict[str, Any],
        write: Callable[[GroupWriter], None],
        *,
        replace: bool,
        listed: bool = True,
    ) -> Case:
        """Store a case wholly or not at all; its index row at once, or with others."""

    def amend(self, case_id: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the body of a case's manifest, not its files; KeyError where there is no such case."""

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

    def table(self, db: sqlite3.Connection) -> pa.Table:
        """All rows of the index, by case_id."""

    def query(self, db: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> pa.Table:
        """The result of one SELECT."""

    def audit(self, names: set[str]) -> list[Finding]:
        """What `verify` says beside the cases, whose names are given: leftovers, the index."""

    def collect(self) -> list[Finding]:
        """Remove what dead writers left."""
