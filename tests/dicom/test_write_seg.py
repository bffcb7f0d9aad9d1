"""Masks as DICOM-SEG: written through highdicom, read back equal, and as pydicom and highdicom understand them."""

from __future__ import annotations

import sys

import numpy as np
import pydicom
import pytest

import fastimg as fi
from fastimg.dicom._masks import read_masks
from fastimg.dicom._write_seg import write_seg

TURNED = np.array([[0.0, 0.8, 0.6], [1.0, 0.0, 0.0], [0.0, 0.6, -0.8]])


@pytest.fixture(scope="module")
def highdicom():
    return pytest.importorskip("highdicom", reason="the extra interop is not installed")


@pytest.fixture(params=[None, TURNED], ids=["axial", "turned"])
def series(request, tmp_path):
    written = fi.synth.ct_series(tmp_path / "ct", slices=6, size=(20, 24), direction=request.param)
    (found,) = fi.dicom.series(tmp_path / "ct")
    assert len(written.files) == len(found.files)
    return found


def drawn(shape, seed=0):
    rng = np.random.default_rng(seed)
    one = (rng.random(shape) < 0.2).astype(np.uint8)
    two = np.zeros(shape, np.uint8)
    two[1:3, 4:9, 5:15] = 1
    return {"Lesion": one, "Liver left": two}


def test_masks_come_back_voxel_for_voxel(highdicom, series, tmp_path):
    image = fi.dicom.read(series)
    masks = drawn(image.shape)
    path = write_seg(masks, image, tmp_path / "out.dcm", source=series)
    found = read_masks(path, like=image)
    assert list(found) == list(masks)
    for name, mask in masks.items():
        np.testing.assert_array_equal(found[name].array, mask)
    assert found.findings == []
    again = write_seg(found, image, tmp_path / "again.dcm", source=series.files)
    np.testing.assert_array_equal(read_masks(again, like=image)["Lesion"].array, masks["Lesion"])


def test_it_refers_to_the_series_and_highdicom_reads_it(highdicom, series, tmp_path):
    image = fi.dicom.read(series)
    masks = drawn(image.shape)
    codes = {"Lesion": (("49755003", "SCT", "Morphologically Abnormal Structure"), ("52988006", "SCT", "Lesion"))}
    path = write_seg(masks, image, tmp_path / "out.dcm", source=series, codes=codes, algorithm=("net", "2.1"))
    read = highdicom.seg.segread(path)
    source = pydicom.dcmread(series.files[0], stop_before_pixels=True)
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert read[keyword].value == source[keyword].value
    assert read.SeriesInstanceUID != source.SeriesInstanceUID
    uids = [str(pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID) for f in series.files]
    assert sorted(uid for _, _, uid in read.get_source_image_uids()) == sorted(uids)
    stack = read.get_pixels_by_source_instance(
        uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(stack, np.stack([*masks.values()], axis=-1))
    lesion = read.get_segment_description(1)
    assert lesion.segmented_property_type.meaning == "Lesion"
    assert lesion.algorithm_identification.name == "net"
    assert read.get_segment_description(2).segmented_property_type.meaning == "Tissue"


def test_a_grid_of_its_own(highdicom, series, tmp_path):
    """Masks of a resampled image: the file holds that grid."""
    image = fi.resample(fi.dicom.read(series), spacing=(2.0, 1.5, 1.5))
    masks = drawn(image.shape, seed=3)
    found = read_masks(write_seg(masks, image, tmp_path / "out.dcm", source=series), like=image)
    for name, mask in masks.items():
        np.testing.assert_array_equal(found[name].array, mask)
    assert found.findings == []


def test_an_empty_mask_stays_a_mask(highdicom, series, tmp_path):
    image = fi.dicom.read(series)
    for number, masks in enumerate(
        ({"A": np.zeros(image.shape, bool)}, drawn(image.shape) | {"A": np.zeros(image.shape)})
    ):
        found = read_masks(write_seg(masks, image, tmp_path / f"{number}.dcm", source=series), like=image)
        assert found["A"].array.sum() == 0
        assert [f.code for f in found.findings] == ["mask-empty"]


def test_wrong_use_is_refused(highdicom, series, tmp_path):
    image = fi.dicom.read(series)
    good, path = drawn(image.shape), tmp_path / "out.dcm"
    (tmp_path / "there.dcm").write_bytes(b"x")
    sheared = image.affine.copy()
    sheared[1, 0] += 0.5
    elsewhere = image.affine.copy()
    elsewhere[0, 3] += 1
    foreign = fi.Image(image.array, image.affine, metadata={"frame_of_reference_uid": "1.2.3"})
    argument, geometry = fi.errors.ArgumentError, fi.errors.GeometryError
    for kind, message, wrong in (
        (argument, "at least one", {"masks": {}}),
        (argument, "shape", {"masks": {"a": np.zeros((1, 2, 3))}}),
        (argument, "other than 0 and 1", {"masks": {"a": np.full(image.shape, 2)}}),
        (argument, "name", {"masks": {"": good["Lesion"]}}),
        (argument, "Image", {"image": good["Lesion"]}),
        (argument, "exists", {"path": tmp_path / "there.dcm"}),
        (argument, "source", {"source": 3}),
        (argument, "no files", {"source": []}),
        (geometry, "another grid", {"masks": {"a": fi.Image(good["Lesion"], elsewhere)}}),
        (geometry, "sheared", {"image": fi.Image(image.array, sheared)}),
        (geometry, "frames of reference", {"image": foreign}),
        (fi.errors.FormatError, "cannot be read", {"source": [tmp_path / "there.dcm"]}),
    ):
        call = {"masks": good, "image": image, "path": path, "source": series} | wrong
        with pytest.raises(kind, match=message):
            write_seg(call.pop("masks"), call.pop("image"), call.pop("path"), **call)
    assert not path.exists()


def test_without_highdicom_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    image = fi.Image(np.zeros((2, 3, 4)))
    with pytest.raises(fi.errors.MissingError, match=r"fastimg\[interop\]"):
        write_seg({"a": np.zeros((2, 3, 4))}, image, tmp_path / "a.dcm", source=[])
