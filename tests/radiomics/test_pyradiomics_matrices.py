"""Texture matrices against PyRadiomics' C extension on random regions: every integer equal, for 2 to 300 levels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import ndimage

from fastimg import radiomics
from fastimg.radiomics._texture import offsets_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("radiomics", reason="peer PyRadiomics is not installed").cMatrices


def region(rng, count, most):
    """Levels 1 to count and 0 outside: noise or smooth, of any shape, with holes, with a solid or a sparse mask."""
    shape = tuple(int(n) for n in rng.integers((1, 1, 2), most + 1))  # the peer refuses a slice of one voxel
    values = rng.normal(size=shape)
    if rng.random() < 0.7:
        values = ndimage.gaussian_filter(values, rng.uniform(0.5, 2.5))
    low, high = values.min(), values.max()
    scaled = (values - low) / (high - low) if high > low else np.zeros(shape)
    levels = 1 + np.minimum(scaled * count, count - 1).astype(np.int64)
    kind = rng.integers(3)
    if kind == 1:
        levels[rng.random(shape) < rng.uniform(0.02, 0.8)] = 0
    elif kind == 2:
        levels[ndimage.gaussian_filter(rng.normal(size=shape), 2) < 0] = 0
    levels.flat[rng.integers(levels.size)] = count
    return levels


def by_angle(found, angles, dimension):
    """A peer's (1, i, j, angle) as ours, (offset, i, j), and whether it is of the opposite angle, which exchanges i and j.

    None where the peer leaves an angle out: along an axis of one voxel there is nothing but the voxels themselves.
    """
    at = {tuple(angle): k for k, angle in enumerate(angles.tolist())}
    for step in offsets_of((1,), dimension).tolist():
        same, opposite = at.get(tuple(step)), at.get(tuple(-s for s in step))
        assert same is None or opposite is None
        k = opposite if same is None else same
        yield None if k is None else found[0, :, :, k], same is None


def same_but_for_zeros(own, other):
    """Matrices that end at different columns."""
    width = min(own.shape[1], other.shape[1])
    np.testing.assert_array_equal(own[:, :width], other[:, :width])
    assert not own[:, width:].any()
    assert not other[:, width:].any()


def check(levels, dimension, alpha):
    count, mask, flat, one = int(levels.max()), levels > 0, dimension == "2D", np.array([1])

    pairs = radiomics.cooccurrences(levels, dimension=dimension)
    theirs = by_angle(*peer.calculate_glcm(levels, mask, one, count, flat, 0), dimension)
    for own, (other, turned) in zip(pairs, theirs, strict=True):
        if other is None:
            assert not own.any()
        else:
            np.testing.assert_array_equal(own, other.T if turned else other)

    runs = radiomics.run_lengths(levels, dimension=dimension)
    theirs = by_angle(*peer.calculate_glrlm(levels, mask, count, max(levels.shape), flat, 0), dimension)
    for own, (other, _) in zip(runs, theirs, strict=True):
        if other is None or not other.any():  # where no line holds two voxels the peer counts none
            np.testing.assert_array_equal(own[:, 0], np.bincount(levels[mask], minlength=count + 1)[1:])
            assert not own[:, 1:].any()
        else:
            same_but_for_zeros(own, other)

    dependent, valid, apart = radiomics.dependences(levels, dimension=dimension, alpha=alpha)
    other = peer.calculate_gldm(levels, mask, one, count, alpha, flat, 0)[0]
    same_but_for_zeros(dependent, other)
    tones = peer.calculate_ngtdm(levels, mask, one, count, flat, 0)[0]
    np.testing.assert_array_equal(valid.sum(1), tones[:, 0])
    sums = (apart[:, 1:] / np.arange(1, apart.shape[1])).sum(1)
    np.testing.assert_allclose(sums, tones[:, 1], rtol=1e-10, atol=1e-9)

    zones = peer.calculate_glszm(levels, mask, count, int(mask.sum()), flat, 0)[0]
    level, size = np.nonzero(zones)
    for distances in (False, True):
        (tone, voxels, often), _ = radiomics.zone_tallies(levels, distances=distances, dimension=dimension)
        np.testing.assert_array_equal(tone, level + 1)
        np.testing.assert_array_equal(voxels, size + 1)
        np.testing.assert_array_equal(often, zones[level, size])


# Both sides of where the code changes its way: tables in the first-level cache (77, 109), 8 bits (255, 256).
LEVELS = [2, 3, 5, 8, 16, 31, 64, 77, 78, 109, 110, 200, 254, 255, 256, 257, 300]


@pytest.mark.parametrize("dimension", ["3D", "2D"])
@pytest.mark.parametrize("count", LEVELS)
def test_matrices_of_small_regions(count, dimension):
    rng = np.random.default_rng(count)
    for _ in range(8):
        check(region(rng, count, 24), dimension, int(rng.integers(0, 3)))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(40))
def test_matrices_of_larger_regions(seed):
    rng = np.random.default_rng(1000 + seed)
    for _ in range(4):
        check(
            region(rng, int(rng.integers(2, 301)), 110), "3D" if rng.random() < 0.8 else "2D", int(rng.integers(0, 3))
        )
