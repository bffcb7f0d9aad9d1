"""Enhanced files that are one volume: parts of a concatenation, a file a time point, b-value or echo, a file a frame."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from dicom_maker import enhanced, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

import fastimg as fi
from fastimg.dicom import _rows

DEPTHS = (0.0, 2.5, 5.0)


def volume_of(seed, frames=3):
    return np.random.default_rng(seed).integers(0, 4000, (frames, 6, 8)).astype(np.uint16)


def in_group(ds, sequence, **values):
    """The same functional group for every frame."""
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    setattr(ds.SharedFunctionalGroupsSequence[0], sequence, Sequence([item]))


def whole(seed, number, depths=DEPTHS, **elements):
    ds = enhanced(volume_of(seed, len(depths)), [(1, 2, depth) for depth in depths])
    ds.SOPInstanceUID, ds.InstanceNumber = generate_uid(), number
    for name, value in elements.items():
        setattr(ds, name, value)
    return ds


def written(folder, datasets, names="cabdef"):
    for name, ds in zip(names, datasets, strict=False):
        save(ds, folder / f"{name}.dcm")
    return fi.dicom.series(folder)


def values(*seeds, lines=(1, -1024)):
    return np.stack([volume_of(seed) for seed in seeds]).astype(np.float32) * lines[0] + lines[1]


GROUPS = {
    "b": ("MRDiffusionSequence", "DiffusionBValue", (0.0, 400.0, 800.0)),
    "echo": ("MREchoSequence", "EffectiveEchoTime", (4.0, 8.0, 12.0)),
    "t": ("TemporalPositionSequence", "TemporalPositionTimeOffset", (0.0, 1.5, 3.0)),
}


@pytest.mark.parametrize("axis", GROUPS)
def test_a_file_a_repetition_is_an_axis(tmp_path, axis):
    sequence, keyword, steps = GROUPS[axis]
    made = []
    for seed, step in enumerate(steps):
        ds = whole(seed, 9 - seed)
        in_group(ds, sequence, **{keyword: step})
        made.append(ds)
    (found,) = written(tmp_path, [made[1], made[2], made[0]])
    assert len(found.paths) == 3
    assert not found.findings
    image = fi.dicom.read(found)
    assert image.dims == (axis, "z", "y", "x")
    assert image.coords[axis] == steps
    np.testing.assert_array_equal(image.array, values(0, 1, 2))
    np.testing.assert_allclose(image.spacing, (2.5, 0.5, 0.75))
    np.testing.assert_array_equal(fi.dicom.read(tmp_path).array, image.array)


@pytest.mark.parametrize(
    ("keyword", "steps"),
    [("AcquisitionDateTime", ("20260101101010.5", "20260101101040.5")), ("AcquisitionNumber", (3, 4))],
)
def test_files_are_told_apart_by_their_acquisition(tmp_path, keyword, steps):
    found = written(tmp_path, [whole(1, 1, **{keyword: steps[1]}), whole(0, 2, **{keyword: steps[0]})])
    assert len(found) == 1
    image = fi.dicom.read(found[0])
    assert image.dims[0] == "t"
    assert image.coords["t"] == steps
    np.testing.assert_array_equal(image.array, values(0, 1))


def test_each_file_has_its_own_rescale_and_padding(tmp_path):
    made = [whole(seed, seed, AcquisitionNumber=seed) for seed in (0, 1)]
    for group in made[1].PerFrameFunctionalGroupsSequence:
        group.PixelValueTransformationSequence[0].RescaleSlope = 2
    made[1].PixelPaddingValue = int(volume_of(1)[1, 2, 3])
    made[0].PixelPaddingValue = int(volume_of(0)[1, 2, 3])
    (found,) = written(tmp_path, made)
    image = fi.dicom.read(found)
    np.testing.assert_array_equal(image.array[0], values(0)[0])
    np.testing.assert_array_equal(image.array[1], values(1, lines=(2, -1024))[0])
    assert image.padding is not None
    assert image.padding[1, 2, 3]


def test_nothing_tells_them_apart_so_they_stay_apart(tmp_path):
    found = written(tmp_path, [whole(0, 1), whole(1, 2)])
    assert [len(one.paths) for one in found] == [1, 1]
    np.testing.assert_array_equal(fi.dicom.read(found[0]).array, values(1)[0])  # "a.dcm"


@pytest.mark.parametrize(
    "other",
    [
        {"depths": (10.0, 12.5, 15.0)},  # other places
        {"depths": (0.0, 2.5)},
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
        {"FrameOfReferenceUID": "1.2.3.99"},
    ],
)
def test_other_places_types_and_frames_of_reference_stay_apart(tmp_path, other):
    found = written(tmp_path, [whole(0, 1, AcquisitionNumber=1), whole(1, 2, AcquisitionNumber=2, **other)])
    assert [len(one.paths) for one in found] == [1, 1]


def test_one_frame_a_file_is_a_stack(tmp_path):
    (found,) = written(tmp_path, [whole(k, k, depths=(2.5 * k,)) for k in (2, 0, 1)])
    image = fi.dicom.read(found)
    np.testing.assert_array_equal(image.array, np.concatenate([volume_of(k, 1) for k in range(3)]) - np.float32(1024))
    assert image.dims == ("z", "y", "x")
    assert image.spacing[0] == 2.5


# concatenations -----------------------------------------------------------------------------------------------------------


def concatenation(frames=7, sizes=(3, 2, 2), total=3):
    """One object of `frames` frames (times of two places where even), cut in parts; the first is the last in the list."""
    pixels = volume_of(5, frames)
    uid, parts, begin = generate_uid(), [], 0
    for number, size in enumerate(sizes, 1):
        ds = enhanced(pixels[begin : begin + size], [(1, 2, 2.5 * k) for k in range(begin, begin + size)])
        ds.SOPInstanceUID, ds.InstanceNumber, ds.ConcatenationUID = generate_uid(), 1, uid
        ds.InConcatenationNumber, ds.ConcatenationFrameOffsetNumber = number, begin
        ds.SOPInstanceUIDOfConcatenationSource = "1.2.3.4"
        if total:
            ds.InConcatenationTotalNumber = total
        parts.append(ds)
        begin += size
    return pixels, parts


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_of_a_concatenation_are_one_volume(tmp_path, order):
    pixels, parts = concatenation()
    (found,) = written(tmp_path, [parts[k] for k in order])
    assert not found.findings
    np.testing.assert_array_equal(fi.dicom.read(found).array, pixels - np.float32(1024))
    np.testing.assert_array_equal(fi.dicom.read(found.paths[::-1]).array, pixels - np.float32(1024))


@pytest.mark.parametrize(
    ("kept", "total", "text"),
    [
        ((0, 2), 3, "frames 4 to 5 of a concatenation are missing"),
        ((1, 2), 0, "frames 1 to 3 of a concatenation are missing"),
        ((0, 1), 3, "2 of 3 parts"),
        ((0,), 3, "1 of 3 parts"),
        ((2,), 0, "frames 1 to 5 of a concatenation are missing"),
    ],
)
def test_a_missing_part_is_told_and_refused(tmp_path, kept, total, text):
    pixels, parts = concatenation(total=total)
    (found,) = written(tmp_path, [parts[k] for k in kept])
    assert [f.code for f in found.findings][:1] == ["missing-slice"]
    assert text in found.findings[0].message
    with pytest.raises(fi.errors.GeometryError, match="missing-slice"):
        fi.dicom.read(found)
    if kept == (0, 1):
        seen = fi.dicom.read(found, tolerate="missing-slice").array
        np.testing.assert_array_equal(seen, pixels[:5] - np.float32(1024))


def test_a_part_that_stands_twice_is_told(tmp_path):
    _, parts = concatenation()
    (found,) = written(tmp_path, [*parts, parts[1]])
    assert "stand in two files" in found.findings[0].message
    with pytest.raises(fi.errors.GeometryError):
        fi.dicom.read(found)


def test_dimension_indices_order_frames_across_parts(tmp_path):
    """Times of three places, cut within the second time: only the object's own indices tell the frames apart."""
    pixels = volume_of(3, 6)
    parts, uid = [], generate_uid()
    for number, (begin, end) in enumerate([(0, 4), (4, 6)], 1):
        ds = enhanced(
            pixels[begin:end],
            [(1, 2, DEPTHS[k % 3]) for k in range(begin, end)],
            content=lambda k, begin=begin: {"DimensionIndexValues": [1 + (begin + k) // 3, 1 + (begin + k) % 3]},
        )
        ds.SOPInstanceUID, ds.ConcatenationUID = generate_uid(), uid
        ds.InConcatenationNumber, ds.ConcatenationFrameOffsetNumber = number, begin
        parts.append(ds)
    (found,) = written(tmp_path, parts)
    image = fi.dicom.read(found)
    assert image.dims == ("t", "z", "y", "x")
    np.testing.assert_array_equal(image.array, pixels.reshape(2, 3, 6, 8) - np.float32(1024))


def test_many_files_keep_the_rows_of_a_scan(tmp_path):
    """More files than rows are made one by one for."""
    count = _rows._FEW + 4
    (found,) = written(
        tmp_path, [whole(k, k, AcquisitionNumber=k) for k in range(count)], [f"{k:02}" for k in range(count)]
    )
    assert fi.dicom.read(found).array.shape == (count, 3, 6, 8)
