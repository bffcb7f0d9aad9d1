"""clahe against its twin and scikit-image, levels and threads; masks, NaN, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi
from fastimg.testing import harmonize as twin


def volume(shape=(9, 14, 17), dtype=np.uint16):
    return np.random.default_rng(3).gamma(2, 4000, shape).clip(0, 65535).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("clip", [0.0, 0.03])
def test_equals_its_twin(put, get, dtype, clip):
    image = (volume() // 600).astype(dtype)
    seen = get(fi.harmonize.clahe(put(image), tile=(4, 5, 6), clip=clip, bins=64))
    np.testing.assert_allclose(seen, twin.clahe(image, (4, 5, 6), clip, 64), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "tile"), [((24, 30, 33), None), ((20, 21, 22), (5, 9, 7)), ((70, 66), None), ((1, 40, 40), (1, 8, 8))]
)
@pytest.mark.parametrize("clip", [0.0, 0.01, 0.2])
def test_equals_scikit_image(shape, tile, clip, accuracy):
    exposure = pytest.importorskip("skimage.exposure", reason="peer scikit-image is not installed")
    image = volume(shape)
    expected = exposure.equalize_adapthist(image, kernel_size=tile, clip_limit=clip)
    seen = fi.harmonize.clahe(image, tile=tile, clip=clip)
    accuracy("CLAHE", "scikit-image", seen, expected)
    np.testing.assert_allclose(seen, expected, atol=1e-4)


def test_same_bits_on_all_levels_and_threads():
    image = volume((20, 33, 71)).astype(np.float32)
    first = None
    for level in fi.config.supported_isa():
        for threads in (1, 2):
            with fi.config.use(isa=level):
                seen = fi.harmonize.clahe(image, threads=threads)
            first = seen if first is None else first
            np.testing.assert_array_equal(seen, first)


def test_masks_padding_leading_axes_and_nan(put, get):
    image = volume().astype(np.float32)
    mask = np.zeros(image.shape, bool)
    mask[:, 3:, :15] = True
    dirty = np.where(mask, image, image.max() * 9)
    seen = get(fi.harmonize.clahe(put(image), put(mask), tile=6))
    np.testing.assert_array_equal(get(fi.harmonize.clahe(put(dirty), put(mask), tile=6))[mask], seen[mask])
    padded = fi.Image(put(dirty), spacing=(2, 1, 1), padding=put(~mask), unit="arbitrary")
    again = fi.harmonize.clahe(padded, tile=6)
    np.testing.assert_array_equal(get(again.array)[mask], seen[mask])
    assert (again.spacing, again.unit) == ((2, 1, 1), "normalised")
    both = get(fi.harmonize.clahe(put(np.stack([image, 2 * image])), tile=6))
    np.testing.assert_array_equal(both[0], get(fi.harmonize.clahe(put(image), tile=6)))
    np.testing.assert_allclose(both[1], both[0], atol=1e-6)
    holed = image.copy()
    holed[0, 0, :3] = np.nan
    seen = get(fi.harmonize.clahe(put(holed), nan="ignore", tile=6))
    np.testing.assert_array_equal(np.isnan(seen), np.isnan(holed))
    assert 0 <= np.nanmin(seen) < np.nanmax(seen) <= 1


GOOD = volume((4, 5, 6))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fi.harmonize.clahe(np.ones((3, 4, 5), np.int16)), "one value"),
        (lambda: fi.harmonize.clahe(np.arange(9)), "expected"),
        (lambda: fi.harmonize.clahe(GOOD, np.zeros(GOOD.shape)), "no voxel"),
        (lambda: fi.harmonize.clahe(GOOD * np.float32(np.nan)), "NaN"),
        (lambda: fi.harmonize.clahe(GOOD, tile=0), "tile"),
        (lambda: fi.harmonize.clahe(GOOD, tile=(1, 2)), "tile"),
        (lambda: fi.harmonize.clahe(GOOD, clip=2), "clip"),
        (lambda: fi.harmonize.clahe(GOOD, bins=1000), "bins"),
        (lambda: fi.harmonize.clahe(GOOD, nan="drop"), "nan"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call()
