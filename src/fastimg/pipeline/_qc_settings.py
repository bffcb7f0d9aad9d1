"""What quality control asks of a case, as a site sets it: limits by modality, ranges by unit, severities by code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..findings import CODES
from . import _schema as check
from . import _toml_lines
from ._quality import LIMITS, SATURATED
from ._recipe import MODALITIES
from ._sections import Problems, option, read_section

__all__ = ["SEVERITIES", "Limits", "QcSettings"]

FORMAT, VERSION = "fastimg-qc", 1
SEVERITIES = ("off", "info", "warning", "quarantine", "error")


def _limit(low: float, high: float) -> check.Checker:
    """A number, or "off" (None): not judged."""
    number = check.number(low, high)

    def checked(value: Any) -> float | None:
        if value == "off":
            return None
        try:
            return float(number(value))
        except ValueError as error:
            raise ValueError(f'{error}; or "off"') from None

    return checked


@dataclass(frozen=True)
class Limits:
    """Where a measure becomes a finding. None: it is measured and not judged."""

    noise: float | None = option(None, _limit(0, 1e9), "most noise (standard deviation), in the image's unit")
    snr: float | None = option(None, _limit(0, 1e9), "least mean of the body over the noise")
    blur: float | None = option(0.85, _limit(0, 1), "most blur: 0 sharp, 1 blurred")
    edge: float | None = option(None, _limit(0, 1), "largest share of a side of the field that the body touches")
    saturated: float = option(
        SATURATED, check.number(0, 1), "largest share of voxels at the highest value, of those above the lowest"
    )
    blank_slices: float | None = option(0.0, _limit(0, 1e6), "most slices of one single value")
    duplicate_slices: float | None = option(0.0, _limit(0, 1e6), "most slices that repeat another one")
    spacing: float | None = option(None, _limit(0, 1000), "largest edge of a voxel, mm")
    mask_outside: float | None = option(0.2, _limit(0, 1), "largest share of a mask in the air around the body")
    mask_edge: float | None = option(0.02, _limit(0, 1), "largest share of a mask in the outermost voxels")
    mask_voxels: float | None = option(16.0, _limit(0, 1e9), "fewest voxels of a mask")
    similar_bits: float | None = option(12.0, _limit(0, 15), "most bits of 255 in which near-duplicates differ")


# Where a body is a body: PET shows organs, and small fields of MR are cut on purpose.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "CT": {"noise": 150.0, "edge": 0.05},
    "MR": {"snr": 3.0},
    "PT": {"blur": None, "mask_outside": None},
    "NM": {"blur": None, "mask_outside": None},
}


@dataclass(frozen=True)
class QcSettings:
    """Checked settings of `qc`.

    Attributes
    ----------
    limits : dict of str to Limits
        By modality; "" holds for all others.
    units : dict of str to (low, high)
        Lowest and highest possible values.
    severity : dict of str to str
        Code -> off, info, warning, quarantine or error, where it differs from `fastimg.findings.CODES`.
    fail : str
        The severity from which on `fastimg qc` ends with exit status 1.

    Examples
    --------
    >>> import fastimg as fi
    >>> text = 'format = "fastimg-qc"\\nversion = 1\\n[limits.CT]\\nnoise = 40\\n[severity]\\nblurred = "off"'
    >>> settings = fi.pipeline.QcSettings.parse(text)
    >>> settings.of("CT").noise, settings.of("MR").noise, settings.severity_of("blurred")
    (40.0, None, 'off')
    """

    limits: Mapping[str, Limits] = field(
        default_factory=lambda: {"": Limits()} | {name: replace(Limits(), **own) for name, own in _DEFAULTS.items()}
    )
    units: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {unit: (low, high) for unit, (low, high, _) in LIMITS.items()}
    )
    severity: Mapping[str, str] = field(default_factory=dict)
    fail: str = "quarantine"

    def of(self, modality: str) -> Limits:
        """The limits of a modality."""
        return self.limits.get(modality, self.limits[""])

    def severity_of(self, code: str) -> str:
        """off, info, warning, quarantine or error. `code` is a finding's."""
        return self.severity.get(code, CODES[code].severity)

    def fails(self, severity: str) -> bool:
        """Whether a finding of this severity is a failure of the cohort."""
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.fail)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "limits": {name: asdict(own) for name, own in self.limits.items()},
            "units": {unit: list(ends) for unit, ends in self.units.items()},
            "severity": dict(self.severity),
            "fail": self.fail,
        }

    @classmethod
    def load(cls, path: str | Path) -> QcSettings:
        """From a TOML file.

        `path` is the file.

        Raises
        ------
        ArgumentError
            No such file.
        FormatError
            Every problem found, each as "file:line: key: what is wrong and what would do".
        """
        file = Path(path)
        return cls.parse(_toml_lines.read(file, "qc settings"), file=file.name)

    @classmethod
    def parse(cls, text: str, *, file: str = "qc.toml") -> QcSettings:
        """From TOML text; `file` is the name used in messages."""
        document = _toml_lines.parse(text, file)
        problems = Problems(file, _toml_lines.lines_of(text))
        if document.pop("format", None) != FORMAT:
            problems.add(("format",), f'the file must say format = "{FORMAT}"')
        if (version := document.pop("version", None)) != VERSION or isinstance(version, bool):
            problems.add(("version",), f"this fastimg reads version {VERSION}, got {version!r}")
        made = cls()
        known = {"limits": _limits, "units": _units, "severity": _severity, "fail": _fail}
        for key, value in document.items():
            if key not in known:
                problems.add((key,), f"unknown key; {check.nearest(key, ['format', 'version', *known])}")
                continue
            if key != "fail" and not isinstance(value, dict):
                problems.add((key,), f"expected a section [{key}], got {value!r}")
                continue
            made = replace(made, **{key: known[key](value, made, problems)})  # type: ignore[arg-type]
        problems.stop()
        return made


def _limits(table: dict[str, Any], made: QcSettings, problems: Problems) -> dict[str, Limits]:
    """[limits] changes all modalities, [limits.CT] then CT alone."""
    own = {key: value for key, value in table.items() if not isinstance(value, dict)}
    shared = _changed(own, ("limits",), problems)
    found = {name: replace(limits, **shared) for name, limits in made.limits.items()}
    for name, part in table.items():
        if not isinstance(part, dict):
            continue
        if name not in MODALITIES:
            problems.add(("limits", name), f"no such modality; {check.nearest(name, MODALITIES)}")
            continue
        found[name] = replace(found.get(name, found[""]), **_changed(part, ("limits", name), problems))
    return found


def _changed(table: dict[str, Any], path: tuple[str, ...], problems: Problems) -> dict[str, Any]:
    section = read_section(Limits, path, table, problems)
    return {entry.name: getattr(section, entry.name) for entry in fields(Limits) if entry.name in table}


def _units(table: dict[str, Any], made: QcSettings, problems: Problems) -> dict[str, tuple[float, float]]:
    found = dict(made.units)
    for unit, part in table.items():
        if not isinstance(part, dict) or not set(part) <= {"low", "high"}:
            problems.add(("units", unit), "expected a section with low and high")
            continue
        low, high = found.get(unit, (-math.inf, math.inf))
        try:
            low, high = check.number()(part.get("low", low)), check.number()(part.get("high", high))
        except ValueError as error:
            problems.add(("units", unit), str(error))
            continue
        if low >= high:
            problems.add(("units", unit), f"low must be below high, got {low:g} and {high:g}")
        found[unit] = (low, high)
    return found


def _severity(table: dict[str, Any], made: QcSettings, problems: Problems) -> dict[str, str]:
    for code, value in table.items():
        if code not in CODES:
            problems.add(("severity", code), f"no such code; {check.nearest(code, sorted(CODES))}")
        elif value not in SEVERITIES:
            problems.add(("severity", code), f"expected one of {', '.join(SEVERITIES)}, got {value!r}")
    return dict(table)


def _fail(value: Any, made: QcSettings, problems: Problems) -> str:
    if value not in SEVERITIES[1:]:
        problems.add(("fail",), f"expected one of {', '.join(SEVERITIES[1:])}, got {value!r}")
        return made.fail
    return str(value)
