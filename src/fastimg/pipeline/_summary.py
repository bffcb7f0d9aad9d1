"""What a run did, as figures: kept with the cohort, printed by the command line, drawn by the report."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import FormatError

__all__ = ["FOLDER", "MADE_WITH", "Summary", "load", "save"]

FOLDER = "run"
MADE_WITH = "made_with.json"
_FILE = "summary.json"
FORMAT, VERSION = "fastimg-run", 1


@dataclass
class Summary:
    """Figures of the last run over a cohort.

    Attributes
    ----------
    cohort : str
        The cohort's folder.
    states : dict
        Cases of the whole cohort by state: ok, warned, quarantined, failed.
    done, skipped, pending : int
        Cases made in this run, found done, and left because the run was stopped.
    left_out : dict
        Series that the recipe does not ask for, by reason.
    findings : dict
        Findings by code, of cases, files and the run.
    file_findings, run_findings : list of dict
        Those that belong to no case.
    seconds : float
        Wall time; `steps` holds the seconds of work in each step, summed over workers and over the cohort's cases.
    identifiers_left : int
        Known identifiers still found in what the run wrote; it must be 0.
    identifiers_caught : int
        Texts stopped before they were written, because they held one.
    site_effect : dict
        "before" and "after" ComBat: figures of `harmonize.site_effect`; empty where it could not be taken.
    feature_effects : list of [str, float, float]
        For each feature its name and the share of variance that batches explain, before and after ComBat.
    feature_rows, features : int
        Rows and feature columns of the table of features.
    masks : list of str
        Names of the masks in it.
    recipe, description, recipe_digest : str
        The recipe's name, description and digest.
    recipe_steps : list of str
        What the recipe does, a sentence a step.
    started : str
        UTC, ISO 8601, when the tables were summed up.
    workers, threads : int
        Processes, and threads of each.
    files, bytes_in, series : int
        Files of the input, their size in bytes, series among them.
    voxels : int
        Of all cases of the cohort.
    clinical_left_out : list of str
        Columns of the clinical table that were not taken.
    versions : dict
        Of fastimg and what it uses.
    report : str
        Path of the report; empty without one.
    tables_of : str
        Digest of what the tables were made of.
    """

    cohort: str = ""
    recipe: str = ""
    description: str = ""
    recipe_digest: str = ""
    recipe_steps: list[str] = field(default_factory=list)
    started: str = ""
    seconds: float = 0.0
    workers: int = 0
    threads: int = 0
    files: int = 0
    bytes_in: int = 0
    series: int = 0
    done: int = 0
    skipped: int = 0
    pending: int = 0
    voxels: int = 0
    states: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)
    file_findings: list[dict[str, Any]] = field(default_factory=list)
    run_findings: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)
    identifiers_left: int = 0
    identifiers_caught: int = 0
    site_effect: dict[str, Any] = field(default_factory=dict)
    feature_effects: list[list[Any]] = field(default_factory=list)
    feature_rows: int = 0
    features: int = 0
    masks: list[str] = field(default_factory=list)
    clinical_left_out: list[str] = field(default_factory=list)
    versions: dict[str, Any] = field(default_factory=dict)
    report: str = ""
    tables_of: str = ""

    @property
    def cases(self) -> int:
        """Cases in the cohort, whatever their state."""
        return sum(self.states.values())

    @property
    def exit_code(self) -> int:
        """0: all cases done; 1: some cases, or files that may have been cases, became findings, or there was no case."""
        from ..findings import CODES

        lost = self.states.get("quarantined", 0) + self.states.get("failed", 0) + self.pending + self.identifiers_left
        grave = any(CODES[code].severity in ("error", "quarantine") for code in self.findings if code in CODES)
        return 1 if lost or grave or not self.cases else 0

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON; the cohort by its folder's name only."""
        return {"format": FORMAT, "version": VERSION, **asdict(self), "cases": self.cases, "exit_code": self.exit_code}


def save(summary: Summary, cohort: Path) -> None:
    """Write it into the cohort, whole or not at all."""
    record = summary.to_dict() | {"cohort": cohort.name, "report": Path(summary.report).name}
    write_whole(cohort / FOLDER / _FILE, json.dumps(record, indent=1, ensure_ascii=False).encode())


def load(cohort: Path) -> Summary | None:
    """That of the last run; None for a cohort that was not made by one."""
    try:
        record = json.loads((cohort / FOLDER / _FILE).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FormatError(f"{FOLDER}/{_FILE}: not JSON; run again, or delete it") from error
    if record.get("format") != FORMAT or not isinstance(record.get("version"), int):
        raise FormatError(f"{FOLDER}/{_FILE}: not a {FORMAT} file")
    if record["version"] > VERSION:
        raise FormatError(f"{FOLDER}/{_FILE}: version {record['version']} is newer than this fastimg reads ({VERSION})")
    known = Summary.__dataclass_fields__
    summary = Summary(**{name: value for name, value in record.items() if name in known})
    summary.cohort = str(cohort)
    return summary


def write_whole(path: Path, data: bytes) -> None:
    """By way of a temporary file: a reader sees the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)
