"""A user's function over the voxels of a cohort, block by block, in less memory than a volume takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg._workers import InProcess
from fastimg.cohort import _shard, _stream
from fastimg.errors import ArgumentError

from . import mapped

RAW = np.random.default_rng(0).integers(-1000, 1000, (70, 90, 100)).astype(np.int16)


@pytest.fixture
def cohorts(tmp_path):
    c, d = fi.Cohort.create(tmp_path / "c"), fi.Cohort.create(tmp_path / "d")
    affine = np.array([[0, 0.1, 0.9, 4], [0, 0.9, -0.1, 5], [2.5, 0, 0, 6], [0, 0, 0, 1.0]])
    affine[:3, :3] = np.linalg.qr(affine[:3, :3])[0] * [2.5, 0.9, 0.9]
    image = fi.Image(RAW, affine, unit="HU", padding=RAW[:, :, :] < -990)
    c.add("a", image, {"low": RAW < 0, "labels": (RAW % 5).astype(np.uint16)}, {"site": "X"})
    c.add("b", fi.Image(RAW[:3, :7, :9]))
    c.add("t", fi.Image(RAW[:6].reshape(2, 3, 90, 100), dims=("time", "z", "y", "x"), coords={"time": [0.0, 1.5]}))
    c.record("q", "quarantined", findings=[])
    return c, d


@pytest.mark.parametrize("memory", [1, 200_000, 3_000_000, 1 << 30])
def test_voxels_are_those_of_numpy_whatever_the_memory(cohorts, memory):
    c, d = cohorts
    made = list(c.map_voxels(mapped.scaled, d, memory=memory, executor=InProcess(), unit="x"))
    assert made == [("a", "made"), ("b", "made"), ("t", "made")]
    for case_id, _ in made:
        expected = c[case_id].image().array.astype(np.float64) * 0.5 + 3
        seen = d[case_id].image()
        np.testing.assert_array_equal(seen.array, expected.astype(np.float32))
        assert (seen.unit, seen.dims, seen.coords) == ("x", c[case_id].image().dims, c[case_id].image().coords)
        np.testing.assert_array_equal(seen.affine, c[case_id].affine)
    assert d["a"].metadata == {"site": "X"}
    for name in ("low", "labels"):
        np.testing.assert_array_equal(d["a"].voxels((), mask=name), c["a"].voxels((), mask=name))
    np.testing.assert_array_equal(d["a"].image().padding, c["a"].image().padding)
    assert d.verify(full=True).ok  # digests of blocks are those of the whole


def test_masks_come_as_further_scalars_on_worker_processes(cohorts):
    c, d = cohorts
    made = list(c.map_voxels(mapped.within, d, masks=["low", "labels"], dtype="int32", workers=2))
    assert made == [("a", "made"), ("b", "left out"), ("t", "left out")]
    expected = np.where(RAW < 0, RAW.astype(np.int32), -(RAW % 5))
    np.testing.assert_array_equal(d["a"].image().array, expected)
    assert list(d) == ["a"]


def test_what_was_made_of_the_same_by_the_same_is_kept(cohorts, monkeypatch):
    c, d = cohorts
    options = {"executor": InProcess(), "dtype": "float32"}
    list(c.map_voxels(mapped.scaled, d, **options))
    assert {state for _, state in c.map_voxels(mapped.scaled, d, **options)} == {"kept"}
    c.add("b", fi.Image(RAW[:4, :7, :9]), replace=True)
    assert dict(c.map_voxels(mapped.scaled, d, **options)) == {"a": "kept", "b": "made", "t": "kept"}
    monkeypatch.setattr(mapped, "OFFSET", 4.0)  # a constant of the compiled function
    assert {state for _, state in c.map_voxels(mapped.scaled, d, **options)} == {"made"}


def test_what_cannot_be_is_told_before_any_work(cohorts):
    c, d = cohorts
    for wrong, options in {
        "cannot compile": {"function": mapped.total},
        "dtype": {"dtype": "complex64"},
        "masks": {"masks": ["a", "b", "c", "d"]},
        "memory": {"memory": 0},
        "target": {"target": c},
    }.items():
        asked = {"function": mapped.scaled, "target": d, **options}
        with pytest.raises(ArgumentError, match=wrong):
            c.map_voxels(executor=InProcess(), **asked)
    assert len(d) == 0


SCRIPT = """
import resource, sys
import numpy as np
import fastimg as fi
from fastimg._workers import InProcess
from tests.cohort.mapped import scaled
def held():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData"))
fi.config.set_threads(1)
small, big, target = (fi.Cohort.open(path, mode="r+") for path in sys.argv[1:4])
list(small.map_voxels(scaled, fi.Cohort.create(sys.argv[4]), executor=InProcess()))  # compiled and loaded
limit = held() + int(sys.argv[5])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    big["v"].image()
    print("the whole volume fits")
except MemoryError:
    print(list(big.map_voxels(scaled, target, memory=16 << 20, executor=InProcess())))
"""


def test_a_volume_larger_than_the_memory_that_is_allowed(tmp_path):
    """160 MB of voxels, 320 MB of results, under an allowance of 100 MB that the system enforces."""
    small, big = fi.Cohort.create(tmp_path / "s"), fi.Cohort.create(tmp_path / "b")
    shape = (320, 500, 500)
    volume = np.add.outer(np.arange(320, dtype=np.int16) * 3, np.arange(500 * 500, dtype=np.int16) >> 4).reshape(shape)
    small.add("v", fi.Image(volume[:20]), {"m": volume[:20] > 9})
    big.add("v", fi.Image(volume), {"m": volume > 900})
    target, allowed = fi.Cohort.create(tmp_path / "t"), 100_000_000
    assert volume.nbytes > 1.5 * allowed
    paths = [str(tmp_path / name) for name in ("s", "b", "t", "other")]
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, *paths, str(allowed)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=300)
    assert done.stdout == "[('v', 'made')]\n", done.stdout + done.stderr[-2000:]
    for region, arrays in target["v"].blocks(masks=["m"], memory=64 << 20):
        np.testing.assert_array_equal(arrays[None], (volume[region] * 0.5 + 3).astype(np.float32))
        np.testing.assert_array_equal(arrays["m"], volume[region] > 900)


@pytest.mark.parametrize("profile", ["default", "hot", "gpu"])
@pytest.mark.parametrize("shape", [(70, 90, 100), (2, 3, 33, 70, 40), (1, 1, 5)])
def test_a_shard_of_blocks_has_the_bytes_of_one_that_was_written_whole(tmp_path, profile, shape):
    array = np.random.default_rng(1).integers(0, 50, shape).astype(np.uint16)
    codec, chunks = _shard.PROFILES[profile], _shard.chunk_shape(shape)
    whole = _shard.write(tmp_path / "whole", array, chunks, codec)
    for memory in (1, 50_000, 1 << 30):
        parts = [array[region] for region in _stream.blocks(shape, chunks, 2, memory)]
        path = tmp_path / f"blocks-{memory}"
        assert _stream.write_blocks(path, shape, chunks, codec, parts) == whole
        assert path.read_bytes() == (tmp_path / "whole").read_bytes()


def test_parts_that_do_not_cover_the_array_leave_no_case(cohorts):
    c, d = cohorts
    case = c["a"]
    whole = [array[None].astype(np.float32) for _, array in case.blocks(memory=500_000)]
    for parts in (whole[:-1], [*whole, whole[0]], [part.astype(np.int16) for part in whole], [whole[0][:, :, :9]]):
        with pytest.raises(ArgumentError, match="parts"):
            d.add_derived(case, parts, dtype="float32", source="s")
    assert len(d) == 0
    assert d.verify().ok
