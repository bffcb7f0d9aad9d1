"""Files to a table: one row a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import thread_count
from ..errors import ArgumentError
from . import _native

__all__ = ["describe", "scan", "scan_parts"]

_KINDS = {"text": "text", "real": "float64", "whole": "int64"}


def scan(root: Any, *, threads: int | None = None) -> Any:
    """List all files below a folder with what their headers say.

    One bounded read a file (as long as the header of the file before, 4 to 16 KB; more only where a header is longer),
    tags walked natively, links not followed, nothing raised for a bad file: it is a row with a finding.

    Parameters
    ----------
    root : path
        A folder.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    pyarrow.Table
        A row a file, in order of their paths. `path` (relative to the root), `size` (bytes), `status`:

        - "image": pixels with rows and columns;
        - "mask": segmentation or RT structure set;
        - "other": DICOM without pixels that fastimg reads, DICOMDIR among them (no path inside one is followed);
        - "skipped": not DICOM, a link, an archive, or unreadable;
        - "damaged": cut short, or elements that cannot be walked;

        `finding` (a code of `fastimg.findings`, or null), `detail` (a sentence, or null), `pixel_offset`,
        `pixel_length` (bytes; -1: encapsulated or none), and a column for each of about 85 elements, null where absent:
        patient, study, series, acquisition, geometry, pixel format, rescale, PET. Of an enhanced multi-frame object the
        geometry is the shared group's, or else the first frame's. The root stands in the schema's metadata under
        b"root". Peak memory: about 2 KB a file.

    Raises
    ------
    ArgumentError
        The root is not a folder that can be listed.
    """
    return next(scan_parts(root, sys.maxsize, threads=threads))


def scan_parts(root: Any, rows: int, *, threads: int | None = None) -> Iterator[Any]:
    """The table of `scan` in parts of at most so many rows, at least one of them: memory does not grow with the tree."""
    folder = Path(os.fspath(root))
    if not folder.is_dir():
        raise ArgumentError(f"scan: root must be a folder, got {str(root)!r}")
    try:
        tree = _native.TreeScan(os.fsencode(folder))
    except OSError as error:
        raise ArgumentError(f"scan: the folder cannot be listed: {error.strerror}") from error
    base, count, first = os.fsencode(folder.resolve()), thread_count(threads), True
    while True:
        found = tree.next(rows, count)
        if not len(found["size"]) and not first:
            return
        yield _table(found, base)
        first = False


def describe(paths: Sequence[Any], *, threads: int | None = None) -> Any:
    """The same table for given files, in their order; `path` is as given."""
    found = _native.scan_files([os.fsencode(path) for path in paths], thread_count(threads))
    return _table(found, b"")


def _table(found: dict[str, Any], root: bytes) -> Any:
    import pyarrow as pa

    rows = len(found["size"])
    offsets, data = found["path"]
    path, unnameable = _paths(
        pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    )
    columns: dict[str, Any] = {"path": path, "size": pa.array(found["size"])}
    for name in ("status", "finding", "detail"):
        valid, offsets, data = found[name]
        columns[name] = pa.Array.from_buffers(
            pa.string(), rows, [pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer(data)]
        )
    foreign: dict[str, Any] = {}
    for name, kind, valid, offsets, values, rows_beyond_ascii in found["fields"]:
        buffers = [pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer(values)]
        if kind == "text":
            columns[name] = pa.Array.from_buffers(pa.binary(), rows, buffers)
            if len(rows_beyond_ascii):
                foreign[name] = rows_beyond_ascii
            else:
                columns[name] = pa.Array.from_buffers(pa.string(), rows, buffers)
        elif kind == "reals":
            items = pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(values)])
            columns[name] = pa.Array.from_buffers(pa.list_(pa.float64()), rows, buffers[:2], children=[items])
        else:
            plain = pa.float64() if kind == "real" else pa.int64()
            columns[name] = pa.Array.from_buffers(plain, rows, [buffers[0], buffers[2]])
    for name, where in foreign.items():
        columns[name] = _decoded(columns[name], where, columns["specific_character_set"], name=name == "patient_name")
    for name in ("pixel_offset", "pixel_length", "pixel_element"):
        columns[name] = pa.array(found[name])
    for name in ("pixel_words", "big_endian", "deflated", "multi_frame"):
        columns[name] = pa.array(found[name].astype(bool))
    if unnameable:
        _mark_unnameable(columns, unnameable)
    if columns["series_uid"].null_count:
        _mark_alone(columns)
    return pa.table(columns).replace_schema_metadata({b"root": root, b"fastimg.scan": b"1"})


def _mark_alone(columns: dict[str, Any]) -> None:
    """Images and masks that name no series are told: no series would hold them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    told = pc.is_in(columns["status"], value_set=pa.array(["image", "mask"]))
    alone = pc.and_(pc.and_(told, pc.is_null(columns["series_uid"])), pc.is_null(columns["finding"]))
    columns["finding"] = pc.if_else(alone, "no-series", columns["finding"])
    columns["detail"] = pc.if_else(alone, "no Series Instance UID", columns["detail"])


def _decoded(column: Any, rows: Any, character_sets: Any, *, name: bool) -> Any:
    """Text rows beyond ASCII in UTF-8; the others stay as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from ._charset import decode

    rows = sorted(int(row) for row in rows)
    chosen = character_sets.take(pa.array(rows)).to_pylist()
    values = column.take(pa.array(rows)).to_pylist()
    texts = [
        decode(value, charset if isinstance(charset, str) else "", name=name).encode()
        for value, charset in zip(values, chosen, strict=True)
    ]
    mask = np.zeros(len(column), bool)
    mask[rows] = True
    return pc.replace_with_mask(column, pa.array(mask), pa.array(texts, pa.binary())).cast(pa.string())


def _paths(raw: Any) -> tuple[Any, list[int]]:
    """As UTF-8; names that are not are escaped, and their rows are returned: such files cannot be named in a table."""
    import pyarrow as pa

    try:
        return raw.cast(pa.string()), []
    except pa.ArrowInvalid:
        texts, bad = [], []
        for row, value in enumerate(raw.to_pylist()):
            try:
                texts.append(value.decode())
            except UnicodeDecodeError:
                texts.append(value.decode("utf-8", "backslashreplace"))
                bad.append(row)
        return pa.array(texts, pa.string()), bad


def _mark_unnameable(columns: dict[str, Any], rows: list[int]) -> None:
    import pyarrow as pa

    for name, text in (("status", "skipped"), ("finding", "unreadable"), ("detail", "the file's name is not UTF-8")):
        values = columns[name].to_pylist()
        for row in rows:
            values[row] = text
        columns[name] = pa.array(values, pa.string())
