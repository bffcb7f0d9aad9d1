"""De-identification: every attribute of the table, what hides elsewhere, dates, UIDs, and nothing left in real bytes."""

from __future__ import annotations

import copy
import datetime as dt
import io
import json
import re
import warnings
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import fastimg as fi
from fastimg.dicom._capture import capture
from fastimg.dicom._deidentify import DUMMY, deidentify, shift_date
from fastimg.dicom._keys import day_shift, load_key, pseudonym, replacement_uid
from fastimg.dicom._masks import read_masks
from fastimg.dicom._pixel_identity import RULES, pixel_identity
from fastimg.dicom._profile import SAFE_PRIVATE, Deidentified, Profile, rules
from fastimg.dicom._residual import identifiers_of, residual

KEY = b"0123456789abcdef0123456789abcdef"
PLAIN = Profile(key=KEY)
SECRET = "Zwetschgenröster"  # stands in every text of the full dataset


def value_for(vr, tag):
    if vr == "SQ":
        item = Dataset()
        item.PatientName, item.PatientComments, item.SeriesDescription = SECRET, SECRET, SECRET
        return Sequence([item])
    return {
        "DA": "19530412",
        "DT": "19530412101112",
        "TM": "101112",
        "AS": "093Y",
        "DS": "1.5",
        "IS": "3",
        "UI": f"1.2.826.0.1.3680043.10.1338.{tag}",
        "PN": f"{SECRET}^Anna",
        "CS": "ZWETSCHGE",
        "UR": "http://x",
        **dict.fromkeys(("US", "UL", "SS", "SL", "UV", "SV"), 3),
        **dict.fromkeys(("FL", "FD"), 1.5),
        **dict.fromkeys(("OB", "OW", "OF", "OD", "OL", "OV", "UN"), SECRET.encode() + b"00000"),
        "AT": 0x00100010,
    }.get(vr, SECRET)


def full():
    """A dataset with every attribute of the table that is allowed outside of commands and file headers."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for tag in rules(PLAIN):
        if tag >> 16 in (0, 2, 4) or tag >> 16 == 0xFFFC:
            continue
        try:
            vr = dictionary_VR(tag).split()[0]
        except KeyError:
            vr = "LO"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.add(DataElement(tag, vr, value_for(vr, tag), validation_mode=pydicom.config.IGNORE))
    return dataset


def test_the_table_is_the_standards():
    """Entries of PS3.15 Table E.1-1, looked up by hand."""
    basic = rules(Profile(key=KEY, dates="remove"))
    assert len(basic) == 652
    for tag, action in {
        0x00100010: "empty",  # Patient's Name: Z
        0x00100030: "empty",  # Patient's Birth Date: Z
        0x00101040: "remove",  # Patient's Address: X
        0x00080050: "empty",  # Accession Number: Z
        0x00080080: "dummy",  # Institution Name: X/Z/D
        0x00081030: "remove",  # Study Description: X
        0x0008103E: "remove",  # Series Description: X
        0x00080018: "uid",  # SOP Instance UID: U
        0x00200052: "uid",  # Frame of Reference UID: U
        0x00080020: "empty",  # Study Date: Z
        0x00101010: "remove",  # Patient's Age: X
        0x00181000: "dummy",  # Device Serial Number: X/Z/D
        0x30060026: "empty",  # ROI Name: Z
        0x00081140: "recurse",  # Referenced Image Sequence: X/Z/U*
        0x0040A730: "dummy",  # Content Sequence: D
    }.items():
        assert basic[tag] == action, f"{tag:08X}"


def test_options_change_what_they_name_and_nothing_else():
    basic = rules(Profile(key=KEY, dates="remove"))
    for option, kept, tag in (
        ({"retain_uids": True}, "keep", 0x0020000D),
        ({"retain_device_identity": True}, "keep", 0x00181000),
        ({"retain_patient_characteristics": True}, "keep", 0x00101030),
        ({"clean_descriptors": True}, "clean", 0x0008103E),
        ({"dates": "shift"}, "shift", 0x00080020),
        ({"dates": "keep"}, "keep", 0x00080020),
    ):
        changed = rules(Profile(**{"key": KEY, "dates": "remove", **option}))
        assert changed[tag] == kept
        for name in (0x00100010, 0x00100030, 0x00101040, 0x00080050, 0x00100020):
            assert changed[name] == basic[name]
        assert sum(changed[t] != basic[t] for t in basic) == sum(changed[t] == kept != basic[t] for t in basic) + (
            sum(changed[t] == "clean" for t in basic) if "retain_patient_characteristics" in option else 0
        )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dates": "remove"},
        {"clean_descriptors": True},
        {"retain_patient_characteristics": True, "retain_device_identity": True, "clean_descriptors": True},
        {"retain_uids": True, "dates": "keep"},
    ],
)
def test_no_secret_survives_in_any_attribute_of_the_table(options):
    dataset = full()
    before = str(dataset)
    result = deidentify(dataset, Profile(key=KEY, **options))
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(written, result, implicit_vr=False, little_endian=True)
    assert residual(result, {SECRET}) == []
    assert residual(written.getvalue(), {SECRET}) == []
    assert str(dataset) == before  # the input is not changed
    assert result.PatientBirthDate in ("", None)
    if not options.get("retain_uids"):
        assert "1.2.826.0.1.3680043.10.1338" not in str(result)


def test_every_action_does_what_it_says():
    dataset, actions = full(), rules(Profile(key=KEY, dates="remove"))
    result = deidentify(dataset, Profile(key=KEY, dates="remove"))
    own = {"PatientID", "PatientName", "PatientIdentityRemoved", "DeidentificationMethod"}
    seen = set()
    for element in dataset:
        action = actions.get(int(element.tag))
        if action is None or element.keyword in own:
            continue
        seen.add(action)
        if action == "remove" or (element.VR == "UN" or (action == "dummy" and element.VR not in {*DUMMY, "SQ"})):
            assert element.tag not in result, element.tag
        elif action == "empty" or (action == "dummy" and element.VR == "SQ"):
            assert not result[element.tag].value, element.tag
        elif action == "dummy":
            assert result[element.tag].value == DUMMY[element.VR] or element.VR in ("DS", "IS"), element.tag
        elif action == "uid":
            assert str(result[element.tag].value).startswith("2.25."), element.tag
        elif action == "recurse":
            assert "SeriesDescription" not in result[element.tag].value[0], element.tag
    assert seen == {"remove", "empty", "dummy", "uid", "recurse"}


def ordinary():
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = "Änderung^Björn=山寺^太郎吉", "HOS-774411"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19300105", "M", "091Y"
    dataset.PatientWeight = "81.5"
    dataset.StudyDate, dataset.StudyTime = "20210304", "101500"
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5.6"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4.5", "1.2.3.4.5.7"
    dataset.StationName, dataset.DeviceSerialNumber = "CT-7-OST", "SN8815521"
    dataset.SeriesDescription = "CT Thorax Änderung 5mm arterial phase ANDERUNG Krämer"
    return dataset


def test_identity_beyond_the_table():
    """Where no line of the table helps: an unlisted text, name, date, UID, unknown and bulk element, overlays."""
    dataset = ordinary()
    dataset.add_new(0x00180022, "CS", "ANDERUNG")  # Scan Options with the name
    dataset.add_new(0x00180024, "SH", "uid 1.2.3.4.5.7")  # Sequence Name with a UID of the patient
    dataset.add_new(0x00089999, "PN", "Somebody^Else")
    dataset.add_new(0x00089998, "DA", "19990101")
    dataset.add_new(0x00089997, "UI", "1.2.3.4.5.99")
    dataset.add_new(0x00089996, "UN", b"whatever")
    dataset.add_new(0x00089995, "OB", b"whatever")
    dataset.add_new(0x60000010, "US", 3)
    dataset.add_new(0x60003000, "OW", b"00")
    dataset.add_new(0x50003000, "OW", b"00")
    dataset.add_new(0x00281201, "OW", b"0011")  # a palette stays
    dataset.add_new(0x00180023, "CS", "3D")
    result = deidentify(dataset, PLAIN)
    assert result[0x00180022].value == result[0x00180024].value == ""
    assert not result[0x00089999].value
    assert result[0x00089998].value == shift_date("19990101", dt.timedelta(day_shift("HOS-774411", key=KEY)))
    assert result[0x00089997].value == replacement_uid("1.2.3.4.5.99", key=KEY)
    assert result[0x00281201].value == b"0011"
    assert result[0x00180023].value == "3D"
    for tag in (0x00089996, 0x00089995, 0x60000010, 0x60003000, 0x50003000):
        assert tag not in result


def test_names_in_escape_sequences_are_found(tmp_path):
    """ISO 2022 writes ideographs as ASCII bytes: a text that is kept must be decoded before it is judged."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5.6"
    dataset.PatientName, dataset.PatientID = "Yamada^Tarou=山田^太郎=やまだ^たろう", "J-774411"
    dataset.ContentLabel, dataset.FilterType = "OK", "山田"
    dataset.add_new(0x00189989, "LO", "x 太郎")  # in no table
    fi.synth._write.write_dataset(tmp_path / "a", dataset)
    source = (tmp_path / "a").read_bytes()
    assert source.count(b"\x1b$B") >= 4
    read = pydicom.dcmread(tmp_path / "a")
    who = identifiers_of(read)
    assert {"山田", "太郎", "たろう"} <= who
    assert residual(source, {"山田"})
    out = io.BytesIO()
    deidentify(read, PLAIN).save_as(out)
    assert residual(out.getvalue(), who) == []
    assert residual(pydicom.dcmread(io.BytesIO(out.getvalue())), who) == []


def test_private_elements_go_unless_listed():
    dataset = ordinary()
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x08, "CS", "IMAGE NUM 4")
    other = dataset.private_block(0x0019, "SOMEBODY", create=True)
    other.add_new(0x0C, "LO", "Änderung")
    report = Deidentified()
    assert not [e for e in deidentify(dataset, PLAIN, report=report) if e.tag.is_private]
    assert report.actions["private", "remove"] == 5
    kept = deidentify(dataset, Profile(key=KEY, safe_private=SAFE_PRIVATE))
    assert [e.value for e in kept if e.tag.is_private] == ["SIEMENS MR HEADER", "1000"]
    assert kept.private_block(0x0019, "SIEMENS MR HEADER")[0x0C].value == 1000


def test_uids_are_repeatable_and_keep_references():
    dataset = ordinary()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    dataset.ReferencedImageSequence = Sequence([item])
    one, two = deidentify(dataset, PLAIN), deidentify(copy.deepcopy(dataset), PLAIN)
    assert one == two
    assert one.ReferencedImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID != dataset.SOPInstanceUID
    assert one.SOPClassUID == one.ReferencedImageSequence[0].ReferencedSOPClassUID == dataset.SOPClassUID
    assert deidentify(dataset, Profile(key=KEY[::-1])).SOPInstanceUID != one.SOPInstanceUID
    assert deidentify(dataset, Profile(key=KEY, retain_uids=True)).SOPInstanceUID == "1.2.3.4.5.6"


@given(st.text(min_size=1, max_size=64), st.binary(min_size=16, max_size=40))
def test_replacement_uids_are_valid(value, key):
    uid = replacement_uid(value, key=key)
    number = int(uid.removeprefix("2.25."))
    assert len(uid) <= 64
    assert pydicom.uid.UID(uid).is_valid
    assert (number >> 76 & 0xF, number >> 62 & 0x3, number >> 128) == (8, 2, 0)  # RFC 9562: version 8, its variant


def test_ages_above_89_are_capped_and_characteristics_follow_the_option():
    kept = deidentify(ordinary(), Profile(key=KEY, retain_patient_characteristics=True))
    assert (kept.PatientAge, kept.PatientSex, kept.PatientWeight) == ("090Y", "M", 81.5)
    gone = deidentify(ordinary(), PLAIN)
    assert "PatientAge" not in gone
    assert "PatientWeight" not in gone
    assert gone.PatientSex == ""
    young = ordinary()
    young.PatientAge = "089Y"
    assert deidentify(young, Profile(key=KEY, retain_patient_characteristics=True)).PatientAge == "089Y"


def test_devices_follow_the_option():
    kept = deidentify(ordinary(), Profile(key=KEY, retain_device_identity=True))
    assert (kept.StationName, kept.DeviceSerialNumber) == ("CT-7-OST", "SN8815521")
    assert deidentify(ordinary(), PLAIN).DeviceSerialNumber == "REMOVED"


def test_descriptions_are_reduced_to_harmless_words():
    kept = deidentify(ordinary(), Profile(key=KEY, clean_descriptors=True))
    assert kept.SeriesDescription == "CT Thorax 5mm arterial phase"
    assert "SeriesDescription" not in deidentify(ordinary(), PLAIN)


@given(st.text(min_size=1, max_size=20))
def test_dates_move_by_one_number_of_days_a_patient(subject):
    days = day_shift(subject, key=KEY)
    assert -1461 <= days <= -1
    assert days == day_shift(f" {subject} ".strip(" \0") or subject, key=KEY)


@given(st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), st.integers(-2000, 2000).filter(bool))
def test_shifted_dates_keep_their_distance(day, days):
    moved = shift_date(day.strftime("%Y%m%d"), dt.timedelta(days))
    assert dt.datetime.strptime(moved, "%Y%m%d").date() - day == dt.timedelta(days)
    assert shift_date(day.strftime("%Y%m%d") + "235959.123456+0100", dt.timedelta(days)) == moved + "235959.123456+0100"


@pytest.mark.parametrize("text", ["", "1953", "195304", "19531301", "19530412-19530501", "soon", "00000000"])
def test_what_is_no_date_is_dropped(text):
    assert shift_date(text, dt.timedelta(-5)) == ""


def test_old_dates_are_understood():
    assert shift_date("1997.04.24", dt.timedelta(-1)) == "19970423"


def test_the_report_counts_and_tells_no_value():
    report = Deidentified()
    for _ in range(2):
        deidentify(full(), PLAIN, report=report)
    other = Deidentified()
    deidentify(full(), PLAIN, report=other)
    report += other
    told = report.to_dict()
    text = json.dumps(told)
    assert told["datasets"] == 3
    assert not told["linkable"]
    assert "pseudonymised" in told["status"]
    assert "anonym" not in text.replace("pseudonym", "")
    counts = {(a["attribute"], a["action"]): a["count"] for a in told["attributes"]}
    assert counts["00100010", "empty"] > 3  # nested names too
    assert residual(text, {SECRET, "19530412", "093Y"}) == []
    assert KEY.decode() not in text
    assert KEY.decode() not in repr(PLAIN)
    assert Deidentified(Profile(key=KEY, retain_uids=True)).to_dict()["linkable"]
    assert {o["code"] for o in told["options"]} == {"113100", "113107"}


def test_how_it_was_done_is_told_in_the_file():
    result = deidentify(ordinary(), PLAIN)
    assert result.PatientIdentityRemoved == "YES"
    assert [c.CodeValue for c in result.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert result.LongitudinalTemporalInformationModified == "MODIFIED"
    assert result.PatientID == str(result.PatientName) == pseudonym("HOS-774411", key=KEY)


def test_nothing_of_a_value_that_cannot_be_read_is_kept_or_told(tmp_path, recwarn, caplog):
    dataset = ordinary()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.add(DataElement(0x00180022, "CS", "änderung lower", validation_mode=pydicom.config.IGNORE))
        fi.synth._write.write_dataset(tmp_path / "a", dataset)
    read = pydicom.dcmread(tmp_path / "a")
    recwarn.clear()
    result = deidentify(read, PLAIN)
    assert residual(result, identifiers_of(read)) == []
    assert not recwarn.list
    assert not caplog.records


def test_wrong_use_is_refused():
    with pytest.raises(fi.errors.ArgumentError, match="at least 16 bytes"):
        Profile(key=b"short")
    with pytest.raises(fi.errors.ArgumentError, match="dates"):
        Profile(key=KEY, dates="later")
    with pytest.raises(fi.errors.ArgumentError, match="safe_private"):
        Profile(key=KEY, safe_private=((0x0018, "X", 1),))
    with pytest.raises(fi.errors.ArgumentError, match="Dataset"):
        deidentify({}, PLAIN)
    with pytest.raises(fi.errors.ArgumentError, match="Profile"):
        deidentify(Dataset(), KEY)


# whole trees ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return fi.synth.hospitals(tmp_path_factory.mktemp("cohort") / "tree", patients=2, size=32, seed=9)


@pytest.mark.parametrize("options", [{}, {"clean_descriptors": True, "retain_patient_characteristics": True}])
def test_no_planted_identifier_is_left_in_the_bytes(cohort, options):
    """Every DICOM file of three hospitals, written again and searched as raw bytes for every value that was planted."""
    profile = Profile(key=KEY, **options)
    planted = cohort.identifiers
    searched = 0
    for case in cohort.cases:
        for file in [*sorted((cohort.folder / case.folder).iterdir())[:3], cohort.folder / case.mask_file]:
            source = file.read_bytes()
            assert residual(source, case.identifiers), "the file had no identifier to begin with"
            dataset = pydicom.dcmread(io.BytesIO(source))
            result = deidentify(dataset, profile)
            out = io.BytesIO()
            result.save_as(out)
            assert residual(out.getvalue(), planted) == []
            assert result.PixelData == dataset.PixelData if "PixelData" in dataset else True
            assert pydicom.dcmread(io.BytesIO(out.getvalue())).PatientID == pseudonym(case.subject, key=KEY)
            searched += 1
    assert searched == 24


def test_reports_and_captures_lose_their_text_too(cohort):
    for fault in cohort.faults:
        if fault.code in ("not-image", "burned-in") and fault.path.name != "DICOMDIR":
            dataset = pydicom.dcmread(cohort.folder / fault.path)
            assert residual(dataset, cohort.identifiers)
            assert residual(deidentify(dataset, PLAIN), cohort.identifiers) == []


def test_a_retained_uid_is_the_only_thing_left(cohort):
    case = cohort.cases[0]
    file = sorted((cohort.folder / case.folder).iterdir())[0]
    result = deidentify(pydicom.dcmread(file), Profile(key=KEY, retain_uids=True))
    left = residual(result, case.identifiers)
    assert left
    assert residual(result, {i for i in case.identifiers if not re.fullmatch(r"[\d.]+\.[\d.]+", i)}) == []


def test_masks_still_fit_after_deidentification(cohort):
    """References and geometry survive: the mask of a de-identified object is the same."""
    for case in cohort.cases[::2]:
        dataset = pydicom.dcmread(cohort.folder / case.mask_file)
        frame = replacement_uid(case.frame_uid, key=KEY)
        import numpy as np

        like = fi.Image(np.zeros(case.shape, np.uint8), case.affine, metadata={"frame_of_reference_uid": frame})
        masks = read_masks(deidentify(dataset, PLAIN), like=like)
        assert masks.findings == []
        np.testing.assert_array_equal(next(iter(masks.values())).array, case.mask)


# pixels -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned-in"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, "secondary-capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "secondary-capture"),
        ({"Modality": "US"}, "ultrasound"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "document"),
        ({"BodyPartExamined": "HEAD"}, "head"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}, "label"),
    ],
)
def test_pixels_that_may_tell(attributes, rule):
    dataset = Dataset()
    dataset.Modality, dataset.SOPClassUID, dataset.ImageType = (
        "CT",
        "1.2.840.10008.5.1.4.1.1.2",
        ["ORIGINAL", "PRIMARY"],
    )
    dataset.BodyPartExamined = "ABDOMEN"
    assert pixel_identity(dataset) == []
    dataset.update(Dataset.from_json({}))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    found = pixel_identity(dataset)
    assert [(f.code, f.details["rule"]) for f in found] == [("burned-in", rule)]
    assert rule in RULES
    assert pixel_identity(dataset, release=[rule]) == []


def test_pixel_rules_read_the_columns_of_a_scan():
    row = {"modality": "CT", "sop_class_uid": None, "image_type": ["DERIVED", "SCREEN SAVE"], "body_part": None}
    assert [f.details["rule"] for f in pixel_identity(row)] == ["secondary-capture"]
    assert pixel_identity({"modality": "MR", "body_part": "Brain"})[0].details["rule"] == "head"


def test_keys_are_private_files(tmp_path):
    path = tmp_path / "deep" / "site.key"
    with pytest.raises(fi.errors.ArgumentError, match="create=True"):
        load_key(path)
    key = load_key(path, create=True)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path) == load_key(path, create=True) == key
    assert [p.name for p in path.parent.iterdir()] == ["site.key"]
    assert load_key(tmp_path / "other.key", create=True) != key
    path.chmod(0o640)
    with pytest.raises(fi.errors.RefusedError, match="chmod 600"):
        load_key(path)
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(fi.errors.RefusedError, match="plain file"):
        load_key(tmp_path / "link")
    path.write_text("fastimg-key 2\nabc\n")
    with pytest.raises(fi.errors.FormatError, match="newer"):
        load_key(path)
    for text in ("", "hello", "fastimg-key 1\n", "fastimg-key 1\n00ff\n"):
        path.write_text(text)
        with pytest.raises(fi.errors.FormatError, match="not a key file"):
            load_key(path)


def test_pseudonyms():
    """HMAC-SHA-256, worked out with the standard library alone."""
    import hashlib
    import hmac

    expected = hmac.new(KEY, b"fastimg pseudonym 1\x00M\xc3\xbcller", hashlib.sha256).hexdigest()[:32]
    assert pseudonym("Müller", key=KEY) == pseudonym(" Mu\u0308ller ", key=KEY) == expected
    assert pseudonym("Muller", key=KEY) != expected
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", expected)
    with pytest.raises(fi.errors.ArgumentError, match="key"):
        pseudonym("x", key="text")


def test_capture_takes_what_the_science_needs(cohort):
    seen = {}
    for case in cohort.cases:
        got = capture(sorted((cohort.folder / case.folder).iterdir())[0], key=KEY)
        assert got["age_years"] == min(case.age, 90)
        assert (got["sex"], got["modality"]) == (case.sex, "CT")
        assert got["subject"] == pseudonym(case.subject, key=KEY)
        assert residual(got, cohort.identifiers) == []
        json.dumps(got)
        seen.setdefault(case.hospital, set()).add((got["site"], got["batch"]))
    assert [len(v) for v in seen.values()] == [1, 1, 1]
    assert len(set.union(*seen.values())) == 3
    assert capture(ordinary(), key=KEY, site="north")["site"] == "north"


def test_capture_of_pet_and_of_little(tmp_path):
    written, _ = fi.synth.pet_series(tmp_path, slices=1, size=8)
    got = capture(written.files[0], key=KEY)
    assert (got["injected_dose_bq"], got["injection_to_scan_s"], got["weight_kg"]) == (3.7e8, 3600.0, 70.0)
    assert got["suv_factor"] == pytest.approx(70000 / (3.7e8 * 2 ** (-3600 / 6586.2)))
    assert residual(got, ["20210304", "090000"]) == []
    empty = capture(Dataset(), key=KEY)
    assert empty["subject"] is empty["age_years"] is empty["sex"] is None


@pytest.mark.parametrize(
    ("age", "birth", "years"),
    [("007D", "", 0.02), ("018M", "", 1.5), ("064Y", "19000101", 64), ("", "19800305", 40), ("", "19800304", 41),
     ("", "19010101", 90), ("999Y", "", None), ("x", "", None)],
)  # fmt: skip
def test_ages(age, birth, years):
    dataset = Dataset()
    dataset.StudyDate, dataset.PatientBirthDate = "20210304", birth
    dataset.add(DataElement(0x00101010, "AS", age, validation_mode=pydicom.config.IGNORE))
    assert capture(dataset, key=KEY)["age_years"] == years


def test_every_file_that_pydicom_ships():
    """Odd, old and broken files: none stops it, and nothing of their own identifiers is left."""
    seen = 0
    for name in sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(name, force=True, stop_before_pixels=True)
        result = deidentify(dataset, Profile(key=KEY, clean_descriptors=True, retain_patient_characteristics=True))
        assert residual(result, identifiers_of(dataset)) == [], name
        capture(dataset, key=KEY)
        pixel_identity(dataset)
        seen += 1
    assert seen > 50
