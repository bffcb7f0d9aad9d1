"""Standardised uptake values of PET: the factor by body weight, what it needs from the header, and what is missing.

SUV = concentration (Bq/mL) * weight (g) / dose at the reference time (Bq). For images corrected to the start of the scan
(DecayCorrection START) the dose decays from the injection to the start: dose * 2^(-wait / half life); for images corrected
to the time of administration (ADMIN) it does not. Source: QIBA's vendor-neutral pseudo-code "Computing Standard Uptake
Values in DICOM"; PS3.3 C.8.9.1 and C.8.9.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from fastimg.errors import ArgumentError
from fastimg.findings import Finding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["SuvInputs", "by_weight", "series_factor", "suv_factor", "suv_inputs"]

LONGEST = 10  # half lives between injection and scan: a thousandth is left, nobody scans that; a wrong date is found


def by_weight(*, weight_kg: float, dose_bq: float, half_life_s: float, wait_s: float, decay: str = "START") -> float:
    """The number by which Bq/mL are multiplied to give SUV (g/mL, body weight).

    Parameters
    ----------
    weight_kg, dose_bq, half_life_s : float
        Positive; the dose at the time of injection.
    wait_s : float
        From the injection to the start of the scan.
    decay : {"START", "ADMIN"}
        The time to which the image is corrected.
    """
    for name, value in (("weight_kg", weight_kg), ("dose_bq", dose_bq), ("half_life_s", half_life_s)):
        if not math.isfinite(value) or value <= 0:
            raise ArgumentError(f"by_weight: {name} must be positive, got {value!r}")
    if decay not in ("START", "ADMIN"):
        raise ArgumentError(f"by_weight: decay must be 'START' or 'ADMIN', got {decay!r}")
    if decay == "START" and not (math.isfinite(wait_s) and wait_s >= 0):
        raise ArgumentError(f"by_weight: wait_s must not be negative, got {wait_s!r}")
    left = 2.0 ** (-wait_s / half_life_s) if decay == "START" else 1.0
    return weight_kg * 1000.0 / (dose_bq * left)


@dataclass(frozen=True)
class SuvInputs:
    """What the header says; None where it does not. Times are differences: no date of the patient is kept."""

    units: str
    decay: str | None = None
    weight_kg: float | None = None
    dose_bq: float | None = None
    half_life_s: float | None = None
    wait_s: float | None = None
    factor: float | None = None  # from modality values to SUV


def suv_factor(row: Mapping[str, Any]) -> tuple[float, None] | tuple[None, Finding]:
    """From a row of a scan: SUV for one unit of what the file stores after its rescale; or the finding that says why not."""
    inputs, finding = suv_inputs(row)
    if inputs.factor is None:
        return None, finding or _told(["what it needs"])
    return inputs.factor, None


# What is one of the series: slices that differ in it have no common factor.
COMMON = (
    *("pet_units", "suv_type", "decay_correction", "patient_weight", "injected_dose", "half_life", "injection_time"),
    *("injection_datetime", "series_date", "series_time", "philips_suv_factor", "philips_activity_factor"),
)


def series_factor(rows: Sequence[Mapping[str, Any]], path: str) -> tuple[float, None] | tuple[None, Finding]:
    """Of a whole series: from the header of its first file, which holds more than a scan's row (private elements with their
    creator, the SUV's type), and from the rows of all its slices, whose earliest acquisition counts."""
    import pydicom

    from ._quiet import CORRUPT, quiet

    for name in COMMON:
        if len({row.get(name) for row in rows}) > 1:
            return None, _told([f"one {name.replace('_', ' ')} for all slices"])
    try:
        with quiet():
            row = _row(pydicom.dcmread(path, stop_before_pixels=True, force=True))
    except CORRUPT:
        return None, _told(["a header that can be read"])
    moments = [(r["acquisition_date"], r["acquisition_time"]) for r in rows]
    known = [pair for pair in moments if _day_time(dict(zip("dt", pair, strict=True)), "d", "t") is not None]
    if known:
        row["acquisition_date"], row["acquisition_time"] = min(known)
    return suv_factor(row)


def suv_inputs(source: Dataset | Mapping[str, Any]) -> tuple[SuvInputs, Finding | None]:
    """Read what SUV needs from a PET header, or from a scan's row; nothing is guessed.

    Units BQML are converted by `by_weight`; CNTS by the scanner's own SUV factor, or its activity factor and then as BQML
    (Philips); GML are SUV already when SUVType is absent or BW. Anything that is missing, zero or contradictory is the
    finding "suv-missing", and `factor` stays None.

    The scan starts at SeriesDate and SeriesTime, unless the acquisition is earlier (then the series was derived later):
    then at the private scan time of General Electric, if there is one. The injection is RadiopharmaceuticalStartDateTime,
    else RadiopharmaceuticalStartTime on the day of the scan, or on the day before where it would be later than the scan.
    """
    row = source if isinstance(source, Mapping) else _row(source)
    units = _word(row, "pet_units")
    scale: float | None = 1.0
    if units == "GML":
        kind = _word(row, "suv_type") or "BW"
        return SuvInputs(units, factor=1.0 if kind == "BW" else None), None if kind == "BW" else _told(["SUVType BW"])
    if units == "CNTS":
        factor = _positive(row.get("philips_suv_factor"))
        if factor is not None:
            return SuvInputs(units, factor=factor), None
        scale = _positive(row.get("philips_activity_factor"))
    elif units != "BQML":
        return SuvInputs(units), _told([f"units {units or 'absent'}: not BQML, CNTS or GML"])
    missing: list[str] = []
    if scale is None:
        missing.append("the scanner's SUV and activity factors")
    if row.get("radiopharmaceuticals", 1) != 1:
        missing.append(f"one radiopharmaceutical (there are {row['radiopharmaceuticals']})")
    decay = _word(row, "decay_correction")
    if decay not in ("START", "ADMIN"):
        missing.append("decay correction START or ADMIN")
    corrected = _word(row, "corrected_image")
    if corrected and "DECY" not in corrected.replace("\\", " ").split():
        missing.append("DECY among the corrections made")
    weight, dose = _positive(row.get("patient_weight")), _positive(row.get("injected_dose"))
    half_life = _positive(row.get("half_life"))
    for name, value in (("patient weight", weight), ("injected dose", dose), ("half life", half_life)):
        if value is None:
            missing.append(name)
    wait = _wait(row, half_life, missing) if decay == "START" else None
    factor = None
    if not missing and weight and dose and half_life and scale:
        value = by_weight(weight_kg=weight, dose_bq=dose, half_life_s=half_life, wait_s=wait or 0.0, decay=decay)
        factor = scale * value
    inputs = SuvInputs(units, decay or None, weight, dose, half_life, wait, factor)
    return inputs, _told(missing) if missing else None


def _told(missing: list[str]) -> Finding:
    return Finding("suv-missing", f"missing, zero or not usable: {', '.join(missing)}", details={"missing": missing})


def _wait(row: Mapping[str, Any], half_life: float | None, missing: list[str]) -> float | None:
    """Seconds from injection to the start of the scan."""
    start = _start(row)
    if start is None:
        missing.append("time of the scan")
        return None
    injected = _moment(row.get("injection_datetime"))
    if injected is None:
        time = _moment(f"20000101{row.get('injection_time') or ''}", least=12)
        if time is None:
            missing.append("time of the injection")
            return None
        injected = datetime.combine(start.date(), time.time())
        if injected > start:
            injected -= timedelta(days=1)  # across midnight
    wait = (start - injected).total_seconds()
    if wait < 0 or (half_life is not None and wait > LONGEST * half_life):
        missing.append(f"an injection before the scan, by {LONGEST} half lives at most")
        return None
    return wait


def _start(row: Mapping[str, Any]) -> datetime | None:
    series = _day_time(row, "series_date", "series_time")
    acquisition = _day_time(row, "acquisition_date", "acquisition_time")
    if series is not None and (acquisition is None or series <= acquisition):
        return series
    return _moment(row.get("ge_scan_datetime"))


def _day_time(row: Mapping[str, Any], date: str, time: str) -> datetime | None:
    day, clock = str(row.get(date) or "").strip(), str(row.get(time) or "").strip()
    return _moment(day + clock) if len(day) == 8 else None


def _moment(text: Any, least: int = 12) -> datetime | None:
    """A DICOM date and time; an offset from UTC is dropped: all times of a study come from one zone."""
    local = str(text or "").strip().replace(":", "").replace("+", "-").split("-")[0]
    whole, _, fraction = local.partition(".")
    if not whole.isascii() or not whole.isdigit() or not least <= len(whole) <= 14 or len(whole) % 2:
        return None
    try:
        moment = datetime.strptime(whole.ljust(14, "0"), "%Y%m%d%H%M%S")
        return moment + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError:
        return None


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _word(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        value = " ".join(map(str, value))
    return (value or "").strip().upper()


def _row(dataset: Dataset) -> dict[str, Any]:
    """The columns of a scan that matter here, and what a scan does not hold, from a dataset."""
    from pydicom.dataset import Dataset

    from ._quiet import value_of

    drugs = value_of(dataset, "RadiopharmaceuticalInformationSequence") or []
    drug = drugs[0] if drugs else Dataset()
    names = {
        "pet_units": "Units",
        "suv_type": "SUVType",
        "decay_correction": "DecayCorrection",
        "corrected_image": "CorrectedImage",
        "patient_weight": "PatientWeight",
        "series_date": "SeriesDate",
        "series_time": "SeriesTime",
        "acquisition_date": "AcquisitionDate",
        "acquisition_time": "AcquisitionTime",
    }
    return {
        **{column: value_of(dataset, keyword) for column, keyword in names.items()},
        "radiopharmaceuticals": len(drugs),
        "injected_dose": value_of(drug, "RadionuclideTotalDose"),
        "half_life": value_of(drug, "RadionuclideHalfLife"),
        "injection_time": value_of(drug, "RadiopharmaceuticalStartTime"),
        "injection_datetime": value_of(drug, "RadiopharmaceuticalStartDateTime"),
        "philips_suv_factor": _private(dataset, 0x7053, "Philips PET Private Group", 0x00),
        "philips_activity_factor": _private(dataset, 0x7053, "Philips PET Private Group", 0x09),
        "ge_scan_datetime": _private(dataset, 0x0009, "GEMS_PETD_01", 0x0D),
    }


def _private(dataset: Dataset, group: int, creator: str, element: int) -> Any:
    from ._quiet import CORRUPT

    try:
        return dataset.private_block(group, creator)[element].value
    except CORRUPT:
        return None
