"""Radiomic features as a DICOM structured report (TID 1500), through highdicom."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import ArgumentError, FormatError
from ._optional import package

__all__ = ["read_features_sr", "write_features_sr"]

# UCUM units of features that have one; all others are pure numbers.
_MM = ("mm", "UCUM", "millimeter")
_UNITS = {
    "morph_volume": ("mm3", "UCUM", "cubic millimeter"),
    "morph_vol_approx": ("mm3", "UCUM", "cubic millimeter"),
    "morph_area_mesh": ("mm2", "UCUM", "square millimeter"),
    "morph_av": ("/mm", "UCUM", "per millimeter"),
    "morph_com": _MM,
    "morph_diam": _MM,
    "morph_pca_maj_axis": _MM,
    "morph_pca_min_axis": _MM,
    "morph_pca_least_axis": _MM,
}
_NONE = ("1", "UCUM", "no units")
SCHEME = "99FASTIMG"


def write_features_sr(
    features: Mapping[str, float],
    path: str | os.PathLike[str],
    *,
    segmentation: str | os.PathLike[str],
    segment: int = 1,
    source: Any,
    settings: Any = None,
    description: str = "Radiomic features",
) -> Path:
    """Write the features of one segment as a Comprehensive 3D SR by template 1500; needs the extra "interop" (highdicom).

    Parameters
    ----------
    features : mapping
        What `radiomics.extract` returned, in either names. NaN is left out: a report cannot hold it.
    path : path
        A new file.
    segmentation : path
        The DICOM-SEG that holds the region (`dicom.write_seg`).
    segment : int
        Its segment number.
    source : dicom.Series, path, or sequence of paths
        The images that were measured: the report's evidence.
    settings : radiomics.Settings, optional
        Noted as the algorithm's parameters.
    description : str
        Of the series.

    Returns
    -------
    pathlib.Path
        `path`. The file holds the patient's identifiers, as its images do.

    Raises
    ------
    ArgumentError
        No feature with a value, or no such segment.
    FormatError
        A file is not what it should be.
    MissingError
        highdicom is not installed.

    Notes
    -----
    On the original image a feature of the IBSI tables is coded by its identifier (scheme "IBSI"). Others, and those of
    filtered images, have a code of scheme "99FASTIMG" made from the name, which is the code's meaning. Units are UCUM.
    """
    hd, pydicom = package("highdicom"), package("pydicom")
    kept = {name: float(value) for name, value in features.items() if math.isfinite(value)}
    if not kept:
        raise ArgumentError("features: none has a finite value")
    with _quiet():
        seg = pydicom.dcmread(segmentation)
        if getattr(seg, "Modality", "") != "SEG":
            raise FormatError("segmentation: not a DICOM-SEG object")
        numbers = [int(item.SegmentNumber) for item in seg.SegmentSequence]
        if segment not in numbers:
            raise ArgumentError(f"segment: the object has the segments {numbers}, not {segment!r}")
        images = [pydicom.dcmread(file, stop_before_pixels=True) for file in _files(source)]
        item = seg.SegmentSequence[numbers.index(segment)]
        Code = hd.sr.CodedConcept
        parameters = None if settings is None else [repr(settings)[:1024]]
        algorithm = hd.sr.AlgorithmIdentification("fastimg", __version__, parameters=parameters)
        measured = [
            hd.sr.Measurement(name=Code(*_code(name)), value=value, unit=Code(*_unit(name)))
            for name, value in kept.items()
        ]
        group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(hd.UID(), str(item.SegmentLabel)),
            referenced_segment=hd.sr.ReferencedSegment(
                seg.SOPClassUID,
                seg.SOPInstanceUID,
                segment,
                source_series=hd.sr.SourceSeriesForSegmentation(images[0].SeriesInstanceUID),
            ),
            finding_type=Code.from_dataset(item.SegmentedPropertyTypeCodeSequence[0]),
            algorithm_id=algorithm,
            measurements=measured,
        )
        device = hd.sr.ObserverContext(
            observer_type=Code("121007", "DCM", "Device"),
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                uid=hd.UID(), manufacturer_name="fastimg", model_name="fastimg", serial_number=__version__
            ),
        )
        report = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_device_context=device),
            procedure_reported=Code("363679005", "SCT", "Imaging procedure"),
            imaging_measurements=[group],
        )
        document = hd.sr.Comprehensive3DSR(
            evidence=[seg, *images],
            content=report,
            series_instance_uid=hd.UID(),
            series_number=1000,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="fastimg",
            is_complete=True,
            series_description=description,
        )
        document.save_as(path)
    return Path(path)


def read_features_sr(path: str | os.PathLike[str]) -> dict[str, dict[str, float]]:
    """Region (its tracking identifier) to the features of a report by template 1500; needs highdicom.

    IBSI codes become the tags of the reference tables, other codes stay by their meaning.

    Parameters
    ----------
    path : path
        A DICOM SR file.

    Returns
    -------
    dict of str to dict of str to float

    Raises
    ------
    FormatError
        Not a report by template 1500.
    """
    from ..radiomics._ibsi_ids import IBSI_IDS

    hd = package("highdicom")
    tags = {identifier: tag for tag, identifier in IBSI_IDS.items()}
    with _quiet():
        try:
            report = hd.sr.srread(path).content
            groups = report.get_volumetric_roi_measurement_groups()
        except Exception as error:
            raise FormatError(f"not a measurement report by template 1500 ({type(error).__name__})") from error
        found: dict[str, dict[str, float]] = {}
        for group in groups:
            values = {}
            for measurement in group.get_measurements():
                name = measurement.name
                key = _tag(name.meaning) or name.meaning  # two fractions of the volume histogram share an identifier
                if name.scheme_designator == "IBSI":
                    key = key if key in IBSI_IDS else tags.get(name.value, key)
                values[key] = float(measurement.value)
            found[str(group.tracking_identifier)] = values
    return found


def _tag(name: str) -> str | None:
    """The tag of the IBSI tables that a feature's name means, if it is of the original image."""
    from ..radiomics._ibsi_ids import IBSI_IDS
    from ..radiomics._names import FEATURES

    if name in IBSI_IDS:
        return name
    for features in FEATURES.values():
        for feature in features:
            if feature.tag and name == f"original_{feature.kind}_{feature.name}":
                return feature.tag
    return None


def _code(name: str) -> tuple[str, str, str]:
    from ..radiomics._ibsi_ids import IBSI_IDS

    tag = _tag(name)
    if tag is not None and tag in IBSI_IDS:
        return IBSI_IDS[tag], "IBSI", name[:64]
    return f"F{hashlib.sha256(name.encode()).hexdigest()[:15].upper()}", SCHEME, name[:64]


def _unit(name: str) -> tuple[str, str, str]:
    tag = _tag(name)
    if tag is None and name.startswith("original_shape_Maximum2D"):
        return _MM
    return _UNITS.get(tag or "", _NONE)


def _files(source: Any) -> list[Any]:
    if hasattr(source, "files"):
        return list(source.files)
    if isinstance(source, (str, os.PathLike)):
        place = Path(source)
        return sorted(p for p in place.iterdir() if p.is_file()) if place.is_dir() else [place]
    return list(source)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom and highdicom about values that scanners wrote
        yield
