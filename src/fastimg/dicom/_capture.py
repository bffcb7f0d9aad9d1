"""What later steps need from a header, taken before the header's identity is removed."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from fastimg.errors import ArgumentError

from ._deidentify import OLDEST
from ._keys import code_of, pseudonym
from ._quiet import quiet, value_of
from ._residual import hashed_upstream
from ._suv import suv_inputs

__all__ = ["capture"]


def capture(series: Any, *, key: bytes, site: str | None = None, keep_hashed: bool = False) -> dict[str, Any]:
    """Plain values of a series that the science needs and that tell nobody who the patient is.

    Parameters
    ----------
    series : Series, path or Dataset
        Of a series the first file is read, without pixels.
    key : bytes
        The site's secret, from `load_key`.
    site : str, optional
        A name for the site, used as it is. Default: a keyed code of the institution's name, so that hospitals stay
        apart without being named; where there is none, of the station.
    keep_hashed : bool
        `subject` is the patient's identifier itself where an upstream tool has hashed it (see `Profile.keep_hashed`).

    Returns
    -------
    dict
        subject (pseudonym of the patient), study (pseudonym), modality, manufacturer, model, kernel, site, batch (keyed
        code of site, manufacturer, model and kernel), age_years (above 89: 90), sex, weight_kg, height_m, body_part,
        pixel_spacing_mm, slice_thickness_mm; for PET also suv_units, suv_decay, injected_dose_bq, half_life_s,
        injection_to_scan_s and suv_factor. None where the header does not say.
    """
    with quiet():
        return _captured(_header(series), key, site, keep_hashed)


def _captured(dataset: Dataset, key: bytes, site: str | None, keep_hashed: bool) -> dict[str, Any]:
    place = _text(dataset, "InstitutionName") or _text(dataset, "StationName") or "unknown"
    where = site if site is not None else code_of("site", place, key=key)
    kernel = value_of(dataset, "ConvolutionKernel")
    kernel = " ".join(map(str, kernel)) if kernel and not isinstance(kernel, str) else str(kernel or "").strip()
    scanner = [_text(dataset, "Manufacturer"), _text(dataset, "ManufacturerModelName"), kernel]
    patient = _text(dataset, "PatientID") or _text(dataset, "PatientName")
    study = _text(dataset, "StudyInstanceUID")
    subject = patient if keep_hashed and hashed_upstream(dataset) else pseudonym(patient, key=key) if patient else None
    values: dict[str, Any] = {
        "subject": subject,
        "study": pseudonym(study, key=key) if study else None,
        "modality": _text(dataset, "Modality") or None,
        "manufacturer": scanner[0] or None,
        "model": scanner[1] or None,
        "kernel": kernel or None,
        "site": where,
        "batch": code_of("batch", where, *scanner, key=key),
        "age_years": _age(dataset),
        "sex": sex if (sex := _text(dataset, "PatientSex").upper()) in ("F", "M", "O") else None,
        "weight_kg": _number(value_of(dataset, "PatientWeight"), 0.2, 500),
        "height_m": _number(value_of(dataset, "PatientSize"), 0.2, 2.6),
        "body_part": _text(dataset, "BodyPartExamined") or None,
        "pixel_spacing_mm": _numbers(value_of(dataset, "PixelSpacing")),
        "slice_thickness_mm": _number(value_of(dataset, "SliceThickness"), 1e-4, 1e4),
    }
    if values["modality"] == "PT":
        inputs, _ = suv_inputs(dataset)
        values |= {
            "suv_units": inputs.units or None,
            "suv_decay": inputs.decay,
            "injected_dose_bq": inputs.dose_bq,
            "half_life_s": inputs.half_life_s,
            "injection_to_scan_s": inputs.wait_s,
            "suv_factor": inputs.factor,
        }
    return values


def _header(series: Any) -> Dataset:
    if isinstance(series, Dataset):
        return series
    file = series
    if hasattr(series, "files"):
        if not series.files:
            raise ArgumentError("capture: the series has no files")
        file = series.files[0]
    if not isinstance(file, str) and not hasattr(file, "__fspath__"):
        raise ArgumentError(f"capture: expected a series, path or Dataset, got {type(series).__name__}")
    return pydicom.dcmread(file, stop_before_pixels=True, force=True)


def _text(dataset: Dataset, keyword: str) -> str:
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).strip(" \0")


def _number(value: Any, low: float, high: float) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if low <= number <= high else None


def _numbers(value: Any) -> list[float] | None:
    numbers = [_number(v, 1e-6, 1e4) for v in value or []]
    return [n for n in numbers if n is not None] if numbers and None not in numbers else None


def _age(dataset: Dataset) -> float | None:
    """Years: from PatientAge, else from the birth date and the study date; above 89 it is 90."""
    years: float | None = None
    match = re.fullmatch(r"(\d{1,3})([DWMY])", _text(dataset, "PatientAge").upper())
    if match:
        years = int(match[1]) / {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}[match[2]]
    else:
        try:
            born, seen = (
                dt.datetime.strptime(_text(dataset, k)[:8], "%Y%m%d") for k in ("PatientBirthDate", "StudyDate")
            )
            years = float(seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day)))
        except ValueError:
            return None
    if not 0 <= years <= 130:
        return None
    return float(OLDEST + 1) if years > OLDEST else round(years, 2)
