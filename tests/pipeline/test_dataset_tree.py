"""A dataset as EUCAIM asks for it: imaging_data/PATIENT/STUDY/SERIES with DICOM-SEG, tables of the data model beside it."""

from __future__ import annotations

import numpy as np
import pytest
from small_run import KEY

import fastimg as fi
from fastimg.errors import FormatError
from fastimg.pipeline import Recipe, run
from fastimg.pipeline._eucaim import dataset_of
from fastimg.pipeline._pool import InProcess

RECIPE = '[radiomics]\nbin_count = 8\nclasses = ["firstorder"]\n[combat]\nenabled = false\n[run]\nreserve = "1 MB"\n'


@pytest.fixture
def dataset(tmp_path):
    """(folder, series UIDs by patient): three patients, each with a CT and a segmentation of its own series."""
    pytest.importorskip("highdicom", reason="the extra interop is not installed")
    root = tmp_path / "dataset"
    uids = {}
    for number in range(3):
        patient = f"X{number:06d}"
        study = root / "imaging_data" / patient / f"1.2.826.{number}"
        made = fi.synth.ct_series(
            study / "ct",
            slices=6,
            size=48,
            seed=number,
            attributes={"PatientName": patient, "PatientID": patient, "PatientSex": "F"},
        )
        (study / "ct").rename(study / made.series_uid)
        (series,) = fi.dicom.series(study / made.series_uid)
        image = fi.dicom.read(series)
        mask = np.zeros(image.shape, np.uint8)
        mask[2:4, 18:30, 18 : 24 + 2 * number] = 1
        (study / "seg").mkdir()
        fi.dicom.write_seg({"tumour": mask}, image, study / "seg" / "instance_001.dcm", source=series)
        (seg,) = fi.dicom.series(study / "seg")
        uids[patient] = (made.series_uid, seg.uid)
    tables = root / "clinical_data"
    tables.mkdir()
    rows = "".join(f"{patient},Female,{50 + 3 * k},Lung,2019-0{k + 1}-11\n" for k, patient in enumerate(uids))
    head = "patient_id,sex_at_birth,age_at_diagnosis,topography,date_of_diagnosis\n"
    (root / "clinical_mandatory_view.csv").write_text(head + rows)
    (tables / "patient.csv").write_text("patient_id\n" + "\n".join(uids))
    listed = "".join(f"{patient},{image}\n" for patient, (image, _) in uids.items())
    (root / "imaging_mandatory_view.csv").write_text("patient_id,series_uid\n" + listed)
    (tables / "image_series.csv").write_text("patient_id,series_uid\n" + listed)
    segments = "".join(f"{patient},{seg}\n" for patient, (_, seg) in uids.items())
    (tables / "segmentation_series.csv").write_text("patient_id,series_uid\n" + segments)
    return root, uids


def test_it_is_read_as_it_is(dataset, tmp_path):
    root, uids = dataset
    summary = run(Recipe.parse(RECIPE), root, tmp_path / "c", key=KEY, executor=InProcess())
    assert summary.states["ok"] == 3
    assert summary.series == 6
    assert "tree-mismatch" not in summary.findings
    assert "clinical-unmatched" not in summary.findings
    assert summary.findings["clinical-date"] == 1  # refused, and told
    assert "not-dicom" not in summary.findings  # the tables are no strangers among the images
    cohort = fi.Cohort.open(tmp_path / "c")
    rows = cohort.query(
        "SELECT subject, topography, age_at_diagnosis, masks FROM cases ORDER BY age_at_diagnosis"
    ).to_pylist()
    assert [row["age_at_diagnosis"] for row in rows] == [50, 53, 56]
    assert {row["topography"] for row in rows} == {"Lung"}
    assert [row["subject"] for row in rows] == [fi.dicom.pseudonym(patient, key=KEY) for patient in uids]
    for case in cohort.cases():
        assert case.mask_names == ["tumour"]
        number = [fi.dicom.pseudonym(p, key=KEY) for p in uids].index(case.metadata["subject"])
        assert np.asarray(case.masks()["tumour"].array).sum() == 2 * 12 * (6 + 2 * number)
    assert cohort.features("tumour").num_rows == 3


def test_ingest_and_a_dry_run_read_it_too(dataset, tmp_path):
    root, _ = dataset
    seen = fi.pipeline.preview(Recipe.parse(RECIPE), root, tmp_path / "c")
    assert (seen.cases, seen.series, seen.findings) == (3, 6, {"clinical-date": 1})
    summary = fi.ingest(root, tmp_path / "c", InProcess(), key=KEY)
    assert summary.states["ok"] == 3
    assert {case.metadata["topography"] for case in fi.Cohort.open(tmp_path / "c").cases()} == {"Lung"}


def test_a_table_of_ones_own_takes_the_place_of_the_trees(dataset, tmp_path):
    root, uids = dataset
    own = tmp_path / "own.csv"
    own.write_text("patient_id,grade\n" + "".join(f"{patient},2\n" for patient in uids))
    run(Recipe.parse(RECIPE), root, tmp_path / "c", key=KEY, clinical=own, executor=InProcess())
    metadata = [case.metadata for case in fi.Cohort.open(tmp_path / "c").cases()]
    assert all(one["grade"] == 2 and "topography" not in one for one in metadata)


def test_series_that_only_one_side_knows_are_counted(dataset, tmp_path):
    root, _ = dataset
    view = root / "imaging_mandatory_view.csv"
    view.write_text(view.read_text() + "X000009,1.2.3.4.5\nX000009,1.2.3.4.6\n")
    fi.synth.ct_series(
        root / "imaging_data" / "X000003" / "s" / "t", slices=4, size=32, seed=9, attributes={"PatientName": "Q^A"}
    )
    summary = run(Recipe.parse(RECIPE), root, tmp_path / "c", key=KEY, executor=InProcess())
    told = [found["message"] for found in summary.file_findings if found["code"] == "tree-mismatch"]
    assert told == ["2 series stand in the tables alone.", "1 series stand in the folders alone."]
    assert summary.findings["clinical-unmatched"] == 1


def test_other_trees_are_no_datasets(dataset, tmp_path):
    root, _ = dataset
    assert dataset_of(root).series is not None
    (root / "clinical_mandatory_view.csv").unlink()
    assert dataset_of(root).clinical.name == "patient.csv"
    assert dataset_of(root / "imaging_data") is None
    assert dataset_of(tmp_path) is None
    (root / "imaging_mandatory_view.csv").write_bytes(b"series_uid\n\xff\xff")
    with pytest.raises(FormatError, match=r"imaging_mandatory_view.csv: not a CSV"):
        dataset_of(root)
