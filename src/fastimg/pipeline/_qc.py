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

import numpy as np
import pyarrow as pa

from ..errors import ArgumentError, FastimgError, IntegrityError
from ..findings import Finding
from . import _qc_measure as measure
from ._qc_duplicates import near_pairs
from ._qc_identity import identity_findings, suspicion
from ._qc_settings import Limits, QcSettings
from ._quality import quality
from ._summary import write_whole

__all__ = ["QcReport", "qc"]

FORMAT, VERSION = "fastimg-qc-report", 1
UNITS = {"CT": ("HU",), "PT": ("SUV", "Bq/mL"), "NM": ("SUV", "Bq/mL")}
NORMALISED = "normalised"
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
        """The findings as .parquet or .csv, or everything as .json; the file is replaced as a whole."""
        return _write(Path(path), self.findings, self.to_dict)

    def write_measures(self, path: str | os.PathLike[str]) -> Path:
        """The measures as .parquet or .csv, or everything as .json."""
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
    Findings that the ingest stored with a case (missing, doubled and uneven slices among them) are told again with their
    origin. A damaged case is a finding. Nothing that is told holds a metadata value; where a case's own name, or a mask's, looks
    like an identifier, its number stands instead.

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


@dataclass
class Seen:
    """What a worker saw of one case."""

    row: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    hash: bytes | None = None


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


# one case, in a worker --------------------------------------------------------------------------------------------------


def examine(settings: QcSettings, case: Any) -> Seen:
    """Measure and judge one stored case."""
    modality = str(case.metadata.get("modality") or "")
    seen = Seen({"state": case.state, "modality": modality})
    if not case.has_voxels:
        return seen
    try:
        _look(case, seen, settings.of(modality), settings)
    except (IntegrityError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        seen.findings.append(Finding("case-damaged", why or "A file of the case differs from its manifest."))
    return seen


def _look(case: Any, seen: Seen, limits: Limits, settings: QcSettings) -> None:
    image = case.image(threads=1)
    array = np.asarray(image.array)
    seen.row |= {
        "unit": image.unit,
        **dict(zip(("slices", "rows", "columns"), map(int, image.shape[-3:]), strict=True)),
        "voxels": int(array.size),
        **dict(zip(("spacing_z", "spacing_y", "spacing_x"), map(float, image.spacing), strict=True)),
        "masks": len(case.mask_names),
    }
    found = seen.findings
    judged = quality(image, saturated=limits.saturated, units=settings.units)
    found += judged
    _unit(seen, image.unit)
    widest = max(image.spacing)
    _judge(found, "coarse-grid", widest, limits.spacing, "The largest edge of a voxel is {value:.3g} mm.")
    if any(finding.code == "empty-image" for finding in judged):
        _masks(case, found, limits, None, 1)
        return
    padding = None if image.padding is None else np.asarray(image.padding)
    even = _slices(array, padding, seen, limits)
    volume = measure.plain(image)
    thin, step = measure.thinned(volume)
    body = measure.body_of(thin, image.unit, None if padding is None else padding[:, ::step, ::step])
    _sharpness(volume, body, even, seen, limits, step)
    seen.row["edge"] = body.edge
    text = "The body touches {value:.1%} of a side of the field."
    _judge(found, "truncated-anatomy", body.edge, limits.edge, text)
    seen.hash = measure.perceptual_hash(volume, image.affine, image.unit)
    seen.row["hash"] = None if seen.hash is None else seen.hash.hex()
    del volume, image, array
    _masks(case, found, limits, body, step)


def _judge(
    found: list[Finding],
    code: str,
    value: float,
    limit: float | None,
    text: str,
    where: str = "",
    *,
    least: bool = False,
) -> None:
    """A finding where a measure lies beyond its limit; what could not be measured is not judged."""
    if limit is None or not np.isfinite(value) or (value >= limit if least else value <= limit):
        return
    end = "at least" if least else "at most"
    message = f"{text.format(value=value)} The site asks for {end} {limit:g}."
    found.append(Finding(code, message, where, {"value": float(value), "limit": float(limit)}))


def _unit(seen: Seen, unit: str | None) -> None:
    wanted = UNITS.get(seen.row["modality"])
    if wanted and unit not in wanted and unit != NORMALISED:
        message = f"{seen.row['modality']} in {unit or 'no unit'}; expected {' or '.join(wanted)}."
        seen.findings.append(Finding("unit-missing", message))


def _slices(array: Any, padding: Any, seen: Seen, limits: Limits) -> Any:
    """Blank and repeated slices of every volume; which slices of the first one are blank."""
    volumes = array.reshape(-1, *array.shape[-3:])
    filled = np.zeros(array.shape[-3], bool) if padding is None else padding.all(axis=(1, 2))
    blank: list[int] = []
    pairs: list[tuple[int, int]] = []
    first = np.zeros(array.shape[-3], bool)
    for number, volume in enumerate(volumes):
        even, same = measure.repeated(volume, measure.thinned(volume)[0])
        blank += [k for k in even if not filled[k]]
        pairs += same
        if number == 0:
            first[even] = True
    seen.row |= {"blank_slices": len(blank), "duplicate_slices": len(pairs)}
    if blank:
        text = f"{{value:.0f}} slices have one single value; the first is slice {blank[0] + 1}."
        _judge(seen.findings, "blank-slice", len(blank), limits.blank_slices, text)
    if pairs:
        text = f"{{value:.0f}} slices repeat another one; slice {pairs[0][1] + 1} is slice {pairs[0][0] + 1}."
        _judge(seen.findings, "duplicate-slice", len(pairs), limits.duplicate_slices, text)
    return first


def _sharpness(volume: Any, body: Any, even: Any, seen: Seen, limits: Limits, step: int) -> None:
    shown = body.inside.any(axis=(1, 2)) & ~even
    places = measure.sampled(measure.SLICES, shown if shown.any() else ~even)
    planes = volume[places].astype(np.float32)
    # Within the body's outline on the thinned grid; of CT without the air in it.
    outline = np.repeat(np.repeat(body.inside[places], step, axis=1), step, axis=2)[
        :, : planes.shape[1], : planes.shape[2]
    ]
    inside = outline & (planes > body.threshold) if seen.row["unit"] == "HU" else outline
    noise, blur = measure.noise_of(planes, inside), measure.blur_of(planes)
    mean = float(planes[inside].mean(dtype=np.float64)) if inside.any() else float("nan")
    snr = mean / noise if noise > 0 else float("nan")
    seen.row |= {name: _number(value) for name, value in (("noise", noise), ("snr", snr), ("blur", blur))}
    _judge(seen.findings, "noisy", noise, limits.noise, "Noise of {value:.4g} in the body.")
    _judge(seen.findings, "noisy", snr, limits.snr, "Signal over noise of {value:.3g} in the body.", least=True)
    _judge(seen.findings, "blurred", blur, limits.blur, "Blur of {value:.3f}.")


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _masks(case: Any, found: list[Finding], limits: Limits, body: Any, step: int) -> None:
    """Masks one after the other; they are called by their number, because names may name someone."""
    for number, name in enumerate(case.mask_names, 1):
        where = f"mask {number}"
        mask = np.asarray(case.read((), mask=name, threads=1).array)
        corner, part = _cropped(mask)
        places = tuple(at + first for at, first in zip(np.nonzero(part), corner, strict=True))
        count = len(places[0])
        if not count:
            found.append(Finding("mask-empty", "", where))
            continue
        _judge(found, "mask-small", count, limits.mask_voxels, "{value:.0f} voxels.", where, least=True)
        edges = np.zeros(count, bool)
        for at, size in zip(places, mask.shape, strict=True):
            edges |= ((at == 0) | (at == size - 1)) & (size > 1)
        text = "{value:.1%} of the mask lie in the outermost voxels of the volume."
        _judge(found, "mask-cut", float(edges.mean()), limits.mask_edge, text, where)
        if body is not None:
            outside = float(body.air[places[0], places[1] // step, places[2] // step].mean())
            text = "{value:.1%} of the mask lie in the air around the body."
            _judge(found, "mask-off-body", outside, limits.mask_outside, text, where)


def _cropped(mask: Any) -> tuple[tuple[int, int, int], Any]:
    """The first corner of the box around a mask, and the box: most of a volume is not in it."""
    corner, part = [], mask
    for axis in range(3):
        shown = np.flatnonzero(part.any(axis=tuple(k for k in range(3) if k != axis)))
        low, high = (int(shown[0]), int(shown[-1]) + 1) if len(shown) else (0, 0)
        corner.append(low)
        part = part[(slice(None),) * axis + (slice(low, high),)]
    return (corner[0], corner[1], corner[2]), part
