"""Pyramids: OME-Zarr levels as zarr-python reads them, means and votes as plainly computed, their place in the patient."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import zarr

import fastimg as fi
from fastimg.cohort._levels import factors_of, halved, halved_labels
from fastimg.errors import ArgumentError


def blocks_of(array, factors):
    sides = [n // f for n, f in zip(array.shape, factors, strict=True)]
    for at in itertools.product(*map(range, sides)):
        yield at, array[tuple(slice(k * f, (k + 1) * f) for k, f in zip(at, factors, strict=True))]


@pytest.mark.parametrize("factors", [(1, 2, 2), (2, 2, 2), (2, 1, 1)])
@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32", "bool"])
def test_a_coarser_voxel_is_the_mean_of_its_block(factors, dtype):
    array = (np.random.default_rng(0).normal(0, 40, (7, 8, 9)) % 100).astype(dtype)
    seen = halved(array, factors)
    assert seen.dtype == array.dtype
    for at, block in blocks_of(array, factors):
        mean = block.astype(np.float64).mean()
        if dtype == "float32":
            assert seen[at] == pytest.approx(mean, rel=1e-6)
        elif dtype == "bool":
            assert seen[at] == (mean >= 0.5)
        else:
            assert seen[at] == round(mean)


def test_a_coarser_label_is_the_one_most_voxels_have():
    array = np.random.default_rng(0).integers(0, 4, (8, 6, 10)).astype(np.uint16)
    seen = halved_labels(array, (2, 2, 2))
    for at, block in blocks_of(array, (2, 2, 2)):
        labels, counts = np.unique(block, return_counts=True)
        assert seen[at] == max(labels[counts == counts.max()])


def test_thick_slices_wait():
    assert [factors_of((100, 512, 512), (3.0, 0.75, 0.75), n) for n in range(5)] == [
        (1, 1, 1),
        (1, 2, 2),
        (1, 4, 4),
        (2, 8, 8),
        (4, 16, 16),
    ]
    assert factors_of((1, 8, 8), (1, 1, 1), 3) == (1, 8, 8)


def test_levels_are_ome_zarr_that_others_read(tmp_path):
    c = fi.Cohort.create(tmp_path / "c")
    array = np.random.default_rng(2).integers(-50, 50, (2, 20, 40, 44)).astype(np.int16)
    image = fi.Image(array, spacing=(1.0, 1.0, 1.0), origin=(-3.0, 5.0, 7.0), dims=("channel", "z", "y", "x"))
    case = c.add("a", image, {"m": array[0] > 0}, levels=3)
    group = zarr.open_group(case.path, mode="r")
    scales = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert [d["path"] for d in scales] == ["0", "1", "2"]
    reopened = fi.Cohort.open(c.path)["a"]
    for level in range(3):
        np.testing.assert_array_equal(group[str(level)][:], reopened.voxels((), level=level))
        np.testing.assert_array_equal(group[f"labels/m/{level}"][:], reopened.voxels((), mask="m", level=level))
    assert reopened.levels == 3
    change = {t["type"]: t for t in scales[2]["coordinateTransformations"]}
    assert change["scale"]["scale"] == [1.0, 4.0, 4.0, 4.0]
    assert change["translation"]["translation"] == [0.0, 8.5, 6.5, -1.5]  # the middle of the first 4 x 4 x 4 voxels
    assert c.verify(full=True).ok
    with pytest.raises(ArgumentError, match="level"):
        reopened.voxels((), level=3)
    with pytest.raises(ArgumentError, match="levels"):
        c.add("b", image, levels=0)


def test_a_damaged_level_is_found(tmp_path):
    c = fi.Cohort.create(tmp_path / "c")
    case = c.add("a", fi.Image(np.arange(4096, dtype=np.int16).reshape(16, 16, 16)), levels=2)
    path = case.path / "1" / "c" / "0" / "0" / "0"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    assert not c.verify().ok
    with pytest.raises(fi.errors.IntegrityError):
        fi.Cohort.open(c.path)["a"].voxels((), level=1)


def test_voxels_into_an_array_of_the_caller(tmp_path):
    c = fi.Cohort.create(tmp_path / "c")
    array = np.arange(4096, dtype=np.int16).reshape(16, 16, 16)
    case = c.add("a", fi.Image(array))
    out = np.empty((4, 16, 8), np.int16)
    assert case.voxels(np.s_[3:7, :, 8:], out=out) is out
    np.testing.assert_array_equal(out, array[3:7, :, 8:])
    for wrong in (np.empty((4, 16, 9), np.int16), np.empty((4, 16, 8), np.uint16), np.empty((8, 16, 4), np.int16).T):
        with pytest.raises(ArgumentError, match="out"):
            case.voxels(np.s_[3:7, :, 8:], out=wrong)
