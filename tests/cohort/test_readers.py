"""What we write is Zarr v3 to everyone: zarr-python, tensorstore and zarrs read the same voxels, in every form of a chunk."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

import fastimg as fi

SHAPE = (40, 70, 66)


def volumes():
    """Noise over structure (raw planes in a frame), structure alone, constants, noise alone; of several types."""
    random = np.random.default_rng(0)
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    smooth = 300 * np.sin(k / 9) + 200 * np.cos(j / 7) + i
    noise = random.normal(0, 1, SHAPE)
    body = (j - 35) ** 2 + (i - 33) ** 2 < 900
    yield "ct", np.where(body, smooth + 22 * noise, -1000 + 3 * noise).astype(np.int16)
    yield "smooth", np.broadcast_to(smooth, SHAPE).astype(np.int16)
    yield "constant", np.full(SHAPE, -1024, np.int16)
    yield "random", random.integers(-(2**15), 2**15, SHAPE).astype(np.int16)
    yield "float", (smooth + noise).astype(np.float32)
    yield "double", noise
    yield "counts", random.poisson(40, SHAPE).astype(np.uint8)
    yield (
        "letters",
        np.frombuffer(b"the quick brown fox jumps over the lazy dog. ", np.uint8)[random.integers(0, 45, SHAPE)],
    )
    yield "wide", (1000 * smooth + 50 * noise).astype(np.int32)


def by_zarr_python(case, node, region):
    return zarr.open_array(str(case.path / node), mode="r")[region]


def by_tensorstore(case, node, region):
    ts = pytest.importorskip("tensorstore", reason="tensorstore is not installed (make peers)")
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(case.path / node)}}
    return ts.open(spec, read=True).result()[region].read().result()


def by_zarrs(case, node, region):
    pytest.importorskip("zarrs", reason="zarrs is not installed (make peers)")
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return zarr.open_array(str(case.path / node), mode="r")[region]


@pytest.fixture(scope="module", params=["default", "hot", "gpu"], ids=["blosc-zstd", "blosc-lz4", "plain-zstd"])
def cohort(request, tmp_path_factory):
    c = fi.Cohort.create(tmp_path_factory.mktemp(request.param) / "c", profile=request.param)
    for name, volume in volumes():
        c.add(name, fi.Image(volume), {"m": volume > volume.mean()})
    return c


@pytest.mark.parametrize("read", [by_zarr_python, by_tensorstore, by_zarrs])
def test_the_same_voxels(cohort, read):
    for name, volume in volumes():
        np.testing.assert_array_equal(cohort[name].image().array, volume)
        for region in (np.s_[:, :, :], np.s_[5:30, 33:70, 1:40]):
            np.testing.assert_array_equal(read(cohort[name], "0", region), volume[region])
        mask = read(cohort[name], "labels/m/0", np.s_[:, :, :])
        np.testing.assert_array_equal(mask, volume > volume.mean())
