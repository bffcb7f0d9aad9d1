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


def robust_numpy(v: np.ndarray) -> Callable[[], Any]:
    def work():
        far = v - np.median(v)
        return far / (np.float32(1.4826022185056018) * np.median(np.abs(far)))

    return work


def convolved(kernels: str) -> Callable[[np.ndarray], Callable[[], Any]]:
    """Laws' kernels of unit length along x, y, z by SciPy."""
    lines = [np.array(fi.filtering.LAWS[kernels[at : at + 2]], float) for at in (0, 2, 4)]
    lines = [line / np.linalg.norm(line) for line in lines]

    def make(v: np.ndarray) -> Callable[[], Any]:
        def work(out: Any = v):
            for axis, line in zip((2, 1, 0), lines, strict=True):
                out = ndimage.convolve1d(out, line, axis, mode="reflect")
            return out

        return work

    return make


def separable_scipy(v: np.ndarray) -> Callable[[], Any]:
    def work(out: Any = v):
        for axis in range(3):
            out = ndimage.correlate1d(out, np.hanning(7) / 3, axis, mode="nearest")
        return out

    return work


def unsharp_scipy(v: np.ndarray) -> Callable[[], Any]:
    return lambda: v + np.float32(0.5) * (v - ndimage.gaussian_filter(v, (0, 1, 1), mode="reflect"))


def riesz_numpy(v: np.ndarray) -> Callable[[], Any]:
    def work():
        z, y, x = np.meshgrid(*(np.fft.fftfreq(n) for n in v.shape), indexing="ij", sparse=True)
        length = np.sqrt(z * z + y * y + x * x)
        length[0, 0, 0] = 1
        return np.fft.ifftn(np.fft.fftn(v) * (-1j * x / length)).real

    return work


def ball_scipy(erode: bool) -> Callable[[np.ndarray], Callable[[], Any]]:
    """The same rule, a distance of at most 3 voxels, by SciPy's distances."""

    def make(v: np.ndarray) -> Callable[[], Any]:
        m = mask_of(v) != 0
        if erode:
            return lambda: ndimage.distance_transform_edt(m) > 3
        return lambda: ndimage.distance_transform_edt(~m) <= 3

    return make


def visits(volume: np.ndarray) -> dict[str, np.ndarray]:
    """The table of `combat`, with two rows of each subject."""
    table, batch = combat(volume)
    return {"X": table, "batch": batch, "subject": np.arange(len(table)) // 2}


def largest_scipy(v: np.ndarray) -> Callable[[], Any]:
    m = mask_of(v)

    def work():
        found = ndimage.label(m, np.ones((3, 3, 3)))[0]
        return found == np.bincount(found.ravel())[1:].argmax() + 1

    return work


def nested(volume: np.ndarray) -> Callable[[], Any]:
    table, batch = combat(volume)
    both = {"scanner": batch, "dose": np.arange(len(table)) // 4 % 2}
    return lambda: fi.harmonize.NestedComBat().fit_transform(table, batch=both)


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
    "robust z-score": Kernel(
        lambda v: lambda: fi.harmonize.robust_zscore(v), robust_numpy, "numpy", 16, shrink=2, error=range_error
    ),
    "minmax": Kernel(
        lambda v: lambda: fi.harmonize.minmax(v),
        lambda v: lambda: (v - v.min()) / (v.max() - v.min()),
        "numpy",
        12,
        error=range_error,
    ),
    "white stripe, T1": Kernel(lambda v: lambda: fi.harmonize.WhiteStripe().fit_transform(v + 40), moved=16, shrink=2),
    "kernel density scale": Kernel(lambda v: lambda: fi.harmonize.KDE().fit_transform(v + 40), moved=16, shrink=2),
    "least-squares scale": Kernel(
        lambda v: lambda: fi.harmonize.LSQ().fit([v + 40, 2 * v + 80]).transform(v + 40), moved=24, shrink=2
    ),
    "unsharp mask, in plane": Kernel(
        lambda v: lambda: fi.harmonize.unsharp(fi.Image(v), sigma_mm=1, amount=0.5),
        unsharp_scipy,
        "scipy",
        error=range_error,
    ),
    "reconstruction kernel matched": Kernel(
        lambda v: lambda: fi.harmonize.KernelMatch().fit([fi.Image(v)]).transform(fi.Image(2 * v)), moved=24, shrink=2
    ),
    "Laws, L5E5S5": Kernel(
        lambda v: lambda: fi.filtering.laws(v, kernels="L5E5S5"), convolved("L5E5S5"), "scipy", error=range_error
    ),
    "three separable kernels of 7": Kernel(
        lambda v: lambda: fi.filtering.separable(v, [np.hanning(7) / 3] * 3, mode="nearest"),
        separable_scipy,
        "scipy",
        error=range_error,
    ),
    "Riesz, first order": Kernel(
        lambda v: lambda: fi.filtering.riesz(v, order=(1, 0, 0)), riesz_numpy, "numpy", shrink=2, error=range_error
    ),
    "Simoncelli": Kernel(lambda v: lambda: fi.filtering.simoncelli(v, level=1), shrink=2),
    "dilated by 3 voxels": Kernel(
        lambda v: (lambda m: lambda: fi.labels.dilate(m, 3))(mask_of(v)), ball_scipy(False), "scipy", 2, 2, range_error
    ),
    "eroded by 3 voxels": Kernel(
        lambda v: (lambda m: lambda: fi.labels.erode(m, 3))(mask_of(v)), ball_scipy(True), "scipy", 2, 2, range_error
    ),
    "axes turned to RAS": Kernel(
        lambda v: lambda: fi.dicom.reorient(image_of(v), "RAS"),
        lambda v: lambda: np.ascontiguousarray(v[:, ::-1, ::-1]),
        "numpy",
        error=range_error,
    ),
    "CovBat": Kernel(
        lambda v: (lambda r: lambda: fi.harmonize.CovBat().fit_transform(r["X"], batch=r["batch"]))(visits(v)),
        moved=16,
        shrink=SMALL,
    ),
    "nested ComBat, two batches": Kernel(nested, moved=16, shrink=SMALL),
    "longitudinal ComBat": Kernel(
        lambda v: (lambda r: lambda: fi.harmonize.LongitudinalComBat().fit_transform(**r))(visits(v)),
        moved=16,
        shrink=SMALL,
    ),
    "wavelet coif1, LLH": Kernel(lambda v: lambda: fi.filtering.wavelet(v, family="coif1", bands="LLH")),
    "largest component": Kernel(
        lambda v: (lambda m: lambda: fi.labels.largest(m))(mask_of(v)), largest_scipy, "scipy", 2, error=range_error
    ),
    "zones of 8 grey levels": Kernel(
        lambda v: (lambda q: lambda: fi.radiomics.zones(q))(np.digitize(v, range(-3, 4)).astype(np.int32) + 1),
        moved=4,
        shrink=2,
    ),
    "noise level": Kernel(lambda v: lambda: fi.radiomics.noise_level(fi.Image(v)), moved=4, shrink=2),
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
