"""Quality control: each code is provoked and told with its figure; clean cases stay clean."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qc_cases import RNG, SHAPE, add, body, image, seen
from scipy import ndimage
from small_run import KEY

import fastimg as fi
from fastimg.findings import Finding
from fastimg.pipeline import QcSettings, Recipe
from fastimg.pipeline._pool import InProcess
from fastimg.pipeline._qc_identity import suspicion


@pytest.fixture
def cohort(tmp_path):
    return fi.Cohort.create(tmp_path / "c")


# clean cases ------------------------------------------------------------------------------------------------------------


def test_clean_cases_stay_clean(cohort):
    for seed in range(6):
        lesion = np.zeros(SHAPE, np.uint8)
        lesion[4:8, 70:84, 70:84] = 1
        add(
            cohort,
            f"ct-{seed}",
            body(seed),
            masks={"lesion": lesion},
            metadata={"subject": f"{seed:032x}", "age_years": 61},
        )
    rician = np.hypot(*np.random.default_rng(1).normal(0, 8, (2, *SHAPE))) + (body(9) > -300) * 300.0
    add(cohort, "mr", rician.astype(np.float32), modality="MR", unit="arbitrary")
    codes, report = seen(cohort)
    assert codes == {}
    assert not report.failed
    assert report.cases == 7
    assert report.findings.num_rows == 0
    rows = report.measures.to_pylist()
    assert [row["case_id"] for row in rows] == [f"ct-{seed}" for seed in range(6)] + ["mr"]
    assert all(row["voxels"] == np.prod(SHAPE) and row["edge"] == 0 for row in rows)
    assert (rows[0]["masks"], rows[6]["masks"]) == (1, 0)
    assert [row["noise"] for row in rows[:6]] == pytest.approx([12] * 6, rel=0.1)


def test_synthetic_hospitals_have_what_was_planted(tmp_path):
    made = fi.synth.hospitals(tmp_path / "in", patients=3, size=48, seed=11)
    recipe = Recipe.parse('[radiomics]\nenabled = false\n[run]\nreserve = "1 MB"\n[input]\nsuv = true')
    summary = fi.pipeline.run(recipe, made.folder, tmp_path / "c", key=KEY, executor=InProcess())
    _, report = seen(fi.Cohort.open(tmp_path / "c"), identifiers=made.identifiers)
    # what ingest found is told again, with its origin, code by code
    ingest = [row["code"] for row in report.findings.to_pylist() if row["origin"] == "ingest"]
    stored = [f.code for case in fi.Cohort.open(tmp_path / "c").cases() for f in case.findings]
    assert sorted(ingest) == sorted(stored)
    assert "missing-slice" in ingest
    assert report.failed  # missing slices set their case aside
    assert summary.cases == report.cases
    own = {row["code"] for row in report.findings.to_pylist() if row["origin"] == "qc"}
    assert not own & {"identifier-left", "identifier-suspect", "case-damaged", "unit-missing", "duplicate-slice"}


def test_real_volumes(data, reference, tmp_path):
    recipe = Recipe.parse(
        '[input]\ntolerate = ["uneven-spacing"]\nrelease = ["head"]\n[radiomics]\nenabled = false\n[run]\nreserve = "1 MB"'
    )
    fi.pipeline.run(recipe, data / "dicom", tmp_path / "c", key=KEY, executor=InProcess())
    _, report = seen(tmp_path / "c")
    own = [row for row in report.findings.to_pylist() if row["origin"] == "qc"]
    assert own == []  # nothing is wrong with what was read; four files of one scanner are four times of one case
    assert [row["slices"] for row in report.measures.to_pylist()].count(6) == 1
    assert any("uneven-spacing" in row["message"] for row in report.findings.to_pylist())
    # The phantom of the IBSI is cut out of a thorax: the body reaches all sides, and the tumour lies in it.
    fi.pipeline.run(recipe, reference / "ibsi1" / "ct_phantom" / "dicom", tmp_path / "p", key=KEY, executor=InProcess())
    _, report = seen(tmp_path / "p")
    own = [row for row in report.findings.to_pylist() if row["origin"] == "qc"]
    assert [row["code"] for row in own] == ["truncated-anatomy"]
    assert own[0]["value"] > 0.5


# each code provoked -----------------------------------------------------------------------------------------------------


def test_slices(cohort):
    doubled, blank = body(0), body(1)
    doubled[7] = doubled[3]
    blank[5] = -1000
    add(cohort, "doubled", doubled)
    add(cohort, "blank", blank)
    padded = body(2)
    padded[5] = -2000
    padding = np.zeros(SHAPE, bool)
    padding[5] = True
    add(cohort, "padded", padded, padding=padding)  # a slice of padding is no blank slice: its gap was told at ingest
    codes, report = seen(cohort)
    assert codes == {"doubled": ["duplicate-slice"], "blank": ["blank-slice"]}
    rows = {row["case_id"]: row for row in report.findings.to_pylist()}
    assert "slice 8 is slice 4" in rows["doubled"]["message"]
    assert "slice 6" in rows["blank"]["message"]
    assert rows["blank"]["value"] == 1


def test_slices_of_several_volumes(cohort):
    one = body(0)
    both = np.stack([one, one])  # two equal volumes: no slice repeats within one
    cohort.add("t", fi.Image(both, dims=("t", "z", "y", "x"), unit="HU"), metadata={"modality": "CT"})
    assert seen(cohort)[0] == {}
    both[1, 4] = both[1, 2]
    cohort.add("u", fi.Image(both, dims=("t", "z", "y", "x"), unit="HU"), metadata={"modality": "CT"})
    assert seen(cohort)[0]["u"][0] == "duplicate-slice"


@pytest.mark.parametrize("turned", [False, True])
def test_truncated_anatomy(cohort, turned):
    cut = body(0, centre=(0.5, 0.75))
    add(cohort, "cut", cut.transpose(0, 2, 1) if turned else cut)
    codes, report = seen(cohort)
    assert codes == {"cut": ["truncated-anatomy"]}
    assert report.measures["edge"][0].as_py() > 0.2


def test_truncated_by_a_round_field(cohort):
    """A round reconstruction: its corners are filled with one value, and the body ends at the circle, not at the array."""
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    outside = np.hypot(y - 79.5, x - 79.5) > 80
    whole, cut, declared = body(0), body(1, centre=(0.2, 0.2), radius=0.5), body(2, centre=(0.8, 0.2), radius=0.5)
    for array in (whole, cut, declared):
        array[:, outside] = -2000
    limits = QcSettings.parse('format = "fastimg-qc"\nversion = 1\n[units.HU]\nlow = -3000')
    add(cohort, "whole", whole)
    add(cohort, "cut", cut)
    add(cohort, "declared", declared, padding=np.broadcast_to(outside, SHAPE))
    codes, _ = seen(cohort, limits)
    assert codes == {"cut": ["truncated-anatomy"], "declared": ["truncated-anatomy"]}


def test_voxels(cohort):
    add(cohort, "empty", np.full(SHAPE, 5, np.int16))
    add(cohort, "saturated", body(0).clip(-1000, 60))
    broken = body(1).astype(np.float32)
    broken[3, 80, 80] = np.nan
    add(cohort, "broken", broken)
    add(cohort, "offset", body(2) + 1024)
    add(cohort, "arbitrary", body(3), unit="arbitrary")
    add(
        cohort,
        "pet",
        np.abs(body(4).astype(np.float32)) * 50 + RNG.random(SHAPE, np.float32),
        modality="PT",
        unit="SUV",
    )
    add(cohort, "scaled", body(5).astype(np.float32), unit="normalised")
    codes, report = seen(cohort)
    assert codes["empty"] == ["empty-image"]
    assert codes["saturated"] == ["saturated"]
    assert codes["broken"] == ["non-finite"]
    assert "unit-range" in codes["offset"]
    assert codes["arbitrary"] == ["unit-missing"]
    assert codes["pet"] == ["unit-range"]
    assert "scaled" not in codes
    assert report.failed


def test_noise_and_blur(cohort):
    add(cohort, "noisy", body(0, noise=220))
    soft = ndimage.gaussian_filter(body(1).astype(np.float32), (0, 9, 9))
    add(cohort, "blurred", soft)
    faint = body(2, noise=0).astype(np.float32)
    faint = (faint > -300) * 8.0 + np.abs(np.random.default_rng(0).normal(0, 15, SHAPE))
    add(cohort, "faint", faint.astype(np.float32), modality="MR", unit="arbitrary")
    add(cohort, "coarse", body(3), spacing=(8, 1, 1))
    text = 'format = "fastimg-qc"\nversion = 1\n[limits.CT]\nspacing = 5\n'
    codes, report = seen(cohort, QcSettings.parse(text))
    assert codes == {"noisy": ["noisy"], "blurred": ["blurred"], "faint": ["noisy"], "coarse": ["coarse-grid"]}
    rows = {row["case_id"]: row for row in report.findings.to_pylist()}
    assert rows["noisy"]["value"] == pytest.approx(220, rel=0.1)
    assert (rows["noisy"]["limit"], rows["coarse"]["value"]) == (150, 8)


def test_masks(cohort):
    def box(*slices):
        mask = np.zeros(SHAPE, np.uint8)
        mask[slices] = 1
        return mask

    within = box(slice(4, 8), slice(70, 90), slice(70, 90))
    outside = box(slice(4, 8), slice(2, 20), slice(2, 20))
    cut = box(slice(0, 3), slice(70, 90), slice(70, 90))
    tiny = box(slice(5, 6), slice(80, 82), slice(80, 82))
    add(cohort, "a", body(0), masks={"one": within, "two": outside, "three": cut, "four": tiny})
    hollow = body(1)
    hollow[:, 75:85, 75:85] = -950  # a lung is air too, and not the air around the body
    add(cohort, "b", hollow, masks={"lung": box(slice(4, 8), slice(77, 83), slice(77, 83))})
    _, report = seen(cohort)
    found = [(row["where"], row["code"]) for row in report.findings.to_pylist()]
    assert found == [("mask 2", "mask-off-body"), ("mask 3", "mask-cut"), ("mask 4", "mask-small")]
    assert report.findings["severity"].to_pylist() == ["warning", "warning", "info"]


def test_an_empty_mask_is_told(cohort):
    add(cohort, "a", body(0), masks={"none": np.zeros(SHAPE, np.uint8)})
    assert seen(cohort)[0] == {"a": ["mask-empty"]}


def test_copies(cohort):
    one = body(0)
    add(cohort, "a", one)
    add(cohort, "b", one + 0)  # the same voxels
    noisy = one + np.rint(np.random.default_rng(5).normal(0, 20, SHAPE)).astype(np.int16)
    add(cohort, "c", noisy)  # compressed with loss, or sent twice through a filter
    fine = fi.resample(image(one.astype(np.float32)), spacing=(2, 1.3, 1.3), order="linear")
    cohort.add("d", fine, metadata={"modality": "CT"})
    turned = fi.Image(
        np.ascontiguousarray(one[::-1, :, ::-1]),
        np.array([[0, 0, -1, 159], [0, 1, 0, 0], [-3, 0, 0, 33], [0, 0, 0, 1.0]]),
        unit="HU",
    )
    cohort.add("e", turned, metadata={"modality": "CT"})
    for seed in range(1, 9):
        add(cohort, f"other-{seed}", body(seed))
    add(cohort, "mr", one.astype(np.float32) + 1100, modality="MR", unit="arbitrary")  # not compared with CT
    codes, report = seen(cohort)
    assert set(codes) == {"b", "c", "d", "e"}
    assert {code for found in codes.values() for code in found} == {"near-duplicate"}
    first = next(row for row in report.findings.to_pylist() if row["case_id"] == "b")
    assert first["message"] == "The same voxels as case a."


def test_identifiers(cohort):
    add(
        cohort,
        "a",
        body(0),
        metadata={"comment": "seen on 1961-07-23", "patient_name": "X", "note": "a.b@example.org"},
    )
    add(cohort, "b", body(1), masks={"Meyer^Anna": (body(1) > 0).astype(np.uint8)}, metadata={"ward": "Meyer"})
    add(cohort, "19610723", body(2))
    cohort.record(
        "gone", "failed", findings=[Finding("case-failed", "of 1.2.276.0.7230010.3.1.4")], metadata={"ward": "C3"}
    )
    _, report = seen(cohort, identifiers={"Meyer"})
    rows = [(row["case_id"], row["code"], row["where"]) for row in report.findings.to_pylist() if row["origin"] == "qc"]
    assert ("a", "identifier-suspect", "metadata comment") in rows
    assert ("a", "identifier-suspect", "metadata patient_name") in rows
    assert ("a", "identifier-suspect", "metadata note") in rows
    assert ("b", "identifier-left", "name of mask 1") in rows
    assert ("b", "identifier-left", "metadata ward") in rows
    assert ("#1", "identifier-suspect", "case_id") in rows  # the case is told by its number
    assert ("gone", "identifier-suspect", "finding 1") in rows
    told = json.dumps(report.to_dict())
    for secret in ("1961-07-23", "19610723", "Meyer", "example.org", "7230010"):
        assert secret not in told


@pytest.mark.parametrize(
    "text, kind",
    [
        ("20140231 but 19610723", "a date"),
        ("born 23.07.1961", "a date"),
        ("07/23/1961", "a date"),
        ("1.2.276.0.7230010.3.1.4.8323329", "a UID"),
        ("MEYER^ANNA", "a person's name"),
        ("write to a.b@clinic.example", "an e-mail address"),
        ("+49 30 901820-0", "a telephone number"),
        ("MRN 00481516", "a record number"),
        ("site-0123456789ab", None),
        ("0123456789abcdef0123456789abcdef", None),
        ("1.2.840.10008.1.2.1", None),
        ("ct-123456789012", None),
        ("~1234567890", None),
        ("B30f at 3.27 mm, 120 kV", None),
        ("syngo CT 2012B", None),
        ("0.9765625", None),
        ("", None),
    ],
)
def test_forms_of_identifiers(text, kind):
    assert suspicion(text) == kind


def test_a_damaged_case_is_a_finding(cohort):
    add(cohort, "a", body(0))
    add(cohort, "b", body(1))
    shard = max((p for p in (cohort.path / "cases" / "a").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    codes, report = seen(cohort)
    assert codes == {"a": ["case-damaged"]}
    assert report.failed
