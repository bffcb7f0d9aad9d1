"""For each kernels/*.cu, public calls that launch its entries: what rungs 4 of the ladder records and replays.

Sizes are small and odd, so that partial blocks, rims and tails are all reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import fastimg as fi
from fastimg.dicom import _cuda as dicom_cuda

Put = Callable[[Any], Any]


def window(put: Put) -> None:
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64):
        fi.harmonize.window(put(np.arange(1043).astype(dtype)), low=3, high=90)


@contextmanager
def narrow(module: Any) -> Iterator[None]:
    """Blocks of 32 threads: a played device's threads are threads, and slow under a sanitizer."""
    before, module._BLOCK = module._BLOCK, 32
    try:
        yield
    finally:
        module._BLOCK = before


def histogram(put: Put) -> None:
    from fastimg.histogram import _cuda

    with narrow(_cuda):
        counted(put)


def counted(put: Put) -> None:
    values = np.arange(1043) % 251 - 100
    mask = put(values % 3 == 0)
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64):
        image = put(values.astype(dtype) if np.dtype(dtype).kind == "i" else (values + 100).astype(dtype))
        fi.Histogram.of(image)
        fi.Histogram.of(image, mask=mask, bins=7, range=(-20, 60))
        fi.histogram.moments(image)
    for dtype in (np.float32, np.float64):
        image = put((values / 7).astype(dtype))
        fi.Histogram.of(image, mask=mask, bins=100)
        fi.Histogram.of(image, bins=7, range=(-20, 60))
        fi.histogram.quantile(image, [0, 0.3, 1], mask=mask)
        many = np.resize(values / 7, 40_001).astype(dtype) + (np.arange(40_001) / 7e4).astype(dtype)
        fi.histogram.quantile(put(many), np.linspace(0, 1, 65))


def map_(put: Put) -> None:
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64):
        image = put((np.arange(1043) % 127).astype(dtype))
        fi.harmonize.zscore(image)
        nyul = fi.harmonize.Nyul().fit([image])
        nyul.transform(image)
        nyul.transform(image[:101])  # too few voxels for a table of 8 bits
        if dtype in (np.int16, np.uint16):
            nyul.transform(put(np.resize(np.arange(127), 1 << 16).astype(dtype)))


def clahe(put: Put) -> None:
    from fastimg.harmonize import _cuda

    values = np.arange(7 * 11 * 13).reshape(7, 11, 13) ** 2 % 127
    with narrow(_cuda):
        for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64):
            fi.harmonize.clahe(put(values.astype(dtype)), put(values % 3 > 0), tile=(4, 3, 5))


def combat(put: Put) -> None:
    x, batch = np.arange(31.0 * 67).reshape(31, 67) ** 2 % 97, np.arange(31) % 3
    covariates = {"age": np.arange(31.0) ** 2 % 13, "sex": np.where(np.arange(31) % 5 < 2, "F", "M")}
    for dtype in (np.float32, np.float64):
        for missing in ("error", "skip"):
            image = put(x.astype(dtype))
            fitted = fi.harmonize.ComBat(missing=missing).fit(image, batch=batch, covariates=covariates)
            fitted.transform(image, batch=batch, covariates=covariates)


def n4(put: Put) -> None:
    from fastimg.harmonize._n4 import _cuda

    z, y, x = np.ogrid[-1:1:5j, -1:1:6j, -1:1:7j]
    image = (np.where(z * z + y * y + x * x < 1, 90, 40) * np.exp(0.2 * x + 0.1 * y)).astype(np.float32)
    weights = put(np.ones(image.shape, np.float32))
    with narrow(_cuda):
        fi.harmonize.n4(put(image), shrink=1, iterations=(1, 1), threshold=0, bins=16)
        fi.harmonize.n4(put(image), shrink=1, iterations=(1,), threshold=0, bins=16, weights=weights)


def chacha20(put: Put) -> None:
    seeds, signs = [bytes([i]) * 32 for i in range(3)], [1, -1, 1]
    for dtype, word in (
        (np.float32, np.uint32),
        (np.float32, np.uint64),
        (np.float64, np.uint32),
        (np.float64, np.uint64),
        (np.uint32, np.uint32),
        (np.uint32, np.uint64),
        (np.uint64, np.uint64),
    ):
        options = {"bits": 20, "clip": 900.0} if np.dtype(dtype).kind == "f" else {}
        out = put(np.empty(1043, word))
        fi.secagg.mask(put(np.arange(1043).astype(dtype)), seeds, signs, out=out, prg="chacha20", **options)
        if options:
            dithered = {"prg": "chacha20", "dither": b"d" * 32, **options}
            fi.secagg.mask(put(np.arange(1043).astype(dtype)), seeds, signs, out=out, **dithered)


def texture(put: Put) -> None:
    narrow = np.arange(3 * 5 * 7).reshape(3, 5, 7) % 4
    crowded = np.where(narrow, narrow + 110, 0)  # a table too large for shared memory
    for levels in (
        narrow.astype(np.uint8),
        crowded.astype(np.uint8),
        np.where(narrow, narrow + 300, 0).astype(np.uint16),
    ):
        for dimension in ("2D", "3D"):
            fi.radiomics.cooccurrences(put(levels), distances=(1, 2), dimension=dimension)
            fi.radiomics.run_lengths(put(levels), dimension=dimension)
            fi.radiomics.dependences(put(levels), dimension=dimension)
            fi.radiomics.zones(put(levels), dimension=dimension)
    image, mask = fi.Image(put(narrow.astype(np.int16))), put(np.ones(narrow.shape, np.uint8))
    for bins in (3, 300):  # levels of 8 and of 16 bits
        fi.radiomics.extract(image, mask, fi.radiomics.Settings(bin_number=bins, families=["glszm", "gldzm"]))


def maps(put: Put) -> None:
    from fastimg.radiomics import _cuda

    values = (np.arange(5 * 6 * 7).reshape(5, 6, 7) ** 2 % 11).astype(np.int16)
    mask = np.ones(values.shape, np.uint8)
    mask[0, 0, :3] = 0
    glcm = {"families": ["glcm"], "bin_width": 1}
    with narrow(_cuda):
        for more in ({}, {"kernel_radius": 2, "aggregation": "2D, averaged"}, {"masked_kernel": False}):
            fi.radiomics.maps(fi.Image(put(values)), put(mask), fi.radiomics.Settings(**glcm, **more))


def mesh(put: Put) -> None:
    from fastimg.radiomics import _cuda

    with narrow(_cuda):
        for shape in ((1, 1, 1), (3, 5, 7), (4, 3, 130)):
            mask = np.random.default_rng(0).random(shape) < 0.7
            mask.flat[0] = True
            _cuda.shape_sums(put(mask), threads=1)


def volume(put: Put, dtype: Any) -> fi.Image:
    values = np.random.default_rng(3).integers(0, 100, (5, 7, 9)).astype(dtype)
    return fi.Image(put(values), spacing=(3, 1.1, 0.9))


REAL = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64)


def filtered(put: Put) -> None:
    for dtype in REAL:
        fi.filtering.gaussian(volume(put, dtype), sigma=1)


def resampled(put: Put) -> None:
    for dtype in REAL:
        for order in ("nearest", "linear", "cubic"):
            fi.resample(volume(put, dtype), spacing=(2, 2, 0.7), order=order)
        if np.dtype(dtype).kind in "iu":
            fi.resample(volume(put, dtype), spacing=(2, 2, 0.7), order="cubic", rounding="truncate")
            fi.resample(volume(put, dtype), spacing=(2, 2, 0.7), order="label")
        fi.resample(volume(put, dtype), spacing=(2, 2, 0.7), antialias=True)
        image = volume(put, dtype)
        flipped = image.affine.copy()
        flipped[:3, 3] += flipped[:3, 0] * (image.shape[0] - 1)
        flipped[:3, 0] *= -0.7
        fi.resample(image, affine=flipped, shape=image.shape)
    single = volume(put, np.float32)
    fi.resampling.Plan(single, spacing=(2, 2, 0.7), order="cubic", dtype="float64")(single)


def cubic(put: Put) -> None:
    values = np.random.default_rng(4).integers(0, 100, (48, 49, 131))
    for dtype in (np.int16, np.float32):
        fi.resample(fi.Image(put(values.astype(dtype)), spacing=(1.5, 0.7, 0.9)), spacing=1, order="cubic")


def turned(put: Put) -> None:
    """On a grid turned by about 10 degrees."""
    c, s = np.cos(0.17), np.sin(0.17)
    affine = fi.image.affine_from((2, 1, 1), (0.3, -1, 0.2), [[c, -s, 0], [s, c, 0], [0, 0, 1]])
    for dtype in (np.uint8, np.int16, np.uint32, np.float32, np.float64):
        for order in ("nearest", "linear", 2, "cubic", 4, 5):
            fi.resample(volume(put, dtype), affine=affine, shape=(6, 7, 8), order=order)
    field = put(np.random.default_rng(1).normal(0, 2, (6, 7, 8, 3)))
    for order in ("nearest", "label", "linear"):
        fi.resample(volume(put, np.int16), affine=affine, shape=(6, 7, 8), order=order, displacement=field)


def rescaled(put: Put) -> None:
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64):
        fi.dicom.rescale(put((np.arange(1043) % 100).astype(dtype)), 1.5, -1024)
        if np.dtype(dtype).kind in "iu":
            stored = put((np.arange(1043) % 100).astype(dtype))
            dicom_cuda.lookup(stored, put(np.empty(1043, np.float32)), 7, np.arange(50.0))


def reoriented(put: Put) -> None:
    affine = np.eye(4)
    with narrow(dicom_cuda):
        for dtype in (np.uint8, np.int16, np.float32, np.float64):
            values = put((np.arange(2 * 5 * 35 * 34) % 100).astype(dtype).reshape(2, 5, 35, 34))
            image = fi.Image(values, affine, dims=("t", "z", "y", "x"))
            for axes in ("LPS", "SPL", "LSA", "RAI"):
                fi.dicom.reorient(image, axes)


# file -> calls
CASES: dict[str, Callable[[Put], None]] = {
    "chacha20": chacha20,
    "clahe": clahe,
    "combat": combat,
    "histogram": histogram,
    "map": map_,
    "maps": maps,
    "mesh": mesh,
    "n4": n4,
    "texture": texture,
    "filter": filtered,
    "linear": resampled,
    "spline": resampled,
    "cubic": cubic,
    "resample": resampled,
    "oblique": turned,
    "reorient": reoriented,
    "rescale": rescaled,
    "window": window,
}
