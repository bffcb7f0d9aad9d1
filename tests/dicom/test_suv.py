"""SUV: the formula on figures worked by hand, and on a phantom built backwards from its SUV."""

from __future__ import annotations

import copy

import numpy as np
import pydicom
import pytest
from dicom_maker import enhanced, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import fastimg as fi
from fastimg.dicom._suv import by_weight, suv_factor, suv_inputs


def test_the_formula_by_hand():
    """70 kg, 350 MBq, one half life: 70000 / 175e6 = 0.0004 per Bq/mL; 5000 Bq/mL is SUV 2."""
    factor = by_weight(weight_kg=70, dose_bq=350e6, half_life_s=6586.2, wait_s=6586.2)
    assert factor * 5000 == pytest.approx(2.0, rel=1e-12)
    assert by_weight(weight_kg=70, dose_bq=350e6, half_life_s=6586.2, wait_s=9e9, decay="ADMIN") == 70000 / 350e6


@pytest.mark.parametrize(
    "bad", [{"weight_kg": 0}, {"dose_bq": -1}, {"half_life_s": np.nan}, {"wait_s": -1}, {"decay": "NONE"}]
)
def test_impossible_figures_are_errors(bad):
    good = {"weight_kg": 70, "dose_bq": 3e8, "half_life_s": 6586.2, "wait_s": 3600.0}
    with pytest.raises(fi.errors.ArgumentError, match=next(iter(bad))):
        by_weight(**{**good, **bad})


CASES = [
    {},
    {"decay": "ADMIN"},
    {"injected": "20210303 233000", "started": "20210304 003000"},
    {"weight_kg": 43.5, "dose_bq": 1.1e8, "half_life": 1223.4, "injected": "20210304 095000"},
]


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("dated", [True, False])
def test_the_phantom_to_a_thousandth(tmp_path, options, dated):
    written, suv = fi.synth.pet_series(tmp_path, slices=4, size=24, **options)
    for k, file in enumerate(written.files):
        d = pydicom.dcmread(file)
        if not dated:  # only the time of day remains: midnight must be found
            del d.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime
        inputs, finding = suv_inputs(d)
        assert finding is None
        values = d.pixel_array * float(d.RescaleSlope) * inputs.factor
        inside = suv[k] > 0
        np.testing.assert_allclose(values[inside], suv[k][inside], rtol=1e-3)
        assert (values[~inside] == 0).all()


def header(tmp_path, **attributes):
    written, _ = fi.synth.pet_series(tmp_path, slices=1, size=8, attributes=attributes)
    return pydicom.dcmread(written.files[0])


DRUG = "RadiopharmaceuticalInformationSequence"


def change(d, path, value):
    item = d[DRUG][0] if path.startswith("Radio") and path != DRUG else d
    if value is None:
        del item[path]
    else:
        setattr(item, path, value)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("PatientWeight", None, "weight"),
        ("PatientWeight", "0", "weight"),
        ("RadionuclideTotalDose", "0", "dose"),
        ("RadionuclideTotalDose", None, "dose"),
        ("RadionuclideHalfLife", None, "half life"),
        ("SeriesTime", None, "time of the scan"),
        ("AcquisitionTime", "095959", "time of the scan"),  # before the series: the series time is not the scan's
        ("RadiopharmaceuticalStartDateTime", "20210301090000", "10 half lives"),
        ("DecayCorrection", "NONE", "START or ADMIN"),
        ("CorrectedImage", ["ATTN"], "DECY"),
        ("Units", "PROPCPS", "units"),
        (DRUG, [], "one radiopharmaceutical"),
    ],
)
def test_what_is_missing_is_a_finding(tmp_path, path, value, told):
    d = header(tmp_path)
    assert suv_inputs(d)[1] is None
    change(d, path, value)
    inputs, finding = suv_inputs(d)
    assert inputs.factor is None
    assert finding.code == "suv-missing"
    assert told in finding.message


def test_times_missing_altogether(tmp_path):
    d = header(tmp_path)
    change(d, "RadiopharmaceuticalStartDateTime", None)
    change(d, "RadiopharmaceuticalStartTime", None)
    assert "time of the injection" in suv_inputs(d)[1].message
    d.DecayCorrection = "ADMIN"  # needs no time
    assert suv_inputs(d)[0].factor == pytest.approx(70000 / 3.7e8)


def test_the_private_scan_time_is_used_where_the_series_is_later(tmp_path):
    d = header(tmp_path)
    expected = suv_inputs(copy.deepcopy(d))[0].factor
    d.SeriesTime = "170000"
    assert suv_inputs(d)[0].factor is None
    d.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20210304100000.00")
    assert suv_inputs(d)[0].factor == pytest.approx(expected)


def test_other_units(tmp_path):
    d = header(tmp_path, Units="GML")
    assert suv_inputs(d)[0].factor == 1.0
    d.SUVType = "LBM"
    assert suv_inputs(d)[0].factor is None
    d = header(tmp_path / "b", Units="CNTS")
    assert suv_inputs(d)[0].factor is None
    d.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.00038")
    assert suv_inputs(d)[0].factor == 0.00038


@pytest.mark.parametrize(
    ("kind", "unit"),
    [("BW", "SUV"), (None, "SUV"), ("LBM", "SUVlbm"), ("LBMJAMES128", "SUVlbm(James128)"), ("LBMJANMA", "SUVlbm(Janma)"),
     ("BSA", "SUVbsa"), ("IBW", "SUVibw"), ("NEW", "arbitrary")],
)  # fmt: skip
def test_only_body_weight_is_called_suv(tmp_path, kind, unit):
    written, _ = fi.synth.pet_series(tmp_path, slices=3, size=8)
    for file in written.files:
        d = pydicom.dcmread(file)
        d.Units = "GML"
        if kind:
            d.SUVType = kind
        d.save_as(file)
    plain = fi.dicom.read(tmp_path)
    assert plain.unit == unit
    if unit == "SUV":
        np.testing.assert_array_equal(fi.dicom.read(tmp_path, suv=True).array, plain.array)
    else:
        with pytest.raises(fi.errors.FormatError, match=r"suv-missing: .*SUVType"):
            fi.dicom.read(tmp_path, suv=True)


@pytest.mark.parametrize("options", CASES)
def test_read_gives_the_same_from_the_columns_of_a_scan(tmp_path, options):
    written, suv = fi.synth.pet_series(tmp_path, slices=4, size=24, **options)
    image = fi.dicom.read(written.files, suv=True)
    assert image.unit == "SUV"
    np.testing.assert_allclose(image.array, suv, rtol=1e-3)
    row = fi.dicom.scan(tmp_path).to_pylist()[0]
    assert suv_factor(row)[0] == pytest.approx(suv_inputs(pydicom.dcmread(written.files[0]))[0].factor, rel=1e-12)


def test_philips_counts_through_activity(tmp_path):
    d = header(tmp_path, Units="CNTS")
    expected = suv_inputs(header(tmp_path / "b"))[0].factor
    d.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x09, "DS", "2.5")
    assert suv_inputs(d)[0].factor == pytest.approx(2.5 * expected)


@pytest.mark.parametrize(
    ("change_of", "expected"),
    [("GE scan time", "same"), ("Philips factor", 0.00038), ("Philips activity", "same"), ("GML of lean body mass", "SUVType"),
     ("two drugs", "one radiopharmaceutical"), ("weights differ", "one patient weight"), ("types differ", "one suv type"),
     ("creator of another maker", "SUV and activity factors"), ("bed two first", "same")],
)  # fmt: skip
def test_read_knows_private_elements_and_what_differs_between_slices(tmp_path, change_of, expected):
    """In whole series, through `read`: factors and scan times of the makers, and contradictions between slices."""
    written, _ = fi.synth.pet_series(tmp_path, slices=3, size=8)
    plain = fi.dicom.read(tmp_path).array
    factor = suv_inputs(pydicom.dcmread(written.files[0]))[0].factor
    for k, file in enumerate(written.files):
        d = pydicom.dcmread(file)
        if change_of == "GE scan time":
            d.SeriesTime = "170000"
            d.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20210304100000.00")
        elif change_of == "bed two first":  # slices are in order of position, not of time
            d.AcquisitionTime = ("100600", "100300", "100000")[k]
        elif change_of.startswith("Philips"):
            d.Units = "CNTS"
            block = d.private_block(0x7053, "Philips PET Private Group", create=True)
            block.add_new(*((0x00, "DS", "0.00038") if "factor" in change_of else (0x09, "DS", "1.0")))
        elif change_of == "creator of another maker":
            d.Units = "CNTS"
            d.private_block(0x7053, "ACME", create=True).add_new(0x00, "DS", "0.00038")
        elif change_of == "GML of lean body mass":
            d.Units, d.SUVType = "GML", "LBM"
        elif change_of == "two drugs":
            d[DRUG].value.append(copy.deepcopy(d[DRUG][0]))
        elif change_of == "types differ":
            d.Units, d.SUVType = "GML", ("BW", "LBM", "BW")[k]
        elif k == 1:
            d.PatientWeight = "71"
        d.save_as(file)
    if expected == "same":
        np.testing.assert_allclose(fi.dicom.read(tmp_path, suv=True).array, plain * factor, rtol=1e-6)
    elif isinstance(expected, float):
        np.testing.assert_allclose(fi.dicom.read(tmp_path, suv=True).array, plain * expected, rtol=1e-6)
    else:
        with pytest.raises(fi.errors.FormatError, match=rf"suv-missing: .*{expected}"):
            fi.dicom.read(tmp_path, suv=True)


def test_a_run_keeps_activity_where_suv_is_missing_and_says_so(tmp_path):
    from fastimg.pipeline._pool import InProcess

    written, _ = fi.synth.pet_series(tmp_path / "in", slices=12, size=32)
    for file in written.files:
        d = pydicom.dcmread(file)
        d.PatientWeight = "0"
        d.save_as(file)
    fi.ingest(tmp_path / "in", tmp_path / "c", InProcess(), key=b"0" * 32)
    (case,) = fi.Cohort.open(tmp_path / "c").cases()
    assert case.state == "warned"
    (finding,) = [f for f in case.findings if f.code == "suv-missing"]
    assert "weight" in finding.message
    assert case.image().unit == "Bq/mL"
    assert case.metadata.get("suv_factor") is None


def enhanced_pet(path, suv, *, unit="Bq/ml", maps=None, **attributes):
    """An Enhanced PET Image whose stored values are 100 times the SUV of 70 kg, 350 MBq, corrected one half life later."""
    ds = enhanced(np.rint(suv * 100).astype(np.int16), [(0, 0, 2.0 * k) for k in range(len(suv))])
    ds.SOPClassUID, ds.Modality, ds.PatientWeight = "1.2.840.10008.5.1.4.1.1.130", "PT", 70
    ds.DecayCorrected, ds.DecayCorrectionDateTime = "YES", "20210304001950.2"
    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 350e6, 6586.2
    drug.RadiopharmaceuticalStartDateTime = "20210303223004"
    ds.RadiopharmaceuticalInformationSequence = Sequence([drug])
    items = []
    for code, slope in maps or [("1", 1.0), (unit, 25.0)]:  # 0.0004 a Bq/mL, times 25, is a hundredth
        item, kind = Dataset(), Dataset()
        item.RealWorldValueSlope, item.RealWorldValueIntercept, item.LUTLabel = slope, 0.0, code
        item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped = -32768, 32767
        kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning = code, "UCUM", code
        item.MeasurementUnitsCodeSequence = Sequence([kind])
        items.append(item)
    ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = Sequence(items)
    for name, value in attributes.items():
        change(ds, name, value)
    return save(ds, path)


def test_enhanced_pet_to_a_thousandth(tmp_path):
    suv = np.random.default_rng(1).integers(0, 2000, (3, 6, 7)) / 100
    image = fi.dicom.read(enhanced_pet(tmp_path / "x", suv), suv=True)
    assert image.unit == "SUV"
    np.testing.assert_allclose(image.array, suv, rtol=1e-3, atol=1e-6)
    at_injection = enhanced_pet(tmp_path / "y", suv, DecayCorrectionDateTime="20210303223004")
    np.testing.assert_allclose(fi.dicom.read(at_injection, suv=True).array, suv / 2, rtol=1e-3, atol=1e-6)
    made = enhanced_pet(tmp_path / "z", suv, maps=[("Bq/ml", 3.0), ("{SUVbw}g/ml", 0.01)], DecayCorrected="NO")
    image = fi.dicom.read(made, suv=True)
    assert image.unit == "SUV"
    np.testing.assert_allclose(image.array, suv, rtol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"PatientWeight": 0}, "patient weight"),
        ({"RadionuclideTotalDose": 0}, "injected dose"),
        ({"RadionuclideHalfLife": None}, "half life"),
        ({"DecayCorrected": "NO"}, "decay"),
        ({"DecayCorrectionDateTime": None}, "decay correction"),
        ({"DecayCorrectionDateTime": "20210303"}, "decay correction"),
        ({"DecayCorrectionDateTime": "20210303222959"}, "before"),
        ({"DecayCorrectionDateTime": "20210403222959"}, "before"),
        ({"RadiopharmaceuticalStartDateTime": None}, "injection"),
        ({DRUG: Sequence()}, "one radiopharmaceutical"),
    ],
)
def test_enhanced_pet_without_what_it_needs(tmp_path, attributes, told):
    path = enhanced_pet(tmp_path / "x", np.ones((2, 4, 4)), **attributes)
    with pytest.raises(fi.errors.FormatError, match=rf"suv-missing: .*{told}"):
        fi.dicom.read(path, suv=True)


def test_enhanced_pet_in_another_unit_has_no_suv(tmp_path):
    path = enhanced_pet(tmp_path / "x", np.ones((2, 4, 4)), unit="1")
    with pytest.raises(fi.errors.FormatError, match="real-world-missing"):
        fi.dicom.read(path, suv=True)
