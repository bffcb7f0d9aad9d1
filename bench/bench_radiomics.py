"""radiomics against PyRadiomics: all of its features at two sizes, texture matrices alone, shape alone."""

from __future__ import annotations

import logging
import warnings
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

import fastimg as fi
from fastimg import radiomics

SMALL = "radiomics: PyRadiomics' 107 features, 25,000 voxels"
LARGE = "radiomics: PyRadiomics' 107 features, 1,020,000 voxels"
MATRICES = "radiomics: texture matrices alone, 1,020,000 voxels"
SHAPE = "radiomics: shape, 1,020,000 voxels"
FULL = "radiomics: all 176 features of IBSI-1, 25,000 voxels"
SIZES = {SMALL: (18.2, (60, 60, 60)), LARGE: (62.5, (150, 256, 256))}
SPACING = (1.5, 0.8, 0.8)
WIDTH = 25


@cache
def ball(radius, shape):
    """A ball in smoothed noise like a CT's; about 75 levels of 25."""
    rng = np.random.default_rng(0)
    places = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in shape)]
    mask = (sum(place**2 for place in places) < radius**2).astype(np.uint8)
    values = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 1)
    return fi.Image((values / values.std() * 220 + 40).astype(np.int16), spacing=SPACING, unit="HU"), mask


@cache
def peer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("radiomics", reason="peer PyRadiomics is not installed")
        from radiomics import featureextractor
    package.logger.setLevel(logging.CRITICAL)
    extractor = featureextractor.RadiomicsFeatureExtractor(additionalInfo=False, binWidth=WIDTH)
    extractor.enableAllFeatures()
    extractor.enabledFeatures.pop("shape2D", None)
    return extractor


def of_peer(image, mask):
    import SimpleITK as sitk

    volumes = [sitk.GetImageFromArray(array) for array in (image.array, mask)]
    for volume in volumes:
        volume.SetSpacing(SPACING[::-1])
    return volumes


def settings(**more):
    return radiomics.Settings(bin_width=WIDTH, compat="pyradiomics", **more)


def worst(found, image, mask):
    """The largest relative difference from PyRadiomics' features, if it is here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = peer().execute(*of_peer(image, mask))
    except pytest.skip.Exception:
        return None
    pairs = [(found[name], float(value)) for name, value in expected.items() if name in found]
    return max(abs(a - b) / max(abs(b), 1e-12) for a, b in pairs)


@pytest.mark.parametrize("group", [SMALL, LARGE])
def bench_features(benchmark, case, one_thread, group):
    benchmark.group = group
    image, mask = ball(*SIZES[group])
    error = worst(radiomics.extract(image, mask, settings()), image, mask) if group == SMALL else None
    voxels = int(mask.sum())
    case(lambda: radiomics.extract(image, mask, settings()), nbytes=3 * voxels, items=voxels, unit="voxel", error=error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("group", [SMALL, LARGE])
def bench_features_pyradiomics(benchmark, case, group):
    benchmark.group = group
    image, mask = ball(*SIZES[group])
    extractor, volumes = peer(), of_peer(image, mask)
    rounds = 5 if group == SMALL else 1
    case(lambda: extractor.execute(*volumes), tool="PyRadiomics 3", items=int(mask.sum()), unit="voxel", rounds=rounds)


@cache
def levels():
    image, mask = ball(*SIZES[LARGE])
    inside = image.array[mask > 0].astype(np.int64)
    box = tuple(slice(edge.min(), edge.max() + 1) for edge in np.nonzero(mask))
    binned = np.where(mask, image.array // WIDTH - inside.min() // WIDTH + 1, 0)[box]
    return np.ascontiguousarray(binned.astype(np.uint8)), np.ascontiguousarray(mask[box] > 0)


@pytest.mark.benchmark(group=MATRICES)
def bench_matrices(case, one_thread):
    array, _ = levels()

    def work():
        radiomics.cooccurrences(array)
        radiomics.run_lengths(array)
        radiomics.dependences(array)
        radiomics.zones(array)

    voxels = np.count_nonzero(array)
    case(work, nbytes=array.nbytes, items=voxels, unit="voxel", error=0)


@pytest.mark.benchmark(group=MATRICES)
def bench_matrices_pyradiomics(case):
    peer()
    from radiomics import cMatrices

    array, mask = levels()
    array, count, distances = array.astype(np.int64), int(array.max()), np.array([1])

    def work():
        cMatrices.calculate_glcm(array, mask, distances, count, False, 0)
        cMatrices.calculate_glrlm(array, mask, count, max(array.shape), False, 0)
        cMatrices.calculate_gldm(array, mask, distances, count, 0, False, 0)
        cMatrices.calculate_ngtdm(array, mask, distances, count, False, 0)
        cMatrices.calculate_glszm(array, mask, count, int(mask.sum()), False, 0)

    case(work, tool="PyRadiomics 3, C extension", items=int(mask.sum()), unit="voxel", rounds=3)


@pytest.mark.benchmark(group=SHAPE)
def bench_shape(case, one_thread):
    image, mask = ball(*SIZES[LARGE])
    chosen = settings(families=["shape"])
    case(lambda: radiomics.extract(image, mask, chosen), nbytes=mask.nbytes, items=int(mask.sum()), unit="voxel")


@pytest.mark.benchmark(group=FULL)
def bench_ibsi(case, one_thread):
    image, mask = ball(*SIZES[SMALL])
    work = radiomics.Settings(bin_width=WIDTH)
    voxels = int(mask.sum())
    case(lambda: radiomics.extract(image, mask, work, names="ibsi"), nbytes=3 * voxels, items=voxels, unit="voxel")
