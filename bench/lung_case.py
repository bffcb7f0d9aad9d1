"""A chest CT as a scanner exports it: 100 slices of 512 x 512, a tumour in the lung as DICOM-SEG; and a usual study of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread

from fastimg.image import affine_from
from fastimg.synth import _objects, _phantom
from fastimg.synth._series import CT_CLASS
from fastimg.synth._write import uid, write_dataset, write_slices

# PyRadiomics' example for CT (1 mm, bins of 25 HU, LoG and wavelets), all of its classes: 14 + 93 x 12 = 1,130 features
STUDY = """
imageType:
  Original: {}
  LoG: {sigma: [1.0, 2.0, 3.0]}
  Wavelet: {}
featureClass: {shape: , firstorder: , glcm: , glrlm: , glszm: , gldm: , ngtdm: }
setting: {binWidth: 25, label: 1, interpolator: sitkBSpline, resampledPixelSpacing: [1, 1, 1], padDistance: 10}
"""
# the same on the scanner's grid: PyRadiomics then filters the whole image
NATIVE = STUDY.replace("interpolator: sitkBSpline, resampledPixelSpacing: [1, 1, 1], ", "")
FEATURES = 14 + 93 * 12


def write_lung(folder: str | Path, *, slices: int = 100, size: int = 512, seed: int = 0) -> None:
    """The series and its mask below `folder`: a tumour of about 34 mL, 3 x 0.75 x 0.75 mm at full size."""
    folder, rng = Path(folder), np.random.default_rng(seed)
    spacing = (300.0 / slices, 384.0 / size, 384.0 / size)
    shape = (slices, size, size)
    affine = affine_from(spacing, [-(n - 1) * s / 2 for n, s in zip(shape[::-1], spacing[::-1], strict=True)])
    z, y, x = (affine[2 - a, 3] + affine[2 - a, a] * np.arange(shape[a]) for a in range(3))
    body = 0.45  # the phantom's body is 168 mm wide; a chest is 370
    lesion = _phantom.Lesion((38.0, -6.0, 0.0), 20.0 * body, ((2, 0.08, 0.3), (5, 0.1, 1.0)), 40.0, 30.0)
    hu = _phantom.tissue(
        body * x[None, None, :], body * y[None, :, None], body * z[:, None, None], lesion, np.random.default_rng(seed)
    )
    hu = _phantom.acquire(hu, gain=1.0, offset=0.0, blur=0.6, noise=18.0, rng=rng)
    stored = (np.rint(np.clip(hu, -1024, 3071)) + 1024).astype(np.uint16)
    mask = np.zeros(shape, bool)
    for k in range(slices):
        outline = lesion.outline(float(body * z[k]))
        if len(outline):
            mask[k] = _phantom.inside(outline, body * x, body * y)
    base = _base(seed)
    files, uids = write_slices(
        folder / "CT",
        base,
        stored,
        affine=affine,
        syntax="explicit",
        bits=12,
        names=[f"IM{n:04d}" for n in rng.permutation(slices)],
    )
    person = dcmread(files[0], stop_before_pixels=True)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "ConvolutionKernel", "SliceLocation"):
        delattr(person, keyword)
    found = _objects.segmentation(person, {"GTV": mask}, affine=affine, sources=uids)
    write_dataset(folder / "SEG" / "MASK", found)


def _base(seed):
    from pydicom.dataset import Dataset

    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = CT_CLASS
    dataset.StudyDate, dataset.StudyTime, dataset.Modality = "20210304", "101500", "CT"
    dataset.Manufacturer, dataset.ManufacturerModelName = "fastimg", "synthetic CT"
    dataset.PatientName, dataset.PatientID = f"Lungcase^Number{seed:04d}", f"LUNG{seed:06d}"
    dataset.PatientSex, dataset.PatientAge, dataset.BodyPartExamined = "M", "066Y", "CHEST"
    dataset.ConvolutionKernel = "B30"
    dataset.StudyInstanceUID = uid("lung", seed, "study")
    dataset.SeriesInstanceUID = uid("lung", seed, "series")
    dataset.FrameOfReferenceUID = uid("lung", seed, "frame")
    dataset.SeriesNumber, dataset.SeriesDescription = 2, "CT chest"
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "-1024", "HU"
    return dataset
