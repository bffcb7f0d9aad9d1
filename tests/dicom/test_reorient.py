"""Axes along the patient's: SimpleITK's answer, every voxel at its place, on every device."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

import fastimg as fi

WAYS = ["".join(way) for pick in product("LR", "PA", "SI") for way in permutations(pick)]


def turned(angles, spacing):
    """A rotation about all three axes as an affine of (z, y, x) steps."""
    a, b, c = np.radians(angles)
    about = [
        [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]],
        [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]],
        [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]],
    ]
    rotation = np.linalg.multi_dot(about)
    return fi.image.affine_from(spacing, (3.0, -20.0, 7.5), rotation)


@pytest.mark.parametrize("axes", WAYS)
@pytest.mark.parametrize("angles", [(0, 0, 0), (80, 5, -100), (20, 170, 95)])
def test_equals_simpleitk(axes, angles):
    sitk = pytest.importorskip("SimpleITK")
    values = np.random.default_rng(1).integers(-99, 99, (4, 5, 6)).astype(np.int16)
    image = fi.Image(values, turned(angles, (2.0, 1.5, 0.7)))
    wanted = fi.Image.from_sitk(sitk.DICOMOrient(image.to_sitk(), axes))
    seen = fi.dicom.reorient(image, axes)
    np.testing.assert_array_equal(seen.array, wanted.array)
    np.testing.assert_allclose(seen.affine, wanted.affine, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("axes", ["LPS", "RAI", "SPL", "LSA", "PLI", "IAR"])
def test_every_voxel_keeps_its_place(put, get, axes, dtype):
    values = (np.arange(2 * 5 * 35 * 33) % 251).astype(dtype).reshape(2, 5, 35, 33)
    affine = turned((70, -25, 40), (2.0, 1.5, 0.7))
    affine[0, 2] += 0.3  # sheared
    padding = np.arange(5 * 35 * 33).reshape(5, 35, 33) % 7 == 0
    image = fi.Image(put(values), affine, dims=("t", "z", "y", "x"), coords={"t": (0, 1)}, padding=put(padding))
    seen = fi.dicom.reorient(image, axes)
    assert fi._dispatch.device(seen.array) == fi._dispatch.device(image.array)
    assert seen.coords == image.coords
    old = np.linalg.inv(affine) @ seen.affine
    index = np.stack([*np.indices(seen.shape[1:]), np.ones(seen.shape[1:])]).reshape(4, -1)
    places = (old @ index)[:3]
    z, y, x = np.rint(places).astype(int)
    np.testing.assert_allclose(places, (z, y, x), atol=1e-6)
    for t in range(2):
        np.testing.assert_array_equal(get(seen.array)[t].reshape(-1), values[t, z, y, x])
    np.testing.assert_array_equal(get(seen.padding).reshape(-1), padding[z, y, x])
    np.testing.assert_array_equal(get(fi.dicom.reorient(seen, fi_axes(affine)).array), values)


def fi_axes(affine):
    """The letters of an affine's own axes, for the way back."""
    letters = []
    units = np.abs(affine[:3, :3])
    best = max(
        permutations(range(3)), key=lambda p: sum(units[p[k], k] / np.linalg.norm(units[:, k]) for k in range(3))
    )
    for axis in (2, 1, 0):
        letters.append(("LR", "PA", "SI")[best[axis]][int(affine[best[axis], axis] < 0)])
    return "".join(letters)


def test_out_and_bad_arguments():
    image = fi.Image(np.zeros((2, 3, 4), np.int16))
    out = np.empty((4, 3, 2), np.int16)
    assert fi.dicom.reorient(image, "sPl", out=out).array is out
    for axes in ("LP", "LPL", "XYZ", "LRS", 3):
        with pytest.raises(fi.errors.ArgumentError, match="axes"):
            fi.dicom.reorient(image, axes)
    with pytest.raises(fi.errors.ArgumentError, match="out"):
        fi.dicom.reorient(image, out=np.empty((2, 3, 5), np.int16))
    with pytest.raises(fi.errors.ArgumentError, match="Image"):
        fi.dicom.reorient(image.array)
