"""Image: geometry and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastimg as fi
from fastimg.errors import ArgumentError, GeometryError
from fastimg.image import affine_from

ZEROS = np.zeros((2, 3, 4), np.int16)


def rotation(axis: int, angle: float) -> np.ndarray:
    a, b = [n for n in range(3) if n != axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


@given(
    st.tuples(*[st.floats(0.1, 10)] * 3), st.tuples(*[st.floats(-500, 500)] * 3), st.integers(0, 2), st.floats(-3, 3)
)
def test_what_went_in_comes_out(spacing, origin, axis, angle):
    direction = rotation(axis, angle)
    image = fi.Image(ZEROS, spacing=spacing, origin=origin, direction=direction)
    np.testing.assert_allclose(image.spacing, spacing, rtol=1e-12)
    np.testing.assert_allclose(image.origin, origin)
    np.testing.assert_allclose(image.direction, direction, atol=1e-12)
    # a step along x moves by the first column of the direction
    step = image.affine @ (0, 0, 1, 1) - image.affine @ (0, 0, 0, 1)
    np.testing.assert_allclose(step[:3], direction[:, 0] * spacing[2], atol=1e-9)


def test_axes_are_z_y_x_and_world_is_x_y_z():
    affine = fi.Image(ZEROS, spacing=(3, 2, 1), origin=(10, 20, 30)).affine
    np.testing.assert_array_equal(affine @ (1, 1, 1, 1), (11, 22, 33, 1))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"spacing": (0, 1, 1)}, "spacing must be 3 positive"),
        ({"spacing": (1, float("nan"), 1)}, "spacing must be 3 positive"),
        ({"spacing": (1, 1)}, "spacing must be 3 positive"),
        ({"affine": np.zeros((4, 4))}, "last row"),
        ({"affine": np.diag([1, 1, 0, 1])}, "singular"),
        ({"affine": np.eye(3)}, "4x4"),
        ({"padding": np.zeros((1, 3, 4), bool)}, "padding must have shape"),
    ],
)
def test_bad_geometry_is_refused(settings, words):
    with pytest.raises(GeometryError, match=words):
        fi.Image(ZEROS, **settings)


def test_leading_axes_have_names_and_values():
    image = fi.Image(np.zeros((5, 2, 3, 4)), dims=("t", "z", "y", "x"), coords={"t": range(5)})
    assert image.coords == {"t": (0, 1, 2, 3, 4)}
    with pytest.raises(ArgumentError, match="name the leading axes"):
        fi.Image(np.zeros((5, 2, 3, 4)))
    with pytest.raises(ArgumentError, match="coords"):
        fi.Image(np.zeros((5, 2, 3, 4)), dims=("t", "z", "y", "x"), coords={"t": (1, 2)})


def test_a_sheared_affine_has_no_direction():
    affine = affine_from((5, 1, 1))
    affine[1, 0] = 1.0  # slices shift along y: gantry tilt
    image = fi.Image(ZEROS, affine)
    assert image.is_sheared
    with pytest.raises(GeometryError, match="sheared"):
        image.direction  # noqa: B018


def test_same_grid():
    image = fi.Image(ZEROS, spacing=(3, 1, 1))
    assert image.same_grid(fi.Image(ZEROS, spacing=(3, 1, 1), origin=(0, 0, 1e-5)))
    assert not image.same_grid(fi.Image(ZEROS, spacing=(3, 1, 1), origin=(0, 0, 0.5)))
    assert not image.same_grid(fi.Image(ZEROS[:1], spacing=(3, 1, 1)))


def test_with_array_needs_an_affine_for_a_new_grid():
    image = fi.Image(ZEROS, spacing=(3, 1, 1), unit="HU", metadata={"a": 1})
    assert image.with_array(ZEROS + 1).unit == "HU"
    with pytest.raises(GeometryError, match="new affine"):
        image.with_array(ZEROS[:, :2])


def test_the_affine_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        fi.Image(ZEROS).affine[0, 0] = 2


def test_to_device_on_the_played_device(_host_device):
    image = fi.Image(ZEROS, spacing=(3, 1, 1), padding=ZEROS == 0)
    away = image.to_device("cuda")
    assert away.device == "cuda"
    assert away.to_device("cpu").device == "cpu"
    assert type(away.to_device("cpu").array) is np.ndarray
    with pytest.raises(ArgumentError, match="'cpu' or 'cuda'"):
        image.to_device("tpu")
