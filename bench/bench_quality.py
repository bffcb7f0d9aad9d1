"""Quality control of a stored CT against its floor, a full read, and scikit-image's two estimators alone on as many slices."""

from __future__ import annotations

import numpy as np
import pytest
from bench_cohort import ct

import fastimg as fi
from fastimg.pipeline import QcSettings
from fastimg.pipeline._qc_case import examine
from fastimg.pipeline._qc_duplicates import near_pairs
from fastimg.pipeline._qc_measure import SLICES, sampled

WORK = pytest.mark.benchmark(group="quality: one CT of 100 x 512 x 512, one thread")
PAIRS = pytest.mark.benchmark(group="quality: like pairs among 20,000 hashes")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """(cohort, volume) of one case with a mask."""
    volume = ct(0)
    mask = np.zeros(volume.shape, np.uint8)
    mask[40:60, 200:240, 200:240] = 1
    cohort = fi.Cohort.create(tmp_path_factory.mktemp("qc") / "c")
    image = fi.Image(volume, spacing=(1.5, 0.7, 0.7), unit="HU")
    cohort.add("case", image, {"lesion": mask}, {"modality": "CT"})
    return cohort, volume


def _more(volume):
    return {"nbytes": volume.nbytes, "items": volume.size / 1e6, "unit": "Mvoxel", "rounds": 3}


@WORK
def bench_qc(case, one_thread, stored):
    cohort, volume = stored
    case(lambda: examine(QcSettings(), cohort["case"]), **_more(volume))


@WORK
def bench_qc_floor(case, one_thread, stored):
    cohort, volume = stored
    case(lambda: cohort["case"].image(), tool="fastimg, reading alone", **_more(volume))


@WORK
def bench_qc_scikit_image(case, stored):
    measure = pytest.importorskip("skimage.measure", reason="peer scikit-image is not installed")
    restoration = pytest.importorskip("skimage.restoration", reason="peer scikit-image is not installed")
    _, volume = stored
    planes = [volume[k].astype(np.float32) for k in sampled(SLICES, np.ones(len(volume), bool))]

    def work():
        return [(measure.blur_effect(plane), restoration.estimate_sigma(plane)) for plane in planes]

    case(work, tool="scikit-image, blur_effect and estimate_sigma alone", **_more(volume))


@pytest.fixture(scope="module")
def hashes():
    """20,000 that differ from each other in about 96 bits, as those of different patients, and 100 pairs of copies."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, 256, np.uint8) ^ (rng.random((20_000, 256)) < 0.25)
    bits[:, 255] = 0
    bits[1:200:2] = bits[0:200:2]
    bits[1:200:2, 3] ^= 1
    return np.packbits(bits.astype(np.uint8), axis=1)


@PAIRS
def bench_near_pairs(case, hashes):
    found = near_pairs([row.tobytes() for row in hashes], 12)
    case(lambda: near_pairs([row.tobytes() for row in hashes], 12), items=2e8, unit="pair", error=abs(len(found) - 100))


@PAIRS
def bench_near_pairs_all(case, hashes):
    whole = hashes.view(np.uint64)

    def work():
        return sum(
            int((np.bitwise_count(whole[i] ^ whole[i + 1 :]).sum(axis=1) <= 12).sum()) for i in range(len(whole))
        )

    case(work, tool="NumPy, all with all", items=2e8, unit="pair", error=abs(work() - 100), rounds=2)
