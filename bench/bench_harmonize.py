"""harmonize against NumPy, SimpleITK and scikit-image where they do the same work."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest
from growth import apart
from two_threads import on_threads

import fastimg as fi
from fastimg.testing import harmonize as twin

PLAYED = os.environ.get("FASTIMG_BENCH_DEVICE") == "host"

WINDOWS = {"int16": "harmonize: window int16 to [0, 1], 78.6 M voxels", "float32": "harmonize: window float32"}


def _rescale_intensity(array):
    exposure = pytest.importorskip("skimage.exposure", reason="peer scikit-image is not installed")
    return lambda: exposure.rescale_intensity(array, (-160, 240), (0.0, 1.0))


def _itk_window(array):
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = sitk.Cast(sitk.GetImageFromArray(array), sitk.sitkFloat32)
    return lambda: sitk.IntensityWindowing(image, -160, 240, 0, 1)


def _numpy_window(array):
    return lambda: ((np.clip(array, -160, 240) + 160) / 400).astype(np.float32)


def _numpy_window_in_place(array):
    out = np.empty(array.shape, np.float32)

    def work():
        np.clip(array, -160, 240, out=out, casting="unsafe")
        np.subtract(out, -160, out=out)
        np.multiply(out, 1 / 400, out=out)

    return work


# what one writes first, and NumPy at its best
WINDOW_PEERS = {
    "scikit-image": _rescale_intensity,
    "numpy": _numpy_window,
    "numpy (out=)": _numpy_window_in_place,
    "SimpleITK (from float32)": _itk_window,
}


@pytest.mark.parametrize("dtype", WINDOWS)
def bench_window(benchmark, case, one_thread, ct_volume, dtype):
    benchmark.group = WINDOWS[dtype]
    array = _volume(ct_volume, dtype)
    out = np.empty(array.shape, np.float32)
    work = lambda: fi.harmonize.window(array, low=-160, high=240, out=out)  # noqa: E731
    work()
    error = np.abs(out - twin.window(array, -160, 240)).max()
    case(work, nbytes=array.nbytes + out.nbytes, items=out.size, unit="voxel", error=error)


@pytest.mark.parametrize("dtype", WINDOWS)
@pytest.mark.parametrize("tool", WINDOW_PEERS)
def bench_window_peer(benchmark, case, ct_volume, dtype, tool):
    benchmark.group = WINDOWS[dtype]
    array = _volume(ct_volume, dtype)
    work = WINDOW_PEERS[tool](array)
    case(work, tool=tool, nbytes=array.nbytes + 4 * array.size, items=array.size, unit="voxel", rounds=3)


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


def matched_apart(image, reference):
    """From scikit-image's, as a share of its range; None without it."""
    try:
        exposure = pytest.importorskip("skimage.exposure", reason="peer scikit-image is not installed")
    except pytest.skip.Exception:
        return None
    return apart(fi.harmonize.match_histogram(image, reference), exposure.match_histograms(image, reference))


@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("tool", ["fastimg", "scikit-image"])
def bench_match(benchmark, case, one_thread, ct_volume, dtype, tool):
    """A quarter of the volume: scikit-image sorts all voxels."""
    benchmark.group = f"harmonize: match_histogram {dtype}, 19.7 M voxels"
    image = np.ascontiguousarray(_volume(ct_volume, dtype)[:75])
    reference = (image[::-1] // 2 if dtype == "int16" else image[::-1] * np.float32(0.5)) + image.dtype.type(100)
    if tool == "scikit-image":
        exposure = pytest.importorskip("skimage.exposure", reason="peer scikit-image is not installed")
        case(lambda: exposure.match_histograms(image, reference), tool=tool, items=image.size, unit="voxel", rounds=1)
        return
    out = np.empty(image.shape, np.float32)
    least = (2 if dtype == "int16" else 3) * image.nbytes + out.nbytes + reference.nbytes
    work = lambda: fi.harmonize.match_histogram(image, reference, out=out)  # noqa: E731
    error = matched_apart(image[:2, :128, :128], reference[:2, :128, :128])
    case(work, nbytes=least, items=image.size, unit="voxel", error=error)


READINGS = {"window": (1, 1), "zscore": (2, 2), "percentile": (2, 3), "match_histogram": (2, 3)}  # of int16, of float32


@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("name", READINGS)
def bench_threads(benchmark, case, ct_volume, name, dtype):
    array = _volume(ct_volume, dtype)
    rest = (fi.Histogram.of(array[:20]),) if name == "match_histogram" else ()
    work = partial(getattr(fi.harmonize, name), array, *rest, out=np.empty(array.shape, np.float32))
    least = READINGS[name][dtype == "float32"] * array.nbytes + 4 * array.size
    on_threads(benchmark, case, f"harmonize, threads: {name} {SCALES[dtype]}", work, least, array.size)


def _nyul(image, inside):
    return fi.harmonize.Nyul().fit([image], masks=[inside])


def _kernel_match(ct):
    return fi.harmonize.KernelMatch().fit([ct])


# name -> work(threads=) of (image, mask, result)
HEAD = {
    "N4": lambda image, inside, out: partial(fi.harmonize.n4, image, inside, threshold=0),
    "N4, default threshold": lambda image, inside, out: partial(fi.harmonize.n4, image, inside),
    "Nyul learn": lambda image, inside, out: partial(fi.harmonize.Nyul().fit, [image], masks=[inside]),
    "Nyul apply": lambda image, inside, out: partial(_nyul(image, inside).transform, image, mask=inside, out=out),
    "CLAHE": lambda image, inside, out: partial(fi.harmonize.clahe, image, tile=32, out=out),
    "WhiteStripe": lambda image, inside, out: partial(
        fi.harmonize.WhiteStripe().fit_transform, image, mask=inside, out=out
    ),
    "fuzzy c-means": lambda image, inside, out: partial(fi.harmonize.FCM().fit_transform, image, mask=inside, out=out),
    "kernel density": lambda image, inside, out: partial(fi.harmonize.KDE().fit_transform, image, mask=inside, out=out),
    "unsharp": lambda image, inside, out: partial(
        fi.harmonize.unsharp, fi.Image(image), sigma_mm=1, amount=0.5, out=out
    ),
    "KernelMatch": lambda image, inside, out: partial(
        _kernel_match(fi.Image(image)).transform, fi.Image(image), out=out
    ),
}


@pytest.mark.parametrize("name", HEAD)
def bench_threads_of_heads(benchmark, case, head, name):
    image, inside = head
    work = HEAD[name](image, inside, np.empty_like(image))
    group = f"harmonize, threads: {name}, 256^3 float32"
    on_threads(benchmark, case, group, work, 3 * image.nbytes, image.size)


CLAHE = "harmonize: CLAHE 128^3 uint16, 16^3 tiles"


@pytest.mark.parametrize("tool", ["fastimg", "scikit-image"])
def bench_clahe(benchmark, case, one_thread, tool):
    benchmark.group = CLAHE
    image = np.random.default_rng(0).gamma(2, 4000, (128, 128, 128)).clip(0, 65535).astype(np.uint16)
    exposure = pytest.importorskip("skimage.exposure", reason="peer scikit-image is not installed")
    if tool == "scikit-image":
        case(lambda: exposure.equalize_adapthist(image, 16), tool=tool, items=image.size, unit="voxel", rounds=2)
        return
    small = np.ascontiguousarray(image[:32, :32, :32])
    error = np.abs(fi.harmonize.clahe(small, tile=16) - exposure.equalize_adapthist(small, 16)).max()
    work = lambda: fi.harmonize.clahe(image, tile=16)  # noqa: E731
    case(work, nbytes=3 * image.nbytes, items=image.size, unit="voxel", error=error)


TISSUE = "harmonize: fuzzy c-means scale, 96^3 float32"


@pytest.mark.parametrize("tool", ["fastimg", "intensity-normalization"])
def bench_fcm(benchmark, case, one_thread, tool):
    benchmark.group = TISSUE
    rng = np.random.default_rng(0)
    parts = [rng.normal(mean, sd, 96**3 // 3) for mean, sd in ((200, 30), (600, 60), (950, 40))]
    image = np.concatenate(parts).astype(np.float32).clip(1).reshape(96, 96, 96)
    if tool == "fastimg":
        work = lambda: fi.harmonize.FCM().fit_transform(image)  # noqa: E731
        few = image[::8, ::8, ::8]
        values = few.ravel().astype(np.float64)
        share = twin.fuzzy_c_means(values, np.quantile(values, (1 / 6, 1 / 2, 5 / 6)))[1][-1]
        error = apart(fi.harmonize.FCM().fit_transform(few), few / (share @ values / share.sum()))
        case(work, nbytes=3 * image.nbytes, items=image.size, unit="voxel", error=error)
        return
    peer = pytest.importorskip("intensity_normalization", reason="peer intensity-normalization is not installed")
    wrapped = peer.adapters.images.NumpyImageAdapter(image)
    work = lambda: peer.normalizers.individual.fcm.FCMNormalizer().fit_transform(wrapped)  # noqa: E731
    case(work, tool=tool, items=image.size, unit="voxel", rounds=1)


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


# On a GPU: inputs and outputs lie on the device; peers are the same steps in CuPy.


def _gpu_ct(gpu, dtype):
    shape = gpu.size((300, 512, 512), (6, 16, 16))
    rng = np.random.default_rng(0)
    z = np.linspace(-1, 1, shape[1])
    plane = np.where(z[:, None] ** 2 + (z[None] / 1.3) ** 2 < 0.5, 40, -1000) + rng.normal(0, 22, shape[1:])
    array = np.broadcast_to(plane, shape) + rng.normal(0, 10, (shape[0], 1, 1))
    return gpu(array.astype(dtype))


MAPS = {"window": 2, "zscore": 3, "percentile": 3}


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("name", MAPS)
def bench_gpu_scale(benchmark, gpu_case, gpu, name, dtype):
    benchmark.group = f"harmonize on a GPU: {name} {SCALES[dtype]}"
    array = _gpu_ct(gpu, dtype)
    out = gpu.xp.empty(array.shape, np.float32)
    function = getattr(fi.harmonize, name)
    readings = MAPS[name] - 1
    least = readings * array.nbytes + out.nbytes
    expected = lambda: function(np.asarray(fi._dispatch.move(array, "cpu")))  # noqa: E731
    gpu_case(lambda: function(array, out=out), nbytes=least, items=array.size, unit="voxel", expected=expected)


def _cupy_scale(xp, name, array):
    if name == "window":
        return ((xp.clip(array, -160, 240) + np.float32(160)) * np.float32(1 / 400)).astype(np.float32)
    if name == "zscore":
        wide = array.astype(np.float32)
        return (wide - wide.mean(dtype=np.float64).astype(np.float32)) / wide.std(dtype=np.float64).astype(np.float32)
    low, high = xp.percentile(array, xp.asarray((1.0, 99.0)))
    return ((xp.clip(array, low, high) - low) / (high - low)).astype(np.float32)


@pytest.mark.gpu
@pytest.mark.skipif(PLAYED, reason="the peer is CuPy")
@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("name", MAPS)
def bench_gpu_scale_cupy(benchmark, gpu_case, gpu, name, dtype):
    benchmark.group = f"harmonize on a GPU: {name} {SCALES[dtype]}"
    array = _gpu_ct(gpu, dtype)
    gpu_case(lambda: _cupy_scale(gpu.xp, name, array), tool="CuPy", items=array.size, unit="voxel", batches=7)


@pytest.mark.gpu
@pytest.mark.benchmark(group="harmonize on a GPU: Nyul transform, 256^3 float32")
def bench_gpu_nyul(gpu_case, gpu):
    shape = gpu.size((256, 256, 256), (8, 9, 10))
    array = gpu(np.random.default_rng(0).gamma(4, 60, shape).astype(np.float32))
    nyul = fi.harmonize.Nyul().fit([array])
    out = gpu.xp.empty(array.shape, np.float32)
    expected = lambda: nyul.transform(np.asarray(fi._dispatch.move(array, "cpu")))  # noqa: E731
    work = lambda: nyul.transform(array, out=out)  # noqa: E731
    gpu_case(work, nbytes=3 * array.nbytes, items=array.size, unit="voxel", expected=expected)


@pytest.mark.gpu
@pytest.mark.skipif(PLAYED, reason="the peer is CuPy")
@pytest.mark.benchmark(group="harmonize on a GPU: Nyul transform, 256^3 float32")
def bench_gpu_nyul_cupy(gpu_case, gpu):
    xp = gpu.xp
    array = gpu(np.random.default_rng(0).gamma(4, 60, (256, 256, 256)).astype(np.float32))
    percentiles = xp.asarray(fi.harmonize.Nyul().percentiles)

    def work():
        own = xp.percentile(array, percentiles)
        return xp.interp(array.ravel(), own, percentiles).astype(np.float32)

    gpu_case(work, tool="CuPy percentile, interp", items=array.size, unit="voxel", batches=7)


@pytest.mark.gpu
@pytest.mark.benchmark(group="harmonize on a GPU: N4 256^3, shrink 4, 4 x 50 iterations (bar: below 50 ms)")
def bench_gpu_n4(gpu_case, gpu, head, monkeypatch):
    from fastimg.harmonize._n4 import _cuda

    image, mask = head
    options = {"shrink": 4, "iterations": (50, 50, 50, 50), "threshold": 0.0}
    if PLAYED:
        monkeypatch.setattr(_cuda, "_BLOCK", 32)
        image, mask = image[::24, ::24, ::24].copy(), mask[::24, ::24, ::24].copy()
        options = {"shrink": 1, "iterations": (1,), "threshold": 0.0}
    on_host = fi.harmonize.n4(image, mask, **options)[1]
    there, inside = gpu(image), gpu(mask)
    seen = fi._dispatch.move(fi.harmonize.n4(there, inside, **options)[1], "cpu")
    error = np.abs(np.log(np.asarray(seen)) - np.log(on_host))[mask].max()
    work = lambda: fi.harmonize.n4(there, inside, **options)  # noqa: E731
    gpu_case(work, nbytes=3 * image.nbytes, items=image.size, unit="voxel", error=error, batches=11)


@pytest.mark.gpu
@pytest.mark.benchmark(group="harmonize on a GPU: CLAHE 256^3 uint16, 32^3 tiles")
def bench_gpu_clahe(gpu_case, gpu):
    shape = gpu.size((256, 256, 256), (8, 9, 10))
    image = gpu(np.random.default_rng(0).gamma(2, 4000, shape).clip(0, 65535).astype(np.uint16))
    tile = gpu.size(32, 4)
    expected = lambda: fi.harmonize.clahe(np.asarray(fi._dispatch.move(image, "cpu")), tile=tile)  # noqa: E731
    work = lambda: fi.harmonize.clahe(image, tile=tile)  # noqa: E731
    gpu_case(work, nbytes=3 * image.nbytes, items=image.size, unit="voxel", expected=expected)
