"""Recipes: every wrong key, unit and value is an error that names file and line, all at once."""

from __future__ import annotations

import pickle
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastimg.errors import ArgumentError, FormatError
from fastimg.pipeline import Recipe
from fastimg.pipeline._toml_lines import lines_of


def problems_of(text):
    with pytest.raises(FormatError) as caught:
        Recipe.parse(text, file="study.toml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[resample]\nspacng = "1 mm"', 2, 'did you mean "spacing"'),
        ('[resmaple]\nspacing = "1 mm"', 1, 'did you mean "resample"'),
        ("\n\n[resample]\nspacing = 1.5", 4, 'write it with one, for example "1.5 mm"'),
        ('[resample]\nspacing = "1.5 HU"', 2, "the unit 'HU' does not fit"),
        ('[resample]\nspacing = "-1 mm"', 2, "above 0"),
        ('[resample]\nspacing = ["1 mm",\n\n"2 mm"]', 2, "expected three lengths"),
        ('[resample]\norder = "cubik"', 2, 'did you mean "cubic"'),
        ('[input]\nmodalities = [\n  "CT", # a comment with ] and "\n  "XX",\n]\nmin_slices = 0', 2, "'XX' is none of"),
        ('[input]\nmodalities = ["CT"]\nmin_slices = 0', 3, "whole number of at least 1"),
        ('[input]\ntolerate = ["burned-in"]', 2, "none of"),
        ('[harmonize.MR]\nmethod = "window"\nlow = "1 %"', 3, "the unit '%' does not fit"),
        ('[harmonize]\nmethod = "zscore"\nlow = "1 %"', 3, "takes no limits"),
        ('[harmonize]\nmethod = "percentile"\nlow = "90 %"\nhigh = "10 %"', 3, "low must be below high"),
        ('[harmonize.MRI]\nmethod = "zscore"', 1, 'did you mean "MR"'),
        ("[radiomics]\nbin_width = 25\nbin_count = 32", 3, "not both"),
        ('[radiomics]\nsettings = "absent.yaml"', 2, "cannot read"),
        ('[run]\nreserve = "2 mm"', 2, "the unit 'mm' does not fit"),
        ("[run]\nworkers = true", 2, "whole number"),
        ("[combat]\nenabled = 1", 2, "true or false"),
        ("format = 2", 1, "this version reads recipes of format 1"),
        ("input = 3", 1, "expected a section"),
        ("resample.spacing = 3", 1, "no unit"),
        ('"resample" = { spacing = 3 }', 1, "resample.spacing"),
        ("a = 1\na = 2", 2, "not TOML"),
        ("[resample\n", 1, "not TOML"),
    ],
)
def test_an_error_names_file_line_and_what_would_do(text, line, words):
    (problem,) = [p for p in problems_of(text) if words in p]
    assert problem.startswith(f"study.toml:{line}: ")


def test_all_problems_are_told_at_once_in_order():
    seen = problems_of('[run]\nworkers = -1\n[input]\nsuvv = 1\n[resample]\nspacing = "1"\n')
    assert [p.split(":")[1] for p in seen] == ["2", "4", "6"]


def test_values_and_defaults():
    recipe = Recipe.parse(
        'name = "x"\n[resample]\nspacing = ["0.3 cm", "1 mm", "500 um"]\n[harmonize]\nmethod = "percentile"\n'
        '[harmonize.CT]\nmethod = "window"\nlow = "-1000 HU"\n[input]\nrename = { "GTV*" = "lesion" }\n'
        '[run]\nreserve = "1.5 GiB"'
    )
    assert recipe.resample.spacing == (3.0, 1.0, 0.5)
    assert recipe.harmonize_for("CT").low == -1000
    assert recipe.harmonize_for("MR").method == "percentile"
    assert recipe.input.rename == (("GTV*", "lesion"),)
    assert recipe.run.reserve == 1.5 * 2**30
    assert Recipe.parse("").name == "recipe"


def test_digests_follow_what_decides_the_result():
    base = Recipe.parse("")
    same = Recipe.parse('name = "other"\n[run]\nworkers = 3\n[resample]\nspacing = "keep"')
    voxels = Recipe.parse('[resample]\nspacing = "2 mm"')
    features = Recipe.parse("[radiomics]\nbin_count = 16")
    assert base.digest() == same.digest()
    assert base.voxel_digest != voxels.voxel_digest
    assert base.feature_digest == voxels.feature_digest != features.feature_digest
    assert base.voxel_digest == features.voxel_digest
    levels = [Recipe.parse(f"[store]\nlevels = {n}").voxel_digest for n in (1, 2)]
    assert levels[0] == Recipe.parse("").voxel_digest != levels[1]


def test_a_parameter_file_is_found_beside_the_recipe_and_is_part_of_the_digest(tmp_path):
    (tmp_path / "study.toml").write_text('[radiomics]\nsettings = "params.yaml"')
    (tmp_path / "params.yaml").write_text("setting:\n  binWidth: 25\n")
    first = Recipe.load(tmp_path / "study.toml")
    (tmp_path / "params.yaml").write_text("setting:\n  binWidth: 10\n")
    assert "binWidth" in first.settings_text
    assert first.feature_digest != Recipe.load(tmp_path / "study.toml").feature_digest


def test_loading(tmp_path):
    shipped = Recipe.load("default")
    assert shipped.name == "default"
    assert shipped.resample.spacing == (1, 1, 1)
    assert pickle.loads(pickle.dumps(shipped)) == shipped
    assert any("1 x 1 x 1 mm" in line for line in shipped.describe())
    with pytest.raises(ArgumentError, match="default"):
        Recipe.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(FormatError, match="UTF-8"):
        Recipe.load(tmp_path / "latin.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(FormatError, match="1 MiB"):
        Recipe.load(tmp_path / "big.toml")


KEYS = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True)
VALUES = st.sampled_from(
    [
        "1",
        "true",
        '"a # b"',
        "'c ] d'",
        '"""x\n# y = 1\n"quoted" """',
        "'''z\n[no]\n'''",
        "[1, [2,\n 3], # c = 4\n]",
        "{ k = 1 }",
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    tables=st.lists(
        st.tuples(KEYS, st.lists(st.tuples(KEYS, VALUES), max_size=4)), max_size=4, unique_by=lambda t: t[0]
    ),
    gap=st.integers(0, 2),
)
def test_lines_are_those_that_the_text_was_written_with(tables, gap):
    lines: list[str] = []
    written = {}
    for table, entries in tables:
        lines += ["# [not.a.table]"] * gap
        written[(table,)] = len(lines) + 1
        lines.append(f"[{table}]")
        for key, value in dict(entries).items():
            written[(table, key)] = len(lines) + 1
            lines += f"{key} = {value}".split("\n")
    text = "\n".join(lines)
    tomllib.loads(text)
    assert lines_of(text) == written
