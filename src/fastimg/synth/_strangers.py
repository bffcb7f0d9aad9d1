"""What an exported tree holds besides good series."""

from __future__ import annotations

import copy
import os
import zipfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fastimg.image import affine_from

from . import _objects
from ._manifest import Case, Fault
from ._series import CT_CLASS
from ._write import uid, write_dataset, write_slices

__all__ = ["add"]

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


def add(root: Path, hospital: str, person: Dataset, syntax: str, case: Case, rng: np.random.Generator) -> list[Fault]:
    """Add strangers to one hospital's tree; what they are and the code of the finding each should lead to."""
    top, name = Path(hospital), str(person.PatientName)
    study = case.folder.parent
    (root / top / "README.txt").write_text(f"Export for {name}\n", encoding="utf-8")
    (root / top / "report.pdf").write_bytes(b"%PDF-1.4\n% " + name.encode() + b"\n%%EOF\n")
    os.symlink("README.txt", root / top / "latest")
    with zipfile.ZipFile(root / top / "old.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("IM0001", (2021, 1, 1, 0, 0, 0)), b"DICM of " + name.encode())
    write_dataset(root / top / "DICOMDIR", _directory(person, case))
    write_dataset(
        root / study / "SE0902" / "SR0001", _objects.report(copy.deepcopy(person), f"{name}: lesion, follow up.")
    )
    faults = [
        Fault("not-dicom", top / "README.txt"),
        Fault("not-dicom", top / "report.pdf"),
        Fault("not-dicom", top / "clinical.csv"),
        Fault("symlink", top / "latest"),
        Fault("archive", top / "old.zip"),
        Fault("not-image", top / "DICOMDIR"),
        Fault("not-image", study / "SE0902" / "SR0001"),
    ]
    kind = {"vienna": "missing-slice", "paris": "damaged-file"}.get(hospital, "burned-in")
    if kind == "burned-in":
        path = study / "SE0903" / "SC0001"
        shot = _objects.screenshot(copy.deepcopy(person), rng)
        write_dataset(root / path, shot)
        return [*faults, Fault(kind, path, str(shot.SeriesInstanceUID))]
    path = study / "SE0004"
    template = copy.deepcopy(person)
    template.SOPClassUID, template.Modality = CT_CLASS, "CT"
    template.SeriesInstanceUID = uid(person.StudyInstanceUID, "fault")
    template.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    template.SeriesNumber, template.SeriesDescription = 4, f"repeat {name.split('^')[0]}"
    template.RescaleSlope, template.RescaleIntercept = "1", "-1024"
    stored = rng.integers(900, 1100, (10, 48, 48)).astype(np.uint16)
    skip = [4] if kind == "missing-slice" else []
    names = [f"IM{k:04d}" for k in range(10)]
    affine = affine_from((5.0, 3.0, 3.0), (-70, -70, -25))
    files, _ = write_slices(
        root / path, template, stored, affine=affine, syntax=syntax, bits=12, names=names, skip=skip
    )
    if kind == "damaged-file":
        whole = files[6].read_bytes()
        files[6].write_bytes(whole[: whole.rindex(b"\xe0\x7f\x10\x00") + 60])
        path = files[6].relative_to(root)
    return [*faults, Fault(kind, path, str(template.SeriesInstanceUID))]


def _directory(person: Dataset, case: Case) -> Dataset:
    """A DICOMDIR that lists the first patient, and one file outside the tree: readers must not follow it."""
    dataset = Dataset()
    dataset.SOPClassUID = DIRECTORY_CLASS
    dataset.SOPInstanceUID = uid(person.StudyInstanceUID, "directory")
    dataset.SpecificCharacterSet = person.SpecificCharacterSet
    dataset.FileSetID = "EXPORT"
    dataset.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    dataset.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    dataset.FileSetConsistencyFlag = 0
    patient = _record("PATIENT", PatientName=person.PatientName, PatientID=person.PatientID)
    study = _record("STUDY", StudyInstanceUID=person.StudyInstanceUID, StudyDate=person.StudyDate)
    series = _record("SERIES", SeriesInstanceUID=case.series_uid, Modality="CT")
    outside = _record("IMAGE", InstanceNumber=1)
    climbs = ["..", "..", "..", "ETC", "PASSWD"]  # not valid in a DICOMDIR: an attack that readers must withstand
    outside.add(DataElement(0x00041500, "CS", climbs, validation_mode=pydicom.config.IGNORE))
    dataset.DirectoryRecordSequence = Sequence([patient, study, series, outside])
    return dataset


def _record(kind: str, **values: object) -> Dataset:
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord = 0
    record.RecordInUseFlag = 0xFFFF
    record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    record.DirectoryRecordType = kind
    for keyword, value in values.items():
        setattr(record, keyword, value)
    return record
