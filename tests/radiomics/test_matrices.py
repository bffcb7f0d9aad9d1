"""Texture matrices against their twins: on every device, for both widths of level, any shape, alpha, distance, threads."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg import radiomics
from fastimg.testing import radiomics as twin


def patch(seed, shape, levels, share, highest=None):
    """Blocks of equal levels (so that runs and zones grow) with holes; `highest` asks for wide levels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(1, levels + 1, [(n + 1) // 2 for n in shape])
    array = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)[: shape[0], : shape[1], : shape[2]]
    noise = rng.integers(1, levels + 1, shape)
    array = np.where(rng.random(shape) < 0.3, noise, array)
    array = np.where(rng.random(shape) < share, array, 0).astype(np.uint16)
    array.flat[0] = highest or levels
    return array


CASES = [
    (5, (4, 5, 6), 3, 0.8, None),
    (6, (1, 7, 5), 4, 0.7, None),
    (7, (6, 4, 9), 2, 0.95, 300),
    (8, (3, 3, 3), 255, 1, None),
]


@pytest.fixture(params=CASES, ids=["small", "slice", "wide", "full"])
def levels(request):
    return patch(*request.param)


@pytest.mark.parametrize("dimension", ["3D", "2D"])
@pytest.mark.parametrize("distances", [(1,), (1, 2)])
def test_cooccurrences_on_every_device(put, get, levels, dimension, distances):
    seen = radiomics.cooccurrences(put(levels), distances=distances, dimension=dimension)
    np.testing.assert_array_equal(get(seen), twin.cooccurrences(levels, distances, dimension))


@pytest.mark.parametrize("dimension", ["3D", "2D"])
def test_run_lengths_on_every_device(put, get, levels, dimension):
    seen = get(radiomics.run_lengths(put(levels), dimension=dimension))
    np.testing.assert_array_equal(seen, twin.run_lengths(levels, dimension))


@pytest.mark.parametrize(("distances", "dimension", "alpha"), [((1,), "3D", 0), ((1, 2), "3D", 2), ((2,), "2D", 1)])
def test_dependences_on_every_device(put, get, levels, distances, dimension, alpha):
    seen = radiomics.dependences(put(levels), distances=distances, dimension=dimension, alpha=alpha)
    np.testing.assert_array_equal(get(seen), twin.dependences(levels, distances, dimension, alpha))


@pytest.mark.parametrize("dimension", ["3D", "2D"])
def test_zones_on_every_device(put, get, levels, dimension):
    found = [get(part).tolist() for part in radiomics.zones(put(levels), dimension=dimension)]
    assert list(zip(*found, strict=True)) == twin.zones(levels, dimension=dimension)


@pytest.mark.parametrize("dimension", ["3D", "2D"])
def test_zone_tallies_on_every_device(put, levels, dimension):
    zones = twin.zones(levels, dimension=dimension)
    by_size, by_distance = (Counter((zone[0], zone[n]) for zone in zones) for n in (1, 2))
    for distances in (False, True):
        found = radiomics.zone_tallies(put(levels), dimension=dimension, distances=distances)
        expected = (by_size, by_distance if distances else {})
        for (level, value, count), wanted in zip(found, expected, strict=True):
            assert list(zip(level.tolist(), value.tolist(), count.tolist(), strict=True)) == sorted(
                (*cell, often) for cell, often in wanted.items()
            )


def test_zones_take_their_distance_from_a_larger_mask(put, get):
    levels = patch(3, (7, 8, 9), 3, 0.5)
    mask = np.zeros(levels.shape, np.uint8)
    mask[1:6, 1:7, 1:8] = 1
    levels[mask == 0] = 0
    found = [get(part).tolist() for part in radiomics.zones(put(levels), put(mask))]
    assert list(zip(*found, strict=True)) == twin.zones(levels, mask)
    assert max(found[2]) > 1


shapes = st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 19))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=shapes,
    levels=st.integers(1, 12),
    share=st.floats(0.1, 1),
    threads=st.integers(1, 3),
    dimension=st.sampled_from(["2D", "3D"]),
    alpha=st.integers(0, 2),
)
def test_any_patch_on_any_level_and_threads(seed, shape, levels, share, threads, dimension, alpha):
    array = patch(seed, shape, levels, share)
    array = np.asfortranarray(array)[:, :, ::-1]
    for isa in fi.config.supported_isa():
        with fi.config.use(isa=isa, threads=threads):
            np.testing.assert_array_equal(
                radiomics.cooccurrences(array, dimension=dimension), twin.cooccurrences(array, (1,), dimension)
            )
            np.testing.assert_array_equal(
                radiomics.run_lengths(array, dimension=dimension), twin.run_lengths(array, dimension)
            )
            np.testing.assert_array_equal(
                radiomics.dependences(array, dimension=dimension, alpha=alpha),
                twin.dependences(array, (1,), dimension, alpha),
            )
            found = [part.tolist() for part in radiomics.zones(array, dimension=dimension)]
            zones = twin.zones(array, dimension=dimension)
            assert list(zip(*found, strict=True)) == zones
            (level, size, count), _ = radiomics.zone_tallies(array, distances=False, dimension=dimension)
            tallied = Counter(dict(zip(zip(level.tolist(), size.tolist(), strict=True), count.tolist(), strict=True)))
            assert tallied == Counter(zone[:2] for zone in zones)


def test_threads_share_a_large_patch_without_changing_a_count():
    array = patch(1, (40, 60, 70), 30, 0.9)
    for function in (radiomics.cooccurrences, radiomics.run_lengths, radiomics.dependences):
        np.testing.assert_array_equal(function(array, threads=3), function(array, threads=1))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 2, 2), np.uint8), "no voxel is above 0"),
        (np.ones((2, 2), np.uint8), "expected whole numbers"),
        (np.ones((2, 2, 2)), "expected whole numbers"),
        (np.full((2, 2, 2), 70000), "0 .outside. to 65535"),
        (np.full((2, 2, 2), -1), "0 .outside. to 65535"),
    ],
)
def test_levels_that_are_none_are_refused(array, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        radiomics.cooccurrences(array)


@pytest.mark.parametrize("options", [{"distances": ()}, {"distances": (0,)}, {"dimension": "2.5D"}, {"alpha": -1}])
def test_options_that_cannot_be_used_are_refused(options):
    with pytest.raises(fi.errors.ArgumentError, match=next(iter(options))):
        radiomics.dependences(np.ones((2, 2, 2), np.uint8), **options)
