"""The index's rows of series: images, and the SEG and RTSTRUCT that their masks came from, by pseudonyms."""

from __future__ import annotations

import shutil

import pydicom
from small_run import KEY

import fastimg as fi
from fastimg.pipeline._pool import InProcess


def headers(root):
    """{series UID: (modality, UIDs of the series that it refers to, itself or by their slices)} as pydicom reads them."""
    found, series_of = {}, {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and pydicom.misc.is_dicom(path):
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            if "SeriesInstanceUID" in dataset:
                uid, named = str(dataset.SeriesInstanceUID), set()
                series_of[str(dataset.SOPInstanceUID)] = uid
                if dataset.Modality in ("SEG", "RTSTRUCT"):
                    kinds = ("SeriesInstanceUID", "ReferencedSOPInstanceUID")
                    named = {str(element.value) for element in dataset.iterall() if element.keyword in kinds}
                found.setdefault(uid, (dataset.Modality, set()))[1].update(named)
    return {uid: (kind, {series_of.get(name, name) for name in named} - {uid}) for uid, (kind, named) in found.items()}


def test_each_series_of_a_case_has_a_row(hospitals, done):
    cohort, there = fi.Cohort.open(done[0]), headers(hospitals.folder)
    rows = cohort.query("SELECT series.*, cases.modality AS own FROM series JOIN cases USING (case_id)").to_pylist()
    codes = {fi.dicom.pseudonym(uid, key=KEY): uid for uid in there}
    images = {codes[row["series"]]: row for row in rows if row["kind"] == "image"}
    masks = [row for row in rows if row["kind"] == "mask"]
    assert images
    assert {row["modality"] for row in masks} == {"SEG", "RTSTRUCT"}
    for uid, row in images.items():
        assert (row["modality"], row["own"], row["image"]) == (there[uid][0], there[uid][0], None)
    pairs = {(codes[row["series"]], codes[row["image"]]) for row in masks}
    assert pairs == {
        (uid, image)
        for uid, (modality, refers) in there.items()
        if modality in ("SEG", "RTSTRUCT")
        for image in refers & images.keys()
    }
    for row in masks:
        assert row["modality"] == there[codes[row["series"]]][0]
        assert row["case_id"] == images[codes[row["image"]]]["case_id"]
    # one row a case that was read at all
    assert sorted(row["case_id"] for row in images.values()) == sorted(
        case.case_id for case in cohort.cases() if case.manifest.get("series")
    )
    text = b"".join(path.read_bytes() for path in (cohort.path / "cases").glob("*/manifest.json"))
    text += (cohort.path / "index" / "cases.sqlite").read_bytes()
    assert [uid for uid in there if uid.encode() in text] == []


def test_rows_of_series_come_and_go_with_their_case(hospitals, tmp_path):
    with_masks = next(
        p.parent for p in sorted(hospitals.folder.rglob("*")) if p.is_file() and b"SEG" in p.read_bytes()[:2000]
    )
    root = tmp_path / "in"
    shutil.copytree(with_masks.parent, root)
    target = tmp_path / "c"
    summary = fi.ingest(root, target, InProcess(), key=KEY)
    cohort = fi.Cohort.open(target, mode="r+")
    before = cohort.query("SELECT * FROM series ORDER BY 1, 2").to_pylist()
    assert {row["kind"] for row in before} == {"image", "mask"}
    assert summary.cases
    # the manifest is the truth: the table is made anew from it, and a reader of a folder without an index sees it too
    (target / "index" / "cases.sqlite").unlink()
    assert fi.Cohort.open(target).query("SELECT * FROM series ORDER BY 1, 2").to_pylist() == before
    assert [f.code for f in cohort.verify().findings] == ["index-stale"]
    assert cohort.query("SELECT * FROM series ORDER BY 1, 2").to_pylist() == before
    case_id = next(row["case_id"] for row in before if row["kind"] == "mask")
    cohort.set_metadata(case_id, {"stage": "II"})
    assert cohort.query("SELECT * FROM series ORDER BY 1, 2").to_pylist() == before
    cohort.remove([case_id])
    left = cohort.query("SELECT * FROM series ORDER BY 1, 2").to_pylist()
    assert left == [row for row in before if row["case_id"] != case_id]
    file = (target / "index" / "cases.sqlite").read_bytes()
    gone = {row["series"] for row in before} - {row["series"] for row in left}
    assert gone
    assert [code for code in gone if code.encode() in file] == []
