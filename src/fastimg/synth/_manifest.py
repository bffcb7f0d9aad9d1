"""What was planted in a synthetic cohort, so that tests and the demo can count what came through."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["Case", "Fault", "Manifest"]


@dataclass(frozen=True)
class Case:
    """One patient with a CT series and a mask.

    Attributes
    ----------
    hospital : str
        The hospital's folder name.
    subject : str
        PatientID, as in the clinical table.
    age, sex, outcome
        Years, "F" or "M", 0 or 1.
    study_uid, series_uid, frame_uid : str
        Of the CT.
    folder : Path
        Of the CT's files, relative to the cohort's folder.
    mask_file : Path
        The DICOM-SEG or RTSTRUCT, relative likewise.
    mask_name : str
        The segment's or region's name in it.
    shape : (z, y, x)
    affine : (4, 4)
        (k, j, i, 1) to LPS mm.
    packed : uint8
        The bits of `mask`, as `numpy.packbits` makes them.
    identifiers : frozenset of str
        Values that must not be found anywhere afterwards: names, numbers, dates, UIDs, addresses.
    """

    hospital: str
    subject: str
    age: int
    sex: str
    outcome: int
    study_uid: str
    series_uid: str
    frame_uid: str
    folder: Path
    mask_file: Path
    mask_name: str
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64] = field(repr=False)
    packed: npt.NDArray[np.uint8] = field(repr=False)
    identifiers: frozenset[str] = field(repr=False)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The lesion that was drawn, (z, y, x): voxels whose centre lies inside its outline."""
        return np.unpackbits(self.packed, count=int(np.prod(self.shape))).reshape(self.shape).astype(bool)


@dataclass(frozen=True)
class Fault:
    """Something that is not a plain case: what it is, where, and the code of the finding it should lead to.

    Attributes
    ----------
    code : str
        A key of `findings.CODES`.
    path : Path
        Relative to the cohort's folder.
    series_uid : str or None
        None where it is no series.
    """

    code: str
    path: Path
    series_uid: str | None = None


@dataclass(frozen=True)
class Manifest:
    """All that was written: cases, faults, tables, and every identifier.

    Attributes
    ----------
    folder : Path
        Where it was written.
    cases : list of Case
    faults : list of Fault
    clinical : Path
        The clinical table.
    """

    folder: Path
    cases: list[Case]
    faults: list[Fault]
    clinical: Path

    @property
    def identifiers(self) -> frozenset[str]:
        """All planted identifiers."""
        return frozenset().union(*(case.identifiers for case in self.cases))
