"""The report: whole in one file, everything escaped, nothing asked from anywhere, and what may be shared stays small."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastimg as fi
from fastimg._png import GREYS, OUTLINES, outline, thumbnail
from fastimg.findings import CODES, Finding
from fastimg.report import _svg
from fastimg.report._curves import panels
from fastimg.report._data import CaseView, ReportData
from fastimg.report._disclosure import suppress
from fastimg.report._html import page

EVIL = '<script>alert(\'&"1")</script>'
VOID = {"meta", "img", "input", "br", "link", "line", "rect", "circle", "polyline", "polygon"}


class Checker(HTMLParser):
    """Balanced tags, and what they name."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def checked(text):
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return checker


def sample(cases=24, *, evil=""):
    rng = np.random.default_rng(0)
    views = []
    for number in range(cases):
        values = rng.normal(number % 3, 1, (8, 8))
        curve = {"low": float(values.min()), "high": float(values.max()), "counts": [1, 4, 9, 4, 1]}
        views.append(
            CaseView(
                f"ct-{number:03d}{evil}",
                ("ok", "warned", "ok", "quarantined")[number % 4],
                modality="CT",
                site=f"site{number % 3}{evil}",
                subject=f"p{number}",
                unit="HU",
                shape=(3, 8, 8),
                spacing=(2.0, 1.0, 1.0),
                masks=(f"lesion{evil}",),
                findings=(Finding("saturated", f"much{evil}", f"file{evil}", {}),) if number % 4 == 1 else (),
                picture=thumbnail(values, [values > 1]),
                before=curve,
                after=curve,
            )
        )
    return ReportData(
        title=f"cohort{evil}",
        description=f"of tests{evil}",
        created="2026",
        cases=views,
        file_findings=[Finding("damaged-file", f"cut{evil}", f"a{evil}")],
        counts={f"files{evil}": 1234},
        skipped={f"US{evil}": 3},
        identifiers_left=0,
        identity={
            "standard": f"PS3.15{evil}",
            "status": f"pseudonymised{evil}",
            "linkable": False,
            "options": [{"code": "113100", "meaning": f"Basic Profile{evil}"}],
            "cases_with": {"burned-in": 3, f"own{evil}": 14},
            "pixel_rules_released": [f"ultrasound{evil}"],
            "kept": f"voxels{evil}",
            "headers": 77,
            "attributes": [
                {"attribute": "00100010", "action": "empty", "count": 77},
                {"attribute": f"x{evil}", "action": f"remove{evil}", "count": 5},
            ],
        },
        effect_before={"auc_forest": 0.9, f"own{evil}": 0.5},
        effect_after={"auc_forest": 0.6, f"own{evil}": 0.7},
        effect_note=f"rows{evil}",
        effect_rows=cases,
        features=[(f"feature{n}{evil}", 0.5, 0.1 * n) for n in range(8)],
        steps=[f"step{evil}"],
        seconds={f"read{evil}": 2.0},
        rates={f"rate{evil}": "1"},
        throughput={f"DICOM{evil}": f"5 MB/s{evil}"},
        provenance={f"recipe{evil}": f"x{evil}", "last run": "17 cases made"},
    )


@pytest.mark.parametrize("shareable", [False, True])
def test_everything_is_escaped_and_nothing_is_fetched(shareable):
    seen = checked(page(sample(evil=EVIL), shareable=shareable))
    assert "script" not in seen.tags
    assert "<script" not in page(sample(evil=EVIL), shareable=shareable)
    for tag, name, value in seen.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith(("data:image/png;base64,", "#")), (tag, value)
    style = page(sample(), shareable=shareable)
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in style


def test_internal_and_shareable_say_what_they_are():
    internal, shared = page(sample(), shareable=False), page(sample(), shareable=True)
    assert "Node-internal" in internal
    assert "Node-internal" not in shared
    assert "Shareable" in shared
    assert internal.count("<img") == 24
    assert "<img" not in shared
    assert "ct-00" not in shared
    assert "cut" not in checked(shared).text
    assert "17 cases made" not in shared
    assert "Timing and throughput" in shared
    assert "5 MB/s" in internal
    assert "5 MB/s" not in shared


def test_what_was_done_about_identity_is_shown():
    internal, shared = (checked(page(sample(), shareable=shareable)).text for shareable in (False, True))
    for text in (internal, shared):
        assert "Basic Profile (113100)" in text
        assert "burned-in" in text
        assert "ultrasound" in text
    assert "PatientName" in internal
    assert internal[internal.index("burned-in") + 1] == "3"
    assert shared[shared.index("burned-in") + 1] == "not shown"
    assert "PatientName" not in shared
    assert "77" not in shared
    assert "Identity" not in checked(page(ReportData(), shareable=False)).text


def test_shareable_shows_no_small_cell():
    text = " ".join(checked(page(sample(45), shareable=True)).text)
    assert "not shown" in text  # damaged-file, US
    assert "1\u202f234" not in text
    few = sample(9)
    assert panels(few, minimum=10) == []
    assert "Site effect" not in page(few, shareable=True)
    assert re.search(r"<b>9</b>", page(few, shareable=True)) is None
    assert "rate</span>" not in page(few, shareable=True)
    assert "rate</span>" in page(sample(45), shareable=True)
    assert re.search(r"<b>9</b>", page(few, shareable=False)) is not None


@given(st.dictionaries(st.integers(0, 8), st.integers(0, 60), max_size=7), st.integers(1, 20))
def test_no_hidden_cell_can_be_worked_out(counts, minimum):
    seen = suppress(counts, minimum=minimum)
    hidden = [counts[key] for key, value in seen.items() if value is None]
    assert all(value is None or value == counts[key] for key, value in seen.items())
    assert all(value is None or value == 0 or value >= minimum for value in seen.values())
    if hidden and len(hidden) < len([c for c in counts.values() if c]):
        assert len(hidden) >= 2
        assert sum(hidden) >= minimum


def test_thumbnails_show_the_slice_and_its_outline():
    values = np.linspace(0, 1, 40 * 30).reshape(40, 30)
    mask = np.zeros((40, 30), bool)
    mask[10:20, 5:15] = True
    seen = imagecodecs.png_decode(thumbnail(values, [mask], low=0, high=1))
    assert seen.shape == (40, 30, 3)
    edge = outline(mask)
    assert edge.sum() == 2 * 10 + 2 * 8
    colour = [int(OUTLINES[0][at : at + 2], 16) for at in (1, 3, 5)]
    assert (seen[edge] == colour).all()
    rest = seen[~edge].astype(int)
    assert (rest[:, 0] == rest[:, 1]).all()
    np.testing.assert_allclose(rest[:, 0], values[~edge] * 255, atol=255 / GREYS)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(4, 40), st.booleans())
def test_thumbnails_of_any_size(rows, columns, largest, broken):
    values = np.full((rows, columns), np.nan) if broken else np.random.default_rng(0).normal(size=(rows, columns))
    seen = imagecodecs.png_decode(thumbnail(values, [np.ones((rows, columns), bool)], largest=largest))
    assert max(seen.shape[:2]) <= largest
    assert seen.shape[2] == 3


def test_charts_are_well_formed_and_labelled():
    curves = {"A": [(0.0, 0.1), (1.0, 0.5)], "B <": [(0.0, 0.2), (1.0, 0.1)]}
    for chart in (
        _svg.lines(curves, title="a < b & c", unit="HU", order=["A", "B <"]),
        _svg.dumbbells([("x <&", 0.5, 0.1), ("y", 0.1, 0.4)], title="t", mark=0.3, marked="chance"),
        _svg.stacked_bar([("3 ok", 3, "ok"), ("1 bad", 1, "failed")], title="states"),
    ):
        root = ElementTree.fromstring(chart)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert root.find("title") is not None
    assert _svg.lines({}, title="", unit="", order=[]) == ""
    assert _svg.dumbbells([], title="") == ""
    assert _svg.stacked_bar([], title="") == ""


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_inside_and_are_few(low, span):
    seen = _svg.ticks(low, low + span)
    assert 1 <= len(seen) <= 12
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in seen)


def test_a_report_of_a_cohort_without_a_run(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    rng = np.random.default_rng(0)
    image = fi.Image(rng.normal(size=(2, 5, 12, 10)), spacing=(2, 1, 1.5), dims=("t", "z", "y", "x"), unit="arbitrary")
    mask = np.zeros((5, 12, 10), np.uint8)
    mask[3, 2:5, 2:5] = 1
    cohort.add("a", image, {"m": mask}, {"modality": "MR"})
    cohort.add("flat", fi.Image(np.zeros((1, 4, 4))))
    cohort.record("b", "failed", findings=[Finding("case-failed", "so it is")])
    place = fi.report.write(cohort, tmp_path / "report.html")
    seen = checked(place.read_text())
    assert seen.tags.count("img") == 2
    assert "so it is" in seen.text
    again = fi.report.write(tmp_path / "c", tmp_path / "second.html", shareable=True)
    assert "<img" not in again.read_text()
    pictures = re.findall(r"base64,([^\"]+)", place.read_text())
    shapes = {imagecodecs.png_decode(base64.b64decode(picture)).shape[:2] for picture in pictures}
    assert (8, 10) in shapes  # 12 rows of 1 mm in pixels of 1.5 mm


def test_a_damaged_case_has_no_picture_and_the_report_is_written(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    case = cohort.add("a", fi.Image(np.random.default_rng(0).normal(size=(4, 16, 16))))
    (shard,) = [p for p in case.path.rglob("*") if p.is_file() and p.stat().st_size > 4000]
    shard.write_bytes(b"\0" * shard.stat().st_size)
    assert "<img" not in fi.report.write(cohort, tmp_path / "r.html").read_text()


def test_every_severity_has_its_badge():
    style = page(sample(), shareable=False)
    for code in CODES.values():
        assert f".badge.{code.severity}" in style
