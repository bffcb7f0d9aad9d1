"""dicom.read: volumes in modality units, exact integers, padding, tables, colours, functional groups, SUV."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from dicom_maker import compressed, enhanced, image, save, stack_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import fastimg as fi
from fastimg.testing import dicom as twin

RLE = "1.2.840.10008.1.2.5"


@pytest.mark.parametrize("syntax", [None, "1.2.840.10008.1.2.4.70"])
def test_a_volume_beyond_the_caches(tmp_path, syntax):
    """Written past them; slices of odd size do not all begin where that is possible."""
    volume = np.random.default_rng(1).integers(0, 9, (3, 1, 1801)).astype(np.uint16)
    volume = np.repeat(volume, 1801, axis=1)
    volume[:, ::7] += 3
    for k, pixels in enumerate(volume):
        ds = image(pixels, z=2.0 * k)
        path = tmp_path / str(k)
        if syntax is None:
            save(ds, path)
        else:
            compressed(ds, [imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=16)], syntax, path)
    np.testing.assert_array_equal(fi.dicom.read(tmp_path).array, volume.astype(np.float32) - 1024)


def test_volume_affine_and_unit(tmp_path):
    volume = stack_of(tmp_path, [-5, -2.5, 0, 2.5])
    read = fi.dicom.read(tmp_path)
    assert (read.unit, read.dtype, read.dims) == ("HU", np.float32, ("z", "y", "x"))
    np.testing.assert_array_equal(read.array, volume.astype(np.float32) - 1024)
    np.testing.assert_array_equal(read.affine, [[0, 0, 0.75, -10], [0, 0.5, 0, -20], [2.5, 0, 0, -5], [0, 0, 0, 1]])
    assert read.padding is None
    assert read.metadata["findings"] == []


def test_sources(tmp_path):
    stack_of(tmp_path, [0, 1, 2])
    by_folder = fi.dicom.read(tmp_path)
    paths = sorted(tmp_path.iterdir())
    for source in (str(tmp_path), fi.dicom.series(tmp_path)[0], paths, paths[::-1]):
        np.testing.assert_array_equal(fi.dicom.read(source).array, by_folder.array)
    assert fi.dicom.read(paths[0]).shape == (1, 6, 7)
    with pytest.raises(fi.errors.ArgumentError, match="expected a Series"):
        fi.dicom.read([])
    with pytest.raises(fi.errors.ArgumentError, match="no file"):
        fi.dicom.read([tmp_path / "absent"])
    with pytest.raises(fi.errors.ArgumentError, match="tolerate"):
        fi.dicom.read(tmp_path, tolerate=["nonsense"])
    save(image(np.zeros((3, 3), np.uint16), series="1.2.3"), tmp_path / "other")
    with pytest.raises(fi.errors.ArgumentError, match="2 volumes"):
        fi.dicom.read(tmp_path)


def test_images_without_a_series_are_told_and_can_be_read_by_name(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    volume = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    for k in range(2):
        save(image(volume[k], z=2.0 * k, SeriesInstanceUID=None), root / f"{k}")
    assert fi.dicom.scan(root)["finding"].to_pylist() == ["no-series"] * 2
    assert fi.dicom.series(root) == []
    read = fi.dicom.read(sorted(root.iterdir()))
    np.testing.assert_array_equal(read.array, volume - 1024.0)
    assert read.spacing[0] == 2
    np.testing.assert_array_equal(fi.dicom.read(root / "1").array[0], volume[1] - 1024.0)
    batch = fi.dicom.deidentify_folder(root, tmp_path / "out", fi.dicom.Profile(key=b"k" * 32))
    assert (batch.files, batch.left_out, dict(batch.findings)) == (0, 2, {"no-series": 2})


@settings(max_examples=15, deadline=None)
@given(
    lines=st.lists(
        st.tuples(st.floats(-100, 100).filter(lambda v: abs(v) > 1e-3), st.floats(-1e4, 1e4)), min_size=3, max_size=3
    ),
    threads=st.integers(1, 3),
    syntax=st.sampled_from(["1.2.840.10008.1.2.1", RLE]),
)
def test_each_slice_has_its_own_rescale(tmp_path_factory, lines, threads, syntax):
    folder = tmp_path_factory.mktemp("r")
    volume = np.random.default_rng(0).integers(-(2**15), 2**15, (3, 5, 6)).astype(np.int16)
    expected = []
    for k, line in enumerate(lines):
        slope, intercept = (float(f"{v:.8g}") for v in line)
        ds = image(volume[k], z=2.0 * k, RescaleSlope=f"{slope:.8g}", RescaleIntercept=f"{intercept:.8g}")
        if syntax == RLE:
            compressed(ds, [twin.rle_frame(volume[k])], RLE, folder / f"{k}")
        else:
            save(ds, folder / f"{k}")
        expected.append(twin.rescale(volume[k], slope, intercept))
    np.testing.assert_array_equal(fi.dicom.read(folder, threads=threads).array, np.stack(expected))


@pytest.mark.parametrize(
    ("dtype", "stored", "line", "wanted"),
    [
        (np.uint16, 12, (1, -1024), np.int16),
        (np.uint16, 12, (1, 0), np.int16),
        (np.uint8, 8, (1, 0), np.uint8),
        (np.int16, 16, (1, 0), np.int16),
        (np.uint16, 16, (1, 0), np.uint16),
        (np.uint16, 16, (2, 0), np.uint16),  # 17 bits could be needed; these values fit 16
        (np.uint16, 16, (1, -1024), np.int16),
        (np.uint16, 12, (0.5, 0), np.float32),
        (np.uint16, 12, (1, 0.5), np.float32),
    ],
)
def test_exact_type_is_the_smallest_that_holds_the_values(tmp_path, dtype, stored, line, wanted):
    pixels = np.random.default_rng(1).integers(0, 1 << min(stored, 11), (2, 8, 8)).astype(dtype)
    pixels[0, 0, 0], pixels[0, 0, 1] = 0, (1 << min(stored, 15)) - 1 if line == (2, 0) else 7
    for k in range(2):
        ds = image(
            pixels[k], z=float(k), BitsStored=stored, HighBit=stored - 1, RescaleSlope=line[0], RescaleIntercept=line[1]
        )
        save(ds, tmp_path / f"{k}")
    read = fi.dicom.read(tmp_path, dtype="exact")
    assert read.dtype == wanted
    np.testing.assert_array_equal(read.array.astype(np.float64), pixels.astype(np.float64) * line[0] + line[1])
    out = np.empty(read.shape, wanted)
    assert fi.dicom.read(tmp_path, dtype="exact", out=out).array is out
    np.testing.assert_array_equal(out, read.array)


def test_out_is_written_and_checked(tmp_path):
    stack_of(tmp_path, [0, 1, 2])
    out = np.empty((3, 6, 7), np.float32)
    assert fi.dicom.read(tmp_path, out=out).array is out
    with pytest.raises(fi.errors.ArgumentError, match="out"):
        fi.dicom.read(tmp_path, out=np.empty((3, 6, 7), np.int16))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("limit", [None, 5])
def test_padding_is_known_in_stored_units(tmp_path, signed, limit):
    kind = np.int16 if signed else np.uint16
    value = -2000 if signed else 3
    for k in range(2):
        pixels = np.random.default_rng(k).integers(6, 3000, (4, 5)).astype(kind)
        pixels[k, :] = value
        pixels[3, 0] = 5
        ds = image(pixels, z=float(k), RescaleSlope="0.1", RescaleIntercept="-7.3", PixelPaddingValue=value)
        ds["PixelPaddingValue"].VR = "SS" if signed else "US"
        if limit is not None:
            ds.PixelPaddingRangeLimit = limit
            ds["PixelPaddingRangeLimit"].VR = "SS" if signed else "US"
        save(ds, tmp_path / f"{k}")
    expected = np.zeros((2, 4, 5), bool)
    expected[0, 0] = expected[1, 1] = True
    if limit is not None:
        expected[:, 3, 0] = True
    np.testing.assert_array_equal(fi.dicom.read(tmp_path).padding, expected)


def test_tolerated_gap_is_filled_and_marked(tmp_path):
    volume = stack_of(tmp_path, [0, 2, 6, 8], names=list("abcd"))
    read = fi.dicom.read(tmp_path, tolerate="missing-slice")
    assert read.shape == (5, 6, 7)
    assert read.spacing[0] == 2
    np.testing.assert_array_equal(read.array[[0, 1, 3, 4]], volume.astype(np.float32) - 1024)
    assert read.padding[2].all()
    assert not read.padding[[0, 1, 3, 4]].any()
    assert [f["code"] for f in read.metadata["findings"]] == ["missing-slice"]


def test_tolerated_uneven_slices_lie_where_they_belong(tmp_path):
    """A ramp along z stays a ramp: value = 100 * depth."""
    depths = [0, 2, 4, 7, 9]
    for k, depth in enumerate(depths):
        save(image(np.full((3, 3), 100 * depth, np.uint16), z=float(depth), RescaleIntercept=0), tmp_path / f"{k}")
    read = fi.dicom.read(tmp_path, tolerate=["uneven-spacing"])
    assert read.spacing[0] == pytest.approx(2)
    np.testing.assert_allclose(read.array[:, 0, 0], [0, 200, 400, 600, 800])


def test_tolerated_duplicates_keep_the_first(tmp_path):
    volume = stack_of(tmp_path, [0, 2, 4], names=list("abc"))
    save(image(np.zeros((6, 7), np.uint16), z=2, number=2), tmp_path / "d")
    np.testing.assert_array_equal(fi.dicom.read(tmp_path, tolerate=["duplicate-position"]).array, volume - 1024.0)


def test_monochrome1_is_about_display(tmp_path):
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    save(image(pixels, PhotometricInterpretation="MONOCHROME1"), tmp_path / "x")
    np.testing.assert_array_equal(fi.dicom.read(tmp_path).array[0], pixels - 1024.0)


def test_modality_lut(tmp_path):
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    ds = image(pixels, Modality="CR", RescaleSlope=None, RescaleIntercept=None)
    table = Dataset()
    table.LUTDescriptor = [4, 3, 16]
    table["LUTDescriptor"].VR = "US"
    table.LUTData = np.array([50, 60, 80, 1000], "<u2").tobytes()
    table["LUTData"].VR = "OW"
    table.ModalityLUTType = "OD"
    ds.ModalityLUTSequence = Sequence([table])
    save(ds, tmp_path / "x")
    wanted = np.array([50, 50, 50, 50, 60, 80, 1000, 1000, 1000, 1000, 1000, 1000]).reshape(3, 4)
    np.testing.assert_array_equal(fi.dicom.read(tmp_path).array[0], wanted)


def test_a_zero_slope_is_refused(tmp_path):
    save(image(np.zeros((3, 3), np.uint16), RescaleSlope=0), tmp_path / "x")
    with pytest.raises(fi.errors.FormatError, match="slope is zero"):
        fi.dicom.read(tmp_path)


def test_colours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    save(image(pixels, Modality="OT"), tmp_path / "x")
    read = fi.dicom.read(tmp_path)
    assert read.dims == ("channel", "z", "y", "x")
    np.testing.assert_array_equal(np.moveaxis(read.array, 0, -1)[0], pixels)


def test_palette_index_beyond_the_table_takes_its_end(tmp_path):
    pixels = np.array([[0, 2, 3], [4, 200, 255]], np.uint8)
    ds = image(pixels, Modality="US", PhotometricInterpretation="PALETTE COLOR")
    for name, base in (("Red", 10), ("Green", 20), ("Blue", 30)):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [3, 2, 16])
        ds[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(ds, f"{name}PaletteColorLookupTableData", np.array([base, base + 1, base + 2], "<u2").tobytes())
    save(ds, tmp_path / "x")
    read = fi.dicom.read(tmp_path)
    np.testing.assert_array_equal(read.array[0, 0], [[10, 10, 11], [12, 12, 12]])
    np.testing.assert_array_equal(read.array[2, 0], [[30, 30, 31], [32, 32, 32]])


# enhanced multi-frame -------------------------------------------------------------------------------------------------------


def test_enhanced_frames_are_sorted_and_rescaled_one_by_one(tmp_path):
    volume = np.random.default_rng(0).integers(0, 4096, (5, 4, 6)).astype(np.uint16)
    order = [3, 0, 4, 1, 2]
    slopes, intercepts = [1, 2, 0.5, 1, 3], [-1024, 0, 10, -1000, 0.25]
    save(enhanced(volume, [(1, 2, 3.0 * k) for k in order], slopes=slopes, intercepts=intercepts), tmp_path / "x.dcm")
    read = fi.dicom.read(tmp_path / "x.dcm")
    expected = np.empty((5, 4, 6), np.float32)
    for frame, k in enumerate(order):
        expected[k] = twin.rescale(volume[frame], slopes[frame], intercepts[frame])
    np.testing.assert_array_equal(read.array, expected)
    np.testing.assert_allclose(read.affine[:3], [[0, 0, 0.75, 1], [0, 0.5, 0, 2], [3, 0, 0, 0]])
    assert read.unit == "HU"


def test_enhanced_time_is_a_leading_axis(tmp_path):
    volume = np.arange(6 * 4, dtype=np.uint16).reshape(6, 2, 2)
    place = [(0, 0, 2.0 * (k % 3)) for k in range(6)]
    time = lambda k: {"TemporalPositionIndex": 1 + k // 3, "DimensionIndexValues": [1 + k // 3, 1 + k % 3]}  # noqa: E731
    save(enhanced(volume, place, content=time), tmp_path / "x.dcm")
    read = fi.dicom.read(tmp_path / "x.dcm", dtype="exact")
    assert read.dims == ("t", "z", "y", "x")
    np.testing.assert_array_equal(read.array, volume.reshape(2, 3, 2, 2).astype(np.int32) - 1024)


def test_enhanced_gap_names_the_frame(tmp_path):
    volume = np.zeros((4, 2, 2), np.uint16)
    save(enhanced(volume, [(0, 0, z) for z in (0, 2, 6, 8)]), tmp_path / "x.dcm")
    with pytest.raises(fi.errors.GeometryError, match=r"missing-slice.*between frame 2 and frame 3"):
        fi.dicom.read(tmp_path / "x.dcm")


def test_more_frames_than_functional_groups_is_damage(tmp_path):
    ds = enhanced(np.zeros((4, 2, 2), np.uint16), [(0, 0, z) for z in range(3)])
    save(ds, tmp_path / "x.dcm")
    with pytest.raises(fi.errors.FormatError, match="3 functional groups for 4 frames"):
        fi.dicom.read(tmp_path / "x.dcm")


# PET ------------------------------------------------------------------------------------------------------------------------

WEIGHT, DOSE, HALF_LIFE = 72.5, 3.7e8, 6586.2


def pet(folder, *, start="100000", injected="090000", units="BQML", correction="START", date="20260102", **changes):
    """A uniform phantom in which the whole dose is spread over the weight at 1 g/mL: SUV is 1 everywhere."""
    hours = {"START": 3600.0, "ADMIN": 0.0, "NONE": 0.0}[correction] if start == "100000" else 3600.0
    activity = DOSE * 2 ** (-hours / HALF_LIFE) / (WEIGHT * 1000)
    stored = np.full((4, 4), 20000, np.uint16)
    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = DOSE, HALF_LIFE
    drug.RadiopharmaceuticalStartTime = injected
    for k in range(2):
        ds = image(
            stored, z=2.0 * k, Modality="PT", SOPClassUID="1.2.840.10008.5.1.4.1.1.128", RescaleSlope=f"{activity / 20000:.10g}",
            RescaleIntercept=0, Units=units, DecayCorrection=correction, PatientWeight=WEIGHT, SeriesDate=date, SeriesTime=start,
            AcquisitionDate=date, AcquisitionTime=start,
        )  # fmt: skip
        ds.RadiopharmaceuticalInformationSequence = Sequence([drug])
        for name, value in changes.items():
            where = drug if name.startswith("Radio") else ds
            if value is not None:
                setattr(where, name, value)
            elif name in where:
                delattr(where, name)
        save(ds, folder / f"{k}")


@pytest.mark.parametrize("case", [{}, {"correction": "ADMIN"}, {"start": "003000", "injected": "233000"}], ids=str)
def test_suv_of_a_uniform_phantom_is_one(tmp_path, case):
    """START, ADMIN, across midnight."""
    pet(tmp_path, **case)
    assert fi.dicom.read(tmp_path).unit == "Bq/mL"
    read = fi.dicom.read(tmp_path, suv=True)
    assert read.unit == "SUV"
    np.testing.assert_allclose(read.array, 1, rtol=1e-3)
    np.testing.assert_allclose(read.array, 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"PatientWeight": None}, "weight"),
        ({"PatientWeight": 0}, "weight"),
        ({"RadionuclideTotalDose": 0}, "injected dose"),
        ({"RadionuclideHalfLife": None}, "half life"),
        ({"RadiopharmaceuticalStartTime": None}, "time of the injection"),
        ({"correction": "NONE"}, "decay correction"),
        ({"units": "PROPCPS"}, "PROPCPS"),
    ],
)
def test_suv_is_never_guessed(tmp_path, case, words):
    pet(tmp_path, **case)
    with pytest.raises(fi.errors.FormatError, match=f"suv-missing.*{words}"):
        fi.dicom.read(tmp_path, suv=True)


def test_suv_factor_of_philips_counts(tmp_path):
    pet(tmp_path, units="CNTS")
    for path in tmp_path.iterdir():
        import pydicom

        ds = pydicom.dcmread(path)
        ds.add_new(0x70530010, "LO", "Philips PET Private Group")
        ds.add_new(0x70531000, "DS", "0.0005")
        ds.RescaleSlope = 1
        ds.save_as(path)
    np.testing.assert_allclose(fi.dicom.read(tmp_path, suv=True).array, 10, rtol=1e-6)


def test_suv_of_anything_but_pet_is_refused(tmp_path):
    stack_of(tmp_path, [0, 1])
    with pytest.raises(fi.errors.ArgumentError, match="only PET"):
        fi.dicom.read(tmp_path, suv=True)
