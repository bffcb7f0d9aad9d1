"""The index: one row a case in SQLite for look-ups and in Parquet for scans, one a series. All are caches of the manifests."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ArgumentError, FastimgError, FormatError, IntegrityError
from . import _scan
from ._files import Lock, sync_file, write_atomic

__all__ = ["Index", "create", "insert", "remove", "row_of", "rows_table", "select"]

_VERSION = 2  # 2: series
FIXED = ("case_id", "state", "source", "digest", "committed", "shape", "dtype", "unit", "masks", "findings", "bytes")
_TYPES = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string(), "mixed": pa.string()}
_MOST_COLUMNS = 500
_AT_REST = 5.0  # seconds without a change, after which the table of columns is worth being made

Manifest = dict[str, Any]


def row_of(manifest: Manifest) -> dict[str, Any]:
    """The index row of a manifest: its fixed columns, and metadata values that are scalars."""
    image = manifest["image"]
    row = {
        "case_id": manifest["case_id"],
        "state": manifest["state"],
        "source": manifest["source"],
        "digest": manifest["digest"],
        "committed": manifest["committed"],
        "shape": "x".join(map(str, image["shape"])) if image else None,
        "dtype": image["dtype"] if image else None,
        "unit": image["unit"] if image else None,
        "masks": json.dumps(list(manifest["masks"])),
        "findings": json.dumps([f["code"] for f in manifest["findings"]]),
        "bytes": sum(f["size"] for f in manifest["files"].values()),
    }
    scalars = {
        k: v for k, v in manifest["metadata"].items() if v is not None and isinstance(v, (str, int, float, bool))
    }
    return {"fixed": row, "metadata": scalars}


class Index:
    """The caches below `folder`. `manifests` lists the truth, `manifest` tells that of one case, None where there is none;
    `writable` says whether the caches may be changed."""

    def __init__(
        self,
        folder: Path,
        scratch: Path,
        manifests: Callable[[], Iterable[Manifest]],
        manifest: Callable[[str], Manifest | None],
        *,
        writable: bool,
    ) -> None:
        self._folder, self._scratch, self._writable = folder, scratch, writable
        self._manifests, self._manifest = manifests, manifest
        self._file, self._parquet = folder / "cases.sqlite", folder / "cases.parquet"
        # a writer's reads may have to roll back what a killed one left half done, which takes the right to write
        self._mode = "rw" if writable else "ro"

    # writing ----------------------------------------------------------------------------------------------------------

    def put(self, case_ids: Iterable[str]) -> None:
        """Bring the rows of these cases to what their manifests say, which are read under the index's lock: of two writers
        of one case the later one's row stays."""
        with self._locked():
            if not self.sound():
                self._make()
                return
            try:
                with closing(self._connect(self._file, "rw")) as db, db:
                    db.execute("PRAGMA secure_delete = ON")
                    db.execute("BEGIN IMMEDIATE")
                    self._set(db, case_ids)
            except sqlite3.Error as error:
                raise FastimgError(f"cohort: the index was not updated: {error}") from error

    def _set(self, db: sqlite3.Connection, case_ids: Iterable[str]) -> None:
        def there() -> Iterator[Manifest]:
            for case_id in case_ids:
                with suppress(IntegrityError, FormatError):  # verify tells of these
                    found = self._manifest(case_id)
                    if found is None:
                        remove(db, [case_id])
                    else:
                        yield found

        insert(db, there())

    def rebuild(self) -> bool:
        """Make the rows anew from the manifests. True if they differed."""
        with self._locked():
            try:
                before = self._rows()
            except sqlite3.Error:
                before = None
            self._make()
            return before != self._rows()

    def _locked(self) -> Lock:
        return Lock(self._folder / "lock", "cohort: the index was not updated", wait=True)

    def _make(self) -> None:
        temporary = self._scratch / f"{uuid.uuid4().hex}.part"
        try:
            with closing(self._connect(temporary, "rwc")) as db, db:
                db.execute("PRAGMA journal_mode = OFF")  # a file that nobody sees yet needs no way back
                db.execute("PRAGMA synchronous = OFF")
                db.execute("BEGIN")
                create(db)
                insert(db, self._manifests())
            sync_file(temporary)
            # a journal of the database that goes must never be played into the one that comes
            for old in (self._file, self._file.with_name(self._file.name + "-journal")):
                with suppress(FileNotFoundError):
                    old.unlink()
            temporary.replace(self._file)
        finally:
            for left in (temporary, temporary.with_name(temporary.name + "-journal")):
                with suppress(FileNotFoundError):
                    left.unlink()

    def _rows(self) -> list[Any]:
        """Everything that the manifests say, for comparison."""
        with closing(self._connect(self._file, self._mode)) as db:
            columns = db.execute("SELECT key, name, kind FROM metadata_columns ORDER BY key").fetchall()
            names = ", ".join(map(_quoted, [*FIXED, *(name for _, name, _ in columns)]))
            rows = db.execute(f"SELECT {names} FROM cases ORDER BY case_id").fetchall()  # noqa: S608
            details = db.execute("SELECT * FROM details ORDER BY case_id").fetchall()
            found = db.execute("SELECT * FROM findings ORDER BY 1, 2, 3").fetchall()
            series = db.execute("SELECT * FROM series ORDER BY 1, 2, 3, 4, 5").fetchall()
            return [*columns, *rows, *details, *found, *series]

    def sound(self) -> bool:
        """Whether the database is there and of this version."""
        try:
            with closing(self._connect(self._file, self._mode)) as db:
                return bool(db.execute("PRAGMA user_version").fetchone()[0] == _VERSION)
        except sqlite3.Error:
            return False

    @staticmethod
    def _connect(path: Path, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=60, isolation_level=None)

    # reading ----------------------------------------------------------------------------------------------------------

    def reader(self, stale: Sequence[str] = ()) -> tuple[sqlite3.Connection, bool]:
        """A connection to read with, and whether the caches are right on the disk now, those of the cases `stale` too.

        Where they cannot be mended there (open for reading, a full disk) they are mended in memory.
        """
        if self._writable:
            try:
                if stale:
                    self.put(stale)
                elif not self.sound():
                    self.rebuild()
                return self._connect(self._file, self._mode), True
            except (sqlite3.Error, OSError, FastimgError):
                pass
        return self._mended(stale), False

    def _mended(self, stale: Sequence[str]) -> sqlite3.Connection:
        if self.sound():
            db = self._connect(self._file, self._mode)
            if not stale:
                return db
            memory = sqlite3.connect(":memory:", isolation_level=None)
            with closing(db):
                db.backup(memory)
            self._set(memory, stale)
            return memory
        memory = sqlite3.connect(":memory:", isolation_level=None)
        memory.execute("BEGIN")
        create(memory)
        insert(memory, self._manifests())
        return memory

    def query(self, db: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> pa.Table:
        """The result of one SELECT: simple aggregates from the columns in Parquet, everything else from SQLite."""
        plan = _scan.parse(sql, parameters)
        if plan is not None:
            kinds = dict.fromkeys(FIXED, "str") | {"bytes": "int"}
            kinds |= {name: kind for _, name, kind in db.execute("SELECT key, name, kind FROM metadata_columns")}
            if all(name in kinds for name in plan.columns):
                self._refresh(db)
                texts = [name for name in plan.columns if kinds[name] == "str"]
                table = self._parquet_of(_stamp(db), plan.columns, read_dictionary=texts)
                done = None if table is None else plan.run(table, kinds)
                if done is not None:
                    return _as_table(*done)
        return select(db, sql, parameters)

    def _refresh(self, db: sqlite3.Connection) -> None:
        """Bring the Parquet table up to date, unless cases are being added right now: then a scan by SQLite is quicker."""
        if self._writable and self._parquet_of(_stamp(db), []) is None:
            with suppress(OSError):
                if time.time() - self._file.stat().st_mtime > _AT_REST:
                    self.table(db)

    def _parquet_of(self, stamp: str, columns: Sequence[str] | None = None, **options: Any) -> pa.Table | None:
        """These columns, or all, of the table in Parquet, if it is as new as the database."""
        try:
            file = pq.ParquetFile(self._parquet, page_checksum_verification=True, **options)
            if (file.schema_arrow.metadata or {}).get(b"fastimg-index") == stamp.encode():
                return file.read(columns=columns, use_threads=False).replace_schema_metadata(None)
        except (OSError, pa.ArrowException):
            pass
        return None

    def table(self, db: sqlite3.Connection) -> pa.Table:
        """All rows, by case_id; from Parquet where it is as new as the database."""
        stamp = _stamp(db)
        table = self._parquet_of(stamp)
        if table is not None:
            return table
        table = rows_table(db)
        if self._writable and table.num_rows >= 1000:
            sink = pa.BufferOutputStream()
            pq.write_table(
                table.replace_schema_metadata({"fastimg-index": stamp}),
                sink,
                compression="zstd",
                write_page_checksum=True,
            )
            with suppress(OSError):  # a cache: a full disk must not stop a reader
                write_atomic(self._parquet, sink.getvalue().to_pybytes(), self._scratch)
        return table


def rows_table(db: sqlite3.Connection) -> pa.Table:
    """All rows, by case_id."""
    kinds = {name: kind for _, name, kind in db.execute("SELECT key, name, kind FROM metadata_columns")}
    names = [*FIXED, *kinds]
    rows = db.execute(f"SELECT {', '.join(map(_quoted, names))} FROM cases ORDER BY case_id").fetchall()  # noqa: S608
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    types = [pa.int64() if name == "bytes" else _TYPES[kinds.get(name, "str")] for name in names]
    arrays = [_column(values, kind) for values, kind in zip(columns, types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(zip(names, types, strict=True))))


def select(db: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> pa.Table:
    """The result of one SELECT; everything else is refused."""
    allowed = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}

    def may(action: int, first: str | None, second: str | None, *_: Any) -> int:
        loads = action == sqlite3.SQLITE_FUNCTION and second in ("load_extension", "fts3_tokenizer")
        return sqlite3.SQLITE_OK if action in allowed and not loads else sqlite3.SQLITE_DENY

    db.set_authorizer(may)
    try:
        cursor = db.execute(sql, tuple(parameters))
        if cursor.description is None:
            raise ArgumentError("query: only SELECT is allowed")
        rows = cursor.fetchall()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise ArgumentError(f"query: {error}; only one SELECT over cases, findings, series is allowed") from None
    finally:
        db.set_authorizer(None)
    return _as_table([column[0] for column in cursor.description], rows)


def _as_table(names: list[str], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.Table.from_arrays([_inferred(values) for values in columns], names=names)


def _inferred(values: Sequence[Any]) -> pa.Array:
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {int}:
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if kinds <= {bytes}:
        return pa.array(values, pa.binary())
    return pa.array([None if v is None else str(v) for v in values], pa.string())


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):
        return pa.array([None if v is None else bool(v) for v in values], kind)
    if pa.types.is_floating(kind):
        return pa.array([None if v is None else float(v) for v in values], kind)
    if pa.types.is_string(kind):
        return pa.array([None if v is None else str(v) for v in values], kind)
    return pa.array(values, kind)


def create(db: sqlite3.Connection) -> None:
    """The tables of an empty index."""
    columns = ", ".join(f"{name} {'INTEGER' if name == 'bytes' else 'TEXT'}" for name in FIXED[1:])
    db.execute(f"CREATE TABLE cases (case_id TEXT PRIMARY KEY, {columns})")
    # apart, because scans of `cases` walk whole rows
    db.execute("CREATE TABLE details (case_id TEXT PRIMARY KEY, metadata TEXT)")
    db.execute("CREATE TABLE findings (case_id TEXT, code TEXT, message TEXT)")
    db.execute("CREATE INDEX findings_case ON findings (case_id)")
    db.execute("CREATE TABLE series (series TEXT, case_id TEXT, modality TEXT, kind TEXT, image TEXT)")
    db.execute("CREATE INDEX series_case ON series (case_id)")
    db.execute("CREATE INDEX cases_source ON cases (source)")
    db.execute("CREATE TABLE metadata_columns (key TEXT PRIMARY KEY, name TEXT, kind TEXT)")
    db.execute("CREATE TABLE stamp (made TEXT, changes INTEGER)")
    db.execute("INSERT INTO stamp VALUES (?, 0)", (uuid.uuid4().hex,))
    db.execute(f"PRAGMA user_version = {_VERSION}")


def _stamp(db: sqlite3.Connection) -> str:
    made, changes = db.execute("SELECT made, changes FROM stamp").fetchone()
    return f"{made}-{changes}"


def remove(db: sqlite3.Connection, case_ids: Iterable[str]) -> None:
    """Rows that go leave no bytes in the file (`secure_delete`): they may be those of a subject who withdrew."""
    for case_id in case_ids:
        db.execute("DELETE FROM cases WHERE case_id = ?", (case_id,))
        db.execute("DELETE FROM findings WHERE case_id = ?", (case_id,))
        db.execute("DELETE FROM details WHERE case_id = ?", (case_id,))
        db.execute("DELETE FROM series WHERE case_id = ?", (case_id,))
        db.execute("UPDATE stamp SET changes = changes + 1")


def insert(db: sqlite3.Connection, manifests: Iterable[Manifest]) -> None:
    """Insert or replace the rows of these cases."""
    known = {key: (name, kind) for key, name, kind in db.execute("SELECT key, name, kind FROM metadata_columns")}
    for manifest in manifests:
        row = row_of(manifest)
        values = dict(row["fixed"])
        for key, value in row["metadata"].items():
            name = _column_for(db, known, key, value)
            if name is not None:
                values[name] = value
        names = ", ".join(map(_quoted, values))
        marks = ", ".join("?" * len(values))
        remove(db, [manifest["case_id"]])
        db.execute(f"INSERT INTO cases ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
        details = json.dumps(manifest["metadata"], ensure_ascii=False)
        db.execute("INSERT INTO details VALUES (?, ?)", (manifest["case_id"], details))
        found = [(manifest["case_id"], f["code"], f["message"]) for f in manifest["findings"]]
        db.executemany("INSERT INTO findings VALUES (?, ?, ?)", found)
        made_of = [{**one, "case_id": manifest["case_id"]} for one in manifest.get("series", ())]
        db.executemany("INSERT INTO series VALUES (:series, :case_id, :modality, :kind, :image)", made_of)


def _column_for(db: sqlite3.Connection, known: dict[str, tuple[str, str]], key: str, value: Any) -> str | None:
    """The column of a metadata key, made at its first value; a kind that changes widens the column."""
    kind = "bool" if isinstance(value, bool) else type(value).__name__
    if key not in known:
        if len(known) >= _MOST_COLUMNS or not key or len(key) > 64:
            return None
        used = {name.casefold() for name, _ in known.values()} | {*FIXED}
        name = key
        while name.casefold() in used:
            name = f"metadata_{name}"
        db.execute(f"ALTER TABLE cases ADD COLUMN {_quoted(name)}")
        db.execute("INSERT INTO metadata_columns VALUES (?, ?, ?)", (key, name, kind))
        known[key] = name, kind
        return name
    name, before = known[key]
    if kind != before and before != "mixed":
        wider = "float" if {kind, before} == {"int", "float"} else "mixed"
        if wider != before:
            db.execute("UPDATE metadata_columns SET kind = ? WHERE key = ?", (wider, key))
            known[key] = name, wider
    return name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
