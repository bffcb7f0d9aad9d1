"""The "gpu" profile on a GPU: nvCOMP decodes the frames of a shard as they lie in the file."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastimg as fi
from fastimg import _gpu


def frames(path, shape, chunks):
    """(index of the first voxel, bytes) of each inner chunk of a shard, without its CRC-32C; the index stands at the end."""
    data = path.read_bytes()
    grid = [range(0, n, c) for n, c in zip(shape, chunks, strict=True)]
    count = int(np.prod([len(steps) for steps in grid]))
    index = np.frombuffer(data, "<u8", 2 * count, len(data) - 16 * count - 4).reshape(-1, 2)
    for place, (offset, size) in zip(itertools.product(*grid), index.tolist(), strict=True):
        yield place, data[offset : offset + size - 4]


def test_the_frames_are_found(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    check(tmp_path, lambda all_frames: [np.frombuffer(imagecodecs.zstd_decode(data), np.uint8) for data in all_frames])


@pytest.mark.gpu
def test_nvcomp_decodes_the_frames(tmp_path):
    nvcomp = pytest.importorskip("nvidia.nvcomp", reason="nvCOMP is not installed")
    xp = _gpu.backend().xp
    codec = nvcomp.Codec(algorithm="Zstd", bitstream_kind=nvcomp.BitstreamKind.RAW)

    def decode(all_frames):
        there = [nvcomp.as_array(xp.asarray(np.frombuffer(data, np.uint8))) for data in all_frames]
        return [xp.asnumpy(xp.asarray(codec.decode(one))).view(np.uint8) for one in there]

    check(tmp_path, decode)


def check(folder, decode):
    """A volume of noise, structure, constants and zeros, that chunks do not divide."""
    random = np.random.default_rng(0)
    volume = (random.normal(0, 30, (70, 66, 90)) + np.arange(90) * 9).astype(np.int16)
    volume[:30] = np.arange(90)
    volume[60:] = 0
    volume[30:60, :30, :30] = -1024
    case = fi.Cohort.create(folder / "c", profile="gpu").add("a", fi.Image(volume))
    node = case.path / "0"
    (shard,) = (path for path in node.rglob("*") if path.is_file() and path.name != "zarr.json")
    chunks = fi.cohort._shard.chunk_shape(volume.shape)
    found = list(frames(shard, volume.shape, chunks))
    for (place, _), voxels in zip(found, decode([data for _, data in found]), strict=True):
        whole = np.zeros(chunks, np.int16)
        part = volume[tuple(slice(a, a + c) for a, c in zip(place, chunks, strict=True))]
        whole[tuple(map(slice, part.shape))] = part
        np.testing.assert_array_equal(voxels.view(np.int16).reshape(chunks), whole)
