"""Quality control: settings of a site, files, the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from qc_cases import SHAPE, add, body, seen

import fastimg as fi
from fastimg.cli import main
from fastimg.errors import ArgumentError, FormatError
from fastimg.pipeline import QcSettings, qc


@pytest.fixture
def cohort(tmp_path):
    return fi.Cohort.create(tmp_path / "c")


SETTINGS = """
format = "fastimg-qc"
version = 1
fail = "warning"
[limits]
blur = 0.5
[limits.CT]
noise = 5
edge = "off"
[units.HU]
low = -1024
[units.ADC]
low = 0
high = 4000
[severity]
noisy = "error"
blurred = "off"
"""


def test_settings_of_a_site():
    settings = QcSettings.parse(SETTINGS)
    assert settings.of("CT").noise == 5
    assert settings.of("CT").edge is None
    assert settings.of("CT").blur == settings.of("MR").blur == settings.of("XA").blur == 0.5
    assert settings.of("MR").snr == 3
    assert settings.units["HU"] == (-1024, 32000)
    assert settings.units["ADC"] == (0, 4000)
    assert settings.severity_of("noisy") == "error"
    assert settings.fails("warning")
    assert not settings.fails("info")


@pytest.mark.parametrize(
    "text, words",
    [
        ("[limits.CT]\nnois = 3", r'qc.toml:4: limits.CT.nois: unknown key; did you mean "noise"'),
        ("[limits.CTT]\nnoise = 3", "limits.CTT: no such modality"),
        ('[limits]\nnoise = "3 HU"', 'limits.noise: expected a number .*or "off"'),
        ("[limits]\nsimilar_bits = 40", "from 0 to 15"),
        ('[severity]\nnoizy = "off"', 'severity.noizy: no such code; did you mean "noisy"'),
        ('[severity]\nnoisy = "bad"', "severity.noisy: expected one of off"),
        ("[units.HU]\nlow = 5\nhigh = 1", "low must be below high"),
        ("[units]\nHU = 5", "units.HU: expected a section"),
        ('fail = "never"', "fail: expected one of info"),
        ("[limit]\nx = 1", "limit: unknown key"),
        ("limits = 1", r"limits: expected a section"),
        ("[", "not TOML"),
    ],
)
def test_wrong_settings_are_told_with_their_line(text, words):
    with pytest.raises(FormatError, match=words):
        QcSettings.parse(f'format = "fastimg-qc"\nversion = 1\n{text}')


def test_settings_of_another_format_or_version(tmp_path):
    with pytest.raises(FormatError, match="the file must say format"):
        QcSettings.parse("version = 1")
    with pytest.raises(FormatError, match="reads version 1, got 2"):
        QcSettings.parse('format = "fastimg-qc"\nversion = 2')
    with pytest.raises(ArgumentError, match="cannot be read"):
        QcSettings.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(FormatError, match="not UTF-8"):
        QcSettings.load(tmp_path / "latin.toml")


def test_severities_decide(cohort, tmp_path):
    add(cohort, "a", body(0))
    (tmp_path / "site.toml").write_text(SETTINGS)
    codes, report = seen(cohort, tmp_path / "site.toml")
    assert codes == {"a": ["noisy"]}
    assert report.findings["severity"].to_pylist() == ["error"]
    assert report.failed


def test_the_command(cohort, tmp_path):
    add(cohort, "a", body(0))
    add(cohort, "b", body(1, noise=220))
    add(cohort, "c", np.full(SHAPE, 3, np.int16))
    call = CliRunner().invoke
    path = str(cohort.path)
    files = [str(tmp_path / name) for name in ("f.parquet", "m.csv", "all.json")]
    done = call(main, ["qc", path, "--output", files[0], "--measures", files[1], "--workers", "1"])
    assert done.exit_code == 1, done.output  # an empty image sets a case aside
    assert "3 cases, 2 findings" in done.output
    assert "empty-image" in done.output
    assert [row["code"] for row in pq.read_table(files[0]).to_pylist()] == ["noisy", "empty-image"]
    rows = list(csv.DictReader(Path(files[1]).read_text().splitlines()))
    assert [row["case_id"] for row in rows] == ["a", "b", "c"]
    assert float(rows[1]["noise"]) == pytest.approx(220, rel=0.1)
    done = call(main, ["qc", path, "--json", "--output", files[2], "--workers", "1"])
    assert json.loads(done.stdout)["counts"] == {"noisy": 1, "empty-image": 1}
    assert json.loads(Path(files[2]).read_text())["format"] == "fastimg-qc-report"
    lenient = tmp_path / "site.toml"
    lenient.write_text('format = "fastimg-qc"\nversion = 1\n[severity]\nempty-image = "info"\n')
    assert call(main, ["qc", path, "--settings", str(lenient), "--workers", "1"]).exit_code == 0
    assert call(main, ["qc", path, "--output", str(tmp_path / "x.txt")]).exit_code == 2
    lenient.write_text("version = 1")
    assert call(main, ["qc", path, "--settings", str(lenient)]).exit_code == 2


def test_arguments(cohort):
    with pytest.raises(ArgumentError, match="identifiers"):
        qc(cohort, identifiers="Meyer")
    assert seen(cohort)[1].cases == 0
