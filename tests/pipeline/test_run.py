"""The main job on three synthetic hospitals: what comes out, what is found, what is refused, what stays private."""

from __future__ import annotations

import json
import os
import shutil
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_run import KEY, RECIPE, digests

import fastimg as fi
from fastimg.cli._search import Search
from fastimg.pipeline import Recipe, preview, run
from fastimg.pipeline._pool import InProcess


def snapshot(folder):
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*") if not path.is_dir()
    }


def test_every_case_is_made_and_every_fault_is_a_finding(hospitals, done):
    path, summary, _ = done
    cohort = fi.Cohort.open(path)
    good = [case for case in cohort.cases() if case.state in ("ok", "warned") and case.mask_names]
    assert len(good) == len(hospitals.cases)
    assert summary.states["quarantined"] == 1
    assert summary.states["failed"] == 1
    assert summary.cases == sum(summary.states.values()) == len(cohort)
    expected = {fault.code for fault in hospitals.faults} - {"damaged-file", "burned-in"}
    assert expected <= set(summary.findings)
    assert summary.findings["decode-failed"] == 1  # the file that is cut short within its pixels
    assert summary.left_out["modality OT"] == 1  # the screenshot, which the recipe does not ask for
    assert summary.exit_code == 1
    assert cohort.verify(full=True).ok


def test_cases_lie_on_the_common_grid_and_scale_with_their_masks(done):
    cohort = fi.Cohort.open(done[0])
    for case in cohort.cases(states=("ok", "warned")):
        image = case.image()
        assert image.spacing == pytest.approx((6, 6, 6))
        assert image.unit == "normalised"
        assert set(case.mask_names) == {"lesion"}
        lesion = image.array[case.masks()["lesion"].array != 0]
        assert lesion.size
        assert 0 < np.median(lesion) < 110  # of Nyul's scale from 1 to 100
        assert case.metadata["sex"] in ("F", "M")
        assert case.metadata["age"] <= 90


def test_an_ingested_mask_is_the_one_that_was_drawn(hospitals, tmp_path):
    cohort_path = tmp_path / "c"
    summary = fi.ingest(hospitals.folder, cohort_path, InProcess(), key=KEY)
    cohort = fi.Cohort.open(cohort_path)
    by_subject = {fi.dicom.pseudonym(case.subject, key=KEY): case for case in hospitals.cases}
    seen = 0
    for case in cohort.cases(states=("ok", "warned")):
        true = by_subject[case.metadata["subject"]]
        if case.shape != true.shape:
            continue
        image = case.image()
        assert image.unit == "HU"
        assert image.dtype.kind == "i"
        np.testing.assert_allclose(image.affine, true.affine, atol=1e-3)
        (mask,) = case.masks().values()
        np.testing.assert_array_equal(mask.array != 0, true.mask)
        seen += 1
    assert seen == len(hospitals.cases)
    assert summary.feature_rows == 0


def test_nothing_written_holds_an_identifier(hospitals, done):
    path = done[0]
    search = Search(text for text in hospitals.identifiers if len(text) > 3)
    in_source = set().union(
        *(search.found(f.read_bytes()) for f in hospitals.folder.rglob("*") if f.is_file() and not f.is_symlink())
    )
    assert len(in_source) > 0.9 * len([text for text in hospitals.identifiers if len(text) > 3])
    files = [f for f in path.rglob("*") if f.is_file()]
    assert {"report.html", "log.jsonl", "summary.json", "features.parquet"} <= {f.name for f in files}
    left = set().union(
        *(search.found(f.read_bytes()) for f in files), search.found("\n".join(map(str, files)).encode())
    )
    assert left == set()
    for name in ("features.parquet", "features_combat.parquet"):
        table = pq.read_table(path / name)
        words = [
            str(v) for c in table.column_names if table.schema.field(c).type == "string" for v in table[c].to_pylist()
        ]
        assert search.found("\n".join([*words, *table.column_names]).encode()) == set()


def test_a_mask_named_after_its_patient_is_kept_under_another_name(hospitals, tmp_path):
    keep = Recipe.parse('[radiomics]\nenabled = false\n[combat]\nenabled = false\n[run]\nreserve = "1 MB"')
    (named, *_) = [case for case in hospitals.cases if case.mask_name != "Lesion"]
    root = tmp_path / "in"
    shutil.copytree(hospitals.folder / named.folder.parent, root)
    run(keep, root, tmp_path / "c", key=KEY, executor=InProcess())
    cohort = fi.Cohort.open(tmp_path / "c")
    codes = {code for case in cohort.cases() for code in (f.code for f in case.findings)}
    names = {name for case in cohort.cases(states=("ok", "warned")) for name in case.mask_names}
    assert "identifier-removed" in codes
    assert "mask" in names
    assert named.mask_name not in names


def test_features_and_combat_tables(hospitals, done):
    path, summary, _ = done
    raw, clean = pq.read_table(path / "features.parquet"), pq.read_table(path / "features_combat.parquet")
    assert raw.num_rows == clean.num_rows == summary.feature_rows == len(hospitals.cases)
    assert raw.column_names == clean.column_names
    assert set(raw.column("mask").to_pylist()) == {"lesion"}
    shape = [n for n in raw.column_names if n.startswith("original_shape_")]
    assert len(shape) > 10
    assert raw.select(shape).equals(
        clean.select(shape)
    )  # size and form are the lesion's: not harmonised unless asked for
    names = [n for n in raw.column_names if n.startswith("original_") and n not in shape]
    site = np.array(clean.column("site").to_pylist())
    assert len(set(site.tolist())) == 3
    X = np.column_stack([raw[n].to_numpy() for n in names])
    usable = np.isfinite(X).all(0) & (np.ptp(X, axis=0) > 0)
    again = fi.harmonize.ComBat().fit(X[:, usable], batch=site, covariates={"age_years": raw["age_years"].to_pylist()})
    expected = again.transform(X[:, usable], batch=site, covariates={"age_years": raw["age_years"].to_pylist()})
    seen = np.column_stack([clean[n].to_numpy() for n, u in zip(names, usable, strict=True) if u])
    np.testing.assert_allclose(seen, expected, rtol=1e-9)
    effect = summary.site_effect
    assert effect["after"]["variance_explained"] < effect["before"]["variance_explained"]


def test_a_second_run_does_nothing_and_says_so(hospitals, recipe, done):
    path, first, _ = done
    before = snapshot(path / "cases")
    start = time.perf_counter()
    again = run(recipe, hospitals.folder, path, key=KEY, clinical=hospitals.clinical, executor=InProcess())
    assert time.perf_counter() - start < 5
    assert (again.done, again.skipped) == (0, first.done)
    assert snapshot(path / "cases") == before
    assert (again.states, again.findings, again.site_effect) == (first.states, first.findings, first.site_effect)


def test_workers_give_the_same_voxels_as_one_process(hospitals, recipe, done, tmp_path):
    summary = run(recipe, hospitals.folder, tmp_path / "c", key=KEY, clinical=hospitals.clinical, workers=2)
    assert summary.workers == 2
    assert digests(tmp_path / "c") == digests(done[0])


def test_a_changed_file_is_made_again_and_a_new_case_joins_the_learned_scale(hospitals, recipe, done, tmp_path):
    root = tmp_path / "in"
    shutil.copytree(hospitals.folder / "athens", root, symlinks=True)
    late = tmp_path / "late"
    shutil.move(root / hospitals.cases[-1].folder.relative_to("athens").parents[0], late)
    first = run(recipe, root, tmp_path / "c", key=KEY, executor=InProcess())
    scale = (tmp_path / "c" / "run" / "nyul_CT.json").read_bytes()
    shutil.move(late, root / hospitals.cases[-1].folder.relative_to("athens").parents[0])
    touched = next((root / hospitals.cases[-2].folder.relative_to("athens")).iterdir())
    os.utime(touched)
    second = run(recipe, root, tmp_path / "c", key=KEY, executor=InProcess())
    assert second.done == 2
    assert second.skipped == first.done - 1
    assert second.cases == first.cases + 1
    assert (tmp_path / "c" / "run" / "nyul_CT.json").read_bytes() == scale


def test_other_features_are_measured_anew_and_voxels_stay(hospitals, recipe, done, tmp_path):
    path = tmp_path / "c"
    shutil.copytree(done[0], path)
    other = Recipe.parse(RECIPE.replace("bin_count = 16", "bin_count = 8").replace('"shape"]', '"glcm"]'))
    summary = run(other, hospitals.folder, path, key=KEY, clinical=hospitals.clinical, executor=InProcess())
    assert summary.done == 0
    before, after = fi.Cohort.open(done[0]), fi.Cohort.open(path)
    for case in before.cases(states=("ok",)):
        assert after[case.case_id].digest == case.digest
        assert any("glcm" in name for name in after[case.case_id].features["lesion"])
    again = run(other, hospitals.folder, path, key=KEY, clinical=hospitals.clinical, executor=InProcess())
    assert again.feature_rows == summary.feature_rows


def test_a_dry_run_writes_nothing(hospitals, recipe, tmp_path):
    before = snapshot(tmp_path)
    seen = preview(recipe, hospitals.folder, tmp_path / "c")
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "c").exists()
    assert seen.cases == seen.to_do == len(hospitals.cases) + 2
    assert seen.fits
    assert seen.bytes_needed > 0
    assert any("6 x 6 x 6 mm" in step for step in seen.steps)


def test_a_dry_run_knows_what_is_done(hospitals, recipe, done):
    seen = preview(recipe, hospitals.folder, done[0], key=KEY)
    assert (seen.to_do, seen.bytes_needed) == (0, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"key": b"another key, of the same length!!"}, "another key"),
        ({"recipe": RECIPE.replace("6 mm", "5 mm")}, "another output folder"),
        ({"workers": 0}, "workers"),
        ({"input": "absent"}, "nothing at"),
    ],
)
def test_what_does_not_fit_is_refused(hospitals, recipe, done, change, words, tmp_path):
    arguments = {"recipe": recipe, "input": hospitals.folder, "output": done[0], "key": KEY, "executor": InProcess()}
    arguments |= change | ({"recipe": Recipe.parse(change["recipe"])} if "recipe" in change else {})
    with pytest.raises(fi.errors.FastimgError, match=words):
        run(**arguments)


def test_output_inside_the_input_is_refused_and_not_made(hospitals, recipe):
    with pytest.raises(fi.errors.ArgumentError, match="inside the input"):
        run(recipe, hospitals.folder, hospitals.folder / "c", key=KEY)
    assert not (hospitals.folder / "c").exists()


def test_a_full_disk_is_told_before_the_work(hospitals, tmp_path):
    greedy = Recipe.parse(RECIPE.replace("1 MB", "999 TB"))
    with pytest.raises(fi.errors.RefusedError, match="reserve"):
        run(greedy, hospitals.folder, tmp_path / "c", key=KEY, executor=InProcess())
    assert list((tmp_path / "c" / "cases").iterdir()) == []


def test_one_run_at_a_time(hospitals, recipe, done):
    cohort = fi.Cohort.open(done[0], mode="r+")
    with cohort.lock(), pytest.raises(fi.errors.RefusedError, match="at work"):
        run(recipe, hospitals.folder, done[0], key=KEY, executor=InProcess())


def test_the_key_is_made_beside_the_cohort_and_missed_when_it_is_gone(hospitals, tmp_path):
    root = hospitals.folder / hospitals.cases[0].folder
    plain = Recipe.parse('[radiomics]\nenabled = false\n[run]\nreserve = "1 MB"')
    run(plain, root, tmp_path / "c", executor=InProcess())
    key = tmp_path / "c.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "c").rglob("*.key"))
    key.unlink()
    with pytest.raises(fi.errors.ArgumentError, match="key"):
        run(plain, root, tmp_path / "c", executor=InProcess())
    assert not key.exists()


def test_ingest_into_a_cohort_that_was_just_made(hospitals, tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    summary = fi.ingest(hospitals.folder / hospitals.cases[0].folder, cohort, InProcess())
    assert summary.states["ok"] == len(cohort) == 1


def test_who_was_removed_is_not_read_again(hospitals, recipe, done, tmp_path):
    shutil.copytree(done[0], tmp_path / "c")
    cohort = fi.Cohort.open(tmp_path / "c", mode="r+")
    subject = fi.dicom.pseudonym(hospitals.cases[5].subject, key=KEY)
    removed = cohort.remove(subjects=[subject], reason="withdrawn")
    assert removed
    again = run(recipe, hospitals.folder, tmp_path / "c", key=KEY, clinical=hospitals.clinical, executor=InProcess())
    assert again.done == 0
    assert again.left_out["removed from this cohort"] == len(removed)
    assert again.cases == done[1].cases - len(removed)
    assert again.feature_rows == done[1].feature_rows - 1
    assert subject not in (tmp_path / "c" / "features.parquet").read_bytes().decode("latin-1")


def test_events_count_up_and_tell_of_each_case(done):
    events = done[2]
    cases = [event for event in events if event.step == "cases"]
    assert [event.done for event in cases] == list(range(1, len(cases) + 1))
    assert {event.total for event in cases} == {len(cases)}
    assert events[-1].step == "done"


def test_a_table_of_nifti_pairs(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["image,mask,mask_name,subject,site,dose"]
    for number in range(4):
        image = fi.Image(rng.normal(0, 90, (12, 14, 16)).astype(np.float32), spacing=(2, 1, 1))
        mask = np.zeros((12, 14, 16), np.uint8)
        mask[4:8, 4:9, 5:11] = 1
        image.to_nifti(tmp_path / f"Meyer{number}.nii.gz")
        image.with_array(mask).to_nifti(tmp_path / f"m{number}.nii")
        rows.append(f"Meyer{number}.nii.gz,m{number}.nii,tumour,Meyer{number},Hospital {number % 2},{number}.5")
    rows.append("gone.nii,,,Schulze,Hospital 1,2")
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(rows))
    recipe = Recipe.parse('[resample]\nspacing = "2 mm"\n[radiomics]\nbin_width = 25\n[combat]\nmin_cases = 2')
    summary = run(recipe, table, tmp_path / "out" / "c", key=KEY, executor=InProcess())
    assert summary.states == {"ok": 4, "warned": 0, "quarantined": 0, "failed": 1}
    cohort = fi.Cohort.open(tmp_path / "out" / "c")
    assert cohort.features("tumour").num_rows == 4
    assert sorted(x for x in cohort.index.column("dose").to_pylist() if x is not None) == [0.5, 1.5, 2, 2.5, 3.5]
    search = Search([*(f"Meyer{n}" for n in range(4)), "Schulze", "Hospital 1"])
    for file in (tmp_path / "out" / "c").rglob("*"):
        assert search.found(file.read_bytes() if file.is_file() else str(file).encode()) == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("picture,mask\na,b\n", r"pairs.csv:1: no column 'image'"),
        ("image,mask\na\n", r"pairs.csv:2: 1 cells, expected 2"),
        ("image,mask,modality\na,b,CTT\n", r"pairs.csv:2: modality: did you mean \"CT\""),
        ("image,mask,mask\n", "twice"),
    ],
)
def test_a_wrong_table_is_an_error_with_its_line(tmp_path, text, words):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(fi.errors.FormatError, match=words):
        run(Recipe(), tmp_path / "pairs.csv", tmp_path / "out" / "c", key=KEY)
    assert not (tmp_path / "out" / "c" / "cases").exists() or not list((tmp_path / "out" / "c" / "cases").iterdir())


def test_headers_are_deidentified_before_voxels_are_decoded_and_reported(hospitals, done):
    path, _, _ = done
    report = json.loads((path / "run" / "deidentification.json").read_text())
    cohort = fi.Cohort.open(path)
    assert report["cases"] == done[1].states
    assert report["headers"] > len(cohort)
    assert report["attributes"]
    page = fi.report.write(path, path.parent / "report.html").read_text()
    assert "Basic Application Confidentiality Profile (113100)" in page
    assert "<code>00100010</code></th><td>PatientName</td><td>empty</td>" in page
    assert "pseudonymised" in report["status"]
    for case in cohort.cases(states=("ok", "warned")):
        header = case.provenance["header"]
        assert header["Modality"] == "CT"
        assert not {"PatientName", "PatientBirthDate", "StudyDate", "SeriesInstanceUID", "StationName"} & set(header)
        assert list(case.provenance["seconds"]).index("deidentify") < list(case.provenance["seconds"]).index("read")


def test_a_case_tells_what_it_was_made_from_by_what(done, recipe):
    cases = list(fi.Cohort.open(done[0]).cases())
    for case in cases:
        told = case.provenance
        assert (told["recipe"], told["voxels"], told["features"]) == (
            "small",
            recipe.voxel_digest,
            recipe.feature_digest,
        )
        assert told["versions"]["fastimg"] == fi.__version__
        assert told["versions"]["isa"] == fi.config.isa()
        assert int(case.source, 16) >= 0
    assert len({case.source for case in cases}) == len(cases)


def test_a_header_that_cannot_be_cleaned_sets_the_case_aside(hospitals, tmp_path, monkeypatch):
    """Fail closed: whatever the search of the header finds, the case's voxels are not even decoded."""
    found = [fi.findings.Finding("birth-date-left")]
    monkeypatch.setattr(fi.dicom, "header", lambda *_, **__: ({"Modality": "CT"}, found))
    summary = fi.ingest(hospitals.folder, tmp_path / "c", InProcess(), key=KEY)
    assert summary.states["ok"] == summary.states["warned"] == 0
    assert summary.findings["birth-date-left"] > 5
    report = json.loads((tmp_path / "c" / "run" / "deidentification.json").read_text())
    assert report["cases_with"]["birth-date-left"] > 5


def test_a_key_inside_the_cohort_is_refused(hospitals, recipe, tmp_path):
    with pytest.raises(fi.errors.RefusedError, match="inside the folder"):
        run(recipe, hospitals.folder, tmp_path / "c", key=tmp_path / "c" / "key", executor=InProcess())
