"""De-identification: every attribute of the table, what hides elsewhere, dates, UIDs, and nothing left in real bytes."""

from __future__ import annotations

import copy
import datetime as dt
import io
import json
import warnings

import pydicom
import pytest
from dicom_maker import CHARACTER_SETS, element, part10
from hypothesis import given
from hypothesis import strategies as st
from identity_maker import KEY, PLAIN, SECRET, full, ordinary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import fastimg as fi
from fastimg.dicom._deidentify import DUMMY, deidentify, shift_date
from fastimg.dicom._keys import day_shift, pseudonym, replacement_uid
from fastimg.dicom._profile import SAFE_PRIVATE, Deidentified, Profile, rules
from fastimg.dicom._residual import identifiers_of, residual


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
    for found in dataset:
        action = actions.get(int(found.tag))
        if action is None or found.keyword in own:
            continue
        seen.add(action)
        if action == "remove" or (found.VR == "UN" or (action == "dummy" and found.VR not in {*DUMMY, "SQ"})):
            assert found.tag not in result, found.tag
        elif action == "empty" or (action == "dummy" and found.VR == "SQ"):
            assert not result[found.tag].value, found.tag
        elif action == "dummy":
            assert result[found.tag].value == DUMMY[found.VR] or found.VR in ("DS", "IS"), found.tag
        elif action == "uid":
            assert str(result[found.tag].value).startswith("2.25."), found.tag
        elif action == "recurse":
            assert "SeriesDescription" not in result[found.tag].value[0], found.tag
    assert seen == {"remove", "empty", "dummy", "uid", "recurse"}


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


@pytest.mark.parametrize("character_set", CHARACTER_SETS)
@pytest.mark.parametrize("way", ["dataset", "bytes"])
def test_names_in_every_character_set_are_found(way, character_set):
    """The patient's name in a text that would stay; with and without escape sequences."""
    name, raw = CHARACTER_SETS[character_set]
    even = lambda value: value + b" " * (len(value) % 2)  # noqa: E731
    body = element(8, 5, "CS", even(character_set.encode())) + element(8, 0x16, "UI", b"1.2.840.10008.5.1.4.1.1.2\0")
    body += element(8, 0x18, "UI", b"1.2.3.4.5.6\0") + element(0x10, 0x10, "PN", even(raw))
    body += element(0x10, 0x20, "LO", b"C-774411") + element(0x18, 0x22, "CS", b"3D")
    source = part10(body + element(0x18, 0x24, "SH", even(b"x " + raw)))
    read = pydicom.dcmread(io.BytesIO(source))
    who = identifiers_of(read)
    for text in (name, f"seen {name.upper()} 1", raw):
        assert [f.code for f in residual(text, who)] == ["identifier-left"], text
    if way == "bytes":
        result = pydicom.dcmread(io.BytesIO(fi.dicom.deidentify_bytes(source, PLAIN)))
    else:
        result = deidentify(read, PLAIN)
    assert "SequenceName" in result
    assert not result.SequenceName
    assert result.ScanOptions == "3D"
    assert residual(result, who) == []


@pytest.mark.parametrize("way", ["dataset", "bytes"])
def test_an_escape_that_pydicom_leaves_does_not_hide_a_name(way):
    """GB 2312 (ISO IR 58): in the name the escape stands before each component, in other texts where the ideographs begin."""
    escape, name = b"\x1b$)A", [part.encode("gb2312") for part in ("张", "从前")]
    body = element(8, 5, "CS", b"\\ISO 2022 IR 58 ") + element(8, 0x16, "UI", b"1.2.840.10008.5.1.4.1.1.2\0")
    body += element(8, 0x18, "UI", b"1.2.3.4.5.6\0")
    body += element(0x10, 0x10, "PN", b"Zhang^Congqian=" + escape + name[0] + b"^" + escape + name[1] + b" ")
    body += element(0x10, 0x20, "LO", b"C-774411")
    body += element(0x18, 0x24, "SH", escape + "头部 从前".encode("gb2312") + b" ")
    source = part10(body)
    read = pydicom.dcmread(io.BytesIO(source))
    who = identifiers_of(read)
    assert {"从前", "张从前", "Zhang"} <= who
    for text in ("头部 从前", "张从前", "\x1b$)A头部 张^\x1b$)A从前"):
        assert [f.code for f in residual(text, who)] == ["identifier-left"]
    if way == "bytes":
        result = pydicom.dcmread(io.BytesIO(fi.dicom.deidentify_bytes(source, PLAIN)))
    else:
        result = deidentify(read, PLAIN)
    assert "SequenceName" in result
    assert not result.SequenceName
    assert residual(result, who) == []


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


@pytest.mark.parametrize(
    ("raw", "told"),
    [("95Y ", "090Y"), ("095 Y ", "090Y"), ("095y", "090Y"), ("95", ""), ("1140M ", ""), ("4800W ", ""), ("95 years", ""),
     ("095Y\\095Y ", ""), ("64Y ", "64Y"), ("018M", "018M"), ("", "")],
)  # fmt: skip
def test_ages_as_writers_write_them(raw, told):
    """An age that cannot be read may be above 89."""
    body = element(8, 0x16, "UI", b"1.2.840.10008.5.1.4.1.1.2\0") + element(8, 0x18, "UI", b"1.2.3.5.6\0")
    source = part10(body + element(0x10, 0x20, "LO", b"P12345") + element(0x10, 0x1010, "AS", raw.encode()))
    profile = Profile(key=KEY, retain_patient_characteristics=True)
    ways = deidentify(pydicom.dcmread(io.BytesIO(source)), profile), fi.dicom.deidentify_bytes(source, profile)
    assert [(d.PatientAge or "").strip() for d in (ways[0], pydicom.dcmread(io.BytesIO(ways[1])))] == [told] * 2


def test_devices_follow_the_option():
    kept = deidentify(ordinary(), Profile(key=KEY, retain_device_identity=True))
    assert (kept.StationName, kept.DeviceSerialNumber) == ("CT-7-OST", "SN8815521")
    assert deidentify(ordinary(), PLAIN).DeviceSerialNumber == "REMOVED"


def test_descriptions_are_reduced_to_harmless_words():
    kept = deidentify(ordinary(), Profile(key=KEY, clean_descriptors=True))
    assert kept.SeriesDescription == "CT Thorax 5mm arterial phase"
    assert "SeriesDescription" not in deidentify(ordinary(), PLAIN)
    for date in ("04.07.1930", "1930-07-04", "4/7/30", "04_07_1930", "1930 7 4"):
        dated = ordinary()
        dated.SeriesDescription = f"CT thorax {date} 5mm 3.0 x 1.5"
        kept = deidentify(dated, Profile(key=KEY, clean_descriptors=True))
        assert kept.SeriesDescription == "CT thorax 5mm 3 0 1 5"


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
