"""From stored values to what they mean: padding, real-world value maps, palettes, units and spacings of projections."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
import pydicom
import pytest
from dicom_maker import enhanced, image, save
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import _expand_segmented_lut
from pydicom.sequence import Sequence

import fastimg as fi
from fastimg.dicom._palette import expand

# padding ----------------------------------------------------------------------------------------------------------------


def test_padding_whose_value_collides_after_the_rescale_is_told_apart_in_stored_values(tmp_path):
    """Slope 1e-6 and intercept 1000: neighbours of the padding value round to the same float32."""
    stored = np.array([[0, 1, 2], [3, 60000, 65535]], np.uint16)
    save(image(stored, RescaleSlope="1e-6", RescaleIntercept="1000", PixelPaddingValue=1), tmp_path / "a.dcm")
    read = fi.dicom.read(tmp_path / "a.dcm")
    assert read.array[0, 0, 0] == read.array[0, 0, 1] == read.array[0, 0, 2]  # as float32 cannot tell them apart
    np.testing.assert_array_equal(read.padding[0], stored == 1)


@given(
    value=st.integers(0, 4095),
    limit=st.integers(0, 4095) | st.none(),
    slope=st.sampled_from([1, -1, 0.37, -2.5, 1e-7]),
    intercept=st.sampled_from([0, -1024, 0.1, 5000]),
    dtype=st.sampled_from(["float32", "exact"]),
)
def test_padding_ranges_equal_the_stored_values(tmp_path_factory, value, limit, slope, intercept, dtype):
    folder = tmp_path_factory.mktemp("padding")
    stored = np.random.default_rng(value).integers(0, 4096, (8, 9)).astype(np.uint16)
    stored[0, :3] = value, min(value + 1, 4095), max(value - 1, 0)
    more = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    ds = image(stored, RescaleSlope=slope, RescaleIntercept=intercept, PixelPaddingValue=value, **more)
    ds.BitsStored, ds.HighBit = 12, 11
    save(ds, folder / "a.dcm")
    low, high = sorted([value, value if limit is None else limit])
    read = fi.dicom.read(folder / "a.dcm", dtype=dtype)
    np.testing.assert_array_equal(read.padding[0], (stored >= low) & (stored <= high))
    expected = (stored * float(slope) + intercept).astype(read.dtype)
    np.testing.assert_array_equal(read.array[0], expected)  # voxels are not changed


def test_each_file_has_its_own_padding(tmp_path):
    for k, value in enumerate((7, 9)):
        stored = np.array([[7, 9], [1, 2]], np.uint16)
        save(image(stored, z=2.0 * k, number=k, PixelPaddingValue=value), tmp_path / f"{k}.dcm")
    read = fi.dicom.read(tmp_path)
    assert read.padding.tolist() == [[[True, False], [False, False]], [[False, True], [False, False]]]


def test_padding_of_float_pixels(tmp_path):
    pixels = np.array([[0.5, -1e30], [2.5, np.nan]], np.float32)
    ds = image(pixels, BitsAllocated=32, RescaleSlope=None, RescaleIntercept=None, Modality="MR")
    ds.FloatPixelData, ds.FloatPixelPaddingValue = pixels.tobytes(), float(np.float32(-1e30))
    save(ds, tmp_path / "f.dcm")
    read = fi.dicom.read(tmp_path / "f.dcm")
    assert read.padding[0].tolist() == [[False, True], [False, False]]


def _padded_image():
    rng = np.random.default_rng(3)
    array = rng.normal(100, 10, (12, 14, 16)).astype(np.float32)
    padding = np.zeros(array.shape, bool)
    padding[:, :4] = padding[:2] = True
    array[padding] = -2000
    return fi.Image(array, unit="arbitrary", padding=padding)


def test_padded_voxels_take_no_part_in_resampling_histograms_harmonisation_or_quality():
    from fastimg.pipeline._quality import quality

    padded = _padded_image()
    inside = padded.array[~padded.padding]
    low, high = inside.min(), inside.max()
    for order in ("nearest", "linear", "cubic"):
        moved = fi.resample(padded, spacing=(0.8, 0.8, 0.8), order=order)
        kept = moved.array[~moved.padding]
        assert kept.size
        span = 25 if order == "cubic" else 1e-3  # a spline overshoots a little, by no share of -2000
        assert low - span <= kept.min()
        assert kept.max() <= high + span
    z = fi.harmonize.zscore(padded)
    assert abs(z.array[~padded.padding].mean()) < 1e-3
    assert abs(z.array[~padded.padding].std() - 1) < 1e-2
    scaled = fi.harmonize.percentile(padded, low=1, high=99)
    bare = fi.harmonize.percentile(inside.reshape(-1, 1, 1), low=1, high=99)
    np.testing.assert_allclose(scaled.array[~padded.padding], bare.ravel(), atol=1e-6)
    histogram = fi.Histogram.of(padded)
    assert (histogram.count, histogram.min) == (inside.size, low)
    assert fi.Histogram.of(padded, bins=10, range=(-3000, 1000)).counts[:7].sum() == 0
    assert quality(padded) == []
    nyul = fi.harmonize.Nyul().fit([padded])
    other = fi.harmonize.Nyul().fit([fi.Image(inside.reshape(-1, 1, 1))])
    np.testing.assert_allclose(nyul.standard, other.standard, rtol=1e-6)
    matched = fi.harmonize.match_histogram(padded, fi.Image(inside.reshape(-1, 1, 1)))
    np.testing.assert_allclose(matched.array[~padded.padding], inside, rtol=1e-3)
    assert fi.histogram.moments(padded).count == inside.size


def test_one_histogram_over_mixed_units_and_a_ct_window_on_anything_else_are_errors():
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    ct, mr, bare = (fi.Histogram.of(fi.Image(values, unit=unit)) for unit in ("HU", "arbitrary", None))
    with pytest.raises(fi.errors.ArgumentError, match="in HU and in arbitrary"):
        ct + mr
    assert (ct + bare).unit == "HU"
    assert fi.Histogram.from_dict(ct.to_dict()).unit == "HU"
    assert fi.Histogram.from_dict(bare.to_dict()).unit is None
    assert (ct + ct).rebin(4, (0, 24)).unit == "HU"
    for unit in ("arbitrary", "SUV", "Bq/mL", "normalised"):
        with pytest.raises(fi.errors.ArgumentError, match="not HU"):
            fi.harmonize.window(fi.Image(values, unit=unit))


# units of CT ------------------------------------------------------------------------------------------------------------

AXIAL, DERIVED, SCOUT = (
    ["ORIGINAL", "PRIMARY", "AXIAL"],
    ["DERIVED", "SECONDARY", "AXIAL"],
    ["ORIGINAL", "PRIMARY", "LOCALIZER"],
)


@pytest.mark.parametrize(
    ("said", "kind", "energies", "unit"),
    [
        ("HU", DERIVED, None, "HU"),
        ("HU", SCOUT, None, "HU"),
        (None, AXIAL, None, "HU"),
        (None, DERIVED, "NO", "HU"),
        (None, AXIAL, "YES", "arbitrary"),
        ("US", AXIAL, None, "HU"),
        ("US", AXIAL, "NO", "HU"),
        ("US", AXIAL, "YES", "arbitrary"),
        ("US", DERIVED, None, "arbitrary"),
        ("US", SCOUT, None, "arbitrary"),
        ("US", None, None, "arbitrary"),
        ("OD", AXIAL, None, "OD"),
        ("MGML", AXIAL, "YES", "MGML"),
        ("HU_MOD", AXIAL, None, "HU_MOD"),
    ],
)
def test_ct_is_in_hounsfield_units_where_the_standard_says_so(tmp_path, said, kind, energies, unit):
    """PS3.3 C.8.2.1: type 1C of Rescale Type, and what it says of ORIGINAL images; C.11.1.1.2: US is unspecified."""
    elements = {"RescaleType": said, "MultienergyCTAcquisition": energies}
    told = {name: value for name, value in elements.items() if value is not None}
    ds = image(np.zeros((2, 2), np.uint16), ImageType=kind, **told)
    save(ds, tmp_path / "a.dcm")
    assert fi.dicom.read(tmp_path / "a.dcm").unit == unit


# real-world value maps --------------------------------------------------------------------------------------------------


def world(label, unit, *, slope=None, intercept=0.0, first=0, last=65535, lut=None, double=False):
    item, code = Dataset(), Dataset()
    item.LUTLabel, item.LUTExplanation = label, label
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
    item.MeasurementUnitsCodeSequence = Sequence([code])
    if double:
        item.DoubleFloatRealWorldValueFirstValueMapped, item.DoubleFloatRealWorldValueLastValueMapped = first, last
    else:
        item.add_new(0x00409216, "US", first)
        item.add_new(0x00409211, "US", last)
    if lut is not None:
        item.RealWorldValueLUTData = [float(v) for v in lut]
    else:
        item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, intercept
    return item


def test_real_world_values_on_request_and_by_name(tmp_path):
    stored = np.arange(12, dtype=np.uint16).reshape(3, 4)
    ds = image(stored, Modality="MR", RescaleSlope=2, RescaleIntercept=1)
    ds.RealWorldValueMappingSequence = Sequence(
        [world("ADC", "mm2/s", slope=1e-6), world("ADC_um", "um2/s", slope=1.0, intercept=5.0)]
    )
    save(ds, tmp_path / "a.dcm")
    plain = fi.dicom.read(tmp_path / "a.dcm")
    assert plain.unit == "arbitrary"
    np.testing.assert_array_equal(plain.array[0], 2 * stored + 1)
    first = fi.dicom.read(tmp_path / "a.dcm", real_world=True)
    assert first.unit == "mm2/s"
    np.testing.assert_array_equal(first.array[0], (stored * 1e-6).astype(np.float32))
    assert first.padding is None
    for name in (1, "ADC_um", "um2/s"):
        second = fi.dicom.read(tmp_path / "a.dcm", real_world=name)
        assert second.unit == "um2/s"
        np.testing.assert_array_equal(second.array[0], stored + 5)
    with pytest.raises(fi.errors.FormatError, match=r"real-world-missing: .*ADC in mm2/s, ADC_um in um2/s"):
        fi.dicom.read(tmp_path / "a.dcm", real_world="T1")
    with pytest.raises(fi.errors.ArgumentError, match="real_world"):
        fi.dicom.read(tmp_path / "a.dcm", real_world=-1)
    with pytest.raises(fi.errors.ArgumentError, match="exclude"):
        fi.dicom.read(tmp_path / "a.dcm", real_world=True, suv=True)


def test_stored_values_beyond_the_map_are_padding_with_a_finding(tmp_path):
    stored = np.arange(12, dtype=np.uint16).reshape(3, 4)
    ds = image(stored, Modality="MR", PixelPaddingValue=4)
    ds.RealWorldValueMappingSequence = Sequence([world("ADC", "um2/s", slope=-3.0, first=3, last=9)])
    save(ds, tmp_path / "a.dcm")
    read = fi.dicom.read(tmp_path / "a.dcm", real_world=True)
    np.testing.assert_array_equal(read.padding[0], (stored < 3) | (stored > 9) | (stored == 4))
    (finding,) = [f for f in read.metadata["findings"] if f["code"] == "real-world-range"]
    assert finding["details"]["voxels"] == 6


def test_real_world_tables(tmp_path):
    stored = np.array([[3, 4], [5, 6]], np.uint16)
    ds = image(stored, Modality="MR")
    ds.RealWorldValueMappingSequence = Sequence([world("T1", "ms", first=3, last=5, lut=[100.5, 200.25, 400.0])])
    save(ds, tmp_path / "a.dcm")
    read = fi.dicom.read(tmp_path / "a.dcm", real_world=True)
    assert read.array[0].tolist() == [[100.5, 200.25], [400.0, 400.0]]
    assert read.padding[0].tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize("shared", [True, False])
def test_a_parametric_map_has_real_world_values_frame_by_frame(tmp_path, shared):
    volume = np.arange(24, dtype=np.uint16).reshape(3, 2, 4)
    ds = enhanced(volume, [(0, 0, z) for z in (4.0, 0.0, 2.0)])
    ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.30", "MR"
    slopes = [0.5, 0.5, 0.5] if shared else [0.5, 0.25, 2.0]
    for group, slope in zip(ds.PerFrameFunctionalGroupsSequence, slopes, strict=True):
        del group.PixelValueTransformationSequence
        if not shared:
            group.RealWorldValueMappingSequence = Sequence([world("Ktrans", "/min", slope=slope, intercept=1.0)])
    if shared:
        ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = Sequence(
            [world("Ktrans", "/min", slope=0.5, intercept=1.0)]
        )
    save(ds, tmp_path / "m.dcm")
    read = fi.dicom.read(tmp_path / "m.dcm")
    assert read.unit == "/min"
    for place, frame in enumerate((1, 2, 0)):
        np.testing.assert_array_equal(read.array[place], (volume[frame] * slopes[frame] + 1).astype(np.float32))
    bare = fi.dicom.read(tmp_path / "m.dcm", real_world=False)
    np.testing.assert_array_equal(bare.array[0], volume[1])


def test_mixed_real_world_units_are_refused(tmp_path):
    for k, unit in enumerate(("um2/s", "mm2/s")):
        ds = image(np.zeros((2, 2), np.uint16), z=2.0 * k, number=k, Modality="MR")
        ds.RealWorldValueMappingSequence = Sequence([world("ADC", unit, slope=1.0)])
        save(ds, tmp_path / f"{k}.dcm")
    with pytest.raises(fi.errors.FormatError, match="differ in unit: mm2/s, um2/s"):
        fi.dicom.read(tmp_path, real_world=True)


# palettes ---------------------------------------------------------------------------------------------------------------


def test_segmented_palettes_by_hand():
    """PS3.3 C.7.9.2: three values, a ramp of four, and the first two segments again."""
    data = [0, 3, 10, 20, 30, 1, 4, 70, 2, 2, 0, 0]
    assert expand(data, 14).tolist() == [10, 20, 30, 40, 50, 60, 70] * 2
    assert expand([0, 1, 5, 0, 1, 9, 2, 1, 6, 0], 3).tolist() == [5, 9, 9]  # byte 6 is the fourth word
    assert expand([0, 1, 5, 0, 1, 9, 2, 1, 3, 0, 0, 0], 3, size=1).tolist() == [5, 9, 9]
    assert expand([0, 1, 5, 0, 1, 9, 2, 1, 0, 3, 0, 0], 3, size=1, big=True).tolist() == [5, 9, 9]


segments = st.one_of(
    st.lists(st.integers(0, 65535), min_size=1, max_size=6).map(lambda v: [0, len(v), *v]),
    st.tuples(st.integers(1, 9), st.integers(0, 65535)).map(lambda t: [1, *t]),
)


@given(st.lists(segments, max_size=6))
def test_segmented_palettes_equal_pydicoms(parts):
    data = [0, 1, 7, *(word for part in parts for word in part)]
    expected = _expand_segmented_lut(tuple(data), "<H")
    assert expand(data, len(expected)).tolist() == expected


@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 70))
def test_any_segments_end_in_a_table_or_an_error(data, entries):
    with contextlib.suppress(fi.errors.FormatError):
        assert len(expand(data, entries)) == entries


def test_a_file_with_a_segmented_palette(tmp_path):
    stored = np.array([[0, 3], [6, 6]], np.uint8)
    ds = image(stored, PhotometricInterpretation="PALETTE COLOR", RescaleSlope=None, RescaleIntercept=None)
    words = np.array([0, 3, 1000, 2000, 3000, 1, 4, 7000], "<u2").tobytes()
    for number in (1, 2, 3):
        ds.add_new(0x00281100 + number, "US", [7, 0, 16])
        ds.add_new(0x00281220 + number, "OW", words)
    save(ds, tmp_path / "p.dcm")
    read = fi.dicom.read(tmp_path / "p.dcm")
    assert read.dims == ("channel", "z", "y", "x")
    assert read.array[:, 0].tolist() == [[[1000, 4000], [7000, 7000]]] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(tmp_path / "p.dcm")
        expected = pydicom.pixels.apply_color_lut(stored, dataset)
    np.testing.assert_array_equal(np.moveaxis(read.array[:, 0], 0, -1), expected)
