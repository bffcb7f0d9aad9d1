"""What travels to a worker process and back: plain values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..findings import Finding
from ._recipe import Recipe

__all__ = ["Job", "Outcome", "Pair", "Task"]


@dataclass(frozen=True)
class Pair:
    """A row of a table of NIfTI files."""

    image: str
    masks: tuple[tuple[str, str], ...]  # name, path
    modality: str
    subject: str = ""
    site: str = ""
    metadata: tuple[tuple[str, Any], ...] = ()
    identifiers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One case to make: of a DICOM series with its masks, or of a pair of files."""

    case_id: str
    source: str
    modality: str
    subject: str = ""  # the patient's id as the source has it; never stored
    uid: str = ""  # of a dicom.Series
    paths: tuple[str, ...] = ()  # of all files of its series, from the root
    masks: tuple[tuple[str, tuple[str, ...]], ...] = ()  # the same of series of kind "mask"
    pair: Pair | None = None
    findings: tuple[Finding, ...] = ()  # seen while planning, fit to be stored
    bytes_in: int = 0
    voxels_in: int = 0
    voxels_out: int = 0

    @property
    def bytes_out(self) -> int:
        """The most that the case may take on the disk: float32 voxels and a mask, not compressed."""
        return self.voxels_out * 5 + 65536

    @property
    def peak(self) -> int:
        """Memory while the case is made: the volume as read and as float32, the new one twice, masks."""
        return 200_000_000 + 10 * self.voxels_in + 14 * self.voxels_out


@dataclass(frozen=True)
class Job:
    """What all tasks of a run share."""

    recipe: Recipe
    cohort: str
    key: bytes = field(repr=False)
    root: str = ""
    threads: int = 1
    models: tuple[tuple[str, dict[str, Any]], ...] = ()  # modality -> Nyul.to_dict()
    clinical: dict[str, dict[str, Any]] = field(default_factory=dict)  # subject code -> values
    identifiers: frozenset[str] = field(default=frozenset(), repr=False)  # of the whole tree: for names of files
    versions: tuple[tuple[str, str], ...] = ()


@dataclass
class Outcome:
    """What became of a task."""

    case_id: str
    state: str
    codes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    voxels: int = 0
    bytes_in: int = 0
    identifiers_caught: int = 0
    model: dict[str, Any] | None = None  # of the measuring pass
    note: str = ""
