"""Estimators of quality control hold what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qc_cases import body
from scipy import ndimage

from fastimg.errors import ArgumentError
from fastimg.pipeline import _qc_measure as measure
from fastimg.pipeline._qc_duplicates import near_pairs


@given(st.integers(0, 10_000), st.floats(0.5, 500), st.floats(-5, 5), st.floats(-5, 5))
def test_noise_of_a_ramp_with_white_noise(seed, sigma, slope_y, slope_x):
    """White noise on a plane: the mask sees the noise alone. The median of 16,000 values is good to 4 %."""
    y, x = np.mgrid[:64, :64]
    ramp = 100 + slope_y * y + slope_x * x
    noise = np.random.default_rng(seed).normal(0, sigma, (4, 64, 64))
    found = measure.noise_of((ramp + noise).astype(np.float32), np.ones((4, 64, 64), bool))
    assert found == pytest.approx(sigma, rel=0.05)


def test_noise_is_not_that_of_edges():
    planes = np.random.default_rng(0).normal(0, 10, (4, 96, 96)) + 500 * (np.indices((96, 96)) // 12).sum(0) % 2 * 100
    assert measure.noise_of(planes.astype(np.float32), np.ones((4, 96, 96), bool)) < 20
    assert np.isnan(measure.noise_of(planes.astype(np.float32), np.zeros((4, 96, 96), bool)))
    assert np.isnan(measure.noise_of(np.zeros((1, 2, 9), np.float32), np.ones((1, 2, 9), bool)))


def slow_blur(plane):
    """The metric as it stands in the paper, row by row: a mean over 9, absolute differences of neighbours, their variation."""
    rows, columns = plane.shape
    mean = {i: plane[i - 4 : i + 5].mean(axis=0) for i in range(4, rows - 4)}
    total = kept = 0.0
    for i in range(5, rows - 4):
        for j in range(columns):
            sharp = abs(plane[i, j] - plane[i - 1, j])
            total += sharp
            kept += max(0.0, sharp - abs(mean[i][j] - mean[i - 1][j]))
    return (total - kept) / total


@given(st.integers(0, 10_000), st.integers(11, 24), st.integers(11, 24))
def test_blur_is_that_of_the_paper(seed, rows, columns):
    plane = np.random.default_rng(seed).normal(0, 1, (rows, columns)).cumsum(0)
    want = max(slow_blur(plane), slow_blur(plane.T))
    assert measure.blur_of(plane[None].astype(np.float32)) == pytest.approx(want, rel=1e-4)


def test_blur_rises_with_blur():
    sharp = body(0).astype(np.float32)
    seen = [measure.blur_of(ndimage.gaussian_filter(sharp, (0, s, s))) for s in (0, 0.7, 1.5, 3, 6)]
    assert seen == sorted(seen)
    assert all(0 <= value <= 1 for value in seen)
    assert np.isnan(measure.blur_of(np.zeros((2, 32, 32), np.float32)))


def test_otsu_parts_two_normal_laws():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 5000), rng.normal(20, 1, 5000)])
    assert ((values > measure.otsu(values)) == (np.arange(10_000) >= 5000)).all()
    assert measure.otsu(np.ones(5)) == np.inf


@given(st.integers(0, 10_000), st.integers(0, 15), st.integers(2, 60))
def test_near_pairs_are_all_pairs(seed, bits, count):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (4, 32), np.uint8)
    data = base[rng.integers(0, 4, count)]
    for row in data:
        for at in rng.integers(0, 256, rng.integers(0, 20)):
            row[at // 8] ^= 1 << (at % 8)
    wide = np.unpackbits(data, axis=1)
    want = [
        (i, j, int((wide[i] != wide[j]).sum()))
        for i in range(count)
        for j in range(i + 1, count)
        if (wide[i] != wide[j]).sum() <= bits
    ]
    assert near_pairs([row.tobytes() for row in data], bits) == want


def test_near_pairs_of_few():
    assert near_pairs([], 8) == near_pairs([bytes(32)], 8) == []
    assert near_pairs([bytes(32)] * 3, 0) == [(0, 1, 0), (0, 2, 0), (1, 2, 0)]
    with pytest.raises(ArgumentError, match="0 to 15"):
        near_pairs([], 16)


@given(st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_canonical_axes(order, flips):
    """However a volume is stored, its voxels are brought to the same order."""
    array = np.arange(24).reshape(2, 3, 4)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1.0], [0, 1, 0], [1, 0, 0]])  # z, y, x rising
    stored, turned = array.transpose(order), affine.copy()
    turned[:, :3] = affine[:, list(order)]
    for axis, flip in enumerate(flips):
        if flip:
            stored = np.flip(stored, axis)
            turned[:3, axis] *= -1
    assert (measure.canonical(stored, turned) == array).all()
