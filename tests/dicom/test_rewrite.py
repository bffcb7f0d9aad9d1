"""De-identification of whole files, bytes to bytes: the same datasets as `deidentify` makes, and nothing left on the way."""

from __future__ import annotations

import contextlib
import io
import json
import random
import struct
import warnings
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

import fastimg as fi
from fastimg.dicom import _rewrite
from fastimg.dicom._deidentify import deidentify
from fastimg.dicom._keys import pseudonym, replacement_uid
from fastimg.dicom._profile import SAFE_PRIVATE, Deidentified, Profile
from fastimg.dicom._quiet import quiet
from fastimg.dicom._residual import residual
from fastimg.dicom._rewrite import deidentify_bytes

KEY = b"0123456789abcdef0123456789abcdef"
PROFILES = (
    Profile(key=KEY),
    Profile(key=KEY, dates="remove"),
    Profile(key=KEY, clean_descriptors=True, retain_patient_characteristics=True, retain_device_identity=True),
    Profile(key=KEY, retain_uids=True, dates="keep"),
)
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def slowly(data, profile):
    """The bytes and the counts of `deidentify` between pydicom's reader and writer."""
    report, out = Deidentified(), io.BytesIO()
    with quiet():
        deidentify(pydicom.dcmread(io.BytesIO(data)), profile, report=report).save_as(out)
    return out.getvalue(), report.actions


def natively(data, profile):
    """The same without pydicom's reader and writer; None where the file is left to them."""
    done = _rewrite._rewriter(profile).run(data, True)
    if done is None:
        return None
    report = Deidentified()
    for tag, action in done[1]:
        report.count(tag, _rewrite._native.ACTIONS[action])
    return done[0], report.actions


def flat(dataset):
    """Every element as (tag, type, value), values that cannot be decoded as bytes."""
    result = []
    for tag in sorted(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:
            result.append((int(tag), "undecodable", dataset.get_item(tag).value))
            continue
        value = [flat(item) for item in element.value] if element.VR == "SQ" else repr(element.value)
        result.append((int(tag), element.VR, value))
    return result


def assert_same(data, profile):
    """Whether it went the native way; then the result must be that of the slow one."""
    fast = natively(data, profile)
    if fast is None:
        return False
    slow, counts = slowly(data, profile)
    with quiet():
        one, two = pydicom.dcmread(io.BytesIO(fast[0])), pydicom.dcmread(io.BytesIO(slow))
        assert flat(one) == flat(two)
        for keyword in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID"):
            assert one.file_meta[keyword].value == two.file_meta[keyword].value
    assert fast[1] == counts
    return True


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return fi.synth.hospitals(tmp_path_factory.mktemp("cohort") / "tree", patients=1, size=32, seed=9)


def shipped():
    root = Path(pydicom.__file__).parent / "data"
    return sorted(p for p in root.rglob("*") if p.is_file() and p.suffix in (".dcm", "") and p.stat().st_size < 2**20)


def test_every_file_that_pydicom_ships():
    native = [p for p in shipped() if natively(p.read_bytes(), PROFILES[0]) is not None]
    assert len(native) >= 70
    for path in native:
        for profile in PROFILES:
            assert assert_same(path.read_bytes(), profile), path.name


def test_every_image_and_mask_of_three_hospitals(cohort):
    """All of them natively, and no planted value in the bytes."""
    for case in cohort.cases:
        for file in [*sorted((cohort.folder / case.folder).iterdir()), cohort.folder / case.mask_file]:
            source = file.read_bytes()
            assert residual(source, case.identifiers)
            for profile in PROFILES:
                assert assert_same(source, profile), file.name
            for profile in PROFILES[:2]:  # the others keep devices or UIDs
                assert residual(deidentify_bytes(source, profile), cohort.identifiers) == []


def test_real_files(data):
    native = [assert_same(p.read_bytes(), PROFILES[2]) for p in sorted((data / "dicom").rglob("*.dcm"))[::5]]
    assert sum(native) > len(native) / 2


# made datasets ----------------------------------------------------------------------------------------------------------


def written(dataset, syntax=EXPLICIT):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5.6"
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def ordinary(**more):
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Zwetschge^Anna", "HOS-774411", "19300105"
    dataset.StudyDate, dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "20210304", "1.2.3.4.5", "1.2.3.4.9"
    dataset.PixelRepresentation = 0
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    return dataset


TEXTS = st.sampled_from(
    [
        "zwetschge",
        "CT Anna",
        "axial 5mm",
        "HOS_774411 x",
        "uid 1.2.3.4.5",
        "1.2.3.4.55",
        "12.3.1953",
        "Größe",
        "01-05-1930",
    ]
    + ["annabelle", "", "  ", "a\\b", "zwetschge\\ok", "19300105", "119300105", "5.1.1930 Anna", "ZWETSCHGE^^ANNA"]
)
TAGS = {  # in and out of the table, of all kinds
    "LO": [0x00081030, 0x0008103E, 0x00080070, 0x00181030, 0x00189989],
    "SH": [0x00081010, 0x00180024, 0x00080050],
    "CS": [0x00080060, 0x00180022, 0x00100040],
    "LT": [0x00104000, 0x00189990],
    "ST": [0x00080081, 0x00189991],
    "PN": [0x00080090, 0x00081070, 0x00189992],
}
DATES = st.sampled_from(["20210304", "", "1997.04.24", "soon", "20210304\\20200101", "195304", "20210304101500.5+0100"])
NUMBERS = st.sampled_from(["1", "1.5", "-3.25e2", "1\\2\\3", "", "+7", "007", "12345678901"])


@st.composite
def datasets(draw, depth=2):
    dataset = Dataset()
    for vr, tags in TAGS.items():
        for tag in draw(st.lists(st.sampled_from(tags), unique=True)):
            dataset.add(DataElement(tag, vr, draw(TEXTS), validation_mode=pydicom.config.IGNORE))
    more = [
        (0x00080020, "DA", DATES), (0x00080030, "TM", st.sampled_from(["101500", "", "1015"])), (0x0008002A, "DT", DATES),
        (0x00101010, "AS", st.sampled_from(["091Y", "045Y", ""])), (0x00281050, "DS", NUMBERS),
        (0x00280106, "US", st.integers(0, 65535)), (0x00189073, "FD", st.floats(width=32)),
        (0x00281201, "OW", st.binary(min_size=2, max_size=8).filter(lambda b: len(b) % 2 == 0)),
        (0x00204000, "LT", TEXTS), (0x00420011, "OB", st.just(b"document")), (0x60000010, "US", st.just(3)),
        (0x00080015, "UI", st.sampled_from(["1.2.3.4.5", "1.2.840.10008.1.2", "", "1.2.3.4.5\\1.2.3.4.77", "junk"])),
    ]  # fmt: skip
    for tag, vr, values in more:
        if draw(st.booleans()):
            value = draw(values)
            if vr == "DS" and "." not in value and len(value) > 10:
                value = "1"
            dataset.add(DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE))
    if draw(st.booleans()):
        block = dataset.private_block(0x0019, "MAKER", create=True)
        block.add_new(0x01, "LO", draw(TEXTS))
        block.add_new(0x02, "UN", draw(st.sampled_from([b"Anna", b"1234"])))
    if depth:
        for tag in (0x00081115, 0x00081140, 0x00400275, 0x00189999, 0x00081110):
            if draw(st.booleans()):
                items = draw(st.lists(datasets(depth - 1), max_size=2))
                dataset.add(DataElement(tag, "SQ", Sequence(items)))
                for item in items:
                    item.is_undefined_length_sequence_item = draw(st.booleans())
                dataset[tag].is_undefined_length = tag != 0x00189999 and draw(st.booleans())
    return dataset


@settings(max_examples=60, deadline=None)
@given(
    datasets(),
    st.sampled_from(PROFILES),
    st.sampled_from([EXPLICIT, IMPLICIT]),
    st.sampled_from(["", "ISO_IR 100", "ISO_IR 192"]),
)
def test_made_datasets_come_out_the_same(dataset, profile, syntax, charset):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.update(ordinary())
        dataset.SpecificCharacterSet = charset or "ISO_IR 192"
        data = written(dataset, syntax)
    assert assert_same(data, profile)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_new_file_header_and_exact_lengths(syntax):
    dataset = ordinary(Rows=4, Columns=4, BitsAllocated=16)
    dataset.add_new(0x7FE00010, "OW", bytes(range(256)) * 64)
    source = bytearray(written(dataset, syntax))
    source[:128] = b"Anna Zwetschge  " * 8
    result = deidentify_bytes(bytes(source), PROFILES[0])
    assert result[:132] == bytes(128) + b"DICM"
    (length,) = struct.unpack("<I", result[140:144])
    read = pydicom.dcmread(io.BytesIO(result))
    assert result[144 + length :][:2] == b"\x08\x00"
    assert read.file_meta.FileMetaInformationGroupLength == length
    assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID == replacement_uid("1.2.3.4.5.6", key=KEY)
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read.PatientID == str(read.PatientName) == pseudonym("HOS-774411", key=KEY)
    assert read.PixelData == dataset.PixelData
    assert result.endswith(dataset.PixelData)
    assert deidentify_bytes(memoryview(source), PROFILES[0]) == result


def test_one_patients_words_are_not_used_for_another():
    """Patients are remembered by their identifying bytes: a change of any of them is another patient."""
    profile = Profile(key=KEY)
    for number in range(200):
        dataset = ordinary(
            PatientName=f"Name{number:03d}x^Anna", ScanOptions=f"NAME{number:03d}X", FilterType="NAME999X"
        )
        read = pydicom.dcmread(io.BytesIO(deidentify_bytes(written(dataset), profile)))
        assert read.ScanOptions == ""
        assert read.FilterType == "NAME999X"


def test_uids_in_texts_are_those_of_the_file_in_hand():
    profile = Profile(key=KEY)
    for own, kept in (("1.2.3.4.50", False), ("1.2.3.4.51", True), ("1.2.3.4.50", False)):
        dataset = ordinary(SeriesInstanceUID=own, FilterType="SEE 1.2.3.4.50", SequenceName="Größe 1.2.3.4.50")
        dataset.SpecificCharacterSet = "ISO_IR 192"
        read = pydicom.dcmread(io.BytesIO(deidentify_bytes(written(dataset), profile)))
        assert bool(read.FilterType) == bool(read.SequenceName) == kept


def test_listed_private_elements_take_the_slow_way():
    dataset = ordinary()
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "1000")
    source = written(dataset)
    assert not [e for e in pydicom.dcmread(io.BytesIO(deidentify_bytes(source, PROFILES[0]))) if e.tag.is_private]
    kept = pydicom.dcmread(io.BytesIO(deidentify_bytes(source, Profile(key=KEY, safe_private=SAFE_PRIVATE))))
    assert kept.private_block(0x0019, "SIEMENS MR HEADER")[0x0C].value == 1000


def test_the_report_is_the_same_on_both_ways():
    dataset = ordinary(SeriesDescription="x", OperatorsName="y")
    one, two = Deidentified(), Deidentified()
    deidentify_bytes(written(dataset), PROFILES[0], report=one)
    deidentify(dataset, PROFILES[0], report=two)
    assert one.to_dict() == two.to_dict()
    assert json.dumps(one.to_dict()).count("HOS") == 0
    other = Deidentified()
    deidentify_bytes(written(dataset) + b"\0", PROFILES[0], report=other)  # a trailing byte: the slow way
    assert other.to_dict() == two.to_dict()


@pytest.mark.parametrize(
    "data", [b"", b"x" * 500, bytes(128) + b"DICM", bytes(128) + b"DICM" + b"\x02\0\x10\0UI\xff\xff"]
)
def test_what_is_no_dicom_is_refused(data):
    with pytest.raises(fi.errors.FormatError, match="deidentify_bytes"):
        deidentify_bytes(data, PROFILES[0])


def test_wrong_use_is_refused():
    with pytest.raises(fi.errors.ArgumentError, match="bytes of a file"):
        deidentify_bytes("a path", PROFILES[0])
    with pytest.raises(fi.errors.ArgumentError, match="Profile"):
        deidentify_bytes(b"", KEY)


def test_damaged_files_end_in_a_result_or_a_format_error_that_tells_nothing(recwarn, caplog):
    """Flipped bits, lengths and types: what is written natively is what the slow way writes."""
    rng = random.Random(3)
    dataset = ordinary(ScanOptions="ANNA", SeriesDescription="Anna Zwetschge", OperatorsName="A^B")
    item = ordinary()
    dataset.ReferencedStudySequence = Sequence([item, item])
    dataset.add_new(0x7FE00010, "OW", bytes(64))
    sources = [written(dataset, syntax) for syntax in (EXPLICIT, IMPLICIT)]
    recwarn.clear()
    native = 0
    for number in range(600):
        data = bytearray(sources[number % 2])
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(132, len(data) - 70)
            if rng.random() < 0.5:
                data[at] ^= 1 << rng.randrange(8)
            else:
                data[at : at + 4] = rng.choice(
                    [bytes(4), b"\xff\xff\xff\xff", b"\x08\0\0\0", b"\xfe\xff\0\xe0", b"UI\4\0"]
                )
        data = bytes(data)
        try:
            deidentify_bytes(data, PROFILES[0])
        except fi.errors.FormatError as error:
            assert residual(str(error), {"Anna", "Zwetschge", "HOS-774411", "19300105"}) == []
            continue
        with contextlib.suppress(
            ValueError, TypeError, AttributeError, struct.error, NotImplementedError, OverflowError
        ):
            native += assert_same(data, PROFILES[0])  # where pydicom can write its own result
    assert native > 150
    assert not recwarn.list
    assert not caplog.records
