"""DICOM-SEG and RTSTRUCT on an image's grid: against slow twins, constructed shapes and the published phantom."""

from __future__ import annotations

import copy

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

import fastimg as fi
from fastimg.dicom import _native
from fastimg.dicom._masks import Packed, read_masks
from fastimg.dicom._rtstruct import _canonical
from fastimg.synth import _objects, _write
from fastimg.testing import masks as twin

FRAME = "1.2.3.4"


def fill(planes, rows, columns, threads=1):
    flat = [c for plane in planes for c in plane]
    points = np.concatenate([np.empty((0, 2)), *flat]).astype(np.float64)
    starts = np.concatenate([[0], np.cumsum([len(c) for c in flat])]).astype(np.int64)
    first = np.concatenate([[0], np.cumsum([len(p) for p in planes])]).astype(np.int64)
    return _native.fill_polygons(points, starts, first, rows, columns, threads)


# Halves and whole numbers make ties: points and edges exactly on pixel centres.
coordinate = st.integers(-6, 26).map(lambda n: n / 2) | st.floats(-4, 14, allow_nan=False)
contour = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=7).map(np.array)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(contour, max_size=3), min_size=1, max_size=3), st.sampled_from([1, 2, 4]))
def test_fill_equals_its_twin(planes, threads):
    found = fill(planes, 9, 10, threads)
    np.testing.assert_array_equal(found, [twin.fill_polygons(plane, 9, 10) for plane in planes])


@given(contour)
def test_polygons_that_share_an_edge_share_no_pixel_and_leave_none_out(outline):
    """A polygon and its complement in a rectangle, which it may cross, cover the rectangle once."""
    frame = np.array([[-9, -9], [-9, 30], [30, 30], [30, -9]])
    inner = fill([[outline]], 9, 10)
    outer = fill([[frame, outline]], 9, 10)
    np.testing.assert_array_equal(inner + outer, 1)


def test_a_keyhole_cancels_exactly():
    """Ring as one contour through a bridge, against the ring as two contours."""
    outer = np.array([[0.3, 0.2], [0.3, 15.1], [15.2, 15.1], [15.2, 0.2]])
    hole = np.array([[4.1, 4.4], [11.3, 4.4], [11.3, 11.2], [4.1, 11.2]])
    keyhole = np.concatenate([outer, outer[:1], hole, hole[:1]])
    np.testing.assert_array_equal(fill([[keyhole]], 17, 17), fill([[outer, hole]], 17, 17))
    assert fill([[keyhole]], 17, 17)[0, 8, 8] == 0


def test_wrong_borders_are_refused():
    points, borders = np.zeros((4, 2)), np.array([0, 4], np.int64)
    for starts, first in (([0, 5], [0, 1]), ([0, 4], [0, 2]), ([1, 4], [0, 1]), ([0, 3, 2, 4], [0, 3])):
        with pytest.raises(ValueError, match="fill_polygons"):
            _native.fill_polygons(points, np.array(starts), np.array(first), 3, 3, 1)
    assert _native.fill_polygons(points, borders, np.array([0, 1]), 3, 3, 1).shape == (1, 3, 3)


@given(st.integers(0, 2**60), st.tuples(*[st.integers(1, 9)] * 3))
def test_packed_masks_come_back(seed, shape):
    mask = (np.random.default_rng(seed).random(shape) < 0.1).astype(np.uint8)
    packed = Packed.of(mask)
    np.testing.assert_array_equal(packed.expand(shape), mask)
    assert packed.empty == (not mask.any())


# files ------------------------------------------------------------------------------------------------------------------


def image(shape=(8, 20, 24), spacing=(3.0, 1.0, 1.0), origin=(0, 0, 0), direction=None, frame=FRAME):
    return fi.Image(
        np.zeros(shape, np.int16), spacing=spacing, origin=origin, direction=direction,
        metadata={"frame_of_reference_uid": frame},
    )  # fmt: skip


def base():
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID, dataset.StudyDate, dataset.StudyTime = "A^B", "1", "20200101", "120000"
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", FRAME
    return dataset


def square(z, low=4.5, high=10.5):
    return np.array([[low, low, z], [high, low, z], [high, high, z], [low, high, z]])


def contours(*outlines, name="GTV", **kinds):
    return _objects.rtstruct(base(), {name: list(outlines)}, series_uid="1.2.9", sources={})


def codes(masks):
    return [f.code for f in masks.findings]


def test_a_square_fills_its_pixels():
    masks = read_masks(contours(square(6.0)), like=image())
    assert list(masks) == ["GTV"]
    assert masks["GTV"].unit == "label"
    expected = np.zeros((8, 20, 24), np.uint8)
    expected[2, 5:11, 5:11] = 1
    np.testing.assert_array_equal(masks["GTV"].array, expected)
    assert masks.findings == []


def test_duplicates_are_counted_once():
    outline = square(6.0)
    turned = np.roll(outline[::-1], 2, axis=0)
    closed = np.concatenate([outline, outline[:1]])
    masks = read_masks(contours(outline, turned, closed), like=image())
    assert masks["GTV"].array.sum() == 36  # twice would have cancelled, thrice not: so it is the finding that tells
    assert codes(masks) == ["mask-contour-duplicate"]
    assert masks.findings[0].details["count"] == 2


@given(contour, st.integers(0, 6), st.booleans())
def test_the_canonical_form_knows_no_start_and_no_direction(outline, turn, back):
    other = np.roll(outline[::-1] if back else outline, turn, axis=0)
    distinct = len(np.unique(outline, axis=0)) == len(outline)
    assert _canonical(outline) == _canonical(other) or not distinct


def test_nested_contours_are_a_hole():
    masks = read_masks(contours(square(6.0, 2.5, 12.5), square(6.0, 4.5, 8.5)), like=image())
    assert masks["GTV"].array.sum() == 100 - 16


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
@pytest.mark.parametrize("keyhole", [False, True])
def test_holes_by_a_second_contour_by_xor_and_by_keyhole_are_the_same(kind, keyhole):
    outer, inner = square(6.0, 2.5, 12.5), square(6.0, 4.5, 8.5)
    outlines = [np.concatenate([outer, outer[:1], inner, inner[:1]])] if keyhole else [outer, inner]
    dataset = contours(*outlines)
    for item in dataset.ROIContourSequence[0].ContourSequence:
        item.ContourGeometricType = kind
    masks = read_masks(dataset, like=image())
    expected = np.zeros((20, 24), np.uint8)
    expected[3:13, 3:13] = 1
    expected[5:9, 5:9] = 0
    np.testing.assert_array_equal(masks["GTV"].array[2], expected)
    assert masks.findings == []


def test_off_plane_contours_snap_within_half_a_slice():
    masks = read_masks(contours(square(7.4), square(-1.4), square(22.4), square(23.0)), like=image())
    np.testing.assert_array_equal(np.flatnonzero(masks["GTV"].array.any(axis=(1, 2))), [0, 2, 7])
    assert codes(masks) == ["mask-contour-off-plane"]  # 23.0 mm is 7.67 slices: beyond the last one's half
    assert masks.findings[0].details["count"] == 1


def test_of_two_planes_in_one_slice_the_nearer_counts():
    masks = read_masks(contours(square(6.1), square(7.2, 2.5, 12.5)), like=image())
    assert masks["GTV"].array.sum() == 36
    assert codes(masks) == ["mask-contour-off-plane"]


def test_a_tilted_contour_is_left_out():
    outline = square(6.0)
    outline[0, 2] += 1.0
    masks = read_masks(contours(outline), like=image())
    assert masks["GTV"].array.sum() == 0
    assert codes(masks) == ["mask-contour-off-plane", "mask-empty"]


def test_points_and_open_contours_are_skipped():
    dataset = contours(square(6.0), square(9.0))
    dataset.ROIContourSequence[0].ContourSequence[1].ContourGeometricType = "OPEN_PLANAR"
    point = _objects.rtstruct(base(), {}, series_uid="1.2.9", sources={}, points={"Isocentre": np.zeros(3)})
    masks = read_masks([dataset, point], like=image())
    assert list(masks) == ["GTV"]
    assert masks["GTV"].array.sum() == 36
    assert codes(masks) == ["mask-contour-skipped"] * 2


@pytest.mark.parametrize("data", [["1", "2"], ["1", "nan", "3"] * 3, ["1", "2", "3"] * 2, []])
def test_malformed_contours_are_skipped(data):
    dataset = contours(square(6.0), square(9.0))
    item = dataset.ROIContourSequence[0].ContourSequence[1]
    item["ContourData"]._value = data
    masks = read_masks(dataset, like=image())
    assert masks["GTV"].array.sum() == 36
    assert codes(masks) == ["mask-contour-skipped"]


def test_raw_and_parsed_numbers_agree(tmp_path):
    dataset = contours(square(6.0) + 1 / 3)
    path = tmp_path / "rs"
    fi.synth._write.write_dataset(path, dataset)
    parsed = pydicom.dcmread(path)
    str(parsed)  # converts every element
    one, other = read_masks(path, like=image()), read_masks(parsed, like=image())
    np.testing.assert_array_equal(one["GTV"].array, other["GTV"].array)
    assert one["GTV"].array.sum() == 36


def segmentation(mask, affine, label="Lesion", **more):
    masks = {label: mask, **more}
    dataset = _objects.segmentation(base(), masks, affine=affine, sources=["1.2.3.9"] * len(mask))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    return dataset


@pytest.fixture
def drawn():
    """A lopsided mask, so that a flip or a swap shows; with empty slices between."""
    rng = np.random.default_rng(2)
    mask = np.zeros((8, 20, 24), bool)
    mask[1, 3:9, 2:20] = rng.random((6, 18)) < 0.6
    mask[4, 0:3, 20:24] = True
    return mask


def test_sparse_binary_frames(drawn):
    like = image()
    other = np.roll(drawn, 1, axis=0)
    masks = read_masks(segmentation(drawn, like.affine, Other=other), like=like)
    assert list(masks) == ["Lesion", "Other"]
    np.testing.assert_array_equal(masks["Lesion"].array, drawn)
    np.testing.assert_array_equal(masks["Other"].array, other)
    assert masks.findings == []


def test_a_grid_turned_and_flipped(drawn):
    """The same voxels, stored along other axes: rows backwards, slices downwards, rows and columns swapped."""
    like = image()
    turned = copy.deepcopy(like.affine)
    stored = drawn[::-1, ::-1].swapaxes(1, 2)
    steps = turned[:3, :3].copy()
    turned[:3, 3] = like.affine[:3, :3] @ [drawn.shape[0] - 1, drawn.shape[1] - 1, 0] + like.affine[:3, 3]
    turned[:3, 0], turned[:3, 1], turned[:3, 2] = -steps[:, 0], steps[:, 2], -steps[:, 1]
    masks = read_masks(segmentation(stored, turned), like=like)
    np.testing.assert_array_equal(masks["Lesion"].array, drawn)
    assert masks.findings == []


def test_frames_of_another_grid_are_sampled(drawn):
    like = image((16, 40, 48), (1.5, 0.5, 0.5), origin=(-0.25, -0.25, -0.75))
    masks = read_masks(segmentation(drawn, image().affine), like=like)
    expected = drawn.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(masks["Lesion"].array, expected)
    assert codes(masks) == ["mask-resampled"]


def test_frames_beyond_the_image_are_told(drawn):
    like = image((3, 20, 24))
    masks = read_masks(segmentation(drawn, image().affine), like=like)
    np.testing.assert_array_equal(masks["Lesion"].array, drawn[:3])
    assert codes(masks) == ["mask-outside"]


def test_fractional_frames_use_the_threshold(drawn):
    dataset = segmentation(drawn, image().affine)
    frames = dataset.pixel_array
    values = (frames * np.random.default_rng(1).choice([1, 49, 50, 99, 100, 199, 200], frames.shape)).astype(np.uint8)
    dataset.SegmentationType, dataset.MaximumFractionalValue = "FRACTIONAL", 200
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = values.tobytes()
    for share, least in ((0.5, 100), (0.25, 50), (1.0, 200)):
        found = read_masks(dataset, like=image(), threshold=share)["Lesion"].array
        assert found.sum() == (values >= least).sum()
    assert 0 < (values >= 200).sum() < (values >= 100).sum() < drawn.sum()


def test_label_maps(drawn):
    dataset = segmentation(drawn, image().affine)
    frames = dataset.pixel_array.astype(np.uint8)
    frames[1] *= 3
    dataset.SegmentationType = "LABELMAP"
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.7"
    second = copy.deepcopy(dataset.SegmentSequence[0])
    second.SegmentNumber, second.SegmentLabel = 3, "Node"
    dataset.SegmentSequence.append(second)
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = frames.tobytes()
    masks = read_masks(dataset, like=image())
    np.testing.assert_array_equal(np.flatnonzero(masks["Lesion"].array.any(axis=(1, 2))), [1])
    np.testing.assert_array_equal(np.flatnonzero(masks["Node"].array.any(axis=(1, 2))), [4])


@pytest.mark.parametrize("syntax", ["rle", "jpeg-lossless", "j2k"])
def test_compressed_segmentations_are_read_from_their_files(drawn, tmp_path, syntax):
    """By this library's decoders: pydicom alone would need plug-ins for most of these."""
    dataset = segmentation(drawn, image().affine)
    values = (dataset.pixel_array * np.random.default_rng(5).integers(1, 201, dataset.pixel_array.shape)).astype(
        np.uint8
    )
    dataset.SegmentationType, dataset.MaximumFractionalValue = "FRACTIONAL", 200
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = pydicom.encaps.encapsulate([_write.compress(frame, syntax, 8) for frame in values])
    dataset["PixelData"].is_undefined_length = True
    _write.write_dataset(tmp_path / "a.dcm", dataset, syntax)
    expected = np.zeros(image().shape, np.uint8)
    expected[drawn.any(axis=(1, 2))] = values >= 100
    masks = read_masks(tmp_path / "a.dcm", like=image())
    np.testing.assert_array_equal(masks["Lesion"].array, expected)
    assert masks.findings == []
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[:-40])
    with pytest.raises(fi.errors.FormatError, match=r"pixels of a\.dcm"):
        read_masks(tmp_path / "a.dcm", like=image())


def test_another_frame_of_reference_is_refused(drawn):
    for dataset in (segmentation(drawn, image().affine), contours(square(6.0))):
        masks = read_masks(dataset, like=image(frame="1.2.3.5"))
        assert len(masks) == 0
        assert codes(masks) == ["mask-frame-of-reference"]
        assert len(read_masks(dataset, like=image(frame=""))) == 1


def test_names_that_stand_twice_are_numbered(drawn):
    dataset = segmentation(drawn, image().affine)
    masks = read_masks([dataset, dataset, contours(square(6.0), name="Lesion")], like=image())
    assert list(masks) == ["Lesion", "Lesion #2", "Lesion #3"]


def test_what_is_no_mask_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("no")
    with pytest.raises(fi.errors.FormatError, match=r"a\.txt"):
        read_masks(tmp_path, like=image())
    with pytest.raises(fi.errors.FormatError, match="neither"):
        read_masks(fi.synth.ct_series(tmp_path / "ct", slices=1, size=8).files, like=image())
    with pytest.raises(fi.errors.ArgumentError, match="like"):
        read_masks(tmp_path, like=np.zeros((1, 2, 3)))
    broken = segmentation(np.ones((1, 4, 4), bool), image().affine)
    broken.PerFrameFunctionalGroupsSequence = Sequence([])
    with pytest.raises(fi.errors.FormatError, match="describes 0 of its 1"):
        read_masks(broken, like=image())


def test_synthetic_hospitals_round_trip(tmp_path):
    manifest = fi.synth.hospitals(tmp_path / "tree", patients=1, size=48)
    for case in manifest.cases:
        like = fi.Image(
            np.zeros(case.shape, np.int16), case.affine, metadata={"frame_of_reference_uid": case.frame_uid}
        )
        masks = read_masks(tmp_path / "tree" / case.mask_file, like=like)
        np.testing.assert_array_equal(masks[case.mask_name].array, case.mask)
        assert masks.findings == []


def test_the_published_phantom_agrees_voxel_for_voxel(reference):
    """The contours of the CT phantom against the NIfTI mask that came with them."""
    nibabel = pytest.importorskip("nibabel")
    folder = reference / "ibsi1" / "ct_phantom"
    slices = [pydicom.dcmread(f, stop_before_pixels=True) for f in (folder / "dicom" / "image").iterdir()]
    slices.sort(key=lambda d: float(d.ImagePositionPatient[2]))
    first = slices[0]
    like = fi.Image(
        np.zeros((len(slices), first.Rows, first.Columns), np.int16),
        spacing=(3.0, *map(float, first.PixelSpacing)),
        origin=tuple(map(float, first.ImagePositionPatient)),
        metadata={"frame_of_reference_uid": str(first.FrameOfReferenceUID)},
    )
    masks = read_masks(folder / "dicom" / "mask", like=like)
    nifti = nibabel.load(next((folder / "nifti" / "mask").iterdir()))
    expected = np.asarray(nifti.dataobj).transpose(2, 1, 0)  # both run along +x, +y, +z of LPS
    np.testing.assert_allclose((np.diag([-1, -1, 1, 1]) @ nifti.affine)[:, [2, 1, 0, 3]], like.affine, atol=1e-5)
    np.testing.assert_array_equal(masks["GTV-1"].array, expected)
    assert masks.findings == []


def test_damaged_files_are_format_errors_that_quote_nothing(tmp_path):
    """Flipped bits, lost bytes and impossible lengths: a result or a FormatError, never another error or a long wait."""
    manifest = fi.synth.hospitals(tmp_path / "tree", patients=1, size=32)
    rng = np.random.default_rng(4)
    path, outcomes = tmp_path / "mutant", {"read": 0, "refused": 0}
    for case in manifest.cases[1:]:
        like = fi.Image(np.zeros(case.shape, np.uint8), case.affine)
        whole = (tmp_path / "tree" / case.mask_file).read_bytes()
        for _ in range(120):
            data = bytearray(whole)
            for at in rng.integers(132, len(data) - 50, rng.integers(1, 6)):
                kind = rng.integers(0, 3)
                if kind == 0:
                    data[at] ^= 1 << int(rng.integers(0, 8))
                elif kind == 1:
                    data[at : at + 4] = b"\xff\xff\xff\x7f"
                else:
                    del data[at : at + int(rng.integers(1, 40))]
            path.write_bytes(data)
            try:
                for mask in read_masks(path, like=like).values():
                    assert mask.array.max() <= 1
                outcomes["read"] += 1
            except fi.errors.FormatError as error:
                assert fi.dicom.residual(str(error), case.identifiers) == []
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 20, outcomes
