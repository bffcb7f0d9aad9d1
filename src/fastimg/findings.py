"""Findings: what is wrong with a file, a series or a case, as a value with a code.

A finding is never an exception: a bad file does not stop a batch. Each code stands once in `CODES`, with its severity
and what it means; a `Finding` adds where it was seen and a sentence with the particulars (never a patient's identifier).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import ArgumentError

__all__ = ["CODES", "Code", "Finding", "Severity", "State", "worst"]

Severity = Literal["info", "warning", "quarantine", "error"]
"""How bad a finding is, in rising order."""
State = Literal["ok", "warned", "quarantined", "failed"]
"""What becomes of a case whose worst finding is of that severity, in the same order."""

_STATE: dict[Severity, State] = {"info": "ok", "warning": "warned", "quarantine": "quarantined", "error": "failed"}
_RANK: dict[State, int] = {"ok": 0, "warned": 1, "quarantined": 2, "failed": 3}


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding: how bad it is and what it means.

    Attributes
    ----------
    severity : {"info", "warning", "quarantine", "error"}
        The state of a case is set by its worst: "ok", "warned", "quarantined", "failed".
    meaning : str
        One sentence.
    """

    severity: Severity
    meaning: str


# fmt: off
CODES: dict[str, Code] = {
    # files, while scanning
    "not-dicom": Code("info", "The file is not DICOM."),
    "not-image": Code("info", "A DICOM object without pixels that fastimg reads (report, presentation state, DICOMDIR)."),
    "symlink": Code("warning", "A symbolic link; links are not followed."),
    "archive": Code("warning", "An archive; archives are not opened."),
    "damaged-file": Code("error", "The file is cut short or its elements cannot be walked."),
    "unreadable": Code("error", "The operating system refused to read the file."),
    # series and volumes
    "no-series": Code("warning", "An image or mask without a Series Instance UID: it belongs to no series."),
    "duplicate-instance": Code("warning", "Two files carry the same SOP instance."),
    "duplicate-position": Code("warning", "Two slices of one volume lie at the same position."),
    "missing-slice": Code("quarantine", "A gap between slices is a whole multiple of the usual spacing."),
    "uneven-spacing": Code("quarantine", "The distance between slices varies."),
    "gantry-tilt": Code("warning", "Slices are shifted within their plane: the affine is sheared."),
    "mixed-orientation": Code("warning", "Slices of one series have different orientations; they were split."),
    "localizer": Code("info", "A localizer (scout) image."),
    "single-slice": Code("info", "The series has one slice."),
    "no-geometry": Code("warning", "Positions, orientation or pixel spacing are missing."),
    "detector-spacing": Code("warning", "Millimetres are those at the detector or on a film, not in the patient."),
    "mixed-attributes": Code("error", "Slices of one volume differ in size or pixel format."),
    "decode-failed": Code("error", "Pixel data cannot be decoded."),
    "unsupported-syntax": Code("error", "No decoder for this transfer syntax."),
    "missing-tiles": Code("warning", "Tiles of a level that should be complete are absent."),
    "lossy": Code("info", "The pixel data were compressed with loss."),
    # units
    "real-world-missing": Code("error", "The real-world value map that was asked for is not in the file."),
    "real-world-range": Code("warning", "Stored values lie outside of what the real-world value map covers; marked as padding."),
    "suv-missing": Code("warning", "Weight, dose or a time that SUV needs is missing or zero; voxels stay in Bq/mL."),
    # masks
    "mask-frame-of-reference": Code("error", "Mask and image have different frames of reference."),
    "mask-contour-skipped": Code("warning", "A contour that is not closed and planar was skipped."),
    "mask-contour-duplicate": Code("warning", "A contour stands twice; it was counted once."),
    "mask-contour-off-plane": Code("warning", "A contour lies further than half a slice from any slice."),
    "mask-outside": Code("warning", "Part of a mask reaches no voxel of the image."),
    "mask-resampled": Code("info", "A mask lay on another grid; the nearest of its voxels was taken."),
    "mask-empty": Code("warning", "A mask has no voxel inside the image."),
    "mask-grid": Code("error", "Mask and image lie on different grids."),
    # identity
    "identifier-left": Code("quarantine", "A value that identifies the patient was still found after de-identification."),
    "private-left": Code("quarantine", "A private element that is not listed as safe was still found."),
    "birth-date-left": Code("quarantine", "A birth date was still found after de-identification."),
    "slide-label": Code("info", "A slide's label or overview image was dropped: it may show the patient's name."),
    "burned-in": Code("quarantine", "Pixels may show identity (burned-in annotation, secondary capture, ultrasound)."),
    "private-tag": Code("info", "Private elements were removed."),
    # quality of voxels
    "empty-image": Code("quarantine", "All voxels have one value."),
    "saturated": Code("warning", "Many voxels sit at the largest or smallest stored value."),
    "non-finite": Code("quarantine", "The volume holds NaN or infinite values."),
    "unit-range": Code("warning", "Voxel values lie outside what the unit allows."),
    "unit-missing": Code("warning", "The unit of the voxels is not one of the modality's."),
    "blank-slice": Code("warning", "A slice within a volume has one single value."),
    "duplicate-slice": Code("warning", "Two slices of one volume hold the same voxels."),
    "truncated-anatomy": Code("warning", "The body touches the edge of the field: anatomy is cut off."),
    "noisy": Code("warning", "The noise is above the site's limit, or the signal over the noise below it."),
    "blurred": Code("warning", "The image is more blurred than the site's limit."),
    "coarse-grid": Code("warning", "Voxels are larger than the site's limit."),
    "mask-off-body": Code("warning", "Part of a mask lies in the air around the body: mask and image may not belong together."),
    "mask-cut": Code("warning", "A mask touches the edge of the volume: what it marks may be cut off."),
    "mask-small": Code("info", "A mask has fewer voxels than the site's limit."),
    "near-duplicate": Code("warning", "Two cases show the same volume, exactly or nearly."),
    "identifier-suspect": Code("warning", "A stored text has the form of an identifier: a date, a name, a number, an address."),
    # steps of a run
    "resample-refused": Code("error", "The volume cannot be resampled."),
    "harmonize-refused": Code("error", "Intensities cannot be harmonised."),
    "features-refused": Code("warning", "Features cannot be computed for a mask."),
    "combat-skipped": Code("warning", "Feature harmonisation was not possible."),
    "combat-small-batch": Code("warning", "A batch has too few subjects for good estimates."),
    "combat-skewed": Code("warning", "Features are strongly skewed: ComBat may create a site effect."),
    "combat-tied": Code("info", "Many subjects share one value of a feature: no monotone transform makes it normal."),
    "combat-constant-feature": Code("info", "A feature has no variance and was left as it is."),
    "site-effect-rose": Code("warning", "The site effect after harmonisation is above the one before."),
    "case-failed": Code("error", "An unexpected error ended the case."),
    "read-refused": Code("error", "The files do not make one volume; the message begins with the reason."),
    "identifier-removed": Code("warning", "A header value or a mask's name held an identifier; it was left out."),
    "tolerated": Code("warning", "A finding that would have set the case aside; the recipe tolerates it."),
    "mask-unmatched": Code("warning", "A mask belongs to no series that is here."),
    "table-row": Code("error", "A row of the input table cannot be used."),
    "tree-mismatch": Code("warning", "The tables of a dataset's tree and its images do not list the same series or patients."),
    "clinical-duplicate": Code("warning", "Patients stand in several rows of the clinical table."),
    "clinical-unmatched": Code("warning", "Rows of the clinical table, or patients with cases, found no partner."),
    "clinical-date": Code("warning", "Columns of dates of the clinical table were left out."),
    "clinical-value": Code("warning", "Values of the clinical table that do not fit their type were left out."),
    # the store
    "case-damaged": Code("error", "A stored case differs from its manifest."),
    "removal-key": Code("error", "The key of a cohort's tombstones is missing or damaged: nobody can tell who was removed."),
    "leftover": Code("info", "A temporary group of an interrupted run."),
    "index-stale": Code("warning", "The index differed from the cases and was rebuilt."),
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Parameters
    ----------
    code : str
        A key of `CODES`.
    message : str
        A sentence with the particulars, without identifiers.
    where : str
        The file (relative to the scanned root, or its keyed hash), series, case or region concerned.
    details : dict
        Figures a program may want: positions in mm, counts, names of elements.
    """

    code: str
    message: str = ""
    where: str = ""
    details: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ArgumentError(f"findings: unknown code {self.code!r}; the known ones stand in fastimg.findings.CODES")

    @property
    def severity(self) -> Severity:
        """info, warning, quarantine or error."""
        return CODES[self.code].severity

    def __str__(self) -> str:
        return f"{self.code}{f' [{self.where}]' if self.where else ''}: {self.message or CODES[self.code].meaning}"

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {"code": self.code, "message": self.message, "where": self.where, "details": dict(self.details)}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Finding:
        """The inverse of `to_dict`. `record` is what that gave."""
        return cls(record["code"], record.get("message", ""), record.get("where", ""), dict(record.get("details", {})))


def worst(findings: Iterable[Finding]) -> State:
    """The state of a case with these findings: ok, warned, quarantined or failed."""
    return max((_STATE[f.severity] for f in findings), key=_RANK.__getitem__, default="ok")
