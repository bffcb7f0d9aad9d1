"""Growth of the kernels of intensities: windows, scales, histograms, bias fields; and of resampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from growth import SMALL, Kernel, image_of, simpleitk
from resampling_points import turned_grid

import fastimg as fi
from fastimg.testing import harmonize as twin

Work = Callable[[], Any]
LEVELS = (0.01, 0.5, 0.99)


def window_numpy(v: np.ndarray) -> Work:
    return lambda: (np.clip(v, -1, 2) + np.float32(1)) / np.float32(3)


def robust_numpy(v: np.ndarray) -> Work:
    def work():
        far = v - np.median(v)
        return far / (np.float32(1.4826022185056018) * np.median(np.abs(far)))

    return work


def match_scikit_image(v: np.ndarray) -> Work:
    exposure = pytest.importorskip("skimage.exposure", reason="peer scikit-image is not installed")
    return lambda: exposure.match_histograms(v, 2 * v[::-1] + 5)


def clahe_scikit_image(v: np.ndarray) -> Work:
    exposure = pytest.importorskip("skimage.exposure", reason="peer scikit-image is not installed")
    image = sixteen_bits(v)
    return lambda: exposure.equalize_adapthist(image, 8)


def sixteen_bits(v: np.ndarray) -> np.ndarray:
    return np.rint((v - v.min()) / np.ptp(v) * 4095).astype(np.uint16)


def nyul_numpy(v: np.ndarray) -> Work:
    percentiles = np.array(fi.harmonize.Nyul().percentiles)

    def work():
        for _ in range(2):  # once to learn, once to apply
            own = np.percentile(v, percentiles)
        return np.interp(v.ravel(), own, percentiles).reshape(v.shape)

    return work


def nyul_by_hand(v: np.ndarray) -> np.ndarray:
    """Of one image: its own landmarks become the standard, spread between 1 and 100."""
    nyul = fi.harmonize.Nyul()
    own = np.percentile(v.astype(np.float64), nyul.percentiles)
    standard = 1 + 99 * (own - own[0]) / (own[-1] - own[0])
    return twin.piecewise(v, own, standard)


def bright(v: np.ndarray) -> np.ndarray:
    """Three tissues above 0, as the scales of brains want them."""
    return (v + np.float32(5) * (np.arange(len(v)) % 3)[:, None, None] + np.float32(20)).astype(np.float32)


def tissue_means(v: np.ndarray) -> np.ndarray:
    values = bright(v).ravel().astype(np.float64)
    _, share = twin.fuzzy_c_means(values, np.quantile(values, (1 / 6, 1 / 2, 5 / 6)), iterations=100)
    return share @ values / share.sum(1)


def fcm_by_hand(v: np.ndarray) -> np.ndarray:
    return bright(v) / tissue_means(v)[-1]


def lsq_by_hand(v: np.ndarray) -> np.ndarray:
    """The standard of an image is its means over that of the darkest, and so is what it is divided by."""
    means = tissue_means(v)
    standard = means / means[0]
    return bright(v) * (means @ standard) / (means @ means)


def kde_by_hand(v: np.ndarray) -> np.ndarray:
    """The last peak of the density of what is below the 96th percentile, a Gaussian a voxel."""
    values = np.sort(bright(v).ravel().astype(np.float64))
    width = values[-1] / 80
    values = values[: int(np.ceil(0.96 * values.size))]
    grid = np.linspace(values[0], values[-1], 8192)
    density = np.array([np.exp(-0.5 * np.square((x - values) / width)).sum() for x in grid])
    inner = density[1:-1]
    return bright(v) / grid[1:-1][(inner > density[:-2]) & (inner >= density[2:])][-1]


def stripe_by_hand(v: np.ndarray) -> np.ndarray:
    """From the peak that was found, Shinohara's stripe in float64, voxel by voxel."""
    values = bright(v).astype(np.float64)
    brain = np.sort(values[values > values.mean()])
    peak = fi.harmonize.WhiteStripe().fit(bright(v)).peak
    middle = np.searchsorted(brain, peak) / brain.size
    low, high = np.quantile(brain, np.clip((middle - 0.05, middle + 0.05), 0, 1))
    inside = brain[(brain >= low) & (brain <= high)]
    return (values - inside.mean()) / inside.std()


def match_by_hand(v: np.ndarray) -> np.ndarray:
    """Bands of SciPy's Gaussians, each brought to the reference's energy, until they agree within 2 %."""
    sigmas = (0.5, 1.0, 2.0, 4.0, 8.0)
    wanted = np.array([band.std() for band in twin.bands(v, sigmas)[:-1]])
    now, total = 2 * v.astype(np.float64), np.ones(len(sigmas))
    for turn in range(20):
        *parts, rest = twin.bands(now, sigmas)
        grown = np.minimum(total * wanted / [band.std() for band in parts], 8)
        ratios, total = grown / total, grown
        if turn and np.abs(ratios - 1).max() <= 0.02:
            break
        now = sum(ratio * band for ratio, band in zip(ratios, parts, strict=True)) + rest
    return now


def n4(volume: np.ndarray) -> Work:
    image, mask = np.exp(volume / 10).astype(np.float32) * 100, np.ones(volume.shape, bool)
    return lambda: fi.harmonize.n4(image, mask, shrink=1, iterations=(10,), threshold=0)[0]


def n4_simpleitk(volume: np.ndarray) -> Work:
    sitk = simpleitk()
    image = sitk.GetImageFromArray(np.exp(volume / 10).astype(np.float32) * 100)
    ones = sitk.GetImageFromArray(np.ones(volume.shape, np.uint8))
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([10])
    n4.SetConvergenceThreshold(0)
    return lambda: n4.Execute(image, ones)


def resample(order: str) -> Callable[[np.ndarray], Work]:
    return lambda v: lambda: fi.resample(image_of(v), spacing=(1, 1, 1), order=order).array


def resample_simpleitk(order: str, grid: Callable[[fi.Image], fi.Image] | None = None) -> Callable[[np.ndarray], Work]:
    def make(volume: np.ndarray) -> Work:
        sitk = simpleitk()
        image = image_of(volume)
        like = (grid(image) if grid else fi.resample(image, spacing=(1, 1, 1), order="nearest")).to_sitk()
        source = image.to_sitk()
        kind = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline3}[order]
        return lambda: sitk.Resample(source, like, sitk.Transform(), kind, 0.0)

    return make


def oblique(image: fi.Image) -> fi.Image:
    return turned_grid(image, (1, 1, 1))


def plan(v: np.ndarray) -> Work:
    made = fi.resampling.Plan(image_of(v), like=oblique(image_of(v)))
    return lambda: made(image_of(v)).array


KERNELS = {
    "window": Kernel(lambda v: lambda: fi.harmonize.window(v, low=-1, high=2), window_numpy, "numpy"),
    "z-score": Kernel(
        lambda v: lambda: fi.harmonize.zscore(v), lambda v: lambda: (v - v.mean()) / v.std(), "numpy", 12
    ),
    "percentiles": Kernel(
        lambda v: lambda: fi.harmonize.percentile(v, low=1, high=99),
        lambda v: lambda: np.clip(np.interp(v, np.percentile(v, (1, 99)), (0, 1)), 0, 1),
        "numpy",
        12,
    ),
    "robust z-score": Kernel(lambda v: lambda: fi.harmonize.robust_zscore(v), robust_numpy, "numpy", 16, 2),
    "minmax": Kernel(
        lambda v: lambda: fi.harmonize.minmax(v), lambda v: lambda: (v - v.min()) / (v.max() - v.min()), "numpy", 12
    ),
    "histogram of float32, 256 bins": Kernel(
        lambda v: lambda: fi.Histogram.of(v, bins=256, range=(-5, 5)).counts,
        lambda v: lambda: np.histogram(v, 256, (-5, 5))[0],
        "numpy",
        4,
    ),
    "quantiles 1, 50, 99 %": Kernel(
        lambda v: lambda: fi.histogram.quantile(v, LEVELS), lambda v: lambda: np.quantile(v, LEVELS), "numpy", 8
    ),
    "mean, variance, ends": Kernel(
        lambda v: lambda: (lambda m: (m.mean, m.var(), m.min, m.max))(fi.histogram.moments(v)),
        lambda v: lambda: (v.mean(), v.var(), v.min(), v.max()),
        "numpy",
        4,
        reference=lambda v: (v.mean(dtype=np.float64), v.var(dtype=np.float64), v.min(), v.max()),
    ),
    "histogram matched": Kernel(
        lambda v: lambda: fi.harmonize.match_histogram(v, 2 * v[::-1] + 5), match_scikit_image, "scikit-image", 20, 2
    ),
    "CLAHE": Kernel(
        lambda v: (lambda p: lambda: fi.harmonize.clahe(p, tile=8))(sixteen_bits(v)),
        clahe_scikit_image,
        "scikit-image",
        6,
        SMALL,
    ),
    "Nyul, learnt and applied": Kernel(
        lambda v: lambda: fi.harmonize.Nyul().fit([v]).transform(v),
        nyul_numpy,
        "numpy",
        16,
        2,
        reference=nyul_by_hand,
        checked=16,
    ),
    "white stripe, T1": Kernel(
        lambda v: lambda: fi.harmonize.WhiteStripe().fit_transform(bright(v)),
        moved=16,
        shrink=2,
        reference=stripe_by_hand,
    ),
    "kernel density scale": Kernel(
        lambda v: lambda: fi.harmonize.KDE().fit_transform(bright(v)),
        moved=16,
        shrink=2,
        reference=kde_by_hand,
        checked=16,
    ),
    "fuzzy c-means scale": Kernel(
        lambda v: lambda: fi.harmonize.FCM("WM").fit_transform(bright(v)), moved=12, shrink=2, reference=fcm_by_hand
    ),
    "least-squares scale": Kernel(
        lambda v: lambda: fi.harmonize.LSQ().fit([bright(v)]).transform(bright(v)),
        moved=24,
        shrink=2,
        reference=lsq_by_hand,
    ),
    "reconstruction kernel matched": Kernel(
        lambda v: lambda: fi.harmonize.KernelMatch().fit([fi.Image(v)]).transform(fi.Image(2 * v)),
        moved=24,
        shrink=2,
        reference=match_by_hand,
    ),
    "N4, 10 iterations": Kernel(n4, n4_simpleitk, "SimpleITK", shrink=SMALL, checked=16),
    "resample to 1 mm, nearest": Kernel(resample("nearest"), resample_simpleitk("nearest"), "SimpleITK"),
    "resample to 1 mm, linear": Kernel(resample("linear"), resample_simpleitk("linear"), "SimpleITK"),
    "resample to 1 mm, cubic": Kernel(resample("cubic"), resample_simpleitk("cubic"), "SimpleITK"),
    "a kept plan, turned, linear": Kernel(plan, resample_simpleitk("linear", oblique), "SimpleITK"),
    "axes turned to RAS": Kernel(
        lambda v: lambda: fi.dicom.reorient(image_of(v), "RAS"),
        lambda v: lambda: np.ascontiguousarray(v[:, ::-1, ::-1]),
        "numpy",
    ),
}
