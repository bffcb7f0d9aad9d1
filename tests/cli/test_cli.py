"""The command line: exit status 0, 1, 2; text for people, JSON for programs; nothing written by a dry run."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import fastimg as fi
from fastimg import _gpu
from fastimg.cli import main
from fastimg.cli._demo_federation import federation
from fastimg.cli._progress import _bar, _Lines
from fastimg.cli._search import Search
from fastimg.pipeline import Event

RECIPE = (
    '[resample]\nspacing = "6 mm"\n[radiomics]\nbin_count = 8\nclasses = ["firstorder"]\n'
    '[input]\nrename = { "*" = "lesion" }\n[harmonize]\nmethod = "percentile"\n[run]\nreserve = "1 MB"\n'
)


@pytest.fixture(autouse=True)
def own_device():
    """The device of this machine, if any, not the one that other files' tests of the worker play."""
    before = _gpu.use_backend(None)
    yield
    _gpu.use_backend(before)


def call(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == expect, result.output
    return result


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory):
    return fi.synth.hospitals(tmp_path_factory.mktemp("cli") / "in", patients=4, size=48, seed=5)


@pytest.fixture(scope="session")
def made(hospitals, tmp_path_factory):
    """(folder with recipe, cohort and key; the output of the run)."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "study.toml").write_text(RECIPE)
    command = ["run", folder / "study.toml", "--input", hospitals.folder, "--output", folder / "c"]
    result = call(*command, "--clinical", hospitals.clinical, "--workers", "1", expect=1)
    return folder, result


def test_help_lists_the_commands_in_order():
    seen = subprocess.run([sys.executable, "-m", "fastimg", "--help"], capture_output=True, text=True, check=True)
    words = [line.split()[0] for line in seen.stdout.split("Commands:")[1].splitlines() if line.strip()]
    order = [word for word in words if word in main.commands]
    assert order == [
        "demo",
        "scan",
        "deidentify",
        "ingest",
        "run",
        "radiomics",
        "verify",
        "qc",
        "report",
        "view",
        "catalogue",
        "query",
        "remove",
        "migrate",
        "node",
        "bench",
        "doctor",
    ]
    code = "import fastimg.cli, sys; print([m for m in ('zarr','scipy','sklearn','numba','pydicom','cupy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(command):
    assert len(call(command, "--help").output) > 100


def test_a_run_tells_its_figures_and_writes_its_report(made, hospitals):
    folder, result = made
    out = result.stdout
    assert "14 cases made" in out
    assert "12 ok" in out or "11 ok" in out
    assert "missing-slice" in out
    assert "identifiers  0 left" in out
    assert "cases 14/14" in result.stderr
    assert (folder / "c" / "report.html").stat().st_size > 20_000
    assert (folder / "c.key").exists()
    search = Search(text for text in hospitals.identifiers if len(text) > 3)
    assert search.found((out + result.stderr).encode()) == set()


def test_a_second_run_as_json(made, hospitals):
    folder, _ = made
    command = ["run", folder / "study.toml", "--input", hospitals.folder, "--output", folder / "c"]
    result = call(*command, "--clinical", hospitals.clinical, "--json", expect=1)
    seen = json.loads(result.stdout)
    assert result.stderr == ""
    assert (seen["done"], seen["skipped"], seen["cases"], seen["exit_code"]) == (0, 14, 14, 1)
    assert seen["format"] == "fastimg-run"
    text = call(*command, "--clinical", hospitals.clinical, expect=1).stdout
    assert text.startswith("nothing to do: all 14 cases were done before")


def test_a_dry_run_as_text_and_json(made, hospitals, tmp_path):
    folder, _ = made
    command = ["run", folder / "study.toml", "--input", hospitals.folder, "--dry-run"]
    text = call(*command, "--output", tmp_path / "new").stdout
    assert "nothing was written" in text
    assert "14 to do" in text
    assert list(tmp_path.iterdir()) == []
    seen = json.loads(call(*command, "--output", folder / "c", "--json").stdout)
    assert (seen["to_do"], seen["done"], seen["fits"]) == (0, 14, True)


def test_wrong_use_is_2_and_names_the_line(hospitals, tmp_path):
    recipe = tmp_path / "wrong.toml"
    recipe.write_text('[resample]\nspacing = "1 HU"\n[inptu]\n')
    result = call("run", recipe, "--input", hospitals.folder, "--output", tmp_path / "c", expect=2)
    assert "wrong.toml:2: resample.spacing" in result.stderr
    assert "wrong.toml:3: inptu: unknown section" in result.stderr
    assert not (tmp_path / "c").exists()
    call("run", "default", "--output", tmp_path / "c", expect=2)
    call("run", "defualt", "--input", hospitals.folder, "--output", tmp_path / "c", expect=2)
    call("run", "default", "--input", tmp_path / "absent", "--output", tmp_path / "c", expect=2)
    call("scan", hospitals.folder, "--table", tmp_path / "x.txt", expect=2)
    call("verify", hospitals.folder, expect=2)
    call("nonsense", expect=2)


def test_a_run_without_findings_is_0(hospitals, tmp_path):
    good = hospitals.folder / hospitals.cases[0].folder
    result = call("ingest", good, tmp_path / "c", "--workers", "1")
    assert "1 ok" in result.stdout
    assert not (tmp_path / "c" / "report.html").exists()


def test_scan(hospitals, made, tmp_path):
    seen = json.loads(call("scan", hospitals.folder, "--json").stdout)
    assert seen["series"]["image CT"] == 14
    assert "archive" in call("scan", hospitals.folder).stdout
    call("scan", hospitals.folder, "--table", tmp_path / "t.parquet", "--key", made[0] / "c.key")
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.num_rows == seen["files"]
    names = dict(zip(table["path"].to_pylist(), table["name"].to_pylist(), strict=True))
    summary = json.loads((made[0] / "c" / "run" / "summary.json").read_text())
    told = {found["where"] for found in summary["file_findings"]}
    assert told <= set(names.values())  # whoever has the key finds the file that a finding names
    call("scan", hospitals.folder, "--table", tmp_path / "t.csv")
    with (tmp_path / "t.csv").open() as stream:
        assert len(list(csv.reader(stream))) == seen["files"] + 1


def test_verify_report_and_query(made, tmp_path):
    cohort = made[0] / "c"
    assert "sound" in call("verify", cohort, "--full").stdout
    assert json.loads(call("verify", cohort, "--json").stdout)["ok"] is True
    place = tmp_path / "shared.html"
    call("report", cohort, "--shareable", "--output", place)
    assert "Shareable" in place.read_text()
    rows = json.loads(call("query", cohort, "SELECT state, count(*) AS n FROM cases GROUP BY state", "--json").stdout)
    assert sum(row["n"] for row in rows) == 14
    assert "quarantined" in call("query", cohort, "SELECT state FROM cases").stdout
    call("query", cohort, "DELETE FROM cases", expect=2)


def test_verify_of_a_damaged_cohort_is_1(made, tmp_path):
    import shutil

    shutil.copytree(made[0] / "c", tmp_path / "c")
    shard = max((p for p in (tmp_path / "c" / "cases").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert "damaged" in call("verify", tmp_path / "c", "--full", expect=1).stdout


def test_verify_rebuilds_the_index_where_that_is_asked_for(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    for name in "ab":
        cohort.add(name, fi.Image(np.ones((2, 3, 4), np.int16)), None, {"site": name})
    index, expected = tmp_path / "c" / "index" / "cases.sqlite", cohort.index
    index.write_bytes(b"no database")
    assert "--rebuild" in call("verify", tmp_path / "c").stdout  # and the exit status is 0: the cases are sound
    assert index.read_bytes() == b"no database"
    assert "index-stale" in call("verify", tmp_path / "c", "--rebuild").stdout
    assert call("verify", tmp_path / "c").stdout == call("verify", tmp_path / "c", "--rebuild").stdout == "sound\n"
    assert fi.Cohort.open(tmp_path / "c").index.equals(expected)


def test_radiomics_of_a_pair(tmp_path):
    rng = np.random.default_rng(0)
    image = fi.Image(rng.normal(0, 90, (10, 12, 14)).astype(np.float32))
    mask = np.zeros((10, 12, 14), np.uint8)
    mask[3:7, 3:8, 4:9] = 1
    image.to_nifti(tmp_path / "i.nii.gz")
    image.with_array(mask).to_nifti(tmp_path / "m.nii.gz")
    seen = json.loads(call("radiomics", tmp_path / "i.nii.gz", tmp_path / "m.nii.gz", "--json").stdout)
    assert seen["original_firstorder_Mean"] == pytest.approx(float(image.array[mask != 0].mean()), rel=1e-5)
    assert "original_firstorder_Mean" in call("radiomics", tmp_path / "i.nii.gz", tmp_path / "m.nii.gz").stdout


def test_doctor():
    checks = {check["name"]: check for check in json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)}
    assert checks["numpy"]["found"] == np.__version__
    assert checks["instruction-set level"]["state"] == "ok"
    assert all(check["mend"] for check in checks.values() if check["state"] == "bad")
    assert fi.__version__ in CliRunner().invoke(main, ["doctor"]).stdout


def test_a_folder_without_dicom_is_told(tmp_path):
    for name, files in (("empty", []), ("nifti", ["brain.nii", "brain.nii.gz", "notes.txt"])):
        folder = tmp_path / name
        folder.mkdir()
        for file in files:
            (folder / file).write_bytes(b"n+1" * 200)
        seen = call("scan", folder).stdout
        assert f"{len(files)} files" in seen
        assert "no DICOM image is here" in seen
        target = tmp_path / f"{name}-out"
        assert (
            "no case: no DICOM image" in call("run", "default", "--input", folder, "--output", target, expect=1).stdout
        )
        assert (target / "report.html").stat().st_size > 1000
        assert (target / "report_shareable.html").exists() is False
        call("report", target, "--shareable", "--output", tmp_path / f"{name}.html")


def test_doctor_names_a_clash_of_cupy_builds(monkeypatch):
    monkeypatch.setattr(_gpu, "conflicting_cupy", lambda: ("cupy-cuda12x", "cupy-cuda13x", "pip uninstall -y both"))
    result = call("doctor", expect=1)
    assert "cupy-cuda12x and cupy-cuda13x" in result.stdout
    assert "mend: pip uninstall -y both" in result.stdout


def test_doctor_names_a_missing_package_and_its_mend(monkeypatch):
    from fastimg import versions

    real = versions._installed
    monkeypatch.setattr(versions, "_installed", lambda name: None if name == "zarr" else real(name))
    assert "mend: pip install zarr" in call("doctor", expect=1).stdout


def test_show_versions(capsys):
    fi.show_versions()
    seen = capsys.readouterr().out
    for word in ("fastimg", "instruction-set level", "threads", "GPU", "codec JPEG-LS"):
        assert word in seen


EVENTS = [
    Event("scan", text="reading headers"),
    Event("plan", 1, 4, text="9 files, 2 series"),
    Event("cases", 1, 3, "a", "ok", rate=0.5, left=4.0),
    Event("cases", 2, 3, "b", "failed", ("case-failed",), rate=0.05, left=20.0),
    Event("cases", 3, 3, "c", "ok", rate=0.5, left=0.0),
    Event("done", 3, 4, text="4 cases"),
]


def test_progress_as_lines(capsys):
    lines = _Lines()
    for event in EVENTS:
        lines(event)
    seen = capsys.readouterr().err.splitlines()
    assert "cases 2/3" in seen[-3] or "cases 2/3" in seen[-4]
    assert any("b failed (case-failed)" in line for line in seen)
    assert any("s left" in line for line in seen)


def test_progress_as_a_bar(capsys):
    with _bar() as listener:
        for event in EVENTS:
            listener(event)
    assert "b failed: case-failed" in capsys.readouterr().err


def test_search_finds_what_is_there_in_each_encoding():
    search = Search(["Müllegger", "Ελευθερία", "AB-12345", "xyz"])
    blob = bytes(5_000_000) + "Müllegger".encode("latin-1") + bytes(7)
    assert search.found(blob) == {"Müllegger"}
    assert search.found("..Ελευθερία".encode() + "AB-12345".encode("utf-16-le")) == {"Ελευθερία", "AB-12345"}
    assert search.found(b"Muellegger AB-1234 xyz") == set()
    assert search.found(b"") == set()
    for cut in range((1 << 22) - 12, (1 << 22) + 2):  # across the borders of chunks
        assert search.found(bytes(cut) + b"AB-12345" + bytes(20)) == {"AB-12345"}


def test_the_demos_federation_equals_pooled_data(tmp_path):
    rng = np.random.default_rng(0)
    whole = fi.Cohort.create(tmp_path / "cohort")
    for number in range(33):
        site = "abc"[number % 3]
        array = rng.uniform(0, 100, (4, 20, 20)).astype(np.float32)
        mask = np.ones(array.shape, np.uint8)
        age = float(rng.integers(40, 80))
        features = {f"f{k}": float(rng.normal(number % 3 + k + age / 50)) for k in range(5)}
        whole.add(
            f"case-{number}",
            fi.Image(array),
            {"lesion": mask},
            {"site": site, "subject": f"s{number}", "age_years": age},
            features={"lesion": features},
        )
    told = []
    assert federation(tmp_path, told.append) < 1e-9
    assert "33 cases of 33 patients" in told[1]
    assert "52,800 voxels" in told[2]
    assert "5 features of 33 lesions over 3 sites" in told[3]


@pytest.mark.soak
def test_demo(tmp_path):
    result = call("demo", "--output", tmp_path / "d")
    assert "0 left" in result.stdout
    assert (tmp_path / "d" / "cohort" / "report.html").exists()
    again = call("demo", "--output", tmp_path / "d")
    assert "nothing to do" in again.stdout
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").touch()
    call("demo", "--output", tmp_path / "other", expect=2)
    assert (tmp_path / "other" / "mine").exists()


def test_deidentify_tells_what_was_held_back(hospitals, tmp_path):
    result = call("deidentify", hospitals.folder, tmp_path / "out", expect=1)
    assert "1 series quarantined, 1 failed" in result.stdout.replace("\n", " ")
    assert (tmp_path / "out.key").exists()
    search = Search(text for text in hospitals.identifiers if len(text) > 3)
    assert search.found(result.output.encode()) == set()
    seen = json.loads(call("deidentify", hospitals.folder, tmp_path / "out", "--json", expect=1).stdout)
    assert seen["series"]["quarantined"] == 1
    call("deidentify", hospitals.folder, tmp_path / "o", "--retain-uids", expect=2)


def test_remove_by_patient_id_keeps_out_what_comes_again(made, hospitals, tmp_path):
    folder, _ = made
    for name in ("c", "study.toml", "c.key"):
        copy = shutil.copytree if (folder / name).is_dir() else shutil.copy2
        copy(folder / name, tmp_path / name)
    cohort = fi.Cohort.open(tmp_path / "c")
    key = fi.dicom.load_key(tmp_path / "c.key")
    patients = {str(one.subject) for one in fi.dicom.series(hospitals.folder) if one.subject}
    patient = next(p for p in sorted(patients) if fi.dicom.pseudonym(p, key=key) in cohort.subjects())
    gone = cohort.subjects()[fi.dicom.pseudonym(patient, key=key)]
    (tmp_path / "who").write_text(f"# of the ethics office\n{patient}\n\nnobody-here\n")
    command = ["remove", tmp_path / "c", "--subjects", tmp_path / "who"]
    assert "2 subjects, 1 of them with cases here" in call(*command, "--dry-run").stdout
    assert (tmp_path / "c" / "report.html").exists()
    (tmp_path / "c" / "notes.csv").write_text("x")
    again = call(*command, "--dry-run")
    assert "not looked into" not in again.stderr
    seen = json.loads(call(*command, "--json").stdout)
    assert seen == {"subjects": 2, "with_cases": 1, "cases": len(gone), "dry_run": False}
    assert not set(gone) & set(cohort)
    assert not (tmp_path / "c" / "report.html").exists()
    assert "not looked into: notes.csv\n" in call(*command).stderr
    assert patient not in (tmp_path / "c" / "tombstones" / "log.jsonl").read_text()
    again = ["run", tmp_path / "study.toml", "--input", hospitals.folder, "--output", tmp_path / "c"]
    assert "removed from this cohort" in call(*again, "--clinical", hospitals.clinical, expect=1).stdout
    assert not set(gone) & set(cohort)
    (tmp_path / "empty").write_text("\n# nobody\n")
    call("remove", tmp_path / "c", "--subjects", tmp_path / "empty", expect=2)
    fi.dicom.load_key(tmp_path / "other.key", create=True)
    assert "another key" in call(*command, "--key", tmp_path / "other.key", expect=2).stderr


def test_migrate(tmp_path):
    shutil.copytree(Path(__file__).parents[1] / "cohort" / "golden" / "v1" / "hot", tmp_path / "c")
    assert call("migrate", tmp_path / "c").stdout == "format 1 -> 2\n"
    assert json.loads(call("migrate", tmp_path / "c", "--json").stdout) == {"before": 2, "after": 2}
    assert call("verify", tmp_path / "c", "--full").stdout.endswith("sound\n")
    call("migrate", tmp_path, expect=2)
