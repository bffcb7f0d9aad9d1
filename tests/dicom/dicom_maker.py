"""Small Part 10 files with one trait each, written by pydicom."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.sequence import Sequence
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

SERIES = "1.2.826.0.1.3680043.8.498.1"
FRAME = "1.2.826.0.1.3680043.8.498.2"

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"

# Specific Character Set, a text and its bytes by Python's codecs; escapes as in PS3.3 C.12.1.1.2.
_SETS = {
    "ISO_IR 100": ("Müller José", "latin-1"), "ISO_IR 101": ("Čapek Łukasz", "iso8859-2"),
    "ISO_IR 109": ("Ħal Ġorġ", "iso8859-3"), "ISO_IR 110": ("Ģirts Ķ", "iso8859-4"),
    "ISO_IR 144": ("Люксембург", "iso8859-5"), "ISO_IR 127": ("قباني لنزار", "iso8859-6"),
    "ISO_IR 126": ("Διονύσιος", "iso8859-7"), "ISO_IR 138": ("שרון דבורה", "iso8859-8"),
    "ISO_IR 148": ("Çavuşoğlu İ", "iso8859-9"), "ISO_IR 166": ("นามสกุล", "tis-620"),
    "ISO_IR 13": ("ﾔﾏﾀﾞ ﾀﾛｳ", "shift_jis"), "ISO_IR 192": ("Wang 小東 é", "utf-8"), "GB18030": ("王 小东 ©", "gb18030"),
    "GBK": ("王 小东", "gbk"), "\\ISO 2022 IR 87": ("Yamada 山田", "iso2022_jp"), "\\ISO 2022 IR 159": ("Kō 丂丄", "iso2022_jp_1"),
    "\\ISO 2022 IR 149": ("Hong 김희중", b"Hong \x1b$)C" + "김희중".encode("euc_kr")),
    "\\ISO 2022 IR 58": ("Zhang 张从前", b"Zhang \x1b$)A" + "张从前".encode("gb2312")),
    "ISO 2022 IR 100\\ISO 2022 IR 126": ("Müller Διονύσιος", "Müller ".encode("latin-1") + b"\x1b-F" + "Διονύσιος".encode("iso8859-7")),
}  # fmt: skip
CHARACTER_SETS = {
    name: (text, codec if isinstance(codec, bytes) else text.encode(codec)) for name, (text, codec) in _SETS.items()
}


def image(pixels, *, z=0.0, number=1, series=SERIES, **elements):
    """A CT slice whose stored values are `pixels` (rows, columns[, samples]); `elements` replace or (None) remove."""
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID = SERIES + ".9"
    ds.SeriesInstanceUID = series
    ds.FrameOfReferenceUID = FRAME
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName = "Test^Case"
    ds.PatientID = "P1"
    ds.InstanceNumber = number
    ds.ImagePositionPatient = [-10.0, -20.0, z]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [0.5, 0.75]
    ds.SliceThickness = 2.5
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel = 1 if pixels.ndim == 2 else pixels.shape[2]
    ds.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        ds.PlanarConfiguration = 0
    if pixels.dtype.kind in "iu":
        bits = 8 * pixels.dtype.itemsize
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
        ds.PixelRepresentation = int(pixels.dtype.kind == "i")
        ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
        ds["PixelData"].VR = "OW" if bits > 8 else "OB"
    for name, value in elements.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return ds


def save(ds, path, syntax=ExplicitVRLittleEndian):
    """As a Part 10 file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta, ds.preamble = meta, b"\0" * 128
    if syntax == DEFLATED_FRAMES:  # pydicom does not know it
        meta.TransferSyntaxUID = JPEG2000Lossless
    dcmwrite(path, ds, enforce_file_format=True)
    if syntax == DEFLATED_FRAMES:
        Path(path).write_bytes(Path(path).read_bytes().replace(JPEG2000Lossless.encode(), syntax.encode() + b"\0", 1))
    return Path(path)


def compressed(ds, frames, syntax, path, *, table="basic", fragments=1):
    """Encoded frames in `fragments` pieces each, with a "basic", "extended" or "no" offset table."""
    if table == "extended":
        ds.PixelData, offsets, lengths = encapsulate_extended(frames)
        ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = offsets, lengths
    else:
        ds.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=table == "basic")
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return save(ds, path, syntax)


def stack_of(folder, depths, *, shape=(6, 7), seed=0, names=None, shuffle=True, **elements):
    """A series with slices at these depths, in files whose names say nothing about the order."""
    rng = np.random.default_rng(seed)
    volume = rng.integers(0, 4096, (len(depths), *shape)).astype(np.uint16)
    order = rng.permutation(len(depths)) if shuffle else range(len(depths))
    for number, k in enumerate(order):
        name = names[k] if names else f"{number:03d}.dcm"
        own = {key: value(k) if callable(value) else value for key, value in elements.items()}
        save(image(volume[k], z=float(depths[k]), number=int(k) + 1, **own), Path(folder) / name)
    return volume


def enhanced(
    volume,
    positions,
    *,
    slopes=None,
    intercepts=None,
    orientation=(1, 0, 0, 0, 1, 0),
    spacing=(0.5, 0.75),
    content=None,
):
    """An enhanced CT: one frame a position, functional groups shared where they can be."""
    ds = image(
        volume[0],
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=None,
        RescaleSlope=None,
        RescaleIntercept=None,
        SliceThickness=None,
    )
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    ds.NumberOfFrames = len(volume)
    ds.PixelData = volume.tobytes() + b"\0" * (volume.nbytes % 2)
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(spacing), 2.5
    plane.ImageOrientationPatient = list(orientation)
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([plane])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for k, position in enumerate(positions):
        group, place, line = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = list(position)
        group.PlanePositionSequence = Sequence([place])
        line.RescaleSlope = 1 if slopes is None else slopes[k]
        line.RescaleIntercept = -1024 if intercepts is None else intercepts[k]
        line.RescaleType = "HU"
        group.PixelValueTransformationSequence = Sequence([line])
        if content is not None:
            frame = Dataset()
            for name, value in content(k).items():
                setattr(frame, name, value)
            group.FrameContentSequence = Sequence([frame])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return ds


def element(group, number, vr, value, *, length=None):
    """Raw bytes of an explicit little-endian element; `length` lies about the value's."""
    length = len(value) if length is None else length
    if vr in ("OB", "OW", "SQ", "UN", "UT", "OF"):
        return struct.pack("<HH2sHI", group, number, vr.encode(), 0, length) + value
    return struct.pack("<HH2sH", group, number, vr.encode(), length) + value


def part10(body, syntax="1.2.840.10008.1.2.1"):
    """Preamble, meta group and raw elements."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = element(2, 0x10, "UI", uid)
    return b"\0" * 128 + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + body


def header(rows=4, columns=4, bits=16, **more):
    """Raw elements of a minimal image up to its pixels."""
    us = lambda value: struct.pack("<H", value)  # noqa: E731
    return (
        element(8, 0x16, "UI", b"1.2.840.10008.5.1.4.1.1.2\0")
        + element(0x20, 0xE, "UI", b"1.2.3.4\0")
        + element(0x28, 2, "US", us(more.get("samples", 1)))
        + element(0x28, 4, "CS", b"MONOCHROME2 ")
        + element(0x28, 8, "IS", str(more.get("frames", 1)).encode().ljust(12))
        + element(0x28, 0x10, "US", us(rows))
        + element(0x28, 0x11, "US", us(columns))
        + element(0x28, 0x100, "US", us(bits))
        + element(0x28, 0x101, "US", us(bits))
        + element(0x28, 0x102, "US", us(bits - 1))
        + element(0x28, 0x103, "US", us(0))
    )
