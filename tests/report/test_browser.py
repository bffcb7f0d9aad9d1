"""The report in a real browser: nothing in the console, nothing asked of a network, nothing that axe objects to."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import numpy as np
import pytest

import fastimg as fi
from fastimg import report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="needs Debian's chromium and chromium-driver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,2400",
)  # fmt: skip


# sections whose head lies below the bar of links once their link is followed
COVERED = """
document.documentElement.style.scrollBehavior = 'auto'
const bar = document.querySelector('nav'), found = []
for (const link of bar.querySelectorAll('a')) {
  link.click()
  const section = document.querySelector(link.hash)
  const head = section.querySelector('h2') || section
  if (head.getBoundingClientRect().top < bar.getBoundingClientRect().bottom) found.push(link.hash)
}
scrollTo(0, 0)
return bar.querySelectorAll('a').length > 1 ? found : ['no links']
"""


@contextmanager
def browser(profile, dark):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (make peers)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}", *(["--blink-settings=preferredColorScheme=0"] if dark else [])):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    cohort = fi.Cohort.create(folder / "cohort")
    for number in range(24):
        site = "ABC"[number % 3]
        image = fi.Image(rng.normal(0, 100 + 40 * (number % 3), (6, 32, 32)).astype(np.int16), unit="HU")
        mask = fi.Image(
            (np.hypot(*np.ogrid[-16:16, -16:16]) < 9)[None].repeat(6, 0).astype(np.uint8), affine=image.affine
        )
        features = {"lesion": {f"original_firstorder_f{n}": rng.normal(number % 3) for n in range(8)}}
        metadata = {"site": f"site-{site}", "subject": f"s{number}", "modality": "CT"}
        cohort.add(f"case-{number:02}", image, {"lesion": mask}, metadata, features=features)
    made = {"whole": folder / "report.html", "shareable": folder / "shareable.html"}
    for name, path in made.items():
        report.write(cohort, path, shareable=name == "shareable")
    return made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["whole", "shareable"])
def test_the_report_in_chromium(pages, tmp_path, name, dark):
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe-core-python is not installed (make peers)").Axe()
    with browser(tmp_path / "profile", dark) as driver:
        driver.get(pages[name].as_uri())
        scheme = driver.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches")
        asked = driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        wide = driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
        driver.save_screenshot(str(tmp_path / f"{name}.png"))
        hidden = driver.execute_script(COVERED)
        console = driver.get_log("browser")
        found = axe.run(driver)
    assert scheme == dark
    assert console == []
    assert [address for address in asked if not address.startswith("data:")] == []
    assert wide <= 0
    assert hidden == []
    assert found["passes"], "axe checked nothing"
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found["violations"]] == []
    assert (tmp_path / f"{name}.png").stat().st_size > 20_000


def test_axe_objects_to_what_it_should(tmp_path):
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe-core-python is not installed (make peers)").Axe()
    page = tmp_path / "bad.html"
    page.write_text("<html><body><img src='data:,'><p style='color:#ccc;background:#fff'>pale</p></body></html>")
    with browser(tmp_path / "profile", dark=False) as driver:
        driver.get(page.as_uri())
        found = {rule["id"] for rule in axe.run(driver)["violations"]}
    assert {"image-alt", "color-contrast", "html-has-lang", "document-title"} <= found
