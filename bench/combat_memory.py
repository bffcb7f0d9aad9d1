"""Peak memory of ComBat in a process of its own, in MB above what the process holds before, as a JSON line.

python bench/combat_memory.py WAY SUBJECTS FEATURES FOLDER

WAY: zarr, parquet or parts (from disk to disk; parts: a folder of Parquet files of 10,000 subjects), memory (the input in
memory, harmonised in place by chunks), or a peer over the input in memory: combaters, pycombat, neuroCombat. `input` is the
size of the table; of the ways in memory it is not counted.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from pathlib import Path

import numpy as np

BATCHES, CHUNK, PART = 30, 2000, 10_000


def resident(key: str = "VmHWM") -> float:
    """MB of this process, now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def rows(subjects: int, features: int, start: int) -> np.ndarray:
    """Rows from `start` of the table, up to a chunk."""
    count = min(CHUNK, subjects - start)
    rng = np.random.default_rng(start)
    return rng.normal(size=(count, features)) + np.arange(start, start + count)[:, None] % BATCHES * 0.1


def covariates(subjects: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {"age": rng.normal(60, 10, subjects), "sex": rng.integers(0, 2, subjects).astype(float)}


def main(way: str, subjects: int, features: int, folder: Path) -> dict[str, float]:
    batch, kept = np.arange(subjects) % BATCHES, covariates(subjects)
    run = {"zarr": _zarr, "parquet": _parquet, "parts": _parts, "memory": _memory}.get(way)
    work = run(subjects, features, folder, batch, kept) if run else _peer(way, subjects, features, batch, kept)
    if run:  # what is imported is not what is measured
        import fastimg as fi

        fi.harmonize.ComBat(threads=1).fit(rows(60, 3, 0), batch=batch[:60] % 2)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again here
    before, start = resident("VmRSS"), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    return {"above": resident() - before, "seconds": seconds, "input": subjects * features * 8 / 2**20}


def _zarr(subjects, features, folder, batch, kept):
    import zarr

    import fastimg as fi

    options = {"shape": (subjects, features), "chunks": (CHUNK // 2, features), "dtype": "f8", "overwrite": True}
    source, target = (zarr.create_array(folder / name, compressors=None, **options) for name in ("x", "y"))
    for start in range(0, subjects, CHUNK):
        source[start : start + CHUNK] = rows(subjects, features, start)

    def work():
        combat = fi.harmonize.ComBat(threads=1).fit_stream(source, batch=batch, covariates=kept)
        combat.transform_stream(source, target, batch=batch, covariates=kept)

    return work


def _parquet(subjects, features, folder, batch, kept, part=None):
    import pyarrow as pa
    import pyarrow.parquet as pq

    import fastimg as fi

    pa.set_cpu_count(1)
    names, source = [f"f{i}" for i in range(features)], folder / "x.parquet"
    if part:
        source.mkdir()
    for first in range(0, subjects, part or subjects):
        path, writer = source / f"{first:06d}.parquet" if part else source, None
        last = min(first + (part or subjects), subjects)
        for start in range(first, last, CHUNK):
            here = slice(start, min(start + CHUNK, last))
            columns = {"batch": batch[here], **{name: vector[here] for name, vector in kept.items()}}
            columns |= dict(zip(names, rows(subjects, features, start).T, strict=True))
            made = pa.table(columns)
            writer = writer or pq.ParquetWriter(path, made.schema, compression="zstd", use_dictionary=False)
            writer.write_table(made)
        writer.close()
    del made, columns, writer
    pa.default_memory_pool().release_unused()

    def work():
        options = {"batch": "batch", "covariates": list(kept)}
        combat = fi.harmonize.ComBat(threads=1).fit_stream(source, **options)
        combat.transform_stream(source, folder / "y.parquet", **options)

    return work


def _parts(*arguments):
    return _parquet(*arguments, part=PART)


def _whole(subjects, features):
    table = np.empty((subjects, features))
    for start in range(0, subjects, CHUNK):
        table[start : start + CHUNK] = rows(subjects, features, start)
    return table


def _memory(subjects, features, folder, batch, kept):
    import fastimg as fi

    table = _whole(subjects, features)

    def work():
        combat = fi.harmonize.ComBat(threads=1).fit(table, batch=batch, covariates=kept)
        for start in range(0, subjects, CHUNK):
            part = slice(start, start + CHUNK)
            few = {name: vector[part] for name, vector in kept.items()}
            table[part] = combat.transform(table[part], batch=batch[part], covariates=few)

    return work


def _peer(way, subjects, features, batch, kept):
    table, columns = _whole(subjects, features), np.column_stack(list(kept.values()))
    if way == "combaters":
        import combaters

        return lambda: combaters.combat(table, batch, columns)
    if way == "pycombat":
        import pycombat

        return lambda: pycombat.Combat().fit_transform(table, batch, C=columns)
    import neuroCombat
    import pandas

    turned, frame = np.ascontiguousarray(table.T), pandas.DataFrame({"batch": batch, **kept})

    def work():
        with contextlib.redirect_stdout(io.StringIO()):
            neuroCombat.neuroCombat(turned, frame, "batch", continuous_cols=list(kept))

    return work


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
