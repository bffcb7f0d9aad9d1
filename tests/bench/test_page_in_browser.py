"""The page of benchmarks in a real browser, light and dark: nothing in the console, nothing that axe objects to."""

from __future__ import annotations

import json

import pytest

from ..report.test_browser import CHROMIUM, DRIVER, browser
from .test_tools import report, tool

pytestmark = pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="needs Debian's chromium and chromium-driver")
__all__ = ["tool"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_in_chromium(tool, tmp_path, dark):
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe-core-python is not installed (make peers)").Axe()
    (tmp_path / "history").mkdir()
    for day in (1, 2, 3):
        (tmp_path / "history" / f"{day}.json").write_text(json.dumps(report(day, speed=day)))
    page = tmp_path / "bench.html"
    page.write_text(tool("page").page(report(3, speed=3.0), tmp_path / "history"))
    with browser(tmp_path / "profile", dark) as driver:
        driver.get(page.as_uri())
        plots = driver.execute_script("return document.querySelectorAll('svg[role=img]').length")
        wide = driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
        console = driver.get_log("browser")
        found = axe.run(driver)
    assert plots == 2 + 1 + 3  # ratios and shares, growth, history
    assert console == []
    assert wide <= 0
    assert found["passes"], "axe checked nothing"
    assert [(rule["id"], rule["nodes"][0]["html"][:120]) for rule in found["violations"]] == []
