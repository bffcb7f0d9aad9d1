"""Fitting and harmonising tables that do not fit in memory: Zarr arrays, Parquet files, memory maps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import ArgumentError
from ._design import columns_of, labels

__all__ = ["Streaming"]

_BYTES = 1 << 24  # of values at once, unless the source's own chunks are larger
_GROUP = 1 << 25  # of a Parquet file's row group


class Streaming:
    """`fit_stream` and `transform_stream`, by the estimator's own `partial_fit` and `transform`."""

    def fit_stream(
        self,
        source: Any,
        *,
        batch: Any,
        covariates: Any = None,
        features: Sequence[str] | None = None,
        rows: int | None = None,
    ) -> Self:
        """Estimate from a table on disk, a chunk of rows at a time; memory does not grow with the subjects.

        Parameters
        ----------
        source : zarr.Array, array of subjects x features that is read by slices (a memory map), or path
            Of a Parquet file, or of a folder of them (``*.parquet``, by name). Arrow keeps about 1 kB for each column of
            each row group of an open file: very long tables are best kept in several.
        batch : sequence, or str
            A label a subject; for a Parquet file the name of a column.
        covariates : table or mapping, or sequence of str
            As in `fit`; for a Parquet file the names of columns.
        features : sequence of str, optional
            Columns of a Parquet file. Default: all columns of floating-point numbers that are not covariates.
        rows : int, optional
            Subjects at once. Default: about 16 MB, in whole chunks of a Zarr array; 8 MB of a Parquet file.

        Raises
        ------
        ArgumentError
            As in `fit`, and for a source of another kind.
        """
        self._forget()  # type: ignore[attr-defined]
        for _, x, label, kept, _ in _chunks(source, batch, covariates, features, rows):
            self.partial_fit(x, batch=label, covariates=kept)  # type: ignore[attr-defined]
        return self

    def transform_stream(
        self,
        source: Any,
        target: Any,
        *,
        batch: Any,
        covariates: Any = None,
        features: Sequence[str] | None = None,
        rows: int | None = None,
    ) -> None:
        """Harmonise a table on disk into another one, a chunk of rows at a time.

        Parameters
        ----------
        source, batch, covariates, features, rows
            As in `fit_stream`.
        target : zarr.Array or writable array of the source's shape, or path of a new Parquet file
            A Parquet file gets all columns of the source, in their order; it stands there when it is whole. Of a folder
            a new folder with files of the same names.
        """
        if _is_path(source) != _is_path(target):
            raise ArgumentError("target: a Parquet file is harmonised into a Parquet file, an array into an array")
        if _is_path(source):
            parts = _parts(source)
            with _appearing(Path(target)) as partial:
                if Path(source).is_dir():
                    partial.mkdir()
                for path in parts:
                    to = partial / path.name if partial.is_dir() else partial
                    _to_parquet(self, _of_parquet([path], batch, covariates, features, rows), to)
            return
        chunks = _chunks(source, batch, covariates, features, rows)
        if tuple(target.shape) != tuple(source.shape):
            raise ArgumentError(f"target: expected the source's shape {tuple(source.shape)}, got {tuple(target.shape)}")
        for part, x, label, kept, _ in chunks:
            target[part] = self.transform(x, batch=label, covariates=kept)  # type: ignore[attr-defined]


Chunk = tuple[slice, Any, Any, Any, Any]  # rows, values, batch, covariates, the rest of a Parquet file's columns


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _chunks(source: Any, batch: Any, covariates: Any, features: Any, rows: int | None) -> Iterator[Chunk]:
    if rows is not None and (isinstance(rows, bool) or rows < 1):
        raise ArgumentError(f"rows: must be a positive whole number, got {rows!r}")
    if _is_path(source):
        yield from _of_parquet(_parts(source), batch, covariates, features, rows)
        return
    if features is not None:
        raise ArgumentError("features: names the columns of a Parquet file; an array has none")
    if len(getattr(source, "shape", ())) != 2 or not hasattr(source, "__getitem__"):
        raise ArgumentError("source: expected an array of subjects x features, or the path of a Parquet file")
    count, width = source.shape
    own = getattr(source, "chunks", None)
    step = rows or max(1, _BYTES // max(1, width * np.dtype(source.dtype).itemsize))
    if rows is None and own:
        step = max(1, step // own[0]) * own[0]
    named, label = columns_of(covariates, count), np.array(labels(batch, "batch", count), object)
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        kept = {name: vector[part] for name, vector in named.items()} or None
        yield part, np.asarray(source[part]), label[part].tolist(), kept, None


def _parts(path: Any) -> list[Path]:
    """The Parquet files of a source: itself, or those of a folder."""
    path = Path(path)
    if not path.is_dir():
        return [path]
    found = sorted(part for part in path.glob("*.parquet") if not part.name.startswith("."))
    if not found:
        raise ArgumentError("source: the folder holds no *.parquet")
    return found


def _of_parquet(parts: Sequence[Path], batch: Any, covariates: Any, features: Any, rows: int | None) -> Iterator[Chunk]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not isinstance(batch, str):
        raise ArgumentError("batch: of a Parquet file, expected the name of a column")
    if isinstance(covariates, (str, Mapping)) or not all(isinstance(name, str) for name in covariates or ()):
        raise ArgumentError("covariates: of a Parquet file, expected names of columns")
    kept, names, at = list(covariates or ()), features, 0
    for path in parts:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 13) as file:
            schema = file.schema_arrow
            if names is None:
                names = [f.name for f in schema if pa.types.is_floating(f.type) and f.name not in (batch, *kept)]
            missing = sorted({batch, *kept, *names} - set(schema.names))
            if missing:
                raise ArgumentError(f"source: the file has no column {', '.join(map(repr, missing))}")
            if not names:
                raise ArgumentError("features: the file has no column of floating-point numbers")
            # a chunk is held as columns, as rows and as a result
            step = rows or max(1, _BYTES // (16 * len(names)))
            for group in file.iter_batches(batch_size=step, use_threads=False):
                x = np.column_stack([group.column(name).to_numpy(zero_copy_only=False) for name in names])
                part = slice(at, at + len(x))
                at += len(x)
                table = {name: _plain(group.column(name)) for name in kept} or None
                values = {name: x[:, i] for i, name in enumerate(names)}
                yield part, values, group.column(batch).to_pylist(), table, group


def _plain(column: Any) -> Any:
    if column.null_count:
        raise ArgumentError("covariates: a value is missing; impute it or leave the row out")
    values = column.to_pylist()
    return np.array(values) if values else np.empty(0)


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A hidden path beside the target that takes its place when all went well."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    if target.is_dir():
        raise ArgumentError("target: the folder is there already")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)


def _to_parquet(estimator: Any, chunks: Iterator[Chunk], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, held = None, []

    def write(batches: list[Any]) -> None:
        nonlocal writer
        if writer is None:
            # a dictionary a feature would be as large as its values
            words = [field.name for field in batches[0].schema if not pa.types.is_floating(field.type)]
            writer = pq.ParquetWriter(target, batches[0].schema, compression="zstd", use_dictionary=words)
        writer.write_table(pa.Table.from_batches(batches))  # a column at a time; write_batch holds all at once
        batches.clear()

    try:
        for _, values, label, kept, group in chunks:
            clean = estimator.transform(values, batch=label, covariates=kept)
            at = {name: i for i, name in enumerate(values)}
            columns = [pa.array(clean[:, at[n]]) if n in at else group.column(n) for n in group.schema.names]
            held.append(pa.record_batch(columns, names=group.schema.names))
            # The writer keeps 1 kB a column of each group until the end: few groups.
            if sum(batch.nbytes for batch in held) >= _GROUP:
                write(held)
        if held:
            write(held)
        if writer is None:
            raise ArgumentError("source: the file has no rows")
    finally:
        if writer is not None:
            writer.close()
