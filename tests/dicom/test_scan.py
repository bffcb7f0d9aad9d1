"""dicom.scan: what is said of each file, held against pydicom's reading of the same files."""

from __future__ import annotations

import datetime
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_maker import CHARACTER_SETS, element, enhanced, header, image, part10, save, stack_of
from pydicom.data import get_charset_files

import fastimg as fi

PYDICOM = Path(pydicom.__file__).parent / "data"


@pytest.fixture(scope="module")
def shipped():
    return fi.dicom.scan(PYDICOM)


def row_of(table, name):
    rows = [row for row in table.to_pylist() if row["path"].endswith(name)]
    assert len(rows) == 1
    return rows[0]


KEYWORDS = {
    "sop_instance_uid": "SOPInstanceUID", "sop_class_uid": "SOPClassUID", "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID", "modality": "Modality", "manufacturer": "Manufacturer", "model": "ManufacturerModelName",
    "patient_name": "PatientName", "patient_id": "PatientID", "patient_birth_date": "PatientBirthDate",
    "patient_sex": "PatientSex", "study_date": "StudyDate", "series_description": "SeriesDescription",
    "institution": "InstitutionName", "station": "StationName", "kernel": "ConvolutionKernel",
    "rows": "Rows", "columns": "Columns", "bits_allocated": "BitsAllocated", "bits_stored": "BitsStored",
    "pixel_representation": "PixelRepresentation", "samples": "SamplesPerPixel", "photometric": "PhotometricInterpretation",
    "instance_number": "InstanceNumber", "acquisition_number": "AcquisitionNumber", "rescale_slope": "RescaleSlope",
    "rescale_intercept": "RescaleIntercept", "image_position": "ImagePositionPatient", "image_type": "ImageType",
    "image_orientation": "ImageOrientationPatient", "pixel_spacing": "PixelSpacing", "thickness": "SliceThickness",
    "echo_time": "EchoTime", "kvp": "KVP", "patient_weight": "PatientWeight", "frame_of_reference_uid": "FrameOfReferenceUID",
}  # fmt: skip


def expected_of(ds, keyword):
    """pydicom's value as the table has it; KeyError where pydicom refuses it."""
    value = ds.get(keyword)
    if value is None or value == "" or (hasattr(value, "__len__") and len(value) == 0):
        return None
    if isinstance(value, (pydicom.multival.MultiValue, list)):
        return "\\".join(map(str, value)) if isinstance(value[0], str) else [float(v) for v in value]
    if isinstance(value, (int, float)):
        return float(value)
    return str(value).strip(" \0") or None


def test_columns_equal_pydicoms_on_every_file_it_ships(shipped):
    compared = 0
    for row in shipped.to_pylist():
        if row["status"] in ("skipped", "damaged"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(PYDICOM / row["path"], force=True, stop_before_pixels=True)
            groups = row["multi_frame"]
            for column, keyword in KEYWORDS.items():
                try:
                    wanted = expected_of(ds, keyword)
                except (ValueError, TypeError):
                    continue  # pydicom refuses the value
                if wanted is None and groups:
                    continue  # from the functional groups
                if column in ("patient_birth_date", "study_date") and isinstance(wanted, datetime.date):
                    continue
                seen = row[column]
                if column == "patient_name" and seen is not None:
                    seen = seen.rstrip("=")  # pydicom drops empty groups
                if isinstance(wanted, (float, list)):
                    assert seen == pytest.approx(wanted, rel=1e-12), (row["path"], column)
                else:
                    assert seen == wanted, (row["path"], column)
                compared += 1
    assert compared > 5000


def test_every_character_set_reads_as_pydicom_reads_it(shipped):
    names = {row["path"]: row["patient_name"] for row in shipped.to_pylist()}
    seen = 0
    for path in get_charset_files("*.dcm"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = str(pydicom.dcmread(path).get("PatientName") or "")
        assert (names[str(Path(path).relative_to(PYDICOM))] or "").rstrip("=") == wanted  # pydicom drops empty groups
        seen += not wanted.isascii()
    assert seen >= 12


@pytest.mark.parametrize("character_set", CHARACTER_SETS)
def test_texts_of_every_vr_follow_the_character_set(tmp_path, character_set):
    """LO, SH and PN, one value and several, in every character set of the standard."""
    text, raw = CHARACTER_SETS[character_set]
    even = lambda value: value + b" " * (len(value) % 2)  # noqa: E731
    body = b"".join(
        element(group, number, vr, even(value))
        for group, number, vr, value in (
            (8, 5, "CS", character_set.encode()), (8, 0x80, "LO", raw), (8, 0x1010, "SH", raw), (8, 0x103E, "LO", raw + b" 1"),
            (0x10, 0x10, "PN", raw), (0x10, 0x20, "LO", b"7 " + raw), (0x18, 0x1210, "SH", b"B30f\\" + raw),
        )
    )  # fmt: skip
    (tmp_path / "x").write_bytes(part10(body))
    (row,) = fi.dicom.scan(tmp_path).to_pylist()
    seen = [
        row[name] for name in ("institution", "station", "series_description", "patient_name", "patient_id", "kernel")
    ]
    assert seen == [text, text, text + " 1", text, "7 " + text, "B30f\\" + text]


@pytest.mark.parametrize(
    ("name", "status", "finding"),
    [
        ("dicomdirtests/DICOMDIR", "other", "not-image"),
        ("reportsi.dcm", "other", "not-image"),
        ("rtstruct.dcm", "mask", None),
        ("liver_1frame.dcm", "mask", None),
        ("rtplan_truncated.dcm", "damaged", "damaged-file"),
        ("MR_truncated.dcm", "damaged", "damaged-file"),
        ("zipMR.gz", "skipped", "archive"),
        ("README.txt", "skipped", "not-dicom"),
        ("ExplVR_BigEnd.dcm", "image", None),
        ("ExplVR_BigEndNoMeta.dcm", "other", "not-image"),
        ("ExplVR_LitEndNoMeta.dcm", "other", "not-image"),
        ("image_dfl.dcm", "image", None),
        ("MR_small_implicit.dcm", "image", None),
        ("rtdose.dcm", "image", None),
        ("UN_sequence.dcm", "other", "not-image"),
        ("nested_priv_SQ.dcm", "other", "not-image"),
        ("JPEGLSNearLossless_08.dcm", "image", "no-series"),
        ("liver_expb_1frame.dcm", "mask", None),
    ],
)
def test_status_of_shipped_files(shipped, name, status, finding):
    rows = [row for row in shipped.to_pylist() if row["path"].endswith("test_files/" + name)]
    assert [(row["status"], row["finding"]) for row in rows] == [(status, finding)]


def test_a_tree_as_it_comes(tmp_path):
    """Strangers, links, pipes, archives and unnameable files become rows; nothing is followed."""
    secret = save(image(np.zeros((2, 2), np.uint16)), tmp_path / "outside.dcm")
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    save(image(np.zeros((2, 2), np.uint16)), root / "a" / "b" / "IM0001")
    (root / "a" / "report.pdf").write_bytes(b"%PDF-1.4 ...")
    (root / "a" / "empty").write_bytes(b"")
    (root / "backup.zip").write_bytes(b"PK\3\4" + bytes(60))
    (root / "link.dcm").symlink_to(secret)
    (root / "loop").symlink_to(root, target_is_directory=True)
    os.mkfifo(root / "pipe")
    with open(os.fsencode(root) + b"/\xff\xfe.dcm", "wb") as file:
        file.write(b"x")
    table = fi.dicom.scan(root)
    assert {(r["path"], r["status"], r["finding"]) for r in table.to_pylist()} == {
        ("a/b/IM0001", "image", None),
        ("a/empty", "skipped", "not-dicom"),
        ("a/report.pdf", "skipped", "not-dicom"),
        ("backup.zip", "skipped", "archive"),
        ("link.dcm", "skipped", "symlink"),
        ("loop", "skipped", "symlink"),
        ("pipe", "skipped", "not-dicom"),
        ("\\xff\\xfe.dcm", "skipped", "unreadable"),
    }
    assert table.schema.metadata[b"root"] == os.fsencode(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files_and_folders_are_rows(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o000)
    save(image(np.zeros((2, 2), np.uint16)), tmp_path / "x.dcm").chmod(0)
    try:
        found = {(r["path"], r["finding"]) for r in fi.dicom.scan(tmp_path).to_pylist()}
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert found == {("closed", "unreadable"), ("x.dcm", "unreadable")}


def test_same_table_on_any_number_of_threads(shipped):
    for threads in (1, 2, 5):
        assert fi.dicom.scan(PYDICOM, threads=threads).equals(shipped)


def test_one_bounded_read_a_file(tmp_path):
    """By the kernel's own count of this process's reads."""

    def counted():
        lines = Path("/proc/self/io").read_text().split()
        return int(lines[lines.index("syscr:") + 1]), int(lines[lines.index("rchar:") + 1])

    for k in range(100):
        save(image(np.zeros((256, 256), np.uint16), number=k), tmp_path / f"{k}.dcm")
    for threads in (1, 2):
        fi.dicom.scan(tmp_path, threads=threads)
        before = counted()
        assert fi.dicom.scan(tmp_path, threads=threads).num_rows == 100
        reads, size = (after - start for after, start in zip(counted(), before, strict=True))
        assert 100 <= reads <= 105
        assert size <= 101 * 8192


def test_header_longer_than_the_first_read(tmp_path):
    ds = image(np.zeros((2, 2), np.uint16))
    ds.add_new(0x00091001, "OB", bytes(100_000))
    ds.add_new(0x00090010, "LO", "PRIVATE")
    save(ds, tmp_path / "x.dcm")
    row = fi.dicom.scan(tmp_path).to_pylist()[0]
    assert (row["status"], row["rows"], row["series_uid"]) == ("image", 2, str(ds.SeriesInstanceUID))


def test_functional_groups_fill_the_columns(tmp_path):
    volume = np.zeros((3, 4, 5), np.uint16)
    save(enhanced(volume, [(1, 2, 3 * k) for k in range(3)]), tmp_path / "x.dcm")
    row = fi.dicom.scan(tmp_path).to_pylist()[0]
    assert row["multi_frame"]
    assert row["frames"] == 3
    assert row["image_position"] == [1, 2, 0]
    assert row["pixel_spacing"] == [0.5, 0.75]
    assert row["rescale_intercept"] == -1024
    assert row["image_orientation"] == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("undefined", [True, False])
def test_sequences_are_passed_over(tmp_path, undefined):
    """An icon inside a sequence has rows and pixels of its own; only the top level's count."""
    ds, icon = image(np.zeros((6, 7), np.uint16)), image(np.zeros((2, 2), np.uint8))
    icon.remove_private_tags()
    for name in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        delattr(icon, name)
    ds.IconImageSequence = [icon]
    ds["IconImageSequence"].is_undefined_length = undefined
    icon.is_undefined_length_sequence_item = undefined
    save(ds, tmp_path / "x.dcm")
    row = fi.dicom.scan(tmp_path).to_pylist()[0]
    assert (row["rows"], row["columns"], row["status"]) == (6, 7, "image")


def test_decimal_texts_as_writers_write_them(tmp_path):
    body = (
        element(8, 0x16, "UI", b"1.2.3\0")
        + element(0x18, 0x50, "DS", b" +2.50E0")
        + element(0x20, 0x32, "DS", b"1e1\\ -2\\.5 ")
    )
    body += (
        element(0x28, 0x30, "DS", b"abc\\1 ")
        + element(0x28, 0x1052, "DS", b"nan ")
        + element(0x28, 0x1053, "DS", b"    ")
    )
    (tmp_path / "x").write_bytes(part10(body))
    row = fi.dicom.scan(tmp_path).to_pylist()[0]
    assert row["thickness"] == 2.5
    assert row["image_position"] == [10, -2, 0.5]
    assert [row["pixel_spacing"], row["rescale_intercept"], row["rescale_slope"]] == [None, None, None]


def test_decimal_texts_have_the_nearest_double(tmp_path):
    """Short ones are parsed another way than long ones and those with an exponent; both round as Python does."""
    rng = np.random.default_rng(2)
    texts = ["0", "-0", "-0.0", "5.", ".5", "-.25", "999999999999999", "9999999999999999", "0.1", "1e5", "-2.5E-3"]
    for digits in range(1, 17):
        for _ in range(40):
            text = "".join(map(str, rng.integers(0, 10, digits)))
            at = int(rng.integers(0, digits + 1))
            texts.append(("-" if rng.random() < 0.5 else "") + (text[:at] + "." + text[at:])[:15])
    texts = [text for text in texts if any(c.isdigit() for c in text)]
    value = "\\".join(texts).encode()
    body = header() + element(0x3004, 0xC, "DS", value + b" " * (len(value) % 2))
    (tmp_path / "x").write_bytes(part10(body + element(0x7FE0, 0x10, "OW", bytes(32))))
    seen = fi.dicom.scan(tmp_path)["grid_frame_offsets"].to_pylist()[0]
    wanted = [float(text) for text in texts]
    assert seen == wanted
    assert np.signbit(seen).tolist() == np.signbit(wanted).tolist()


@pytest.mark.parametrize("size", [900, 5000, 17000])
def test_headers_of_several_lengths_in_one_folder(tmp_path, size):
    """What one file teaches about the next one's header is only a guess."""
    for number, length in enumerate([40, size, 60, size + 4000, 0]):
        filler = element(0x29, 0x1010, "UN", bytes(length))
        body = header() + filler + element(0x28, 0x1053, "DS", b"2 ")
        (tmp_path / f"{number}").write_bytes(part10(body + element(0x7FE0, 0x10, "OW", bytes(32))))
    table = fi.dicom.scan(tmp_path, threads=1)
    assert table["status"].to_pylist() == ["image"] * 5
    assert table["rescale_slope"].to_pylist() == [2.0] * 5


def test_wrong_transfer_syntax_is_seen_in_the_bytes(tmp_path):
    body = header() + element(0x7FE0, 0x10, "OW", bytes(32))
    (tmp_path / "x").write_bytes(part10(body, "1.2.840.10008.1.2"))  # says implicit, is explicit
    assert fi.dicom.scan(tmp_path)["status"].to_pylist() == ["image"]


def test_excess_nesting_is_damage(tmp_path):
    deep = b""
    for _ in range(200):
        deep = element(8, 0x1140, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(deep)) + deep)
    shallow = element(0x5200, 0x9229, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(deep)) + deep)
    undefined = struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    (tmp_path / "known").write_bytes(part10(shallow + header() + element(0x7FE0, 0x10, "OW", bytes(32))))
    (tmp_path / "unknown").write_bytes(part10(undefined * 20_000))
    rows = fi.dicom.scan(tmp_path).to_pylist()
    assert rows[0]["status"] == "image"  # skipped by its length
    assert (rows[1]["status"], rows[1]["detail"]) == ("damaged", "sequences are nested too deeply")


def test_the_root_must_be_a_folder(tmp_path):
    with pytest.raises(fi.errors.ArgumentError, match="must be a folder"):
        fi.dicom.scan(tmp_path / "absent")


def test_an_empty_folder_has_an_empty_table(tmp_path):
    table = fi.dicom.scan(tmp_path)
    assert table.num_rows == 0
    assert fi.dicom.series(table) == []


def test_series_takes_a_table_or_a_folder(tmp_path):
    stack_of(tmp_path, [0, 1, 2])
    by_folder, by_table = fi.dicom.series(tmp_path), fi.dicom.series(fi.dicom.scan(tmp_path))
    assert [s.files for s in by_folder] == [s.files for s in by_table]
    with pytest.raises(fi.errors.ArgumentError, match="columns missing"):
        fi.dicom.series(fi.dicom.scan(tmp_path).select(["path", "status"]))
