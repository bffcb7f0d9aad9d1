"""What was done about identity in a cohort, for whoever must answer for it; no value of a header is in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._recipe import Recipe
from ._summary import write_whole

__all__ = ["FILE", "Compliance"]

FILE = "deidentification.json"
IDENTITY = ("identifier-left", "private-left", "birth-date-left", "burned-in", "identifier-removed", "slide-label")


@dataclass
class Compliance:
    """Adds up over the cases of a cohort, those of earlier runs too."""

    first: dict[str, Any] = field(default_factory=dict)
    datasets: int = 0
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)

    def add(self, state: str, done: Mapping[str, Any] | None, codes: Iterable[str]) -> None:
        """A case: its state, what `Deidentified.to_dict` told of its headers, its findings."""
        self.states[state] += 1
        self.codes.update({code for code in codes if code in IDENTITY})
        if done:
            self.first = self.first or dict(done)
            self.datasets += int(done["datasets"])
            for one in done["attributes"]:
                self.actions[one["attribute"], one["action"]] += int(one["count"])

    def write(self, folder: Path, recipe: Recipe) -> None:
        """As `deidentification.json` in the folder."""
        record = {
            **{name: self.first.get(name) for name in ("standard", "status", "linkable", "options")},
            "format": "fastimg-cohort-deidentification",
            "version": 1,
            "cases": {state: self.states[state] for state in ("ok", "warned", "quarantined", "failed")},
            "cases_with": dict(sorted(self.codes.items())),
            "pixel_rules_released": sorted(recipe.input.release),
            "kept": "voxels, masks, captured metadata"
            + (", de-identified headers" if recipe.deidentify.header else ""),
            "headers": self.datasets,
            "attributes": [
                {"attribute": tag, "action": action, "count": count}
                for (tag, action), count in sorted(self.actions.items())
            ],
        }
        write_whole(folder / FILE, json.dumps(record, indent=1).encode())
