"""Features of many cases: a CSV, a folder, DICOM, a cohort; resumable; a bad case is a row with a finding."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
from click.testing import CliRunner

import fastimg as fi
from fastimg.cli import main
from fastimg.errors import ArgumentError, FormatError
from fastimg.pipeline import measure_features
from fastimg.pipeline._pool import InProcess

nibabel = pytest.importorskip("nibabel")
SETTINGS = fi.radiomics.Settings(bin_width=20, families=["firstorder", "glcm"])


def case(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((6, 10, 12), np.uint8)
    mask[1:5, 2:8, 3:9] = 1
    return fi.Image(rng.normal(0, 90, mask.shape).astype(np.float32), spacing=(2, 1, 1)), mask


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    for n in range(3):
        image, mask = case(n)
        (root / f"c{n}").mkdir(parents=True)
        image.to_nifti(root / f"c{n}" / "image.nii.gz")
        image.with_array(mask).to_nifti(root / f"c{n}" / "mask.nii.gz")
    return root


def run(source, output, **options):
    return measure_features(source, output, SETTINGS, executor=InProcess(), **options)


def expected(seed):
    image, mask = case(seed)
    return fi.radiomics.extract(image, mask, SETTINGS)


def test_a_table_with_labels_names_and_bad_rows(folder, tmp_path):
    image, mask = case(7)
    mask[1, 2, 3] = 5
    image.with_array(mask).to_nifti(folder / "many.nii.gz")
    image.to_nifti(folder / "seven.nii.gz")
    (folder / "broken.nii.gz").write_bytes(b"no image")
    lines = [
        "ID,Image,Mask,Label",
        "zero,c0/image.nii.gz,c0/mask.nii.gz,",
        "one,c1/image.nii.gz,c1/mask.nii.gz,1",
        "seven,seven.nii.gz,many.nii.gz,1",
        "empty,seven.nii.gz,many.nii.gz,9",
        "several,seven.nii.gz,many.nii.gz,",
        "gone,c9/image.nii.gz,c9/mask.nii.gz,",
        "broken,broken.nii.gz,c0/mask.nii.gz,",
        "short,c0/image.nii.gz",
        "word,c0/image.nii.gz,c0/mask.nii.gz,tumour",
    ]
    (folder / "t.csv").write_text("\n".join(lines))
    made = run(folder / "t.csv", tmp_path / "f.parquet")
    table = {row["case"]: row for row in pq.read_table(tmp_path / "f.parquet").to_pylist()}
    assert {name: table["zero"][name] for name in expected(0)} == expected(0)
    assert {name: table["one"][name] for name in expected(1)} == expected(1)
    assert table["seven"]["finding"] == ""
    assert table["empty"]["finding"] == table["several"]["finding"] == "features-refused"
    assert "label 9" in table["empty"]["message"]
    assert "labels 1, 5" in table["several"]["message"]
    assert {table[name]["finding"] for name in ("gone", "word")} == {"table-row"}
    assert table["broken"]["finding"] in ("read-refused", "unreadable")
    assert made.findings["table-row"] == 3
    assert made.rows == 9
    assert table["gone"]["original_firstorder_Mean"] is None


def test_a_folder_of_pairs_as_csv_and_again(folder, tmp_path):
    image, mask = case(3)
    image.to_nifti(folder / "lone.nii.gz")
    image.to_nifti(folder / "A.nii.gz")
    image.with_array(mask).to_nifti(folder / "A_seg-left.nii.gz")
    first = run(folder, tmp_path / "f.csv")
    with open(tmp_path / "f.csv", newline="") as stream:
        rows = {(row["case"], row["mask"]): row for row in csv.DictReader(stream)}
    assert float(rows["c2/image", "mask"]["original_glcm_Contrast"]) == expected(2)["original_glcm_Contrast"]
    assert ("A", "left") in rows
    assert rows["lone", ""]["finding"] == "mask-empty"
    assert (first.made, first.skipped) == (5, 0)
    before = (tmp_path / "f.csv").read_bytes()
    again = run(folder, tmp_path / "f.csv")
    assert (again.made, again.skipped, again.rows) == (0, 5, 5)
    assert (tmp_path / "f.csv").read_bytes() == before
    assert run(folder, tmp_path / "f.csv", retry=True).made == 1
    other = measure_features(folder, tmp_path / "f.csv", executor=InProcess())  # other settings: all again
    assert other.made == 5


def test_a_run_that_was_killed_goes_on(folder, tmp_path):
    class Killed(BaseException):
        pass

    def stop(done, total, name, codes):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        run(folder, tmp_path / "f.csv", on_case=stop)
    assert not (tmp_path / "f.csv").exists()
    journal = tmp_path / "f.csv.journal"
    with journal.open("a") as stream:
        stream.write('["half a li')
    rest = run(folder, tmp_path / "f.csv")
    assert (rest.made, rest.skipped, rest.rows) == (1, 2, 3)
    assert not journal.exists()


def test_nrrd_and_another_grid(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    image, mask = case(1)
    sitk.WriteImage(image.to_sitk(), str(tmp_path / "a.nrrd"))
    sitk.WriteImage(image.with_array(mask).to_sitk(), str(tmp_path / "a_label.nrrd"))
    sitk.WriteImage(image.to_sitk(), str(tmp_path / "b.mha"))
    moved = fi.Image(mask, spacing=(2, 1, 1.5))
    sitk.WriteImage(moved.to_sitk(), str(tmp_path / "b-mask.mha"))
    run(tmp_path, tmp_path / "out" / "f.csv")
    with open(tmp_path / "out" / "f.csv", newline="") as stream:
        rows = {row["case"]: row for row in csv.DictReader(stream)}
    assert float(rows["a"]["original_firstorder_Mean"]) == pytest.approx(expected(1)["original_firstorder_Mean"])
    assert rows["b"]["finding"] == "features-refused"
    assert "image shape" in rows["b"]["message"]
    assert "mask shape" in rows["b"]["message"]


def test_dicom_with_masks_and_a_cohort(tmp_path):
    made = fi.synth.hospitals(tmp_path / "in", patients=2, size=32, seed=3)
    first = run(made.folder, tmp_path / "f.parquet", workers=1)
    table = pq.read_table(tmp_path / "f.parquet").to_pylist()
    good = [row for row in table if not row["finding"]]
    assert len(good) >= 2
    assert first.rows == len(table)
    text = repr(table)
    assert not any(word in text for word in made.identifiers if len(word) > 3)
    again = run(made.folder, tmp_path / "f.parquet", workers=1)
    assert again.made == 0
    cohort = fi.Cohort.create(tmp_path / "cohort")
    image, mask = case(2)
    cohort.add("a", image, masks={"lesion": mask})
    run(tmp_path / "cohort", tmp_path / "c.parquet")
    (row,) = pq.read_table(tmp_path / "c.parquet").to_pylist()
    assert (row["case"], row["mask"]) == ("a", "lesion")
    assert row["original_glcm_Contrast"] == expected(2)["original_glcm_Contrast"]


def test_processes_and_the_command(folder, tmp_path):
    (folder / "p.yaml").write_text(
        "setting: {binWidth: 20}\nfeatureClass: {firstorder: , glcm: }\nimageType: {Original: }\n"
    )
    command = ["radiomics", str(folder), "--output", str(tmp_path / "f.parquet"), "--settings", str(folder / "p.yaml")]
    seen = CliRunner().invoke(main, [*command, "--workers", "2"])
    assert seen.exit_code == 0, seen.output
    assert "3 rows of 42 features" in seen.output
    told = CliRunner().invoke(main, [*command, "--json"])
    assert json.loads(told.stdout)["skipped"] == 3
    pair = [str(folder / "c0" / name) for name in ("image.nii.gz", "mask.nii.gz")]
    one = CliRunner().invoke(main, ["radiomics", *pair, "--json"])
    assert json.loads(one.stdout)["original_shape_VoxelVolume"] == 2 * 4 * 36
    assert CliRunner().invoke(main, ["radiomics", pair[0]]).exit_code == 2


def test_a_table_of_dicom_series_with_seg_and_rtstruct(tmp_path):
    made = fi.synth.hospitals(tmp_path / "in", patients=1, size=32, seed=4)
    kinds = {}
    rows = ["case,image,mask,mask_name"]
    for n, one in enumerate(made.cases):
        folder, place = made.folder / one.folder, made.folder / one.mask_file
        kinds[f"c{n}"] = (folder, place, one.mask_name)
        rows += [f"c{n},{folder},{place},{one.mask_name}", f"d{n},{folder},{place},no such region"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    run(tmp_path / "t.csv", tmp_path / "f.parquet")
    table = {row["case"]: row for row in pq.read_table(tmp_path / "f.parquet").to_pylist()}
    modalities = set()
    for case_id, (folder, place, name) in kinds.items():
        assert table[case_id]["finding"] == "", table[case_id]["message"]
        image = fi.dicom.read(folder)
        mask = fi.dicom.read_masks(place, like=image)[name]
        assert (
            table[case_id]["original_glcm_Contrast"]
            == fi.radiomics.extract(image, mask, SETTINGS)["original_glcm_Contrast"]
        )
        assert table[case_id.replace("c", "d")]["finding"] == "read-refused"
        modalities.add(pydicom.dcmread(place, specific_tags=["Modality"]).Modality)
    assert modalities == {"SEG", "RTSTRUCT"}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_diagnostics_columns(folder, tmp_path, ending):
    (folder / "p.yaml").write_text("setting: {binWidth: 20}\nfeatureClass: {firstorder: }\n")
    settings, target = fi.radiomics.Settings.from_yaml(folder / "p.yaml"), tmp_path / f"f.{ending}"
    made = measure_features(folder, target, settings, executor=InProcess())
    assert made.features == 18

    def rows():
        if ending == "parquet":
            return pq.read_table(target).to_pylist()
        with open(target, newline="") as stream:
            return list(csv.DictReader(stream))

    before = rows()
    image, mask = case(0)
    for name, value in fi.radiomics.diagnostics(image, mask, settings).items():
        if "Spacing" not in name and "CenterOfMass" not in name:  # NIfTI keeps the grid in float32
            assert before[0][name] == str(value), name
    assert measure_features(folder, target, settings, executor=InProcess()).skipped == 3
    assert rows() == before
    (folder / "q.yaml").write_text("setting: {binWidth: 20, additionalInfo: false}\nfeatureClass: {firstorder: }\n")
    measure_features(folder, target, fi.radiomics.Settings.from_yaml(folder / "q.yaml"), executor=InProcess())
    assert not any("diagnostics" in name for name in rows()[0])
    pair = [str(folder / "c0" / name) for name in ("image.nii.gz", "mask.nii.gz")]
    told = CliRunner().invoke(main, ["radiomics", *pair, "--settings", str(folder / "p.yaml"), "--json"])
    assert json.loads(told.stdout)["diagnostics_Mask-original_VoxelNum"] == "144"


def test_refusals(folder, tmp_path):
    (tmp_path / "no.csv").write_text("image,seg\na,b\n")
    (tmp_path / "other.csv").write_text("name,age\nx,3\n")
    (tmp_path / "void").mkdir()
    with pytest.raises(FormatError, match="no column 'mask'"):
        run(tmp_path / "no.csv", tmp_path / "f.csv")
    with pytest.raises(FormatError, match="not a table of features"):
        run(folder, tmp_path / "other.csv")
    for source, output, options in (
        (folder, tmp_path / "f.txt", {}),
        (tmp_path / "gone", tmp_path / "f.csv", {}),
        (tmp_path / "void", tmp_path / "f.csv", {}),
        (folder, tmp_path / "f.csv", {"workers": 0}),
        (folder, tmp_path / "f.csv", {"names": "mine"}),
    ):
        with pytest.raises(ArgumentError):
            run(source, output, **options)
