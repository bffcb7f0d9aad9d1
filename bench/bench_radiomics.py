"""radiomics against PyRadiomics: all of its features at two sizes, texture matrices alone, shape alone."""

from __future__ import annotations

import logging
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import count
from multiprocessing import get_context

import numpy as np
import pytest
from scipy import ndimage

import fastimg as fi
from fastimg import radiomics

SMALL = "radiomics: PyRadiomics' 107 features, 25,000 voxels"
LARGE = "radiomics: PyRadiomics' 107 features, 1,020,000 voxels"
MATRICES = "radiomics: texture matrices alone, 1,020,000 voxels"
SHAPE = "radiomics: shape, 1,020,000 voxels"
FULL = "radiomics: all 174 features of IBSI-1, 25,000 voxels"
HUGE = "radiomics: PyRadiomics' features but shape, 10,000,000 voxels"
HUGE_MATRICES = "radiomics: texture matrices alone, 10,000,000 voxels"
HUGE_SHAPE = "radiomics: shape, 10,000,000 voxels"
TINY = "radiomics: PyRadiomics' 107 features, 500 voxels"
CASES = "radiomics: 24 cases of 1,020,000 voxels, 107 features, files to table"
MAPS = "radiomics: voxel-based GLCM features, radius 1"
ALL_MAPS = "radiomics: voxel-based features of six families, radius 1"
GPU = "radiomics: texture families on the GPU, 1,020,000 voxels"
GPU_HUGE = "radiomics: texture families on the GPU, 10,000,000 voxels"
SIZES = {
    TINY: (4.9, (20, 24, 24)),
    SMALL: (18.2, (60, 60, 60)),
    LARGE: (62.5, (150, 256, 256)),
    HUGE: (134.5, (300, 512, 512)),
}
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


@cache
def flash():
    """flash-radiomics 1.0: its CPU backend, one thread, without its HDF5 file."""
    module = pytest.importorskip("flash_radiomics.featureextractor", reason="peer flash-radiomics is not installed")
    extractor = module.RadiomicsFeatureExtractor(additionalInfo=False, binWidth=WIDTH, backend="cpu", num_threads=1)
    extractor.disableAllFeatures()
    for kind in ("shape", *ALL_BUT_SHAPE["families"]):
        extractor.enableFeatureClassByName(kind)
    return extractor


@cache
def without_shape():
    peer()
    from radiomics import featureextractor

    extractor = featureextractor.RadiomicsFeatureExtractor(additionalInfo=False, binWidth=WIDTH)
    extractor.enableAllFeatures()
    for kind in ("shape", "shape2D"):
        extractor.enabledFeatures.pop(kind, None)
    return extractor


ALL_BUT_SHAPE = {"families": ["firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]}


def of_peer(image, mask):
    import SimpleITK as sitk

    volumes = [sitk.GetImageFromArray(array) for array in (image.array, mask)]
    for volume in volumes:
        volume.SetSpacing(SPACING[::-1])
    return volumes


def settings(**more):
    return radiomics.Settings(bin_width=WIDTH, compat="pyradiomics", **more)


def pyradiomics_of(image, mask):
    """The work of PyRadiomics on them: numbers by name."""
    extractor, volumes = peer(), of_peer(image, mask)

    def work():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {name: float(value) for name, value in extractor.execute(*volumes).items()}

    return work


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


@pytest.mark.parametrize("group", [TINY, SMALL, LARGE, HUGE])
def bench_features(benchmark, case, one_thread, group):
    benchmark.group = group
    image, mask = ball(*SIZES[group])
    chosen = settings(**ALL_BUT_SHAPE) if group == HUGE else settings()
    error = worst(radiomics.extract(image, mask, chosen), image, mask) if group in (TINY, SMALL) else None
    voxels = int(mask.sum())
    case(lambda: radiomics.extract(image, mask, chosen), nbytes=3 * voxels, items=voxels, unit="voxel", error=error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("group", [TINY, SMALL, LARGE, HUGE])
def bench_features_pyradiomics(benchmark, case, group):
    benchmark.group = group
    image, mask = ball(*SIZES[group])
    extractor, volumes = peer(), of_peer(image, mask)
    if group == HUGE:
        extractor = without_shape()
    rounds = 5 if group in (TINY, SMALL) else 1
    case(lambda: extractor.execute(*volumes), tool="PyRadiomics 3", items=int(mask.sum()), unit="voxel", rounds=rounds)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("group", [SMALL, LARGE])
def bench_features_flash(benchmark, case, group):
    """From the cropped image; it measures more features in five of the families."""
    benchmark.group = group
    image, mask = ball(*SIZES[group])
    logging.getLogger("flash_radiomics").setLevel(logging.CRITICAL)
    extractor = flash()
    cropped = extractor.preprocess_case(*of_peer(image, mask))
    work = partial(extractor.extract_from_preprocessed, cropped)
    case(work, tool="flash-radiomics 1", items=int(mask.sum()), unit="voxel", rounds=5 if group == SMALL else 1)


@cache
def levels(group):
    """Grey levels of the ball, smooth or as they are, and where they are above 0."""
    image, mask = ball(*SIZES[group])
    inside = image.array[mask > 0].astype(np.int64)
    box = tuple(slice(edge.min(), edge.max() + 1) for edge in np.nonzero(mask))
    binned = np.where(mask, image.array // WIDTH - inside.min() // WIDTH + 1, 0)[box]
    return np.ascontiguousarray(binned.astype(np.uint8)), np.ascontiguousarray(mask[box] > 0)


def all_matrices(array):
    """What PyRadiomics has a matrix for; its zones have no distances."""
    radiomics.cooccurrences(array)
    radiomics.run_lengths(array)
    radiomics.dependences(array)
    radiomics.zone_tallies(array, distances=False)


@pytest.mark.parametrize(("group", "size"), [(MATRICES, LARGE), (HUGE_MATRICES, HUGE)])
def bench_matrices(benchmark, case, one_thread, group, size):
    benchmark.group = group
    array, _ = levels(size)
    voxels = np.count_nonzero(array)
    case(lambda: all_matrices(array), nbytes=array.nbytes, items=voxels, unit="voxel", error=0)


@pytest.mark.parametrize(("group", "size"), [(MATRICES, LARGE), (HUGE_MATRICES, HUGE)])
def bench_matrices_pyradiomics(benchmark, case, group, size):
    benchmark.group = group
    peer()
    from radiomics import cMatrices

    array, mask = levels(size)
    array, count, distances = array.astype(np.int64), int(array.max()), np.array([1])

    def work():
        cMatrices.calculate_glcm(array, mask, distances, count, False, 0)
        cMatrices.calculate_glrlm(array, mask, count, max(array.shape), False, 0)
        cMatrices.calculate_gldm(array, mask, distances, count, 0, False, 0)
        cMatrices.calculate_ngtdm(array, mask, distances, count, False, 0)
        cMatrices.calculate_glszm(array, mask, count, int(mask.sum()), False, 0)

    rounds = 3 if size == LARGE else 1
    case(work, tool="PyRadiomics 3, C extension", items=int(mask.sum()), unit="voxel", rounds=rounds)


@pytest.mark.parametrize(("group", "size"), [(SHAPE, LARGE), (HUGE_SHAPE, HUGE)])
def bench_shape(benchmark, case, one_thread, group, size):
    benchmark.group = group
    image, mask = ball(*SIZES[size])
    chosen = settings(families=["shape"])
    error = worst(radiomics.extract(*ball(*SIZES[SMALL]), chosen), *ball(*SIZES[SMALL]))
    work = lambda: radiomics.extract(image, mask, chosen)  # noqa: E731
    case(work, nbytes=mask.nbytes, items=int(mask.sum()), unit="voxel", error=error)


def maps_error(chosen):
    """The largest difference from PyRadiomics' voxel-based run on a ball of 33 voxels, as a share of each map's range."""
    image, mask = ball(2.1, (7, 7, 7))
    try:
        peer()
    except pytest.skip.Exception:
        return None
    from radiomics import featureextractor

    extractor = featureextractor.RadiomicsFeatureExtractor(additionalInfo=False, binWidth=WIDTH)
    extractor.disableAllFeatures()
    for kind in chosen.families:
        extractor.enableFeatureClassByName("gldm" if kind == "ngldm" else kind)
    found = radiomics.maps(image, mask, chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        volumes = extractor.execute(*of_peer(image, mask), voxelBased=True)
    errors = []
    for name, volume in volumes.items():
        expected = sitk_array_like(volume, mask)
        ours = found[name].array[mask > 0]
        errors.append(np.nanmax(np.abs(ours - expected)) / max(np.ptp(expected), np.abs(expected).max(), 1e-12))
    return max(errors)


def sitk_array_like(volume, mask):
    """Values of a cropped map in the mask, in the order of its voxels."""
    import SimpleITK as sitk

    first = [round(o / s) for o, s in zip(volume.GetOrigin()[::-1], SPACING, strict=True)]
    array = sitk.GetArrayFromImage(volume)
    return np.array([array[tuple(p - f for p, f in zip(place, first, strict=True))] for place in np.argwhere(mask)])


@pytest.mark.parametrize("group", [MAPS, ALL_MAPS])
def bench_maps(benchmark, case, one_thread, group):
    benchmark.group = group
    image, mask = ball(*SIZES[SMALL])
    chosen = settings(families=["glcm"]) if group == MAPS else settings(**ALL_BUT_SHAPE)
    voxels = int(mask.sum())
    work = lambda: radiomics.maps(image, mask, chosen)  # noqa: E731
    case(work, nbytes=3 * voxels, items=voxels, unit="voxel", error=maps_error(chosen), rounds=3)


@pytest.mark.gpu
@pytest.mark.parametrize("size", [SMALL, LARGE])
def bench_gpu_maps(benchmark, gpu_case, gpu, size):
    """GLCM features of a 3 x 3 x 3 window around each voxel, all left on the device."""
    image, mask = ball(*SIZES[gpu.size(size, TINY)])
    there, inside = fi.Image(gpu(image.array), image.affine), gpu(mask)
    chosen, voxels = settings(families=["glcm"]), int(mask.sum())
    benchmark.group = f"radiomics: GLCM maps on the GPU, a mask of {round(voxels, -4):,} voxels"
    work = lambda: radiomics.maps(there, inside, chosen)  # noqa: E731
    expected = lambda: {name: map_.array for name, map_ in radiomics.maps(image, mask, chosen).items()}  # noqa: E731
    gpu_case(work, nbytes=3 * voxels, items=voxels, unit="voxel", expected=expected, batches=5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("group", [MAPS, ALL_MAPS])
def bench_maps_pyradiomics(benchmark, case, group):
    """A small region: PyRadiomics manages some hundred voxels a second."""
    benchmark.group = group
    peer()
    from radiomics import featureextractor

    image, mask = ball(*SIZES[TINY])
    extractor = featureextractor.RadiomicsFeatureExtractor(additionalInfo=False, binWidth=WIDTH)
    extractor.disableAllFeatures()
    for kind in ["glcm"] if group == MAPS else ALL_BUT_SHAPE["families"]:
        extractor.enableFeatureClassByName(kind)
    volumes = of_peer(image, mask)
    case(
        lambda: extractor.execute(*volumes, voxelBased=True),
        tool="PyRadiomics 3",
        items=int(mask.sum()),
        unit="voxel",
        rounds=1,
    )


@pytest.mark.gpu
@pytest.mark.parametrize(("group", "size"), [(GPU, LARGE), (GPU_HUGE, HUGE)])
def bench_gpu_texture(benchmark, gpu_case, gpu, group, size):
    """Matrices of all texture families, border distances included, left on the device; tallies of zones on the host."""
    benchmark.group = group
    array, mask = levels(gpu.size(size, TINY))
    box = gpu(np.pad(array, 1))
    inside, count = gpu(mask.view(np.uint8)), int(array.max())
    leaf = fi._dispatch.pick(box, leaf="radiomics")
    steps = radiomics._texture.offsets_of((1,), "3D")
    around = radiomics._texture.offsets_of((1,), "3D", both=True)
    whole = (0, array.shape[0])

    def work():
        leaf.glcm(box, 1, steps, whole, count, threads=0)
        leaf.glrlm(box, 1, steps, whole, count, threads=0)
        leaf.neighbours(box, 1, around, whole, count, 0, threads=0)
        leaf.zone_tallies(box, 1, False, whole, leaf.taxicab(inside, False, threads=0), count)

    voxels = np.count_nonzero(array)
    gpu_case(work, nbytes=array.nbytes, items=voxels, unit="voxel", error=0)


@pytest.mark.gpu
@pytest.mark.parametrize(("group", "size"), [(GPU, LARGE), (GPU_HUGE, HUGE)])
def bench_gpu_extract(benchmark, gpu_case, gpu, group, size):
    """From an image and a mask on the device to the features of all texture families."""
    benchmark.group = group
    image, mask = ball(*SIZES[gpu.size(size, TINY)])
    there, inside = fi.Image(gpu(image.array), image.affine), gpu(mask)
    chosen = radiomics.Settings(bin_width=WIDTH, families=["glcm", "glrlm", "glszm", "gldzm", "ngldm", "ngtdm"])
    voxels = int(mask.sum())
    gpu_case(
        lambda: radiomics.extract(there, inside, chosen),
        tool="fastimg, extract",
        nbytes=3 * voxels,
        items=voxels,
        unit="voxel",
        expected=lambda: radiomics.extract(image, mask, chosen),
    )


@pytest.mark.benchmark(group=CASES)
@pytest.mark.parametrize("workers", [1, 2], ids=["1-process", "2-processes"])
def bench_cases(case, tmp_path, workers):
    """A table of 24 cases by one and by two processes that are already up; run on two cores."""
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK writes the cases")
    for name, volume in zip(("image", "mask"), of_peer(*ball(*SIZES[LARGE])), strict=True):
        sitk.WriteImage(volume, str(tmp_path / f"{name}.nrrd"))
    rows = "".join(f"{n},image.nrrd,mask.nrrd\n" for n in range(24))
    (tmp_path / "cases.csv").write_text(f"case,image,mask\n{rows}")
    outputs = (tmp_path / f"{n}.parquet" for n in count())
    with ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) as executor:

        def work():
            fi.pipeline.measure_features(tmp_path / "cases.csv", next(outputs), settings(), executor=executor)

        tool = "fastimg" if workers == 2 else "fastimg, one process"
        case(work, tool=tool, items=24, unit="case", rounds=3)


@pytest.mark.benchmark(group=FULL)
def bench_ibsi(case, one_thread):
    image, mask = ball(*SIZES[SMALL])
    work = radiomics.Settings(bin_width=WIDTH)
    voxels = int(mask.sum())
    case(lambda: radiomics.extract(image, mask, work, names="ibsi"), nbytes=3 * voxels, items=voxels, unit="voxel")
