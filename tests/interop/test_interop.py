"""Interchange with the real packages: the same voxel at the same place in the patient."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi

ANGLE = np.deg2rad(20)
TURN = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, -1]])


def oblique(dtype=np.int16, shape=(3, 4, 5)):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return fi.Image(values, spacing=(2.5, 0.5, 0.75), origin=(10, -20, 30), direction=TURN)


def world(image, k, j, i):
    return (image.affine @ [k, j, i, 1])[:3]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_simpleitk_there_and_back(dtype):
    pytest.importorskip("SimpleITK")
    image = oblique(dtype)
    made = image.to_sitk()
    assert made.GetPixel(4, 2, 1) == image.array[1, 2, 4]
    np.testing.assert_allclose(made.TransformIndexToPhysicalPoint((4, 2, 1)), world(image, 1, 2, 4), atol=1e-12)
    back = fi.Image.from_sitk(made)
    assert back.dtype == image.dtype
    np.testing.assert_array_equal(back.array, image.array)
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-12)


def test_simpleitk_components_and_refusals():
    sitk = pytest.importorskip("SimpleITK")
    values = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    image = fi.Image(values, dims=("channel", "z", "y", "x"))
    made = image.to_sitk()
    assert made.GetNumberOfComponentsPerPixel() == 2
    assert made.GetPixel(4, 2, 1) == pytest.approx(values[:, 1, 2, 4])
    back = fi.Image.from_sitk(made)
    assert back.dims == image.dims
    np.testing.assert_array_equal(back.array, values)
    sheared = np.eye(4)
    sheared[0, 1] = 0.2
    with pytest.raises(fi.errors.GeometryError, match="sheared"):
        fi.Image(np.zeros((2, 2, 2)), sheared).to_sitk()
    with pytest.raises(fi.errors.GeometryError, match="3 or 4 dimensions"):
        fi.Image.from_sitk(sitk.Image(2, 2, sitk.sitkInt16))
    with pytest.raises(fi.errors.ArgumentError, match="leading axis"):
        fi.Image(np.zeros((1, 1, 2, 2, 2)), dims=("a", "b", "z", "y", "x")).to_sitk()


def test_both_packages_agree_on_the_patient(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    pytest.importorskip("nibabel")
    image = oblique()
    image.to_nifti(tmp_path / "image.nii.gz")
    seen = sitk.ReadImage(str(tmp_path / "image.nii.gz"))
    np.testing.assert_allclose(seen.TransformIndexToPhysicalPoint((4, 2, 1)), world(image, 1, 2, 4), atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(seen), image.array)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.uint16, np.float32, np.float64])
def test_nifti_there_and_back(tmp_path, dtype):
    nibabel = pytest.importorskip("nibabel")
    image = oblique(dtype)
    made = image.to_nifti(tmp_path / "image.nii")
    ras = (made.affine @ [4, 2, 1, 1])[:3]
    np.testing.assert_allclose(ras * [-1, -1, 1], world(image, 1, 2, 4), atol=1e-9)
    assert nibabel.load(tmp_path / "image.nii").get_data_dtype() == image.dtype
    for back in (fi.Image.from_nifti(made), fi.Image.from_nifti(tmp_path / "image.nii")):
        assert back.dtype == image.dtype
        np.testing.assert_array_equal(back.array, image.array)
        np.testing.assert_allclose(back.affine, image.affine, atol=1e-4)


def test_nifti_time_scaling_and_bad_files(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    values = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    moving = fi.Image(values, dims=("t", "z", "y", "x"), coords={"t": (0.0, 2.5)})
    back = fi.Image.from_nifti(moving.to_nifti())
    assert (back.dims, back.coords) == (moving.dims, moving.coords)
    np.testing.assert_array_equal(back.array, values)

    scaled = nibabel.Nifti1Image(values[0].T.astype(np.float64), np.eye(4))
    scaled.set_data_dtype(np.int16)
    scaled.header.set_slope_inter(0.5, -3)
    nibabel.save(scaled, tmp_path / "scaled.nii")
    seen = fi.Image.from_nifti(tmp_path / "scaled.nii")
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen.array, values[0] * 0.5 - 3)

    with pytest.raises(fi.errors.FormatError, match="no such file"):
        fi.Image.from_nifti(tmp_path / "none.nii")
    (tmp_path / "bad.nii").write_bytes(b"no NIfTI")
    with pytest.raises(fi.errors.FormatError, match="not a NIfTI"):
        fi.Image.from_nifti(tmp_path / "bad.nii")
    whole = (tmp_path / "scaled.nii").read_bytes()
    (tmp_path / "short.nii").write_bytes(whole[:-40])
    with pytest.raises(fi.errors.FormatError, match="cannot be read"):
        fi.Image.from_nifti(tmp_path / "short.nii")
    with pytest.raises(fi.errors.ArgumentError, match="must end in"):
        moving.to_nifti(tmp_path / "image.png")


def test_bool_and_half_are_widened():
    pytest.importorskip("nibabel")
    for dtype, wide in ((bool, np.uint8), (np.float16, np.float32)):
        assert fi.Image.from_nifti(fi.Image(np.ones((2, 2, 2), dtype)).to_nifti()).dtype == wide


def test_dlpack_shares_memory():
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    image = fi.interop.from_dlpack(values, np.eye(4))
    assert np.shares_memory(image.array, values)
    with pytest.raises(fi.errors.ArgumentError, match="does not speak DLPack"):
        fi.interop.from_dlpack([1, 2], np.eye(4))


def test_dlpack_gives_memory():
    image = fi.Image(np.arange(24, dtype=np.float32).reshape(2, 3, 4), spacing=(3, 2, 1))
    seen = np.from_dlpack(image)
    assert np.shares_memory(seen, image.array)
    np.testing.assert_array_equal(seen, image.array)
    back = fi.interop.from_dlpack(image, image.affine)
    assert np.shares_memory(back.array, image.array)
    torch = pytest.importorskip("torch")
    tensor = torch.from_dlpack(image)
    tensor[1, 2, 3] = -7
    assert image.array[1, 2, 3] == -7


@pytest.mark.gpu
def test_dlpack_and_torch_share_a_devices_memory():
    torch = pytest.importorskip("torch")
    image = fi.Image(np.arange(24, dtype=np.float32).reshape(2, 3, 4), spacing=(3, 2, 1)).to_device("cuda")
    for tensor in (fi.interop.to_torch(image), torch.from_dlpack(image)):
        assert tensor.is_cuda
        assert tensor.data_ptr() == image.array.data.ptr
    tensor[1, 2, 3] = -7
    assert float(image.array[1, 2, 3]) == -7
    for back in (
        fi.interop.from_torch(tensor.requires_grad_(), image.affine),
        fi.interop.from_dlpack(image, image.affine),
    ):
        assert back.device == "cuda"
        assert back.array.data.ptr == image.array.data.ptr
        np.testing.assert_array_equal(back.to_device("cpu").array, image.to_device("cpu").array)


def test_torch_shares_memory():
    torch = pytest.importorskip("torch")
    image = fi.Image(np.zeros((2, 3, 4), np.float32))
    tensor = fi.interop.to_torch(image)
    tensor[0, 1, 2] = 5
    assert image.array[0, 1, 2] == 5
    assert np.shares_memory(fi.interop.from_torch(tensor, image.affine).array, image.array)
    assert fi.interop.to_torch(fi.Image(np.arange(8.0).reshape(2, 2, 2)[::-1]))[0, 0, 0] == 4
    assert torch.is_tensor(tensor)


def test_monai_has_the_same_place():
    pytest.importorskip("monai")
    image = oblique(np.float32)
    made = fi.interop.to_monai(image)
    assert made[0, 4, 2, 1] == image.array[1, 2, 4]
    ras = (np.asarray(made.affine) @ [4, 2, 1, 1])[:3]
    np.testing.assert_allclose(ras * [-1, -1, 1], world(image, 1, 2, 4), atol=1e-6)


def test_a_missing_package_names_its_remedy(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(fi.errors.MissingError, match="pip install"):
        oblique().to_nifti()
