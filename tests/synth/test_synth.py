"""Synthetic cohorts are valid DICOM for other readers, repeatable, and say the truth about themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.encaps import generate_frames

import fastimg as fi
from fastimg.synth import _phantom, _write


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def decoded(path: Path) -> np.ndarray:
    """HU of one slice by other means than ours: pydicom, or imagecodecs where pydicom has no decoder."""
    d = pydicom.dcmread(path)
    syntax = d.file_meta.TransferSyntaxUID
    decode = {
        _write.SYNTAXES["jpeg-lossless"]: imagecodecs.jpeg8_decode,
        _write.SYNTAXES["jpeg-ls"]: imagecodecs.jpegls_decode,
        _write.SYNTAXES["j2k"]: imagecodecs.jpeg2k_decode,
    }.get(syntax)
    stored = d.pixel_array if decode is None else decode(next(generate_frames(d.PixelData, number_of_frames=1)))
    return stored.astype(np.float64) * float(d.RescaleSlope) + float(d.RescaleIntercept)


@pytest.mark.parametrize("syntax", fi.synth.SYNTAXES)
def test_a_series_decodes_to_what_was_written(tmp_path, syntax):
    written = fi.synth.ct_series(tmp_path, slices=4, size=(40, 36), syntax=syntax, missing=[2], seed=3)
    assert len(written.files) == 3
    for path, values in zip(written.files, written.values, strict=True):
        np.testing.assert_array_equal(decoded(path), values)
    assert written.values.max() > 0 > written.values.min()


def test_simpleitk_reads_the_same_volume(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    written = fi.synth.ct_series(tmp_path, slices=5, size=32, spacing=(2.5, 0.7, 0.8), syntax="rle")
    image = sitk.ReadImage([str(f) for f in written.files])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), written.values)
    assert image.GetSpacing() == pytest.approx((0.8, 0.7, 2.5))
    assert image.GetOrigin() == pytest.approx(tuple(written.affine[:3, 3]))


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 3), st.integers(1, 300)), elements=st.integers(0, 2)))
def test_our_run_lengths_decode_with_pydicom(frame):
    from pydicom.pixels.decoders.rle import _rle_decode_frame

    back = _rle_decode_frame(_write.rle(frame), *frame.shape, 1, 16)
    np.testing.assert_array_equal(np.frombuffer(bytes(back), "<u2").reshape(frame.shape), frame)


def test_suv_is_known_by_construction(tmp_path):
    written, suv = fi.synth.pet_series(tmp_path, slices=3, size=24)
    d = pydicom.dcmread(written.files[1])
    drug = d.RadiopharmaceuticalInformationSequence[0]
    dose = float(drug.RadionuclideTotalDose) * 2 ** (-3600 / float(drug.RadionuclideHalfLife))
    found = decoded(written.files[1]) * float(d.PatientWeight) * 1000 / dose
    np.testing.assert_allclose(found, suv[1], atol=suv.max() / 30000)
    assert suv.max() == 8.0


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return fi.synth.hospitals(tmp_path_factory.mktemp("cohort") / "tree", patients=2, size=48, seed=5)


def test_same_seed_same_bytes(tmp_path, cohort):
    again = fi.synth.hospitals(tmp_path / "again", patients=2, size=48, seed=5)
    assert digests(cohort.folder) == digests(again.folder)
    assert [c.subject for c in cohort.cases] == [c.subject for c in again.cases]
    other = fi.synth.hospitals(tmp_path / "other", patients=2, size=48, seed=6)
    assert {c.subject for c in cohort.cases}.isdisjoint(c.subject for c in other.cases)


def test_the_manifest_names_what_is_there(cohort):
    assert len(cohort.cases) == 6
    for case in cohort.cases:
        files = sorted((cohort.folder / case.folder).iterdir())
        assert len(files) == case.shape[0]
        d = pydicom.dcmread(files[0])
        assert (d.SeriesInstanceUID, d.PatientID, d.PatientSex) == (case.series_uid, case.subject, case.sex)
        assert int(d.PatientAge[:3]) == case.age
        assert {d.PatientID, d.PatientBirthDate, d.StudyInstanceUID, d.SOPInstanceUID} <= case.identifiers
        assert str(d.PatientName).split("^")[0] in case.identifiers
        assert 0 < case.mask.sum() < case.mask.size / 4
    for fault in cohort.faults:
        assert (cohort.folder / fault.path).exists()
    assert {f.code for f in cohort.faults} >= {"missing-slice", "damaged-file", "burned-in", "symlink", "archive"}
    assert max(c.age for c in cohort.cases) > 89


def test_segments_hold_the_true_mask(cohort):
    case = cohort.cases[0]
    d = pydicom.dcmread(cohort.folder / case.mask_file)
    found = np.zeros(case.shape, bool)
    for frame, group in zip(d.pixel_array, d.PerFrameFunctionalGroupsSequence, strict=True):
        z = float(group.PlanePositionSequence[0].ImagePositionPatient[2])
        found[round((z - case.affine[2, 3]) / case.affine[2, 0])] |= frame.astype(bool)
    np.testing.assert_array_equal(found, case.mask)


def test_contours_enclose_the_true_mask(cohort):
    case = cohort.cases[-1]
    d = pydicom.dcmread(cohort.folder / case.mask_file)
    contours = d.ROIContourSequence[0].ContourSequence
    assert len(contours) == case.mask.any(axis=(1, 2)).sum()
    for contour in contours:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        k = round((points[0, 2] - case.affine[2, 3]) / case.affine[2, 0])
        x, y = points[:, 0], points[:, 1]
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2  # the shoelace formula
        pixels = case.mask[k].sum() * case.affine[0, 2] * case.affine[1, 1]
        assert pixels == pytest.approx(area, rel=0.25, abs=40)


def test_biology_shows_in_the_lesion():
    rng = np.random.default_rng(0)
    old = [_phantom.lesion_of(80, "M", rng) for _ in range(50)]
    young = [_phantom.lesion_of(50, "F", rng) for _ in range(50)]
    assert np.mean([a.mean for a in old]) - np.mean([a.mean for a in young]) == pytest.approx(31, abs=3)
    assert np.mean([a.texture for a in old]) > np.mean([a.texture for a in young]) + 8


def test_a_folder_with_something_in_it_is_refused(cohort):
    with pytest.raises(fi.errors.ArgumentError, match="empty"):
        fi.synth.hospitals(cohort.folder)
