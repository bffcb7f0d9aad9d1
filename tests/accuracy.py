"""What the agreement tests measure, for the table of accuracy in the documentation (`make accuracy`).

A test hands both results to the session's `accuracy` fixture beside its own assertion. With `--accuracy FILE` the largest
differences of the whole session are written there as JSON, whatever the number of pytest-xdist's workers.
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib import metadata

import numpy as np
import pytest

import fastimg as fi

FORMAT = {"format": "fastimg accuracy", "version": 1}


class Accuracy:
    """Largest differences by (work, peer, unit)."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], dict[str, float]] = {}

    def __call__(self, work: str, peer: str, ours, theirs, *, of: str = "range", scale=None) -> None:
        """Take two arrays or numbers. of: "range" of the peer's values, its "value", or what `scale` holds.

        `peer` is a distribution's name, whose version is added, or the name of a standard.
        """
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        both = np.isfinite(ours) & np.isfinite(theirs)
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        difference = np.where(same, 0.0, np.inf)
        difference = np.abs(np.subtract(ours, theirs, out=difference, where=both))
        if scale is None:
            finite = theirs[both]
            scale = np.ptp(finite) if of == "range" and finite.size else np.abs(np.where(both, theirs, 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(difference == 0, 0.0, difference / scale)
        self.merge(
            {
                "work": work,
                "peer": peer,
                "of": of,
                "values": int(ours.size),
                "equal": int(same.sum()),
                "largest": float(difference.max(initial=0)),
                "share": float(share.max(initial=0)),
            }
        )

    def merge(self, row: dict) -> None:
        held = self.rows.setdefault(
            (row["work"], row["peer"], row["of"]), row | {"values": 0, "equal": 0, "largest": 0.0, "share": 0.0}
        )
        for count in ("values", "equal"):
            held[count] += row[count]
        for worst in ("largest", "share"):
            held[worst] = max(held[worst], row[worst])

    def report(self) -> dict:
        rows = [self.rows[key] for key in sorted(self.rows)]
        for row in rows:
            try:
                row["peer_version"] = metadata.version(row["peer"])
            except metadata.PackageNotFoundError:
                row["peer_version"] = ""
        return FORMAT | {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": platform.machine(),
            "isa": fi.config.isa(),
            "fastimg": fi.__version__,
            "rows": rows,
        }


class Plugin:
    """Collects over workers and writes the file."""

    def __init__(self) -> None:
        self.measured = Accuracy()

    def pytest_sessionfinish(self, session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["accuracy"] = list(self.measured.rows.values())
        elif target := session.config.getoption("--accuracy"):
            with open(target, "w") as file:
                json.dump(self.measured.report(), file, indent=1)
                file.write("\n")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node, error) -> None:
        for row in getattr(node, "workeroutput", {}).get("accuracy", []):
            self.measured.merge(row)
