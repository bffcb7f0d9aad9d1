"""The SUV's factor of an Enhanced PET Image (PS3.3 C.8.22): its own elements tell the time of the decay correction."""

from __future__ import annotations

from typing import Any

from ..findings import Finding
from ._suv import LONGEST, _moment, _positive, _told, by_weight

__all__ = ["ENHANCED_PET", "enhanced_factor"]

ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"


def enhanced_factor(path: str) -> tuple[float, None] | tuple[None, Finding]:
    """From Bq/mL to SUV by body weight, or the finding that says what is missing; nothing is guessed.

    The frames are corrected to Decay Correction DateTime (0018,9701): the dose decays from the injection to then, whatever
    that moment is (the administration itself among them).
    """
    import pydicom
    from pydicom.dataset import Dataset

    from ._quiet import CORRUPT, quiet, value_of

    try:
        with quiet():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except CORRUPT:
        return None, _told(["a header that can be read"])
    drugs: Any = value_of(dataset, "RadiopharmaceuticalInformationSequence") or []
    drug = drugs[0] if len(drugs) == 1 else Dataset()
    weight = _positive(value_of(dataset, "PatientWeight"))
    dose = _positive(value_of(drug, "RadionuclideTotalDose"))
    half_life = _positive(value_of(drug, "RadionuclideHalfLife"))
    injected = _moment(value_of(drug, "RadiopharmaceuticalStartDateTime"))
    corrected = _moment(value_of(dataset, "DecayCorrectionDateTime"))
    needed = {
        f"one radiopharmaceutical (there are {len(drugs)})": len(drugs) == 1,
        "decay that is corrected": str(value_of(dataset, "DecayCorrected") or "").strip().upper() == "YES",
        "patient weight": weight,
        "injected dose": dose,
        "half life": half_life,
        "time of the injection": injected,
        "time of the decay correction": corrected,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing or not (weight and dose and half_life and injected and corrected):
        return None, _told(missing)
    wait = (corrected - injected).total_seconds()
    if not 0 <= wait <= LONGEST * half_life:
        return None, _told([f"an injection before the decay correction's time, by {LONGEST} half lives at most"])
    return by_weight(weight_kg=weight, dose_bq=dose, half_life_s=half_life, wait_s=wait), None
