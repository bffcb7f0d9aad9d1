"""A CT series as DICOM files in any encoding, what reads it, and pydicom's way to do so."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pydicom
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

import fastimg as fi

SLICES, SIZE = 300, 512
CODECS = {  # transfer syntax, encoder, decoder
    "JPEG lossless": ("1.2.840.10008.1.2.4.70", lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=1, bitspersample=12), "jpeg8_decode"),
    "JPEG lossless 16-bit": ("1.2.840.10008.1.2.4.70", lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=1, bitspersample=16), "jpeg8_decode"),
    "JPEG-LS": ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode, "jpegls_decode"),
    "HTJ2K": ("1.2.840.10008.1.2.4.201", imagecodecs.htj2k_encode, "htj2k_decode"),
    "JPEG 2000": ("1.2.840.10008.1.2.4.90", lambda a: imagecodecs.jpeg2k_encode(a, reversible=True, level=0, codecformat="j2k"), "jpeg2k_decode"),
}  # fmt: skip


def over_16_bits(volume):
    """The same anatomy over all 16 bits, with noise in the new ones."""
    return (volume * 16 + np.random.default_rng(2).integers(0, 16, volume.shape)).astype(np.uint16)


def slices(count=SLICES):
    """12 bits unsigned like a chest CT: air, a body with two soft values, noise that a codec cannot take out."""
    rng = np.random.default_rng(0)
    y, x = np.ogrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    for k in range(count):
        body = (y**2 + (x / 1.3) ** 2) < 0.4 + 0.1 * np.sin(k / 40)
        smooth = np.where(body, 1060 + 60 * np.sin(9 * x + k / 9) * np.cos(7 * y), 24)
        yield np.clip(smooth + rng.normal(0, 6, (SIZE, SIZE)) * (1 + 2 * body), 0, 4095).astype(np.uint16)


def write(path, k, pixels, series, syntax=ExplicitVRLittleEndian, encode=None):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"{series}.{k}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = series + ".1", series, series + ".2"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "Maker", "Model"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Name^Given", "ID1", "19500101", "F"
    ds.StudyDate, ds.SeriesDate, ds.AcquisitionDate, ds.StudyTime = "20260101", "20260101", "20260101", "101010"
    ds.InstitutionName, ds.StationName, ds.SeriesDescription, ds.ProtocolName = "Hospital", "CT1", "Chest 1.5", "Chest"
    ds.SliceThickness, ds.KVP, ds.ConvolutionKernel, ds.GantryDetectorTilt = 1.5, 120, "B30f", 0
    ds.InstanceNumber, ds.AcquisitionNumber, ds.SeriesNumber = k + 1, 1, 2
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-180.0, -180.0, -500 + 1.5 * k], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [0.703125, 0.703125]
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 12 if pixels.max() < 4096 else 16
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.preamble = b"\0" * 128
    if encode is None:
        ds.PixelData = pixels.tobytes()
        ds["PixelData"].VR = "OW"
    else:
        ds.PixelData = encapsulate([encode(pixels)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    dcmwrite(path, ds, enforce_file_format=True)


def series_in(room, name, volume, syntax=ExplicitVRLittleEndian, encode=None):
    folder = room / name
    if not folder.exists():
        folder.mkdir()
        uid = generate_uid()[:50]
        order = np.random.default_rng(1).permutation(len(volume))
        for k in range(len(volume)):
            write(folder / f"IM{order[k]:05d}", k, volume[k], uid, syntax, encode)
    return folder


def rle(pixels):
    high, low = ((pixels >> 8).astype(np.uint8), (pixels & 255).astype(np.uint8))
    planes = [imagecodecs.packbits_encode(np.ascontiguousarray(plane)) for plane in (high, low)]
    head = np.zeros(16, "<u4")
    head[:3] = 2, 64, 64 + len(planes[0])
    return head.tobytes() + b"".join(planes)


def ours(case, folder, volume):
    out = np.empty(volume.shape, np.float32)
    image = fi.dicom.read(folder, out=out)
    error = np.abs(image.array - (volume.astype(np.float32) - 1024)).max()
    case(lambda: fi.dicom.read(folder, out=out), items=len(volume), unit="slice", nbytes=6 * volume.size, error=error)


def with_pydicom(folder, decode=None):
    files = [pydicom.dcmread(path) for path in folder.iterdir()]
    files.sort(key=lambda ds: ds.ImagePositionPatient[2])
    out = np.empty((len(files), SIZE, SIZE), np.float32)
    for k, ds in enumerate(files):
        stored = (
            ds.pixel_array
            if decode is None
            else decode(next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1)))
        )
        np.multiply(stored, np.float32(ds.RescaleSlope), out=out[k])
        out[k] += np.float32(ds.RescaleIntercept)
    return out
