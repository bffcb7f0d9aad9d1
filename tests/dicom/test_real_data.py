"""Real scanners' files: against SimpleITK's reader, and what each set is known to show."""

from __future__ import annotations

import contextlib

import numpy as np
import pydicom
import pytest
from dicom_maker import stack_of
from pydicom.data import get_testdata_file

import fastimg as fi

sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed: pip install SimpleITK")


def by_simpleitk(folder, uid):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), uid))
    return reader.Execute()


def agree(image, other, accuracy):
    accuracy("DICOM series", "SimpleITK", image.array, sitk.GetArrayFromImage(other))
    np.testing.assert_array_equal(image.array, sitk.GetArrayFromImage(other))
    np.testing.assert_allclose(image.origin, other.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(image.spacing[::-1], other.GetSpacing(), atol=1e-5)
    np.testing.assert_allclose(image.direction.ravel(), other.GetDirection(), atol=1e-6)


def test_ct_phantom_equals_simpleitk(reference, accuracy):
    folder = reference / "ibsi1" / "ct_phantom" / "dicom"
    series = next(s for s in fi.dicom.series(folder) if s.kind == "image")
    assert series.findings == []
    agree(fi.dicom.read(series), by_simpleitk(series.files[0].parent, series.uid), accuracy)
    assert fi.dicom.read(series, dtype="exact").dtype == np.int16


@pytest.mark.parametrize("orientation", [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [-1, 0, 0, 0, 0.6, -0.8]])
def test_regular_series_equals_simpleitk(tmp_path, orientation, accuracy):
    normal = np.cross(orientation[:3], orientation[3:])
    stack_of(
        tmp_path,
        range(7),
        ImageOrientationPatient=orientation,
        ImagePositionPatient=lambda k: [float(v) for v in np.round([5, -7, 11] + 1.5 * k * normal, 6)],
    )
    series = fi.dicom.series(tmp_path)[0]
    agree(fi.dicom.read(series), by_simpleitk(tmp_path, series.uid), accuracy)


def test_nine_encodings_of_one_image(data):
    """All without loss, so all equal to pydicom's reading of the plain one; and each to pydicom's own, where it has a decoder."""
    paths = sorted((data / "dicom" / "same_image_nine_syntaxes").glob("*.dcm"))
    plain = pydicom.dcmread(paths[0])
    wanted, volume = plain.pixel_array, fi.dicom.read(paths[0]).array
    assert plain.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    syntaxes, decoded = set(), 0
    for path in paths:
        ds, seen = pydicom.dcmread(path), fi.dicom.pixels(path)
        syntaxes.add(str(ds.file_meta.TransferSyntaxUID))
        np.testing.assert_array_equal(seen, wanted, path.name)
        np.testing.assert_array_equal(fi.dicom.read(path).array, volume, path.name)
        with contextlib.suppress(RuntimeError):  # no plug-in
            assert seen.dtype == ds.pixel_array.dtype
            np.testing.assert_array_equal(seen, ds.pixel_array, path.name)
            decoded += 1
    assert (len(paths), len(syntaxes)) == (9, 7)
    assert decoded >= 7


def test_uneven_ct_names_the_gap(data):
    series = fi.dicom.series(data / "dicom" / "ct_ge_uneven")
    assert [len(s.files) for s in series] == [28]
    codes = {f.code: f for f in series[0].findings}
    assert set(codes) == {"uneven-spacing", "gantry-tilt"}
    assert codes["gantry-tilt"].details["degrees"] == pytest.approx(18.5, abs=0.01)  # as the header says
    uneven = codes["uneven-spacing"]
    assert min(uneven.details["gaps_mm"]) == pytest.approx(1.08, abs=0.01)
    assert max(uneven.details["gaps_mm"]) == pytest.approx(7.0, abs=0.01)
    assert "14.dcm" in uneven.details["after"]
    with pytest.raises(fi.errors.GeometryError, match="uneven-spacing"):
        fi.dicom.read(series[0])
    read = fi.dicom.read(series[0], tolerate=["uneven-spacing"])
    assert read.is_sheared
    assert [f["code"] for f in read.metadata["findings"]].count("uneven-spacing") == 1


def test_time_series_of_ge(data):
    read = fi.dicom.read(data / "dicom" / "mr_ge_fmri")
    assert read.dims == ("t", "z", "y", "x")
    assert read.unit == "arbitrary"
    files = sorted((data / "dicom" / "mr_ge_fmri").rglob("*.dcm"))
    assert read.shape[0] * read.shape[1] == len(files)
    for path in files[::17]:
        ds = pydicom.dcmread(path)
        t = (ds.InstanceNumber - 1) // read.shape[1]
        place = np.linalg.inv(read.affine) @ [*ds.ImagePositionPatient, 1]
        np.testing.assert_allclose(place[1:3], 0, atol=1e-3)
        np.testing.assert_array_equal(read.array[t, round(place[0])], ds.pixel_array)


def test_enhanced_mr_frames_lie_where_pydicom_says(data):
    files = sorted((data / "dicom" / "enhanced_mr").rglob("*.dcm"))
    assert len(files) >= 4
    for path in files:
        ds = pydicom.dcmread(path)
        read = fi.dicom.read(path)
        stored = ds.pixel_array
        shared = ds.SharedFunctionalGroupsSequence[0]
        back = np.linalg.inv(read.affine)
        volumes = read.array.reshape(-1, *read.shape[-3:])
        seen = np.zeros(len(volumes), int)
        for frame, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
            k, j, i, _ = back @ [*groups.PlanePositionSequence[0].ImagePositionPatient, 1]
            np.testing.assert_allclose([j, i], 0, atol=2e-3)
            group = groups if "PixelValueTransformationSequence" in groups else shared
            if "PixelValueTransformationSequence" in group:
                line = group.PixelValueTransformationSequence[0]
                slope, intercept = float(line.RescaleSlope), float(line.RescaleIntercept)
            else:
                slope, intercept = 1.0, 0.0
            wanted = (stored[frame].astype(np.float64) * slope + intercept).astype(np.float32)
            matches = [n for n, volume in enumerate(volumes) if np.array_equal(volume[round(k)], wanted)]
            assert matches
            seen[matches[0]] += 1
        assert len(ds.PerFrameFunctionalGroupsSequence) == volumes.shape[0] * volumes.shape[1]


@pytest.mark.parametrize(
    ("name", "unit", "low", "high"), [("CT_small.dcm", "HU", -896, 1167), ("MR_small.dcm", "arbitrary", None, None)]
)
def test_shipped_single_slices_equal_simpleitk(name, unit, low, high):
    path = get_testdata_file(name)
    read = fi.dicom.read(path)
    assert read.unit == unit
    np.testing.assert_array_equal(read.array, sitk.GetArrayFromImage(sitk.ReadImage(path)))
    if low is not None:
        assert (read.array.min(), read.array.max()) == (low, high)


def test_dose_grid_equals_simpleitk_in_gray():
    path = get_testdata_file("rtdose.dcm")
    ds = pydicom.dcmread(path)
    read = fi.dicom.read(path)
    expected = ds.pixel_array.astype(np.float64) * float(ds.DoseGridScaling)
    np.testing.assert_array_equal(read.array, expected.astype(np.float32))
    np.testing.assert_allclose(read.origin, [float(v) for v in ds.ImagePositionPatient])
    assert read.spacing[0] == pytest.approx(float(ds.GridFrameOffsetVector[1]) - float(ds.GridFrameOffsetVector[0]))


def test_four_enhanced_files_are_four_times_of_one_volume(data):
    """A file a time point: voxels of pydicom, place of SimpleITK, file by file."""
    sitk = pytest.importorskip("SimpleITK")
    found = [one for one in fi.dicom.series(data / "dicom" / "enhanced_mr") if len(one.paths) > 1]
    assert [len(one.paths) for one in found] == [4]
    image = fi.dicom.read(found[0])
    assert image.coords == {"t": (1.0, 2.0, 3.0, 4.0)}
    for volume, path in zip(image.array, found[0].paths, strict=True):
        ds = pydicom.dcmread(path)
        groups = ds.PerFrameFunctionalGroupsSequence
        times = {int(group.FrameContentSequence[0].TemporalPositionIndex) for group in groups}
        assert times == {found[0].paths.index(path) + 1}
        for k in range(len(volume)):
            place = (image.affine @ (k, 0, 0, 1))[:3]
            positions = [group.PlanePositionSequence[0].ImagePositionPatient for group in groups]
            (frame,) = [i for i, one in enumerate(positions) if np.allclose(one, place, atol=1e-3)]
            line = groups[frame].PixelValueTransformationSequence[0]
            wanted = ds.pixel_array[frame] * float(line.RescaleSlope) + float(line.RescaleIntercept)
            np.testing.assert_allclose(volume[k], wanted, rtol=1e-6)
        theirs = sitk.ReadImage(path)
        np.testing.assert_allclose(sorted(theirs.GetSpacing()), sorted(image.spacing), rtol=1e-4)
