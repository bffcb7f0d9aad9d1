"""What resampling is held against: one point at a time in float64, on a part of the image that is timed."""

from __future__ import annotations

import numpy as np
from growth import apart
from scipy import ndimage

import fastimg as fi
from fastimg.testing import resampling as twin


def turned(axis, degrees):
    u = np.array(axis, float) / np.linalg.norm(axis)
    a, cross = np.deg2rad(degrees), -np.cross(np.eye(3), u)
    return np.cos(a) * np.eye(3) + np.sin(a) * cross + (1 - np.cos(a)) * np.outer(u, u)


def turned_grid(image, axis):
    """1 mm, turned about the volume's centre."""
    shape = fi.resampling.Plan(image, spacing=1).shape
    middle = (image.affine @ [*((np.array(image.shape) - 1) / 2), 1])[:3]
    affine = np.eye(4)
    affine[:3, :3] = turned(axis, 10)[:, ::-1]
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return fi.Image(np.broadcast_to(np.uint8(0), shape), affine)


def crop(image):
    """A part with structure, an Image of its own."""
    return fi.Image(np.ascontiguousarray(image.array[:12, 60:108, 200:260]), spacing=image.spacing)


def pointwise(image, displacement=None, order="linear", turned=None, like=None, **options):
    """Of a part of the image: the largest difference from one point at a time in float64, as a share of the range.

    Splines by SciPy, of labels the share of voxels that no vote chose. Points between the outer voxels' centres count.
    """
    part = crop(image)
    grid = {"like": turned_grid(part, turned or (0, 0, 1))} if turned or like else {"spacing": 1}
    plan = fi.resampling.Plan(part, order=order, **(options | grid))
    field = None if displacement is None else displacement(plan.shape)
    seen = plan(part, **({} if field is None else {"displacement": field})).array
    places = np.indices(plan.shape).reshape(3, -1)
    world = (plan.affine @ [*places, np.ones(places.shape[1])])[:3]
    if field is not None:
        world += field.reshape(-1, 3).T
    points = (np.linalg.inv(part.affine) @ [*world, np.ones(places.shape[1])])[:3]
    inner = ((points >= 0) & (points <= np.array(part.shape)[:, None] - 1)).all(0)
    inner &= np.random.default_rng(0).random(inner.size) < 2000 / inner.sum()
    assert inner.sum() > 500
    points, values = points[:, inner], seen.reshape(-1)[inner]
    if order == "label":
        return np.mean(
            [int(v) not in twin.label_point(part.array, p)[0] for v, p in zip(values, points.T, strict=True)]
        )
    if order == "cubic":
        expected = ndimage.map_coordinates(part.array.astype(np.float64), points, order=3, mode="mirror")
    else:
        expected = np.array([twin.interpolate_point(part.array, point, order=order) for point in points.T])
    if values.dtype.kind in "iu":
        expected = np.rint(expected)
    return apart(values, expected)


def blurred_and_sampled(image, dtype=np.float32):
    """SciPy's Gaussian and linear interpolation to 2 mm."""
    factor = 2 / np.array(image.spacing)
    sigma = np.sqrt((factor**2 - 1) / (8 * np.log(2)))
    blurred = ndimage.gaussian_filter(image.array.astype(dtype), sigma, mode="nearest")
    shape = fi.resampling.Plan(image, spacing=2).shape
    return ndimage.affine_transform(blurred, factor, output_shape=shape, order=1, mode="nearest")
