"""Projections and ultrasound: where the millimetres come from, and that there are none where nothing says so."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_maker import image, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import fastimg as fi


def flat(modality="DX", **elements):
    ds = image(np.arange(20, dtype=np.uint16).reshape(4, 5), ImagePositionPatient=None, ImageOrientationPatient=None,
               PixelSpacing=None, RescaleIntercept=0, SliceThickness=None)  # fmt: skip
    ds.Modality = modality
    for name, value in elements.items():
        setattr(ds, name, value)
    return ds


@pytest.mark.parametrize("modality", ["MG", "DX", "CR", "XA"])
def test_the_detectors_spacing_is_labelled_as_such(tmp_path, modality):
    save(flat(modality, ImagerPixelSpacing=[0.07, 0.08], PresentationIntentType="FOR PROCESSING",
              EstimatedRadiographicMagnificationFactor=1.2), tmp_path / "a.dcm")  # fmt: skip
    (series,) = fi.dicom.series(tmp_path)
    (finding,) = series.findings
    assert (finding.code, finding.where) == ("detector-spacing", "a.dcm")
    read = fi.dicom.read(tmp_path)
    assert read.spacing[1:] == (0.07, 0.08)
    assert read.metadata["spacing_source"] == "detector"
    assert read.metadata["presentation_intent"] == "FOR PROCESSING"
    assert read.metadata["magnification"] == 1.2
    assert [f["code"] for f in read.metadata["findings"]] == ["detector-spacing"]
    assert read.unit == "arbitrary"


def test_calibrated_spacing_is_the_patients(tmp_path):
    save(flat(ImagerPixelSpacing=[0.1, 0.1], PixelSpacing=[0.08, 0.08], PixelSpacingCalibrationType="FIDUCIAL"),
         tmp_path / "a.dcm")  # fmt: skip
    read = fi.dicom.read(tmp_path)
    assert (read.spacing[1:], read.metadata["spacing_source"]) == ((0.08, 0.08), "patient")
    assert read.metadata["findings"] == []
    # The same value in both, and no calibration: the writer copied the detector's.
    save(flat(ImagerPixelSpacing=[0.1, 0.1], PixelSpacing=[0.1, 0.1]), tmp_path / "a.dcm")
    assert fi.dicom.read(tmp_path).metadata["spacing_source"] == "detector"


def test_scanned_films(tmp_path):
    save(flat("CR", NominalScannedPixelSpacing=[0.15, 0.15]), tmp_path / "a.dcm")
    read = fi.dicom.read(tmp_path)
    assert (read.spacing[1:], read.metadata["spacing_source"]) == ((0.15, 0.15), "film")


def test_a_projection_without_spacing_has_no_millimetres(tmp_path):
    save(flat(), tmp_path / "a.dcm")
    with pytest.raises(fi.errors.GeometryError, match="no millimetres"):
        fi.dicom.read(tmp_path)
    assert fi.dicom.read(tmp_path, tolerate="no-geometry").metadata["spacing_source"] == "none"


def test_each_view_is_an_image_of_its_own(tmp_path):
    for number, intent in enumerate(("FOR PRESENTATION", "FOR PROCESSING", "FOR PRESENTATION")):
        save(flat("MG", ImagerPixelSpacing=[0.1, 0.1], PresentationIntentType=intent, InstanceNumber=number),
             tmp_path / f"{number}.dcm")  # fmt: skip
    found = fi.dicom.series(tmp_path)
    assert [len(one.files) for one in found] == [1, 1, 1]
    assert [fi.dicom.read(one).metadata["presentation_intent"] for one in found][1] == "FOR PROCESSING"


def region(box, *, units=(3, 3), delta=(0.02, 0.03), kind=1):
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = kind, 1, 0
    for name, value in zip(("MinX0", "MinY0", "MaxX1", "MaxY1"), box, strict=True):
        setattr(item, f"RegionLocation{name}", value)
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta
    return item


def test_ultrasound_is_calibrated_by_its_regions(tmp_path):
    spectral = region((0, 3, 4, 3), units=(4, 7), delta=(0.01, 0.5), kind=3)
    save(flat("US", SequenceOfUltrasoundRegions=Sequence([region((0, 0, 4, 2)), spectral])), tmp_path / "a.dcm")
    read = fi.dicom.read(tmp_path)
    assert read.spacing[1:] == pytest.approx((0.3, 0.2))
    assert read.metadata["spacing_source"] == "regions"
    first, second = read.metadata["regions"]
    assert (first["box"], first["format"]) == ([0, 0, 4, 2], "2D")
    assert (second["format"], second["units"], second["spacing_mm"]) == ("spectral", ["s", "cm/s"], None)


@pytest.mark.parametrize(
    ("regions", "words"),
    [([], "no region is calibrated"), ([region((0, 0, 4, 3), units=(0, 0))], "no region is calibrated"),
     ([region((0, 0, 2, 3)), region((3, 0, 4, 3), delta=(0.05, 0.05))], "2 regions differ in scale"),
     ([region((0, 0, 2, 3), delta=(0.0, 0.02))], "no region is calibrated")],
)  # fmt: skip
def test_uncalibrated_ultrasound_has_no_millimetres(tmp_path, regions, words):
    save(flat("US", SequenceOfUltrasoundRegions=Sequence(regions)), tmp_path / "a.dcm")
    with pytest.raises(fi.errors.GeometryError, match=words):
        fi.dicom.read(tmp_path)
    read = fi.dicom.read(tmp_path, tolerate="no-geometry")
    assert (read.metadata["spacing_source"], read.spacing) == ("none", (1, 1, 1))
    assert len(read.metadata["regions"]) == len(regions)


def test_a_cine_has_a_time_axis(tmp_path):
    ds = flat("US", SequenceOfUltrasoundRegions=Sequence([region((0, 0, 4, 3))]), FrameTime="33.3", NumberOfFrames=3)
    volume = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    ds.PixelData = volume.tobytes()
    save(ds, tmp_path / "a.dcm")
    read = fi.dicom.read(tmp_path)
    assert read.dims == ("t", "z", "y", "x")
    assert read.coords["t"] == pytest.approx((0, 33.3, 66.6))
    np.testing.assert_array_equal(read.array[:, 0], volume)
    ds.FrameTimeVector = [0, 30, 40]
    save(ds, tmp_path / "a.dcm")
    assert fi.dicom.read(tmp_path).coords["t"] == (0, 30, 70)
    del ds.FrameTimeVector, ds.FrameTime
    save(ds, tmp_path / "a.dcm")
    assert fi.dicom.read(tmp_path).coords["t"] == (0, 1, 2)
