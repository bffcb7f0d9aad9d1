"""harmonize against NumPy, SimpleITK and scikit-image where they do the same work."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

import fastimg as fi
from fastimg.testing import harmonize as twin

WINDOW = "harmonize: window int16 to [0, 1], 78.6 M voxels"


@pytest.mark.benchmark(group=WINDOW)
def bench_window(case, one_thread, ct_volume):
    out = np.empty(ct_volume.shape, np.float32)
    fi.harmonize.window(ct_volume, out=out)
    error = np.abs(out - twin.window(ct_volume.array, -160, 240)).max()
    case(
        lambda: fi.harmonize.window(ct_volume, out=out), nbytes=6 * out.size, items=out.size, unit="voxel", error=error
    )


@pytest.mark.benchmark(group=WINDOW)
def bench_window_numpy(case, ct_volume):
    out = np.empty(ct_volume.shape, np.float32)

    def work():
        np.clip(ct_volume.array, -160, 240, out=out, casting="unsafe")
        np.subtract(out, -160, out=out)
        np.multiply(out, 1 / 400, out=out)

    case(work, tool="numpy (out=)", nbytes=6 * out.size, items=out.size, unit="voxel")


@pytest.mark.benchmark(group=WINDOW)
def bench_window_simpleitk(case, ct_volume):
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = sitk.Cast(sitk.GetImageFromArray(ct_volume.array), sitk.sitkFloat32)
    case(
        lambda: sitk.IntensityWindowing(image, -160, 240, 0, 1),
        tool="SimpleITK (from float32)",
        items=ct_volume.array.size,
        unit="voxel",
        rounds=3,
    )


SCALES = {"int16": "int16 CT, 78.6 M voxels", "float32": "float32, 78.6 M voxels"}


def _numpy_zscore(array):
    wide = array.astype(np.float32)
    return (wide - wide.mean(dtype=np.float64).astype(np.float32)) / wide.std(dtype=np.float64).astype(np.float32)


def _numpy_percentile(array):
    low, high = np.percentile(array, (1, 99))
    return ((np.clip(array, low, high) - low) / (high - low)).astype(np.float32)


NUMPY = {"zscore": _numpy_zscore, "percentile": _numpy_percentile}


def _volume(ct_volume, dtype):
    if dtype == "int16":
        return ct_volume.array
    return ct_volume.array + np.random.default_rng(0).random(ct_volume.shape[1:], dtype=np.float32)


@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("name", NUMPY)
@pytest.mark.parametrize("tool", ["fastimg", "numpy"])
def bench_scale(request, benchmark, case, one_thread, ct_volume, name, dtype, tool):
    benchmark.group = f"harmonize: {name} {SCALES[dtype]}"
    array = _volume(ct_volume, dtype)
    if tool == "numpy":
        case(lambda: NUMPY[name](array), tool="numpy", items=array.size, unit="voxel", rounds=2)
        return
    function, out = getattr(fi.harmonize, name), np.empty(array.shape, np.float32)
    small = np.ascontiguousarray(array[:20])
    error = np.abs(function(small) - NUMPY[name](small)).max()
    least = array.nbytes * (2 if name == "zscore" or dtype == "int16" else 3) + out.nbytes
    case(lambda: function(array, out=out), nbytes=least, items=array.size, unit="voxel", error=error)


NYUL = "harmonize: Nyul fit and apply, 256^3 float32, a volume"


@pytest.fixture(scope="module")
def brain():
    return np.random.default_rng(0).gamma(4, 60, (256, 256, 256)).astype(np.float32)


@pytest.mark.benchmark(group=NYUL)
def bench_nyul(case, one_thread, brain):
    out = np.empty_like(brain)
    nyul = fi.harmonize.Nyul().fit([brain, brain * np.float32(1.7)])
    small = brain[:8]
    own = np.percentile(small.astype(np.float64), nyul.percentiles)
    expected = twin.piecewise(small[:1], own, nyul.standard)
    error = np.abs(nyul.transform(small)[:1] - expected).max() / 99

    def work():
        fi.harmonize.Nyul().fit([brain])
        nyul.transform(brain, out=out)

    case(work, nbytes=4 * brain.nbytes, items=brain.size, unit="voxel", error=error)


@pytest.mark.benchmark(group=NYUL)
def bench_nyul_numpy(case, brain):
    percentiles = np.array(fi.harmonize.Nyul().percentiles)

    def work():
        for _ in range(2):  # once to learn, once to apply, as above
            own = np.percentile(brain, percentiles)
        return np.interp(brain.ravel(), own, percentiles).astype(np.float32)

    case(work, tool="numpy percentile, interp", items=brain.size, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=NYUL)
def bench_nyul_intensity_normalization(case, brain):
    peer = pytest.importorskip("intensity_normalization", reason="peer intensity-normalization is not installed")
    images = [peer.adapters.images.NumpyImageAdapter(brain)]

    def work():
        normalizer = peer.normalizers.population.nyul.NyulNormalizer()
        normalizer.fit_population(images)
        return normalizer.transform(images[0])

    case(work, tool="intensity-normalization", items=brain.size, unit="voxel", rounds=1)


COMBAT = "harmonize: ComBat fit and apply, 5000 x 1500, 30 batches, age and sex"


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    n, p, k = 5000, 1500, 30
    batch = rng.integers(0, k, n)
    age, sex = rng.normal(60, 10, n).astype(np.float32), rng.integers(0, 2, n)
    X = rng.normal(size=(n, p)) + rng.normal(0, 0.5, (k, p))[batch] + age[:, None] * 0.02
    return X, batch, {"age": age, "sex": sex.astype(np.float32)}


@pytest.mark.benchmark(group=COMBAT)
def bench_combat(case, one_thread, table):
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

    case(work, nbytes=3 * X.nbytes, items=X.size, unit="value", error=error)


@pytest.mark.benchmark(group=COMBAT)
def bench_combat_neurocombat(case, table):
    pandas = pytest.importorskip("pandas")
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

    def work():
        pycombat.Combat().fit_transform(X, batch, C=columns)

    case(work, tool="pycombat", items=X.size, unit="value", rounds=2)


N4 = {
    0.0: "harmonize: N4 256^3, shrink 4, 4 x 50 iterations",
    0.001: "harmonize: N4 256^3, shrink 4, ITK's default threshold",
}


@pytest.fixture(scope="module")
def head():
    z, y, x = (axis.astype(np.float32) for axis in np.ogrid[-1:1:256j, -1:1:256j, -1:1:256j])
    radius = np.sqrt(z * z + y * y + x * x)
    tissue = np.where(radius < 0.5, 100, np.where(radius < 0.8, 160, 40)).astype(np.float32)
    tissue += np.random.default_rng(0).normal(0, 4, tissue.shape).astype(np.float32)
    return (tissue * np.exp(0.3 * x + 0.2 * y * y - 0.2 * z * x)).clip(1), radius < 0.9


_FIELDS: dict[float, np.ndarray] = {}


def _itk_n4(head, threshold):
    """(work, log field) of SimpleITK on one thread; run once, since it takes half a minute."""
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image, mask = sitk.GetImageFromArray(head[0]), sitk.GetImageFromArray(head[1].astype(np.uint8))

    def work():
        n4 = sitk.N4BiasFieldCorrectionImageFilter()
        n4.SetMaximumNumberOfIterations([50] * 4)
        n4.SetConvergenceThreshold(threshold)
        n4.Execute(sitk.Shrink(image, [4] * 3), sitk.Shrink(mask, [4] * 3))
        _FIELDS[threshold] = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))

    return work


@pytest.mark.parametrize("threshold", N4)
@pytest.mark.parametrize("tool", ["SimpleITK", "fastimg"])
def bench_n4(benchmark, case, one_thread, head, threshold, tool):
    benchmark.group = N4[threshold]
    if tool == "SimpleITK":
        # pedantic warms up once with a setup-less case: an empty setup keeps it to one run
        case(_itk_n4(head, threshold), tool=tool, items=head[0].size, unit="voxel", rounds=1, setup=lambda: None)
        return
    image, mask = head
    field = fi.harmonize.n4(image, mask, threshold=threshold)[1]
    error = np.abs(np.log(field) - _FIELDS[threshold])[mask].max() if threshold in _FIELDS else None
    case(
        lambda: fi.harmonize.n4(image, mask, threshold=threshold),
        nbytes=3 * image.nbytes,
        items=image.size,
        unit="voxel",
        error=error,
        rounds=3,
    )
