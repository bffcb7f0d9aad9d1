"""Quality, names, clinical tables and sketches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import KEY

import fastimg as fi
from fastimg.errors import FormatError
from fastimg.findings import Finding
from fastimg.pipeline import Recipe, Summary, quality
from fastimg.pipeline._load import rectified
from fastimg.pipeline._names import Names
from fastimg.pipeline._sketch import density, foreground, sketch
from fastimg.pipeline._summary import load, save, write_whole

RNG = np.random.default_rng(0)


def codes(array, unit=None, padding=None):
    return {f.code for f in quality(fi.Image(array, unit=unit, padding=padding))}


def test_quality_of_voxels():
    body = RNG.normal(0, 300, (6, 20, 20)).astype(np.float32)
    assert codes(body, "HU") == set() or codes(body.clip(-1000), "HU") == set()
    assert codes(np.full((2, 3, 4), 7.0)) == {"empty-image"}
    broken = body.copy()
    broken[0, 0, 0] = np.nan
    assert codes(broken) == {"non-finite"}
    assert codes(np.full((2, 2, 2), np.nan)) == {"non-finite"}
    assert codes(body.clip(-400, 200)) == {"saturated"}
    assert codes((body > 0).astype(np.uint8)) == set()  # two levels are a map, not a clipped image
    assert codes(body - 2000, "HU") == {"unit-range"}
    assert codes(abs(body) + 5, "HU") == {"unit-range"}
    assert codes(abs(body) + 5, "arbitrary") == set()
    assert codes(abs(body) * 100, "SUV") == {"unit-range"}


def test_quality_leaves_padding_out():
    array = RNG.normal(0, 200, (4, 12, 12)).clip(-1000).astype(np.float32)
    padding = np.zeros(array.shape, bool)
    padding[:, :3] = True
    array[:, :3] = -2000
    assert codes(array, "HU", padding) == set()
    assert codes(array, "HU") == {"unit-range"}
    assert codes(array, "HU", np.ones(array.shape, bool)) == {"empty-image"}


def test_names_keep_numbers_and_hide_words():
    names = Names(KEY, {"12345", "Meyer"})
    assert names.path("DICOM/PA0001/ST000/SE0002/IM0003.dcm") == "DICOM/PA0001/ST000/SE0002/IM0003.dcm"
    hidden = names.path("MEYER_ANNA_19520101/12345/IM3")
    assert hidden.count("~") == 2
    assert hidden.endswith("/IM3")
    assert "MEYER" not in hidden
    assert hidden == Names(KEY, {"12345"}).path("MEYER_ANNA_19520101/12345/IM3")
    assert hidden != Names(b"x" * 32, {"12345"}).path("MEYER_ANNA_19520101/12345/IM3")


@given(st.text(min_size=1, max_size=30), st.text(alphabet="ABCDEFGHIJ", min_size=6, max_size=12))
def test_no_word_of_a_path_comes_through(before, word):
    told = Names(KEY).path(f"x/{before}{word}/IM1")
    assert word not in told


def test_a_finding_is_stored_without_names():
    names = Names(KEY, {"Meyer"})
    found = Finding("missing-slice", "between Meyer_1.dcm and IM2.dcm", "a/Meyer_1.dcm", {"gap": 2.0, "who": "Meyer"})
    safe = names.finding(found, {"Meyer"}, ["Meyer_1.dcm", "IM2.dcm"])
    assert "Meyer" not in str(safe.to_dict())
    assert "IM2.dcm" in safe.message
    assert safe.details == {"gap": 2.0}
    assert names.finding(Finding("missing-slice", "of Meyer"), {"Meyer"}).message == ""


@given(st.integers(1, 400), st.integers(0, 2**31), st.floats(-1e4, 1e4), st.floats(0.01, 1e4))
def test_sketches_keep_the_mass(count, seed, center, width):
    values = np.random.default_rng(seed).normal(center, width, count)
    one = sketch(values)
    edges = np.linspace(one["low"] - width, one["high"] + width, 50)
    assert (density([one, one], edges) * np.diff(edges)).sum() == pytest.approx(1)


def test_foreground():
    values = np.array([0, 0, 0, 10, np.nan, 12.0])
    assert foreground(values).tolist() == [False, False, False, True, False, True]
    assert foreground(np.ones(3)).all()
    assert not foreground(np.array([]) if False else np.array([np.nan, np.nan])).any()
    inside = np.array([True, False, False, True, True, False])
    assert foreground(values, inside).tolist() == [False, False, False, True, False, False]
    assert sketch(np.array([np.nan])) is None


def test_a_sheared_volume_fits_into_its_rectangular_grid():
    affine = np.eye(4)
    affine[:3, 0] = (0, -1.5, 4)
    affine[:3, 1], affine[:3, 2] = (0, 2, 0), (2, 0, 0)
    image = fi.Image(np.zeros((10, 20, 30), np.float32), affine)
    grid, shape = rectified(image, (4.0, 2.0, 2.0))
    target = fi.Image(np.zeros(shape, np.float32), grid)
    assert not target.is_sheared
    corners = np.array([[*(np.array(i) * (9, 19, 29)), 1] for i in np.ndindex(2, 2, 2)]) @ affine.T
    inside = corners @ np.linalg.inv(grid).T
    assert (inside[:, :3] > -1e-6).all()
    assert (inside[:, :3] < np.array(shape)).all()


def test_summaries_are_read_back_and_newer_ones_refused(tmp_path):
    summary = Summary(cohort=str(tmp_path), states={"ok": 2, "warned": 1, "quarantined": 0, "failed": 0})
    save(summary, tmp_path)
    assert load(tmp_path) == summary
    assert summary.exit_code == 0
    summary.findings = {"damaged-file": 1}
    assert summary.exit_code == 1
    assert load(tmp_path / "none") is None
    write_whole(tmp_path / "run" / "summary.json", b'{"format": "fastimg-run", "version": 99}')
    with pytest.raises(FormatError, match="newer"):
        load(tmp_path)
    write_whole(tmp_path / "run" / "summary.json", b"{")
    with pytest.raises(FormatError, match="not JSON"):
        load(tmp_path)


def test_the_demo_recipe_and_the_others_load():
    assert {Recipe.load(name).name for name in ("default", "demo", "ingest")} == {"default", "demo", "ingest"}
