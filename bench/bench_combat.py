"""ComBat against pycombat, neuroCombat and combaters: time, peak memory, and the sums and the correction on a GPU.

FASTIMG_BENCH_FULL=1 takes the large table whole (100,000 x 1500: 1.2 GB, and 5 GB for the peer) instead of a tenth of it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg.testing import harmonize as twin

FULL = bool(os.environ.get("FASTIMG_BENCH_FULL"))
COMBAT = "harmonize: ComBat fit and apply, 5000 x 1500, 30 batches, age and sex"
SUBJECTS, FEATURES, BATCHES = (100_000 if FULL else 10_000), 1500, 30
LARGE = f"harmonize: ComBat fit and apply, {SUBJECTS} x 1500, 30 batches, age and sex"


def cohort(n):
    rng = np.random.default_rng(3)
    batch = rng.integers(0, BATCHES, n)
    age, sex = rng.normal(60, 10, n).astype(np.float32), rng.integers(0, 2, n)
    X = rng.normal(size=(n, FEATURES))
    X += rng.normal(0, 0.5, (BATCHES, FEATURES))[batch]
    X += age[:, None] * np.float32(0.02)
    return X, batch, {"age": age, "sex": sex.astype(np.float32)}


@pytest.fixture(scope="module")
def table():
    return cohort(5000)


@pytest.fixture(scope="module")
def large():
    return cohort(SUBJECTS)


def _fastimg(case, table, rounds=5):
    X, batch, covariates = table
    out = np.empty_like(X)
    some = slice(0, 400)
    columns = np.column_stack([covariates["age"], covariates["sex"]])[some].astype(np.float64)
    part = {name: vector[some] for name, vector in covariates.items()}
    seen = fi.harmonize.ComBat().fit_transform(X[some, :50], batch=batch[some] % 5, covariates=part)
    error = np.abs(seen - twin.combat(X[some, :50], batch[some] % 5, columns)).max()

    def work():
        combat = fi.harmonize.ComBat().fit(X, batch=batch, covariates=covariates)
        combat.transform(X, batch=batch, covariates=covariates, out=out)

    case(work, nbytes=3 * X.nbytes, items=X.size, unit="value", error=error, rounds=rounds)


@pytest.mark.benchmark(group=COMBAT)
def bench_combat(case, one_thread, table):
    _fastimg(case, table)


@pytest.mark.benchmark(group=COMBAT)
def bench_combat_neurocombat(case, table):
    pandas = pytest.importorskip("pandas", reason="peer pandas is not installed")
    neuro = pytest.importorskip("neuroCombat", reason="peer neuroCombat is not installed")
    X, batch, covariates = table
    frame, turned = pandas.DataFrame({"batch": batch, **covariates}), np.ascontiguousarray(X.T)

    def work():
        with contextlib.redirect_stdout(io.StringIO()):
            neuro.neuroCombat(turned, frame, "batch", continuous_cols=["age", "sex"])

    case(work, tool="neuroCombat", items=X.size, unit="value", rounds=1)


@pytest.mark.benchmark(group=COMBAT)
def bench_combat_pycombat(case, table):
    pycombat = pytest.importorskip("pycombat", reason="peer pycombat is not installed")
    X, batch, covariates = table
    columns = np.column_stack([covariates["age"], covariates["sex"]]).astype(np.float64)
    case(
        lambda: pycombat.Combat().fit_transform(X, batch, C=columns),
        tool="pycombat",
        items=X.size,
        unit="value",
        rounds=2,
    )


@pytest.mark.benchmark(group=LARGE)
def bench_combat_large(case, one_thread, large):
    _fastimg(case, large, rounds=2)


@pytest.mark.benchmark(group=LARGE)
def bench_combat_large_combaters(case, large):
    combaters = pytest.importorskip("combaters", reason="peer combaters is not installed")
    X, batch, covariates = large
    columns = np.column_stack([covariates["age"], covariates["sex"]]).astype(np.float64)
    # an empty setup keeps it to one run
    case(
        lambda: combaters.combat(X, batch, columns),
        tool="combaters",
        items=X.size,
        unit="value",
        rounds=1,
        setup=lambda: None,
    )


MEMORY = f"harmonize: ComBat, memory above the input, {SUBJECTS} x 1500"


@pytest.mark.benchmark(group=MEMORY)
@pytest.mark.parametrize("way", ["memory", "zarr", "parquet", "combaters"])
def bench_combat_memory(benchmark, tmp_path, way):
    """Peak MB above the input stand in extra_info; the time is that of the work alone, on one thread."""
    if way == "combaters":
        pytest.importorskip("combaters", reason="peer combaters is not installed")
    script = Path(__file__).parent / "combat_memory.py"
    # wide tables are slow as Parquet (a column chunk a feature and row group): a fifth of the subjects
    subjects = SUBJECTS // 5 if way == "parquet" else SUBJECTS

    def run():
        environment = {**os.environ, "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        call = [sys.executable, str(script), way, str(subjects), str(FEATURES), str(tmp_path)]
        done = subprocess.run(call, capture_output=True, text=True, check=True, env=environment)
        return json.loads(done.stdout)

    found = benchmark.pedantic(run, rounds=1, warmup_rounds=0)
    tool = way if way == "combaters" else f"fastimg, {way}"
    benchmark.extra_info.update(
        tool=tool,
        nbytes=0,
        items=0.0,
        unit="",
        error=None,
        megabytes_above=found["above"],
        work_seconds=found["seconds"],
    )
    print(f"\n{tool}: {found['above']:.0f} MB above the input of {found['input']:.0f} MB, {found['seconds']:.2f} s")


# on a device ----------------------------------------------------------------------------------------------------------


def _on_device(gpu):
    n = gpu.size(60_000, 600)  # 0.7 GB of float64 there
    p = gpu.size(FEATURES, 70)
    xp = gpu.xp
    rng = np.random.default_rng(3)
    batch = np.sort(rng.integers(0, BATCHES, n)).astype(np.int32)
    columns = np.column_stack([rng.normal(0, 1, n), rng.integers(0, 2, n).astype(float)])
    x = gpu(rng.normal(size=(1, p)) + np.zeros((n, 1)))
    x += gpu(rng.normal(size=(n, 1)))
    return xp, x, batch, columns


@pytest.mark.gpu
@pytest.mark.parametrize("tool", ["fastimg", "CuPy"])
@pytest.mark.benchmark(group="harmonize: ComBat's sums on a GPU, 60,000 x 1500 float64, 30 batches, 2 covariates")
def bench_gpu_combat_add(gpu_case, gpu, tool):
    from fastimg.harmonize import _cuda

    xp, x, batch, columns = _on_device(gpu)
    p, q = x.shape[1], columns.shape[1]
    center, c = gpu(np.zeros((BATCHES, p))), gpu(columns)
    starts = np.searchsorted(batch, np.arange(BATCHES + 1)).tolist()

    def work():
        sums = {"y": xp.zeros((BATCHES, p)), "yy": xp.zeros((BATCHES, p)), "cy": xp.zeros((BATCHES, q, p))}
        if tool == "fastimg":
            _cuda.combat_add(x, batch, c, center, sums, threads=1)
            return sums
        for k in range(BATCHES):  # rows of a batch lie together: views, the fastest a user's loop can be
            own = x[starts[k] : starts[k + 1]] - center[k]
            sums["y"][k] = own.sum(0)
            sums["yy"][k] = (own * own).sum(0)
            sums["cy"][k] = c[starts[k] : starts[k + 1]].T @ own
        return sums

    def expected():
        host, sums = np.asarray(fi._dispatch.move(x, "cpu")), {}
        sums["y"] = np.array([host[a:b].sum(0) for a, b in itertools.pairwise(starts)])
        sums["yy"] = np.array([(host[a:b] ** 2).sum(0) for a, b in itertools.pairwise(starts)])
        sums["cy"] = np.array([columns[a:b].T @ host[a:b] for a, b in itertools.pairwise(starts)])
        return sums

    gpu_case(work, tool=tool, nbytes=x.nbytes, items=x.size, unit="value", expected=expected)


@pytest.mark.gpu
@pytest.mark.parametrize("tool", ["fastimg", "CuPy"])
@pytest.mark.benchmark(group="harmonize: ComBat's correction on a GPU, 60,000 x 1500 float64, 30 batches, 2 covariates")
def bench_gpu_combat_apply(gpu_case, gpu, tool):
    from fastimg.harmonize import _cuda

    xp, x, batch, columns = _on_device(gpu)
    p, q = x.shape[1], columns.shape[1]
    rng = np.random.default_rng(4)
    mean, beta = gpu(rng.normal(size=p)), gpu(rng.normal(size=(q, p)))
    gamma, alpha = gpu(rng.normal(size=(BATCHES, p))), gpu(rng.uniform(0.5, 2, (BATCHES, p)))
    codes, c, out = gpu(batch), gpu(columns), xp.empty_like(x)

    def work():
        if tool == "fastimg":
            _cuda.combat_apply(x, out, codes, c, mean, beta, gamma, alpha, threads=1)
            return out
        expected = mean + c @ beta
        return expected + (x - expected - gamma[codes]) * alpha[codes]

    def expected():
        host, m, b, g, a = (np.asarray(fi._dispatch.move(v, "cpu")) for v in (x, mean, beta, gamma, alpha))
        trend = m + columns @ b
        return trend + (host - trend - g[batch]) * a[batch]

    gpu_case(work, tool=tool, nbytes=2 * x.nbytes, items=x.size, unit="value", expected=expected)


@pytest.mark.gpu
@pytest.mark.benchmark(group="harmonize: ComBat fit and apply with X on a GPU, 5000 x 1500, 30 batches, age and sex")
def bench_gpu_combat(gpu_case, gpu):
    """The whole call: labels, design and estimates are made on the host between the two kernels."""
    X, batch, covariates = cohort(gpu.size(5000, 300))
    X = gpu(X[:, : gpu.size(FEATURES, 70)])
    if len(X) < 1000:
        batch = batch % 4
    out = gpu.xp.empty_like(X)

    def work():
        combat = fi.harmonize.ComBat().fit(X, batch=batch, covariates=covariates)
        return combat.transform(X, batch=batch, covariates=covariates, out=out)

    def expected():
        host = np.asarray(fi._dispatch.move(X, "cpu"))
        return fi.harmonize.ComBat().fit_transform(host, batch=batch, covariates=covariates)

    gpu_case(work, nbytes=3 * X.nbytes, items=X.size, unit="value", expected=expected, batches=5)
