"""A PET phantom whose standardised uptake values are known by construction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fastimg.errors import ArgumentError
from fastimg.image import affine_from

from ._write import Written, decimal, uid, write_slices

__all__ = ["pet_series"]

PET_CLASS = "1.2.840.10008.5.1.4.1.1.128"
F18_HALF_LIFE = 6586.2  # s


def pet_series(
    folder: str | Path,
    *,
    slices: int = 16,
    size: int = 48,
    spacing: tuple[float, float, float] = (4.0, 4.0, 4.0),
    background: float = 1.0,
    hot: float = 8.0,
    weight_kg: float = 70.0,
    dose_bq: float = 3.7e8,
    injected: str = "20210304 090000",
    started: str = "20210304 100000",
    half_life: float = F18_HALF_LIFE,
    decay: str = "START",
    syntax: str = "explicit",
    attributes: dict[str, Any] | None = None,
    seed: int = 0,
) -> tuple[Written, np.ndarray[Any, np.dtype[np.float64]]]:
    """Write a PET series in Bq/mL and return it with the SUV that a reader should find.

    The activity is built backwards from the wanted SUV (g/mL, by body weight): concentration at the start of the scan =
    SUV * dose * 2^(-(start - injection) / half life) / weight, for DecayCorrection START; without the decay term for
    ADMIN. Every slice has its own rescale slope, as scanners write it; so the SUV that is stored is rounded to one of
    32767 steps of the slice's largest value.

    Parameters
    ----------
    folder : path
        Where the files go.
    slices, size : int
        Slices; rows and columns of each.
    spacing : (z, y, x), mm
    background, hot : float
        SUV of the body and of a sphere inside.
    weight_kg : float
        The patient's weight.
    dose_bq : float
        Injected activity in Bq.
    injected, started : str
        "YYYYMMDD HHMMSS". The date of injection is written only into RadiopharmaceuticalStartDateTime.
    half_life : float, seconds
        Default: that of fluorine-18.
    decay : {"START", "ADMIN"}
        DecayCorrection.
    syntax : str
        Transfer syntax, such as "explicit", "implicit", "rle" or "jpeg-lossless".
    attributes : dict, optional
        Keyword to value: elements of every file that replace or join the others.
    seed : int
        Of the patient's number and the UIDs.

    Returns
    -------
    written, suv : Written, float64 array (z, y, x)
        What is on the disk, in Bq/mL; the SUV in g/mL before it was rounded.

    Raises
    ------
    ArgumentError
        Another decay or syntax.
    """
    if decay not in ("START", "ADMIN"):
        raise ArgumentError(f"pet_series: decay must be 'START' or 'ADMIN', got {decay!r}")
    folder = Path(folder)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (slices, size, size)), indexing="ij")
    suv = np.where((y / 0.7) ** 2 + (x / 0.9) ** 2 < 1, background, 0.0)
    suv[(z**2 + y**2 + (x - 0.3) ** 2) < 0.09] = hot
    waited = (_when(started) - _when(injected)) / np.timedelta64(1, "s")
    reference = dose_bq * (2.0 ** (-waited / half_life) if decay == "START" else 1.0)
    activity = suv * reference / (weight_kg * 1000.0)  # Bq/mL, 1 mL of tissue taken as 1 g
    slopes = [decimal(max(float(activity[k].max()), 1.0) / 32767) for k in range(slices)]
    steps = np.array([float(s) for s in slopes])[:, None, None]
    stored = np.rint(activity / steps).astype(np.int16)

    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SOPClassUID = PET_CLASS
    dataset.Modality = "PT"
    dataset.Manufacturer, dataset.ManufacturerModelName = "fastimg", "synthetic PET"
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = "Synthetic^PET", f"PET{seed:06d}", "F"
    dataset.PatientWeight = decimal(weight_kg)
    day, time = started.split()
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = day
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = time
    dataset.StudyInstanceUID = uid("pet", seed, "study")
    dataset.SeriesInstanceUID = uid("pet", seed, injected, started, decay, syntax)
    dataset.FrameOfReferenceUID = uid("pet", seed, "frame")
    dataset.Units, dataset.DecayCorrection = "BQML", decay
    dataset.CorrectedImage = ["DECY", "ATTN", "SCAT"]
    drug = Dataset()
    drug.Radiopharmaceutical = "FDG"
    drug.RadionuclideTotalDose = decimal(dose_bq)
    drug.RadionuclideHalfLife = decimal(half_life)
    drug.RadiopharmaceuticalStartTime = injected.split()[1]
    drug.RadiopharmaceuticalStartDateTime = injected.replace(" ", "")
    dataset.RadiopharmaceuticalInformationSequence = Sequence([drug])
    dataset.RescaleIntercept, dataset.RescaleType = "0", "BQML"
    for keyword, value in (attributes or {}).items():
        setattr(dataset, keyword, value)
    affine = affine_from(spacing, (-95, -95, -30))
    files, uids = write_slices(
        folder,
        dataset,
        stored,
        affine=affine,
        syntax=syntax,
        bits=16,
        names=[f"PT{k:04d}" for k in range(slices)],
        per_slice={k: {"RescaleSlope": slopes[k]} for k in range(slices)},
    )
    written = Written(
        folder=folder,
        files=files,
        values=stored * steps,
        affine=affine,
        series_uid=str(dataset.SeriesInstanceUID),
        study_uid=str(dataset.StudyInstanceUID),
        frame_uid=str(dataset.FrameOfReferenceUID),
        sop_uids=uids,
    )
    return written, suv


def _when(text: str) -> np.datetime64:
    day, time = text.split()
    return np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:6]}")
