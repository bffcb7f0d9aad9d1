"""Clinical tables: CSV and Parquet, types, dates, patients twice or without a case; columns that `query` sees."""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from small_run import KEY

import fastimg as fi
from fastimg.errors import ArgumentError, FormatError
from fastimg.pipeline import Recipe, run
from fastimg.pipeline._clinical import read
from fastimg.pipeline._pool import InProcess
from fastimg.pipeline._recipe import Clinical

PLAIN = '[radiomics]\nenabled = false\n[run]\nreserve = "1 MB"\n'


@pytest.fixture
def table(tmp_path):
    """A function that writes rows as clinical.csv."""

    def write(*rows):
        path = tmp_path / "clinical.csv"
        path.write_text("\n".join(rows))
        return path

    return write


def codes(found):
    return {finding.code: finding.details for finding in found.findings}


def test_harmless_columns_are_taken(table):
    rows = [f"P{n},Name {n},{80 + 2 * n},{'I' * (1 + n % 3)},55512{n}99,1950-01-{n + 1:02d},n{n}" for n in range(8)]
    path = table("subject,name,age,stage,phone,born,note", *rows)
    seen = read(path, Clinical())
    assert seen.rows["P1"] == {"age": 82, "stage": "II"}
    assert seen.rows["P7"]["age"] == 90
    assert seen.left_out == ["name", "phone", "born", "note"]
    assert codes(seen) == {"clinical-date": {"columns": 1}}
    assert read(path, Clinical(columns=("note",))).rows["P1"] == {"note": "n1"}
    with pytest.raises(FormatError, match=r'clinical.csv:1: no column .*did you mean "stage"'):
        read(path, Clinical(columns=("stages",)))


@pytest.mark.parametrize(
    "rows, words",
    [
        (["a,b", "1,2"], "no column 'patient_id'"),
        (["subject,x", "P1"], "clinical.csv:2: 1 cells"),
        ([""], "clinical.csv:1: empty"),
        (["subject,x,x", "P1,1,2"], "a column name stands twice"),
    ],
)
def test_broken_tables_are_told_before_work(table, rows, words, tmp_path):
    with pytest.raises(FormatError, match=words):
        read(table(*rows), Clinical())
    with pytest.raises(ArgumentError, match="no file"):
        read(tmp_path / "none.csv", Clinical())


def test_bytes_that_are_no_table(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"subject,x\nP1,\xff\xfe")
    with pytest.raises(FormatError, match="not a CSV in UTF-8"):
        read(tmp_path / "a.csv", Clinical())
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(FormatError, match="not a Parquet file"):
        read(tmp_path / "a.parquet", Clinical())


def test_parquet_gives_what_csv_gives(table, tmp_path):
    path = table("subject,age,stage,grade,seen", "P1,61,I,1.5,2020-03-04", "P2,62,II,,2021-05-06", "P3,63,I,2.5,")
    columns = {
        "subject": ["P1", "P2", "P3"],
        "age": pa.array([61, 62, 63], pa.int32()),
        "stage": ["I", "II", "I"],
        "grade": pa.array([1.5, None, 2.5]),
        "seen": pa.array([dt.date(2020, 3, 4), dt.date(2021, 5, 6), None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "clinical.parquet")
    for wanted in (Clinical(), Clinical(dates="shift")):
        one, other = read(path, wanted, KEY), read(tmp_path / "clinical.parquet", wanted, KEY)
        assert one.rows == other.rows
        assert (one.left_out, codes(one)) == (other.left_out, codes(other))
    assert one.rows["P1"]["grade"] == 1.5


def test_patients_in_several_rows(table):
    seen = read(table("subject,age,stage", "P1,61,I", "P1,61,II", "P2,70,I", "P2,70,I", "P3,50,I"), Clinical())
    assert seen.rows == {"P1": {"age": 61}, "P2": {"age": 70, "stage": "I"}, "P3": {"age": 50, "stage": "I"}}
    assert codes(seen) == {"clinical-duplicate": {"patients": 2}}
    three = read(table("subject,stage", "P1,I", "P1,II", "P1,I", "P2,I", "P3,I"), Clinical())
    assert three.rows["P1"] == {}  # a value that differed once stays out


def test_types_of_a_recipe(table):
    path = table("subject,stage,age,size,note", "P1,I,61,4.5,free text", "P2,VII,old,large,words", "P3,II,62,5,x")
    types = (("stage", "I|II|III"), ("age", "whole"), ("size", "number"), ("note", "text"))
    seen = read(path, Clinical(types=types))
    assert seen.rows["P1"] == {"stage": "I", "age": 61, "size": 4.5, "note": "free text"}
    assert seen.rows["P2"] == {"note": "words"}
    assert [f.message for f in seen.findings] == [
        "1 values of age are no whole and were left out.",
        "1 values of size are no number and were left out.",
        "1 values of stage are no I|II|III and were left out.",
    ]
    with pytest.raises(FormatError, match="no column 'grade'"):
        read(path, Clinical(types=(("grade", "whole"),)))


@pytest.mark.parametrize("kind", ["numbr", "I|", "|", ""])
def test_unknown_types_are_told_with_their_line(kind):
    with pytest.raises(FormatError, match=r"recipe.toml:2: clinical.types: stage: expected number, whole, text, date"):
        Recipe.parse(f'[clinical]\ntypes = {{ stage = "{kind}" }}')
    assert Recipe.parse('[clinical]\ntypes = { a = "date" }\ndates = "shift"').clinical.types == (("a", "date"),)
    with pytest.raises(FormatError, match=r"clinical\.dates"):
        Recipe.parse('[clinical]\ndates = "keep"')


@pytest.mark.parametrize("text", ["2019-03-04", "20190304", "2019-03-04T11:20:00", "4.3.2019", "2019.03.04"])
def test_dates_are_refused_or_moved_as_in_dicom(table, text):
    path = table("subject,seen,stage", f"P1,{text},I", f"P2,{text},I")
    refused = read(path, Clinical(columns=("seen", "stage")), KEY)
    assert refused.rows["P1"] == {"stage": "I"}
    assert refused.left_out == ["seen"]
    assert text not in json.dumps([f.to_dict() for f in refused.findings])
    moved = read(path, Clinical(dates="shift"), KEY)
    found = moved.rows["P1"]["seen_shifted"]
    assert found != moved.rows["P2"]["seen_shifted"]
    header = Dataset()
    header.PatientID, header.StudyDate = "P1", "20190304"
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    same = fi.dicom.deidentify(header, fi.dicom.Profile(key=KEY, dates="shift")).StudyDate
    assert found.replace("-", "") == same


@given(st.dates(dt.date(1900, 1, 1), dt.date(2090, 1, 1)), st.dates(dt.date(1900, 1, 1), dt.date(2090, 1, 1)))
def test_moved_dates_keep_their_distance(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("t") / "clinical.csv"
    path.write_text(f"subject,a,b\nP1,{first},{second}\n")
    row = read(path, Clinical(dates="shift"), KEY).rows["P1"]
    moved = [dt.date.fromisoformat(row[f"{name}_shifted"]) for name in "ab"]
    assert moved[1] - moved[0] == second - first
    assert moved[0] < first


def test_dates_that_nobody_can_read_are_never_stored(table):
    path = table("subject,a,b", "P1,03/04/2019,2019-03", "P2,05/04/2019,2019-13-41")
    assert read(path, Clinical(), KEY).rows == {"P1": {}, "P2": {}}
    moved = read(path, Clinical(dates="shift"), KEY)
    assert moved.rows == {"P1": {}, "P2": {}}
    assert codes(moved)["clinical-value"] == {"values": 2}


def test_rows_and_patients_without_partner():
    from fastimg.pipeline._clinical import ClinicalTable

    seen = ClinicalTable({"P1": {}, "P2": {}, "P3": {}})
    assert [f.details for f in seen.joined({"P3", "P4"})] == [{"rows": 2}, {"patients": 1}]
    assert seen.joined({"P1", "P2", "P3"}) == []
    assert ClinicalTable().joined({"P1"}) == []


def test_a_run_joins_and_query_sees_the_columns(tmp_path):
    """Of three patients two have rows; the table names two more; one row stands twice; the join is by keyed code."""
    for number in range(3):
        attributes = {
            "PatientName": "Quill^Ada",
            "PatientID": f"PAT-{number:04d}",
            "StudyInstanceUID": f"1.2.3.{number}",
        }
        fi.synth.ct_series(tmp_path / "in" / str(number), slices=4, size=32, seed=number, attributes=attributes)
    path = tmp_path / "clinical.csv"
    path.write_text(
        "patient_id,cancer,age,diagnosed\nPAT-0000,lung,61,2019-03-04\nPAT-0001,colon,72,2019-05-06\n"
        "PAT-0001,colon,72,2019-05-07\nPAT-0077,lung,80,2018-01-02\nPAT-0078,lung,81,\n"
    )
    recipe = Recipe.parse(PLAIN + '[clinical]\ntypes = { cancer = "lung|colon" }\ndates = "shift"')
    summary = run(recipe, tmp_path / "in", tmp_path / "c", key=KEY, clinical=path, executor=InProcess())
    cohort = fi.Cohort.open(tmp_path / "c")
    rows = cohort.query("SELECT subject, cancer, age, diagnosed_shifted FROM cases ORDER BY cancer").to_pylist()
    assert [row["cancer"] for row in rows] == [None, "colon", "lung"]
    assert rows[2]["subject"] == fi.dicom.pseudonym("PAT-0000", key=KEY)
    assert rows[1]["diagnosed_shifted"] is None  # its two rows differ
    assert rows[2]["diagnosed_shifted"] < "2019-03-04"
    assert (summary.findings["clinical-unmatched"], summary.findings["clinical-duplicate"]) == (2, 1)
    assert summary.exit_code == 0
    written = "".join(p.read_text("utf-8", "replace") for p in (tmp_path / "c").rglob("*") if p.is_file())
    assert "PAT-00" not in written
    assert "2019-0" not in written
    again = fi.pipeline.preview(recipe, tmp_path / "in", tmp_path / "c", key=KEY, clinical=path)
    assert again.findings["clinical-unmatched"] == 2
    report = fi.pipeline.qc(cohort, executor=InProcess())  # a moved date is no identifier
    assert "identifier-suspect" not in report.counts


def test_a_late_table_reaches_stored_cases_and_leaves_their_voxels(tmp_path):
    """What a table that comes later, or is corrected, leaves behind is what it had left if it had been there at once."""
    for number in range(3):
        attributes = {
            "PatientName": "Quill^Ada",
            "PatientID": f"PAT-{number:04d}",
            "StudyInstanceUID": f"1.2.3.{number}",
        }
        fi.synth.ct_series(tmp_path / "in" / str(number), slices=4, size=32, seed=number, attributes=attributes)
    early, late = tmp_path / "early.csv", tmp_path / "late.csv"  # of the maker they say what no header does
    early.write_text("patient_id,cancer,manufacturer,stage\nPAT-0000,lung,none,\n")
    late.write_text(
        "patient_id,cancer,manufacturer,stage\nPAT-0000,colon,none,I\nPAT-0001,colon,none,II\nPAT-0002,lung,none,Quill\n"
    )
    recipe = Recipe.parse(PLAIN + '[clinical]\ncolumns = ["cancer", "manufacturer", "stage"]')

    def ran(clinical, target, files=tmp_path / "in"):
        summary = run(recipe, files, tmp_path / target, key=KEY, clinical=clinical, executor=InProcess())
        return summary, fi.Cohort.open(tmp_path / target)

    def voxels(cohort):
        return [(case.case_id, case.digest, case.source, case.manifest["files"]) for case in cohort.cases()]

    makers = lambda cohort: [case.metadata["manufacturer"] for case in cohort.cases()]  # noqa: E731
    said = makers(ran(None, "c")[1])
    ran(early, "c")
    first = voxels(fi.Cohort.open(tmp_path / "c"))
    summary, cohort = ran(late, "c")
    assert (summary.done, summary.skipped) == (0, 3)
    assert voxels(cohort) == first
    found = cohort.query("SELECT subject, cancer, manufacturer, stage FROM cases ORDER BY stage").to_pylist()
    assert [row["stage"] for row in found] == [None, "I", "II"]  # a name of the tree is no stage
    assert [row["cancer"] for row in found] == ["lung", "colon", "colon"]
    assert makers(cohort) == said  # the header's word stands
    assert summary.findings["identifier-removed"] == 1
    assert cohort.verify(full=True).findings == []
    _, cohort = ran(late, "c")
    assert voxels(cohort) == first
    late.write_text(late.read_text().replace("Quill", "III"))
    ran(late, "c")
    _, fresh = ran(late, "d")
    metadata = lambda cohort: {case.case_id: case.metadata for case in cohort.cases()}  # noqa: E731
    assert metadata(fi.Cohort.open(tmp_path / "c")) == metadata(fresh)


def test_an_id_that_was_hashed_upstream_joins_as_it_is(tmp_path):
    code = "0123456789abcdef0123456789abcdef"
    attributes = {"PatientID": code, "PatientName": code, "PatientIdentityRemoved": "YES"}
    fi.synth.ct_series(tmp_path / "in", slices=4, size=32, attributes=attributes)
    path = tmp_path / "clinical.parquet"
    pq.write_table(pa.table({"patient_id": [code], "stage": ["I"]}), path)
    recipe = Recipe.parse(PLAIN + "[deidentify]\nkeep_hashed = true\n[clinical]\ncolumns = ['stage']")
    run(recipe, tmp_path / "in", tmp_path / "c", key=KEY, clinical=path, executor=InProcess())
    rows = fi.Cohort.open(tmp_path / "c").query("SELECT subject, stage FROM cases").to_pylist()
    assert rows == [{"subject": code, "stage": "I"}]


def test_a_recipe_asks_for_a_pyramid(tmp_path):
    attributes = {"PatientName": "Quill^Ada", "PatientID": "PAT-0000"}
    fi.synth.ct_series(tmp_path / "in", slices=8, size=32, attributes=attributes)
    recipe = Recipe.parse(PLAIN + "[store]\nlevels = 3")
    run(recipe, tmp_path / "in", tmp_path / "c", key=KEY, executor=InProcess())
    assert [case.levels for case in fi.Cohort.open(tmp_path / "c").cases()] == [3]
