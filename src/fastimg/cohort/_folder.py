"""A cohort's folder: how a case is committed, and what is done about writers that died on the way."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import ArgumentError, FastimgError, FormatError, IntegrityError, RefusedError
from ..findings import Finding
from . import _features, _remove, _verify
from ._case import MANIFEST, Case, read_manifest
from ._files import (
    Slot,
    exchange,
    orphan,
    read_bytes,
    reason_of,
    storing,
    sync_folder,
    write_atomic,
    write_new,
)
from ._group import GroupWriter
from ._index import Index
from ._manifest import CASE, COHORT, check_case_id, pack
from ._place import COHORT_FILE, settings_of
from ._root import LocalRoot

__all__ = ["Folder"]

_TOGETHER = 64  # cases whose rows are written in one transaction


class Folder:
    """The files of a cohort below `path`; see docs/design/cohort.md for what lies where.

    Attributes
    ----------
    cases, tmp, indexes : Path
    version : int
        Format of the cohort.
    settings : dict
        The body of cohort.json.
    index : Index
        The caches of the manifests.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path, self.writable = path, writable
        self.cases, self.tmp, self.indexes = path / "cases", path / ".tmp", path / "index"
        try:
            data = read_bytes(path / COHORT_FILE)
        except FileNotFoundError:
            raise FormatError(f"Cohort.open: {path} is not a cohort (it has no {COHORT_FILE})") from None
        self.settings, self.version = settings_of(data, path, writable=writable)
        self.index = Index(self.indexes, self.tmp, self.manifests, self._manifest, writable=writable)
        if writable:  # a copy may lack empty folders
            with storing("Cohort.open"):
                for folder in (self.cases, self.tmp, self.indexes):
                    folder.mkdir(exist_ok=True)
            with storing("Cohort.open: a removal that was cut short"):
                _remove.finish(self)

    @staticmethod
    def make(path: Path, body: dict[str, Any]) -> None:
        """The files of an empty cohort, in a folder that is empty or not there."""
        with storing("Cohort.create"):
            if path.is_dir() and any(entry.name != ".tmp" for entry in path.iterdir()):
                raise ArgumentError(f"Cohort.create: {path} is not empty")
            (path / ".tmp").mkdir(parents=True, exist_ok=True)
            for name in ("cases", "index"):
                (path / name).mkdir(exist_ok=True)
            (path / "tombstones").mkdir(exist_ok=True)
            write_atomic(path / _remove.KEY, _remove.new_key(), path / ".tmp", mode=0o600)
            write_atomic(path / COHORT_FILE, pack(COHORT, body), path / ".tmp")

    # files ------------------------------------------------------------------------------------------------------------

    def read(self, name: str) -> bytes:
        """A file; FileNotFoundError where it is not there."""
        return read_bytes(self.path / name)

    def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole; it is on the disk when this returns."""
        path = self.path / name
        if not path.parent.is_dir():
            path.parent.mkdir()
            sync_folder(path.parent.parent)
        write_atomic(path, data, self.tmp)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.path / name).exists()

    def listing(self, folder: str) -> list[str]:
        """Names of the files right in a folder; none where it is not there."""
        try:
            return sorted(f"{folder}/{entry.name}" for entry in os.scandir(self.path / folder) if entry.is_file())
        except FileNotFoundError:
            return []

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        path = self.path / name
        with suppress(FileNotFoundError):
            path.unlink()
            sync_folder(path.parent)

    # cases ------------------------------------------------------------------------------------------------------------

    def case(self, case_id: str) -> Case:
        """A committed case; KeyError where there is none."""
        folder = self.cases / check_case_id(case_id)
        try:
            data = read_bytes(folder / MANIFEST)
        except FileNotFoundError:
            if folder.is_dir():
                raise IntegrityError(f"case {case_id}: its manifest is missing") from None
            raise KeyError(case_id) from None
        return Case(LocalRoot(folder), read_manifest(case_id, data))

    def has(self, case_id: str) -> bool:
        """Whether there is a committed case of this name."""
        return (self.cases / check_case_id(case_id) / MANIFEST).exists()

    def manifests(self) -> Iterator[dict[str, Any]]:
        """The manifests of all cases that can be read, by case_id."""
        for entry in sorted(os.scandir(self.cases), key=lambda e: e.name):
            with suppress(IntegrityError, FormatError, KeyError, ArgumentError):  # verify tells of these
                yield self.case(entry.name).manifest

    def _manifest(self, case_id: str) -> dict[str, Any] | None:
        """That of a committed case; None where there is none."""
        with suppress(KeyError, ArgumentError):
            return self.case(case_id).manifest
        return None

    def case_ids(self) -> list[str]:
        """Of all cases that are there, whatever the index says."""
        return sorted(os.listdir(self.cases))

    def names(self) -> list[str]:
        """The case_ids of the index."""
        with self.reader() as db:
            return [row[0] for row in db.execute("SELECT case_id FROM cases ORDER BY case_id")]

    def put_features(self, case_id: str, data: bytes) -> None:
        """Replace the features of a case as a whole."""
        with storing(f"set_features: case {case_id}"):
            write_atomic(self.cases / case_id / _features.NAME, data, self.tmp)

    def amend(self, case_id: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the body of a case's manifest, not its files; KeyError where there is no such case."""
        check_case_id(case_id)
        with storing(f"case {case_id}"), Slot(self.tmp, case_id) as slot:
            try:
                while (body := self._amended(case_id, change, slot.folder / MANIFEST)) is None:
                    pass  # another case took its place meanwhile: that one, then
            except _MayBeLostError:
                slot.leave()  # its row is made by whoever reads next
                raise
            self._list(slot, case_id)
        try:
            _remove.refuse(self, body)
        except RefusedError:
            self.purge(case_id)
            raise

    def _amended(self, case_id: str, change: Callable[[dict[str, Any]], None], scratch: Path) -> dict[str, Any] | None:
        """The new body, in the folder that the case had when it was read; None if it is not the case's any more."""
        final = self.cases / case_id
        scratch.unlink(missing_ok=True)
        try:
            folder = os.open(final, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise KeyError(case_id) from None
        try:
            try:
                with open(MANIFEST, "rb", opener=lambda name, flags: os.open(name, flags, dir_fd=folder)) as stream:
                    body = read_manifest(case_id, stream.read())
                change(body)
                write_new(scratch, pack(CASE, body))
                os.rename(scratch, MANIFEST, dst_dir_fd=folder)
            except FileNotFoundError:
                if final.exists() and os.path.samestat(os.fstat(folder), final.stat()):
                    raise IntegrityError(f"case {case_id}: its manifest is missing") from None
                return None
            try:
                os.fsync(folder)
            except OSError as error:
                raise _may_be_lost(f"case {case_id}: what is new in it", error) from error
            try:
                return body if os.path.samestat(os.fstat(folder), final.stat()) else None
            except FileNotFoundError:
                raise KeyError(case_id) from None
        finally:
            os.close(folder)

    def commit(
        self,
        case_id: str,
        body: dict[str, Any],
        write: Callable[[GroupWriter], None],
        *,
        replace: bool,
        listed: bool = True,
    ) -> Case:
        """Write a case beside the others, flush it, and put it in its place in one step; then its index row, or only a note
        that it lacks one."""
        final = self.cases / case_id
        _remove.refuse(self, body)
        if not replace and final.exists() and (body["source"] is None or self.case(case_id).source != body["source"]):
            raise ArgumentError(f"case {case_id} exists already; give replace=True to take its place")
        with storing(f"case {case_id}"), Slot(self.tmp, case_id) as slot:
            with GroupWriter(slot.folder, self.settings["codec"]) as writer:
                write(writer)
                body["files"] = writer.files
                writer.unlisted(MANIFEST, pack(CASE, body))
                later = not listed and slot.keep(writer.unflushed)
                writer.flush()
            _remove.refuse(self, body)  # again, as late as can be
            try:
                there = self._placed(slot, final, replace=replace)
            except BaseException:
                _give_back(slot, final)
                raise
            if not there:
                return self.case(case_id).same_as(body)
            try:
                sync_folder(self.cases)
            except OSError as error:
                slot.leave()  # its row is made by whoever reads next
                raise _may_be_lost(f"case {case_id}: it", error) from error
            if later:
                slot.leave()
            else:
                self._list(slot, case_id)
        if later:
            self._list_some()
        try:
            # a removal that began in between has not seen this case, or its row: then it is for us to undo
            _remove.refuse(self, body)
        except RefusedError:
            self.purge(case_id)
            raise
        return Case(LocalRoot(final), body)

    def _list(self, slot: Slot, case_id: str) -> None:
        """Write the row of a case that is in its place; where that fails it is made when there is room again."""
        try:
            self.index.put([case_id])
        except (sqlite3.Error, OSError, FastimgError):
            slot.leave()

    def _list_some(self) -> None:
        """Write the rows of all cases that wait for theirs, where they are many."""
        waiting = sum(name.endswith(".note") for name in os.listdir(self.tmp))
        if waiting and waiting % _TOGETHER == 0:  # one of several writers, not each of them
            with suppress(sqlite3.Error, OSError, FastimgError):  # they wait on, then
                stale, notes = self._recover()
                self.index.put(stale)
                self._settle(notes)

    @staticmethod
    def _placed(slot: Slot, final: Path, *, replace: bool) -> bool:
        """Put the folder of a slot in its place; False where a case is there that is not to be replaced."""
        while True:
            if final.exists():
                if not replace:
                    return False
                if exchange(slot.folder, final):
                    return True
                # absent for a moment; a kill here is mended by whoever opens the cohort next
                os.rename(final, slot.previous)
            try:
                os.rename(slot.folder, final)
                return True
            except OSError:
                if not final.exists():
                    raise

    def purge(self, case_id: str) -> None:
        """Remove a case's folder with everything in it, and its index row."""
        with Slot(self.tmp, case_id) as slot:
            with suppress(FileNotFoundError):
                os.rename(self.cases / case_id, slot.folder / "removed")
            sync_folder(self.cases)
            self.index.put([case_id])

    def forget_tables(self, names: Iterable[str]) -> None:
        """Remove the Parquet table of the index and these files, which hold what was taken from cases."""
        for name in ("index/cases.parquet", *names):
            self.delete(name)

    def clear(self) -> None:
        """Remove what dead writers left in .tmp."""
        self.collect()

    def audit(self, names: set[str]) -> list[Finding]:
        """Leftovers of dead writers; whether the index is of today, which is made anew where it may be written."""
        return [*_verify.leftovers(self), *_verify.index(self, names)]

    def collect(self) -> list[Finding]:
        """Remove what dead writers left in .tmp."""
        return _verify.collect(self)

    # reading the index ------------------------------------------------------------------------------------------------

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection to the index, with the rows of dead writers' cases set right first."""
        stale, notes = self._recover()
        try:
            db, mended = self.index.reader(stale)
            with closing(db):
                if mended:
                    self._settle(notes)
                yield db
        except sqlite3.Error as error:
            raise IntegrityError(f"cohort: the index is damaged ({error}); Cohort.verify makes it anew") from error

    def table(self, db: sqlite3.Connection) -> pa.Table:
        """All rows of the index, by case_id."""
        return self.index.table(db)

    def query(self, db: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> pa.Table:
        """The result of one SELECT."""
        return self.index.query(db, sql, parameters)

    def _settle(self, notes: list[Path]) -> None:
        """Forget the notes whose rows are right now; those with a folder stay, empty, for gc."""
        for note in notes:
            with suppress(OSError):
                os.truncate(note, 0)
                if not note.with_suffix("").exists() and not note.with_suffix(".previous").exists():
                    note.unlink()

    def _recover(self) -> tuple[list[str], list[Path]]:
        """The cases whose rows may not be right, since their writer died or left that to others, and its notes."""
        stale: list[str] = []
        dead: list[Path] = []
        try:
            notes = [Path(entry.path) for entry in os.scandir(self.tmp) if entry.name.endswith(".note")]
        except FileNotFoundError:
            return stale, dead
        for note in notes:
            with orphan(note) as content:
                if content is None or not isinstance(content.get("case_id"), str):
                    continue
                case_id = content["case_id"]
                dead.append(note)
                stale.append(case_id)
                previous = note.with_suffix(".previous")
                if self.writable and previous.exists() and not (self.cases / case_id).exists():
                    with suppress(OSError):
                        os.rename(previous, self.cases / case_id)
        return stale, dead


class _MayBeLostError(FastimgError):
    """What is in its place has not been flushed there."""


def _may_be_lost(what: str, error: OSError) -> _MayBeLostError:
    return _MayBeLostError(f"{what} is in its place, but {reason_of(error)}: it may be lost if the power fails")


def _give_back(slot: Slot, final: Path) -> None:
    """The case that was to be replaced takes its place again, now or when the cohort is next opened for writing."""
    if slot.previous.exists() and not final.exists():
        with suppress(OSError):
            os.rename(slot.previous, final)
        if slot.previous.exists():
            slot.leave()
