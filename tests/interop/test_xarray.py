"""An Image as a DataArray: what xarray cuts out keeps its place in the patient."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi

from .test_interop import oblique, world

pytest.importorskip("xarray")


def test_there_and_back():
    image = fi.Image(np.random.default_rng(0).random((2, 3, 4, 5)), oblique().affine, dims=("t", "z", "y", "x"),
                     coords={"t": [0.0, 2.5]}, unit="HU")  # fmt: skip
    data = fi.interop.to_xarray(image)
    assert data.dims == ("t", "z", "y", "x")
    assert data.units == "HU"
    np.testing.assert_allclose(data["x"], 0.75 * np.arange(5))
    back = data.fastimg.image()
    np.testing.assert_array_equal(back.array, image.array)
    np.testing.assert_allclose(back.affine, image.affine)
    assert (back.dims, back.unit, list(back.coords["t"])) == (image.dims, "HU", [0.0, 2.5])
    assert np.shares_memory(data.to_numpy(), image.array)


def test_a_part_keeps_its_place():
    image = oblique()
    part = fi.interop.to_xarray(image).isel(z=slice(1, None), y=slice(2, 4), x=slice(3, None)).fastimg.image()
    assert part.array[1, 1, 1] == image.array[2, 3, 4]
    np.testing.assert_allclose(world(part, 1, 1, 1), world(image, 2, 3, 4), atol=1e-9)


def test_resample_through_the_accessor():
    image = oblique(np.float32)
    data = fi.interop.to_xarray(image).fastimg.resample(spacing=(1, 1, 1))
    np.testing.assert_array_equal(data.to_numpy(), fi.resample(image, spacing=(1, 1, 1)).array)


def test_what_has_no_geometry_is_refused():
    data = fi.interop.to_xarray(oblique())
    for wrong in (data.isel(x=slice(None, None, 2)), data.transpose("x", "y", "z"), data.drop_attrs()):
        with pytest.raises(fi.errors.GeometryError, match="from_xarray"):
            wrong.fastimg.image()
