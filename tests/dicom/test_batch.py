"""A folder de-identified into another: whole series or nothing, nothing of anybody left, resumable, reported."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
from dicom_maker import image, save
from identity_maker import KEY, ordinary
from pydicom.dataset import Dataset

import fastimg as fi
from fastimg.cli._search import Search
from fastimg.dicom import Profile, deidentify_folder, leftovers
from fastimg.dicom import _batch as batch_module

PROFILE = Profile(key=KEY)
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return fi.synth.hospitals(tmp_path_factory.mktemp("batch") / "export", patients=2, size=32, seed=5)


@pytest.fixture(scope="module")
def done(tree, tmp_path_factory):
    out = tmp_path_factory.mktemp("done") / "out"
    return out, deidentify_folder(tree.folder, out, PROFILE, threads=2)


def test_nothing_planted_is_left_in_bytes_or_names(tree, done):
    out, batch = done
    search = Search(text for text in tree.identifiers if len(text) > 3)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert batch.files == len([f for f in files if f.suffix == ".dcm"]) > 50
    left = search.found("\n".join(map(str, files)).encode()).union(*(search.found(f.read_bytes()) for f in files))
    assert left == set()


def test_voxels_and_masks_are_the_same(tree, done):
    out, _ = done
    by_subject = {fi.dicom.pseudonym(case.subject, key=KEY): case for case in tree.cases}
    found = [s for s in fi.dicom.series(out) if s.kind == "image" and len(s.files) > 3]
    masks = {s.subject: s for s in fi.dicom.series(out) if s.kind == "mask"}
    seen = 0
    for series in found:
        case = by_subject[series.subject]
        if {f.code for f in series.findings} & {"missing-slice", "uneven-spacing"}:
            continue
        volume = fi.dicom.read(series)
        if volume.shape != case.shape:
            continue
        (mask,) = fi.dicom.read_masks(masks[series.subject], like=volume).values()
        np.testing.assert_array_equal(mask.array, case.mask)
        seen += 1
    assert seen == len(tree.cases)


def test_what_may_show_identity_is_held_back_as_a_whole(tree, done):
    _, batch = done
    assert batch.series["quarantined"] == 1  # the screenshot
    assert batch.rules["burned-in"] == 1
    assert batch.series["failed"] == 1  # the file cut short within its pixels


def test_one_burned_in_slice_holds_the_series_back(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for k in range(4):
        save(image(np.full((4, 4), k, np.uint16), z=k, number=k, BurnedInAnnotation="YES" if k == 2 else "NO"),
             root / f"{k}.dcm")  # fmt: skip
    batch = deidentify_folder(root, tmp_path / "out", PROFILE)
    assert (batch.files, batch.series["quarantined"], batch.rules) == (0, 1, {"burned-in": 1})
    assert not list((tmp_path / "out").rglob("*.dcm"))
    (found,) = fi.dicom.pixel_identity(fi.dicom.series(root)[0])
    assert found.details == {"rule": "burned-in", "files": 1}
    released = deidentify_folder(root, tmp_path / "out", PROFILE, release=["burned-in"])
    assert (released.files, released.series["written"]) == (4, 1)
    assert released.to_dict()["pixel_rules"] == {"met": {"burned-in": 1}, "released": ["burned-in"]}


def test_a_second_run_goes_on_and_reports_the_same(tree, done):
    out, first = done
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")}
    again = deidentify_folder(tree.folder, out, PROFILE)
    assert again.skipped == sum(again.series.values()) == sum(first.series.values())
    assert again.to_dict() == first.to_dict() == json.loads((out / "deidentification.json").read_text())
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")}


def test_an_interrupted_run_leaves_no_half_series_and_goes_on(tree, tmp_path, monkeypatch):
    out = tmp_path / "out"
    real, count = batch_module._rewritten, iter(range(10**6))

    def dies(*arguments):
        if next(count) == 40:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(batch_module, "_rewritten", dies)
    with pytest.raises(KeyboardInterrupt):
        deidentify_folder(tree.folder, out, PROFILE, threads=1)
    assert not (out / "deidentification.json").exists()
    (out / ".half-left-by-a-kill").mkdir()
    with (out / "deidentification.jsonl").open("a") as states:
        states.write('{"source": "cut o')
    monkeypatch.undo()
    batch = deidentify_folder(tree.folder, out, PROFILE, threads=1)
    assert batch.skipped > 0
    assert not list(out.glob(".half*"))
    assert batch.files == len(list(out.rglob("*.dcm")))


def test_the_report_tells_options_and_counts_and_no_value(tree, done):
    out, _ = done
    text = (out / "deidentification.json").read_text()
    report = json.loads(text)
    assert "pseudonymised" in report["status"]
    assert "anonymous" not in text.lower()
    assert report["options"][0]["code"] == "113100"
    assert report["files"] == report["datasets"]
    assert {"attribute": "00100010", "action": "empty", "count": report["files"]} in report["attributes"]
    assert fi.dicom.residual(text, tree.identifiers) == []


def test_linkable_profiles_are_barred_from_export(tree, tmp_path):
    for options in ({"retain_uids": True}, {"dates": "keep"}):
        with pytest.raises(fi.errors.RefusedError, match="barred from export"):
            deidentify_folder(tree.folder, tmp_path / "out", Profile(key=KEY, **options))
        assert not (tmp_path / "out").exists()
    one = tree.folder / tree.cases[0].folder
    batch = deidentify_folder(one, tmp_path / "out", Profile(key=KEY, retain_uids=True), export=False)
    assert batch.files > 0
    assert batch.to_dict()["export"].startswith("barred")
    assert batch.to_dict()["linkable"] is True


def test_slide_labels_are_dropped_and_the_slide_is_kept(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for k, word in enumerate(["VOLUME", "LABEL", "OVERVIEW"]):
        save(image(np.zeros((4, 4), np.uint8), Modality="SM", ImageType=["ORIGINAL", "PRIMARY", word, "NONE"],
                   SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.6"), root / f"{k}.dcm")  # fmt: skip
    batch = deidentify_folder(root, tmp_path / "out", PROFILE)
    assert (batch.files, batch.dropped, batch.series["written"]) == (1, 2, 1)
    assert batch.findings["slide-label"] == 1


def test_a_value_that_is_left_quarantines_the_series(tmp_path, monkeypatch):
    """The search stands on its own: a rewriter that forgets something is caught."""
    root = tmp_path / "in"
    root.mkdir()
    save(image(np.zeros((4, 4), np.uint16), PatientName="Zwetschgen^Anna", PatientBirthDate="19500102"), root / "0.dcm")

    def forgetful(keyword, value):
        def run(data, profile, *, report=None):
            import io

            dataset = pydicom.dcmread(io.BytesIO(fi.dicom.deidentify_bytes(data, profile, report=report)))
            if keyword is None:
                dataset.private_block(0x0019, "ACME", create=True).add_new(1, "LO", value)
            else:
                setattr(dataset, keyword, value)
            out = io.BytesIO()
            dataset.save_as(out)
            return out.getvalue()

        return run

    cases = [("ImageComments", "seen with ZWETSCHGEN", "identifier-left"), ("PatientBirthDate", "19770203",
             "birth-date-left"), (None, "harmless", "private-left")]  # fmt: skip
    for number, (keyword, value, code) in enumerate(cases):
        monkeypatch.setattr(batch_module, "deidentify_bytes", forgetful(keyword, value))
        batch = deidentify_folder(root, tmp_path / f"out{number}", PROFILE)
        assert batch.series["quarantined"] == 1
        assert set(batch.findings) == {code}
        assert not list((tmp_path / f"out{number}").rglob("*.dcm"))


@pytest.mark.parametrize(("keyword", "code"), [("PatientBirthDate", "birth-date-left"), (None, "private-left")])
def test_leftovers_of_a_dataset(keyword, code):
    clean = fi.dicom.deidentify(ordinary(), PROFILE)
    assert leftovers(clean, PROFILE, fi.dicom.identifiers_of(ordinary())) == []
    item = Dataset()
    if keyword:
        setattr(item, keyword, "19770203")
    else:
        item.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", 800)
    clean.add_new(0x00081140, "SQ", [item])
    (found,) = leftovers(clean, PROFILE)
    assert found.code == code
    assert found.severity == "quarantine"
    if not keyword:
        assert leftovers(clean, Profile(key=KEY, safe_private=fi.dicom.SAFE_PRIVATE)) == []


@pytest.mark.parametrize(
    ("patient", "removed", "kept"),
    [(HASH, "YES", True), (HASH, "NO", False), (HASH, None, False), ("1234567890123456", "YES", False),
     ("0a0eb5ad-2f7e-4f43-8c0e-2ffb1a6a1234", "YES", True), ("Muster", "YES", False)],
)  # fmt: skip
def test_hashes_of_an_upstream_tool_are_kept_when_asked_for(tmp_path, patient, removed, kept):
    root = tmp_path / "in"
    root.mkdir()
    dataset = image(np.zeros((4, 4), np.uint16), PatientID=patient, PatientName=patient)
    if removed:
        dataset.PatientIdentityRemoved = removed
    save(dataset, root / "0.dcm")
    wanted = patient if kept else fi.dicom.pseudonym(patient, key=KEY)
    for keep, subject in ((True, wanted), (False, fi.dicom.pseudonym(patient, key=KEY))):
        out = tmp_path / f"out{keep}"
        batch = deidentify_folder(root, out, Profile(key=KEY, keep_hashed=keep))
        assert batch.series["written"] == 1
        (file,) = out.rglob("*.dcm")
        assert pydicom.dcmread(file).PatientID == subject
        assert fi.dicom.capture(dataset, key=KEY, keep_hashed=keep)["subject"] == subject


def test_wrong_use_is_refused(tree, tmp_path):
    with pytest.raises(fi.errors.ArgumentError, match="within each other"):
        deidentify_folder(tree.folder, tree.folder / "out", PROFILE)
    with pytest.raises(fi.errors.ArgumentError, match="no such rule"):
        deidentify_folder(tree.folder, tmp_path / "out", PROFILE, release=["faces"])
    with pytest.raises(fi.errors.ArgumentError, match="Profile"):
        deidentify_folder(tree.folder, tmp_path / "out", KEY)
    with pytest.raises(fi.errors.RefusedError, match="inside the folder"):
        fi.dicom.load_key(tmp_path / "out" / "site.key", create=True, outside=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_changed_files_are_made_again(tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    for k in range(2):
        save(image(np.full((4, 4), k, np.uint16), z=k), root / f"{k}.dcm")
    assert deidentify_folder(root, out, PROFILE).files == 2
    save(image(np.full((4, 4), 2, np.uint16), z=2), root / "2.dcm")
    again = deidentify_folder(root, out, PROFILE)
    assert (again.files, again.skipped) == (3, 0)
    assert len(list(out.rglob("*.dcm"))) == 3
