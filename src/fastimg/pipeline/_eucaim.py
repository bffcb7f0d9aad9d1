"""The folder of a dataset as EUCAIM asks for it: images by patient, study and series, beside the tables of its data model.

    dataset/
        clinical_mandatory_view.csv      one row a patient
        imaging_mandatory_view.csv       one row a series
        clinical_data/*.csv              patient, image_series, segmentation_series ...
        imaging_data/PATIENT/STUDY/SERIES/*.dcm      images, and segmentations as DICOM-SEG

Public descriptions of the tree name its files and leave the columns open; those looked for here are below.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ..errors import FormatError
from ..findings import Finding

__all__ = ["Dataset", "dataset_of"]

IMAGES = "imaging_data"
CLINICAL = ("clinical_mandatory_view.csv", "clinical_data/patient.csv")
SERIES = ("imaging_mandatory_view.csv", "clinical_data/image_series.csv", "clinical_data/segmentation_series.csv")
SERIES_COLUMNS = ("series_uid", "series_instance_uid", "seriesinstanceuid", "seriesuid")
LARGEST = 256 << 20


@dataclass(frozen=True)
class Dataset:
    """One such folder."""

    images: Path
    clinical: Path | None
    series: frozenset[str] | None  # UIDs that its tables list; None where no table does

    def compared(self, found: set[str]) -> list[Finding]:
        """Series that stand in the tables alone, and in the folders alone."""
        if self.series is None:
            return []
        told = []
        for count, where in ((len(self.series - found), "the tables"), (len(found - self.series), "the folders")):
            if count:
                message = f"{count} series stand in {where} alone."
                told.append(Finding("tree-mismatch", message, "dataset", {"series": count}))
        return told


def dataset_of(folder: Path) -> Dataset | None:
    """The dataset in a folder; None where the folder is another tree.

    Raises
    ------
    FormatError
        A table that cannot be read.
    """
    images = folder / IMAGES
    clinical = next((folder / name for name in CLINICAL if (folder / name).is_file()), None)
    if not images.is_dir() or clinical is None:
        return None
    listed: set[str] | None = None
    for name in SERIES:
        own = _column(folder / name, SERIES_COLUMNS)
        listed = listed if own is None else (listed or set()) | own
    return Dataset(images, clinical, None if listed is None else frozenset(listed))


def _column(path: Path, names: tuple[str, ...]) -> set[str] | None:
    """The values of the first of some columns that a CSV has; None where it is absent or has none of them."""
    if not path.is_file():
        return None
    if path.stat().st_size > LARGEST:
        raise FormatError(f"{path.name}: larger than {LARGEST >> 20} MiB")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream)
            head = [name.strip().lower() for name in next(rows, [])]
            at = next((head.index(name) for name in names if name in head), None)
            if at is None:
                return None
            return {row[at].strip() for row in rows if len(row) > at and row[at].strip()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path.name}: not a CSV in UTF-8 ({type(error).__name__})") from None
