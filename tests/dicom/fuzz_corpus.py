"""Seeds of the fuzz targets from every file that pydicom ships, and what fuzzing found: python tests/dicom/fuzz_corpus.py FOLDER."""

from __future__ import annotations

import sys
import tempfile
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from dicom_maker import enhanced, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from slide_maker import slide_file

import fastimg as fi
from fastimg.dicom import _layout
from fastimg.testing import jpeg

SHIPPED = Path(pydicom.__file__).parent / "data"
LARGEST = 200_000
FOUND = Path(__file__).parent / "found"  # inputs that once failed, a folder a target
# fuzz target -> the sources that it runs
READERS = ("walk", "source", "part10", "inflate", "groups", "values", "columns", "scan")
JPEG = ("jpeg_stream", "jpeg_lossless", "jpeg_baseline", "jpeg_avx2", "jpeg_avx512")
RESCALE = ("rescale", "rescale_baseline", "rescale_avx2", "rescale_avx512")
GROUPS = (
    ("MREchoSequence", "EffectiveEchoTime", 4.5),
    ("MRDiffusionSequence", "DiffusionBValue", 800.0),
    ("MRModifierSequence", "InversionTimes", 90.0),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset", 1.5),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", 30.0),
    ("SegmentIdentificationSequence", "ReferencedSegmentNumber", 2),
    ("CTImageFrameTypeSequence", "FrameType", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]),
)
TARGETS = {
    "walk": READERS,
    "encapsulation": ("fragments", "source", "walk"),
    "rle": ("rle",),
    "inflate": ("inflate",),
    "jpeg": JPEG,
    "series": ("decode", "fragments", "source", "walk", "inflate", "rle", *JPEG, *RESCALE),
    "rewrite": ("rewrite", "rewrite_parse"),
}


def seeds(*folders: Path, largest: int = LARGEST) -> dict[str, list[bytes]]:
    """For each target its inputs, of files up to so many bytes."""
    found = {name: [path.read_bytes() for path in sorted((FOUND / name).glob("*"))] for name in TARGETS}
    for folder in folders:
        for row in fi.dicom.scan(folder).to_pylist():
            path = folder / row["path"]
            if path.suffix in (".py", ".pyc") or not 0 < row["size"] < largest:
                continue
            data = path.read_bytes()
            found["walk"].append(data)
            found["rewrite"].append(data)
            if row["deflated"]:
                found["inflate"].append(data[fi.dicom._native.data_set_offset(str(path).encode()) :])
            if row["pixel_offset"] >= 0 and row["pixel_length"] < 0:
                found["encapsulation"].append(data[row["pixel_offset"] :][:60_000])
                _frames(row, path, found)
    for target in ("walk", "rewrite"):
        found[target] += _made()
    for number, streams in enumerate(_streams()):
        found["jpeg"].append(streams)
        size = (5, 6) if number < 28 else (31, 40)
        found["series"].append(_head(*size, 4, number) + streams)
    for level in (0, 1, 9):
        packer = zlib.compressobj(level, zlib.DEFLATED, -15, strategy=zlib.Z_FIXED if level == 1 else 0)
        found["inflate"].append(packer.compress(bytes(range(200)) * 9 + bytes(3000)) + packer.flush())
    for packing in range(5):
        found["series"].append(_head(8, 8, packing, 7) + np.arange(2000, dtype=np.uint16).tobytes())
    return found


def _frames(row: dict[str, object], path: Path, found: dict[str, list[bytes]]) -> None:
    """The compressed frames of one file."""
    try:
        layout = _layout.layout_of(row, str(path))
        spans = layout.spans()
    except fi.errors.FormatError:
        return
    kind = {_layout.RLE: "rle", **dict.fromkeys(_layout.LOSSLESS, "jpeg")}.get(layout.syntax)
    if kind is None:
        return
    data = path.read_bytes()
    for frame in spans[:3]:
        found[kind].append(b"".join(data[at : at + length] for at, length in frame))


def _made() -> list[bytes]:
    """Functional groups that no shipped file has: a sparse slide's, and an enhanced file's with all that a rule reads."""
    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / "slide.dcm"
        places = [(row, column, z, path) for row in (0, 2) for column in (0, 3) for z, path in ((0, "1"), (0.002, "2"))]
        tiles = [np.full((2, 3), k, np.uint16) for k in range(len(places))]
        slide_file(slide, tiles, (4, 6), tile=(2, 3), full=False, places=places, paths=["1", "2"])
        ds = enhanced(
            np.zeros((2, 2, 2), np.uint16),
            [(0, 0, 0), (0, 0, 1)],
            content=lambda k: {"DimensionIndexValues": [1, k + 1], "StackID": "1", "InStackPositionNumber": k + 1},
        )
        for sequence, keyword, value in GROUPS:
            item = Dataset()
            setattr(item, keyword, value)
            setattr(ds.SharedFunctionalGroupsSequence[0], sequence, Sequence([item]))
        several = save(ds, Path(folder) / "enhanced.dcm")
        return [slide.read_bytes(), several.read_bytes()]


def _streams() -> list[bytes]:
    rng = np.random.default_rng(0)
    made = []
    for predictor in range(1, 8):
        pixels = rng.integers(0, 4096, (5, 6, 1 + 2 * (predictor % 3 == 0)))
        for more in ({}, {"restart": 2}, {"shift": 2}, {"interleaved": False}):
            made.append(jpeg.lossless_encode(pixels, precision=12, predictor=predictor, **more))
    for noise in (1, 30, 900, 20000):  # tables fitted to the image, more values than are kept at once
        pixels = np.clip(30000 + rng.normal(0, noise, (31, 40)), 0, 65535).astype(np.uint16)
        made.append(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=16))
    return made


def _head(rows: int, columns: int, packing: int, flags: int) -> bytes:
    """Three frames of the series target."""
    one = [rows - 1, columns - 1, 0, packing, 3, flags & 7 if packing < 4 else 0, 0, 0, 255, 0, 0, 0]
    return bytes(one) * 3


if __name__ == "__main__":
    for name, inputs in seeds(SHIPPED).items():
        target = Path(sys.argv[1]) / name
        target.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (target / f"{number:04d}").write_bytes(data)
        print(name, " ".join(f"csrc/dicom/{source}.cpp" for source in TARGETS[name]))
