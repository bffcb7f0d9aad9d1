"""What the science needs is taken before identity goes."""

from __future__ import annotations

import json

import pydicom
import pytest
from identity_maker import KEY, ordinary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

import fastimg as fi
from fastimg.dicom._capture import capture
from fastimg.dicom._keys import pseudonym
from fastimg.dicom._residual import residual


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return fi.synth.hospitals(tmp_path_factory.mktemp("cohort") / "tree", patients=2, size=32, seed=9)


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
