"""One regular CT series, for tests and benchmarks that need files and little else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from fastimg.errors import ArgumentError
from fastimg.image import affine_from

from ._write import Written, uid, write_slices

__all__ = ["CT_CLASS", "ct_series"]

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


def ct_series(
    folder: str | Path,
    *,
    slices: int = 32,
    size: int | tuple[int, int] = 96,
    syntax: str = "explicit",
    spacing: tuple[float, float, float] = (3.0, 2.0, 2.0),
    origin: tuple[float, float, float] = (-95.0, -95.0, -47.0),
    direction: Any = None,
    signed: bool = False,
    bits: int = 12,
    noise: float = 12.0,
    missing: Sequence[int] = (),
    attributes: dict[str, Any] | None = None,
    seed: int = 0,
) -> Written:
    """Write one regular CT series: an ellipse of soft tissue with noise, 12 bits, intercept -1024.

    Parameters
    ----------
    folder : path
        Made if it is absent. Files are named IM0000, IM0001 ... in an order unrelated to position.
    slices, size : int, int or (rows, columns)
    syntax : str
        A key of `SYNTAXES`.
    spacing : (z, y, x) mm
    origin : (x, y, z) mm
    direction : (3, 3), optional
        Columns are the world directions of x, y, z.
    signed, bits : bool, int
        Stored as int16 instead of uint16; number of bits stored (12 to 16).
    noise : float
        Standard deviation in HU.
    missing : sequence of int
        Slices that are not written.
    attributes : dict
        Further attributes by keyword.
    seed : int

    Returns
    -------
    Written
        `values` holds the written slices in HU, `affine` is the grid's.

    Raises
    ------
    ArgumentError
        No slice, no voxel, or bits outside 12 to 16.
    """
    rows, columns = (size, size) if isinstance(size, int) else size
    if slices < 1 or rows < 1 or columns < 1 or not 12 <= bits <= 16:
        raise ArgumentError("ct_series: slices and size must be positive, bits from 12 to 16")
    folder = Path(folder)
    rng = np.random.default_rng([seed, slices, rows, columns])
    z, y, x = np.ogrid[-1 : 1 : slices * 1j, -1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    inside = (y / 0.7) ** 2 + (x / 0.9) ** 2 < 1 - 0.2 * z * z
    hu = np.where(inside, np.float32(40), np.float32(-1000))
    for k in range(slices):
        hu[k] += rng.standard_normal((rows, columns), np.float32) * np.float32(noise)
    stored = np.clip(np.rint(hu) + 1024, 0, 4095).astype(np.int16 if signed else np.uint16)
    affine = affine_from(spacing, origin, direction)

    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = CT_CLASS
    dataset.StudyDate, dataset.StudyTime = "20210304", "101500"
    dataset.Modality = "CT"
    dataset.Manufacturer, dataset.ManufacturerModelName = "fastimg", "synthetic CT"
    dataset.PatientName, dataset.PatientID = "Synthetic^Series", f"SYN{seed:06d}"
    dataset.ConvolutionKernel = "B30"
    dataset.StudyInstanceUID = uid("ct", seed, "study")
    dataset.SeriesInstanceUID = uid("ct", seed, syntax, slices, rows, columns, spacing, origin, signed)
    dataset.FrameOfReferenceUID = uid("ct", seed, "frame")
    dataset.SeriesNumber = 1
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "-1024", "HU"
    for keyword, value in (attributes or {}).items():
        setattr(dataset, keyword, value)
    names = [f"IM{n:04d}" for n in rng.permutation(slices)]
    files, uids = write_slices(
        folder, dataset, stored, affine=affine, syntax=syntax, bits=bits, names=names, skip=missing
    )
    kept = [k for k in range(slices) if k not in set(missing)]
    return Written(
        folder=folder,
        files=files,
        values=stored[kept].astype(np.float64) - 1024,
        affine=affine,
        series_uid=str(dataset.SeriesInstanceUID),
        study_uid=str(dataset.StudyInstanceUID),
        frame_uid=str(dataset.FrameOfReferenceUID),
        sop_uids=uids,
    )
