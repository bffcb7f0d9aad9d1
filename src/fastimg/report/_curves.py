"""Curves of intensities per site, for each modality, on common axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..pipeline._sketch import density
from ._data import CaseView, ReportData

__all__ = ["Panel", "panels"]

POINTS = 96
Curves = dict[str, list[tuple[float, float]]]


@dataclass
class Panel:
    """One modality: site letter -> curve, before and after."""

    modality: str
    unit_before: str
    unit: str
    before: Curves
    after: Curves


def panels(data: ReportData, *, minimum: int = 1) -> list[Panel]:
    """A panel for each modality; a site with fewer than `minimum` patients in it has no curve."""
    found = []
    for modality in sorted({case.modality for case in data.cases if case.after}):
        cases = [case for case in data.cases if case.modality == modality and case.before and case.after]
        groups: dict[str, list[CaseView]] = {}
        for code, letter in data.sites.items():
            own = [case for case in cases if case.site == code]
            if own and len({case.subject or case.case_id for case in own}) >= minimum:
                groups[letter] = own
        if groups:
            units = sorted({case.unit for case in cases if case.unit})
            unit = " or ".join(units)
            before = _curves({letter: [c.before for c in own] for letter, own in groups.items()})
            after = _curves({letter: [c.after for c in own] for letter, own in groups.items()})
            original = {"CT": "HU", "PT": "SUV or Bq/mL"}.get(modality, "as the scanner gave it")
            found.append(Panel(modality, original, unit, before, after))
    return found


def _curves(groups: dict[str, list[Any]]) -> Curves:
    everything: Sequence[Any] = [sketch for sketches in groups.values() for sketch in sketches]
    # Medians of the ends: one strange case must not squeeze all curves into a corner.
    low = float(np.median([sketch["low"] for sketch in everything]))
    high = float(np.median([sketch["high"] for sketch in everything]))
    margin = 0.08 * (high - low)
    edges = np.linspace(low - margin, high + margin, POINTS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    return {
        letter: [(float(x), float(y)) for x, y in zip(middles, density(sketches, edges), strict=True)]
        for letter, sketches in groups.items()
    }
