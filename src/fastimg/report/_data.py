"""What a report shows, as plain values; `_collect` fills it from a cohort, `_html` draws it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..findings import CODES, Finding

__all__ = ["STATES", "CaseView", "ReportData"]

STATES = ("ok", "warned", "quarantined", "failed")


@dataclass
class CaseView:
    """One case."""

    case_id: str
    state: str
    modality: str = ""
    site: str = ""
    subject: str = ""
    unit: str = ""
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    masks: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    picture: bytes | None = None
    before: dict[str, Any] | None = None  # a sketch of intensities as read, on the common grid
    after: dict[str, Any] | None = None  # and as stored


@dataclass
class ReportData:
    """The whole of it.

    `effect_before` and `effect_after` hold named figures of the feature site-effect; `features` the share of each
    feature's variance that the site explains, before and after.
    """

    title: str = "Cohort"
    description: str = ""
    created: str = ""
    cases: list[CaseView] = field(default_factory=list)
    file_findings: list[Finding] = field(default_factory=list)
    run_findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # files, series ...
    skipped: dict[str, int] = field(default_factory=dict)  # series not asked for, by reason
    identifiers_left: int | None = None
    identity: dict[str, Any] = field(default_factory=dict)  # the compliance report of de-identification
    effect_before: dict[str, float] = field(default_factory=dict)
    effect_after: dict[str, float] = field(default_factory=dict)
    effect_note: str = ""
    effect_rows: int = 0
    features: list[tuple[str, float, float]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)  # what the recipe did, a line a step
    seconds: dict[str, float] = field(default_factory=dict)  # of work, by step
    rates: dict[str, str] = field(default_factory=dict)
    throughput: dict[str, str] = field(default_factory=dict)  # over the wall time of the run
    provenance: dict[str, str] = field(default_factory=dict)

    @property
    def states(self) -> dict[str, int]:
        """Cases by state, all four."""
        seen = Counter(case.state for case in self.cases)
        return {state: seen[state] for state in STATES}

    @property
    def sites(self) -> dict[str, str]:
        """Site code -> the letter that the report calls it by."""
        codes = sorted({case.site for case in self.cases if case.site})
        return {code: _letters(number) for number, code in enumerate(codes)}

    def codes(self) -> dict[str, int]:
        """Findings by code: of cases, files and the run; the gravest first."""
        order = ("error", "quarantine", "warning", "info")
        seen = Counter(f.code for case in self.cases for f in case.findings)
        seen.update(f.code for f in [*self.file_findings, *self.run_findings])
        return dict(sorted(seen.items(), key=lambda item: (order.index(CODES[item[0]].severity), -item[1], item[0])))


def _letters(number: int) -> str:
    text = ""
    while True:
        text = chr(65 + number % 26) + text
        number = number // 26 - 1
        if number < 0:
            return text
