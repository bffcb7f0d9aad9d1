"""Standardised uptake values of PET: the factor by body weight, and what is missing for it."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from ..findings import Finding

__all__ = ["suv_factor"]


def suv_factor(row: dict[str, Any]) -> tuple[float, None] | tuple[None, Finding]:
    """SUVbw for one Bq/mL, or for one unit of what the file stores, from a scan's row.

    SUVbw = activity concentration [Bq/mL] * weight [g] / dose at the reference time [Bq]. With decay correction START
    the dose decays from the injection to the start of the series (series date and time; the acquisition's where it is
    earlier, because post-processing may move the series' time); with ADMIN it does not. Units CNTS use Philips' private
    factor (7053,1000), which gives SUV directly; GML is SUV already. Source: QIBA's SUV vendor-neutral pseudo-code.

    Returns
    -------
    (factor, None) or (None, finding)
        The finding (suv-missing) names the element that is missing, zero or contradictory.
    """
    units = row["pet_units"]
    if units == "GML":
        return 1.0, None
    if units == "CNTS":
        factor = row["philips_suv_factor"]
        if _positive(factor):
            return float(factor), None
        if not _positive(row["philips_activity_factor"]):
            return None, _missing("units are counts and Philips' SUV and activity factors are absent or zero")
        scale = float(row["philips_activity_factor"])
    elif units == "BQML":
        scale = 1.0
    else:
        return None, _missing(f"units {units or 'absent'} are not BQML, CNTS or GML")
    weight, dose, half_life = row["patient_weight"], row["injected_dose"], row["half_life"]
    for name, value in (("weight", weight), ("injected dose", dose), ("half-life", half_life)):
        if not _positive(value):
            return None, _missing(f"the {name} is missing or zero")
    correction = row["decay_correction"]
    if correction == "ADMIN":
        elapsed = 0.0
    elif correction == "START":
        seconds = _elapsed(row)
        if isinstance(seconds, Finding):
            return None, seconds
        elapsed = seconds
    else:
        return None, _missing(f"decay correction {correction or 'absent'} is neither START nor ADMIN")
    decayed = float(dose) * math.exp2(-elapsed / float(half_life))
    return scale * float(weight) * 1000.0 / decayed, None


def _positive(value: Any) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _missing(text: str) -> Finding:
    return Finding("suv-missing", text)


def _elapsed(row: dict[str, Any]) -> float | Finding:
    """Seconds from the injection to the time that the activity is corrected to."""
    start = _moment(row["series_date"], row["series_time"])
    acquired = _moment(row["acquisition_date"], row["acquisition_time"])
    reference = min((m for m in (start, acquired) if m is not None), default=None)
    if reference is None:
        return _missing("the series and acquisition times are missing")
    injected = _datetime(row["injection_datetime"])
    if injected is None:
        clock = row["injection_time"]
        if not clock:
            return _missing("the injection time is missing")
        injected = _moment(reference.strftime("%Y%m%d"), clock)
        if injected is None:
            return _missing("the injection time cannot be read")
        if injected > reference:  # a time without a date: the injection was before midnight
            injected -= timedelta(days=1)
    seconds = (reference - injected).total_seconds()
    if seconds < 0 or seconds > 86400:
        return _missing(f"{seconds / 3600:.1f} hours lie between injection and scan")
    return seconds


def _moment(date: str | None, time: str | None) -> datetime | None:
    return _datetime(f"{date}{time}") if date and time else None


def _datetime(text: str | None) -> datetime | None:
    """A DICOM DT without its offset from UTC (both times of a study come from one clock)."""
    if not text:
        return None
    digits = text.replace(":", "").replace("+", "-").split("-")[0]
    whole, _, fraction = digits.partition(".")
    try:
        moment = datetime.strptime(whole[:14].ljust(14, "0"), "%Y%m%d%H%M%S")
        return moment + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError:
        return None
