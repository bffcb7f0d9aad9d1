"""How cost grows: each public kernel on cubes of three sizes, on one thread and on all, beside one peer a kernel.

Larger works, more peers and errors of dtypes are in the domains' own files. FASTIMG_BENCH_EDGES="16,24,32" makes it short.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import ndimage

import fastimg as fi

EDGES = [int(edge) for edge in os.environ.get("FASTIMG_BENCH_EDGES", "64,128,256").split(",")]
THREADS = {"one thread": 1, "all threads": fi.config.threads()}
SMALL = 4  # of kernels that take seconds: an edge smaller by that


class Kernel(NamedTuple):
    make: Callable[[np.ndarray], Callable[[], Any]]  # float32 volume -> work
    peer: Callable[[np.ndarray], Callable[[], Any]] | None = None  # on one thread
    name: str = ""
    moved: float = 8  # bytes a voxel
    shrink: int = 1
    error: Callable[[Any, Any], float] | None = None


def range_error(ours: Any, theirs: Any) -> float:
    """Largest difference as a share of the peer's range."""
    ours, theirs = (np.asarray(getattr(part, "array", part), np.float64) for part in (ours, theirs))
    return float(np.abs(ours - theirs).max() / max(np.ptp(theirs), 1e-30))


def mask_of(volume: np.ndarray) -> np.ndarray:
    return (fi.filtering.gaussian(volume, sigma=2) > 0).astype(np.uint8)


def image_of(volume: np.ndarray) -> fi.Image:
    return fi.Image(volume, spacing=(1.5, 0.7, 0.7))


def resample(order: str) -> Callable[[np.ndarray], Callable[[], Any]]:
    return lambda v: lambda: fi.resample(image_of(v), spacing=(1, 1, 1), order=order).array


def resample_simpleitk(order: str) -> Callable[[np.ndarray], Callable[[], Any]]:
    def make(volume: np.ndarray) -> Callable[[], Any]:
        sitk = simpleitk()
        like = fi.resample(image_of(volume), spacing=(1, 1, 1), order="nearest").to_sitk()
        source = image_of(volume).to_sitk()
        kind = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline3}[order]
        return lambda: sitk.GetArrayViewFromImage(sitk.Resample(source, like, sitk.Transform(), kind, 0.0))

    return make


def simpleitk():
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return sitk


def n4(volume: np.ndarray) -> Callable[[], Any]:
    image, mask = np.exp(volume / 10).astype(np.float32) * 100, np.ones(volume.shape, bool)
    return lambda: fi.harmonize.n4(image, mask, shrink=1, iterations=(10,), threshold=0)[0]


def n4_simpleitk(volume: np.ndarray) -> Callable[[], Any]:
    sitk = simpleitk()
    image = sitk.GetImageFromArray(np.exp(volume / 10).astype(np.float32) * 100)
    ones = sitk.GetImageFromArray(np.ones(volume.shape, np.uint8))
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([10])
    n4.SetConvergenceThreshold(0)
    return lambda: sitk.GetArrayFromImage(n4.Execute(image, ones))


def combat(volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    table = volume.reshape(-1, volume.shape[-1]).astype(np.float64)
    return table, np.arange(len(table)) % 4


def masks(volume: np.ndarray) -> Callable[[], Any]:
    vector, out = volume.reshape(-1), np.empty(volume.size, np.uint32)
    seeds = [bytes([n]) * 32 for n in range(4)]
    return lambda: fi.secagg.mask(vector, seeds, [1, -1, 1, -1], bits=24, clip=20.0, out=out)


def texture(volume: np.ndarray) -> Callable[[], Any]:
    image, mask = fi.Image(np.rint(volume * 100).astype(np.int16)), mask_of(volume)
    settings = fi.radiomics.Settings(bin_width=25)
    return lambda: fi.radiomics.extract(image, mask, settings)


def window_numpy(v: np.ndarray) -> Callable[[], Any]:
    return lambda: (np.clip(v, -1, 2) + np.float32(1)) / np.float32(3)


KERNELS = {
    "window": Kernel(
        lambda v: lambda: fi.harmonize.window(v, low=-1, high=2), window_numpy, "numpy", error=range_error
    ),
    "z-score": Kernel(
        lambda v: lambda: fi.harmonize.zscore(v),
        lambda v: lambda: (v - v.mean()) / v.std(),
        "numpy",
        12,
        error=range_error,
    ),
    "percentiles": Kernel(
        lambda v: lambda: fi.harmonize.percentile(v, low=1, high=99),
        lambda v: lambda: np.interp(v, np.percentile(v, (1, 99)), (0, 1)),
        "numpy",
        12,
        error=range_error,
    ),
    "histogram of float32, 256 bins": Kernel(
        lambda v: lambda: fi.Histogram.of(v, bins=256, range=(-5, 5)).counts,
        lambda v: lambda: np.histogram(v, 256, (-5, 5))[0],
        "numpy",
        4,
    ),
    "resample to 1 mm, nearest": Kernel(
        resample("nearest"), resample_simpleitk("nearest"), "SimpleITK", error=range_error
    ),
    "resample to 1 mm, linear": Kernel(
        resample("linear"), resample_simpleitk("linear"), "SimpleITK", error=range_error
    ),
    "resample to 1 mm, cubic": Kernel(resample("cubic"), resample_simpleitk("cubic"), "SimpleITK", error=range_error),
    "Gaussian, sigma 2": Kernel(
        lambda v: lambda: fi.filtering.gaussian(v, sigma=2),
        lambda v: lambda: ndimage.gaussian_filter(v, 2, mode="nearest"),
        "scipy",
        error=range_error,
    ),
    "mean, 5 voxels": Kernel(
        lambda v: lambda: fi.filtering.mean(v, size=5, mode="nearest"),
        lambda v: lambda: ndimage.uniform_filter(v, 5, mode="nearest"),
        "scipy",
        error=range_error,
    ),
    "components (26)": Kernel(
        lambda v: (lambda m: lambda: fi.labels.components(m))(mask_of(v)),
        lambda v: (lambda m: lambda: ndimage.label(m, np.ones((3, 3, 3)))[0])(mask_of(v)),
        "scipy",
        5,
        error=range_error,
    ),
    "distance": Kernel(
        lambda v: (lambda m: lambda: fi.labels.distance(m))(mask_of(v)),
        lambda v: (lambda m: lambda: ndimage.distance_transform_edt(m))(mask_of(v)),
        "scipy",
        5,
        shrink=2,
        error=range_error,
    ),
    "N4, 10 iterations": Kernel(n4, n4_simpleitk, "SimpleITK", 8, SMALL, range_error),
    "CLAHE": Kernel(lambda v: (lambda p: lambda: fi.harmonize.clahe(p))(v - v.min()), shrink=2),
    "ComBat, a row of features a subject": Kernel(
        lambda v: (lambda t, b: lambda: fi.harmonize.ComBat().fit_transform(t, batch=b))(*combat(v)), moved=16, shrink=2
    ),
    "radiomics, all families": Kernel(texture, moved=3, shrink=SMALL),
    "secure aggregation, 4 masks": Kernel(masks),
}


@pytest.fixture(scope="module")
def volumes():
    """Smooth noise, float32, of each edge."""
    made: dict[int, np.ndarray] = {}

    def volume(edge: int) -> np.ndarray:
        if edge not in made:
            noise = np.random.default_rng(edge).normal(size=(edge,) * 3).astype(np.float32)
            made[edge] = fi.filtering.gaussian(noise, sigma=1) * 4
        return made[edge]

    return volume


def group(name: str, edge: int, threads: str) -> str:
    return f"growth: {name}, {edge}^3, {threads}"


CASES = [
    pytest.param(name, edge, threads, id=f"{name}, {edge}, {threads}", marks=pytest.mark.benchmark(group=group(name, edge, threads)))
    for name, kernel in KERNELS.items()
    for edge in (max(8, edge // kernel.shrink) for edge in EDGES)
    for threads in THREADS
]  # fmt: skip


@pytest.mark.parametrize(("name", "edge", "threads"), CASES)
def bench_kernel(case, volumes, name, edge, threads):
    kernel, volume = KERNELS[name], volumes(edge)
    with fi.config.use(threads=THREADS[threads]):
        work = kernel.make(volume)
        error = None
        if kernel.error and edge == min(e for n, e, _ in (c.values for c in CASES) if n == name):
            try:
                error = kernel.error(work(), kernel.peer(volume)())
            except pytest.skip.Exception:
                error = None
        case(work, nbytes=kernel.moved * volume.size, items=volume.size, unit="voxel", error=error, rounds=3)


@pytest.mark.parametrize(
    ("name", "edge", "threads"), [c for c in CASES if KERNELS[c.values[0]].peer and c.values[2] == "one thread"]
)
def bench_peer(case, volumes, name, edge, threads):
    kernel, volume = KERNELS[name], volumes(edge)
    case(kernel.peer(volume), tool=kernel.name, items=volume.size, unit="voxel", rounds=2)
