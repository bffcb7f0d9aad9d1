"""Perturbed regions, and intraclass correlation against the published example and pingouin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

import fastimg as fi
from fastimg import radiomics
from fastimg.errors import ArgumentError, GeometryError

# Shrout and Fleiss 1979, table 2, and the coefficients of their table 4.
TABLE = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
PUBLISHED = {"1,1": 0.17, "2,1": 0.29, "3,1": 0.71, "1,k": 0.44, "2,k": 0.62, "3,k": 0.91}
# Bounds of 95 % that the manual of R's psych prints for it (lower ones to three digits, upper ones to two).
BOUNDS = {"1,1": (-0.133, 0.72), "2,1": (0.019, 0.76), "3,1": (0.342, 0.95)}
BOUNDS |= {"1,k": (-0.884, 0.91), "2,k": (0.071, 0.93), "3,k": (0.676, 0.99)}


@pytest.mark.parametrize("form", PUBLISHED)
def test_the_published_example(form):
    found, low, high = radiomics.icc(TABLE, form=form)
    assert round(found, 2) == PUBLISHED[form]
    assert (round(low, 3), round(high, 2)) == BOUNDS[form]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", [(6, 4), (12, 3), (5, 2)])
def test_icc_and_interval_are_pingouins(shape):
    pingouin = pytest.importorskip("pingouin", reason="peer pingouin is not installed")
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(shape[0])
    x = rng.normal(size=shape) + 2 * rng.normal(size=(shape[0], 1)) + rng.normal(size=(1, shape[1]))
    long = pandas.DataFrame([{"s": i, "r": j, "v": x[i, j]} for i in range(shape[0]) for j in range(shape[1])])
    peer = pingouin.intraclass_corr(long, "s", "r", "v")
    interval = next(name for name in peer.columns if name.startswith("CI95"))
    for (_, row), form in zip(peer.iterrows(), ("1,1", "2,1", "3,1", "1,k", "2,k", "3,k"), strict=True):
        found = radiomics.icc(x, form=form)
        assert found[0] == pytest.approx(row["ICC"], abs=1e-9)
        assert found[1:] == pytest.approx(tuple(row[interval]), abs=6e-3)  # the peer rounds to 2 digits


def test_icc_of_perfect_and_undefined_ratings():
    assert radiomics.icc([[1, 1], [2, 2], [5, 5]])[0] == 1
    assert all(math.isnan(part) for part in radiomics.icc([[3, 3], [3, 3]]))
    assert math.isnan(radiomics.icc([[1, math.nan], [2, 2]])[0])
    for bad in (
        lambda: radiomics.icc([1, 2]),
        lambda: radiomics.icc(TABLE, form="4,1"),
        lambda: radiomics.icc(TABLE, confidence=1),
    ):
        with pytest.raises(ArgumentError):
            bad()


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[-6:7, -14:15, -14:15]
    mask = ((z * 2) ** 2 + y**2 + x**2 < 81).astype(np.uint8)
    return fi.Image(mask * 100 + rng.normal(0, 8, mask.shape), spacing=(2, 1, 1), origin=(3, 4, 5)), mask


@pytest.mark.parametrize("fraction", [-0.5, -0.2, 0.1, 0.5, 1.0])
def test_growth_has_the_volume_and_keeps_to_the_border(case, fraction):
    image, mask = case
    grown = radiomics.grow(image, mask, fraction=fraction).array.astype(bool)
    before = mask.astype(bool)
    assert grown.sum() == before.sum() + math.copysign(round(before.sum() * abs(fraction)), fraction)
    assert (grown & before).sum() == min(grown.sum(), before.sum())
    assert radiomics.grow(image, mask, fraction=0).array.sum() == before.sum()
    assert radiomics.grow(image, mask, fraction=-0.9999).array.sum() == 1


def test_a_move_moves_image_and_mask_alike(case):
    image, mask = case
    same, kept = radiomics.move(image, mask)
    assert np.allclose(same.array, image.array)
    assert np.array_equal(kept.array, mask)
    shifted, follows = radiomics.move(image, mask, shift=(0, 0, 1))
    assert np.allclose(shifted.array[:, :, :-1], image.array[:, :, 1:])
    assert np.array_equal(follows.array[:, :, :-1], mask[:, :, 1:])
    turned, along = radiomics.move(image, mask, degrees=90)
    assert np.allclose(turned.array, np.rot90(image.array, 1, (1, 2))) or np.allclose(
        turned.array, np.rot90(image.array, -1, (1, 2))
    )
    assert along.array.sum() == mask.sum()
    slight, little = radiomics.move(image, mask, degrees=5)
    inside = little.array.astype(bool)
    core = ndimage.binary_erosion(inside)  # the border itself is interpolated between region and background
    assert abs(slight.array[core].mean() - 100) < 2
    assert abs(int(inside.sum()) - int(mask.sum())) < 0.05 * mask.sum()


def test_noise_level_and_noise(case):
    rng = np.random.default_rng(1)
    flat = fi.Image(rng.normal(40, 12, (6, 64, 64)))
    assert radiomics.noise_level(flat) == pytest.approx(12, rel=0.05)
    more = radiomics.add_noise(flat, level=5, seed=3)
    assert (more.array - flat.array).std() == pytest.approx(5, rel=0.03)
    assert np.array_equal(more.array, radiomics.add_noise(flat, level=5, seed=3).array)


def test_a_randomised_contour_is_near_the_region_and_repeats(case):
    image, mask = case
    sharp = radiomics.randomise_contour(image, mask, seed=1, size_mm=4).array
    assert (sharp != mask).mean() < 0.01  # supervoxels follow an edge that can be seen
    image = image.with_array(mask * 12 + np.random.default_rng(1).normal(0, 8, mask.shape))  # a faint edge
    drawn = [radiomics.randomise_contour(image, mask, seed=seed, size_mm=4).array.astype(bool) for seed in range(6)]
    again = radiomics.randomise_contour(image, mask, seed=2, size_mm=4).array.astype(bool)
    assert np.array_equal(drawn[2], again)
    assert len({each.tobytes() for each in drawn}) > 1
    before = mask.astype(bool)
    for each in drawn:
        assert 2 * (each & before).sum() / (each.sum() + before.sum()) > 0.75


def test_perturbations_are_all_combinations(case):
    image, mask = case
    chain = {"rotations": (-5, 5), "shifts": (0, 0.5), "fractions": (-0.1, 0.1), "noise": 2, "contours": 2}
    runs = list(radiomics.perturbations(image, mask, seed=4, **chain))
    assert len(runs) == 2 * 4 * 2 * 2 * 2
    assert len({repr(told) for told, _, _ in runs}) == len(runs)
    again = list(radiomics.perturbations(image, mask, seed=4, **chain))
    assert all(np.array_equal(a[2].array, b[2].array) for a, b in zip(runs, again, strict=True))


def test_robust_features_have_a_high_icc():
    rng = np.random.default_rng(5)
    cases = []
    for level in range(4):
        mask = np.zeros((8, 20, 20), np.uint8)
        mask[2:6, 5:14, 5:14] = 1
        cases.append((fi.Image(rng.normal(20 * level, 5, mask.shape)), mask))
    settings = radiomics.Settings(bin_number=8, families=["firstorder", "glcm"])
    found = radiomics.robustness(cases, settings, seed=2, rotations=(-4, 4), fractions=(-0.1, 0.1))
    assert found["original_firstorder_Mean"] > 0.95
    assert found["original_firstorder_Mean"] > found["original_glcm_ClusterShade"]
    with pytest.raises(ArgumentError, match="two or more"):
        radiomics.robustness(cases[:1], seed=1)
    with pytest.raises(ArgumentError, match="two or more perturbations"):
        radiomics.robustness(cases, settings, seed=1)


def test_refusals(case):
    image, mask = case
    for call in (
        lambda: radiomics.grow(image, mask, fraction=-1),
        lambda: radiomics.move(image, mask, shift=(1, 2)),
        lambda: radiomics.randomise_contour(image, mask, seed=0, size_mm=0),
        lambda: radiomics.add_noise(image, level=-1, seed=0),
        lambda: radiomics.grow(image.array, mask, fraction=0.1),
        lambda: radiomics.grow(image, np.zeros_like(mask), fraction=0.1),
    ):
        with pytest.raises(ArgumentError):
            call()
    with pytest.raises(GeometryError):
        radiomics.grow(image, mask[1:], fraction=0.1)
