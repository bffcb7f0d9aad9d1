"""Links lead somewhere: those of the Markdown outside docs/ here, those of the built pages in `make docs`."""

from __future__ import annotations

import importlib.util
import json

import pytest

from ..conftest import ROOT


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_of_the_markdown_at_the_root():
    files = sorted(ROOT.glob("*.md"))
    assert ROOT / "README.md" in files
    assert load("links").broken(files, ROOT) == []


@pytest.mark.parametrize(
    "suffix, page",
    [
        ("html", '<h1 id="top">T</h1><a href="{}">x</a><img src="one.png">'),
        ("md", "# Top\n[x]({}) ![p](one.png)\n```\n[y](nowhere.md)\n```\n`[z](nowhere.md)`\n"),
    ],
)
def test_what_is_broken_is_told(tmp_path, suffix, page):
    (tmp_path / "one.png").touch()
    (tmp_path / f"other.{suffix}").write_text(page.format("#top"))
    path = tmp_path / f"page.{suffix}"
    for link, good in (
        ("one.png", True),
        ("https://example.org/nowhere", True),
        (f"other.{suffix}#top", True),
        ("#top", True),
        ("two.png", False),
        ("#bottom", False),
        (f"other.{suffix}#bottom", False),
        ("../one.png", False),
    ):
        path.write_text(page.format(link))
        found = load("links").broken([path], tmp_path)
        assert found == ([] if good else [f"page.{suffix}: {link}"])


def test_the_page_of_accuracy_holds_what_was_measured():
    report = json.loads((ROOT / "docs" / "accuracy.json").read_text())
    assert (report["format"], report["version"]) == ("fastimg accuracy", 1)
    page = load("accuracy").accuracy_page(report)
    assert page.count("\n| ") == len(report["rows"]) + 2
    for peer in ("SimpleITK", "scipy", "pyradiomics", "neuroCombat", "scikit-image", "pydicom", "IBSI tables"):
        assert any(row["peer"] == peer for row in report["rows"]), peer
    for row in report["rows"]:
        assert 0 <= row["equal"] <= row["values"] > 0
        assert row["peer"].startswith("IBSI") == (row["peer_version"] == "")
        if row["peer"].startswith("IBSI"):
            assert row["share"] <= 1 + 1e-6
    part = load("accuracy")._percent
    assert (part(3, 3), part(999_999, 1_000_000), part(0, 5)) == ("100\u00a0%", "99.9\u00a0%", "0.0\u00a0%")
