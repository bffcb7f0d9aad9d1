"""A cohort in an object store (S3 and the like): the commit of a case is its manifest, written last.

    cohort.json, tombstones/           as in a folder
    cases/ID/manifest.json             makes the case; its "data" says which of data/ is its own
    data/TOKEN/image.ome.zarr/...      voxels, put before the manifest; what no manifest names is nobody's
    data/TOKEN/features.json
    index/manifests.parquet            a cache: manifests with their entity tags

Object stores have no rename and no locks, but each object is put whole or not at all, and a put can ask that there is no
such object yet (If-None-Match: *) or that it is still the one that was seen (If-Match). So a writer that dies leaves
nothing that anyone sees, and of two writers of one case the second is told.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ArgumentError, FastimgError, FormatError, IntegrityError, RefusedError
from ..findings import Finding
from . import _features, _index, _remove
from ._case import MANIFEST, Case, read_manifest
from ._group import GroupWriter
from ._manifest import CASE, COHORT, check_case_id, pack
from ._objects import BucketRoot, Objects
from ._place import COHORT_FILE, settings_of

__all__ = ["Bucket", "is_url"]

_SCHEMES = ("s3://", "s3a://", "gs://", "az://", "abfs://")
_THREADS = 16
_CACHE = "index/manifests.parquet"
_WORTH = 64  # manifests that a cache lacks before it is written anew
_GRACE = timedelta(days=1)  # a writer that takes longer for one case is taken for dead


def is_url(path: Any) -> bool:
    """Whether a cohort's path is an address in an object store."""
    return isinstance(path, str) and path.startswith(_SCHEMES)


class Bucket:
    """See `fastimg.cohort._place.Place`."""

    def __init__(self, url: str, options: Mapping[str, Any], *, writable: bool) -> None:
        self.path, self.writable = url.rstrip("/"), writable
        self._objects = Objects(url, options)
        try:
            data = self.read(COHORT_FILE)
        except FileNotFoundError:
            raise FormatError(f"Cohort.open: {self.path} is not a cohort (it has no {COHORT_FILE})") from None
        self.settings, self.version = settings_of(data, self.path, writable=writable)
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._tags: dict[str, str] = {}  # of the manifests whose rows are in the database
        self._known: dict[str, tuple[str, bytes]] = {}  # of the cache: case_id -> (tag, manifest)
        if writable:
            _remove.finish(self)

    @staticmethod
    def make(url: str, options: Mapping[str, Any], body: dict[str, Any], *, exist_ok: bool) -> None:
        """An empty cohort below a prefix that holds nothing."""
        objects = Objects(url, options)
        if objects.head(COHORT_FILE) is not None and exist_ok:
            return
        if next(objects.entries(""), None) is not None:
            raise ArgumentError(f"Cohort.create: {url} is not empty")
        objects.put(_remove.KEY, _remove.new_key())
        if not objects.put_if(COHORT_FILE, pack(COHORT, body), None) and not exist_ok:
            raise ArgumentError(f"Cohort.create: {url} is not empty")

    # files ------------------------------------------------------------------------------------------------------------

    def read(self, name: str) -> bytes:
        """A file; FileNotFoundError where it is not there."""
        return self._objects.get(name)[0]

    def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole."""
        self._objects.put(name, data)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return self._objects.head(name) is not None

    def listing(self, folder: str) -> list[str]:
        """Names of the files right in a folder."""
        names = (entry["path"] for entry in self._objects.entries(f"{folder}/"))
        return sorted(name for name in names if "/" not in name[len(folder) + 1 :])

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        self._objects.delete([name])

    # cases ------------------------------------------------------------------------------------------------------------

    def _case(self, case_id: str, data: bytes) -> Case:
        body = read_manifest(case_id, data)
        return Case(BucketRoot(self._objects, case_id, body["data"]), body)

    def case(self, case_id: str) -> Case:
        """A committed case; KeyError where there is none."""
        try:
            return self._case(case_id, self.read(f"cases/{check_case_id(case_id)}/{MANIFEST}"))
        except FileNotFoundError:
            raise KeyError(case_id) from None

    def has(self, case_id: str) -> bool:
        """Whether there is a committed case of this name."""
        return self.exists(f"cases/{check_case_id(case_id)}/{MANIFEST}")

    def _listed(self) -> dict[str, str]:
        """{case_id: entity tag of its manifest}."""
        found = {}
        for entry in self._objects.entries("cases/"):
            parts = entry["path"].split("/")
            if len(parts) == 3 and parts[2] == MANIFEST:
                found[parts[1]] = entry["e_tag"] or ""
        return found

    def case_ids(self) -> list[str]:
        """Of all cases that are there, whatever the index says."""
        return sorted(self._listed())

    def put_features(self, case_id: str, data: bytes) -> None:
        """Replace the features of a case as a whole."""
        self.write(f"data/{self.case(case_id).manifest['data']}/{_features.NAME}", data)

    def amend(self, case_id: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the body of a case's manifest, not its files; KeyError where there is no such case."""
        key = f"cases/{check_case_id(case_id)}/{MANIFEST}"
        while True:
            try:
                data, tag = self._objects.get(key)
            except FileNotFoundError:
                raise KeyError(case_id) from None
            body = read_manifest(case_id, data)
            change(body)
            if self._objects.put_if(key, pack(CASE, body), tag):
                break
        try:
            _remove.refuse(self, body)
        except RefusedError:
            self.purge(case_id)
            raise

    def commit(
        self,
        case_id: str,
        body: dict[str, Any],
        write: Callable[[GroupWriter], None],
        *,
        replace: bool,
        listed: bool = True,
    ) -> Case:
        """Put the files of a case, then its manifest on condition that nobody else did; here no rows are `listed`."""
        _remove.refuse(self, body)
        key = f"cases/{case_id}/{MANIFEST}"
        before = self.case(case_id) if self.has(case_id) else None
        if before is not None and not replace and (body["source"] is None or before.source != body["source"]):
            raise ArgumentError(f"case {case_id} exists already; give replace=True to take its place")
        token = uuid.uuid4().hex
        body["data"] = token
        with tempfile.TemporaryDirectory(prefix="fastimg-case-") as scratch:
            with GroupWriter(Path(scratch), self.settings["codec"]) as writer:
                write(writer)
            body["files"] = writer.files
            extra = [_features.NAME] if (Path(scratch) / _features.NAME).exists() else []
            with ThreadPoolExecutor(_THREADS) as pool:
                list(
                    pool.map(
                        lambda n: self._objects.put(f"data/{token}/{n}", Path(scratch) / n), [*writer.files, *extra]
                    )
                )
            _remove.refuse(self, body)  # again, as late as can be
            while True:
                tag = None
                if replace:
                    head = self._objects.head(key)
                    tag = None if head is None else head["e_tag"]
                if self._objects.put_if(key, pack(CASE, body), tag):
                    break
                if not replace:
                    self._drop(token)
                    return self.case(case_id).same_as(body)
        try:
            _remove.refuse(self, body)
        except RefusedError:
            self.purge(case_id)
            raise
        if before is not None:
            self._drop(before.manifest["data"])
        return Case(BucketRoot(self._objects, case_id, token), body)

    def _drop(self, token: str) -> None:
        self._objects.delete([entry["path"] for entry in self._objects.entries(f"data/{token}/")])

    def purge(self, case_id: str) -> None:
        """Remove a case. The manifest goes last: a kill before leaves it to tell what is still to go."""
        with suppress(KeyError, IntegrityError, FormatError):
            self._drop(self.case(case_id).manifest["data"])
        self._objects.delete([f"cases/{case_id}/{MANIFEST}"])

    def forget_tables(self, names: Iterable[str]) -> None:
        """Remove the cache of the index and these files, which hold what was taken from cases."""
        self._objects.delete([_CACHE, *names])

    def clear(self) -> None:
        """Remove what writers left that have been dead for a day."""
        self.collect()

    # index ------------------------------------------------------------------------------------------------------------

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """The index in memory, with the rows of all manifests as they are now: only those that changed are fetched."""
        with self._lock:
            if self._db is None:
                self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                _index.create(self._db)
                self._known = self._cache()
            now = self._listed()
            gone = [case_id for case_id in self._tags if case_id not in now]
            changed = sorted(case_id for case_id, tag in now.items() if self._tags.get(case_id) != tag)
            fetched = [case_id for case_id in changed if self._known.get(case_id, ("",))[0] != now[case_id]]
            with ThreadPoolExecutor(_THREADS) as pool:
                for case_id, found in zip(fetched, pool.map(self._manifest, fetched), strict=True):
                    if found is None:
                        now.pop(case_id)
                        gone += [case_id] if case_id in self._tags else []
                    else:
                        self._known[case_id] = found[1], found[0]
                        now[case_id] = found[1]
            bodies = []
            for case_id in changed:
                with suppress(IntegrityError, FormatError, KeyError):  # verify tells of these
                    bodies.append(read_manifest(case_id, self._known[case_id][1]))
            self._db.execute("BEGIN")
            _index.remove(self._db, gone)
            _index.insert(self._db, bodies)
            self._db.execute("COMMIT")
            self._tags = now
            if self.writable and len(fetched) >= _WORTH:
                with suppress(FastimgError):  # a cache
                    self._keep_cache()
            yield self._db

    def _manifest(self, case_id: str) -> tuple[bytes, str] | None:
        with suppress(FileNotFoundError):
            return self._objects.get(f"cases/{case_id}/{MANIFEST}")
        return None

    def _cache(self) -> dict[str, tuple[str, bytes]]:
        try:
            table = pq.read_table(pa.BufferReader(self.read(_CACHE)), use_threads=False)
            columns = (table.column(name).to_pylist() for name in ("case_id", "tag", "manifest"))
            return {case_id: (tag, data) for case_id, tag, data in zip(*columns, strict=True)}
        except (FileNotFoundError, pa.ArrowException, KeyError, ValueError):
            return {}

    def _keep_cache(self) -> None:
        rows = [(case_id, *self._known[case_id]) for case_id in self._tags if case_id in self._known]
        columns = list(zip(*rows, strict=True))
        table = pa.table(
            {
                "case_id": pa.array(columns[0], pa.string()),
                "tag": pa.array(columns[1], pa.string()),
                "manifest": pa.array(columns[2], pa.binary()),
            }
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.write(_CACHE, sink.getvalue().to_pybytes())

    def table(self, db: sqlite3.Connection) -> pa.Table:
        """All rows, by case_id."""
        return _index.rows_table(db)

    def query(self, db: sqlite3.Connection, sql: str, parameters: Any) -> pa.Table:
        """The result of one SELECT."""
        return _index.select(db, sql, parameters)

    # keeping sound ----------------------------------------------------------------------------------------------------

    def _orphans(self) -> dict[str, list[dict[str, Any]]]:
        """{token: objects} of data that no manifest names, nothing of it younger than a day."""
        found: dict[str, list[dict[str, Any]]] = {}
        for entry in self._objects.entries("data/"):
            found.setdefault(entry["path"].split("/")[1], []).append(entry)
        named = set()
        for case_id in self.case_ids():  # after the list of data: what is committed in between is not taken for dead
            with suppress(KeyError):
                named.add(self.case(case_id).manifest["data"])
        limit = datetime.now(UTC) - _GRACE
        return {
            token: entries
            for token, entries in found.items()
            if token not in named and all(entry["last_modified"] <= limit for entry in entries)
        }

    def audit(self, names: set[str]) -> list[Finding]:
        """Leftovers of dead writers."""
        return [Finding("leftover", "", token) for token in sorted(self._orphans())]

    def collect(self) -> list[Finding]:
        """Remove what dead writers left."""
        removed = []
        for token, entries in sorted(self._orphans().items()):
            self._objects.delete([entry["path"] for entry in entries])
            removed.append(Finding("leftover", "removed", token))
        return removed
