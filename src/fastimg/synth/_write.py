"""From a volume of stored values to Part 10 files: transfer syntaxes, unique identifiers, decimal strings."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from fastimg.errors import ArgumentError

__all__ = ["SYNTAXES", "Written", "decimal", "uid", "write_dataset", "write_slices"]

ROOT = "1.2.826.0.1.3680043.10.1338"  # a documentation arc: no scanner writes it

SYNTAXES = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "deflated": "1.2.840.10008.1.2.1.99",
    "big-endian": "1.2.840.10008.1.2.2",
    "jpeg-lossless": "1.2.840.10008.1.2.4.70",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "j2k": "1.2.840.10008.1.2.4.90",
    "rle": "1.2.840.10008.1.2.5",
}


@dataclass(frozen=True)
class Written:
    """A series on disk and what is in it.

    Attributes
    ----------
    folder : Path
    files : list of Path
        In the order of position along the slice normal, lowest first.
    values : array (z, y, x) float64
        What a reader should get, in modality units, in the same order.
    affine : (4, 4) float64
        (k, j, i, 1) to LPS millimetres.
    series_uid, study_uid, frame_uid : str
    sop_uids : list of str
        One a file, same order.
    """

    folder: Path
    files: list[Path]
    values: npt.NDArray[np.float64]
    affine: npt.NDArray[np.float64]
    series_uid: str
    study_uid: str
    frame_uid: str
    sop_uids: list[str] = field(default_factory=list)


def uid(*parts: object) -> str:
    """A repeatable unique identifier under a fixed root."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return f"{ROOT}.{int.from_bytes(digest[:12], 'big')}"


def decimal(value: float) -> str:
    """A DICOM decimal string: at most 16 characters."""
    for digits in range(15, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    raise ArgumentError(f"synth: {value!r} does not fit a decimal string")


def compress(frame: npt.NDArray[Any], syntax: str, bits: int) -> bytes:
    """One frame in a compressed transfer syntax, without loss."""
    import imagecodecs

    if syntax == "jpeg-lossless":
        unsigned = frame.view(np.uint16) if frame.dtype == np.int16 else frame
        return bytes(imagecodecs.jpeg8_encode(unsigned, lossless=True, predictor=1, bitspersample=bits))
    if syntax == "jpeg-ls":
        return bytes(imagecodecs.jpegls_encode(frame.view(np.uint16)))
    if syntax == "j2k":
        return bytes(imagecodecs.jpeg2k_encode(frame, level=0, codecformat="j2k", reversible=True, bitspersample=bits))
    return rle(frame)


def rle(frame: npt.NDArray[Any]) -> bytes:
    """DICOM RLE, PS3.5 annex G: one segment a byte plane, most significant first."""
    planes = frame.astype(frame.dtype.newbyteorder(">")).view(np.uint8).reshape(*frame.shape, frame.dtype.itemsize)
    segments = []
    for plane in range(frame.dtype.itemsize):
        packed = b"".join(_pack_row(row) for row in planes[:, :, plane])
        segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = np.zeros(16, "<u4")
    offsets[0] = len(segments)
    offsets[1 : 1 + len(segments)] = 64 + np.concatenate([[0], np.cumsum([len(s) for s in segments])[:-1]])
    return offsets.tobytes() + b"".join(segments)


def _pack_row(row: npt.NDArray[np.uint8]) -> bytes:
    """PackBits of one row: runs of three or more are repeated, the rest is literal."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(row)) + 1])
    lengths = np.diff(starts, append=len(row))
    out = bytearray()
    done = 0
    for start, length in zip(starts[lengths > 2].tolist(), lengths[lengths > 2].tolist(), strict=True):
        _literal(out, row[done:start].tobytes())
        done = start + length
        while length > 1:
            step = min(length, 128)
            out += bytes([257 - step, row[start]])
            length -= step
        done -= length  # a single value that is left over goes with the next literal
    _literal(out, row[done:].tobytes())
    return bytes(out)


def _literal(out: bytearray, values: bytes) -> None:
    for start in range(0, len(values), 128):
        part = values[start : start + 128]
        out.append(len(part) - 1)
        out += part


def write_dataset(path: Path, dataset: Dataset, syntax: str = "explicit") -> None:
    """One Part 10 file; everything in its meta header is fixed, so that equal data give equal bytes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(SYNTAXES[syntax])
    meta.ImplementationClassUID = UID(f"{ROOT}.1")
    meta.ImplementationVersionName = "FASTIMG_SYNTH"
    dataset.file_meta = meta
    path.parent.mkdir(parents=True, exist_ok=True)
    implicit, little = syntax == "implicit", syntax != "big-endian"
    dcmwrite(path, dataset, enforce_file_format=True, implicit_vr=implicit, little_endian=little, overwrite=True)


def write_slices(
    folder: Path,
    template: Dataset,
    stored: npt.NDArray[Any],
    *,
    affine: npt.NDArray[np.float64],
    syntax: str,
    bits: int,
    names: Iterable[str],
    per_slice: Mapping[int, Mapping[str, Any]] | None = None,
    skip: Iterable[int] = (),
    reverse_numbers: bool = False,
) -> tuple[list[Path], list[str]]:
    """Write (z, y, x) stored values, a file a slice; `per_slice` overrides attributes, `skip` leaves slices out.

    Returns the files and SOP instance UIDs in slice order.
    """
    if syntax not in SYNTAXES:
        raise ArgumentError(f"syntax: must be one of {', '.join(map(repr, SYNTAXES))}; got {syntax!r}")
    dataset = copy.deepcopy(template)
    count, dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    x, y, z = (affine[:3, axis] for axis in (2, 1, 0))
    dataset.PixelSpacing = [decimal(float(np.linalg.norm(y))), decimal(float(np.linalg.norm(x)))]
    cosines = [*(x / np.linalg.norm(x)), *(y / np.linalg.norm(y))]
    dataset.ImageOrientationPatient = [decimal(float(c)) for c in cosines]
    dataset.SliceThickness = decimal(float(np.linalg.norm(z)))
    files, uids, left_out = [], [], set(skip)
    for k, name in zip(range(count), names, strict=False):
        if k in left_out:
            continue
        position = affine[:3, 3] + k * z
        dataset.SOPInstanceUID = uid(dataset.SeriesInstanceUID, k)
        dataset.InstanceNumber = count - k if reverse_numbers else k + 1
        dataset.ImagePositionPatient = [decimal(float(c)) for c in position]
        dataset.SliceLocation = decimal(float(position[2]))
        for keyword, value in (per_slice or {}).get(k, {}).items():
            setattr(dataset, keyword, value)
        frame = np.ascontiguousarray(stored[k])
        if syntax in ("implicit", "explicit", "deflated"):
            dataset.PixelData = frame.astype(frame.dtype.newbyteorder("<")).tobytes()
        elif syntax == "big-endian":
            dataset.PixelData = frame.astype(frame.dtype.newbyteorder(">")).tobytes()
        else:
            dataset.PixelData = encapsulate([compress(frame, syntax, bits)])
        dataset["PixelData"].VR = "OW" if syntax in ("implicit", "explicit", "deflated", "big-endian") else "OB"
        dataset["PixelData"].is_undefined_length = dataset["PixelData"].VR == "OB"
        write_dataset(folder / name, dataset, syntax)
        files.append(folder / name)
        uids.append(str(dataset.SOPInstanceUID))
    return files, uids
