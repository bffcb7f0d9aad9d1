"""Small whole-slide files, written by pydicom."""

from __future__ import annotations

import imagecodecs
import numpy as np
from dicom_maker import compressed, image, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

WSM = "1.2.840.10008.5.1.4.1.1.77.1.6"


def colours(shape, seed=0):
    """A smooth colour image with some texture (rows, columns, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    base = np.stack([120 + 90 * np.sin(x / 17), 100 + 80 * np.cos(y / 13), 128 + 60 * np.sin((x + y) / 23)], -1)
    return np.clip(base + rng.normal(0, 3, base.shape), 0, 255).astype(np.uint8)


def tiles_of(matrix, tile, fill=255):
    """(row, column) -> tile, in the order of a full matrix; edges filled up."""
    height, width = tile
    rows, columns = -(-matrix.shape[0] // height), -(-matrix.shape[1] // width)
    whole = np.full((rows * height, columns * width, *matrix.shape[2:]), fill, matrix.dtype)
    whole[: matrix.shape[0], : matrix.shape[1]] = matrix
    return {
        (r, c): whole[r * height : (r + 1) * height, c * width : (c + 1) * width]
        for r in range(rows)
        for c in range(columns)
    }


def slide_file(
    path, frames, size, *, tile, full=True, places=None, jpeg=False, spacing=0.0005, flavour="VOLUME", paths=None,
    planes=1, **elements,
):  # fmt: skip
    """A VL WSM file of these frames; `places` are (row, column, z, path) from 0 of a sparse one."""
    first = frames[0]
    ds = image(first, ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, RescaleSlope=None,
               RescaleIntercept=None, SliceThickness=None)  # fmt: skip
    ds.SOPClassUID, ds.Modality = WSM, "SM"
    ds.ImageType = ["ORIGINAL", "PRIMARY", flavour, "NONE"]
    ds.NumberOfFrames = len(frames)
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns = size
    ds.TotalPixelMatrixFocalPlanes = planes
    ds.DimensionOrganizationType = "TILED_FULL" if full else "TILED_SPARSE"
    ds.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20, 40
    ds.TotalPixelMatrixOriginSequence = Sequence([origin])
    paths = paths or ["1"]
    ds.NumberOfOpticalPaths = len(paths)
    ds.OpticalPathSequence = Sequence([Dataset() for _ in paths])
    for item, name in zip(ds.OpticalPathSequence, paths, strict=True):
        item.OpticalPathIdentifier = name
    shared, measures = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [spacing, spacing], 0.001
    shared.PixelMeasuresSequence = Sequence([measures])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    if not full:
        groups = []
        for row, column, z, name in places:
            group, place, optical = Dataset(), Dataset(), Dataset()
            place.RowPositionInTotalImagePixelMatrix = row + 1
            place.ColumnPositionInTotalImagePixelMatrix = column + 1
            place.ZOffsetInSlideCoordinateSystem = z
            optical.OpticalPathIdentifier = name
            group.PlanePositionSlideSequence = Sequence([place])
            group.OpticalPathIdentificationSequence = Sequence([optical])
            groups.append(group)
        ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    for name, value in elements.items():
        setattr(ds, name, value)
    if jpeg:
        ds.PhotometricInterpretation = "YBR_FULL_422"
        encoded = [imagecodecs.jpeg8_encode(f, level=90, subsampling="422") for f in frames]
        return compressed(ds, encoded, JPEGBaseline8Bit, path)
    ds.PixelData = np.ascontiguousarray(np.stack(frames)).tobytes()
    if len(ds.PixelData) % 2:
        ds.PixelData += b"\0"
    return save(ds, path, ExplicitVRLittleEndian)


def pyramid(folder, *, size=(150, 210), tile=(32, 48), levels=3, jpeg=False, **elements):
    """Matrices of a pyramid in one file a level; label and overview beside them."""
    matrix = colours(size)
    frame = generate_uid()
    matrices = []
    for number in range(levels):
        cut = matrix[:: 2**number, :: 2**number]
        matrices.append(cut)
        slide_file(folder / f"{9 - number}.dcm", list(tiles_of(cut, tile).values()), cut.shape[:2], tile=tile, jpeg=jpeg,
                   spacing=0.0005 * 2**number, FrameOfReferenceUID=frame, **elements)  # fmt: skip
    for name in ("LABEL", "OVERVIEW"):
        label = colours((40, 60), seed=5)
        slide_file(folder / f"{name}.dcm", [label], (40, 60), tile=(40, 60), flavour=name, FrameOfReferenceUID=frame)
    return matrices
