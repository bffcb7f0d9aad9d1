"""What was done about identity in a cohort, for whoever must answer for it; no value of a header is in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import FormatError
from ._recipe import Recipe
from ._summary import FOLDER, write_whole

__all__ = ["FILE", "Compliance", "load"]

FILE = "deidentification.json"
FORMAT, VERSION = "fastimg-cohort-deidentification", 1
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
            "format": FORMAT,
            "version": VERSION,
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


def load(cohort: Path) -> dict[str, Any] | None:
    """What the runs of a cohort told; None where none did."""
    try:
        record = json.loads((cohort / FOLDER / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FormatError(f"{FOLDER}/{FILE}: not JSON; run again, or delete it") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or not isinstance(record.get("version"), int):
        raise FormatError(f"{FOLDER}/{FILE}: not a {FORMAT} file")
    if record["version"] > VERSION:
        raise FormatError(f"{FOLDER}/{FILE}: version {record['version']} is newer than this fastimg reads ({VERSION})")
    return record
