"""De-identified trees: nothing that was planted is left in the bytes."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import pydicom
import pytest
from identity_maker import KEY, PLAIN

import fastimg as fi
from fastimg.dicom._capture import capture
from fastimg.dicom._deidentify import deidentify
from fastimg.dicom._keys import pseudonym, replacement_uid
from fastimg.dicom._masks import read_masks
from fastimg.dicom._pixel_identity import pixel_identity
from fastimg.dicom._profile import Profile
from fastimg.dicom._residual import identifiers_of, residual


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
