"""Tables on disk: Zarr, Parquet and memory maps give what the whole table gives, with memory that does not grow."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

import fastimg as fi
from fastimg.harmonize import ComBat, CovBat


def cohort(n=230, features=6, seed=0):
    rng = np.random.default_rng(seed)
    k = np.sort(np.arange(n) % 3)  # whole chunks of one batch
    age, sex = rng.normal(60, 10, n), np.where(rng.random(n) < 0.5, "F", "M")
    X = rng.normal(size=(n, features)) * np.array([1, 2, 3])[k][:, None] + k[:, None] + 0.1 * age[:, None]
    return X, np.array(list("ABC"))[k], {"age": age, "sex": sex}


def parquet(path, X, batch, covariates):
    names = [f"feature {i}" for i in range(X.shape[1])]
    columns = {"case": np.arange(len(X)), "batch": batch, **covariates, **dict(zip(names, X.T, strict=True))}
    pq.write_table(pa.table(columns), path, row_group_size=64)
    return names


@pytest.mark.parametrize("kind", ["zarr", "memmap"])
@pytest.mark.parametrize("rows", [None, 37])
@pytest.mark.parametrize("model", [ComBat(), CovBat()])
def test_arrays_on_disk(tmp_path, kind, rows, model):
    X, batch, covariates = cohort()
    if kind == "zarr":
        source = zarr.create_array(tmp_path / "x", shape=X.shape, chunks=(50, 4), dtype=X.dtype)
        target = zarr.create_array(tmp_path / "y", shape=X.shape, chunks=(50, 4), dtype=X.dtype)
    else:
        source, target = (np.memmap(tmp_path / name, X.dtype, "w+", shape=X.shape) for name in "xy")
    source[:] = X
    options = {"batch": batch, "covariates": covariates, "rows": rows}
    model.fit_stream(source, **options).transform_stream(source, target, **options)
    expected = type(model)().fit_transform(X, batch=batch, covariates=covariates)
    np.testing.assert_allclose(target[:], expected, rtol=1e-9)


def test_parquet_keeps_its_other_columns(tmp_path):
    X, batch, covariates = cohort()
    names = parquet(tmp_path / "x.parquet", X, batch, covariates)
    options = {"batch": "batch", "covariates": ["age", "sex"], "rows": 50}
    combat = ComBat().fit_stream(tmp_path / "x.parquet", **options)
    assert combat.feature_names_in_.tolist() == names
    combat.transform_stream(tmp_path / "x.parquet", tmp_path / "y.parquet", **options)
    seen, source = pq.read_table(tmp_path / "y.parquet"), pq.read_table(tmp_path / "x.parquet")
    assert seen.column_names == source.column_names
    for name in ("case", "batch", "age", "sex"):
        assert seen[name].to_pylist() == source[name].to_pylist()
    expected = ComBat().fit_transform(X, batch=batch, covariates=covariates)
    np.testing.assert_allclose(np.column_stack([seen[name] for name in names]), expected, rtol=1e-9)
    part = ComBat().fit_stream(tmp_path / "x.parquet", features=names[:3], **options)
    assert part.n_features_in_ == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.parquet", "y.parquet"]


def test_a_folder_of_parquet_files(tmp_path):
    X, batch, covariates = cohort()
    (tmp_path / "x").mkdir()
    for name, here in (("a", slice(0, 130)), ("b", slice(130, 131)), ("c", slice(131, None))):
        few = {key: vector[here] for key, vector in covariates.items()}
        names = parquet(tmp_path / "x" / f"{name}.parquet", X[here], batch[here], few)
    options = {"batch": "batch", "covariates": ["age", "sex"], "rows": 50}
    combat = ComBat().fit_stream(tmp_path / "x", **options)
    combat.transform_stream(tmp_path / "x", tmp_path / "y", **options)
    assert [path.name for path in sorted((tmp_path / "y").iterdir())] == ["a.parquet", "b.parquet", "c.parquet"]
    seen = [pq.read_table(path) for path in sorted((tmp_path / "y").iterdir())]
    assert [len(table) for table in seen] == [130, 1, len(X) - 131]
    expected = ComBat().fit_transform(X, batch=batch, covariates=covariates)
    table = np.concatenate([np.column_stack([part[name] for name in names]) for part in seen])
    np.testing.assert_allclose(table, expected, rtol=1e-9)
    with pytest.raises(fi.errors.ArgumentError, match="there already"):
        combat.transform_stream(tmp_path / "x", tmp_path / "y", **options)
    (tmp_path / "x" / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(pa.ArrowInvalid):
        combat.transform_stream(tmp_path / "x", tmp_path / "z", **options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(fi.errors.ArgumentError, match="folder holds no"):
        ComBat().fit_stream(tmp_path / "empty", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "x", "y"]


def test_an_interrupted_file_is_not_left(tmp_path):
    X, batch, covariates = cohort()
    parquet(tmp_path / "x.parquet", X, batch, covariates)
    combat = ComBat().fit_stream(tmp_path / "x.parquet", batch="batch")
    batch[200:] = "D"
    parquet(tmp_path / "x.parquet", X, batch, covariates)
    with pytest.raises(fi.errors.ArgumentError, match="'D' was not among"):
        combat.transform_stream(tmp_path / "x.parquet", tmp_path / "y.parquet", batch="batch", rows=50)
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c, x, p, b: c.fit_stream(p, batch=b), "name of a column"),
        (lambda c, x, p, b: c.fit_stream(p, batch="none"), "no column 'none'"),
        (lambda c, x, p, b: c.fit_stream(p, batch="batch", covariates="age"), "names of columns"),
        (lambda c, x, p, b: c.fit_stream(p, batch="batch", features=[]), "no column of floating"),
        (lambda c, x, p, b: c.fit_stream(x, batch=b, features=["f0"]), "Parquet"),
        (lambda c, x, p, b: c.fit_stream(x[0], batch=b), "subjects x features"),
        (lambda c, x, p, b: c.fit_stream(x, batch=b, rows=0), "rows"),
        (lambda c, x, p, b: c.fit_stream(x, batch=b).transform_stream(x, x[:5].copy(), batch=b), "shape"),
        (lambda c, x, p, b: c.fit_stream(x, batch=b).transform_stream(x, p, batch=b), "into an array"),
    ],
)
def test_misuse_is_refused_in_words(tmp_path, call, words):
    X, batch, covariates = cohort()
    parquet(tmp_path / "x.parquet", X, batch, covariates)
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call(ComBat(), X, tmp_path / "x.parquet", batch)


PROBE = """
import resource, sys
import numpy as np, zarr
import fastimg as fi
n, path = int(sys.argv[1]), sys.argv[2]
x = zarr.create_array(path + "/x", shape=(n, 200), chunks=(1000, 200), dtype="f8", compressors=None)
y = zarr.create_array(path + "/y", shape=(n, 200), chunks=(1000, 200), dtype="f8", compressors=None)
rng = np.random.default_rng(0)
for start in range(0, n, 1000):
    x[start : start + 1000] = rng.normal(size=(1000, 200))
batch = np.arange(n) % 5
combat = fi.harmonize.ComBat(threads=1)
combat.fit_stream(x, batch=batch, rows=2000).transform_stream(x, y, batch=batch, rows=2000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_subjects(tmp_path):
    peak = []
    for n in (4_000, 30_000):  # 6 MB and 48 MB
        folder = tmp_path / str(n)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", PROBE, str(n), str(folder)], capture_output=True, text=True, check=True
        )
        peak.append(int(done.stdout) / 1024)
    assert peak[1] - peak[0] < 12, peak
