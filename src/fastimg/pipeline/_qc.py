"""Quality control of a cohort: every case measured and judged by the site's limits; findings and measures as tables."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import ArgumentError, FastimgError, IntegrityError
from ..findings import Finding
from ._qc_case import Seen, examine
from ._qc_duplicates import near_pairs
from ._qc_identity import identity_findings, suspicion
from ._qc_settings import QcSettings
from ._summary import write_whole

__all__ = ["QcReport", "qc"]

FORMAT, VERSION = "fastimg-qc-report", 1
_FINDINGS = pa.schema(
    [
        ("case_id", pa.string()),
        ("modality", pa.string()),
        ("code", pa.string()),
        ("severity", pa.string()),
        ("where", pa.string()),
        ("message", pa.string()),
        ("value", pa.float64()),
        ("limit", pa.float64()),
        ("origin", pa.string()),
    ]
)
_MEASURES = pa.schema(
    [
        ("case_id", pa.string()),
        ("state", pa.string()),
        ("modality", pa.string()),
        ("unit", pa.string()),
        *((name, pa.int64()) for name in ("slices", "rows", "columns", "voxels")),
        *((name, pa.float64()) for name in ("spacing_z", "spacing_y", "spacing_x", "noise", "snr", "blur", "edge")),
        *((name, pa.int64()) for name in ("blank_slices", "duplicate_slices", "masks")),
        ("hash", pa.string()),
        ("findings", pa.int64()),
    ]
)


@dataclass(repr=False)
class QcReport:
    """What `qc` found.

    Attributes
    ----------
    findings : pyarrow.Table
        A row a finding: case_id, modality, code, severity (as the site sets it), where, message, value and limit (where
        a figure was judged), origin ("ingest": kept with the case; "qc": found now).
    measures : pyarrow.Table
        A row a case: shape, spacing (mm), noise (in the unit), snr, blur, edge, blank_slices, duplicate_slices, masks,
        hash (hexadecimal), findings; null where a case has no voxels or the measure does not apply.
    counts : dict
        Findings by code.
    failed : bool
        Whether a finding is as grave as `QcSettings.fail`.
    cases, voxels, seconds
    settings : QcSettings
    """

    findings: pa.Table
    measures: pa.Table
    counts: dict[str, int]
    failed: bool
    cases: int
    voxels: int
    seconds: float
    settings: QcSettings = field(default_factory=QcSettings)

    def __repr__(self) -> str:
        told = ", ".join(f"{count} {code}" for code, count in self.counts.items())
        return f"<QcReport {self.cases} cases{f': {told}' if told else ', nothing found'}>"

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "cases": self.cases,
            "voxels": self.voxels,
            "seconds": round(self.seconds, 3),
            "failed": self.failed,
            "counts": self.counts,
            "settings": self.settings.to_dict(),
            "findings": self.findings.to_pylist(),
            "measures": self.measures.to_pylist(),
        }

    def write(self, path: str | os.PathLike[str]) -> Path:
        """The findings as .parquet or .csv, or everything as .json; the file is replaced as a whole.

        By the ending of `path`.
        """
        return _write(Path(path), self.findings, self.to_dict)

    def write_measures(self, path: str | os.PathLike[str]) -> Path:
        """The measures as .parquet or .csv, or everything as .json. By the ending of `path`."""
        return _write(Path(path), self.measures, self.to_dict)


def check_output(path: Path) -> Path:
    """The path, if its name says a format that a report has."""
    if path.suffix.lower() not in (".parquet", ".csv", ".json"):
        raise ArgumentError(f"output: the name must end in .parquet, .csv or .json, got {path.name!r}")
    return path


def _write(path: Path, table: pa.Table, whole: Callable[[], dict[str, Any]]) -> Path:
    suffix = check_output(path).suffix.lower()
    if suffix == ".json":
        data = json.dumps(whole(), indent=1, allow_nan=False).encode()
    else:
        sink = pa.BufferOutputStream()
        if suffix == ".csv":
            from pyarrow import csv

            csv.write_csv(table, sink)
        else:
            from pyarrow import parquet

            parquet.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
    write_whole(path, data)
    return path


def qc(
    cohort: Any,
    settings: QcSettings | str | os.PathLike[str] | None = None,
    *,
    identifiers: Iterable[str] = (),
    executor: Executor | Callable[[], Executor] | None = None,
    workers: int | None = None,
    on_case: Callable[[int, int, str, list[str]], None] | None = None,
) -> QcReport:
    """Look at every case of a cohort: slices, field, voxels, noise, sharpness, unit, masks, copies, identifiers.

    Parameters
    ----------
    cohort : Cohort or path
        Only read.
    settings : QcSettings or path of a TOML file, optional
        Limits, ranges and severities of the site.
    identifiers : iterable of str
        What must not stand in any text of a case, such as `dicom.identifiers_of` collects; texts that look like
        identifiers are found without it.
    executor, workers
        As in `Cohort.map`.
    on_case : callable, optional
        Called with (done, total, case_id, codes) after each case.

    Returns
    -------
    QcReport

    Raises
    ------
    ArgumentError, FormatError
        Before any work.

    Notes
    -----
    Findings that the ingest stored with a case (missing, doubled and uneven slices among them) are told again with
    their origin. A damaged case is a finding. Nothing that is told holds a metadata value; where a case's own name
    looks like an identifier, its number stands instead, and masks are told by number.

    Memory: a worker holds one case, about 6 bytes a voxel and 100 MB; the rows of the report take about 1 kB a case.
    """
    from ..cohort import Cohort

    began = time.perf_counter()
    opened = cohort if isinstance(cohort, Cohort) else Cohort.open(cohort)
    chosen = settings if isinstance(settings, QcSettings) else QcSettings() if settings is None else None
    if chosen is None:
        chosen = QcSettings.load(settings)  # type: ignore[arg-type]
    known = frozenset(identifiers)
    if isinstance(identifiers, str) or not all(isinstance(text, str) for text in known):
        raise ArgumentError("identifiers: must be texts")
    report = _Rows(chosen)
    total = len(opened)
    for number, (case_id, case, seen) in enumerate(_examined(opened, chosen, executor, workers), 1):
        safe = case_id if suspicion(case_id) is None else f"#{number}"
        found = [(entry, "qc") for entry in seen.findings]
        if case is not None:
            found = [(entry, "ingest") for entry in case.findings] + found
            found += [(entry, "qc") for entry in identity_findings(case, known)]
        codes = report.add(safe, seen, found, case.digest if case is not None else None)
        if on_case is not None:
            on_case(number, total, safe, codes)
    report.compare()
    return report.done(time.perf_counter() - began)


class _Rows:
    """The report while it grows."""

    def __init__(self, settings: QcSettings) -> None:
        self._settings = settings
        self._findings: list[dict[str, Any]] = []
        self._measures: list[dict[str, Any]] = []
        self._copies: dict[str, list[tuple[int, bytes, str | None]]] = {}  # modality -> (row, hash, digest)

    def add(self, case_id: str, seen: Seen, found: list[tuple[Finding, str]], digest: str | None) -> list[str]:
        row = len(self._measures)
        self._measures.append({"case_id": case_id, **seen.row, "findings": 0})
        if seen.hash is not None:
            self._copies.setdefault(seen.row["modality"], []).append((row, seen.hash, digest))
        return [code for entry, origin in found if (code := self._tell(row, entry, origin))]

    def _tell(self, row: int, found: Finding, origin: str) -> str:
        """The finding's code, or nothing where the site does not ask for it."""
        severity = self._settings.severity_of(found.code)
        if severity == "off":
            return ""
        own = self._measures[row]
        own["findings"] += 1
        value, limit = (found.details.get(name) for name in ("value", "limit"))
        self._findings.append(
            {
                "case_id": own["case_id"],
                "modality": own.get("modality"),
                "code": found.code,
                "severity": severity,
                "where": _harmless(found.where),
                "message": _harmless(found.message),
                "value": None if value is None else float(value),
                "limit": None if limit is None else float(limit),
                "origin": origin,
            }
        )
        return found.code

    def compare(self) -> None:
        """A finding for each pair of like volumes, told of the later case."""
        for modality, own in self._copies.items():
            bits = self._settings.of(modality).similar_bits
            if bits is None:
                continue
            for i, j, apart in near_pairs([one[1] for one in own], int(bits)):
                (first, _, before), (later, _, digest) = own[i], own[j]
                same = before is not None and before == digest
                what = "The same voxels" if same else f"Hashes that differ in {apart} of 255 bits"
                message = f"{what} as case {self._measures[first]['case_id']}."
                self._tell(later, Finding("near-duplicate", message, "", {"value": apart, "limit": bits}), "qc")

    def done(self, seconds: float) -> QcReport:
        counts = Counter(row["code"] for row in self._findings)
        return QcReport(
            pa.Table.from_pylist(self._findings, _FINDINGS),
            pa.Table.from_pylist(self._measures, _MEASURES),
            dict(counts.most_common()),
            any(self._settings.fails(row["severity"]) for row in self._findings),
            len(self._measures),
            sum(row.get("voxels") or 0 for row in self._measures),
            seconds,
            self._settings,
        )


def _harmless(text: str) -> str:
    """A sentence or place that was stored with a case, unless it has the form of an identifier."""
    return text if suspicion(text) is None else ""


def _examined(cohort: Any, settings: QcSettings, executor: Any, workers: int | None) -> Iterator[tuple[str, Any, Seen]]:
    """(case_id, case or None, what was seen), by case_id; those without voxels are not sent to a worker."""
    from ..cohort import map_cases

    states = ("ok", "warned")
    index = cohort.query("SELECT case_id, state FROM cases ORDER BY case_id")
    pending = map_cases(
        cohort, partial(examine, settings), executor, states=states, workers=workers, on_error="finding"
    )
    for case_id, state in zip(index.column("case_id").to_pylist(), index.column("state").to_pylist(), strict=True):
        try:
            case = cohort[case_id]
        except (KeyError, FastimgError):
            case = None
        seen = Seen({"state": state})
        if state in states:
            got, result = next(pending, (None, None))
            if got != case_id:
                raise IntegrityError("qc: the cohort's index changed while it was read; run again")
            seen = result if isinstance(result, Seen) else Seen(seen.row, [result or Finding("case-failed")])
        if case is None:
            seen.findings = [Finding("case-damaged", "Its manifest cannot be read.")]
        elif "modality" not in seen.row:
            seen.row["modality"] = str(case.metadata.get("modality") or "")
        yield case_id, case, seen
    pending.close()  # type: ignore[attr-defined]
