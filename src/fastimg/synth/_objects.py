"""Masks and other objects beside the images: DICOM-SEG, RTSTRUCT, a report, a screenshot, a DICOMDIR."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.sequence import Sequence

from ._series import CT_CLASS
from ._write import decimal, uid

__all__ = ["RTSTRUCT_CLASS", "SEG_CLASS", "code", "report", "rtstruct", "screenshot", "segmentation"]

SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
REPORT_CLASS = "1.2.840.10008.5.1.4.1.1.88.11"
CAPTURE_CLASS = "1.2.840.10008.5.1.4.1.1.7"


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded entry."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _one(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def segmentation(
    base: Dataset,
    masks: dict[str, npt.NDArray[np.bool_]],
    *,
    affine: npt.NDArray[np.float64],
    sources: list[str],
    descriptions: dict[str, str] | None = None,
) -> Dataset:
    """A binary DICOM-SEG of (z, y, x) masks, only frames that are not empty.

    `base` brings patient, study and frame of reference; `sources` are the SOP instance UIDs of the slices.
    """
    dataset = base
    dataset.SOPClassUID, dataset.Modality = SEG_CLASS, "SEG"
    dataset.SeriesInstanceUID = uid(dataset.FrameOfReferenceUID, "seg")
    dataset.SOPInstanceUID = uid(dataset.FrameOfReferenceUID, "seg", "instance")
    dataset.SeriesNumber, dataset.InstanceNumber = 900, 1
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.SegmentationType = "BINARY"
    dataset.ContentLabel = "LESIONS"
    dataset.LossyImageCompression = "00"
    dataset.SegmentSequence = Sequence()
    dataset.PerFrameFunctionalGroupsSequence = Sequence()
    step_x, step_y, step_z = (affine[:3, axis] for axis in (2, 1, 0))
    spacing = [decimal(float(np.linalg.norm(step))) for step in (step_y, step_x, step_z)]
    cosines = [*(step_x / np.linalg.norm(step_x)), *(step_y / np.linalg.norm(step_y))]
    shared = _one(
        PixelMeasuresSequence=Sequence(
            [_one(PixelSpacing=spacing[:2], SliceThickness=spacing[2], SpacingBetweenSlices=spacing[2])]
        ),
        PlaneOrientationSequence=Sequence([_one(ImageOrientationPatient=[decimal(float(c)) for c in cosines])]),
    )
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    organisation = uid(dataset.FrameOfReferenceUID, "seg", "dimensions")
    dataset.DimensionOrganizationSequence = Sequence([_one(DimensionOrganizationUID=organisation)])
    dataset.DimensionIndexSequence = Sequence(
        [
            _one(
                DimensionOrganizationUID=organisation,
                DimensionIndexPointer=0x0062000B,
                FunctionalGroupPointer=0x0062000A,
            ),
            _one(
                DimensionOrganizationUID=organisation,
                DimensionIndexPointer=0x00200032,
                FunctionalGroupPointer=0x00209113,
            ),
        ]
    )
    frames = []
    for number, (label, mask) in enumerate(masks.items(), start=1):
        segment = _one(SegmentNumber=number, SegmentLabel=label, SegmentAlgorithmType="MANUAL")
        if descriptions and label in descriptions:
            segment.SegmentDescription = descriptions[label]
        segment.SegmentedPropertyCategoryCodeSequence = Sequence(
            [code("49755003", "SCT", "Morphologically Abnormal Structure")]
        )
        segment.SegmentedPropertyTypeCodeSequence = Sequence([code("108369006", "SCT", "Neoplasm")])
        dataset.SegmentSequence.append(segment)
        for k in np.flatnonzero(mask.any(axis=(1, 2))):
            position = affine[:3, 3] + k * step_z
            source = _one(ReferencedSOPClassUID=CT_CLASS, ReferencedSOPInstanceUID=sources[k])
            dataset.PerFrameFunctionalGroupsSequence.append(
                _one(
                    FrameContentSequence=Sequence([_one(DimensionIndexValues=[number, int(k) + 1])]),
                    PlanePositionSequence=Sequence([_one(ImagePositionPatient=[decimal(float(c)) for c in position])]),
                    SegmentIdentificationSequence=Sequence([_one(ReferencedSegmentNumber=number)]),
                    DerivationImageSequence=Sequence([_one(SourceImageSequence=Sequence([source]))]),
                )
            )
            frames.append(mask[k])
    stack = np.stack(frames).astype(np.uint8)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = stack.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    dataset.PixelData = pack_bits(stack, pad=True)
    dataset["PixelData"].VR = "OB"
    return dataset


def rtstruct(
    base: Dataset,
    regions: dict[str, list[npt.NDArray[np.float64]]],
    *,
    series_uid: str,
    sources: dict[float, str],
    descriptions: dict[str, str] | None = None,
    points: dict[str, npt.NDArray[np.float64]] | None = None,
) -> Dataset:
    """An RTSTRUCT of closed planar contours, each (points, 3) mm; `points` become regions of one POINT each."""
    dataset = base
    frame = str(dataset.FrameOfReferenceUID)
    dataset.SOPClassUID, dataset.Modality = RTSTRUCT_CLASS, "RTSTRUCT"
    dataset.SeriesInstanceUID = uid(frame, "rtstruct")
    dataset.SOPInstanceUID = uid(frame, "rtstruct", "instance")
    dataset.SeriesNumber, dataset.InstanceNumber = 901, 1
    dataset.StructureSetLabel = "PLAN"
    dataset.StructureSetDate, dataset.StructureSetTime = dataset.StudyDate, dataset.StudyTime
    images = [_one(ReferencedSOPClassUID=CT_CLASS, ReferencedSOPInstanceUID=u) for u in sources.values()]
    series = _one(SeriesInstanceUID=series_uid, ContourImageSequence=Sequence(images))
    study = _one(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=dataset.StudyInstanceUID,
        RTReferencedSeriesSequence=Sequence([series]),
    )
    dataset.ReferencedFrameOfReferenceSequence = Sequence(
        [_one(FrameOfReferenceUID=frame, RTReferencedStudySequence=Sequence([study]))]
    )
    dataset.StructureSetROISequence = Sequence()
    dataset.ROIContourSequence = Sequence()
    dataset.RTROIObservationsSequence = Sequence()
    everything = {**regions, **{name: [point[None, :]] for name, point in (points or {}).items()}}
    for number, (name, contours) in enumerate(everything.items(), start=1):
        roi = _one(ROINumber=number, ReferencedFrameOfReferenceUID=frame, ROIName=name, ROIGenerationAlgorithm="MANUAL")
        if descriptions and name in descriptions:
            roi.ROIDescription = descriptions[name]
        dataset.StructureSetROISequence.append(roi)
        drawn = Sequence()
        for contour in contours:
            item = _one(
                ContourGeometricType="CLOSED_PLANAR" if len(contour) > 1 else "POINT",
                NumberOfContourPoints=len(contour),
                ContourData=[decimal(float(c)) for c in contour.ravel()],
            )
            source = sources.get(float(contour[0, 2]))
            if source is not None:
                item.ContourImageSequence = Sequence(
                    [_one(ReferencedSOPClassUID=CT_CLASS, ReferencedSOPInstanceUID=source)]
                )
            drawn.append(item)
        dataset.ROIContourSequence.append(
            _one(ROIDisplayColor=[255, 0, 0], ReferencedROINumber=number, ContourSequence=drawn)
        )
        dataset.RTROIObservationsSequence.append(
            _one(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType="GTV", ROIInterpreter="")
        )
    return dataset


def report(base: Dataset, text: str) -> Dataset:
    """A structured report with one line of text: a DICOM object that is not an image."""
    dataset = base
    dataset.SOPClassUID, dataset.Modality = REPORT_CLASS, "SR"
    dataset.SeriesInstanceUID = uid(dataset.StudyInstanceUID, "sr")
    dataset.SOPInstanceUID = uid(dataset.StudyInstanceUID, "sr", "instance")
    dataset.SeriesNumber, dataset.InstanceNumber = 902, 1
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    dataset.ContentDate, dataset.ContentTime = dataset.StudyDate, dataset.StudyTime
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.ConceptNameCodeSequence = Sequence([code("11528-7", "LN", "Radiology Report")])
    line = _one(RelationshipType="CONTAINS", ValueType="TEXT", TextValue=text)
    line.ConceptNameCodeSequence = Sequence([code("121071", "DCM", "Finding")])
    dataset.ContentSequence = Sequence([line])
    return dataset


def screenshot(base: Dataset, rng: np.random.Generator) -> Dataset:
    """A secondary capture with burned-in annotation."""
    dataset = base
    dataset.SOPClassUID, dataset.Modality = CAPTURE_CLASS, "OT"
    dataset.SeriesInstanceUID = uid(dataset.StudyInstanceUID, "sc")
    dataset.SOPInstanceUID = uid(dataset.StudyInstanceUID, "sc", "instance")
    dataset.SeriesNumber, dataset.InstanceNumber = 903, 1
    dataset.ConversionType, dataset.BurnedInAnnotation = "WSD", "YES"
    dataset.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    dataset.Rows = dataset.Columns = 64
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = rng.integers(0, 255, (64, 64), np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    return dataset
