"""map_voxels: a user's function on the CPU (compiled, tiled) equals the function itself."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi


def two(a, b):
    return a * 2 - b


def branch(a):
    if a > 0.5:
        return a
    return -a


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_equals_numpy(threads):
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 37, 41, 43), np.float32)
    np.testing.assert_array_equal(fi.map_voxels(two, a, b, threads=threads), a * np.float32(2) - b)
    np.testing.assert_array_equal(fi.map_voxels(branch, a, threads=threads), np.where(a > 0.5, a, -a))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_one_to_four_images(count):
    functions = (lambda a: a + 1, lambda a, b: a + b, lambda a, b, c: a + b * c, lambda a, b, c, d: a * b + c * d)
    arrays = [np.arange(50_000, dtype=np.int32) % (n + 5) for n in range(count)]
    seen = fi.map_voxels(functions[count - 1], *arrays, dtype=np.int64)
    np.testing.assert_array_equal(seen, functions[count - 1](*(a.astype(np.int64) for a in arrays)))


def test_an_image_keeps_its_place():
    image = fi.Image(np.ones((2, 3, 4), np.int16), spacing=(3, 1, 1), unit="HU")
    seen = fi.map_voxels(lambda a: a * 0.5, image)
    assert seen.spacing == (3, 1, 1)
    assert (seen.array == 0.5).all()


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")  # numba-cuda has some of its own
def test_on_a_device():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 40, 41, 43), np.float32)
    here = fi.Image(a, spacing=(3, 1, 1)), b
    there = here[0].to_device("cuda"), fi._dispatch.move(b, "cuda")
    for function, count in ((branch, 1), (two, 2), (lambda a, b: max(a, b) / (a + b), 2)):
        seen = fi.map_voxels(function, *there[:count])
        assert seen.device == "cuda"
        assert seen.spacing == (3, 1, 1)
        np.testing.assert_array_equal(seen.to_device("cpu").array, fi.map_voxels(function, *here[:count]).array)
    with pytest.raises(fi.errors.ArgumentError, match="Numba cannot compile"):
        fi.map_voxels(lambda a: open(str(a)), there[0])


def test_out():
    out = np.empty(9, np.float64)
    assert fi.map_voxels(lambda a: a / 4, np.arange(9), out=out, dtype=np.float64) is out
    np.testing.assert_array_equal(out, np.arange(9) / 4)


def test_refusals():
    with pytest.raises(fi.errors.ArgumentError, match="1 to 4 images"):
        fi.map_voxels(two)
    with pytest.raises(fi.errors.ArgumentError, match="shapes differ"):
        fi.map_voxels(two, np.zeros(3), np.zeros(4))
    with pytest.raises(fi.errors.ArgumentError, match="Numba cannot compile"):
        fi.map_voxels(lambda a: open(str(a)), np.zeros(3))
