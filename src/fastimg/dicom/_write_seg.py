"""Masks written as DICOM-SEG, through highdicom."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from fastimg import __version__
from fastimg.errors import ArgumentError, DeviceError, FormatError, GeometryError, MissingError
from fastimg.image import Image

from ._quiet import CORRUPT, quiet, value_of

__all__ = ["write_seg"]

Code = tuple[str, str, str]
TISSUE: Code = ("85756007", "SCT", "Tissue")
# Of the patient and the study; they may be empty (type 2), but highdicom wants to find them.
EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
SQUARE = 1e-6  # cosine of the angle between two axes up to which a grid counts as not sheared


def write_seg(
    masks: Mapping[str, Any],
    image: Image,
    path: str | os.PathLike[str],
    *,
    source: Any,
    codes: Mapping[str, tuple[Code, Code]] | None = None,
    algorithm: tuple[str, str] | None = None,
    description: str = "Segmentation",
) -> Path:
    """Write masks as one binary DICOM-SEG object; needs the extra "interop" (highdicom).

    Parameters
    ----------
    masks : mapping of str to Image or array (z, y, x)
        Values 0 and 1 (or bool), on the grid of `image`; they may overlap. The names become segment labels.
    image : Image
        The grid. It may differ from the grid of `source`, but not be sheared.
    path : path
        A new file.
    source : Series, path, or sequence of paths
        The DICOM series that was segmented: patient, study and frame of reference are taken from it, and its instances
        are referred to.
    codes : mapping of str to (category, type), optional
        For each mask the coded property category and type, each as (value, scheme, meaning). Default: SCT "Tissue".
    algorithm : (name, version), optional
        Of the model that drew the masks; without it they are marked as drawn by hand.
    description : str
        Of the series.

    Returns
    -------
    pathlib.Path
        `path`. The file holds the patient's identifiers, as its series does.

    Raises
    ------
    MissingError
        highdicom is not installed.
    ArgumentError
        No mask, values other than 0 and 1, another shape, an existing file.
    GeometryError
        A mask on another grid, a sheared grid, another frame of reference than the series'.
    FormatError
        The series lacks what a segmentation must repeat. The message quotes nothing of it.
    """
    highdicom = _highdicom()
    stack = _stacked(masks, image)
    target = Path(path)
    if target.exists():
        raise ArgumentError(f"write_seg: {target.name} exists already")
    measures, cosines, positions = _planes(highdicom, image)
    references = _references(source)
    frame = str(value_of(references[0], "FrameOfReferenceUID") or "")
    wanted = str(image.metadata.get("frame_of_reference_uid") or "")
    if wanted and frame != wanted:
        raise GeometryError("write_seg: the image and the source series are in different frames of reference")
    try:
        with quiet():
            segmentation = highdicom.seg.Segmentation(
                source_images=references,
                pixel_array=stack,
                segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=[
                    _described(highdicom, number, name, (codes or {}).get(name, (TISSUE, TISSUE)), algorithm)
                    for number, name in enumerate(masks, start=1)
                ],
                series_instance_uid=highdicom.UID(),
                series_number=int(value_of(references[0], "SeriesNumber") or 0) + 1000,
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer="fastimg",
                manufacturer_model_name="fastimg",
                software_versions=__version__,
                device_serial_number="0",
                pixel_measures=measures,
                plane_orientation=cosines,
                plane_positions=positions,
                omit_empty_frames=bool(stack.any()),
                series_description=description,
            )
            segmentation.save_as(target, overwrite=False)
    except FileExistsError:
        raise ArgumentError(f"write_seg: {target.name} exists already") from None
    except OSError:
        raise  # no room, no right: not the series' fault, and no value in the message
    except CORRUPT as error:
        name = type(error).__name__
        raise FormatError(f"write_seg: the series lacks what a segmentation must repeat ({name})") from None
    return target


def _highdicom() -> Any:
    try:
        import highdicom
    except ImportError as error:
        raise MissingError("write_seg: highdicom is not installed: pip install 'fastimg[interop]'") from error
    return highdicom


def _stacked(masks: Mapping[str, Any], image: Image) -> npt.NDArray[np.uint8]:
    """(z, y, x, mask) of 0 and 1."""
    if not isinstance(image, Image):
        raise ArgumentError(f"write_seg: image must be an Image, got {type(image).__name__}")
    if not isinstance(masks, Mapping) or not masks:
        raise ArgumentError("write_seg: masks must be a mapping with at least one mask")
    shape = tuple(image.shape[-3:])
    stack = np.zeros((*shape, len(masks)), np.uint8)
    for place, (name, mask) in enumerate(masks.items()):
        if not isinstance(name, str) or not name.strip() or len(name) > 64:
            raise ArgumentError(f"write_seg: mask {place + 1} needs a name of 1 to 64 letters")
        if isinstance(mask, Image):
            if mask.device != "cpu":
                raise DeviceError("write_seg: a mask is on the GPU; call mask.to_device('cpu') first")
            if not np.allclose(mask.affine, image.affine, rtol=0, atol=1e-4):
                raise GeometryError(f"write_seg: mask {place + 1} lies on another grid than the image")
        array = np.asarray(mask.array if isinstance(mask, Image) else mask)
        if array.shape != shape:
            raise ArgumentError(f"write_seg: mask {place + 1} has shape {array.shape}, the image {shape}")
        if array.dtype != np.bool_ and not ((array == 0) | (array == 1)).all():
            raise ArgumentError(f"write_seg: mask {place + 1} holds values other than 0 and 1")
        stack[..., place] = array
    return stack


def _planes(highdicom: Any, image: Image) -> tuple[Any, Any, list[Any]]:
    """Pixel measures, orientation, and the position of each plane."""
    across, down, along = (image.affine[:3, axis] for axis in (0, 1, 2))
    lengths = [float(np.linalg.norm(step)) for step in (across, down, along)]
    units = [step / length for step, length in zip((across, down, along), lengths, strict=True)]
    if max(abs(units[0] @ units[1]), abs(units[0] @ units[2]), abs(units[1] @ units[2])) > SQUARE:
        raise GeometryError("write_seg: the image's grid is sheared; resample it first")
    measures = highdicom.PixelMeasuresSequence(
        pixel_spacing=lengths[1:], slice_thickness=lengths[0], spacing_between_slices=lengths[0]
    )
    frame = highdicom.CoordinateSystemNames.PATIENT
    cosines = highdicom.PlaneOrientationSequence(frame, [*units[2].tolist(), *units[1].tolist()])
    corners = image.affine[:3, 3] + np.arange(image.shape[-3])[:, None] * across
    return measures, cosines, [highdicom.PlanePositionSequence(frame, corner.tolist()) for corner in corners]


def _references(source: Any) -> list[Dataset]:
    """The headers of a series' files."""
    if hasattr(source, "files"):
        source = source.files
    if isinstance(source, str | os.PathLike):
        folder = Path(source)
        source = sorted(p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else [folder]
    if not isinstance(source, Iterable):
        raise ArgumentError(f"write_seg: source must be a series or paths, got {type(source).__name__}")
    found: list[Dataset] = []
    for file in source:
        try:
            with quiet():
                found.append(pydicom.dcmread(file, stop_before_pixels=True))
        except (InvalidDicomError, *CORRUPT) as error:
            raise FormatError(f"write_seg: a file of the series cannot be read ({type(error).__name__})") from None
    if not found:
        raise ArgumentError("write_seg: source has no files")
    for dataset in found:
        for keyword in EMPTY:
            if keyword not in dataset:
                setattr(dataset, keyword, "")
    return found


def _described(
    highdicom: Any, number: int, name: str, codes: tuple[Code, Code], algorithm: tuple[str, str] | None
) -> Any:
    coded = [highdicom.sr.CodedConcept(*code) for code in codes]
    kind, identification = highdicom.seg.SegmentAlgorithmTypeValues.MANUAL, None
    if algorithm is not None:
        kind = highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC
        family = highdicom.sr.CodedConcept("123110", "DCM", "Artificial Intelligence")
        identification = highdicom.AlgorithmIdentificationSequence(algorithm[0], family, algorithm[1])
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=coded[0],
        segmented_property_type=coded[1],
        algorithm_type=kind,
        algorithm_identification=identification,
    )
